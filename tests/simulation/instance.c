#include <assert.h>
#include <string.h>

#include "world.h"

/* --- INGEST: where to read ------------------------------------------------------------------- */

static void hand_on(struct instance *instance, int offset, enum outcome outcome) {
    assert(instance->queue_count < QUEUE);
    int place = (instance->queue_begin + instance->queue_count++) % QUEUE;
    instance->queue[place] = (struct handed){
        .generation = instance->cursor.published.generation,
        .end = instance->cursor.published.next,
        .origin = instance->cursor.origin,
        .offset = (int8_t)offset,
        .outcome = (int8_t)outcome,
    };
}

void place(struct world *world, struct instance *instance) {
    struct cursor *cursor = &instance->cursor;
    struct cursor_finding finding =
        cursor_resume(cursor, (struct cursor_log){0, world->log_end},
                      (struct cursor_policy){world->start, CURSOR_GAP_FAIL});
    assert(finding.what != CURSOR_GAP);
    if (finding.what == CURSOR_REBUILDS) befalls(world, EVENT_REBUILDS);
    if (finding.what == CURSOR_ADOPTS) befalls(world, EVENT_ADOPTS);
    if (finding.what == CURSOR_WAITS) befalls(world, EVENT_WAITS);
    instance->is_placed = finding.what != CURSOR_WAITS;
}

static void rewind_after(struct world *world, struct instance *instance,
                         enum cursor_verdict verdict, uint64_t counted_generation) {
    static const enum event events[CURSOR_CAUSE_COUNT] = {
        [CURSOR_OVERTAKEN] = EVENT_OVERTAKEN, [CURSOR_ROLLED_BACK] = EVENT_ROLLED_BACK,
        [CURSOR_VANISHED] = EVENT_VANISHED,   [CURSOR_FIRST_READ] = EVENT_FIRST_READ,
        [CURSOR_ABORTED] = EVENT_UNPUBLISHED,
    };
    if (instance->cursor.counted.generation != counted_generation) clear_counts(&instance->pending);
    if (verdict != CURSOR_REWIND) return;
    befalls(world, events[instance->cursor.cause]);
    if (world->mutant != NO_REWIND) place(world, instance);
}

static enum outcome judge(struct world *world, struct instance *instance, int64_t offset) {
    const struct input *input = &inputs[world->log[offset]];
    struct login login;
    int64_t timestamp_ms = input->kafka_timestamp_ms;
    if (world->mutant == CLOCK_VERDICT && timestamp_ms >= 0) {
        timestamp_ms = input_clock_ms(roll(world, 2));
    }
    login_judge_record(instance->judge, input->value,
                       input->value == NULL ? 0 : strlen(input->value), timestamp_ms, &login);
    world->reads++;
    return input_outcome(&login);
}

void read_one(struct world *world, struct instance *instance) {
    struct cursor *cursor = &instance->cursor;
    if (instance->owns != OWNS || !instance->is_placed) return;
    if (instance->queue_count > QUEUE / 2) return; /* no batch is at home */
    if (cursor->published.stored == CURSOR_ABSENT && !instance->is_begin_sent) {
        instance->is_begin_sent = true;
        hand_on(instance, -1, OUTCOME_NONE);
    }
    int64_t offset = cursor->position;
    while (offset < world->log_end && world->log[offset] < 0)
        offset++;
    if (offset >= world->log_end) return;
    struct cursor_taken taken = cursor_take(cursor, offset);
    if (world->mutant == NO_GATE) taken.count = true;
    if (!taken.count && !taken.publish) return;
    enum outcome outcome = judge(world, instance, offset);
    if (taken.count && outcome != OUTCOME_NONE) {
        instance->pending.at[offset] += UINT32_C(1) << (4 * outcome);
    }
    if (taken.publish) hand_on(instance, (int)offset, outcome);
}

/* --- CHECKPOINT and Redis: the compare of checkpoint.lua ------------------------------------- */

/* True if it was applied. */
static bool redis_apply(struct world *world, const struct call *call) {
    struct redis *redis = &world->redis;
    if (call->cut.base == CURSOR_UNKNOWN || call->cut.base == call->cut.end) return false;
    if (redis->stored != call->cut.base && world->mutant != NO_COMPARE) return false;
    for (int i = 0; i < LOG_END; i++)
        redis->counts.at[i] += call->counts.at[i];
    redis->stored = call->cut.end;
    return true;
}

void deliver(struct world *world, struct instance *instance, bool is_reply_lost) {
    if (!instance->call.is_out) return;
    redis_apply(world, &instance->call);
    if (is_reply_lost) befalls(world, EVENT_REPLY_LOST);
    if (is_reply_lost || instance->is_paused) return; /* sent again later */
    instance->call.is_out = false;
    if (instance->owns != OWNS) return;
    uint64_t generation = instance->cursor.counted.generation;
    enum cursor_verdict verdict =
        cursor_counted(&instance->cursor, instance->call.cut.generation, world->redis.stored);
    rewind_after(world, instance, verdict, generation);
}

