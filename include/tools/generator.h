/* generator: made-up events into a Kafka topic, at a rate.
 *
 * Threads:  generator_run belongs to its caller's thread, which also calls the hooks.
 * Waits:    for the rate, for room in librdkafka's queue, and in the end for acknowledgements.
 */
#ifndef TOOLS_GENERATOR_H
#define TOOLS_GENERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "app/options.h"
#include "tools/event.h"

struct config;
struct error;

enum {
    GENERATOR_TOPIC_WAIT_MS = 60000, /* for Kafka and the topic to be there */
    GENERATOR_FLUSH_MS = 30000,      /* for the last acknowledgements */
};

enum { GENERATOR_NOW = -1 };

/* The options of `generate` and `demo`. */
struct generator_options {
    int64_t count;           /* events; 0 is forever */
    int64_t rate;            /* a second; 0 is as fast as possible */
    struct event_plan event; /* without rate; start_ms may be GENERATOR_NOW */
};

/* Their table; the two have other bounds and defaults. */
#define GENERATOR_OPTIONS(count_min_, count_default_, count_help_, rate_default_)                  \
    {                                                                                              \
        OPTION_NUMBER(struct generator_options, count, "count", "N", (count_min_), 1000000000000,  \
                      (count_default_), (count_help_)),                                            \
            OPTION_NUMBER(struct generator_options, rate, "rate", "N", 0, 10000000,                \
                          (rate_default_), "events a second; 0: as fast as possible"),             \
            OPTION_NUMBER(struct generator_options, event.users, "users", "N", 1, EVENT_USERS_MAX, \
                          "10000", "how many users log in"),                                       \
            OPTION_OTHER(struct generator_options, event.skew, "skew", "S", 0, 4,                  \
                         generator_parse_share, "1.0",                                             \
                         "how uneven: user n logs in 1/n^S times as often; 0: all alike"),         \
            OPTION_OTHER(struct generator_options, event.invalid_percent, "invalid", "PERCENT", 0, \
                         100, generator_parse_share, "1",                                          \
                         "share of records that must be rejected, of every kind"),                 \
            OPTION_NUMBER(struct generator_options, event.seed, "seed", "N", 0, INT64_MAX, "1",    \
                          "the same seed makes the same events"),                                  \
            OPTION_OTHER(struct generator_options, event.start_ms, "start", "TIMESTAMP", 0, 0,     \
                         generator_parse_start, "now",                                             \
                         "event time of the first one; the next follow at the rate:\n"             \
                         "seconds since 1970, or ISO 8601 (2024-07-10T14:36:56Z; UTC unless\n"     \
                         "it has a zone)"),                                                        \
            OPTION_END                                                                             \
    }

bool generator_parse_share(const struct option_row *row, const char *text, void *member,
                           struct error *error);
bool generator_parse_start(const struct option_row *row, const char *text, void *member,
                           struct error *error);

struct generator_plan {
    struct event_plan event;
    int64_t count;      /* events; 0 is forever */
    int64_t rate;       /* a second; 0 is as fast as possible */
    bool follows_clock; /* event time never stays behind the clock */
};

/* Each may be NULL, and gets user. */
struct generator_hooks {
    /* Called every 100 ms or 1000 events: false ends the run early. It may wait, as a throttle. */
    bool (*may_go_on)(void *user, int64_t sent_count);
    /* Called for each event, in order, once it is in librdkafka's queue. */
    void (*sent)(void *user, const struct event *event);
    void *user;
};

struct generator_result {
    int64_t sent_count;
    int64_t delivered_count; /* acknowledged by the broker */
};

/* now_ms is the time since 1970. Without --start events are of now; but a counted run as fast as
 * possible, 1 ms apart, ends now. */
struct generator_plan generator_plan_of(const struct generator_options *options, int64_t now_ms);

/* Writes the plan's events to config's input topic. False with an error when not every sent event
 * was delivered. Fills result in either case. Borrows all. */
bool generator_run(const struct generator_plan *plan, const struct config *config,
                   const struct generator_hooks *hooks, struct generator_result *result,
                   struct error *error);

#endif
