#include "judge.h"

#include <string.h>

#include "broker.h"
#include "client.h"
#include "process.h"
#include "records.h"
#include "redis.h"

enum {
    SETTLE_STEPS = 60000, /* within so many turns everything must have settled */
    BUSY_STEPS = 60,      /* for so many more records come */
    REST_STEPS = 150,     /* then it rests for so many, for late events to get their turn */
    STOP_STEPS = 20000,   /* and all processes have ended after so many more */
};

static const char *const stage_names[] = {"faults", "settling", "resting",
                                          "busy",   "stopping", "over"};

static bool is_gone(int partition, int64_t offset) {
    return offset < broker.log_begin[partition];
}

/* Adds what a record that is counted once adds to sums. */
static void expect(struct counts *expected, const struct record *record) {
    for (int d = 0; d < LOGIN_DIMENSIONS_MAX; d++)
        expected->weights[d] += record->weights[d];
    for (int c = 0; c < world.plan.count_count && c < DISTINCT; c++)
        expected->declared[c] += record->declared[c];
}

/* What the HyperLogLogs were made of are the accepted records that are counted, and no others. */
static void judge_distinct(int partition, const struct counts *counts) {
    for (int c = DISTINCT; c < world.plan.count_count; c++) {
        for (int i = 0; i < EDITIONS * LOG_MAX; i++) {
            const bool is_in = counts->distinct[c - DISTINCT][i];
            if (is_in != (counts->minutes[i] > 0))
                broken("P1: p%d: distinct count %d %s the record at %d", partition, c,
                       is_in ? "has" : "lacks", i);
        }
    }
}

static void judge_sums(int partition, const struct counts *expected) {
    const struct counts *counts = &redis.partitions[partition].counts;
    for (int d = 0; d < LOGIN_DIMENSIONS_MAX; d++) {
        if (counts->weights[d] != expected->weights[d])
            broken("P1: p%d: the values of dimension %d do not sum up", partition, d);
    }
    for (int c = 0; c < DISTINCT; c++) {
        if (counts->declared[c] != expected->declared[c])
            broken("P1: p%d: declared count %d does not sum up", partition, c);
    }
    judge_distinct(partition, counts);
}

/* P1, where the log lost its end once: each record at most once, in each of its editions. That
 * those which are still in the log were counted is judged at the end. */
static void judge_counts_of_cut(int partition) {
    const struct stored *stored = &redis.partitions[partition];
    struct counts expected = {0};
    for (int e = 0; e < EDITIONS; e++) {
        for (int i = 0; i < LOG_MAX; i++) {
            const bool is_made = e <= broker.edition[partition][i];
            const struct record *record = is_made ? record_of_edition(partition, e, i) : NULL;
            const bool is_accepted = record != NULL && record->reason == LOGIN_ACCEPTED;
            const int count = stored->counts.minutes[e * LOG_MAX + i];
            if (count > is_accepted)
                broken("P1: p%d: the record at %d, edition %d, is counted %d times", partition, i,
                       e, count);
            if (record != NULL && !is_accepted) expected.reasons[record->reason]++;
            if (count == 1) expect(&expected, record);
        }
    }
    for (int r = 0; r < LOGIN_REASON_COUNT; r++) {
        if (stored->counts.reasons[r] > expected.reasons[r])
            broken("P1: p%d: too many are counted as %s", partition,
                   login_reason_name((enum login_reason)r));
    }
    judge_sums(partition, &expected);
}

/* P1: each record from where the group began up to the stored offset once, and nothing else. What
 * Kafka had deleted may be missing; that it was reported is judged at the end. */
