/* The group, the faults, and the judgement at the end; see world.h for the steps of an instance. */
#include "simulation.h"

#include <assert.h>
#include <string.h>

#include "world.h"

/* --- the group ------------------------------------------------------------------------------- */

static uint64_t raise_fence(struct world *world, struct instance *instance) {
    world->next_generation += UINT64_C(1) << 32;
    instance->fence = world->next_generation;
    return instance->fence;
}

static void let_go(struct world *world, struct instance *instance) {
    instance->owns = OWNS_NOT;
    instance->is_same = true;
    raise_fence(world, instance);
    clear_counts(&instance->pending);
}

static void drain(struct world *world, struct instance *instance) {
    while (instance->queue_count > 0 && instance->transaction.state <= TXN_OPEN) {
        publish_one(world, instance);
    }
    send_offsets(world, instance);
    receive_offsets(world, instance);
    commit(world, instance, 2);
    cut(world, instance);
    deliver(world, instance, false);
}

static void reassign(struct world *world, bool is_drained) {
    struct instance *old = &world->instances[world->owner];
    bool owns = old->owns == OWNS;
    if (is_drained && owns && old->is_same && !old->is_paused) {
        drain(world, old);
        let_go(world, old);
        befalls(world, EVENT_REVOKED);
    }
    world->group_generation++;
    int owner = (int)roll(world, INSTANCES);
    if (owner != world->owner) world->owner_since = world->group_generation;
    world->owner = owner;
}

/* A member notices what the group has become; not while it still answers to what it was given,
 * since the client does not join again before. What it held without a break it may go on holding; a
 * static member may do so even where it was expelled meanwhile (edge/kafka_group.c). */
static void learn(struct world *world, struct instance *instance) {
    if (instance->owns == OWNS_FINDING) return;
    bool is_owner = instance == &world->instances[world->owner];
    bool is_current = instance->member_generation == world->group_generation;
    if (instance->owns == OWNS && !instance->is_same && roll(world, 2)) let_go(world, instance);
    if (instance->owns == OWNS && instance->is_same && (!is_owner || !is_current)) {
        bool may_stay = is_owner && instance->member_generation >= world->owner_since;
        if (may_stay && roll(world, 2)) {
            /* cooperative: what stays, stays */
        } else if (!may_stay && roll(world, 4) == 0) {
            instance->is_same = false;
            befalls(world, EVENT_REPLACED);
        } else {
            let_go(world, instance);
            befalls(world, EVENT_LOST);
        }
    }
    instance->member_generation = world->group_generation;
}

/* on_assigned: the committed offset first. */
static void find_committed(struct world *world, struct instance *instance) {
    if (instance != &world->instances[world->owner] || instance->owns != OWNS_NOT ||
        instance->member_generation != world->group_generation) {
        return;
    }
    wait_stable(world);
    instance->owns = OWNS_FINDING;
    instance->found_committed = world->committed;
    instance->found_origin = world->origin;
}

/* Then the counted one. */
static void find_counted(struct world *world, struct instance *instance, bool is_redis_away) {
    if (instance->owns != OWNS_FINDING) return;
    if (is_redis_away) befalls(world, EVENT_REDIS_AWAY);
    instance->owns = OWNS;
    instance->is_begin_sent = false;
    cursor_init(&instance->cursor, raise_fence(world, instance));
    cursor_found(&instance->cursor, is_redis_away ? CURSOR_UNKNOWN : world->redis.stored,
                 instance->found_committed, instance->found_origin);
    clear_counts(&instance->pending);
    place(world, instance);
}

/* --- faults ---------------------------------------------------------------------------------- */

static struct login_judge *make_judge(void) {
    struct login_judge *judge = login_judge_create(&input_rules);
    assert(judge != NULL);
    return judge;
}

