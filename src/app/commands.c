/* What commands share, and `rollcall snapshot`. */
#include "app/commands.h"

#include <signal.h>
#include <sys/random.h>

#include "app/config.h"
#include "base/clock.h"
#include "base/error.h"
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

static int print_snapshot(const struct config *config, const struct options *options) {
    (void)options;
    struct error error = {""};
    struct text json = {0};
    struct aggregates aggregates;
    const struct redis_settings *redis = &config->redis;
    aggregates_init(&aggregates, &config->aggregate);
    struct redis_link *link = redis_link_create(redis, &error);
    const bool is_read = link != NULL && redis_snapshot_read(link, redis->prefix, &aggregates,
                                                             &json, &error) == STORE_OK;
    if (is_read)
        puts(text_string(&json));
    else
        log_error("the counts cannot be read", log_text("reason", error.text));
    text_release(&json);
    redis_link_destroy(&link);
    return is_read ? 0 : 1;
}

const struct command command_snapshot = {
    .name = "snapshot",
    .summary = "print the counts in Redis as one JSON object",
    .help = "Prints the counts in Redis, all taken at one moment, as one JSON object with the\n"
            "members \"Logins by Device Type\", \"Logins by Locale\", \"Logins Over Time\" and\n"
            "\"Rejected\".\n",
    .run = print_snapshot,
};