void judge_counts(int partition) {
    const struct stored *stored = &redis.partitions[partition];
    int64_t origin = broker.life[partition] > 0 ? 0 : broker_decided(partition).origin;
    if (broker.life[partition] > 0 && world.plan.keeps_origin) origin = broker.origin[partition];
    struct counts expected = {0}, gone = {0};
    if (stored->offset == CURSOR_ABSENT) return;
    if (broker.is_cut[partition]) {
        judge_counts_of_cut(partition);
        return;
    }
    if (origin < 0) broken("I4: p%d is counted before it has a committed offset", partition);
    if (broker.life[partition] == 0 && stored->origin != origin)
        broken("P1: p%d is counted with the origin %lld, and the group's is %lld", partition,
               (long long)stored->origin, (long long)origin);
    for (int i = 0; i < LOG_MAX; i++) {
        const bool is_below = i >= origin && i < stored->offset;
        const struct record *record = is_below ? record_at(partition, i) : NULL;
        const int count = stored->counts.minutes[i];
        const bool is_accepted = record != NULL && record->reason == LOGIN_ACCEPTED;
        if (is_accepted && count != 1 && !(count == 0 && is_gone(partition, i)))
            broken("P1: p%d: the record at %d is counted %d times", partition, i, count);
        if (!is_accepted && count != 0)
            broken("P1: p%d: there is no accepted record at %d below %lld, and it is counted",
                   partition, i, (long long)stored->offset);
        if (record == NULL) continue;
        if (!is_accepted) {
            expected.reasons[record->reason]++;
            if (is_gone(partition, i)) gone.reasons[record->reason]++;
        }
        if (is_accepted && count == 1) expect(&expected, record);
    }
    for (int r = 0; r < LOGIN_REASON_COUNT; r++) {
        const int count = stored->counts.reasons[r];
        if (count > expected.reasons[r] || count < expected.reasons[r] - gone.reasons[r])
            broken("P1: p%d: %d records are counted as %s below %lld, and there are %d", partition,
                   count, login_reason_name((enum login_reason)r), (long long)stored->offset,
                   expected.reasons[r]);
    }
    judge_sums(partition, &expected);
}

void judge_failure(const char *why) {
    trace("ended: %s", why);
    world.is_drain_aborted |= world.stage >= STAGE_BUSY;
    happens(EVENT_FAILURE);
    static const char *const reasons[] = {"records are gone", "lost its end", "same instance.id",
                                          "only the user",    "thread",       "start Redis"};
    bool is_known = false;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        is_known |= strstr(why, reasons[i]) != NULL;
    if (!is_known) broken("a process could not continue, and no reason was given to it: %s", why);
    const bool is_cut = strstr(why, "lost its end") != NULL;
    if (strstr(why, "records are gone") == NULL && !is_cut) return;
    happens(is_cut ? EVENT_CUT_STOP : EVENT_GAP_STOP);
    bool has_gap = false;
    for (int p = 0; p < world.plan.partition_count; p++)
        has_gap |= is_cut ? broker.is_cut[p] : broker.log_begin[p] > 0;
    if (!has_gap) broken("P3: a gap is reported, and there is none: %s", why);
    world.is_gap_reported = true;
}

/* Where both watermarks of a partition must arrive. */
static int64_t end_of(int partition) {
    const int64_t origin = broker.committed[partition].origin; /* not known after it was lost */
    int64_t end = origin < 0 ? 0 : origin;
    for (int64_t i = end; i < broker.log_end[partition]; i++) {
        if (record_at(partition, i) != NULL && !is_gone(partition, i)) end = i + 1;
    }
    return end;
}

/* Where publishing began: with the group, or where counting had got to when the group had lost its
 * committed offset. What was published twice then, or not at all, nobody can know. */
static int64_t begin_of_output(int partition) {
    return broker.life[partition] > 0 ? broker.begun[partition]
                                      : broker.committed[partition].origin;
}

/* P2, once more and for the whole: the committed records of a partition, in the order of the
 * output's log. Returns how many are missing. */
static int judge_output(int partition, int64_t end) {
    bool is_seen[EDITIONS][LOG_MAX] = {{false}};
    const int64_t begin = begin_of_output(partition);
    int64_t next = begin;
    int missing = 0, life = 0;
    for (int i = 0; i <= broker.output_count; i++) {
        const struct output *output = i < broker.output_count ? &broker.outputs[i] : NULL;
        if (output != NULL &&
            (output->partition != partition || output->state != OUTPUT_COMMITTED)) {
            continue;
        }
        if (output != NULL && output->life != life) {
            memset(is_seen, 0, sizeof is_seen);
            life = output->life;
        }
        if (output != NULL && is_seen[output->edition][output->offset])
            broken("P2: p%d: the record at %d is there twice", partition, output->offset);
        if (output != NULL) is_seen[output->edition][output->offset] = true;
        if (output != NULL && life < broker.life[partition]) continue;
        if (output != NULL && (output->edition != broker.edition[partition][output->offset] ||
                               (broker.is_cut[partition] && output->offset < next))) {
            if (output->edition == broker.edition[partition][output->offset] &&
                output->offset >= begin)
                broken("P2: p%d: the record at %d is out of order", partition, output->offset);
            continue; /* it was cut off since */
        }
        const int64_t to = output != NULL ? output->offset : end;
        if (to < next)
            broken("P2: p%d: the record at %lld is out of order, or there twice", partition,
                   (long long)to);
        for (; next < to; next++) {
            if (record_at(partition, next) == NULL) continue;
            if (!is_gone(partition, next) && !broker.is_cut[partition])
                broken("P2: p%d: the record at %lld is missing", partition, (long long)next);
            missing++;
        }
        next++;
    }
    return missing;
}

