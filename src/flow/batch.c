#include "flow/batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct batch *batch_create(unsigned shard_count, size_t bytes, struct inbox *home,
                           atomic_size_t *pending_entries) {
    assert(shard_count >= 1 && shard_count <= BATCH_SHARDS_MAX);
    struct batch *batch = memory_create(sizeof *batch + shard_count * sizeof batch->parts[0]);
    batch->home = home;
    batch->pending_entries = pending_entries;
    batch->shard_count = shard_count;
    batch->first_bytes = bytes;
    for (unsigned s = 0; s < shard_count; s++) {
        batch->parts[s].batch = batch;
        delta_init(&batch->parts[s].delta);
    }
    return batch;
}

void batch_destroy(struct batch **batch) {
    if (*batch == NULL) return;
    for (unsigned s = 0; s < (*batch)->shard_count; s++)
        delta_release(&(*batch)->parts[s].delta);
    free((*batch)->records);
    free(*batch);
    *batch = NULL;
}

void batch_clear(struct batch *batch) {
    for (unsigned s = 0; s < batch->shard_count; s++)
        delta_clear(&batch->parts[s].delta);
    free(batch->records);
    batch->records = NULL;
    batch->record_capacity = 0;
    batch->record_count = batch->record_bytes = batch->header_bytes = 0;
    batch->has_cut = batch->has_publish = batch->is_urgent = false;
}

static void count_key(struct batch *batch, struct delta_key key) {
    delta_add(&batch->parts[delta_shard(key.hash, batch->shard_count)].delta, key, 1);
}

void batch_count(struct batch *batch, uint64_t seed, size_t dimension_count,
                 const struct login *login) {
    batch->parts[0].delta.records++;
    if (login->reason != LOGIN_ACCEPTED) {
        const int64_t reason = login->reason;
        count_key(batch, delta_number_key(seed, DELTA_REJECTED, &reason));
        return;
    }
    for (unsigned d = 0; d < dimension_count; d++) {
        count_key(batch, delta_value_key(seed, d, login->values[d]));
    }
    count_key(batch, delta_number_key(seed, DELTA_MINUTE, &login->minute));
}

static size_t length_of(int32_t length) {
    return length < 0 ? 0 : (size_t)length;
}

static struct slice bytes_at(const char *bytes, int32_t length) {
    return (struct slice){length < 0 ? NULL : bytes, length_of(length)};
}

struct slice batch_key(const struct batch_record *record) {
    return bytes_at(record->bytes, record->key_length);
}

struct slice batch_value(const struct batch_record *record) {
    return bytes_at(record->bytes + length_of(record->key_length), record->value_length);
}

struct slice batch_text(const struct batch_record *record) {
    return bytes_at(record->bytes + length_of(record->key_length) + length_of(record->value_length),
                    record->text_length);
}

/* With the gap up to where the next one may begin. */
static size_t size_of(size_t key, size_t value, size_t text) {
    const size_t alignment = _Alignof(struct batch_record);
    const size_t bytes = offsetof(struct batch_record, bytes) + key + value + text;
    return (bytes + alignment - 1) / alignment * alignment;
}

static int32_t put(char **at, struct slice from) {
    if (from.bytes == NULL) return -1;
    memcpy(*at, from.bytes, from.length);
    *at += from.length;
    return (int32_t)from.length;
}

static void make_room(struct batch *batch, size_t bytes) {
    batch->record_capacity = bytes;
    batch->records = memory_grow(batch->records, bytes);
}

struct batch_record *batch_keep(struct batch *batch, struct slice key,
                                struct slice value, struct slice text) {
    const size_t end = batch->record_bytes + size_of(key.length, value.length, text.length);
    if (end > batch->record_capacity)
        make_room(batch, end > batch->first_bytes ? end : batch->first_bytes);
    struct batch_record *record = (void *)(batch->records + batch->record_bytes);
    char *at = record->bytes;
    record->key_length = put(&at, key);
    record->value_length = put(&at, value);
    record->text_length = put(&at, text);
    batch->record_bytes = end;
    batch->record_count++;
    return record;
}

struct batch_record *batch_next(const struct batch *batch, const struct batch_record *record) {
    size_t at = 0;
    if (record != NULL) {
        at = (size_t)((const char *)record - batch->records) +
             size_of(length_of(record->key_length), length_of(record->value_length),
                     length_of(record->text_length));
    }
    return at == batch->record_bytes ? NULL : (void *)(batch->records + at);
}

void batch_release(struct batch *batch) {
    if (atomic_fetch_sub_explicit(&batch->holders, 1, memory_order_acq_rel) == 1) {
        inbox_post(batch->home, &batch->home_item, ITEM_HOME);
    }
}

void notice_post(struct inbox *to, enum notice_kind kind, uint64_t generation, int64_t offset,
                 int64_t origin) {
    struct notice *notice = memory_grow(NULL, sizeof *notice);
    notice->kind = kind;
    notice->generation = generation;
    notice->offset = offset;
    notice->origin = origin;
    inbox_post(to, &notice->item, ITEM_NOTICE);
}
