#include "app/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/nearest.h"

enum { FIRST_LONG = 256 }; /* above every short option's letter */

enum { OPTION_VERSION = FIRST_LONG, OPTION_SHAPING };

/* --count and its like: numbers of generate, demo and top; val is OPTION_SHAPING plus the place
 * here. */
enum shaping { COUNT, RATE, USERS, SKEW, INVALID, SEED, START, EVERY, SHAPING_COUNT };

static const struct option long_options[] = {
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"count", required_argument, NULL, OPTION_SHAPING + COUNT},
    {"rate", required_argument, NULL, OPTION_SHAPING + RATE},
    {"users", required_argument, NULL, OPTION_SHAPING + USERS},
    {"skew", required_argument, NULL, OPTION_SHAPING + SKEW},
    {"invalid", required_argument, NULL, OPTION_SHAPING + INVALID},
    {"seed", required_argument, NULL, OPTION_SHAPING + SEED},
    {"start", required_argument, NULL, OPTION_SHAPING + START},
    {"every", required_argument, NULL, OPTION_SHAPING + EVERY},
    {NULL, 0, NULL, 0},
};

static const char *const command_names[OPTIONS_COMMAND_COUNT] = {
    [OPTIONS_RUN] = "run",           [OPTIONS_DEMO] = "demo",   [OPTIONS_GENERATE] = "generate",
    [OPTIONS_SNAPSHOT] = "snapshot", [OPTIONS_CHECK] = "check", [OPTIONS_TOP] = "top",
};

/* Who has an option, as a word for the error. */
static const char *owners_of(enum shaping which) {
    if (which == EVERY) return "top has";
    return which == COUNT ? "generate, demo and top have" : "generate and demo have";
}

static bool has_option(enum options_command command, enum shaping which) {
    if (command == OPTIONS_TOP) return which == EVERY || which == COUNT;
    return which != EVERY && (command == OPTIONS_GENERATE || command == OPTIONS_DEMO);
}

static bool parse_integer(const char *name, const char *text, int64_t min, int64_t max,
                          int64_t *number, struct error *error) {
    char *end = NULL;
    errno = 0;
    *number = strtoll(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0') {
        return error_set(error, "--%s: \"%s\" is no whole number", name, text);
    }
    if (errno == 0 && *number >= min && *number <= max) return true;
    return error_set(error, "--%s: %s is out of range; allowed are %lld to %lld", name, text,
                     (long long)min, (long long)max);
}

static bool parse_real(const char *name, const char *text, double max, double *number,
                       struct error *error) {
    char *end = NULL;
    *number = strtod(text, &end);
    const bool is_number = text[0] != '\0' && strspn(text, "0123456789.") == strlen(text);
    if (!is_number || *end != '\0') {
        return error_set(error, "--%s: \"%s\" is no number", name, text);
    }
    return *number <= max ||
           error_set(error, "--%s: %s is out of range; allowed are 0 to %g", name, text, max);
}

/* A time by ISO 8601 in seconds since 1970, or -1. Parts at its end may be missing; without a zone
 * it is UTC. */
static int64_t parse_iso(const char *text) {
    static const char *const forms[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"};
    char copy[40];
    if ((size_t)snprintf(copy, sizeof copy, "%s", text) >= sizeof copy) return -1;
    char *const separator = strchr(copy, 'T');
    if (separator != NULL) *separator = ' ';
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm local = {0}, zone = {0};
        const char *end = strptime(copy, forms[i], &local);
        if (end != NULL && *end == '.') end += 1 + strspn(end + 1, "0123456789");
        if (end != NULL && *end != '\0') end = strptime(end, "%z", &zone);
        if (end == NULL || *end != '\0') continue;
        const int day = local.tm_mday;
        const time_t seconds = timegm(&local);
        return local.tm_mday == day ? seconds - zone.tm_gmtoff : -1; /* else: 31 February */
    }
    return -1;
}

static bool parse_start(const char *text, int64_t *start_ms, struct error *error) {
    const int64_t latest_s = INT64_C(4102444799); /* 2099-12-31T23:59:59Z */
    int64_t start_s = -1;
    if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text)) {
        if (!parse_integer("start", text, 0, latest_s, &start_s, error)) return false;
    } else {
        start_s = parse_iso(text);
    }
    if (start_s < 0 || start_s > latest_s) {
        return error_set(error,
                         "--start: \"%s\" is neither seconds since 1970 nor a time such as "
                         "2024-07-10T14:36:56Z, up to the year 2099",
                         text);
    }
    *start_ms = start_s * 1000;
    return true;
}

static bool parse_shaping(enum shaping which, const char *text, struct options *options,
                          struct error *error) {
    struct event_plan *event = &options->event;
    int64_t number = 0;
    switch (which) {
    case COUNT:
        return parse_integer("count", text, 0, INT64_C(1000000000000), &options->count, error);
    case RATE:
        return parse_integer("rate", text, 0, 10000000, &options->rate, error);
    case USERS:
        return parse_integer("users", text, 1, EVENT_USERS_MAX, &event->users, error);
    case SKEW:
        return parse_real("skew", text, 4, &event->skew, error);
    case INVALID:
        return parse_real("invalid", text, 100, &event->invalid_percent, error);
    case SEED:
        if (!parse_integer("seed", text, 0, INT64_MAX, &number, error)) return false;
        event->seed = (uint64_t)number;
        return true;
    case START:
        options->has_start = parse_start(text, &event->start_ms, error);
        return options->has_start;
    case EVERY:
        return parse_integer("every", text, 1, 3600, &options->every_s, error);
    case SHAPING_COUNT:
        break;
    }
    abort(); /* never in long_options */
}

