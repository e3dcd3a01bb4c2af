#include "redis.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "broker.h"
#include "edge/redis_glance.h"
#include "edge/redis_link.h"
#include "edge/redis_master.h"
#include "edge/redis_snapshot.h"
#include "edge/redis_store.h"
#include "flow/tally.h"
#include "judge.h"
#include "process.h"
#include "records.h"

enum {
    SAVED = 2,
    LATE = 6,
    PENDING_MAX = 200, /* about the keys of an epoch, from which on INGEST stops */
};

/* A call on its way: what it would add. */
struct call {
    int partition; /* -1: none */
    int64_t base, end, at_us;
    struct lineage_tip base_tip;
    struct lineage lineage;
    int64_t origin;
    struct counts counts;
};

struct redis redis;
static struct redis saved[SAVED];
static struct call late[LATE];

/* --- what it holds ---------------------------------------------------------------------------- */

void redis_flush(void) {
    for (int p = 0; p < PARTITIONS_MAX; p++) {
        redis.partitions[p] = (struct stored){.offset = CURSOR_ABSENT, .origin = CURSOR_ABSENT};
        broker_note_counted(p, CURSOR_ABSENT, NULL);
    }
}

void redis_begin(void) {
    redis.back_us = 0;
    redis_flush();
    for (int i = 0; i < SAVED; i++)
        saved[i] = redis;
    for (int i = 0; i < LATE; i++)
        late[i].partition = -1;
}

void redis_save(void) {
    saved[roll(SAVED)] = redis;
}

void redis_roll_back(void) {
    const int64_t back_us = redis.back_us;
    redis = saved[roll(SAVED)];
    redis.back_us = back_us;
    for (int p = 0; p < PARTITIONS_MAX; p++)
        broker_note_counted(p, redis.partitions[p].offset, &redis.partitions[p].lineage);
}

static void add(struct counts *into, const struct counts *counts) {
    for (int i = 0; i < EDITIONS * LOG_MAX; i++)
        into->minutes[i] = (int16_t)(into->minutes[i] + counts->minutes[i]);
    for (int i = 0; i < LOGIN_REASON_COUNT; i++)
        into->reasons[i] = (int16_t)(into->reasons[i] + counts->reasons[i]);
    for (int i = 0; i < LOGIN_DIMENSIONS_MAX; i++)
        into->weights[i] += counts->weights[i];
    for (int i = 0; i < DISTINCT; i++)
        into->declared[i] += counts->declared[i];
    for (int c = 0; c < COUNTS_MAX - DISTINCT; c++) {
        for (int i = 0; i < EDITIONS * LOG_MAX; i++)
            into->distinct[c][i] |= counts->distinct[c][i];
    }
}

/* checkpoint.lua. Returns what is stored afterwards. */
static int64_t apply(const struct call *call) {
    struct stored *stored = &redis.partitions[call->partition];
    const bool is_base = (stored->offset == call->base &&
                          lineage_tip_equals(lineage_tip(&stored->lineage), call->base_tip)) ||
                         (simulation_options.mutant == NO_COMPARE && call->base != CURSOR_UNKNOWN);
    const bool is_empty =
        call->base == call->end && lineage_tip_equals(call->base_tip, lineage_tip(&call->lineage));
    if (!is_base || is_empty) return stored->offset;
    add(&stored->counts, &call->counts);
    stored->offset = call->end;
    stored->lineage = call->lineage;
    if (call->origin >= 0) stored->origin = call->origin;
    broker_note_counted(call->partition, stored->offset, &stored->lineage);
    judge_counts(call->partition);
    return stored->offset;
}

/* --- calls ------------------------------------------------------------------------------------ */

/* The record of the partition that leaves this in a HyperLogLog; -1: none. */
static int find_distinct(int partition, uint32_t distinct, const struct record **found) {
    for (int i = 0; i < EDITIONS * LOG_MAX; i++) {
        const int edition = i / LOG_MAX, offset = i % LOG_MAX;
        if (edition > broker.edition[partition][offset]) continue;
        *found = record_of_edition(partition, edition, offset);
        if (*found != NULL && (*found)->reason == LOGIN_ACCEPTED && (*found)->distinct == distinct)
            return i;
    }
    return -1;
}

