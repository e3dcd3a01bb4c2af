#include "flow/count.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"
#include "flow/batch.h"

enum { TICK_MS = 1000 };

/* What waits for the next mark of one partition. */
struct pending {
    struct delta delta;
    uint64_t generation;
};

struct aggregate {
    struct aggregate_options options;
    pthread_t thread;
    bool is_running;
    struct tally *tally;
    struct pending **pending; /* by partition; made when first needed */
    atomic_bool must_stop;
    atomic_int_fast64_t heartbeat_ms;
    struct inbox inbox;
};

struct aggregate *aggregate_create(const struct aggregate_options *options) {
    struct aggregate *aggregate = memory_create(sizeof *aggregate);
    aggregate->options = *options;
    inbox_init(&aggregate->inbox, NULL, NULL);
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is meant */
    aggregate->pending = memory_create((size_t)options->partition_max * sizeof *aggregate->pending);
    aggregate->tally = tally_create(options->seed, options->max_values);
    return aggregate;
}

struct inbox *aggregate_inbox(struct aggregate *aggregate) {
    return &aggregate->inbox;
}

struct tally *aggregate_tally(struct aggregate *aggregate) {
    return aggregate->tally;
}

int64_t aggregate_heartbeat_ms(const struct aggregate *aggregate) {
    return atomic_load(&aggregate->heartbeat_ms);
}

static struct pending *pending_of(struct aggregate *aggregate, int32_t partition) {
    assert(partition >= 0 && partition < aggregate->options.partition_max);
    struct pending **place = &aggregate->pending[partition];
    if (*place == NULL) *place = memory_create(sizeof **place);
    return *place;
}

static void drop(struct pending *pending, atomic_size_t *pending_entries) {
    atomic_fetch_sub_explicit(pending_entries, pending->delta.entry_count, memory_order_relaxed);
    delta_clear(&pending->delta);
}

/* The mark: what has gathered leaves whole, and the next epoch starts empty. */
static void detach(struct aggregate *aggregate, struct pending *pending,
                   const struct batch *batch) {
    struct epoch_part *part = memory_create(sizeof *part);
    atomic_fetch_sub_explicit(batch->pending_entries, pending->delta.entry_count,
                              memory_order_relaxed);
    part->partition = batch->partition;
    part->shard = aggregate->options.shard;
    part->cut = batch->cut;
    part->ingest = batch->home;
    part->home = &aggregate->inbox;
    part->delta = pending->delta;
    delta_init(&pending->delta);
    inbox_post(aggregate->options.checkpoint, &part->item, ITEM_EPOCH);
}

static void merge(struct aggregate *aggregate, struct batch_part *part) {
    struct batch *batch = part->batch;
    struct pending *pending = pending_of(aggregate, batch->partition);
    if (batch->counted_generation > pending->generation) { /* I1 */
        drop(pending, batch->pending_entries);
        pending->generation = batch->counted_generation;
    }
    if (batch->counted_generation == pending->generation) {
        size_t new_count = delta_merge(&pending->delta, &part->delta);
        atomic_fetch_add_explicit(batch->pending_entries, new_count, memory_order_relaxed);
        if (batch->has_cut) detach(aggregate, pending, batch);
    }
    batch_release(batch);
}

static void take_mail(struct aggregate *aggregate) {
    struct inbox_item *item;
    while ((item = inbox_take(&aggregate->inbox)) != NULL) {
        atomic_store_explicit(&aggregate->heartbeat_ms, clock_ms(), memory_order_relaxed);
        if (item->kind == ITEM_PART) {
            merge(aggregate, inbox_entry(item, struct batch_part, item));
            continue;
        }
        assert(item->kind == ITEM_EPOCH); /* come home */
        struct epoch_part *part = inbox_entry(item, struct epoch_part, item);
        if (part->is_stored) tally_add(aggregate->tally, &part->delta); /* I2 */
        delta_release(&part->delta);
        free(part);
    }
}

static void *run(void *context) {
    struct aggregate *aggregate = context;
    tally_enter();
    while (!atomic_load(&aggregate->must_stop)) {
        atomic_store_explicit(&aggregate->heartbeat_ms, clock_ms(), memory_order_relaxed);
        take_mail(aggregate);
        inbox_wait(&aggregate->inbox, TICK_MS);
    }
    take_mail(aggregate);
    tally_leave();
    return NULL;
}

bool aggregate_start(struct aggregate *aggregate) {
    char name[THREAD_NAME_BYTES];
    snprintf(name, sizeof name, "aggregate-%u", aggregate->options.shard);
    aggregate->is_running = thread_start(&aggregate->thread, name, run, aggregate);
    return aggregate->is_running;
}

void aggregate_stop(struct aggregate *aggregate) {
    if (!aggregate->is_running) return;
    atomic_store(&aggregate->must_stop, true);
    inbox_wake(&aggregate->inbox);
    pthread_join(aggregate->thread, NULL);
    aggregate->is_running = false;
}

void aggregate_destroy(struct aggregate **aggregate) {
    if (*aggregate == NULL) return;
    aggregate_stop(*aggregate);
    tally_enter();
    take_mail(*aggregate);
    tally_leave();
    for (int p = 0; (*aggregate)->pending != NULL && p < (*aggregate)->options.partition_max; p++) {
        if ((*aggregate)->pending[p] == NULL) continue;
        delta_release(&(*aggregate)->pending[p]->delta);
        free((*aggregate)->pending[p]);
    }
    free((*aggregate)->pending);
    tally_destroy(&(*aggregate)->tally);
    inbox_fini(&(*aggregate)->inbox);
    free(*aggregate);
    *aggregate = NULL;
}
