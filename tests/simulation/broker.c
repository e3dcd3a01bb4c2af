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
        broker.origin[p] = -1;
    }
}

/* The offsets up to this one, as bits. */
static uint64_t up_to(int64_t offset) {
    return (UINT64_C(2) << offset) - 1;
}

void broker_cut(int partition, int64_t end) {
    trace("broker: p%d is cut off at %lld, was %lld", partition, (long long)end,
          (long long)broker.log_end[partition]);
    broker.log_end[partition] = end;
    broker.epoch[partition] += 1 + (int32_t)roll(2);
    broker.is_cut[partition] = true;
    broker.cut_points[partition] |= UINT64_C(1) << end;
    if (broker.begun[partition] > end) broker.begun[partition] = end;
    if (broker.adoptable[partition] & ~up_to(end))
        broker.adoptable[partition] |= UINT64_C(1) << end;
    broker.adoptable[partition] &= up_to(end);
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
        const struct stored *stored = &redis.partitions[p];
        broker.life[p] = (int8_t)(broker.life[p] + (broker.committed[p].offset >= 0));
        broker.committed[p] = (struct committed){.offset = -1, .origin = -1};
        broker.adoptable[p] = 0;
        broker.was_bare[p] = false;
        broker_note_counted(p, stored->offset, &stored->lineage);
    }
}

bool broker_has_origins(void) {
    bool has_all = true;
    for (int p = 0; p < world.plan.partition_count; p++)
        has_all &= broker.origin[p] < 0 || broker.committed[p].origin >= 0;
    return has_all;
}

bool redis_has_origins(void) {
    bool has_all = true;
    for (int p = 0; p < world.plan.partition_count; p++)
        has_all &= broker.origin[p] < 0 || redis.partitions[p].origin >= 0;
    return has_all;
}

void broker_note_counted(int partition, int64_t offset, const struct lineage *lineage) {
    broker.was_bare[partition] |= offset < 0 && broker.committed[partition].offset < 0;
    if (offset < 0) return;
    const bool is_known = lineage->count > 0;
    const bool is_same = is_known && lineage->last < broker.log_end[partition] &&
                         broker.epochs[partition][lineage->last] == lineage_epoch(lineage);
    uint64_t cuts = broker.cut_points[partition] & up_to(offset);
    if (is_same) cuts &= ~up_to(lineage->last); /* of the holes behind it, which may be filled */
    if (!is_known || cuts == 0) cuts |= UINT64_C(1) << offset;
    broker.adoptable[partition] |= cuts;
}

int64_t broker_adoptable(int partition, int64_t offset) {
    int64_t behind_holes = offset;
    while (behind_holes < broker.log_end[partition] && record_at(partition, behind_holes) == NULL)
        behind_holes++;
    const uint64_t cuts = broker.cut_points[partition] & up_to(behind_holes);
    const uint64_t bits = broker.adoptable[partition] & (up_to(offset) | cuts);
    int64_t found = behind_holes;
    while (found >= 0 && !(bits & UINT64_C(1) << found))
        found--;
    return found < offset ? found : offset;
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
