#include "flow/count.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fence.h"
#include "base/memory.h"
#include "flow/batch.h"
#include "flow/tally.h"

/* What waits for the next mark of one partition. */
struct pending {
    struct delta delta;
    uint64_t generation;
};

struct count {
    struct count_options options;
    struct worker worker;
    struct pending *pending[FENCE_PARTITIONS_MAX]; /* by partition; made when first needed */
    atomic_size_t bytes; /* written by the worker: of deltas that are pending, or under way */
    struct inbox inbox;
};

struct count *count_create(const struct count_options *options) {
    struct count *count = memory_create(sizeof *count);
    char name[WORKER_NAME_BYTES];
    count->options = *options;
    snprintf(name, sizeof name, "count-%u", options->shard);
    worker_init(&count->worker, name, count_step, count);
    inbox_init(&count->inbox, &count->worker.alarm);
    return count;
}

struct inbox *count_inbox(struct count *count) {
    return &count->inbox;
}

size_t count_bytes(const struct count *count) {
    return atomic_load_explicit(&count->bytes, memory_order_relaxed);
}

const struct worker *count_worker(const struct count *count) {
    return &count->worker;
}

static struct pending *pending_of(struct count *count, int32_t partition) {
    assert(partition >= 0 && partition < FENCE_PARTITIONS_MAX);
    struct pending **place = &count->pending[partition];
    if (*place == NULL) *place = memory_create(sizeof **place);
    return *place;
}

static void add_bytes(struct count *count, size_t more, size_t less) {
    if (more != less) atomic_fetch_add_explicit(&count->bytes, more - less, memory_order_relaxed);
}

static void drop(struct pending *pending, atomic_size_t *pending_bytes) {
    atomic_fetch_sub_explicit(pending_bytes, delta_request_bytes(&pending->delta),
                              memory_order_relaxed);
    delta_clear(&pending->delta);
}

/* The mark: what has gathered leaves whole, and the next epoch starts empty. */
static void detach(struct count *count, struct pending *pending, const struct batch *batch) {
    struct epoch_part *part = memory_create(sizeof *part);
    atomic_fetch_sub_explicit(batch->pending_bytes, delta_request_bytes(&pending->delta),
                              memory_order_relaxed);
    part->partition = batch->partition;
    part->shard = count->options.shard;
    part->cut = batch->cut;
    part->ingest = batch->home;
    part->home = &count->inbox;
    part->delta = pending->delta;
    delta_init(&pending->delta);
    inbox_post(count->options.checkpoint, &part->item, ITEM_EPOCH);
}

static void merge(struct count *count, struct batch_part *part) {
    struct batch *batch = part->batch;
    struct pending *pending = pending_of(count, batch->partition);
    const size_t part_bytes = delta_request_bytes(&part->delta);
    if (batch->counted_generation > pending->generation) { /* I1 */
        drop(pending, batch->pending_bytes);
        pending->generation = batch->counted_generation;
    }
    if (batch->counted_generation == pending->generation) {
        const size_t held = delta_bytes(&pending->delta);
        const size_t before = delta_request_bytes(&pending->delta);
        delta_merge(&pending->delta, &part->delta);
        add_bytes(count, delta_bytes(&pending->delta), held);
        atomic_fetch_add_explicit(batch->pending_bytes,
                                  delta_request_bytes(&pending->delta) - before,
                                  memory_order_relaxed);
        if (batch->has_cut) detach(count, pending, batch);
    }
    atomic_fetch_sub_explicit(batch->pending_bytes, part_bytes, memory_order_relaxed);
    batch_release(batch);
}

static void take_mail(struct count *count) {
    struct inbox_item *item;
    while ((item = inbox_take(&count->inbox)) != NULL) {
        if (item->kind == ITEM_PART) {
            merge(count, inbox_entry(item, struct batch_part, item));
            continue;
        }
        assert(item->kind == ITEM_EPOCH); /* come home */
        struct epoch_part *part = inbox_entry(item, struct epoch_part, item);
        if (part->is_stored) tally_add(count->options.tally, &part->delta); /* I2 */
        add_bytes(count, 0, delta_bytes(&part->delta));
        delta_release(&part->delta);
        free(part);
    }
}

int64_t count_step(void *context, int64_t now_ms) {
    (void)now_ms;
    take_mail(context);
    return CLOCK_NEVER_MS;
}

bool count_start(struct count *count) {
    return worker_start(&count->worker);
}

void count_stop(struct count *count) {
    worker_stop(&count->worker);
    take_mail(count);
}

void count_destroy(struct count **count) {
    if (*count == NULL) return;
    count_stop(*count);
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++) {
        if ((*count)->pending[p] == NULL) continue;
        delta_release(&(*count)->pending[p]->delta);
        free((*count)->pending[p]);
    }
    inbox_fini(&(*count)->inbox);
    free(*count);
    *count = NULL;
}
