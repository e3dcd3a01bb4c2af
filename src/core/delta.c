/* Entries are in one array in the order in which they were first seen, keys in another; the slots
 * are a small table of indices with linear probing, at most half full. Clearing costs only what was
 * used. */
#include "core/delta.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { FIRST_SLOTS = 64, FIRST_KEY_BYTES = 512, FIRST_DISTINCT = 4 };

void delta_init(struct delta *delta) {
    *delta = (struct delta){0};
}

static void release_distinct(struct delta *delta) {
    for (uint32_t i = 0; i < delta->distinct_count; i++)
        hyperloglog_release(&delta->distinct[i]);
    delta->distinct_count = 0;
    delta->distinct_bytes = 0;
}

void delta_release(struct delta *delta) {
    release_distinct(delta);
    free(delta->distinct);
    free(delta->entries);
    free(delta->slots);
    free(delta->keys);
    delta_init(delta);
}

size_t delta_bytes(const struct delta *delta) {
    return delta->entry_capacity * sizeof *delta->entries +
           delta->slot_count * sizeof *delta->slots + delta->key_capacity +
           delta->distinct_capacity * sizeof *delta->distinct + delta->distinct_bytes;
}

void delta_clear(struct delta *delta) {
    if (delta->entry_count > 0) memset(delta->slots, 0, delta->slot_count * sizeof *delta->slots);
    delta->entry_count = 0;
    delta->key_bytes = 0;
    delta->records = 0;
    release_distinct(delta);
}

struct delta_key delta_key(const struct delta *delta, const struct delta_entry *entry) {
    return (struct delta_key){delta->keys + entry->key_offset, entry->hash, entry->length,
                              entry->field};
}

