/* The real cursor in a modelled world: one partition, three instances, Kafka, Redis, and everything
 * that can go wrong between them, by seeded random schedules. When the faults stop, each record must
 * be counted once (P1) and published once, in order (P2). The mutants at the end leave out one rule
 * each, and must be caught.
 *
 *     SIM_SCHEDULES=1000000 SIM_SEED=7 build/tests/unit/test_core_simulation
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/cursor.h"

enum { LOG_END = 24, INSTANCES = 3, STEPS = 120, SNAPSHOTS = 4, OUTPUT_MAX = 4 * LOG_END };

enum mutant { FAITHFUL, NO_COMPARE, NO_FENCE, NO_REWIND, NO_GATE };

struct redis {
    int64_t stored;
    int counts[LOG_END];
};

struct call {
    bool is_out;
    struct cursor_cut cut;
    int counts[LOG_END];
};

/* What PUBLISH of an instance holds; it outlives the instance's ownership. */
struct transaction {
    bool is_open, is_sent; /* sent: its offsets are with the coordinator, validated */
    uint64_t generation;
    int64_t end, origin;
    int records[LOG_END];
    int record_count;
};

struct instance {
    bool owns, is_paused, is_placed, is_begin_sent;
    int member_generation; /* of the group, as this member knows it */
    uint64_t fence;
    struct cursor cursor;
    int pending[LOG_END]; /* counts since the last cut */
    struct call call;
    struct transaction transaction;
};

struct world {
    uint64_t random;
    enum mutant mutant;
    bool is_hole[LOG_END];
    struct redis redis, snapshots[SNAPSHOTS];
    int64_t committed, origin;
    int group_generation, owner;
    int owner_since; /* the group generation from which on the owner has been the same */
    int output[OUTPUT_MAX];
    int output_count;
    uint64_t next_generation;
    struct instance instances[INSTANCES];
};

static uint32_t roll(struct world *world, uint32_t sides) { /* splitmix64 */
    uint64_t z = (world->random += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)((z ^ (z >> 31)) % sides);
}

static void place(struct instance *instance) {
    struct cursor_finding finding =
        cursor_resume(&instance->cursor, (struct cursor_log){0, LOG_END},
                      (struct cursor_policy){CURSOR_START_EARLIEST, CURSOR_GAP_FAIL});
    assert_int_not_equal(finding.what, CURSOR_GAP);
    instance->is_placed = finding.what != CURSOR_WAITS;
}

static void rewind_after(struct world *world, struct instance *instance,
                         enum cursor_verdict verdict) {
    if (verdict != CURSOR_REWIND || world->mutant == NO_REWIND) return;
    place(instance);
}

/* --- Redis: the compare of checkpoint.lua ------------------------------------------------------- */

static int64_t redis_apply(struct world *world, const struct call *call) {
    struct redis *redis = &world->redis;
    if (call->cut.base == CURSOR_UNKNOWN) return redis->stored;
    if (redis->stored != call->cut.base && world->mutant != NO_COMPARE) return redis->stored;
    if (call->cut.base == call->cut.end && world->mutant != NO_COMPARE) return redis->stored;
    for (int i = 0; i < LOG_END; i++)
        redis->counts[i] += call->counts[i];
    redis->stored = call->cut.end;
    return redis->stored;
}

static void deliver(struct world *world, struct instance *instance, bool is_reply_lost) {
    if (!instance->call.is_out) return;
    int64_t stored = redis_apply(world, &instance->call);
    if (is_reply_lost || instance->is_paused) return; /* sent again later */
    instance->call.is_out = false;
    if (!instance->owns) return;
    uint64_t before = instance->cursor.counted.generation;
    enum cursor_verdict verdict =
        cursor_counted(&instance->cursor, instance->call.cut.generation, stored);
    if (instance->cursor.counted.generation != before) {
        memset(instance->pending, 0, sizeof instance->pending);
    }
    rewind_after(world, instance, verdict);
}

static void cut(struct instance *instance) {
    if (!instance->owns || instance->call.is_out || !cursor_can_cut(&instance->cursor)) return;
    instance->call.cut = cursor_cut(&instance->cursor);
    instance->call.is_out = true;
    memcpy(instance->call.counts, instance->pending, sizeof instance->pending);
    memset(instance->pending, 0, sizeof instance->pending);
}

/* --- Kafka: transactions fenced by the group's generation only ---------------------------------- */

static void unpublished(struct world *world, struct instance *instance) {
    uint64_t generation = instance->transaction.generation;
    instance->transaction = (struct transaction){0};
    if (!instance->owns) return;
    uint64_t counted_generation = instance->cursor.counted.generation;
    enum cursor_verdict verdict =
        cursor_unpublished(&instance->cursor, generation, world->committed, world->origin);
    if (instance->cursor.counted.generation != counted_generation) {
        memset(instance->pending, 0, sizeof instance->pending);
    }
    if (verdict == CURSOR_REWIND) instance->is_begin_sent = false;
    rewind_after(world, instance, verdict);
}