/* Adds a HyperLogLog, by what Redis would be told, under a key of this weight. */
static void add_distinct(struct call *call, int count, int64_t weight,
                         const struct hyperloglog *hyperloglog) {
    char elements[HYPERLOGLOG_DENSE_BYTES];
    const size_t length = hyperloglog_write(hyperloglog, elements);
    for (size_t at = 0; at < length; at += HYPERLOGLOG_ELEMENT_BYTES) {
        const struct slice element = {elements + at, HYPERLOGLOG_ELEMENT_BYTES};
        const struct record *record = NULL;
        const int found =
            find_distinct(call->partition, record_distinct(hyperloglog_hash(element)), &record);
        if (found < 0)
            broken("P1: p%d counts a distinct value that none of its records has", call->partition);
        if (record->declared[count] != weight)
            broken("P1: p%d: the distinct value of the record at %d is not where it belongs",
                   call->partition, found);
        call->counts.distinct[count - DISTINCT][found] = true;
    }
}

static void add_declared(struct call *call, int count, const struct delta *delta,
                         const struct delta_entry *entry) {
    const struct delta_key key = delta_key(delta, entry);
    const struct slice value = declared_key_value(key.bytes, key.length);
    const int64_t weight = record_count_weight(declared_key_bucket(key.bytes), value);
    if (entry->is_distinct != (count >= DISTINCT))
        broken("P1: declared count %d counts %s", count,
               entry->is_distinct ? "distinct values" : "events");
    if (entry->is_distinct)
        add_distinct(call, count, weight, &delta->distinct[entry->count]);
    else
        call->counts.declared[count] += entry->count * weight;
}

static void add_delta(struct call *call, const struct aggregates *aggregates,
                      const struct delta *delta) {
    const int64_t first = record_first_minute() + record_index(call->partition, 0, 0);
    for (uint32_t i = 0; i < delta->entry_count; i++) {
        const struct delta_entry *entry = &delta->entries[i];
        const struct aggregate *aggregate = &aggregates->items[entry->field];
        const struct delta_key key = delta_key(delta, entry);
        if (aggregate->source == AGGREGATE_DIMENSION) { /* they come first in the table */
            call->counts.weights[entry->field] +=
                entry->count * record_weight(key.bytes, key.length);
        } else if (aggregate->source == AGGREGATE_DECLARED) {
            add_declared(call, (int)(entry->field - aggregates->first_declared), delta, entry);
        } else if (aggregate->source == AGGREGATE_REASON) {
            int16_t *reason = &call->counts.reasons[delta_number(key)];
            *reason = (int16_t)(*reason + entry->count);
        } else {
            const int64_t minute = delta_number(key) - first;
            if (minute < 0 || minute >= EDITIONS * LOG_MAX)
                broken("P1: p%d counts a minute that none of its records has", call->partition);
            call->counts.minutes[minute] = (int16_t)(call->counts.minutes[minute] + entry->count);
        }
    }
}

static struct call call_of(const struct aggregates *aggregates, const struct store_call *from) {
    struct call call = {.partition = from->partition,
                        .base = from->base,
                        .end = from->end,
                        .base_tip = from->base_tip,
                        .lineage = from->lineage,
                        .origin = from->origin};
    size_t keys = 0;
    for (size_t i = 0; i < from->delta_count; i++) {
        add_delta(&call, aggregates, from->deltas[i]);
        keys += from->deltas[i]->entry_count;
    }
    if (keys > PENDING_MAX) happens(EVENT_CHECKPOINT_FULL);
    return call;
}

/* A number for the contents of a delta; that of two deltas together is their sum. */
static uint64_t sum_of(const struct delta *delta) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < delta->entry_count; i++) {
        const struct delta_entry *entry = &delta->entries[i];
        const struct delta_key key = delta_key(delta, entry);
        const uint64_t weight = (uint64_t)record_weight(key.bytes, key.length) + key.field;
        sum += (uint64_t)entry->count * weight * weight;
    }
    return sum;
}

/* In place of flow/tally's: the running totals must hold what was stored, and nothing else. */
void __wrap_tally_add(struct tally *tally, const struct delta *delta);
void __real_tally_add(struct tally *tally, const struct delta *delta);

void __wrap_tally_add(struct tally *tally, const struct delta *delta) {
    current->totals_sum += sum_of(delta);
    __real_tally_add(tally, delta);
}

/* Nobody waits for it any more, and it may arrive yet. */
static void leave(const struct call *call) {
    if (one_in(3)) return;
    struct call *place = &late[roll(LATE)];
    *place = *call;
    place->at_us = world.now_us + roll(one_in(3) ? 20000 : 500) * (int64_t)MS_US;
    happens(EVENT_LATE_CALL);
    trace("its call for p%d is left on its way", call->partition);
}

