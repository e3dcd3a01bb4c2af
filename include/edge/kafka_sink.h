/* kafka_sink: the output topics, written in transactions that also move the published watermark.
 *
 * Place:    under PUBLISH.
 * Threads:  one owner; librdkafka's delivery reports come on the owner's thread too.
 * Owns:     the producer. Messages that are sent are copied.
 * Limits:   options.queue_bytes wait to be sent; then kafka_sink_send answers SINK_FULL.
 * Waits:    every call at most its timeout; sending never.
 * Source:   KIP-98 (transactions), KIP-447 (offsets fenced by the group's generation); the order of
 *           calls follows librdkafka's documentation of the transactional producer.
 *
 * I1  After SINK_ABORT, SINK_REPLACE or a lost outcome, nothing is known about the open transaction
 *     until kafka_sink_abort or kafka_sink_replace answered SINK_OK; then the committed offsets
 * tell.
 */
#ifndef EDGE_KAFKA_SINK_H
#define EDGE_KAFKA_SINK_H

#include <stdbool.h>

#include "core/batch.h"
#include "edge/kafka_source.h"

struct kafka_sink;

enum sink_verdict {
    SINK_OK,
    SINK_FULL,    /* make room, then send the same again */
    SINK_RECOUNT, /* call kafka_sink_count_partitions, then send the same again */
    SINK_RETRY,   /* Kafka is away: the same call again, later */
    SINK_ABORT,   /* call kafka_sink_abort */
    SINK_REPLACE, /* call kafka_sink_replace */
    SINK_STOP,    /* it will not work until somebody mends it; the error says what */
};

struct kafka_sink_options {
    const struct properties *kafka;
    const struct properties *producer;
    const char *transactional_id; /* NULL: at least once, without transactions */
    const char *input_topic;
    const char *topic;
    const char *rejected_topic; /* "" is none */
    size_t queue_bytes;
};

struct kafka_sink *kafka_sink_create(const struct kafka_sink_options *options, struct error *error);
void kafka_sink_destroy(struct kafka_sink **sink);

/* Compares partition counts: records go to the partition of their own number where input and output
 * have as many, else by key. Where they differ it looks again a moment later, since topics that are
 * about to grow do so one after the other. To be called before the first record, and whenever a topic
 * may have grown. SINK_OK or SINK_RETRY. */
enum sink_verdict kafka_sink_count_partitions(struct kafka_sink *sink, struct kafka_source *source,
                                              int timeout_ms, struct error *error);

/* Ends what an earlier producer of this transactional id left open, and shuts it out. */
enum sink_verdict kafka_sink_open(struct kafka_sink *sink, int timeout_ms, struct error *error);

enum sink_verdict kafka_sink_begin(struct kafka_sink *sink, struct error *error);

/* Sends one record of the batch; borrows both. */
enum sink_verdict kafka_sink_send(struct kafka_sink *sink, const struct batch *batch,
                                  const struct batch_record *record, struct error *error);

/* Waits up to timeout_ms for what is under way, and if that is nothing sends what waits for others.
 * Serves delivery reports. */
void kafka_sink_make_room(struct kafka_sink *sink, int timeout_ms);

/* Serves delivery reports, waiting for at most timeout_ms. */
void kafka_sink_serve(struct kafka_sink *sink, int timeout_ms);

/* Commits what was sent together with the offsets. `may_commit` is asked after the group's metadata
 * was fetched and before it is used (see base/fence.h); false gives SINK_ABORT. */
enum sink_verdict kafka_sink_commit(struct kafka_sink *sink, struct kafka_source *source,
                                    const struct kafka_committed *offsets, size_t count,
                                    bool (*may_commit)(void *), void *context, int timeout_ms,
                                    struct error *error);

enum sink_verdict kafka_sink_abort(struct kafka_sink *sink, int timeout_ms, struct error *error);

/* A new producer under the same id, in place of one that failed for good. Open it next. */
enum sink_verdict kafka_sink_replace(struct kafka_sink *sink, struct error *error);

#endif
