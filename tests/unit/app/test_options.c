/* options: what the command line may say, of commands made up for it. */
#include "app/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/document.h"
#include "base/error.h"

struct walk_options {
    int64_t count, pace, length; /* of the name */
};

static bool parse_name(const struct option_row *row, const char *text, void *member,
                       struct error *error) {
    int64_t *length = member;
    *length = (int64_t)strlen(text);
    return *length <= row->max || error_set(error, "\"%s\" is too long", text);
}

static const struct option_row walk_table[] = {
    OPTION_NUMBER(struct walk_options, count, "count", "N", 0, 100, "7", "steps"),
    OPTION_NUMBER(struct walk_options, pace, "pace", "N", 1, INT64_MAX, "3", "a minute"),
    OPTION_OTHER(struct walk_options, length, "name", "NAME", 0, 5, parse_name, "Anna",
                 "one line\nand another"),
    OPTION_END};
static const struct option_row swim_table[] = {
    OPTION_NUMBER(struct walk_options, pace, "pace", "N", 1, 9, "4", "strokes"), OPTION_END};
static const struct option_row ride_table[] = {
    OPTION_NUMBER(struct walk_options, pace, "pace", "N", 1, 9, "5", "miles"), OPTION_END};

static const struct command walk = {
    .name = "walk", .summary = "on foot", .help = "Walks.\n", .options = walk_table};
static const struct command swim = {
    .name = "swim", .summary = "in water", .help = "Swims.\n", .options = swim_table};
static const struct command ride = {
    .name = "ride", .summary = "on a horse", .help = "Rides.\n", .options = ride_table};
static const struct command rest = {.name = "rest", .summary = "at home", .help = "Rests.\n"};
static const struct command *const commands[] = {&walk, &swim, &ride, &rest, NULL};

static struct options options;
static struct error error;
static const struct walk_options *const own = (const void *)options.own;