static inline uint64_t load_8(const char *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* Less than 8 bytes, as a word; no two texts of one length make the same. */
static inline uint64_t load_short(const char *bytes, size_t length) {
    if (length >= 4) {
        uint32_t first, last;
        memcpy(&first, bytes, sizeof first);
        memcpy(&last, bytes + length - 4, sizeof last);
        return (uint64_t)first << 32 | last;
    }
    if (length == 0) return 0;
    return (uint64_t)(uint8_t)bytes[0] << 16 | (uint64_t)(uint8_t)bytes[length / 2] << 8 |
           (uint8_t)bytes[length - 1];
}

static inline bool is_same(const char *a, const char *b, size_t length) {
    if (length < 8) return load_short(a, length) == load_short(b, length);
    if (length > 16) return memcmp(a, b, length) == 0;
    return ((load_8(a) ^ load_8(b)) | (load_8(a + length - 8) ^ load_8(b + length - 8))) == 0;
}

static bool entry_is(const struct delta *delta, const struct delta_entry *entry,
                     struct delta_key key) {
    return entry->hash == key.hash && entry->field == key.field && entry->length == key.length &&
           is_same(delta->keys + entry->key_offset, key.bytes, key.length);
}

/* The slot that holds the key, or the free one where it belongs. */
static uint32_t *find_slot(const struct delta *delta, struct delta_key key) {
    uint32_t mask = delta->slot_count - 1;
    for (uint32_t i = key.hash & mask;; i = (i + 1) & mask) {
        uint32_t slot = delta->slots[i];
        if (slot == 0 || entry_is(delta, &delta->entries[slot - 1], key)) return &delta->slots[i];
    }
}

static void grow_slots(struct delta *delta) {
    delta->slot_count = delta->slot_count == 0 ? FIRST_SLOTS : delta->slot_count * 2;
    delta->slots = memory_grow(delta->slots, delta->slot_count * sizeof *delta->slots);
    memset(delta->slots, 0, delta->slot_count * sizeof *delta->slots);
    uint32_t mask = delta->slot_count - 1;
    for (uint32_t e = 0; e < delta->entry_count; e++) {
        uint32_t i = delta->entries[e].hash & mask;
        while (delta->slots[i] != 0)
            i = (i + 1) & mask;
        delta->slots[i] = e + 1;
    }
}

/* Adds a key that is not there, to this slot. */
static struct delta_entry *add_entry(struct delta *delta, struct delta_key key, uint32_t *slot) {
    if (delta->entry_count == delta->entry_capacity) {
        delta->entry_capacity = delta->slot_count / 2;
        delta->entries =
            memory_grow(delta->entries, delta->entry_capacity * sizeof *delta->entries);
    }
    const uint32_t key_end = delta->key_bytes + key.length;
    if (key_end > delta->key_capacity) {
        delta->key_capacity = delta->key_capacity * 2 + FIRST_KEY_BYTES;
        if (key_end > delta->key_capacity) delta->key_capacity = key_end;
        delta->keys = memory_grow(delta->keys, delta->key_capacity);
    }
    memcpy(delta->keys + delta->key_bytes, key.bytes, key.length);
    struct delta_entry *entry = &delta->entries[delta->entry_count++];
    *entry = (struct delta_entry){
        .hash = key.hash,
        .key_offset = delta->key_bytes,
        .length = key.length,
        .field = key.field,
    };
    delta->key_bytes = key_end;
    *slot = delta->entry_count;
    return entry;
}

bool delta_add(struct delta *delta, struct delta_key key, int64_t n) {
    assert(n >= 1 && key.field < AGGREGATES_MAX);
    if (delta->entry_count * 2 >= delta->slot_count) grow_slots(delta);
    uint32_t *slot = find_slot(delta, key);
    const bool is_new = *slot == 0;
    if (is_new)
        add_entry(delta, key, slot)->count = n;
    else
        delta->entries[*slot - 1].count += n;
    return is_new;
}

/* The distinct values of a key, which may be new. */
static struct hyperloglog *distinct_of(struct delta *delta, struct delta_key key, bool *is_new) {
    assert(key.field < AGGREGATES_MAX);
    if (delta->entry_count * 2 >= delta->slot_count) grow_slots(delta);
    uint32_t *slot = find_slot(delta, key);
    *is_new = *slot == 0;
    if (*slot != 0) return &delta->distinct[delta->entries[*slot - 1].count];
    struct delta_entry *entry = add_entry(delta, key, slot);
    if (delta->distinct_count == delta->distinct_capacity) {
        delta->distinct_capacity = delta->distinct_capacity * 2 + FIRST_DISTINCT;
        delta->distinct =
            memory_grow(delta->distinct, delta->distinct_capacity * sizeof *delta->distinct);
    }
    entry->count = delta->distinct_count;
    entry->is_distinct = true;
    struct hyperloglog *distinct = &delta->distinct[delta->distinct_count++];
    *distinct = (struct hyperloglog){0};
    return distinct;
}

bool delta_add_distinct(struct delta *delta, struct delta_key key, uint64_t hash) {
    bool is_new;
    struct hyperloglog *distinct = distinct_of(delta, key, &is_new);
    const size_t before = hyperloglog_bytes(distinct);
    hyperloglog_add(distinct, hash);
    delta->distinct_bytes += hyperloglog_bytes(distinct) - before;
    return is_new;
}

bool delta_merge_distinct(struct delta *delta, struct delta_key key,
                          const struct hyperloglog *from) {
    bool is_new;
    struct hyperloglog *distinct = distinct_of(delta, key, &is_new);
    const size_t before = hyperloglog_bytes(distinct);
    hyperloglog_merge(distinct, from);
    delta->distinct_bytes += hyperloglog_bytes(distinct) - before;
    return is_new;
}

const struct hyperloglog *delta_get_distinct(const struct delta *delta, struct delta_key key) {
    if (delta->slot_count == 0) return NULL;
    const uint32_t slot = *find_slot(delta, key);
    if (slot == 0 || !delta->entries[slot - 1].is_distinct) return NULL;
    return &delta->distinct[delta->entries[slot - 1].count];
}

int64_t delta_get(const struct delta *delta, struct delta_key key) {
    if (delta->slot_count == 0) return 0;
    const uint32_t slot = *find_slot(delta, key);
    return slot == 0 ? 0 : delta->entries[slot - 1].count;
}

size_t delta_merge(struct delta *into, const struct delta *from) {
    size_t new_count = 0;
    for (uint32_t e = 0; e < from->entry_count; e++) {
        const struct delta_entry *entry = &from->entries[e];
        const struct delta_key key = delta_key(from, entry);
        new_count += entry->is_distinct
                         ? delta_merge_distinct(into, key, &from->distinct[entry->count])
                         : delta_add(into, key, entry->count);
    }
    into->records += from->records;
    return new_count;
}

/* Multiply and fold, 8 bytes at a time: after the published idea of wyhash. */
static uint64_t fold(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t finish(uint64_t hash, uint64_t seed) {
    return (uint32_t)(fold(hash, seed | 1) >> 32);
}

static uint32_t hash_bytes(uint64_t seed, unsigned field, const char *bytes, size_t length) {
    const uint64_t odd = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t hash = seed ^ (odd * (field + 1)) ^ length;
    if (length < 8) return finish(fold(hash ^ load_short(bytes, length), odd), seed);
    const char *last = bytes + length - 8;
    for (; bytes < last; bytes += 8)
        hash = fold(hash ^ load_8(bytes), odd);
    return finish(fold(hash ^ load_8(last), odd), seed);
}

struct delta_key delta_value_key(uint64_t seed, unsigned field, struct slice value) {
    assert(value.length <= DELTA_KEY_BYTES_MAX);
    return (struct delta_key){value.bytes, hash_bytes(seed, field, value.bytes, value.length),
                              (uint16_t)value.length, (uint8_t)field};
}

struct delta_key delta_number_key(uint64_t seed, unsigned field, const int64_t *number) {
    const char *bytes = (const char *)number;
    return (struct delta_key){bytes, hash_bytes(seed, field, bytes, sizeof *number), sizeof *number,
                              (uint8_t)field};
}

int64_t delta_number(struct delta_key key) {
    assert(key.length == sizeof(int64_t));
    int64_t number;
    memcpy(&number, key.bytes, sizeof number);
    return number;
}
