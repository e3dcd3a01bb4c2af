/* delta: counts that are on their way: "+n for this key", each key once.
 *
 * Place:    made by INGEST for one batch, merged by COUNT for one epoch of a partition, stored by
 *           CHECKPOINT.
 * Threads:  one owner at a time; handed over whole.
 * Owns:     copies of its keys.
 * Limits:   none of its own; DELTA_KEY_BYTES_MAX a key, a HyperLogLog each key of a distinct count.
 *           The owner looks at entry_count.
 */
#ifndef CORE_DELTA_H
#define CORE_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/aggregate.h"
#include "core/hyperloglog.h"

enum {
    DELTA_KEY_BYTES_MAX = DECLARED_KEY_BYTES,
    DELTA_REQUEST_BYTES = 64,
    DELTA_DISTINCT_BYTES = 256,
};

/* A key: which aggregate (an index into the table), and the bytes of a value, of an int64_t, or of
 * core/declared's. It fits into two registers: it goes along with every record, and through memory
 * it cost more than all the rest. */
struct delta_key {
    const char *bytes;
    uint32_t hash; /* of field and bytes */
    uint16_t length;
    uint8_t field;
};

struct delta_entry {
    int64_t count; /* is_distinct: an index into distinct[] */
    uint32_t hash;
    uint32_t key_offset;
    uint16_t length;
    uint8_t field;
    bool is_distinct;
};

struct delta {
    struct delta_entry *entries;
    uint32_t *slots; /* open addressing; 0 is free, else 1 + index into entries */
    char *keys;
    uint32_t slot_count, entry_count, entry_capacity;
    uint32_t key_bytes, key_capacity;
    struct hyperloglog *distinct;
    uint32_t distinct_count, distinct_capacity;
    size_t distinct_bytes; /* of registers */
    int64_t records;       /* records counted into it, accepted or rejected; kept by the owner */
};

/* An empty delta that allocates with its first key. */
void delta_init(struct delta *delta);
void delta_release(struct delta *delta);

/* Empties it and keeps its memory. */
void delta_clear(struct delta *delta);

/* The memory that it has. */
size_t delta_bytes(const struct delta *delta);

/* Adds n >= 1 to the key; borrows key->bytes. True if the key is new in this delta. Ends the
 * process when there is no memory: counts are never dropped in silence. */
bool delta_add(struct delta *delta, struct delta_key key, int64_t n);

/* Adds a value, by its hyperloglog_hash, to the distinct values of the key; or all that another one
 * has. A key is always counted in this way, or never. Borrows all. As delta_add. */
bool delta_add_distinct(struct delta *delta, struct delta_key key, uint64_t hash);
bool delta_merge_distinct(struct delta *delta, struct delta_key key,
                          const struct hyperloglog *distinct);

/* The distinct values of a key; NULL if it has none. Lives until the delta changes. */
const struct hyperloglog *delta_get_distinct(const struct delta *delta, struct delta_key key);

/* The count of a key; 0 if it has none. Borrows key->bytes. */
int64_t delta_get(const struct delta *delta, struct delta_key key);

/* Adds all of `from`, records too; returns how many keys were new. */
size_t delta_merge(struct delta *into, const struct delta *from);

/* The key of an entry; its bytes live until the delta changes. */
struct delta_key delta_key(const struct delta *delta, const struct delta_entry *entry);

/* About what its counts take in a command to Redis: each value or name and its count, a little
 * more; a minute may come with the name of its day and that of the day's key, and distinct values
 * with keys of their own and of their bucket. */
static inline size_t delta_request_bytes(const struct delta *delta) {
    return delta->key_bytes + (size_t)DELTA_REQUEST_BYTES * delta->entry_count +
           (size_t)DELTA_DISTINCT_BYTES * delta->distinct_count + delta->distinct_bytes;
}

/* Makes a key; `seed` is the process's own, so that nobody can choose values that collide. Borrows
 * the value, or `number`. */
struct delta_key delta_value_key(uint64_t seed, unsigned field, struct slice value);
struct delta_key delta_number_key(uint64_t seed, unsigned field, const int64_t *number);

/* The number that a key of delta_number_key stands for. */
int64_t delta_number(struct delta_key key);

/* The shard, 0 .. shard_count-1, that owns a key. */
static inline unsigned delta_shard(uint32_t hash, unsigned shard_count) {
    return (unsigned)((uint64_t)hash * shard_count >> 32);
}

#endif