/* Parses a line whose words are separated by single spaces. */
static enum options_verdict parse(const char *line) {
    static char copy[8192];
    static char *argv[1024];
    snprintf(copy, sizeof copy, "rollcall%s%s", line[0] == '\0' ? "" : " ", line);
    char *left = copy;
    int argc = 0;
    for (char *word = strsep(&left, " "); word != NULL; word = strsep(&left, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    error.text[0] = '\0';
    return options_parse(argc, argv, commands, &options, &error);
}

static void assert_wrong(const char *line, const char *expected) {
    assert_int_equal(parse(line), OPTIONS_WRONG);
    if (strstr(error.text, expected) == NULL) fail_msg("\"%s\": %s", line, error.text);
}

static void each_command_is_known_wherever_it_stands(void **state) {
    (void)state;
    for (int i = 0; commands[i] != NULL; i++) {
        char line[64];
        snprintf(line, sizeof line, "-q %s -c f", commands[i]->name);
        assert_int_equal(parse(line), OPTIONS_GO_ON);
        assert_ptr_equal(options.command, commands[i]);
        assert_true(options.is_quiet);
        assert_false(options.is_verbose);
        assert_string_equal(options.config_path, "f");
    }
}

static void overrides_keep_their_order(void **state) {
    (void)state;
    assert_int_equal(parse("rest -X a.b=c -Xd.e=f -v"), OPTIONS_GO_ON);
    assert_int_equal(options.override_count, 2);
    assert_string_equal(options.overrides[0], "a.b=c");
    assert_string_equal(options.overrides[1], "d.e=f");
    assert_true(options.is_verbose);
    char line[8 * (OPTIONS_OVERRIDES_MAX + 1) + 8] = "rest";
    for (int i = 0; i <= OPTIONS_OVERRIDES_MAX; i++)
        strcat(line, " -Xa.b=c");
    assert_wrong(line, "-X is given more than 256 times");
}

static void wrong_usage_names_the_nearest(void **state) {
    (void)state;
    assert_wrong("", "no command; `rollcall --help`");
    assert_wrong("wlak", "unknown command wlak; did you mean walk?");
    assert_wrong("zzzzzzzz", "unknown command zzzzzzzz; `rollcall --help`");
    assert_wrong("rest now", "rest takes no argument: \"now\"");
    assert_wrong("walk --cuont 5", "unknown option --cuont; did you mean --count?");
    assert_wrong("rest --nonsense", "unknown option --nonsense");
    assert_wrong("rest -Z", "unknown option -Z");
    assert_wrong("rest -c", "-c needs a value");
    assert_wrong("rest -c a.ini -c b.ini", "one configuration file only; leave out a.ini or b.ini");
    assert_wrong("-c a.ini rest -ca.ini", "-c is given twice");
    assert_wrong("walk --count", "--count needs a value");
    assert_wrong("rest --help=yes", "--help takes no value");
    assert_wrong("rest -v -q", "-v and -q");
}

static void an_option_belongs_to_its_commands(void **state) {
    (void)state;
    assert_wrong("rest --count 5", "rest has no option --count; it belongs to: walk");
    assert_wrong("rest --pace 5", "rest has no option --pace; it belongs to: walk, swim, ride");
    assert_int_equal(parse("--count=5 walk --pace 6"), OPTIONS_GO_ON);
    assert_int_equal(own->count, 5);
    assert_int_equal(own->pace, 6);
}

static void what_is_not_given_has_the_default_of_the_command(void **state) {
    (void)state;
    assert_int_equal(parse("walk"), OPTIONS_GO_ON);
    assert_int_equal(own->count, 7);
    assert_int_equal(own->pace, 3);
    assert_int_equal(parse("swim"), OPTIONS_GO_ON);
    assert_int_equal(own->pace, 4);
    assert_int_equal(own->count, 0);
}

static void values_are_parsed_by_their_table(void **state) {
    (void)state;
    assert_wrong("walk --count 101", "--count: 101 is out of range; allowed are 0 to 100");
    assert_wrong("walk --count -1", "--count: -1 is out of range");
    assert_wrong("walk --count 0.5", "--count: \"0.5\" is not a whole number");
    assert_wrong("walk --pace=", "--pace: \"\" is not a whole number");
    assert_wrong("swim --pace 10", "allowed are 1 to 9");
    assert_wrong("walk --name Johannes", "--name: \"Johannes\" is too long");
    assert_int_equal(parse("walk --pace 9223372036854775807 --name=Otto"), OPTIONS_GO_ON);
    assert_int_equal(own->pace, INT64_MAX);
    assert_int_equal(own->length, 4);
    assert_int_equal(parse("walk --count 5 --count 6"), OPTIONS_GO_ON);
    assert_int_equal(own->count, 6);
}

static void help_and_version_need_nothing_else(void **state) {
    (void)state;
    assert_int_equal(parse("--help"), OPTIONS_HELP);
    assert_null(options.command);
    assert_int_equal(parse("-h"), OPTIONS_HELP);
    assert_int_equal(parse("help"), OPTIONS_HELP);
    assert_null(options.command);
    assert_int_equal(parse("walk --help"), OPTIONS_HELP);
    assert_ptr_equal(options.command, &walk);
    assert_int_equal(parse("help walk"), OPTIONS_HELP);
    assert_ptr_equal(options.command, &walk);
    assert_int_equal(parse("help settings"), OPTIONS_DOCUMENT);
    assert_ptr_equal(options.document, document_find("settings"));
    assert_int_equal(parse("--version"), OPTIONS_VERSION);
    assert_int_equal(parse("rest --version"), OPTIONS_VERSION);
    assert_wrong("wlak --help", "did you mean walk?");
    assert_wrong("help wlak", "did you mean walk?");
    assert_wrong("help walk swim", "one argument");
    assert_wrong("hlep", "did you mean help?");
}

static void help_is_made_from_the_tables(void **state) {
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    options_help(commands, &walk, out);
    fclose(out);
    assert_non_null(strstr(text, "usage: rollcall walk [OPTION]...\n\nWalks.\n\n"
                                 "      --count N         steps (default: 7)\n"));
    assert_non_null(strstr(text, "      --name NAME       one line\n"
                                 "                        and another (default: Anna)\n"));
    assert_non_null(strstr(text, "  -c FILE               read settings"));
    assert_non_null(strstr(text, "  -h, --help            this text\n"));
    free(text);
    out = open_memstream(&text, &bytes);
    options_help(commands, NULL, out);
    fclose(out);
    assert_non_null(strstr(text, "  swim      in water\n"));
    assert_null(strstr(text, "--count"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_command_is_known_wherever_it_stands),
        cmocka_unit_test(overrides_keep_their_order),
        cmocka_unit_test(wrong_usage_names_the_nearest),
        cmocka_unit_test(an_option_belongs_to_its_commands),
        cmocka_unit_test(what_is_not_given_has_the_default_of_the_command),
        cmocka_unit_test(values_are_parsed_by_their_table),
        cmocka_unit_test(help_and_version_need_nothing_else),
        cmocka_unit_test(help_is_made_from_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
