/* options: what the command line may say. */
#include "app/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/generator.h"
#include "base/error.h"

static struct options options;
static struct error error;

/* Parses a line whose words are separated by single spaces. */
static enum options_verdict parse(const char *line) {
    static char copy[8192];
    static char *argv[1024];
    snprintf(copy, sizeof copy, "rollcall%s%s", line[0] == '\0' ? "" : " ", line);
    char *rest = copy;
    int argc = 0;
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    error.text[0] = '\0';
    return options_parse(argc, argv, &options, &error);
}

static void assert_wrong(const char *line, const char *expected) {
    assert_int_equal(parse(line), OPTIONS_WRONG);
    if (strstr(error.text, expected) == NULL) fail_msg("\"%s\": %s", line, error.text);
}

static void each_command_is_known_wherever_it_stands(void **state) {
    (void)state;
    static const char *const names[] = {"run", "demo", "generate", "snapshot", "check", "top"};
    for (int i = 0; i < OPTIONS_COMMAND_COUNT; i++) {
        char line[64];
        snprintf(line, sizeof line, "-q %s -c f", names[i]);
        assert_int_equal(parse(line), OPTIONS_GO_ON);
        assert_int_equal(options.command, i);
        assert_true(options.is_quiet);
        assert_false(options.is_verbose);
        assert_string_equal(options.config_path, "f");
    }
}

static void overrides_keep_their_order(void **state) {
    (void)state;
    assert_int_equal(parse("run -X a.b=c -Xd.e=f -v"), OPTIONS_GO_ON);
    assert_int_equal(options.override_count, 2);
    assert_string_equal(options.overrides[0], "a.b=c");
    assert_string_equal(options.overrides[1], "d.e=f");
    assert_true(options.is_verbose);
    char line[8 * (OPTIONS_OVERRIDES_MAX + 1) + 8] = "run";
    for (int i = 0; i <= OPTIONS_OVERRIDES_MAX; i++)
        strcat(line, " -Xa.b=c");
    assert_wrong(line, "-X is there more than 256 times");
}

static void wrong_usage_names_the_nearest(void **state) {
    (void)state;
    assert_wrong("", "which command?");
    assert_wrong("rnu", "there is no command rnu; did you mean run?");
    assert_wrong("snapshoot", "did you mean snapshot?");
    assert_wrong("zzzzzzzz", "there is no command zzzzzzzz; `rollcall --help`");
    assert_wrong("run now", "run takes no argument: \"now\"");
    assert_wrong("generate --cuont 5", "there is no option --cuont; did you mean --count?");
    assert_wrong("run --nonsense", "there is no option --nonsense");
    assert_wrong("run -Z", "there is no option -Z");
    assert_wrong("run -c", "-c needs a value");
    assert_wrong("generate --count", "--count needs a value");
    assert_wrong("run --help=yes", "--help takes no value");
    assert_wrong("run -v -q", "either -v or -q");
}

static void shaping_belongs_to_generate_and_demo(void **state) {
    (void)state;
    assert_wrong("run --rate 5", "run has no option --rate; generate and demo have it");
    assert_wrong("check --seed 5", "check has no option --seed");
    assert_int_equal(parse("generate --count 5 --rate 6 --users 7 --skew 0.5 --invalid 2.5 --seed 8"
                           " --start 1720622216"),
                     OPTIONS_GO_ON);
    assert_int_equal(options.count, 5);
    assert_int_equal(options.rate, 6);
    assert_int_equal(options.event.rate, 6);
    assert_int_equal(options.event.users, 7);
    assert_true(options.event.skew > 0.49 && options.event.skew < 0.51);
    assert_true(options.event.invalid_percent > 2.49 && options.event.invalid_percent < 2.51);
    assert_int_equal(options.event.seed, 8);
    assert_true(options.has_start);
    assert_int_equal(options.event.start_ms, INT64_C(1720622216000));
    assert_int_equal(parse("demo --start 2024-07-10T14:36:56Z"), OPTIONS_GO_ON);
    assert_int_equal(options.event.start_ms, INT64_C(1720622216000));
}

static void top_has_every_and_count_alone(void **state) {
    (void)state;
    assert_int_equal(parse("top"), OPTIONS_GO_ON);
    assert_int_equal(options.every_s, 1);
    assert_int_equal(options.count, 0);
    assert_int_equal(parse("top --every 3600 --count 2"), OPTIONS_GO_ON);
    assert_int_equal(options.every_s, 3600);
    assert_int_equal(options.count, 2);
    assert_wrong("top --every 0", "allowed are 1 to 3600");
    assert_wrong("top --every 0.5", "no whole number");
    assert_wrong("top --rate 5", "top has no option --rate; generate and demo have it");
    assert_wrong("demo --every 5", "demo has no option --every; top has it");
    assert_wrong("run --count 5", "run has no option --count; generate, demo and top have it");
    assert_wrong("top --evry 5", "did you mean --every?");
}

