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
struct generator_plan {
    int64_t count;           /* events; 0 is forever */
    int64_t rate;            /* a second; 0 is as fast as possible */
    struct event_plan event; /* start_ms may be GENERATOR_NOW */
    bool follows_clock;      /* event time never stays behind the clock */
};

/* The table of `demo`: `generate` has other bounds and defaults. */
extern const struct option_row generator_demo_options[];

/* Fills in what was not given; now_ms is the time since 1970. Without --start events are of now;
 * but a counted run as fast as possible, 1 ms apart, ends now. */
void generator_complete(struct generator_plan *plan, int64_t now_ms);

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

/* Writes the plan's events to config's input topic. False with an error when not every sent event
 * was delivered. Fills result in either case. Borrows all. */
bool generator_run(const struct generator_plan *plan, const struct config *config,
                   const struct generator_hooks *hooks, struct generator_result *result,
                   struct error *error);

#endif