static void send_offsets(struct world *world, struct instance *instance) {
    struct transaction *transaction = &instance->transaction;
    if (!transaction->is_open || transaction->is_sent) return;
    bool is_let = transaction->generation >= instance->fence || world->mutant == NO_FENCE;
    if (is_let && instance->member_generation == world->group_generation) {
        transaction->is_sent = true;
    } else {
        unpublished(world, instance);
    }
}

/* The coordinator ends a transaction; the instance may or may not hear of it. */
static void end_transaction(struct world *world, struct transaction *transaction, bool commits) {
    if (!transaction->is_sent) return;
    transaction->is_sent = false;
    if (!commits) return;
    for (int i = 0; i < transaction->record_count && world->output_count < OUTPUT_MAX; i++) {
        world->output[world->output_count++] = transaction->records[i];
    }
    world->committed = transaction->end;
    world->origin = transaction->origin;
}

static void commit(struct world *world, struct instance *instance, uint32_t luck) {
    struct transaction *transaction = &instance->transaction;
    if (!transaction->is_sent) return;
    end_transaction(world, transaction, luck != 0);
    if (luck <= 1) { /* aborted, or committed and not heard of: the committed offset tells */
        unpublished(world, instance);
        return;
    }
    if (instance->owns) {
        cursor_published(&instance->cursor, transaction->generation, transaction->end);
    }
    *transaction = (struct transaction){0};
}

/* --- an instance -------------------------------------------------------------------------------- */

static void join_transaction(struct instance *instance) {
    struct transaction *transaction = &instance->transaction;
    transaction->is_open = true;
    transaction->generation = instance->cursor.published.generation;
    transaction->end = instance->cursor.published.next;
    transaction->origin = instance->cursor.origin;
}

static void read_one(struct world *world, struct instance *instance) {
    struct cursor *cursor = &instance->cursor;
    if (!instance->owns || !instance->is_placed) return;
    struct transaction *transaction = &instance->transaction;
    if (transaction->is_sent) return; /* PUBLISH is busy committing */
    if (transaction->is_open && transaction->generation != cursor->published.generation) {
        unpublished(world, instance);
        return;
    }
    if (cursor->published.stored == CURSOR_ABSENT && !instance->is_begin_sent) {
        instance->is_begin_sent = true;
        join_transaction(instance);
    }
    int64_t offset = cursor->position;
    while (offset < LOG_END && world->is_hole[offset])
        offset++;
    if (offset >= LOG_END) return;
    struct cursor_taken taken = cursor_take(cursor, offset);
    if (world->mutant == NO_GATE) taken.count = true;
    if (taken.count) instance->pending[offset]++;
    if (!taken.publish) return;
    join_transaction(instance);
    if (transaction->record_count < LOG_END) {
        transaction->records[transaction->record_count++] = (int)offset;
    }
}

static void let_go(struct world *world, struct instance *instance) {
    instance->owns = false;
    world->next_generation += UINT64_C(1) << 32;
    instance->fence = world->next_generation;
    memset(instance->pending, 0, sizeof instance->pending);
}

static void drain(struct world *world, struct instance *instance) {
    send_offsets(world, instance);
    commit(world, instance, 2);
    cut(instance);
    deliver(world, instance, false);
}

static void reassign(struct world *world, bool is_drained) {
    struct instance *old = &world->instances[world->owner];
    if (is_drained && old->owns && !old->is_paused) {
        drain(world, old);
        let_go(world, old);
    }
    world->group_generation++;
    int owner = (int)roll(world, INSTANCES);
    if (owner != world->owner) world->owner_since = world->group_generation;
    world->owner = owner;
}

/* A member notices what the group has become. */
static void learn(struct world *world, struct instance *instance) {
    bool is_owner = instance == &world->instances[world->owner];
    bool is_current = instance->member_generation == world->group_generation;
    if (instance->owns && (!is_owner || !is_current)) {
        bool may_stay = is_owner && instance->member_generation >= world->owner_since;
        if (!may_stay || roll(world, 2))
            let_go(world, instance); /* cooperative: what stays, stays */
    }
    instance->member_generation = world->group_generation;
}

/* The owner reads both watermarks; Kafka makes it wait for transactions that are still open. */
static void acquire(struct world *world, struct instance *instance, bool is_redis_away) {
    if (instance != &world->instances[world->owner] || instance->owns ||
        instance->member_generation != world->group_generation) {
        return;
    }
    for (int i = 0; i < INSTANCES; i++) {
        end_transaction(world, &world->instances[i].transaction, roll(world, 2) == 1);
    }
    instance->owns = true;
    instance->is_begin_sent = false;
    world->next_generation += UINT64_C(1) << 32;
    cursor_init(&instance->cursor, world->next_generation);
    cursor_found(&instance->cursor, is_redis_away ? CURSOR_UNKNOWN : world->redis.stored,
                 world->committed, world->origin);
    memset(instance->pending, 0, sizeof instance->pending);
    instance->call.is_out = false;
    place(instance);
}