static void start_is_unix_seconds_or_iso_8601(void **state) {
    (void)state;
    static const struct {
        const char *line;
        int64_t start_s;
    } cases[] = {
        {"demo --start 1720622216", 1720622216},
        {"demo --start 2024-07-10T14:36:56Z", 1720622216},
        {"demo --start 2024-07-10T14:36:56", 1720622216},
        {"demo --start 2024-07-10T14:36:56.789Z", 1720622216},
        {"demo --start 2024-07-10T16:36:56+02:00", 1720622216},
        {"demo --start 2024-07-10T04:06:56-1030", 1720622216},
        {"demo --start 2024-07-10T14:36", 1720622160},
        {"demo --start 2024-07-10", 1720569600},
        {"demo --start 2024-02-29", 1709164800},
        {"demo --start 0", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(cases[i].line), OPTIONS_GO_ON);
        assert_int_equal(options.event.start_ms, cases[i].start_s * 1000);
    }
    assert_wrong("demo --start 2023-02-29", "--start: \"2023-02-29\" is neither");
    assert_wrong("demo --start 2024-07-10T14:36:56X", "is neither");
    assert_wrong("demo --start 2024-07-10T25:00", "is neither");
    assert_wrong("demo --start 1969-12-31", "is neither");
    assert_wrong("demo --start=", "is neither");
    assert_wrong("demo --start -5", "is neither");
}

static void defaults_differ_where_commands_do(void **state) {
    (void)state;
    assert_int_equal(parse("demo"), OPTIONS_GO_ON);
    assert_int_equal(options.count, 100000);
    assert_int_equal(options.rate, 0);
    assert_int_equal(options.event.rate, 1000);
    assert_false(options.has_start);
    assert_int_equal(parse("generate"), OPTIONS_GO_ON);
    assert_int_equal(options.count, 0);
    assert_int_equal(options.rate, 100);
    assert_int_equal(parse("generate --rate 0"), OPTIONS_GO_ON);
    assert_int_equal(options.rate, 0);
    assert_int_equal(options.event.rate, 1000);
}

static void numbers_out_of_range_say_the_range(void **state) {
    (void)state;
    assert_wrong("demo --count 0", "at least 1");
    assert_wrong("demo --count -1", "--count: \"-1\" is no whole number");
    assert_wrong("demo --rate 10000001", "allowed are 0 to 10000000");
    assert_wrong("demo --users 0", "allowed are 1 to 1000000");
    assert_wrong("demo --users 1000001", "allowed are 1 to 1000000");
    assert_wrong("demo --skew 4.1", "allowed are 0 to 4");
    assert_wrong("demo --skew nan", "no number");
    assert_wrong("demo --invalid 101", "allowed are 0 to 100");
    assert_wrong("demo --invalid .", "no number");
    assert_wrong("demo --seed x", "no whole number");
    assert_wrong("demo --start yesterday", "neither seconds");
    assert_wrong("demo --start 99999999999", "allowed are");
    assert_wrong("demo --start 1960-07-10T14:36:56Z", "neither seconds");
}

static void help_and_version_need_nothing_else(void **state) {
    (void)state;
    assert_int_equal(parse("--help"), OPTIONS_HELP);
    assert_false(options.has_command);
    assert_int_equal(parse("-h"), OPTIONS_HELP);
    assert_int_equal(parse("demo --help"), OPTIONS_HELP);
    assert_true(options.has_command);
    assert_int_equal(options.command, OPTIONS_DEMO);
    assert_int_equal(parse("--version"), OPTIONS_VERSION);
    assert_int_equal(parse("run --version"), OPTIONS_VERSION);
    assert_wrong("rnu --help", "did you mean run?");
}

static void a_plan_without_a_start_is_of_now(void **state) {
    (void)state;
    const int64_t now_ms = INT64_C(1800000000000);
    parse("generate --rate 50 --count 100");
    struct generator_plan plan = generator_plan_of(&options, now_ms);
    assert_int_equal(plan.event.start_ms, now_ms);
    assert_false(plan.follows_clock);
    parse("generate --rate 0 --count 60000");
    plan = generator_plan_of(&options, now_ms);
    assert_int_equal(plan.event.start_ms, now_ms - 60000);
    assert_false(plan.follows_clock);
    parse("generate --rate 0");
    plan = generator_plan_of(&options, now_ms);
    assert_int_equal(plan.event.start_ms, now_ms);
    assert_true(plan.follows_clock);
    parse("generate --rate 0 --start 5");
    plan = generator_plan_of(&options, now_ms);
    assert_int_equal(plan.event.start_ms, 5000);
    assert_false(plan.follows_clock);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_command_is_known_wherever_it_stands),
        cmocka_unit_test(overrides_keep_their_order),
        cmocka_unit_test(wrong_usage_names_the_nearest),
        cmocka_unit_test(shaping_belongs_to_generate_and_demo),
        cmocka_unit_test(top_has_every_and_count_alone),
        cmocka_unit_test(start_is_unix_seconds_or_iso_8601),
        cmocka_unit_test(defaults_differ_where_commands_do),
        cmocka_unit_test(numbers_out_of_range_say_the_range),
        cmocka_unit_test(help_and_version_need_nothing_else),
        cmocka_unit_test(a_plan_without_a_start_is_of_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
