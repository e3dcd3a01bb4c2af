/* options: the command line.
 *
 * Threads:  the main thread.
 * Limits:   OPTIONS_OVERRIDES_MAX times -X.
 */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/event.h"

struct error;

enum { OPTIONS_OVERRIDES_MAX = 256 };

enum options_command {
    OPTIONS_RUN,
    OPTIONS_DEMO,
    OPTIONS_GENERATE,
    OPTIONS_SNAPSHOT,
    OPTIONS_CHECK,
    OPTIONS_TOP,
    OPTIONS_COMMAND_COUNT
};

enum options_verdict {
    OPTIONS_GO_ON,   /* run the command */
    OPTIONS_HELP,    /* options_help, exit 0 */
    OPTIONS_VERSION, /* version_print, exit 0 */
    OPTIONS_WRONG,   /* the error says why, exit 2 */
};

struct options {
    enum options_command command;
    bool has_command;        /* false only with OPTIONS_HELP, OPTIONS_VERSION and OPTIONS_WRONG */
    const char *config_path; /* -c, or NULL */
    const char *overrides[OPTIONS_OVERRIDES_MAX]; /* -X, as given */
    int override_count;
    bool is_verbose; /* -v: log.level=debug */
    bool is_quiet;   /* -q: log.level=warn */

    int64_t count;   /* events, or views of top; 0 is for ever (not for demo) */
    int64_t every_s; /* between two views of top */

    /* of generate and demo */
    int64_t rate;            /* a second; 0 is as fast as possible */
    bool has_start;          /* --start was given, and is in event.start_ms */
    struct event_plan event; /* users, skew, invalid share, seed */
};

/* Reads the command line into options, which keep argv's strings. */
enum options_verdict options_parse(int argc, char **argv, struct options *options,
                                   struct error *error);

/* Prints what `rollcall --help`, or with has_command `rollcall COMMAND --help`, shows. */
void options_help(const struct options *options);

#endif