static int64_t later(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int judge_missing_counts(int partition, int64_t end) {
    int missing = 0;
    judge_counts(partition);
    for (int64_t i = later(broker.committed[partition].origin, 0); i < end; i++) {
        const struct record *record = record_at(partition, i);
        const int minute = broker.edition[partition][i] * LOG_MAX + (int)i;
        if (record != NULL && record->reason == LOGIN_ACCEPTED)
            missing += redis.partitions[partition].counts.minutes[minute] == 0;
    }
    return missing;
}

/* P1 and P2 for the whole. Returns how many records are missing, which P3 wants
 * reported. */
static int judge_all(void) {
    int missing = 0;
    for (int p = 0; p < world.plan.partition_count; p++) {
        const int64_t end = world.plan.log_end[p];
        const int counts = judge_missing_counts(p, later(end, redis.partitions[p].offset));
        const int output = judge_output(p, later(end, broker.committed[p].offset));
        missing += counts > output ? counts : output;
    }
    return missing;
}

/* P3: whether records were counted or published that are in no log any more. How many of them are
 * reported is not judged: a log that is cut off twice may have been read in between by one side.
 * What was published before the group lost its committed offset, nobody knows. */
static bool has_cut(void) {
    int count = 0;
    for (int p = 0; p < world.plan.partition_count; p++) {
        bool is_out[EDITIONS][LOG_MAX] = {{false}};
        for (int i = 0; i < broker.output_count; i++) {
            const struct output *output = &broker.outputs[i];
            if (output->partition == p && output->state == OUTPUT_COMMITTED &&
                output->life == broker.life[p])
                is_out[output->edition][output->offset] = true;
        }
        for (int i = 0; i < LOG_MAX; i++) {
            for (int e = 0; e < broker.edition[p][i]; e++)
                count += is_out[e][i] || redis.partitions[p].counts.minutes[e * LOG_MAX + i] > 0;
        }
    }
    return count > 0;
}

/* Both watermarks are where they must arrive, and nothing is under way that could move them. */
static bool is_settled(void) {
    if (!broker_is_quiet() || !redis_is_quiet()) return false;
    for (int p = 0; p < world.plan.partition_count; p++) {
        const int64_t end = end_of(p);
        if (broker.committed[p].offset < 0 || broker.committed[p].offset < end ||
            redis.partitions[p].offset < end) {
            return false;
        }
    }
    return judge_all() <= world.lost_records && (world.cut_records > 0 || !has_cut());
}

/* What was read of the last records while they came must be stored on both sides: a process that is
 * asked to end brings to an end what it has begun. */
static void judge_drain(void) {
    for (int p = 0; p < world.plan.partition_count; p++) {
        if (broker.committed[p].offset < world.lent_end[p] ||
            redis.partitions[p].offset < world.lent_end[p]) {
            broken("p%d was read to %lld, and given back with %lld published and %lld counted", p,
                   (long long)world.lent_end[p], (long long)broker.committed[p].offset,
                   (long long)redis.partitions[p].offset);
        }
    }
}

static void enter(enum stage stage) {
    trace("--- %s", stage_names[stage]);
    world.stage = stage;
    world.stage_steps = world.step_count;
}

static void describe(void) {
    for (int p = 0; p < world.plan.partition_count; p++) {
        trace("p%d: log %lld..%lld, committed %lld, counted %lld, wanted %lld", p,
              (long long)broker.log_begin[p], (long long)broker.log_end[p],
              (long long)broker.committed[p].offset, (long long)redis.partitions[p].offset,
              (long long)end_of(p));
    }
}

static void end_faults(void) {
    for (int p = 0; p < world.plan.partition_count; p++)
        broker_grow(p, world.plan.log_end[p]);
    broker.back_us = redis.back_us = 0;
    for (struct process *process = processes; process < processes + PROCESSES; process++) {
        process->paused_us = process->cut_us = 0;
    }
    enter(STAGE_SETTLING);
}

/* Somebody has to do the work. One that could not continue is not started again and again. */
static void keep_one_alive(void) {
    bool is_any_up = false;
    for (const struct process *process = processes; process < processes + PROCESSES; process++)
        is_any_up |= process->is_up && !process->is_asked;
    if (!is_any_up && !world.is_gap_reported && processes[0].start_us == NEVER_US)
        processes[0].start_us = world.now_us;
}

static int count_up(void) {
    int count = 0;
    for (const struct process *process = processes; process < processes + PROCESSES; process++)
        count += process->is_up;
    return count;
}

static bool owns_all(const struct process *process) {
    const struct kafka_source *source = process->source;
    return source != NULL && source->open_event == SOURCE_QUIET && !broker.group.is_moving &&
           !process->has_failed_store && client_is_same_member(source) &&
           source->generation == broker.group.generation &&
           source->held == (1U << world.plan.partition_count) - 1 && !process->is_asked;
}

/* More records come while one instance is left; all others were asked to end before. */
static void get_busy(void) {
    struct process *last = NULL;
    for (struct process *process = processes; process < processes + PROCESSES; process++) {
        process->start_us = NEVER_US;
        if (process->is_up && last != NULL) process_ask_to_end(process);
        if (process->is_up && last == NULL && !process->is_asked) last = process;
    }
    if (count_up() != 1 || last == NULL || !owns_all(last)) {
        enter(STAGE_SETTLING);
        return;
    }
    for (int p = 0; p < world.plan.partition_count; p++)
        broker_grow(p, world.plan.last_end[p]);
    enter(STAGE_BUSY);
}

/* What is to be published is still there: where it was deleted, a gap is found while draining. */
static bool has_log_of_all(void) {
    bool has_all = true;
    for (int p = 0; p < world.plan.partition_count; p++)
        has_all &= !is_gone(p, broker.committed[p].offset);
    return has_all;
}

static void end_settling(void) {
    if (world.is_gap_reported) { /* P3: it was reported, and somebody has to fix it */
        for (int p = 0; p < world.plan.partition_count; p++)
            judge_counts(p);
    }
    for (struct process *process = processes; process < processes + PROCESSES; process++) {
        const struct kafka_source *source = process->source;
        process->start_us = NEVER_US;
        process->must_drain = source != NULL && source->open_event == SOURCE_QUIET &&
                              client_is_same_member(source) && group_find(source->member_id) &&
                              world.lost_records == 0 && !world.is_gap_reported &&
                              has_log_of_all() && !process->is_asked;
        if (process->is_up) process_ask_to_end(process);
    }
    enter(STAGE_STOPPING);
}

static void judge_stage(void) {
    const int steps = world.step_count - world.stage_steps;
    switch (world.stage) {
    case STAGE_FAULTS:
        if (steps >= world.plan.steps) end_faults();
        break;
    case STAGE_SETTLING:
        keep_one_alive();
        if (world.is_gap_reported) {
            end_settling();
        } else if (steps % 16 == 0 && is_settled()) {
            enter(STAGE_RESTING);
        } else if (world.step_count - world.plan.steps > SETTLE_STEPS) {
            describe();
            broken("it does not settle");
        }
        break;
    case STAGE_RESTING:
        keep_one_alive();
        if (steps < REST_STEPS && !world.is_gap_reported) break;
        if (!world.is_gap_reported && is_settled() &&
            world.plan.last_end[0] > world.plan.log_end[0])
            get_busy();
        else if (world.is_gap_reported || is_settled())
            end_settling();
        else
            enter(STAGE_SETTLING); /* somebody was late, and must find out that it is all done */
        break;
    case STAGE_BUSY:
        if (steps >= BUSY_STEPS || count_up() == 0) end_settling();
        break;
    case STAGE_STOPPING:
        if (count_up() == 0 && broker_is_quiet() && redis_is_quiet()) {
            if (world.header_count != 0)
                broken("headers of %d records are left", world.header_count);
            if (!world.is_gap_reported && !world.is_drain_aborted) judge_drain();
            if (!world.is_gap_reported && judge_all() > world.lost_records)
                broken("P3: records are missing, and were not reported");
            if (!world.is_gap_reported && world.cut_records == 0 && has_cut())
                broken("P3: records were cut off, and that was not reported");
            enter(STAGE_OVER);
        } else if (steps > STOP_STEPS) {
            broken("a process does not end");
        }
        break;
    case STAGE_OVER:
        break;
    }
}

void judge_tick(void) {
    enum stage before;
    do {
        before = world.stage;
        judge_stage();
    } while (world.stage != before);
}
