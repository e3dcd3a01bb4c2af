/* ingest: the thread of one assigned partition: reads, judges, gates, combines, and passes on.
 *
 * Place:    after kafka_source; before count (counts and marks) and publish (records).
 * Threads:  create, start, drain, stop and destroy from the pipeline's thread; everything between
 *           start and stop happens on the partition's own worker, which alone owns the cursor.
 * Owns:     its cursor, its BATCHES batches, the stream while it runs.
 * Limits:   BATCHES batches of BATCH_RECORDS_MAX records and options.batch_bytes bytes; an epoch's
 *           command to Redis of 1 MB, by pending_max; with all other partitions what in_hand allows
 *           in batches.
 * Waits:    inside kafka_source_ask_bounds and kafka_stream_seek alone, when it looks for its
 *           place.
 *           Before the first time it sleeps until its first checkpoint has told it the counted
 *           offset, a second at most; then it starts without, and only publishes until it has.
 *
 * An ingest lives as long as the pipeline and is started again when its partition comes back:
 * answers to an earlier assignment find their address, and are recognised by their generation.
 */
#ifndef FLOW_INGEST_H
#define FLOW_INGEST_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/alarm.h"
#include "base/budget.h"
#include "base/metric.h"
#include "base/setting.h"
#include "base/stop.h"
#include "base/worker.h"
#include "core/aggregate.h"
#include "core/cursor.h"
#include "edge/kafka_source.h"
#include "flow/batch.h"
#include "flow/lag.h"
#include "flow/rejections.h"

/* input.start, input.on_gap, redis.checkpoint_ms */
struct ingest_settings {
    struct cursor_policy policy;
    int checkpoint_ms;
};

extern const struct setting ingest_setting_table[];

struct ingest_metrics {
    struct metric_cell *consumed, *lost, *truncated;
    struct metric *rewinds;
};

extern const struct metric_row ingest_metric_table[];

/* What all partitions have in common. */
struct ingest_options {
    const struct ingest_settings *settings;
    const struct ingest_metrics *metrics;
    const struct lag_metrics *lag_metrics;
    const struct metric_cell *assigned; /* partitions that share the cores with this one */
    const struct aggregates *aggregates;
    struct kafka_source *source;
    const char *topic; /* for messages */
    struct login_rules rules;
    uint64_t seed; /* of the hashes */
    unsigned shard_count;
    struct inbox *const *shards; /* of count */
    struct inbox *publish;
    bool publishes_rejected;
    struct rejections *rejections; /* shared by all partitions */
    int64_t batch_bytes;
    struct budget *in_hand; /* shared by all partitions: the bytes of their batches' records */
    int64_t pending_max; /* delta_request_bytes that wait in COUNT, from which on nothing is read */
    const atomic_int_fast64_t *retention_ms; /* of the topic, as edge/kafka_topics has it */
    struct alarm *drained;                   /* rung when ingest_is_drained may have become true */
    struct stop *stop;                       /* gets the reason when a partition cannot continue */
};

/* What is known of a partition when it is assigned. */
struct ingest_start {
    struct kafka_stream *stream; /* the ingest's until ingest_stop */
    uint64_t generation;         /* higher than any before */
    struct kafka_committed committed;
};

struct ingest;

/* Keeps options. */
struct ingest *ingest_create(const struct ingest_options *options, int32_t partition);
/* All batches must have come home. */
void ingest_destroy(struct ingest **ingest);

/* Starts the thread, which finds its place by itself. Requires that the partition is assigned. */
void ingest_start(struct ingest *ingest, const struct ingest_start *start);

worker_step ingest_step;

/* False, with the reason added to why, until it is placed in its log (with input.start=latest what
 * comes before that is not read), and while it makes no progress although its log does. From any
 * thread. */
bool ingest_is_ready(struct ingest *ingest, struct text *why);

/* Asks the thread to read nothing more and to bring what it took to both sides. */
void ingest_drain(struct ingest *ingest);
/* True if nothing is left to do, or, with the store unreachable, nothing is left to publish. */
bool ingest_is_drained(const struct ingest *ingest, bool store_is_reachable);

/* Ends the thread; it passes nothing more on. Then the stream is the caller's again. */
struct kafka_stream *ingest_stop(struct ingest *ingest);
bool ingest_is_running(const struct ingest *ingest);

int32_t ingest_partition(const struct ingest *ingest);
/* How far it is. From any thread. */
struct lag_figures ingest_lag(const struct ingest *ingest);
const struct worker *ingest_worker(const struct ingest *ingest);

#endif
