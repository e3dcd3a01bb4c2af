#include "core/batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct batch *batch_create(unsigned shard_count, struct inbox *home,
                           atomic_size_t *pending_entries) {
    assert(shard_count >= 1 && shard_count <= BATCH_SHARDS_MAX);
    struct batch *batch = memory_create(sizeof *batch + shard_count * sizeof batch->parts[0]);
    batch->home = home;
    batch->pending_entries = pending_entries;
    batch->shard_count = shard_count;
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
    free((*batch)->text);
    free(*batch);
    *batch = NULL;
}

void batch_clear(struct batch *batch) {
    for (unsigned s = 0; s < batch->shard_count; s++)
        delta_clear(&batch->parts[s].delta);
    batch->record_count = 0;
    batch->text_bytes = 0;
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

void batch_keep_text(struct batch *batch, struct batch_record *record, const char *bytes,
                     size_t length) {
    if (batch->text_bytes + length > batch->text_capacity) {
        batch->text_capacity = (uint32_t)(batch->text_bytes + length) * 2 + 4096;
        batch->text = memory_grow(batch->text, batch->text_capacity);
    }
    memcpy(batch->text + batch->text_bytes, bytes, length);
    record->text_offset = batch->text_bytes;
    record->text_length = (uint32_t)length;
    batch->text_bytes += (uint32_t)length;
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
