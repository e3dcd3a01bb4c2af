/* What commands share, and `rollcall snapshot`. */
#include "app/commands.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "app/config.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"
#include "core/aggregate.h"
#include "core/parse.h"
#include "edge/kafka_names.h"
#include "edge/redis_link.h"
#include "edge/redis_snapshot.h"

static volatile sig_atomic_t is_stopped;

void commands_print_version(FILE *out) {
    fprintf(out,
            "rollcall %s\nlibrdkafka %s\njansson %s\n"
            "hiredis %s (at build time)\nliburcu %s (at build time)\n",
            ROLLCALL_VERSION, kafka_names_version(), parse_library_version(), VERSION_HIREDIS,
            VERSION_LIBURCU);
}

void commands_say(const char *format, ...) {
    char *words = NULL;
    struct text line = {0};
    va_list args;
    va_start(args, format);
    const bool is_there = vasprintf(&words, format, args) >= 0;
    va_end(args);
    if (is_there) text_add_shown(&line, words);
    if (!is_there || line.is_broken) memory_none();
    puts(text_string(&line));
    text_release(&line);
    free(words);
}

static void stop(int signal_number) {
    (void)signal_number;
    is_stopped = 1;
}

void commands_catch(const struct sigaction *action) {
    struct sigaction inherited;
    sigaction(SIGTERM, action, NULL);
    sigaction(SIGINT, action, NULL);
    sigaction(SIGHUP, NULL, &inherited);
    if (inherited.sa_handler != SIG_IGN) sigaction(SIGHUP, action, NULL); /* as nohup sets it */
}

void commands_catch_signals(bool ends_at_second) {
    const unsigned flags = SA_RESTART | (ends_at_second ? (unsigned)SA_RESETHAND : 0);
    const struct sigaction action = {.sa_handler = stop, .sa_flags = (int)flags};
    commands_catch(&action);
}

bool commands_are_stopped(void) {
    return is_stopped != 0;
}

uint64_t commands_seed(void) {
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) < 0) seed = (uint64_t)clock_us();
    return seed;
}

struct snapshot_options {
    char from[LOGIN_DAY_BYTES], to[LOGIN_DAY_BYTES]; /* "": no bound */
};

/* A day, or the fallback, which is no bound. */
static bool parse_day(const struct option_row *row, const char *text, void *member,
                      struct error *error) {
    struct days days = {"", ""};
    if (strcmp(text, row->fallback) != 0 && !days_set(&days, text, NULL, error))
        return error_set(error, "\"%.40s\" is not a day; write it as YYYY-MM-DD", text);
    memcpy(member, days.from, sizeof days.from);
    return true;
}

static bool print_piece(void *context, const char *bytes, size_t length) {
    return fwrite(bytes, 1, length, context) == length;
}

static bool write_snapshot(const struct config *config, const struct days *days,
                           struct error *error) {
    char piece[32 * 1024];
    char replica[REDIS_SNAPSHOT_NAME_BYTES] = "";
    struct text json = text_through(piece, sizeof piece, print_piece, stdout);
    struct aggregates aggregates;
    aggregates_init(&aggregates, &config->aggregate);
    const struct redis_snapshot_options options = {
        .prefix = config->redis.prefix,
        .aggregates = &aggregates,
        .days = days,
        .reply_bytes_max = ((size_t)config->instance.memory_mb << 20) / 16,
    };
    struct redis_link *link = redis_link_create(&config->redis, error);
    bool is_good =
        link != NULL && redis_snapshot_read(link, &options, replica, &json, error) == STORE_OK;
    text_add(&json, "\n");
    if (is_good && (!text_flush(&json) || fflush(stdout) != 0))
        is_good = error_set(error, "the standard output takes no more");
    if (replica[0] != '\0')
        log_warn("the counts are those of a replica, which may be behind",
                 log_text("redis", replica));
    redis_link_destroy(&link);
    return is_good;
}

static int print_snapshot(const struct config *config, const struct options *options) {
    const struct snapshot_options *own = (const void *)options->own;
    struct error error = {""};
    struct days days;
    if (!days_set(&days, own->from[0] == '\0' ? NULL : own->from,
                  own->to[0] == '\0' ? NULL : own->to, &error)) {
        log_error(error.text);
        return 2;
    }
    if (write_snapshot(config, &days, &error)) return 0;
    if (ferror(stdout)) return 1; /* main reports it */
    log_error("the counts cannot be read", log_text("reason", error.text));
    return 1;
}

static const struct option_row snapshot_options[] = {
    OPTION_OTHER(struct snapshot_options, from, "from", "DAY", 0, 0, parse_day, "oldest",
                 "the first UTC day whose minutes are shown, YYYY-MM-DD"),
    OPTION_OTHER(struct snapshot_options, to, "to", "DAY", 0, 0, parse_day, "newest",
                 "the last one"),
    OPTION_END};

const struct command command_snapshot = {
    .name = "snapshot",
    .summary = "print the counts in Redis as one JSON object",
    .help = "Prints the counts in Redis as one JSON object with the members \"Logins by Device\n"
            "Type\", \"Logins by Locale\", \"Logins Over Time\" (the newest day first) and\n"
            "\"Rejected\". All are taken at one moment, except that of many days the older ones\n"
            "are read later. With --from or --to only minutes of these days are shown, and all\n"
            "other totals.\n",
    .options = snapshot_options,
    .run = print_snapshot,
};