void redis_tick(void) {
    for (struct call *call = late; call < late + LATE; call++) {
        if (call->partition < 0 || world.now_us < call->at_us || world.now_us < redis.back_us)
            continue;
        const int64_t before = redis.partitions[call->partition].offset;
        if (apply(call) == call->end && before != call->end) {
            happens(EVENT_LATE_APPLIED);
            trace("redis: a late call for p%d: %lld to %lld", call->partition,
                  (long long)call->base, (long long)call->end);
        }
        call->partition = -1;
    }
}

int64_t redis_next_us(void) {
    int64_t next_us = redis.back_us > world.now_us ? redis.back_us : NEVER_US;
    for (const struct call *call = late; call < late + LATE; call++) {
        if (call->partition < 0) continue;
        const int64_t at_us = call->at_us > redis.back_us ? call->at_us : redis.back_us;
        if (at_us < next_us) next_us = at_us;
    }
    return next_us;
}

bool redis_is_quiet(void) {
    for (const struct call *call = late; call < late + LATE; call++) {
        if (call->partition >= 0) return false;
    }
    return true;
}

/* --- redis_store ------------------------------------------------------------------------------ */

struct redis_store {
    const struct aggregates *aggregates;
};

struct redis_store *redis_store_create(const struct redis_store_options *options,
                                       struct error *error) {
    (void)error;
    struct redis_store *store = memory_create(sizeof *store);
    store->aggregates = options->aggregates;
    current->handle_count++;
    return store;
}

void redis_store_destroy(struct redis_store **store) {
    if (*store != NULL) current->handle_count--;
    free(*store);
    *store = NULL;
}

const char *redis_store_name(const struct redis_store *store) {
    (void)store;
    return "redis";
}

bool redis_store_must_be_set_up(const struct redis_store *store) {
    (void)store;
    return false;
}

bool redis_store_is_redirected(const struct redis_store *store) {
    (void)store;
    if (current->has_told) broken("a new master is known, and its call is not made again");
    current->has_told = current->is_redirected;
    return current->is_redirected;
}

static bool is_back(const void *context) {
    (void)context;
    return world.now_us >= redis.back_us;
}

/* One way to Redis, or back. */
static bool trip(struct error *error) {
    const int64_t deadline_us = world.now_us + REDIS_TIMEOUT_MS * (int64_t)MS_US;
    call_lets_others();
    if (current->is_killed) return error_set(error, "killed");
    if (fails(100)) {
        happens(EVENT_EXPIRED);
        call_waits(NULL, NULL, deadline_us);
        return error_set(error, "Redis does not answer in time; start Redis");
    }
    if (is_back(NULL)) return true;
    happens(EVENT_REDIS_AWAY);
    if (one_in(2)) return error_set(error, "Redis cannot be reached; start Redis");
    return (call_waits(is_back, NULL, deadline_us) && !current->is_killed) ||
           error_set(error, "Redis does not answer in time; start Redis");
}

enum store_verdict redis_store_check(struct redis_store *store, struct error *warning,
                                     struct error *error) {
    (void)store;
    error_set(warning, "%s", "");
    if (must_be_fixed(error)) return STORE_REFUSED;
    if (!trip(error)) return STORE_RETRY;
    return trip(error) ? STORE_OK : STORE_RETRY;
}

static void take_answer(struct store_call *call, int64_t stored) {
    call->verdict = STORE_OK;
    call->stored = stored;
    call->stored_lineage = redis.partitions[call->partition].lineage;
    const bool is_there = store_call_is_stored(call);
    call->stored_origin = is_there ? CURSOR_ABSENT : redis.partitions[call->partition].origin;
    if (is_there && one_in(16)) {
        call->anomalies[0] = (struct store_anomaly){"2024-07-10 14:36", 11};
        call->anomaly_count = 1;
    }
    for (size_t i = 0; is_there && call->base != CURSOR_UNKNOWN && i < call->delta_count; i++)
        current->stored_sum += sum_of(call->deltas[i]);
    trace("stores p%d: %lld to %lld, and %lld is stored", call->partition, (long long)call->base,
          (long long)call->end, (long long)stored);
}

/* What became of a call that came to nothing; `error` keeps the first refusal, or else the first of
 * all. */
