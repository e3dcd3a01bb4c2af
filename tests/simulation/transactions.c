/* The transaction coordinator and the output topics. A transaction that was decided takes a while
 * until its offsets are stable. What every commit must be is asserted here, where it happens: for
 * each partition exactly the records between the committed offset before and after. */
#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "records.h"

int producer_of(const char *id) {
    for (int i = 0; i < broker.producer_count; i++) {
        if (strcmp(broker.producers[i].id, id) == 0) return i;
    }
    if (broker.producer_count == PRODUCERS_MAX) broken("too many transactional ids");
    struct producer *producer = &broker.producers[broker.producer_count];
    *producer = (struct producer){.late_commit_us = NEVER_US};
    const int length = snprintf(producer->id, sizeof producer->id, "%s", id);
    if (length >= (int)sizeof producer->id) broken("the transactional id %s is too long", id);
    return broker.producer_count++;
}

static bool is_of(const struct output *output, int producer) {
    return output->producer == producer && output->serial == broker.producers[producer].serial;
}

/* Where the first transaction began after the group had lost its offset. -1: nowhere. */
static int64_t adopted(int number, int partition) {
    int64_t first = broker.producers[number].offsets[partition].offset;
    for (int i = 0; i < broker.output_count; i++) {
        const struct output *output = &broker.outputs[i];
        if (is_of(output, number) && output->partition == partition && output->offset < first)
            first = output->offset;
    }
    return broker_adoptable(partition, first);
}

/* Notes where the group begins, with its first commit since it lost its offsets. */
static void note_begin(int number, int partition) {
    if (broker.life[partition] == 0 || broker.committed[partition].offset >= 0) return;
    int64_t begun = adopted(number, partition);
    const bool is_new = begun < 0;
    if (is_new) begun = broker.producers[number].offsets[partition].origin;
    if (is_new && !broker.was_bare[partition])
        broken("P2: p%d begins at %lld, where nothing was counted to", partition, (long long)begun);
    if (begun < 0) broken("P2: p%d is committed without an origin", partition);
    broker.begun[partition] = begun;
    if (!is_new && broker.cut_points[partition] & UINT64_C(1) << begun) happens(EVENT_ADOPTED_CUT);
}

/* P2: where the group began does not change with what comes later. */
static void judge_origin(int partition, int64_t origin) {
    const bool is_first = broker.origin[partition] < 0;
    if (is_first) broker.origin[partition] = origin;
    if (is_first || broker.is_cut[partition] || origin == broker.origin[partition]) return;
    if (broker.life[partition] > 0 && !world.plan.keeps_origin) return;
    broken("P2: p%d is committed with the origin %lld, and was with %lld", partition,
           (long long)origin, (long long)broker.origin[partition]);
}

/* P2, for one transaction and partition. */
static void judge_commit(int number, int partition) {
    const struct producer *producer = &broker.producers[number];
    const struct committed *to = &producer->offsets[partition];
    const struct committed *from = &broker.committed[partition];
    if (broker.is_cut[partition])
        return; /* its readers may have seen another log; see judge_output */
    int64_t next = broker.life[partition] > 0 ? broker.begun[partition] : to->origin;
    if (from->offset >= 0) next = from->offset;
    if (next < 0) broken("P2: p%d is committed without an origin", partition);
    for (int i = 0; i < broker.output_count; i++) {
        const struct output *output = &broker.outputs[i];
        if (!is_of(output, number) || output->partition != partition) continue;
        for (; next < output->offset; next++) {
            const bool is_gone = next < broker.log_begin[partition];
            if (record_at(partition, next) != NULL && !is_gone) {
                broken("P2: p%d is published without the record at %lld", partition,
                       (long long)next);
            }
        }
        if (output->offset != next) {
            broken("P2: p%d: the record at %d is published again, or out of order", partition,
                   output->offset);
        }
        next++;
    }
    for (; next < to->offset; next++) {
        const bool is_gone = next < broker.log_begin[partition];
        if (record_at(partition, next) != NULL && !is_gone) {
            broken("P2: p%d is committed to %lld without the record at %lld", partition,
                   (long long)to->offset, (long long)next);
        }
    }
    if (next > to->offset) {
        broken("P2: p%d: a record is published behind the offset %lld that is committed with it",
               partition, (long long)to->offset);
    }
}

static void end(int number, bool commits) {
    struct producer *producer = &broker.producers[number];
    for (int p = 0; commits && p < world.plan.partition_count; p++) {
        if (!producer->has_offset[p]) continue;
        note_begin(number, p);
        judge_commit(number, p);
        judge_origin(p, producer->offsets[p].origin);
        broker.committed[p] = producer->offsets[p];
        trace("broker: committed p%d: %lld, origin %lld", p, (long long)broker.committed[p].offset,
              (long long)broker.committed[p].origin);
    }
    for (int i = broker.output_count - 1; i >= 0; i--) {
        struct output *output = &broker.outputs[i];
        if (!is_of(output, number)) continue;
        output->state = commits ? OUTPUT_COMMITTED : OUTPUT_ABORTED;
        output->life = broker.life[output->partition];
    }
    producer->state = IDLE;
    producer->was_committed = commits;
    producer->has_offsets = false;
    memset(producer->has_offset, 0, sizeof producer->has_offset);
}

