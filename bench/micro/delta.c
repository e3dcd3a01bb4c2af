/* flow/batch and core/delta: the cost of counting a record, from its values to a shard's sums. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "flow/batch.h"
#include "micro.h"
#include "records.h"
#include "tools/event.h"

enum { SHARDS = 2, BATCHES_AN_EPOCH = 64, SEED = 42, MERGED_KEYS = 1024 };

static char device_type[] = "device_type", locale[] = "locale";
static const struct aggregate_settings settings = {.dimensions = {{device_type, locale}, 2}};

struct count {
    struct aggregates aggregates;
    struct alarm alarm;
    struct inbox home;
    atomic_size_t pending_bytes;
    struct batch *batch;
    struct delta shards[SHARDS];
    struct login logins[RECORDS_COUNT];
    int batches;
};

static struct slice text(const char *string) {
    return (struct slice){string, strlen(string)};
}

static void *set_up_count(void) {
    const struct event_plan plan = {.seed = 1,
                                    .users = 100000,
                                    .skew = 1.0,
                                    .start_ms = INT64_C(1720622216000),
                                    .rate = 100000};
    struct count *count = memory_create(sizeof *count);
    struct event_source *source = event_source_create(&plan);
    if (count == NULL || source == NULL) micro_fail("out of memory");
    aggregates_init(&count->aggregates, &settings);
    inbox_init(&count->home, &count->alarm);
    count->batch = batch_create(0, SHARDS, 1 << 20, &count->home, &count->pending_bytes);
    if (count->batch == NULL) micro_fail("out of memory");
    for (int i = 0; i < RECORDS_COUNT; i++) {
        struct event event;
        event_next(source, &event);
        count->logins[i].values[0] = text(event.device_type);
        count->logins[i].values[1] = text(event.locale);
        count->logins[i].minute = event.minute;
    }
    event_source_destroy(&source);
    return count;
}

/* As in the flow: a batch combines 1,024 records, each shard merges its part, and after some
 * batches the shard's sums leave with the epoch. */
static void run_count(void *state, int64_t operations) {
    struct count *count = state;
    for (int64_t i = 0; i < operations; i++) {
        batch_count(count->batch, SEED, &count->aggregates, &count->logins[i % RECORDS_COUNT]);
        if (i % RECORDS_COUNT != RECORDS_COUNT - 1) continue;
        for (int s = 0; s < SHARDS; s++) {
            delta_merge(&count->shards[s], &count->batch->parts[s].delta);
            if (count->batches % BATCHES_AN_EPOCH == 0) delta_clear(&count->shards[s]);
        }
        count->batches++;
        batch_clear(count->batch);
    }
}

static void tear_down_count(void *state) {
    struct count *count = state;
    for (int s = 0; s < SHARDS; s++)
        delta_release(&count->shards[s]);
    batch_destroy(&count->batch);
    inbox_fini(&count->home);
    free(count);
}

struct merge {
    struct delta into, from;
};

static void *set_up_merge(void) {
    struct merge *merge = calloc(1, sizeof *merge);
    if (merge == NULL) micro_fail("out of memory");
    for (int64_t i = 0; i < MERGED_KEYS; i++) {
        delta_add(&merge->from, delta_number_key(SEED, 0, &i), 1);
    }
    return merge;
}

static void run_merge(void *state, int64_t operations) {
    struct merge *merge = state;
    for (int64_t i = 0; i < operations; i += MERGED_KEYS)
        delta_merge(&merge->into, &merge->from);
}

static void tear_down_merge(void *state) {
    struct merge *merge = state;
    delta_release(&merge->into);
    delta_release(&merge->from);
    free(merge);
}

const struct micro micro_delta[] = {
    {"count", "record combined, routed to 2 shards and merged there", CLOCK_PROCESS_CPUTIME_ID,
     set_up_count, run_count, tear_down_count},
    {"delta-merge", "one of 1,024 keys merged", CLOCK_PROCESS_CPUTIME_ID, set_up_merge, run_merge,
     tear_down_merge},
    {0},
};
