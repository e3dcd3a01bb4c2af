/* batch: what INGEST hands on: records to publish, counts to add, and the marks between epochs.
 *
 * Place:    from INGEST[p] to every AGGREGATE[s] and to PUBLISH, and home again.
 * Threads:  filled by INGEST; then read by all its holders at once; home again it is INGEST's.
 * Owns:     its records' messages until it is home, and its parts' deltas.
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

enum batch_fate {
    BATCH_PASSED,   /* already published: kept only until the batch is home */
    BATCH_ACCEPTED, /* goes to the output topic */
    BATCH_REJECTED, /* goes to the topic of rejected records, if there is one */
};

struct batch_record {
    void *message;  /* the edge's own */
    uint8_t fate;   /* enum batch_fate */
    uint8_t reason; /* enum login_reason */
    /* Text kept in batch.text: the key to give an accepted record that has none, or the detail of a
     * rejected one. Length 0: none. */
    uint32_t text_offset, text_length;
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

    /* written by INGEST before it hands the batch on */
    int32_t partition;
    uint64_t counted_generation;
    uint64_t published_generation;
    bool has_cut; /* the epoch ends behind this batch */
    struct cursor_cut cut;
    bool has_publish; /* the published watermark is to move to publish_end */
    int64_t publish_end;
    int64_t origin;   /* kept beside the committed offset */
    bool is_urgent;   /* publish at once: the partition is given away */
    int64_t first_ms; /* when its first record was read */
    size_t record_count;
    int64_t record_bytes; /* what its messages take, about */
    struct batch_record records[BATCH_RECORDS_MAX];
    char *text;
    uint32_t text_bytes, text_capacity;

    /* shared: each holder lowers it once; the last one sends the batch home (acquire/release) */
    atomic_uint holders;
    struct inbox_item publish_item;
    struct inbox_item home_item;
    struct batch_part parts[]; /* one a shard */
};

/* Keeps home and pending_entries. */
struct batch *batch_create(unsigned shard_count, struct inbox *home,
                           atomic_size_t *pending_entries);
void batch_destroy(struct batch **batch);

/* Empties it for the next use; its messages are the caller's business before. */
void batch_clear(struct batch *batch);

/* Adds what one record counts to the parts of the shards that own its keys: this is where records
 * become a few sums. `seed` as for delta_value_key. Borrows login. */
void batch_count(struct batch *batch, uint64_t seed, size_t dimension_count,
                 const struct login *login);

/* Keeps a text for the record; borrows bytes. */
void batch_keep_text(struct batch *batch, struct batch_record *record, const char *bytes,
                     size_t length);

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
