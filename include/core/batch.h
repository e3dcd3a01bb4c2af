/* batch: what INGEST hands on: records to publish, counts to add, and the marks between epochs.
 *
 * Place:    from INGEST[p] to every AGGREGATE[s] and to PUBLISH, and home again.
 * Threads:  filled by INGEST; then read by all its holders at once; home again it is INGEST's.
 * Owns:     copies of its records, and its parts' deltas.
 * Limits:   each partition owns a fixed number of batches and has no more: whoever is slow keeps
 *           them away from home, and INGEST stops reading. There is no other bound, and none is
 *           needed.
 */
#ifndef CORE_BATCH_H
#define CORE_BATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inbox.h"
#include "core/cursor.h"
#include "core/delta.h"

enum { BATCH_RECORDS_MAX = 1024, BATCH_SHARDS_MAX = 64 };

/* Kinds of items between the threads. */
enum {
    ITEM_PART,   /* INGEST -> AGGREGATE: struct batch_part */
    ITEM_BATCH,  /* INGEST -> PUBLISH: struct batch.publish_item */
    ITEM_HOME,   /* last holder -> INGEST: struct batch.home_item */
    ITEM_NOTICE, /* PUBLISH, CHECKPOINT -> INGEST: struct notice */
    ITEM_EPOCH,  /* AGGREGATE -> CHECKPOINT, and back when it is done: struct epoch_part */
};

/* Bytes that somebody else owns; NULL is null, as in Kafka. */
struct batch_bytes {
    const void *bytes;
    size_t length;
};

/* A record to publish, in the batch's memory: key, value and text follow it. */
struct batch_record {
    int64_t offset;
    int64_t timestamp_ms;                          /* -1: none */
    void *headers;                                 /* the edge's own; NULL: none */
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
    atomic_size_t *pending_entries; /* of the partition: keys that wait in AGGREGATE, all shards */
    unsigned shard_count;
    size_t first_bytes; /* of `records`, as soon as there is one */

    /* written by INGEST before it hands the batch on */
    int32_t partition;
    uint64_t counted_generation;
    uint64_t published_generation;
    bool has_cut; /* the epoch ends behind this batch */
    struct cursor_cut cut;
    bool has_publish; /* the published watermark is to move to publish_end, behind the records */
    int64_t publish_end;
    int64_t origin; /* kept beside the committed offset */
    bool is_urgent; /* publish at once: the partition is given away */
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

/* Keeps home and pending_entries. Has memory for records from the first one kept to batch_clear, at
 * first of `bytes`. */
struct batch *batch_create(unsigned shard_count, size_t bytes, struct inbox *home,
                           atomic_size_t *pending_entries);
void batch_destroy(struct batch **batch);

/* Empties it for the next use; headers are the caller's business before. */
void batch_clear(struct batch *batch);

/* Adds what one record counts to the parts of the shards that own its keys: this is where records
 * become a few sums. `seed` as for delta_value_key. Borrows login. */
void batch_count(struct batch *batch, uint64_t seed, size_t dimension_count,
                 const struct login *login);

/* Keeps a record to publish; the answer, where the rest is for the caller to set, is good until the
 * next one is kept. `text`: the key to give an accepted record that has none, or the detail of a
 * rejected one. */
struct batch_record *batch_keep(struct batch *batch, struct batch_bytes key,
                                struct batch_bytes value, struct batch_bytes text);

/* The record behind this one, or the first one if it is NULL; NULL behind the last. */
struct batch_record *batch_next(const struct batch *batch, const struct batch_record *record);

struct batch_bytes batch_key(const struct batch_record *record);
struct batch_bytes batch_value(const struct batch_record *record);
struct batch_bytes batch_text(const struct batch_record *record);

/* A holder is done with the batch. */
void batch_release(struct batch *batch);

/* What happened to something handed over under `generation`. */
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
    int64_t origin; /* NOTICE_UNPUBLISHED: what is kept beside the committed offset */
};

/* Sends a notice that the receiver frees. */
void notice_post(struct inbox *to, enum notice_kind kind, uint64_t generation, int64_t offset,
                 int64_t origin);

/* One shard's share of an epoch of one partition. */
struct epoch_part {
    struct inbox_item item;
    int32_t partition;
    unsigned shard;
    struct cursor_cut cut;
    struct inbox *ingest; /* who is told */
    struct inbox *home;   /* the shard that gets it back */
    bool is_stored;       /* set by CHECKPOINT: its counts are in Redis */
    struct delta delta;
};

#endif
