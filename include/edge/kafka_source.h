/* kafka_source: the input topic as a member of a consumer group.
 *
 * Place:    the beginning of the flow.
 * Threads:  create, subscribe, poll and destroy from one thread, on which the callbacks run too;
 *           borrow, committed, bounds and commit from any thread.
 * Owns:     the consumer.
 * Limits:   options.queue_bytes fetched and not yet read, over all partitions.
 * Waits:    every call at most its timeout.
 */
#ifndef EDGE_KAFKA_SOURCE_H
#define EDGE_KAFKA_SOURCE_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "edge/kafka_conf.h"
#include "edge/kafka_offset.h"
#include "edge/kafka_stream.h"

struct kafka_source;

/* One partition of an assignment; `stream` is open, `offset` is for the callback to set. */
struct kafka_assigned {
    int32_t partition;
    struct kafka_stream *stream;
    int64_t offset;
};

struct kafka_source_options {
    const struct properties *kafka;
    const struct properties *consumer;
    const char *group;
    const char *topic;
    const char *static_id; /* group.instance.id in the classic protocol, or NULL */
    size_t queue_bytes;    /* default for what librdkafka holds, all partitions together */
    int partition_count;   /* over which it is divided */
};

struct kafka_rebalance {
    /* Partitions are ours now: the callback keeps the streams and sets the offsets to start at. */
    void (*give)(void *context, struct kafka_assigned *items, size_t count);
    /* Partitions are given away (finish what is in hand) or lost (another owner may be at work
     * already: drop it). On return nobody uses their streams any more. */
    void (*take)(void *context, const int32_t *partitions, size_t count, bool is_lost);
    void *context;
};

struct kafka_source *kafka_source_create(const struct kafka_source_options *options,
                                         struct error *error);
/* Leaves the group, for which `take` is called. */
void kafka_source_leave(struct kafka_source *source);
void kafka_source_destroy(struct kafka_source **source);

/* The consumer's handle, for the thread that polls. Never polled by the caller. */
rd_kafka_t *kafka_source_handle(struct kafka_source *source);

/* The same for any thread: it is not replaced until it is returned, which is to be soon. */
rd_kafka_t *kafka_source_borrow(struct kafka_source *source);
void kafka_source_return(struct kafka_source *source);

/* Joins the group; the callbacks run within kafka_source_poll and kafka_source_leave. */
bool kafka_source_subscribe(struct kafka_source *source, const struct kafka_rebalance *rebalance,
                            struct error *error);

/* Serves rebalances and errors, and joins anew where a stream's position is not in the log any more:
 * everything is taken and given once more. So it is where librdkafka gives up on the consumer, with a
 * new one. False and error if nothing but the user can mend it. */
bool kafka_source_poll(struct kafka_source *source, int timeout_ms, struct error *error);

/* To be called every few seconds by the thread that polls: a static member that was assigned something
 * lately mends a group that came to rest with partitions nobody owns (see kafka_group). As
 * kafka_source_poll. */
bool kafka_source_look_at_group(struct kafka_source *source, int timeout_ms, struct error *error);

/* True while a member of the group, with or without partitions. */
bool kafka_source_is_joined(const struct kafka_source *source);

/* False if the group has expelled the member that holds what is assigned: nothing of it may be
 * committed, even if the group would take it. Asked after the group's metadata was read. */
bool kafka_source_is_same_member(struct kafka_source *source);

/* The group's committed offsets, with open transactions waited for. */
bool kafka_source_committed(struct kafka_source *source, struct kafka_committed *items,
                            size_t count, int timeout_ms, struct error *error);

/* The log's bounds: records of [*begin, *end) can be read, open transactions excluded. */
bool kafka_source_bounds(struct kafka_source *source, int32_t partition, int64_t *begin,
                         int64_t *end, int timeout_ms, struct error *error);

/* Commits outside of a transaction. */
bool kafka_source_commit(struct kafka_source *source, const struct kafka_committed *items,
                         size_t count, struct error *error);

#endif
