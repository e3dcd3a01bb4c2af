/* Options may stand before the command, and what their values may be is only known from it: so what
 * is given is collected first, and parsed once the command is known. */
#include "app/options.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "app/document.h"
#include "base/error.h"
#include "base/nearest.h"
#include "base/setting.h"
#include "base/text.h"

enum { FIRST_LONG = 256 }; /* above every letter; a command's own option is this plus its place */

const struct option_row options_common[] = {
    {'c', NULL, "FILE", "read settings from an INI file"},
    {'X', NULL, "SECTION.KEY=VALUE", "set one: -X kafka.bootstrap.servers=broker:9092; repeatable"},
    {'v', NULL, NULL, "log more: log.level=debug"},
    {'q', NULL, NULL, "log less: log.level=warn"},
    {'h', "help", NULL, "this text"},
    {'V', "version", NULL, "the versions of rollcall and its libraries"},
    OPTION_END};

struct line {
    const struct command *const *commands;
    struct option longs[OPTIONS_NAMES_MAX + 1]; /* for getopt_long: everybody's */
    int own_count;                              /* the first of longs are commands' own options */
    const char *texts[OPTIONS_NAMES_MAX];       /* values of own options, NULL: not given */
    char letters[2 * OPTIONS_NAMES_MAX];
};

static int find_long(const struct line *line, const char *name) {
    int i = 0;
    while (i < line->own_count && strcmp(line->longs[i].name, name) != 0)
        i++;
    return i;
}

static void prepare(struct line *line) {
    for (const struct command *const *command = line->commands; *command != NULL; command++) {
        const struct option_row *row = (*command)->options;
        for (; row != NULL && row->name != NULL; row++) {
            const int i = find_long(line, row->name);
            assert(i < OPTIONS_NAMES_MAX);
            if (i == line->own_count) line->own_count++;
            const int argument = row->argument == NULL ? no_argument : required_argument;
            line->longs[i] = (struct option){row->name, argument, NULL, FIRST_LONG + i};
        }
    }
    struct option *next = &line->longs[line->own_count];
    char *letter = line->letters;
    *letter++ = ':';
    for (const struct option_row *row = options_common; row->letter != 0; row++) {
        assert(letter < line->letters + sizeof line->letters - 3);
        assert(next < line->longs + OPTIONS_NAMES_MAX);
        *letter++ = row->letter;
        if (row->argument != NULL) *letter++ = ':';
        if (row->name == NULL) continue;
        *next++ = (struct option){row->name, no_argument, NULL, row->letter};
    }
}

/* getopt_long found an option that does not exist, lacks its value, or has one too many. */
static bool reject_option(const struct line *line, int found, char **argv, struct error *error) {
    const char *text = argv[optind - 1];
    if (found == ':') return error_set(error, "%s needs a value", text);
    if (optopt > 0 && optopt < FIRST_LONG && strncmp(text, "--", 2) != 0) {
        return error_set(error, "unknown option -%c", optopt);
    }
    char name[NEAREST_NAME_BYTES + 1];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    if (optopt != 0) return error_set(error, "%s takes no value", name);
    struct nearest nearest = nearest_to(name + 2);
    for (const struct option *option = line->longs; option->name != NULL; option++)
        nearest_offer(&nearest, option->name);
    return error_set(error, "unknown option %s%s", name, nearest_hint(&nearest, "--", ""));
}

static bool find_command(const struct line *line, const char *name, struct options *options,
                         struct error *error) {
    struct nearest nearest = nearest_to(name);
    nearest_offer(&nearest, "help");
    for (const struct command *const *command = line->commands; *command != NULL; command++) {
        options->command = *command;
        if (strcmp((*command)->name, name) == 0) return true;
        nearest_offer(&nearest, (*command)->name);
    }
    options->command = NULL;
    const char *hint = nearest_hint(&nearest, "", "");
    error_set(error, "unknown command %s%s", name,
              *hint != '\0' ? hint : "; `rollcall --help` lists them");
    return false;
}

static const struct option_row *find_row(const struct command *command, const char *name) {
    const struct option_row *row = command->options;
    while (row != NULL && row->name != NULL && strcmp(row->name, name) != 0)
        row++;
    return row == NULL || row->name == NULL ? NULL : row;
}

/* Names the commands that have the option. */
static bool reject_foreign(const struct line *line, const struct command *command, const char *name,
                           struct error *error) {
    char owners[128] = "";
    for (int i = 0; line->commands[i] != NULL; i++) {
        const size_t used = strlen(owners);
        if (find_row(line->commands[i], name) == NULL) continue;
        snprintf(owners + used, sizeof owners - used, "%s%s", used == 0 ? "" : ", ",
                 line->commands[i]->name);
    }
    return error_set(error, "%s has no option --%s; it belongs to: %s", command->name, name,
                     owners);
}

/* Fills the command's own struct. */
static bool parse_own(const struct line *line, struct options *options, struct error *error) {
    const struct option_row *row = options->command->options;
    for (int i = 0; i < line->own_count; i++) {
        const char *name = line->longs[i].name;
        if (line->texts[i] != NULL && find_row(options->command, name) == NULL)
            return reject_foreign(line, options->command, name, error);
    }
    for (; row != NULL && row->name != NULL; row++) {
        const char *text = line->texts[find_long(line, row->name)];
        void *member = options->own + row->offset;
        struct error why;
        assert(row->offset + sizeof(int64_t) <= sizeof options->own);
        if (row->argument == NULL) {
            *(bool *)member = text != NULL;
            continue;
        }
        if (text == NULL) text = row->fallback;
        const bool is_right = row->parse != NULL
                                  ? row->parse(row, text, member, &why)
                                  : setting_parse_number(text, row->min, row->max, member, &why);
        if (!is_right) return error_set(error, "--%s: %s", row->name, why.text);
    }
    return true;
}