/* Another process comes in its place. */
static void crash(struct world *world, struct instance *instance) {
    leave_call(world, instance);
    end_transaction(world, &instance->transaction, roll(world, 2) == 1);
    login_judge_destroy(&instance->judge);
    *instance = (struct instance){
        .member_generation = -1,
        .is_same = true,
        .fence = world->next_generation,
        .judge = make_judge(),
    };
}

static void fault(struct world *world, struct instance *instance, uint32_t what) {
    switch (what) {
    case 0:
        crash(world, instance);
        befalls(world, EVENT_CRASH);
        break;
    case 1:
        instance->is_paused = !instance->is_paused;
        befalls(world, EVENT_PAUSE);
        break;
    case 2:
    case 3:
        reassign(world, what == 2);
        break;
    case 4:
        world->redis = world->snapshots[roll(world, SNAPSHOTS)];
        befalls(world, EVENT_REDIS_OLDER);
        break;
    case 5:
        world->redis = (struct redis){.stored = CURSOR_ABSENT};
        befalls(world, EVENT_REDIS_EMPTY);
        break;
    case 6: /* by its timeout */
        end_transaction(world, &instance->transaction, false);
        break;
    default:
        land_late(world, &world->late[roll(world, LATE_CALLS)]);
    }
}

static void step(struct world *world) {
    struct instance *instance = &world->instances[roll(world, INSTANCES)];
    if (roll(world, 3)) instance = &world->instances[world->owner];
    uint32_t what = roll(world, 120);
    if (what == 20) world->snapshots[roll(world, SNAPSHOTS)] = world->redis;
    if (what < 10 && roll(world, world->calm) == 0) fault(world, instance, what);
    if (what >= 10 && what < 13 && world->log_end < LOG_END) world->log_end++;
    if (what >= 13 && what < 20) deliver(world, instance, roll(world, 3) == 0);
    if (instance->is_paused) return;
    if (what >= 21 && what < 54) read_one(world, instance);
    if (what >= 54 && what < 76) publish_one(world, instance);
    if (what >= 76 && what < 88) cut(world, instance);
    if (what >= 88 && what < 95) send_offsets(world, instance);
    if (what >= 95 && what < 100) receive_offsets(world, instance);
    if (what >= 100 && what < 106) commit(world, instance, roll(world, 8));
    if (what >= 106 && what < 110) learn(world, instance);
    if (what >= 110 && what < 114) find_committed(world, instance);
    if (what >= 114) find_counted(world, instance, roll(world, 5) == 0);
}

/* --- the end --------------------------------------------------------------------------------- */

static bool is_done(const struct world *world) {
    for (int i = 0; i < INSTANCES; i++) {
        const struct instance *instance = &world->instances[i];
        if (instance->call.is_out || instance->transaction.state != TXN_NONE) return false;
        if (instance->owns == OWNS && !cursor_is_settled(&instance->cursor)) return false;
    }
    const struct instance *owner = &world->instances[world->owner];
    return owner->owns == OWNS && owner->is_placed && owner->queue_count == 0 &&
           owner->cursor.position >= world->log_end;
}

static void quiesce(struct world *world) {
    world->log_end = LOG_END;
    for (int i = 0; i < LATE_CALLS; i++)
        land_late(world, &world->late[i]);
    for (int i = 0; i < INSTANCES; i++) {
        world->instances[i].is_paused = false;
        deliver(world, &world->instances[i], false);
    }
    reassign(world, false);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < INSTANCES; i++) {
            struct instance *instance = &world->instances[i];
            learn(world, instance);
            find_committed(world, instance);
            find_counted(world, instance, false);
            read_one(world, instance);
            publish_one(world, instance);
            if (round % 4 != 0) continue;
            receive_offsets(world, instance);
            commit(world, instance, 2);
            send_offsets(world, instance);
            cut(world, instance);
            deliver(world, instance, false);
        }
        /* A last verification may yet find that Redis is not what it was. */
        if (round > 8 && round % 4 == 0 && is_done(world)) return;
    }
}

