/* An epoch of a partition comes in as many parts as there are shards. When all are there, it is one
 * call; all calls that are ready go out in one round trip. A call is repeated until it is answered:
 * the compare in the script makes that safe, also when the partition has long been another's. */
#include "flow/checkpoint.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/fence.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/trouble.h"
#include "flow/batch.h"

enum {
    RETRY_MS_MIN = 50,
    RETRY_MS_MAX = 2000,
    REDIRECT_MS = 1000, /* two nodes may name each other without end */
    REDIRECT_LOOK_MS = 50,
    CALLS_MAX = 256,
    CALLS_BYTES_MAX = 2 << 20, /* hiredis has them until Redis takes them */
    VERIFY_WAIT_MS = 50,
};

/* The epoch of one partition that is being gathered or stored. */
struct epoch {
    uint64_t generation;
    unsigned part_count;
    int64_t since_us; /* when its last part came */
    bool is_reported; /* its anomalies; the answer to the same call has them again */
    struct epoch_part *parts[BATCH_SHARDS_MAX];
    const struct delta *deltas[BATCH_SHARDS_MAX];
};

struct checkpoint {
    struct checkpoint_options options;
    struct worker worker;
    bool has_given_up;
    struct epoch *epochs[FENCE_PARTITIONS_MAX]; /* by partition; made when first needed */
    int32_t ready[FENCE_PARTITIONS_MAX];        /* partitions whose epoch is whole, oldest first */
    size_t ready_count;
    struct store_call *calls; /* of one round trip */
    size_t call_capacity;
    struct backoff retry;
    int64_t redirect_ms; /* not before is a redirection followed at once */
    atomic_bool is_reachable, is_denied;
    struct trouble trouble; /* why it is not */
    struct inbox inbox;
};

const struct metric_row checkpoint_metric_table[] = {
    METRIC_ROW(struct checkpoint_metrics, counted, METRIC_COUNTER, "rollcall_records_counted_total",
               "Records whose counts this instance stored in Redis."),
    METRIC_LABELLED_ROW(struct checkpoint_metrics, rejected, METRIC_COUNTER,
                        "rollcall_records_rejected_total", "Rejected records among those counted.",
                        "reason", &login_rejection_names),
    METRIC_ROW(struct checkpoint_metrics, anomalies, METRIC_COUNTER, "rollcall_anomalies_total",
               "Anomalies that this instance's checkpoints found."),
    METRIC_ROW(struct checkpoint_metrics, seconds, METRIC_HISTOGRAM, "rollcall_checkpoint_seconds",
               "Time from a complete epoch to its place in Redis."),
    METRIC_ROW(struct checkpoint_metrics, failures, METRIC_COUNTER,
               "rollcall_checkpoint_failures_total", "Attempts that Redis did not accept."),
    METRIC_END,
};

struct checkpoint *checkpoint_create(const struct checkpoint_options *options) {
    struct checkpoint *checkpoint = memory_create(sizeof *checkpoint);
    checkpoint->options = *options;
    worker_init(&checkpoint->worker, "checkpoint", checkpoint_step, checkpoint);
    inbox_init(&checkpoint->inbox, &checkpoint->worker.alarm);
    atomic_store(&checkpoint->is_reachable, true);
    trouble_init(&checkpoint->trouble);
    return checkpoint;
}

struct inbox *checkpoint_inbox(struct checkpoint *checkpoint) {
    return &checkpoint->inbox;
}

const struct worker *checkpoint_worker(const struct checkpoint *checkpoint) {
    return &checkpoint->worker;
}

bool checkpoint_is_reachable(const struct checkpoint *checkpoint) {
    return atomic_load(&checkpoint->is_reachable);
}

bool checkpoint_is_ready(struct checkpoint *checkpoint, struct text *why) {
    return !trouble_show(&checkpoint->trouble, clock_ms(), 0, why);
}

