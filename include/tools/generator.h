/* generator: made-up events into a Kafka topic, at a rate; and the two commands that do that.
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
struct kafka_feed;

enum {
    GENERATOR_TOPIC_WAIT_MS = 60000, /* for Kafka and the topic to be there */
    GENERATOR_FLUSH_MS = 30000,      /* for the last acknowledgements */
};

enum { GENERATOR_NOW = -1 };

extern const struct command command_demo;
extern const struct command command_generate;

/* The options of both. */
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

struct generator {
    struct generator_plan plan; /* complete */
    const struct config *config;
    /* Called every 100 ms or 1000 events: false ends the run early. It may wait, as a throttle. */
    bool (*may_go_on)(void *user, int64_t sent_count);
    /* Called for each event, in order, once it is in librdkafka's queue; may be NULL. */
    void (*sent)(void *user, const struct event *event);
    void *user;

    /* Set by generator_run. */
    int64_t sent_count;
    int64_t delivered_count; /* acknowledged by the broker */
    /* For itself. */
    struct kafka_feed *feed;
    struct event_source *source;
    int64_t start_ms; /* by clock_ms */
    int64_t next_step_ms, next_progress_ms;
};

/* Writes the plan's events to config's input topic. False with an error when not every sent event
 * was delivered. Borrows all. */
bool generator_run(struct generator *generator, struct error *error);

#endif
