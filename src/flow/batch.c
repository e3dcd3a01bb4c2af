#include "flow/batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { HEADERS_BYTES = 256 }; /* about what librdkafka keeps besides a record's headers */

struct batch *batch_create(int32_t partition, unsigned shard_count, size_t bytes,
                           struct inbox *home, atomic_size_t *pending_bytes) {
    assert(shard_count >= 1 && shard_count <= BATCH_SHARDS_MAX);
    struct batch *batch = memory_create(sizeof *batch + shard_count * sizeof batch->parts[0]);
    batch->home = home;
    batch->pending_bytes = pending_bytes;
    batch->partition = partition;
    batch->shard_count = shard_count;
    batch->first_bytes = bytes;
    for (unsigned s = 0; s < shard_count; s++) {
        batch->parts[s].batch = batch;
        delta_init(&batch->parts[s].delta);
    }
    return batch;
}

/* The next record, as its owner may change it. */
static struct batch_record *next(const struct batch *batch, const struct batch_record *record);

static void destroy_headers(struct batch *batch) {
    if (batch->header_bytes == 0) return;
    for (struct batch_record *record = next(batch, NULL); record != NULL;
         record = next(batch, record)) {
        kafka_headers_destroy(&record->headers);
    }
}

void batch_destroy(struct batch **batch) {
    if (*batch == NULL) return;
    destroy_headers(*batch);
    for (unsigned s = 0; s < (*batch)->shard_count; s++)
        delta_release(&(*batch)->parts[s].delta);
    free((*batch)->records);
    free(*batch);
    *batch = NULL;
}

size_t batch_held_bytes(const struct batch *batch) {
    size_t bytes = batch_bytes(batch);
    for (unsigned s = 0; s < batch->shard_count; s++)
        bytes += delta_bytes(&batch->parts[s].delta);
    return bytes;
}

void batch_clear(struct batch *batch) {
    const bool is_large = batch_held_bytes(batch) - batch_bytes(batch) > batch->first_bytes / 8;
    destroy_headers(batch);
    for (unsigned s = 0; s < batch->shard_count; s++) {
        struct delta *delta = &batch->parts[s].delta;
        if (is_large) delta_release(delta);
        delta_clear(delta);
    }
    free(batch->records);
    batch->records = NULL;
    batch->record_capacity = 0;
    batch->record_count = batch->record_bytes = batch->header_bytes = batch->count_bytes = 0;
    batch->has_cut = batch->has_publish = batch->is_urgent = false;
}

static void count_key(struct batch *batch, struct delta_key key) {
    struct delta *delta = &batch->parts[delta_shard(key.hash, batch->shard_count)].delta;
    if (delta_add(delta, key, 1)) batch->count_bytes += key.length + (size_t)DELTA_REQUEST_BYTES;
}

static void count_distinct(struct batch *batch, struct delta_key key, struct slice value) {
    struct delta *delta = &batch->parts[delta_shard(key.hash, batch->shard_count)].delta;
    if (value.bytes == NULL) return;
    const size_t before = delta_request_bytes(delta);
    delta_add_distinct(delta, key, hyperloglog_hash(value));
    batch->count_bytes += delta_request_bytes(delta) - before;
}

/* A function of its own: its key's memory is not on the stack of the common path. */
__attribute__((noinline)) static void count_declared(struct batch *batch, uint64_t seed,
                                                     const struct aggregates *aggregates,
                                                     const struct login *login) {
    char key[DECLARED_KEY_BYTES];
    for (unsigned field = aggregates->first_declared; field < aggregates->count; field++) {
        const struct declared *declared = &aggregates->items[field].declared;
        const size_t length = declared_key(declared, login, key);
        const struct delta_key found = delta_value_key(seed, field, (struct slice){key, length});
        if (aggregate_is_distinct(&aggregates->items[field]))
            count_distinct(batch, found, login->uniques[declared->unique]);
        else
            count_key(batch, found);
    }
}

void batch_count(struct batch *batch, uint64_t seed, const struct aggregates *aggregates,
                 const struct login *login) {
    batch->parts[0].delta.records++;
    unsigned field = 0;
    for (; aggregates->items[field].source == AGGREGATE_DIMENSION; field++) { /* they are first */
        if (login->reason == LOGIN_ACCEPTED)
            count_key(batch, delta_value_key(seed, field, login->values[field]));
    }
    for (; field < aggregates->first_declared; field++) {
        int64_t number;
        if (aggregate_number(&aggregates->items[field], login, &number))
            count_key(batch, delta_number_key(seed, field, &number));
    }
    if (field < aggregates->count && login->reason == LOGIN_ACCEPTED)
        count_declared(batch, seed, aggregates, login);
}