static void crash(struct world *world, struct instance *instance) {
    end_transaction(world, &instance->transaction, roll(world, 2) == 1);
    *instance = (struct instance){.member_generation = -1, .fence = world->next_generation};
}

static void step(struct world *world) {
    struct instance *instance = &world->instances[roll(world, INSTANCES)];
    if (roll(world, 3)) instance = &world->instances[world->owner];
    uint32_t what = roll(world, 100);
    if (what >= 92) {
        if (what == 92) crash(world, instance);
        if (what == 93) instance->is_paused = !instance->is_paused;
        if (what == 94 || what == 95) reassign(world, what == 94);
        if (what == 96) world->snapshots[roll(world, SNAPSHOTS)] = world->redis;
        if (what == 97) world->redis = world->snapshots[roll(world, SNAPSHOTS)];
        if (what == 98) world->redis = (struct redis){.stored = CURSOR_ABSENT};
        if (what == 99) end_transaction(world, &instance->transaction, false); /* timed out */
        return;
    }
    if (what < 10) deliver(world, instance, roll(world, 3) == 0); /* late calls land too */
    if (instance->is_paused) return;
    if (what >= 10 && what < 60) read_one(world, instance);
    if (what >= 60 && what < 68) cut(instance);
    if (what >= 68 && what < 76) send_offsets(world, instance);
    if (what >= 76 && what < 82) commit(world, instance, roll(world, 8));
    if (what >= 82 && what < 87) learn(world, instance);
    if (what >= 87) acquire(world, instance, roll(world, 5) == 0);
}

static void quiesce(struct world *world) {
    for (int i = 0; i < INSTANCES; i++) {
        struct instance *instance = &world->instances[i];
        instance->is_paused = false;
        deliver(world, instance, false);
    }
    reassign(world, false);
    for (int round = 0; round < 12 * LOG_END; round++) {
        for (int i = 0; i < INSTANCES; i++) {
            struct instance *instance = &world->instances[i];
            learn(world, instance);
            acquire(world, instance, false);
            read_one(world, instance);
            if (round % 4 != 0) continue;
            send_offsets(world, instance);
            commit(world, instance, 2);
            cut(instance);
            deliver(world, instance, false);
        }
    }
}

/* NULL if P1 and P2 hold, else what does not. */
static const char *judge(const struct world *world) {
    int next = 0;
    for (int i = 0; i < LOG_END; i++) {
        if (world->redis.counts[i] != (world->is_hole[i] ? 0 : 1)) return "P1";
    }
    for (int i = 0; i < world->output_count; i++) {
        while (next < LOG_END && world->is_hole[next])
            next++;
        if (world->output[i] != next++) return "P2: order or duplicate";
    }
    while (next < LOG_END && world->is_hole[next])
        next++;
    return next < LOG_END ? "P2: missing" : NULL;
}

static const char *simulate(uint64_t seed, enum mutant mutant) {
    static struct world world;
    memset(&world, 0, sizeof world);
    world.random = seed;
    world.mutant = mutant;
    world.committed = world.origin = world.redis.stored = CURSOR_ABSENT;
    for (int i = 0; i < SNAPSHOTS; i++)
        world.snapshots[i] = world.redis;
    for (int i = 0; i < LOG_END; i++)
        world.is_hole[i] = roll(&world, 6) == 0;
    for (int i = 0; i < STEPS; i++)
        step(&world);
    quiesce(&world);
    return judge(&world);
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void each_record_is_counted_once_and_published_once_in_order(void **state) {
    (void)state;
    uint64_t schedules = number_from("SIM_SCHEDULES", 100000), seed = number_from("SIM_SEED", 1);
    clock_t begin = clock();
    for (uint64_t i = 0; i < schedules; i++) {
        const char *broken = simulate(seed + i, FAITHFUL);
        if (broken != NULL) {
            fail_msg("%s is broken by SIM_SEED=%llu SIM_SCHEDULES=1", broken,
                     (unsigned long long)(seed + i));
        }
    }
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    print_message("%llu schedules from seed %llu: %.0f a second\n", (unsigned long long)schedules,
                  (unsigned long long)seed, (double)schedules / (seconds + 1e-9));
}

static void must_catch(enum mutant mutant) {
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        if (simulate(seed, mutant) != NULL) return;
    }
    fail_msg("20000 schedules did not notice the missing rule");
}

static void without_the_compare_it_fails(void **state) {
    (void)state;
    must_catch(NO_COMPARE);
}

static void without_the_fence_it_fails(void **state) {
    (void)state;
    must_catch(NO_FENCE);
}

static void without_the_rewind_it_fails(void **state) {
    (void)state;
    must_catch(NO_REWIND);
}

static void without_the_gate_it_fails(void **state) {
    (void)state;
    must_catch(NO_GATE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_record_is_counted_once_and_published_once_in_order),
        cmocka_unit_test(without_the_compare_it_fails),
        cmocka_unit_test(without_the_fence_it_fails),
        cmocka_unit_test(without_the_rewind_it_fails),
        cmocka_unit_test(without_the_gate_it_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
