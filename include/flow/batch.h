/* batch: what crosses threads: records to publish, counts to add, the marks between epochs, and the
 * answers to them.
 *
 * Place:    batches go from INGEST[p] to every COUNT[s] and to PUBLISH, and home again; epoch parts
 *           from COUNT to CHECKPOINT and home again; notices from PUBLISH and CHECKPOINT to INGEST.
 * Threads:  a batch is filled by INGEST, then read by all its holders at once; home again it is
 *           INGEST's.
 * Owns:     copies of its records, their headers, and its parts' deltas.
 * Limits:   each partition owns a fixed number of batches and has no more: a slow receiver keeps
 *           them away from home, and INGEST stops reading. There is no other bound, and none is
 *           needed.
 */
#ifndef FLOW_BATCH_H
#define FLOW_BATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inbox.h"
#include "base/slice.h"
#include "core/aggregate.h"
#include "core/cursor.h"
#include "core/delta.h"
#include "edge/kafka_record.h"
#include "edge/kafka_sink.h"

enum {
    BATCH_RECORDS_MAX = 1024,
    BATCH_SHARDS_MAX = 64,
    BATCH_COUNT_BYTES = 96 << 10,
    BATCH_PENDING_BYTES = 320 << 10, /* of counts of a partition that wait for Redis: with a batch
                                        more, and days to fold, they are a command below 1 MB */
};

/* Kinds of items between the threads. */
enum {
    ITEM_PART,   /* INGEST -> COUNT: struct batch_part */
    ITEM_BATCH,  /* INGEST -> PUBLISH: struct batch.publish_item */
    ITEM_HOME,   /* last holder -> INGEST: struct batch.home_item */
    ITEM_NOTICE, /* PUBLISH, CHECKPOINT -> INGEST: struct notice */
    ITEM_EPOCH,  /* COUNT -> CHECKPOINT, and back when it is done: struct epoch_part */
};

/* A record to publish, in the batch's memory: key, value and text follow it. */
struct batch_record {
    int64_t offset;
    int64_t timestamp_ms;                          /* -1: none */
    struct kafka_headers *headers;                 /* NULL: none */
    int32_t key_length, value_length, text_length; /* -1: null */
    uint8_t reason; /* enum login_reason; if accepted, it goes to the output topic */
    char bytes[];
};

struct batch_part {
    struct inbox_item item;
    struct batch *batch;
    struct delta delta;
};

struct batch {
    /* fixed after batch_create */
    struct inbox *home;
    atomic_size_t *pending_bytes; /* of the partition: delta_request_bytes of what was sent to COUNT
                                     and has not left it yet, all shards */
    int32_t partition;
    unsigned shard_count;
    size_t first_bytes; /* of `records`, as soon as there is one */

    /* written by INGEST before it passes the batch on */
    uint64_t counted_generation;
    uint64_t published_generation;
    bool has_cut; /* the epoch ends behind this batch */
    struct cursor_cut cut;
    bool has_publish; /* the published watermark is to move to publish_end, behind the records */
    int64_t publish_end;
    int64_t origin;         /* kept with the committed offset */
    struct lineage lineage; /* the same; of the log below publish_end */
    bool is_urgent;         /* publish at once: the partition is given away */
    size_t count_bytes;     /* delta_request_bytes of all parts */
    size_t record_count;
    size_t record_bytes, record_capacity;
    size_t header_bytes; /* about: what the records' headers take */
    char *records;       /* struct batch_record, one behind the other */

    bool is_in_hand; /* INGEST's alone: its bytes are taken from the budget of all partitions */

    /* shared: each holder lowers it once; the last one sends the batch home (acquire/release) */
    atomic_uint holders;
    struct inbox_item publish_item;
    struct inbox_item home_item;
    struct batch_part parts[]; /* one a shard */
};

/* Keeps home and pending_bytes. Has memory for records from the first one kept to batch_clear, at
 * first of `bytes`. Of memory for counts it keeps an eighth of that. */
struct batch *batch_create(int32_t partition, unsigned shard_count, size_t bytes,
                           struct inbox *home, atomic_size_t *pending_bytes);
void batch_destroy(struct batch **batch);

/* Empties it for the next use. */
void batch_clear(struct batch *batch);

/* What its records take, headers included. */
static inline size_t batch_bytes(const struct batch *batch) {
    return batch->record_bytes + batch->header_bytes;
}

/* Whether a command to Redis has enough of its counts. */
static inline bool batch_has_many_counts(const struct batch *batch) {
    return batch->count_bytes >= BATCH_COUNT_BYTES;
}

/* The same, and its counts: those of many distinct values take more than the records. */
size_t batch_held_bytes(const struct batch *batch);

/* Adds what one record counts to the parts of the shards that own its keys: this is where records
 * become a few sums. `seed` as for delta_value_key. Borrows all. */
void batch_count(struct batch *batch, uint64_t seed, const struct aggregates *aggregates,
                 const struct login *login);

/* Keeps a record that is to be published, with its headers, and the verdict on it. Borrows all. */
void batch_keep(struct batch *batch, const struct kafka_record *record, const struct login *login);

/* The record behind this one, or the first one if it is NULL; NULL behind the last. */
const struct batch_record *batch_next(const struct batch *batch, const struct batch_record *record);

/* The record as the sink takes it; what it points to lives as long as the batch is not cleared. */
struct sink_record batch_sink_record(const struct batch *batch, const struct batch_record *record);

/* Passes the batch to the shards and to PUBLISH, as far as it concerns them; each is a holder then.
 * False if it concerns none. */
bool batch_send(struct batch *batch, struct inbox *const *shards, struct inbox *publish);

/* A holder is done with the batch. */
void batch_release(struct batch *batch);

/* What happened to something passed on under `generation`. */
enum notice_kind {
    NOTICE_COUNTED,     /* offset: what Redis stores now */
    NOTICE_PUBLISHED,   /* offset: committed up to here */
    NOTICE_UNPUBLISHED, /* offset: what the group has committed */
};

struct notice {
    struct inbox_item item;
    enum notice_kind kind;
    uint64_t generation;
    int64_t offset;
    struct lineage lineage; /* of the log below offset */
    int64_t origin;         /* what is kept with the offset: where the group began */
};

/* Sends a copy of the notice, which the receiver frees. */
void notice_post(struct inbox *to, const struct notice *notice);

/* One shard's share of an epoch of one partition. */
struct epoch_part {
    struct inbox_item item;
    int32_t partition;
    unsigned shard;
    struct cursor_cut cut;
    struct inbox *ingest; /* is notified */
    struct inbox *home;   /* the shard that gets it back */
    bool is_stored;       /* set by CHECKPOINT: its counts are in Redis */
    struct delta delta;
};

#endif
