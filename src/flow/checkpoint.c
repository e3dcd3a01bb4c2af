/* An epoch of a partition comes in as many parts as there are shards. When all are there, it is one
 * call; all calls that are ready go out in one round trip. A call is repeated until it is answered:
 * the compare in the script makes that safe, also when the partition has long been another's. */
#include "flow/checkpoint.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "flow/batch.h"

enum { TICK_MS = 1000, RETRY_MS_MIN = 50, RETRY_MS_MAX = 2000, CALLS_MAX = 256 };

/* The epoch of one partition that is being gathered or stored. */
struct epoch {
    uint64_t generation;
    unsigned part_count;
    int64_t since_us; /* when its last part came */
    struct epoch_part *parts[BATCH_SHARDS_MAX];
    const struct delta *deltas[BATCH_SHARDS_MAX];
};

struct checkpoint {
    struct checkpoint_options options;
    pthread_t thread;
    bool is_running, has_given_up;
    struct metric_cell *counted, *anomalies, *seconds, *failures;
    struct epoch **epochs; /* by partition */
    int32_t *ready;        /* partitions whose epoch is whole */
    size_t ready_count;
    struct store_call *calls;
    int64_t retry_ms; /* 0: the last attempt was good */
    atomic_bool must_stop;
    atomic_bool is_reachable;
    atomic_int_fast64_t heartbeat_ms;
    struct inbox inbox;
};

struct checkpoint *checkpoint_create(const struct checkpoint_options *options) {
    struct checkpoint *checkpoint = memory_create(sizeof *checkpoint);
    checkpoint->options = *options;
    inbox_init(&checkpoint->inbox, NULL, NULL);
    size_t partitions = (size_t)options->partition_max;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is meant */
    checkpoint->epochs = memory_create(partitions * sizeof *checkpoint->epochs);
    checkpoint->ready = memory_create(partitions * sizeof *checkpoint->ready);
    checkpoint->calls = memory_create(CALLS_MAX * sizeof *checkpoint->calls);
    checkpoint->counted = metric_cell(options->counted, NULL);
    checkpoint->anomalies = metric_cell(options->anomalies, NULL);
    checkpoint->seconds = metric_cell(options->seconds, NULL);
    checkpoint->failures = metric_cell(options->failures, NULL);
    atomic_store(&checkpoint->is_reachable, true);
    return checkpoint;
}

struct inbox *checkpoint_inbox(struct checkpoint *checkpoint) {
    return &checkpoint->inbox;
}

int64_t checkpoint_heartbeat_ms(const struct checkpoint *checkpoint) {
    return atomic_load(&checkpoint->heartbeat_ms);
}

bool checkpoint_is_reachable(const struct checkpoint *checkpoint) {
    return atomic_load(&checkpoint->is_reachable);
}

static void send_home(struct epoch_part *part, bool is_stored) {
    part->is_stored = is_stored;
    inbox_post(part->home, &part->item, ITEM_EPOCH);
}

static void close_epoch(struct checkpoint *checkpoint, int32_t partition, bool is_stored) {
    struct epoch *epoch = checkpoint->epochs[partition];
    for (unsigned i = 0; i < epoch->part_count; i++)
        send_home(epoch->parts[i], is_stored);
    epoch->part_count = 0;
    for (size_t i = 0; i < checkpoint->ready_count; i++) {
        if (checkpoint->ready[i] != partition) continue;
        checkpoint->ready[i] = checkpoint->ready[--checkpoint->ready_count];
        break;
    }
}

static void gather(struct checkpoint *checkpoint, struct epoch_part *part) {
    struct epoch **place = &checkpoint->epochs[part->partition];
    if (*place == NULL) *place = memory_create(sizeof **place);
    struct epoch *epoch = *place;
    if (part->cut.generation < epoch->generation) {
        send_home(part, false);
        return;
    }
    if (part->cut.generation > epoch->generation) { /* what is here was overtaken */
        close_epoch(checkpoint, part->partition, false);
        epoch->generation = part->cut.generation;
    }
    assert(epoch->part_count < checkpoint->options.shard_count); /* cursor I3 */
    epoch->deltas[epoch->part_count] = &part->delta;
    epoch->parts[epoch->part_count++] = part;
    if (epoch->part_count == checkpoint->options.shard_count) {
        epoch->since_us = clock_us();
        checkpoint->ready[checkpoint->ready_count++] = part->partition;
    }
}

static void take_mail(struct checkpoint *checkpoint) {
    struct inbox_item *item;
    while ((item = inbox_take(&checkpoint->inbox)) != NULL) {
        assert(item->kind == ITEM_EPOCH);
        gather(checkpoint, inbox_entry(item, struct epoch_part, item));
    }
}

static void count_stored(struct checkpoint *checkpoint, const struct epoch *epoch) {
    for (unsigned i = 0; i < epoch->part_count; i++) {
        const struct delta *delta = epoch->deltas[i];
        metric_add(checkpoint->counted, delta->records);
        for (uint32_t e = 0; e < delta->entry_count; e++) {
            if (delta->entries[e].field != DELTA_REJECTED) continue;
            enum login_reason reason =
                (enum login_reason)delta_number(delta_key(delta, &delta->entries[e]));
            metric_add(metric_cell(checkpoint->options.rejected, login_reason_name(reason)),
                       delta->entries[e].count);
        }
    }
    metric_observe_us(checkpoint->seconds, clock_us() - epoch->since_us);
}