/* NULL if P1 and P2 hold, else what does not. */
static const char *verdict(const struct world *world) {
    int published = 0;
    if (world->origin < 0) return "nothing was begun";
    for (int i = 0; i < LOG_END; i++) {
        bool is_record = world->log[i] >= 0 && i >= world->origin;
        enum outcome expected = is_record ? inputs[world->log[i]].expected : OUTCOME_NONE;
        uint32_t counts = is_record ? UINT32_C(1) << (4 * expected) : 0;
        if (world->redis.counts.at[i] != counts) return "P1";
        if (!is_record) continue;
        if (published == world->output_count) return "P2: missing";
        if (world->output[published] != i) return "P2: order or duplicate";
        if (world->output_outcomes[published++] != (int)expected) return "P2: verdict";
    }
    return published < world->output_count ? "P2: too many" : NULL;
}

static void begin(struct world *world, uint64_t seed, enum mutant mutant) {
    memset(world, 0, sizeof *world);
    world->random = seed;
    world->mutant = mutant;
    world->committed = world->origin = world->redis.stored = CURSOR_ABSENT;
    for (int i = 0; i < SNAPSHOTS; i++)
        world->snapshots[i] = world->redis;
    for (int i = 0; i < LOG_END; i++) {
        world->log[i] = (int8_t)(roll(world, 6) == 0 ? -1 : (int)roll(world, INPUT_KINDS));
        if (world->log[i] < 0) befalls(world, EVENT_HOLE);
        if (world->log[i] >= 0 && world->log[i] < INPUT_BORDERS) befalls(world, EVENT_BORDER);
    }
    world->log_end = roll(world, 2) ? LOG_END : roll(world, LOG_END);
    world->calm = 1 + roll(world, 8);
    world->start = roll(world, 4) == 0 ? CURSOR_START_LATEST : CURSOR_START_EARLIEST;
    if (world->start == CURSOR_START_LATEST) {
        world->log_end = roll(world, LOG_END);
        befalls(world, EVENT_START_LATEST);
    }
    for (int i = 0; i < INSTANCES; i++) {
        world->instances[i].is_same = true;
        world->instances[i].judge = make_judge();
    }
}

const char *simulation_run(uint64_t seed, enum mutant mutant, struct totals *totals) {
    struct world world;
    begin(&world, seed, mutant);
    for (int i = 0; i < STEPS; i++)
        step(&world);
    quiesce(&world);
    for (int i = 0; i < INSTANCES; i++)
        login_judge_destroy(&world.instances[i].judge);
    if (totals != NULL) {
        totals->schedules++;
        totals->records += world.reads;
        for (int i = 0; i < EVENT_COUNT; i++)
            totals->with[i] += world.has_befallen[i];
    }
    return verdict(&world);
}

bool simulation_run_all(uint64_t first, uint64_t count, struct totals *totals, uint64_t *seed,
                        const char **what) {
    for (uint64_t i = 0; i < count; i++) {
        *seed = first + i;
        *what = simulation_run(*seed, FAITHFUL, totals);
        if (*what != NULL) return false;
    }
    return true;
}

static const char *const event_texts[EVENT_COUNT] = {
#define SIMULATION_EVENT_(name, text) [EVENT_##name] = (text),
    SIMULATION_EVENTS(SIMULATION_EVENT_)
#undef SIMULATION_EVENT_
};

void simulation_tell(FILE *file, const char *prefix, const struct totals *totals) {
    for (int i = 0; i < EVENT_COUNT; i++) {
        fprintf(file, "%s%9llu with %s\n", prefix, (unsigned long long)totals->with[i],
                event_texts[i]);
    }
}

const char *simulation_lacks(const struct totals *totals) {
    for (int i = 0; i < EVENT_COUNT; i++) {
        if (totals->with[i] == 0) return event_texts[i];
    }
    return NULL;
}
