/* generator: made-up events into a Kafka topic, at a rate.
 *
 * Threads:  generator_run belongs to its caller's thread, which also calls the hooks.
 * Waits:    for the rate, for room in librdkafka's queue, and in the end for acknowledgements.
 */
#ifndef TOOLS_GENERATOR_H
#define TOOLS_GENERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/event.h"

struct config;
struct error;
struct options;

enum {
    GENERATOR_TOPIC_WAIT_MS = 60000, /* for Kafka and the topic to be there */
    GENERATOR_FLUSH_MS = 30000,      /* for the last acknowledgements */
};

struct generator_plan {
    struct event_plan event;
    int64_t count;      /* events; 0 is for ever */
    int64_t rate;       /* a second; 0 is as fast as possible */
    bool follows_clock; /* event time never stays behind the clock */
};

/* Each may be NULL, and gets user. */
struct generator_hooks {
    /* Asked every 100 ms or 1000 events: false ends the run early. It may wait, as a throttle. */
    bool (*may_go_on)(void *user, int64_t sent_count);
    /* Told of each event, in order, once it is in librdkafka's queue. */
    void (*sent)(void *user, const struct event *event);
    void *user;
};

struct generator_result {
    int64_t sent_count;
    int64_t delivered_count; /* acknowledged by the broker */
};

/* Makes the plan of the command line's options; now_ms is the time since 1970. Without --start
 * events are of now; but a counted run as fast as possible, 1 ms apart, ends now. */
struct generator_plan generator_plan_of(const struct options *options, int64_t now_ms);

/* Writes the plan's events to config's input topic. False with an error when not every sent event
 * was delivered. Fills result in either case. Borrows all. */
bool generator_run(const struct generator_plan *plan, const struct config *config,
                   const struct generator_hooks *hooks, struct generator_result *result,
                   struct error *error);

#endif