bool checkpoint_is_denied(const struct checkpoint *checkpoint) {
    return atomic_load(&checkpoint->is_denied);
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
    epoch->is_reported = false;
    for (size_t i = 0; i < checkpoint->ready_count; i++) {
        if (checkpoint->ready[i] != partition) continue;
        memmove(&checkpoint->ready[i], &checkpoint->ready[i + 1],
                (--checkpoint->ready_count - i) * sizeof *checkpoint->ready);
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

static void show_stored(const struct checkpoint *checkpoint, const struct epoch *epoch) {
    const struct checkpoint_metrics *metrics = checkpoint->options.metrics;
    const struct aggregate *aggregates = checkpoint->options.aggregates->items;
    for (unsigned i = 0; i < epoch->part_count; i++) {
        const struct delta *delta = epoch->deltas[i];
        metric_add(metrics->counted, delta->records);
        for (uint32_t e = 0; e < delta->entry_count; e++) {
            const struct delta_entry *entry = &delta->entries[e];
            if (aggregates[entry->field].source != AGGREGATE_REASON) continue;
            const int64_t reason = delta_number(delta_key(delta, entry));
            metric_add(metric_cell(metrics->rejected, login_reason_name((enum login_reason)reason)),
                       entry->count);
        }
    }
    metric_observe_us(metrics->seconds, clock_us() - epoch->since_us);
}

static void report_anomalies(const struct checkpoint *checkpoint, const struct store_call *call) {
    const size_t count = call->anomaly_count;
    bool *is_reported = &checkpoint->epochs[call->partition]->is_reported;
    if (count == 0 || *is_reported) return;
    *is_reported = true;
    for (size_t i = 0; i < count && i < REDIS_STORE_ANOMALIES_MAX; i++) {
        char message[128]; /* the minute is part of it: no two are alike to the rate limit */
        snprintf(message, sizeof message, "Anomaly detected: %lld logins in the minute %s",
                 (long long)call->anomalies[i].count, call->anomalies[i].minute);
        log_warn(message, log_text("kind", "threshold"),
                 log_text("minute", call->anomalies[i].minute),
                 log_int("count", call->anomalies[i].count),
                 log_int("threshold",
                         setting_now(&checkpoint->options.aggregates->settings->threshold)));
    }
    if (count > REDIS_STORE_ANOMALIES_MAX) {
        log_warn("More anomalies than are logged for one checkpoint: all are in Redis",
                 log_int("left_out", (int64_t)(count - REDIS_STORE_ANOMALIES_MAX)));
    }
    metric_add(checkpoint->options.metrics->anomalies, (int64_t)count);
}

/* One answered call: its counts are in Redis, or were dropped permanently. */
static void conclude(struct checkpoint *checkpoint, const struct store_call *call) {
    struct epoch *epoch = checkpoint->epochs[call->partition];
    const bool is_stored = store_call_is_stored(call) && call->base != CURSOR_UNKNOWN;
    if (is_stored) show_stored(checkpoint, epoch);
    report_anomalies(checkpoint, call);
    notice_post(epoch->parts[0]->ingest, &(struct notice){.kind = NOTICE_COUNTED,
                                                          .generation = epoch->generation,
                                                          .offset = call->stored,
                                                          .lineage = call->stored_lineage,
                                                          .origin = call->stored_origin});
    close_epoch(checkpoint, call->partition, is_stored);
}

/* How many of those that are ready go out at once. */
static size_t count_calls(const struct checkpoint *checkpoint) {
    size_t count = 0, bytes = 0;
    while (count < checkpoint->ready_count && count < CALLS_MAX && bytes < CALLS_BYTES_MAX) {
        const struct epoch *epoch = checkpoint->epochs[checkpoint->ready[count++]];
        for (unsigned i = 0; i < epoch->part_count; i++)
            bytes += delta_request_bytes(epoch->deltas[i]);
    }
    return count;
}

static void store_ready(struct checkpoint *checkpoint) {
    struct error error = {""};
    const size_t count = count_calls(checkpoint);
    /* cppcheck-suppress knownConditionTrueFalse ; gather changes ready_count */
    if (count > checkpoint->call_capacity) {
        checkpoint->call_capacity = count;
        checkpoint->calls = memory_grow(checkpoint->calls, count * sizeof *checkpoint->calls);
    }
    /* cppcheck-suppress knownConditionTrueFalse ; gather changes ready_count */
    for (size_t i = 0; i < count; i++) {
        const struct epoch *epoch = checkpoint->epochs[checkpoint->ready[i]];
        struct store_call *call = &checkpoint->calls[i];
        *call = (struct store_call){
            .partition = checkpoint->ready[i],
            .base = epoch->parts[0]->cut.base,
            .end = epoch->parts[0]->cut.end,
            .base_tip = epoch->parts[0]->cut.base_tip,
            .lineage = epoch->parts[0]->cut.lineage,
            .origin = epoch->parts[0]->cut.origin,
            .deltas = epoch->deltas,
            .delta_count = epoch->part_count,
        };
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
        report_anomalies(checkpoint, call); /* they are in Redis, if on too few replicas */
        is_good = false;
        if (call->verdict == STORE_REFUSED && !checkpoint->has_given_up) {
            checkpoint->has_given_up = true;
            stop_fail(checkpoint->options.stop, error.text);
        }
    }
    if (is_good) {
        if (checkpoint->retry.pause_ms > 0) log_info("Redis is reachable again");
        backoff_end(&checkpoint->retry);
        trouble_clear(&checkpoint->trouble);
    } else {
        struct error what;
        error_set(&what, "counting waits for Redis: %s", error.text);
        trouble_set(&checkpoint->trouble, clock_ms(), what.text);
        metric_add(checkpoint->options.metrics->failures, 1);
        log_warn("Checkpoint not stored: it will be repeated", log_text("reason", error.text));
        backoff_grow(&checkpoint->retry, clock_ms(), RETRY_MS_MIN, RETRY_MS_MAX);
    }
    atomic_store(&checkpoint->is_denied,
                 !is_good && redis_store_must_be_set_up(checkpoint->options.store));
    atomic_store(&checkpoint->is_reachable, is_good);
}

/* When the epochs that are ready are to be stored. Where none of them has anything to store they
 * wait a little for others, since one call verifies all that come by then. */
static int64_t ready_ms(const struct checkpoint *checkpoint) {
    int64_t until_ms = CLOCK_NEVER_MS;
    for (size_t i = 0; i < checkpoint->ready_count; i++) {
        const struct epoch *epoch = checkpoint->epochs[checkpoint->ready[i]];
        const struct cursor_cut *cut = &epoch->parts[0]->cut;
        if (cut->base != cut->end || cut->base == CURSOR_UNKNOWN ||
            !lineage_tip_equals(cut->base_tip, lineage_tip(&cut->lineage))) {
            return checkpoint->retry.until_ms;
        }
        const int64_t own_ms = epoch->since_us / 1000 + VERIFY_WAIT_MS;
        if (own_ms < until_ms) until_ms = own_ms;
    }
    return until_ms > checkpoint->retry.until_ms ? until_ms : checkpoint->retry.until_ms;
}

/* When to look again, at the latest. A new master is not left waiting for a delay that grew while
 * there was none. */
static int64_t look_ms(struct checkpoint *checkpoint, int64_t now_ms) {
    struct backoff *retry = &checkpoint->retry;
    if (retry->until_ms <= now_ms) return CLOCK_NEVER_MS;
    if (now_ms < checkpoint->redirect_ms) return checkpoint->redirect_ms;
    if (!redis_store_is_redirected(checkpoint->options.store)) return now_ms + REDIRECT_LOOK_MS;
    checkpoint->redirect_ms = now_ms + REDIRECT_MS;
    backoff_hurry(retry);
    return now_ms;
}

int64_t checkpoint_step(void *context, int64_t now_ms) {
    struct checkpoint *checkpoint = context;
    take_mail(checkpoint);
    if (checkpoint->ready_count == 0 || checkpoint->has_given_up) return CLOCK_NEVER_MS;
    const int64_t look_at_ms = look_ms(checkpoint, now_ms);
    const int64_t due_ms = ready_ms(checkpoint);
    if (now_ms < due_ms) return due_ms < look_at_ms ? due_ms : look_at_ms;
    store_ready(checkpoint);
    return checkpoint->ready_count > 0 ? now_ms : CLOCK_NEVER_MS;
}

bool checkpoint_start(struct checkpoint *checkpoint) {
    return worker_start(&checkpoint->worker);
}

void checkpoint_stop(struct checkpoint *checkpoint) {
    worker_stop(&checkpoint->worker);
    take_mail(checkpoint);
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++) {
        if (checkpoint->epochs[p] != NULL) close_epoch(checkpoint, p, false);
    }
}

void checkpoint_destroy(struct checkpoint **checkpoint) {
    if (*checkpoint == NULL) return;
    checkpoint_stop(*checkpoint);
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++)
        free((*checkpoint)->epochs[p]);
    free((*checkpoint)->calls);
    inbox_fini(&(*checkpoint)->inbox);
    trouble_fini(&(*checkpoint)->trouble);
    free(*checkpoint);
    *checkpoint = NULL;
}