static void give_up(struct store_call *call, enum store_verdict verdict, const char *why,
                    enum store_verdict *worst, struct error *error) {
    call->verdict = verdict;
    world.is_drain_aborted |= world.stage >= STAGE_BUSY;
    if (call->base == CURSOR_UNKNOWN) {
        happens(EVENT_REDIS_AWAY_AT_ASSIGNMENT);
        if (broker.committed[call->partition].offset < 0) happens(EVENT_WAITS);
    }
    if (verdict > *worst) error_set(error, "%s", why);
    if (verdict > *worst) *worst = verdict;
}

void redis_store_apply(struct redis_store *store, struct store_call *calls, size_t count,
                       struct error *error) {
    static const char broke[] = "the connection to Redis broke";
    struct error refusal;
    enum store_verdict worst = STORE_OK;
    current->is_redirected = current->has_told = false;
    bool is_broken = !trip(error);
    const bool was_sent = !is_broken || (is_back(NULL) && one_in(2));
    size_t good_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct call call = call_of(store->aggregates, &calls[i]);
        if (!is_broken && i > 0) call_lets_others(); /* others' calls come between */
        is_broken |= current->is_killed || fails(20);
        if (is_broken) {
            give_up(&calls[i], STORE_RETRY, broke, &worst, error);
            if (was_sent) leave(&call);
            current->is_redirected |= fails(4);
            if (current->is_redirected) happens(EVENT_REDIRECTED);
        } else if (fails(20)) {
            happens(EVENT_REDIS_FULL);
            give_up(&calls[i], STORE_RETRY, "OOM: Redis is full", &worst, error);
        } else if (must_be_fixed(&refusal)) {
            give_up(&calls[i], STORE_REFUSED, refusal.text, &worst, error);
        } else {
            const int64_t stored = apply(&call);
            is_broken = fails(10);
            if (is_broken) {
                happens(EVENT_REPLY_LOST);
                trace("the reply for p%d is lost", call.partition);
                give_up(&calls[i], STORE_RETRY, broke, &worst, error);
                continue;
            }
            take_answer(&calls[i], stored);
            good_count++;
        }
    }
    if (good_count > 0 && good_count < count) happens(EVENT_PARTLY_STORED);
    current->has_failed_store |= good_count < count;
    call_lets_others();
    current->has_failed_store = good_count < count; /* only now does its caller know */
}

/* --- redis_master, and redis_link of what is only looked at -------------------------- */

struct redis_master {
    int unused;
};

struct redis_master *redis_master_create(const struct redis_settings *settings,
                                         struct error *error) {
    (void)settings;
    (void)error;
    current->handle_count++;
    return memory_create(sizeof(struct redis_master));
}

void redis_master_destroy(struct redis_master **master) {
    if (*master != NULL) current->handle_count--;
    free(*master);
    *master = NULL;
}

bool redis_master_renew(struct redis_master *master) {
    (void)master;
    return one_in(2);
}

struct redis_link {
    int unused;
};

struct redis_link *redis_link_create(const struct redis_settings *settings, struct error *error) {
    (void)settings;
    (void)error;
    current->handle_count++;
    return memory_create(sizeof(struct redis_link));
}

void redis_link_destroy(struct redis_link **link) {
    if (*link != NULL) current->handle_count--;
    free(*link);
    *link = NULL;
}

bool redis_link_open(struct redis_link *link, struct error *error) {
    (void)link;
    return !one_in(4) || error_set(error, "Redis does not answer");
}

bool redis_link_clock(struct redis_link *link, int64_t *now_ms, struct error *error) {
    (void)link;
    *now_ms = -1;
    call_lets_others();
    return !one_in(4) || error_set(error, "Redis does not answer");
}

bool redis_link_info(struct redis_link *link, const char *field, char *out, size_t out_bytes,
                     struct error *error) {
    (void)link;
    (void)field;
    (void)out;
    (void)out_bytes;
    (void)error;
    return false;
}

struct redis_glance *redis_glance_create(const struct aggregates *aggregates) {
    (void)aggregates;
    return memory_create(sizeof(struct redis_glance));
}

void redis_glance_copy(struct redis_glance *into, const struct redis_glance *from) {
    *into = *from;
}

bool redis_glance_read(struct redis_link *link, const char *prefix,
                       const struct aggregates *aggregates, struct redis_glance *glance,
                       struct error *error) {
    (void)link;
    (void)prefix;
    (void)aggregates;
    glance->minute_count = roll(GLANCE_MINUTES);
    call_lets_others();
    return !one_in(4) || error_set(error, "Redis does not answer");
}