static enum options_verdict verdict(bool is_right, enum options_verdict what) {
    return is_right ? what : OPTIONS_WRONG;
}

/* `rollcall help WORD`. */
static enum options_verdict parse_help(const struct line *line, char **words,
                                       struct options *options, struct error *error) {
    if (words[0] == NULL) return OPTIONS_HELP;
    if (words[1] != NULL) return verdict(error_set(error, "help takes one argument"), OPTIONS_HELP);
    options->document = document_find(words[0]);
    if (options->document != NULL) return OPTIONS_DOCUMENT;
    return verdict(find_command(line, words[0], options, error), OPTIONS_HELP);
}

static enum options_verdict parse_command(const struct line *line, char **words, bool is_help,
                                          struct options *options, struct error *error) {
    const char *name = words[0];
    if (name == NULL && is_help) return OPTIONS_HELP;
    if (name != NULL && strcmp(name, "help") == 0)
        return parse_help(line, words + 1, options, error);
    bool is_right = true;
    if (name == NULL)
        is_right = error_set(error, "no command; `rollcall --help` lists them");
    else if (!find_command(line, name, options, error))
        is_right = false;
    else if (is_help)
        return OPTIONS_HELP;
    else if (words[1] != NULL)
        is_right = error_set(error, "%s takes no argument: \"%s\"", name, words[1]);
    else if (options->is_verbose && options->is_quiet)
        is_right = error_set(error, "-v and -q exclude each other");
    return verdict(is_right && parse_own(line, options, error), OPTIONS_GO_ON);
}

enum options_verdict options_parse(int argc, char **argv, const struct command *const *commands,
                                   struct options *options, struct error *error) {
    struct line line = {.commands = commands};
    bool is_help = false, is_version = false;
    int found;
    prepare(&line);
    *options = (struct options){0};
    optind = 0; /* glibc: begin again */
    opterr = 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): main parses before there is a second thread */
    while ((found = getopt_long(argc, argv, line.letters, line.longs, NULL)) != -1) {
        if (found == '?' || found == ':') {
            return verdict(reject_option(&line, found, argv, error), OPTIONS_GO_ON);
        }
        if (found == 'X' && options->override_count == OPTIONS_OVERRIDES_MAX) {
            error_set(error, "-X is given more than %d times", OPTIONS_OVERRIDES_MAX);
            return OPTIONS_WRONG;
        }
        if (found == 'c' && options->config_path != NULL) {
            error_set(error,
                      "-c is given twice, and there can be one configuration file only; "
                      "leave out %s or %s",
                      options->config_path, optarg);
            return OPTIONS_WRONG;
        }
        if (found >= FIRST_LONG) line.texts[found - FIRST_LONG] = optarg != NULL ? optarg : "";
        if (found == 'X') options->overrides[options->override_count++] = optarg;
        if (found == 'c') options->config_path = optarg;
        is_help = is_help || found == 'h';
        is_version = is_version || found == 'V';
        options->is_verbose = options->is_verbose || found == 'v';
        options->is_quiet = options->is_quiet || found == 'q';
    }
    if (is_version) return OPTIONS_VERSION;
    return parse_command(&line, argv + optind, is_help, options, error);
}

/* --- help ------------------------------------------------------------------------------------- */

const char options_purpose[] =
    "rollcall counts logins: it reads them from Kafka, publishes the accepted ones to\n"
    "another topic, and keeps the counts in Redis, each record exactly once.\n";

const char options_sources[] =
    "A setting comes from -X, else from the environment (ROLLCALL_KAFKA_BOOTSTRAP_SERVERS),\n"
    "else from the file, else it has its default. A secret can be in a file of its own\n"
    "(redis.url_file). `rollcall help settings` lists all settings.\n";

const char options_exit_status[] =
    "Exit status: 0 fine; 1 it had to stop (the last log line has the reason); 2 wrong usage\n"
    "or configuration, and nothing was touched.\n";

static void print_options(const struct option_row *row, FILE *out) {
    enum { HELP_COLUMN = 24 };
    for (; row->letter != 0 || row->name != NULL; row++) {
        struct text left = {0};
        text_format(&left, row->letter != 0 ? "  -%c" : "    ", row->letter);
        if (row->name != NULL)
            text_format(&left, "%s--%s", row->letter != 0 ? ", " : "  ", row->name);
        if (row->argument != NULL) text_format(&left, " %s", row->argument);
        fprintf(out, "%-*s", HELP_COLUMN, text_string(&left));
        text_release(&left);
        for (const char *p = row->help; *p != '\0'; p++) {
            fputc(*p, out);
            if (*p == '\n') fprintf(out, "%*s", HELP_COLUMN, "");
        }
        if (row->fallback != NULL) fprintf(out, " (default: %s)", row->fallback);
        fputc('\n', out);
    }
}

void options_help(const struct command *const *commands, const struct command *command, FILE *out) {
    if (command == NULL) {
        fprintf(out, "%s\nusage: rollcall COMMAND [OPTION]...\n\n", options_purpose);
        for (; *commands != NULL; commands++)
            fprintf(out, "  %-10s%s\n", (*commands)->name, (*commands)->summary);
        fputs("\n`rollcall COMMAND --help` explains one.\n\n", out);
    } else {
        fprintf(out, "usage: rollcall %s [OPTION]...\n\n%s\n", command->name, command->help);
        if (command->options != NULL) print_options(command->options, out);
    }
    print_options(options_common, out);
    fprintf(out, "\n%s\n%s", options_sources, options_exit_status);
}
