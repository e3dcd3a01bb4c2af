/* options: the command line.
 *
 * A command describes itself and its options in tables, which src/main.c stacks. The parser and
 * `--help` work by them.
 *
 * Threads:  the main thread.
 * Limits:   OPTIONS_OVERRIDES_MAX times -X; OPTIONS_NAMES_MAX names over all commands, and for the
 *           options of one OPTIONS_OWN_BYTES.
 */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct config;
struct document;
struct error;
struct options;

enum { OPTIONS_OVERRIDES_MAX = 256, OPTIONS_OWN_BYTES = 128, OPTIONS_NAMES_MAX = 32 };

/* One option of a command, or of all commands. */
struct option_row {
    char letter;      /* 0: it has a long name alone */
    const char *name; /* NULL: it has a letter alone; without either the table ends */
    const char
        *argument;    /* what help calls its value; NULL: it takes none, and its member is a bool */
    const char *help; /* a line feed begins another line */

    /* Of a command's own options: */
    const char *fallback; /* the default */
    int64_t min, max;
    /* Parses the text into the member. NULL: an int64_t from min to max. */
    bool (*parse)(const struct option_row *row, const char *text, void *member,
                  struct error *error);
    size_t offset; /* of the member in the command's own struct */
};

#define OPTION_OTHER(type_, member_, name_, argument_, min_, max_, parse_, fallback_, help_)       \
    {                                                                                              \
        .name = (name_), .argument = (argument_), .min = (min_), .max = (max_), .parse = (parse_), \
        .fallback = (fallback_), .help = (help_), .offset = offsetof(type_, member_)               \
    }
#define OPTION_NUMBER(type_, member_, name_, argument_, min_, max_, fallback_, help_)              \
    OPTION_OTHER(type_, member_, name_, argument_, min_, max_, NULL, fallback_, help_)
#define OPTION_FLAG(type_, member_, name_, help_)                                                  \
    { .name = (name_), .help = (help_), .offset = offsetof(type_, member_) }
#define OPTION_END                                                                                 \
    { .name = NULL }

struct command {
    const char *name;
    const char *summary; /* one line */
    const char *help;    /* whole lines */
    const struct option_row *options;
    /* The exit status: 0 fine, 1 it ran and had to stop (the last log line has the reason), 2 wrong
     * configuration, and nothing was touched. Borrows both. */
    int (*run)(const struct config *config, const struct options *options);
};

struct options {
    const struct command *command;                /* NULL: none was named */
    const struct document *document;              /* of OPTIONS_DOCUMENT */
    const char *config_path;                      /* -c, given once at most; or NULL */
    const char *overrides[OPTIONS_OVERRIDES_MAX]; /* -X, as given */
    int override_count;
    bool is_verbose;                                 /* -v: log.level=debug */
    bool is_quiet;                                   /* -q: log.level=warn */
    alignas(8) unsigned char own[OPTIONS_OWN_BYTES]; /* the command's own struct */
};

enum options_verdict {
    OPTIONS_GO_ON,    /* run the command */
    OPTIONS_HELP,     /* options_help, exit 0 */
    OPTIONS_DOCUMENT, /* document_write, exit 0 */
    OPTIONS_VERSION,  /* commands_print_version, exit 0 */
    OPTIONS_WRONG,    /* the error has the reason, exit 2 */
};

/* Reads the command line into options, which keep argv's strings. `commands` ends in NULL. */
enum options_verdict options_parse(int argc, char **argv, const struct command *const *commands,
                                   struct options *options, struct error *error);

/* The options of every command, in a table. */
extern const struct option_row options_common[];

/* Paragraphs of `rollcall --help`: what rollcall does; where settings come from, and the exit
 * status. Whole lines. */
extern const char options_purpose[];
extern const char options_sources[];
extern const char options_exit_status[];

/* `rollcall --help`, or with a command `rollcall COMMAND --help`. */
void options_help(const struct command *const *commands, const struct command *command, FILE *out);

#endif