void leave_call(struct world *world, struct instance *instance) {
    if (instance->call.is_out && roll(world, 2)) {
        world->late[roll(world, LATE_CALLS)] = instance->call;
        befalls(world, EVENT_LATE_CALL);
    }
    instance->call.is_out = false;
}

void land_late(struct world *world, struct call *call) {
    if (call->is_out && redis_apply(world, call)) befalls(world, EVENT_LATE_APPLIED);
    call->is_out = false;
}

/* A call of an earlier generation gives way to the new one. */
void cut(struct world *world, struct instance *instance) {
    if (instance->owns != OWNS || !cursor_can_cut(&instance->cursor)) return;
    if (instance->call.is_out) leave_call(world, instance);
    instance->call.cut = cursor_cut(&instance->cursor);
    instance->call.is_out = true;
    instance->call.counts = instance->pending;
    clear_counts(&instance->pending);
}

/* --- PUBLISH and Kafka's transactions -------------------------------------------------------- */

/* The coordinator ends a transaction; the instance may or may not hear of it. */
void end_transaction(struct world *world, struct transaction *transaction, bool commits) {
    if (transaction->state != TXN_SENT) return;
    transaction->state = TXN_GONE;
    if (!commits) return;
    for (int i = 0; i < transaction->record_count && world->output_count < OUTPUT_MAX; i++) {
        world->output[world->output_count] = transaction->offsets[i];
        world->output_outcomes[world->output_count++] = transaction->outcomes[i];
    }
    world->committed = transaction->end;
    world->origin = transaction->origin;
}

void wait_stable(struct world *world) {
    for (int i = 0; i < INSTANCES; i++) {
        end_transaction(world, &world->instances[i].transaction, roll(world, 2) == 1);
    }
}

static void unpublished(struct world *world, struct instance *instance) {
    uint64_t generation = instance->transaction.generation;
    befalls(world, EVENT_ABORTED);
    wait_stable(world);
    instance->transaction.state = TXN_NONE;
    instance->transaction.record_count = 0;
    instance->lowest = generation + 1;
    if (instance->owns != OWNS) return;
    uint64_t counted_generation = instance->cursor.counted.generation;
    enum cursor_verdict verdict =
        cursor_unpublished(&instance->cursor, generation, world->committed, world->origin);
    if (verdict == CURSOR_REWIND) instance->is_begin_sent = false;
    rewind_after(world, instance, verdict, counted_generation);
}

/* Takes one batch, which here is one record. */
void publish_one(struct world *world, struct instance *instance) {
    struct transaction *transaction = &instance->transaction;
    if (transaction->state > TXN_OPEN || instance->queue_count == 0) return;
    struct handed handed = instance->queue[instance->queue_begin];
    instance->queue_begin = (instance->queue_begin + 1) % QUEUE;
    instance->queue_count--;
    bool is_let = handed.generation >= instance->fence || world->mutant == NO_FENCE;
    if (handed.generation < instance->lowest || !is_let) {
        befalls(world, EVENT_VOID_BATCH);
        return;
    }
    if (transaction->state == TXN_OPEN && transaction->generation != handed.generation) {
        unpublished(world, instance);
    }
    transaction->state = TXN_OPEN;
    transaction->generation = handed.generation;
    transaction->end = handed.end;
    transaction->origin = handed.origin;
    if (handed.offset < 0 || transaction->record_count == LOG_END) return;
    transaction->offsets[transaction->record_count] = handed.offset;
    transaction->outcomes[transaction->record_count++] = handed.outcome;
}

/* The group's metadata, then the member, then the fence. */
void send_offsets(struct world *world, struct instance *instance) {
    struct transaction *transaction = &instance->transaction;
    if (transaction->state != TXN_OPEN) return;
    transaction->metadata = instance->member_generation;
    if (!instance->is_same && world->mutant != NO_MEMBER) {
        befalls(world, EVENT_REFUSED_MEMBER);
        unpublished(world, instance);
    } else if (transaction->generation < instance->fence && world->mutant != NO_FENCE) {
        befalls(world, EVENT_REFUSED_FENCE);
        unpublished(world, instance);
    } else {
        transaction->state = TXN_SENDING;
    }
}

/* The group refuses what is of another generation than its own. */
void receive_offsets(struct world *world, struct instance *instance) {
    struct transaction *transaction = &instance->transaction;
    if (transaction->state != TXN_SENDING) return;
    if (transaction->metadata == world->group_generation) {
        transaction->state = TXN_SENT;
    } else {
        befalls(world, EVENT_REFUSED_GENERATION);
        unpublished(world, instance);
    }
}

void commit(struct world *world, struct instance *instance, uint32_t luck) {
    struct transaction *transaction = &instance->transaction;
    if (transaction->state == TXN_GONE) { /* meanwhile: the committed offset tells */
        unpublished(world, instance);
        return;
    }
    if (transaction->state != TXN_SENT) return;
    end_transaction(world, transaction, luck != 0);
    if (luck <= 1) {
        if (luck == 1) befalls(world, EVENT_UNCLEAR);
        unpublished(world, instance);
        return;
    }
    if (instance->owns == OWNS) {
        cursor_published(&instance->cursor, transaction->generation, transaction->end);
    }
    transaction->state = TXN_NONE;
    transaction->record_count = 0;
}
