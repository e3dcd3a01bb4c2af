/* ingest: the thread of one assigned partition: reads, judges, gates, combines, and hands on.
 *
 * Place:    after kafka_source; before aggregate (counts and marks) and publish (records).
 * Threads:  create, start, drain, stop and destroy from the pipeline's thread; everything between
 *           start and stop happens on the partition's own thread, which alone owns the cursor.
 * Owns:     its cursor, its BATCHES batches, the stream while it runs.
 * Limits:   BATCHES batches of BATCH_RECORDS_MAX records and options.batch_bytes bytes; pending_max
 *           keys of one epoch, over all shards; with all other partitions what in_hand allows in
 *           batches.
 * Waits:    for records, for a batch to come home, for its turn, for notices; never longer than TICK_MS
 *           at once.
 *
 * An ingest lives as long as the pipeline and is started anew when its partition comes back: answers
 * to an earlier assignment find their address, and are told by their generation.
 */
#ifndef FLOW_INGEST_H
#define FLOW_INGEST_H

#include <stdbool.h>

#include "base/budget.h"
#include "base/metric.h"
#include "core/batch.h"
#include "core/cursor.h"
#include "edge/kafka_source.h"

/* What all partitions have in common. */
struct ingest_options {
    struct kafka_source *source;
    const char *topic; /* for messages */
    struct login_rules rules;
    struct cursor_policy policy;
    uint64_t seed; /* of the hashes */
    unsigned shard_count;
    struct inbox *const *shards; /* of aggregate */
    struct inbox *publish;
    bool publishes_rejected;
    int checkpoint_ms;
    int64_t batch_bytes;
    struct budget *in_hand; /* shared by all partitions: the bytes of their batches' records */
    int64_t pending_max;

    /* Called on an ingest thread when it cannot go on; keeps nothing. */
    void (*failed)(void *context, const char *why);
    void *context;

    struct metric *consumed, *counted_lag, *lag, *rewinds, *lost;
};

struct ingest;

struct ingest *ingest_create(const struct ingest_options *options, int32_t partition);
void ingest_destroy(struct ingest **ingest);

/* Starts the thread on the stream, which it keeps until ingest_stop, with what was found at
 * assignment; see cursor_found. `generation` is higher than any before. `has_log`: the bounds could
 * be read, and reading starts at the offset answered; else the thread finds its place itself. */
int64_t ingest_start(struct ingest *ingest, struct kafka_stream *stream, uint64_t generation,
                     int64_t counted, const struct kafka_committed *committed, bool has_log,
                     struct cursor_log log);

/* Asks the thread to read nothing more and to bring what it took to both sides. */
void ingest_drain(struct ingest *ingest);
/* True if nothing is left to do, or, with the store away, nothing is left to publish. */
bool ingest_is_drained(const struct ingest *ingest, bool store_is_away);

/* Ends the thread; it hands nothing more on. Then the stream is the caller's again. */
struct kafka_stream *ingest_stop(struct ingest *ingest);
bool ingest_is_running(const struct ingest *ingest);

/* Monotonic time of the thread's last step, in ms; for liveness. */
int64_t ingest_heartbeat_ms(const struct ingest *ingest);

#endif