/* getopt_long found an option that is none, or one that lacks its value, or has one too many. */
static bool refuse_option(int found, char **argv, struct error *error) {
    const char *text = argv[optind - 1];
    if (found == ':') return error_set(error, "%s needs a value", text);
    if (optopt > 0 && optopt < FIRST_LONG && strncmp(text, "--", 2) != 0) {
        return error_set(error, "there is no option -%c", optopt);
    }
    char name[NEAREST_NAME_BYTES + 1];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    if (optopt != 0) return error_set(error, "%s takes no value", name);
    struct nearest nearest = nearest_to(name + 2);
    for (const struct option *option = long_options; option->name != NULL; option++) {
        nearest_offer(&nearest, option->name);
    }
    if (nearest.name == NULL) return error_set(error, "there is no option %s", name);
    return error_set(error, "there is no option %s; did you mean --%s?", name, nearest.name);
}

static bool find_command(const char *name, enum options_command *command, struct error *error) {
    struct nearest nearest = nearest_to(name);
    for (int i = 0; i < OPTIONS_COMMAND_COUNT; i++) {
        *command = (enum options_command)i;
        if (strcmp(command_names[i], name) == 0) return true;
        nearest_offer(&nearest, command_names[i]);
    }
    if (nearest.name == NULL) {
        return error_set(error, "there is no command %s; `rollcall --help` lists them", name);
    }
    return error_set(error, "there is no command %s; did you mean %s?", name, nearest.name);
}

/* Sees to the command word, and to what it means for the other options. */
static bool finish(int argc, char **argv, const bool is_given[SHAPING_COUNT],
                   struct options *options, struct error *error) {
    if (optind == argc) {
        return error_set(error, "which command? `rollcall --help` lists them");
    }
    if (!find_command(argv[optind], &options->command, error)) return false;
    options->has_command = true;
    const char *command = argv[optind];
    if (optind + 1 < argc) {
        return error_set(error, "%s takes no argument: \"%s\"", command, argv[optind + 1]);
    }
    for (const struct option *option = long_options; option->name != NULL; option++) {
        const enum shaping which = (enum shaping)(option->val - OPTION_SHAPING);
        if (option->val < OPTION_SHAPING || !is_given[which]) continue;
        if (has_option(options->command, which)) continue;
        return error_set(error, "%s has no option --%s; %s it", command, option->name,
                         owners_of(which));
    }
    if (options->is_verbose && options->is_quiet) return error_set(error, "either -v or -q");
    if (options->command == OPTIONS_DEMO) {
        if (!is_given[COUNT]) options->count = 100000;
        if (options->count == 0)
            return error_set(error, "--count: the demo needs at least 1 event");
    }
    if (options->command == OPTIONS_GENERATE && options->rate < 0) options->rate = 100;
    if (options->rate < 0) options->rate = 0;
    options->event.rate = options->rate > 0 ? options->rate : 1000;
    return true;
}

enum options_verdict options_parse(int argc, char **argv, struct options *options,
                                   struct error *error) {
    *options =
        (struct options){.rate = -1,
                         .every_s = 1,
                         .event = {.seed = 1, .users = 10000, .skew = 1.0, .invalid_percent = 1.0}};
    bool is_help = false;
    bool is_version = false;
    bool is_given[SHAPING_COUNT] = {false};
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    int found;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): main parses before there is a second thread */
    while ((found = getopt_long(argc, argv, ":c:X:vqh", long_options, NULL)) != -1) {
        if (found == '?' || found == ':') {
            refuse_option(found, argv, error);
            return OPTIONS_WRONG;
        }
        if (found >= OPTION_SHAPING) {
            const enum shaping which = (enum shaping)(found - OPTION_SHAPING);
            if (!parse_shaping(which, optarg, options, error)) return OPTIONS_WRONG;
            is_given[which] = true;
        } else if (found == 'X') {
            if (options->override_count == OPTIONS_OVERRIDES_MAX) {
                error_set(error, "-X is there more than %d times", OPTIONS_OVERRIDES_MAX);
                return OPTIONS_WRONG;
            }
            options->overrides[options->override_count++] = optarg;
        } else if (found == 'c') {
            options->config_path = optarg;
        }
        is_help = is_help || found == 'h';
        is_version = is_version || found == OPTION_VERSION;
        options->is_verbose = options->is_verbose || found == 'v';
        options->is_quiet = options->is_quiet || found == 'q';
    }
    if (is_version) return OPTIONS_VERSION;
    const bool is_right = finish(argc, argv, is_given, options, error);
    if (is_help && (options->has_command || optind == argc)) return OPTIONS_HELP;
    return is_right ? OPTIONS_GO_ON : OPTIONS_WRONG;
}
