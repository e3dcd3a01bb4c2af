/* watch: the thread that asks Kafka and Redis, every few seconds, for what is only looked at.
 *
 * Place:    next to the flow, which does not need it: whether both answer, the input topic's
 *           retention, and a few of the counts.
 * Threads:  create, start, join, stop and destroy from the pipeline's thread; watch_step on its
 *           worker alone; the rest from any.
 * Owns:     a connection to Redis.
 * Waits:    inside edge alone, at most WATCH_CALL_MS an answer. What others read of it is behind a
 *           lock that is never held while it waits.
 */
#ifndef FLOW_WATCH_H
#define FLOW_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/metric.h"
#include "base/worker.h"
#include "edge/kafka_source.h"
#include "edge/redis_glance.h"
#include "edge/redis_link.h"

enum {
    WATCH_EVERY_MS = 2000,
    WATCH_CALL_MS = 2000,
    WATCH_CLOCK_MS = 5000,      /* a clock that differs less from that of Redis is right */
    WATCH_MEMORY_MS = 10000,    /* between two looks at the memory of Redis */
    WATCH_RETENTION_MS = 60000, /* between two looks at the topic's configuration */
};

struct watch;

struct watch_metrics {
    struct metric *up, *count_number, *count_values;
    struct metric_cell *memory, *memory_max;
};

extern const struct metric_row watch_metric_table[];

struct watch_options {
    const struct redis_settings *redis;
    const char *topic;
    const struct aggregates *aggregates;
    const struct watch_metrics *metrics;
    atomic_int_fast64_t *retention_ms;           /* written, as edge/kafka_topics has it */
    void (*tick)(void *context, int64_t now_ms); /* called about every second; NULL: nothing */
    void *context;
};

/* Whether one of the two answers. */
struct watch_target {
    bool is_up, is_asked;
    int64_t since_ms;    /* wall time */
    char version[64];    /* "": not known */
    struct error reason; /* why it is not up */
};

/* Keeps what options point to. NULL with an error if the Redis URL is not one. */
struct watch *watch_create(const struct watch_options *options, struct error *error);
bool watch_start(struct watch *watch);
void watch_stop(struct watch *watch);
/* Takes *watch, which may be NULL, and nulls it; stops it first. */
void watch_destroy(struct watch **watch);

/* There is a Kafka client to ask with; before that Kafka is not up. Keeps it until stop. */
void watch_join(struct watch *watch, struct kafka_source *source);

worker_step watch_step;
const struct worker *watch_worker(const struct watch *watch);

/* The counts as they were read last, in a glance that was created for the same aggregates. Returns
 * when, as wall time; 0: not yet. */
int64_t watch_glance(struct watch *watch, struct redis_glance *glance);

void watch_kafka(struct watch *watch, struct watch_target *kafka);
void watch_redis(struct watch *watch, struct watch_target *redis);

#endif