static size_t length_of(int32_t length) {
    return length < 0 ? 0 : (size_t)length;
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

static struct slice take(const char **at, int32_t length) {
    const struct slice taken = {length < 0 ? NULL : *at, length_of(length)};
    *at += taken.length;
    return taken;
}

static void make_room(struct batch *batch, size_t bytes) {
    batch->record_capacity = bytes;
    batch->records = memory_grow(batch->records, bytes);
}

/* Why it is rejected; or the key to give an accepted record that has none. */
static struct slice text_for(const struct kafka_record *record, const struct login *login) {
    if (login->reason != LOGIN_ACCEPTED) {
        return (struct slice){login->detail, strlen(login->detail)};
    }
    return record->key.bytes != NULL ? (struct slice){NULL, 0} : login->key;
}

void batch_keep(struct batch *batch, const struct kafka_record *record, const struct login *login) {
    const struct slice text = text_for(record, login);
    const size_t end =
        batch->record_bytes + size_of(record->key.length, record->value.length, text.length);
    if (end > batch->record_capacity)
        make_room(batch, end > batch->first_bytes ? end : batch->first_bytes);
    struct batch_record *kept = (void *)(batch->records + batch->record_bytes);
    char *at = kept->bytes;
    kept->offset = record->offset;
    kept->timestamp_ms = record->timestamp_ms;
    kept->reason = (uint8_t)login->reason;
    kept->key_length = put(&at, record->key);
    kept->value_length = put(&at, record->value);
    kept->text_length = put(&at, text);
    kept->headers = kafka_record_take_headers(record);
    if (kept->headers != NULL)
        batch->header_bytes += HEADERS_BYTES + kafka_headers_bytes(kept->headers);
    batch->record_bytes = end;
    batch->record_count++;
    batch->has_publish = true;
}

static struct batch_record *next(const struct batch *batch, const struct batch_record *record) {
    size_t at = 0;
    if (record != NULL) {
        at = (size_t)((const char *)record - batch->records) +
             size_of(length_of(record->key_length), length_of(record->value_length),
                     length_of(record->text_length));
    }
    return at == batch->record_bytes ? NULL : (void *)(batch->records + at);
}

const struct batch_record *batch_next(const struct batch *batch,
                                      const struct batch_record *record) {
    return next(batch, record);
}

struct sink_record batch_sink_record(const struct batch *batch, const struct batch_record *record) {
    const char *at = record->bytes;
    struct sink_record out = {
        .partition = batch->partition,
        .offset = record->offset,
        .timestamp_ms = record->timestamp_ms,
        .reason = (enum login_reason)record->reason,
        .headers = record->headers,
    };
    out.key = take(&at, record->key_length);
    out.value = take(&at, record->value_length);
    out.text = take(&at, record->text_length);
    return out;
}

bool batch_send(struct batch *batch, struct inbox *const *shards, struct inbox *publish) {
    bool has_counts[BATCH_SHARDS_MAX];
    const bool has_publish = batch->has_publish;
    const unsigned shard_count = batch->shard_count;
    unsigned holders = has_publish;
    for (unsigned s = 0; s < shard_count; s++) {
        const struct delta *delta = &batch->parts[s].delta;
        has_counts[s] = batch->has_cut || delta->entry_count > 0 || delta->records > 0;
        holders += has_counts[s];
    }
    atomic_fetch_add_explicit(batch->pending_bytes, batch->count_bytes, memory_order_relaxed);
    atomic_store_explicit(&batch->holders, holders, memory_order_relaxed); /* posts release it */
    for (unsigned s = 0; s < shard_count; s++) {
        if (has_counts[s]) inbox_post(shards[s], &batch->parts[s].item, ITEM_PART);
    }
    if (has_publish) inbox_post(publish, &batch->publish_item, ITEM_BATCH);
    return holders > 0;
}

void batch_release(struct batch *batch) {
    if (atomic_fetch_sub_explicit(&batch->holders, 1, memory_order_acq_rel) == 1) {
        inbox_post(batch->home, &batch->home_item, ITEM_HOME);
    }
}

void notice_post(struct inbox *to, const struct notice *notice) {
    struct notice *copy = memory_grow(NULL, sizeof *copy);
    *copy = *notice;
    inbox_post(to, &copy->item, ITEM_NOTICE);
}