void producer_open(int number, int *epoch) {
    struct producer *producer = &broker.producers[number];
    if (producer->state == COMMITTING) end(number, true);
    if (producer->state == ONGOING) {
        trace("broker: the transaction of %s is aborted by its next producer", producer->id);
        end(number, false);
    }
    producer->was_committed = false;
    *epoch = ++producer->epoch;
}

static bool is_shut_out(const struct producer *producer, int epoch) {
    if (producer->epoch == epoch || simulation_options.mutant == NO_EPOCH) return false;
    happens(EVENT_REFUSED_EPOCH);
    return true;
}

static void begin(struct producer *producer) {
    if (producer->state == ONGOING) return;
    producer->state = ONGOING;
    producer->serial++;
    producer->since_us = world.now_us;
}

enum answer producer_send(int number, int epoch, int partition, int64_t offset, int edition,
                          enum login_reason reason) {
    struct producer *producer = &broker.producers[number];
    if (is_shut_out(producer, epoch)) return ANSWER_FENCED;
    if (producer->state == COMMITTING) end(number, true);
    begin(producer);
    if (broker.output_count == OUTPUTS_MAX) broken("the output topics are full");
    broker.outputs[broker.output_count++] = (struct output){
        .partition = (int16_t)partition,
        .offset = (int16_t)offset,
        .producer = (int16_t)number,
        .reason = (int8_t)reason,
        .edition = (int8_t)edition,
        .serial = producer->serial,
    };
    return ANSWER_OK;
}

enum answer producer_send_offsets(int number, int epoch, const struct committed *offsets,
                                  const bool *has_offset, int member_id, int generation) {
    struct producer *producer = &broker.producers[number];
    if (is_shut_out(producer, epoch)) return ANSWER_FENCED;
    if (group_find(member_id) == NULL || generation != broker.group.generation) {
        happens(EVENT_REFUSED_GENERATION);
        return ANSWER_REFUSED;
    }
    if (producer->state == COMMITTING) end(number, true);
    begin(producer);
    producer->has_offsets = true;
    for (int p = 0; p < world.plan.partition_count; p++) {
        if (!has_offset[p]) continue;
        producer->has_offset[p] = true;
        producer->offsets[p] = offsets[p];
    }
    return ANSWER_OK;
}

enum answer producer_end(int number, int epoch, bool commits) {
    struct producer *producer = &broker.producers[number];
    if (is_shut_out(producer, epoch)) return ANSWER_FENCED;
    if (producer->state != ONGOING) { /* once more the same, or there was nothing */
        return !commits || producer->was_committed || producer->state == COMMITTING
                   ? ANSWER_OK
                   : ANSWER_REFUSED;
    }
    if (commits && one_in(4)) {
        producer->state = COMMITTING;
        producer->end_us = world.now_us + roll(200) * MS_US;
    } else {
        end(number, commits);
    }
    return ANSWER_OK;
}

void producer_end_late(int number, int epoch) {
    struct producer *producer = &broker.producers[number];
    producer->late_commit_us = world.now_us + roll(3000) * MS_US;
    producer->late_epoch = epoch;
}

bool offsets_are_stable(unsigned partitions) {
    for (int i = 0; i < broker.producer_count; i++) {
        for (int p = 0; p < world.plan.partition_count; p++) {
            if ((partitions & 1U << p) && broker.producers[i].has_offset[p]) return false;
        }
    }
    return true;
}

static void expire(int number) {
    trace("broker: the transaction of %s is aborted by its timeout", broker.producers[number].id);
    happens(EVENT_TIMED_OUT);
    broker.producers[number].epoch++;
    end(number, false);
}

void transactions_expire(void) {
    for (int i = 0; i < broker.producer_count; i++) {
        if (broker.producers[i].state == ONGOING) expire(i);
    }
}

static int64_t next_of(const struct producer *producer) {
    int64_t next_us = producer->late_commit_us;
    int64_t end_us = NEVER_US;
    if (producer->state == COMMITTING) end_us = producer->end_us;
    if (producer->state == ONGOING) end_us = producer->since_us + TRANSACTION_MS * MS_US;
    return end_us < next_us ? end_us : next_us;
}

void transactions_tick(void) {
    for (int i = 0; i < broker.producer_count; i++) {
        struct producer *producer = &broker.producers[i];
        if (world.now_us < next_of(producer)) continue;
        if (world.now_us >= producer->late_commit_us) {
            const bool counts = producer->late_epoch == producer->epoch &&
                                producer->state == ONGOING && producer->has_offsets;
            producer->late_commit_us = NEVER_US;
            if (!counts) continue;
            happens(EVENT_LATE_COMMIT);
            trace("broker: a late commit of %s", producer->id);
            end(i, true);
        } else if (producer->state == COMMITTING) {
            end(i, true);
        } else {
            expire(i);
        }
    }
}

int64_t transactions_next_us(void) {
    int64_t next_us = NEVER_US;
    for (int i = 0; i < broker.producer_count; i++) {
        const int64_t of_us = next_of(&broker.producers[i]);
        if (of_us < next_us) next_us = of_us;
    }
    return next_us;
}