static void tell_anomalies(struct checkpoint *checkpoint, const struct store_call *call) {
    for (size_t i = 0; i < call->anomaly_count; i++) {
        char message[128]; /* the minute is part of it: no two are alike to the rate limit */
        snprintf(message, sizeof message, "Anomaly detected: %lld logins in the minute %s",
                 (long long)call->anomalies[i].count, call->anomalies[i].minute);
        log_warn(message, log_text("kind", "threshold"),
                 log_text("minute", call->anomalies[i].minute),
                 log_int("count", call->anomalies[i].count),
                 log_int("threshold", checkpoint->options.threshold));
    }
    metric_add(checkpoint->anomalies, (int64_t)call->anomaly_count);
}

/* One answered call: its counts are in Redis, or were dropped for good. */
static void conclude(struct checkpoint *checkpoint, const struct store_call *call) {
    struct epoch *epoch = checkpoint->epochs[call->partition];
    bool is_stored = call->stored == call->end && call->base != CURSOR_UNKNOWN;
    if (is_stored) count_stored(checkpoint, epoch);
    tell_anomalies(checkpoint, call);
    notice_post(epoch->parts[0]->ingest, NOTICE_COUNTED, epoch->generation, call->stored,
                CURSOR_ABSENT);
    close_epoch(checkpoint, call->partition, is_stored);
}

static void store_ready(struct checkpoint *checkpoint) {
    struct error error = {""};
    size_t count = checkpoint->ready_count < CALLS_MAX ? checkpoint->ready_count : CALLS_MAX;
    /* cppcheck-suppress knownConditionTrueFalse ; others change ready_count */
    for (size_t i = 0; i < count; i++) {
        const struct epoch *epoch = checkpoint->epochs[checkpoint->ready[i]];
        struct store_call *call = &checkpoint->calls[i];
        call->partition = checkpoint->ready[i];
        call->base = epoch->parts[0]->cut.base;
        call->end = epoch->parts[0]->cut.end;
        call->deltas = epoch->deltas;
        call->delta_count = epoch->part_count;
    }
    redis_store_apply(checkpoint->options.store, checkpoint->calls, count, &error);
    bool is_good = true;
    /* cppcheck-suppress knownConditionTrueFalse ; as above */
    for (size_t i = 0; i < count; i++) {
        const struct store_call *call = &checkpoint->calls[i];
        if (call->verdict == STORE_OK) {
            conclude(checkpoint, call);
            continue;
        }
        is_good = false;
        if (call->verdict == STORE_REFUSED && !checkpoint->has_given_up) {
            checkpoint->has_given_up = true;
            checkpoint->options.failed(checkpoint->options.context, error.text);
        }
    }
    if (is_good) {
        if (checkpoint->retry_ms > 0) log_info("Redis is back");
        checkpoint->retry_ms = 0;
    } else {
        metric_add(checkpoint->failures, 1);
        log_warn("Checkpoint not stored: it will be repeated", log_text("reason", error.text));
        checkpoint->retry_ms = clamp(checkpoint->retry_ms * 2, RETRY_MS_MIN, RETRY_MS_MAX);
    }
    atomic_store(&checkpoint->is_reachable, is_good);
}

/* Sleeps out the delay between attempts, taking mail meanwhile. */
static void back_off(struct checkpoint *checkpoint) {
    int64_t until_ms = clock_ms() + checkpoint->retry_ms;
    for (int64_t left_ms; (left_ms = until_ms - clock_ms()) > 0;) {
        if (atomic_load(&checkpoint->must_stop)) return;
        atomic_store(&checkpoint->heartbeat_ms, clock_ms());
        inbox_wait(&checkpoint->inbox, (int)left_ms);
        take_mail(checkpoint);
    }
}

static void *run(void *context) {
    struct checkpoint *checkpoint = context;
    while (!atomic_load(&checkpoint->must_stop)) {
        atomic_store(&checkpoint->heartbeat_ms, clock_ms());
        take_mail(checkpoint);
        if (checkpoint->ready_count > 0 && !checkpoint->has_given_up) {
            store_ready(checkpoint);
            if (checkpoint->retry_ms > 0) back_off(checkpoint);
        } else {
            inbox_wait(&checkpoint->inbox, TICK_MS);
        }
    }
    return NULL;
}

bool checkpoint_start(struct checkpoint *checkpoint) {
    checkpoint->is_running = thread_start(&checkpoint->thread, "checkpoint", run, checkpoint);
    return checkpoint->is_running;
}

void checkpoint_stop(struct checkpoint *checkpoint) {
    if (!checkpoint->is_running) return;
    atomic_store(&checkpoint->must_stop, true);
    inbox_wake(&checkpoint->inbox);
    pthread_join(checkpoint->thread, NULL);
    checkpoint->is_running = false;
    take_mail(checkpoint);
    for (int p = 0; p < checkpoint->options.partition_max; p++) {
        if (checkpoint->epochs[p] != NULL) close_epoch(checkpoint, p, false);
    }
}

void checkpoint_destroy(struct checkpoint **checkpoint) {
    if (*checkpoint == NULL) return;
    checkpoint_stop(*checkpoint);
    for (int p = 0; p < (*checkpoint)->options.partition_max; p++)
        free((*checkpoint)->epochs[p]);
    free((*checkpoint)->epochs);
    free((*checkpoint)->ready);
    free((*checkpoint)->calls);
    inbox_fini(&(*checkpoint)->inbox);
    free(*checkpoint);
    *checkpoint = NULL;
}
