#include "broker.h"

#include <stddef.h>
#include <string.h>

#include "records.h"
#include "redis.h"

struct broker broker;

static int8_t choose_kind(int partition) {
    const bool is_wide = world.plan.is_wide && partition == 0;
    if (one_in(is_wide ? 16 : 6)) {
        happens(EVENT_HOLE);
        return RECORD_HOLE;
    }
    if (world.plan.is_wide) return (int8_t)(one_in(16) ? 7 + roll(3) : RECORD_WIDE);
    const int8_t kind = (int8_t)roll(RECORD_WIDE);
    if (kind < RECORD_BORDERS) happens(EVENT_BORDER);
    return kind;
}

void broker_begin(void) {
    memset(&broker, 0, offsetof(struct broker, outputs));
    for (int i = 0; i < 2; i++)
        broker.topics_us[i] = world.plan.has_topics ? 0 : NEVER_US;
    for (int p = 0; p < world.plan.partition_count; p++) {
        for (int i = 0; i < world.plan.last_end[p]; i++)
            broker.log[p][0][i] = choose_kind(p);
        broker_grow(p, one_in(4) ? world.plan.log_end[p]
                                 : (int64_t)roll((uint32_t)world.plan.log_end[p]));
        broker.committed[p] = (struct committed){.offset = -1, .origin = -1};
    }
}

void broker_cut(int partition, int64_t end) {
    trace("broker: p%d is cut off at %lld, was %lld", partition, (long long)end,
          (long long)broker.log_end[partition]);
    broker.log_end[partition] = end;
    broker.epoch[partition] += 1 + (int32_t)roll(2);
    broker.is_cut[partition] = true;
    for (int i = (int)end; i < world.plan.last_end[partition]; i++) {
        int8_t *kind = &broker.log[partition][++broker.edition[partition][i]][i];
        do { /* holes alone would be as if what was there had been compacted away */
            *kind = choose_kind(partition);
        } while (*kind == RECORD_HOLE);
    }
}

void broker_grow(int partition, int64_t end) {
    while (broker.log_end[partition] < end)
        broker.epochs[partition][broker.log_end[partition]++] = broker.epoch[partition];
}

void broker_tick(void) {
    group_tick();
    transactions_tick();
}

int64_t broker_next_us(void) {
    const int64_t group_us = group_next_us(), transactions_us = transactions_next_us();
    const int64_t next_us = group_us < transactions_us ? group_us : transactions_us;
    return broker.back_us > world.now_us && broker.back_us < next_us ? broker.back_us : next_us;
}

void broker_forget(void) {
    trace("broker: the group loses its committed offsets");
    while (broker.group.count > 0)
        group_expel(broker.group.members[0].id);
    for (int p = 0; p < world.plan.partition_count; p++) {
        broker.is_forgotten[p] |= broker.committed[p].offset >= 0;
        broker.committed[p] = (struct committed){.offset = -1, .origin = -1};
        broker.adoptable[p] = 0;
        broker_note_counted(p, redis.partitions[p].offset);
    }
}

void broker_note_counted(int partition, int64_t offset) {
    if (offset >= 0) broker.adoptable[partition] |= UINT64_C(1) << offset;
}

bool broker_is_quiet(void) {
    for (int i = 0; i < broker.producer_count; i++) {
        const struct producer *producer = &broker.producers[i];
        if (producer->state != IDLE || producer->late_commit_us != NEVER_US) return false;
    }
    return true;
}

struct committed broker_decided(int partition) {
    for (int i = 0; i < broker.producer_count; i++) {
        const struct producer *producer = &broker.producers[i];
        if (producer->state == COMMITTING && producer->has_offset[partition])
            return producer->offsets[partition];
    }
    return broker.committed[partition];
}
