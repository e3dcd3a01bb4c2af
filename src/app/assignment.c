/* One event of the group at a time.
 *
 *     IDLE    none is open
 *     GIVES   partitions are ours: the committed offsets are asked for until Kafka names them,
 *             then the event is answered and the threads start. Everything else a thread finds out
 *             by itself: Redis may not answer for a minute, and there may be many partitions
 *     TAKES   partitions go: their threads drain until all is stored or the deadline has passed,
 *             then they are fenced and stopped, and the event is answered
 *
 * A partition is given away in this order: drained, fenced, stopped, closed, answered. */
#include "app/assignment.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "edge/kafka_topics.h"

enum { KAFKA_CALL_MS = 5000, RETRY_MS_MIN = 250, RETRY_MS_MAX = 2000, POLL_MS = 100 };

struct assignment {
    struct assignment_options options;
    _Atomic(struct ingest *) ingests[FENCE_PARTITIONS_MAX]; /* set by the main thread */
    enum { IDLE, GIVES, TAKES } state;
    atomic_bool is_giving;       /* GIVES, and until its threads have started; read by anybody */
    struct source_change change; /* of the open event */
    bool is_ending;              /* all are given back; no event is answered any more, but LOST */
    int64_t drain_until_ms;      /* TAKES, and while all are given back; 0: not begun */
    struct backoff retry;
};

const struct metric_row assignment_metric_table[] = {
    METRIC_ROW(struct assignment_metrics, assigned, METRIC_GAUGE, "rollcall_assigned_partitions",
               "Input partitions that this instance owns."),
    METRIC_END,
};

struct assignment *assignment_create(const struct assignment_options *options) {
    struct assignment *assignment = memory_create(sizeof *assignment);
    assignment->options = *options;
    return assignment;
}

void assignment_destroy(struct assignment **assignment) {
    if (*assignment == NULL) return;
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++) {
        struct ingest *ingest = (*assignment)->ingests[p];
        ingest_destroy(&ingest);
    }
    free(*assignment);
    *assignment = NULL;
}

/* The ingest of a partition if it runs, else NULL. */
static struct ingest *running(const struct assignment *assignment, int32_t partition) {
    if (partition >= FENCE_PARTITIONS_MAX) return NULL;
    struct ingest *ingest = assignment->ingests[partition];
    return ingest != NULL && ingest_is_running(ingest) ? ingest : NULL;
}

static void show_assigned(const struct assignment *assignment) {
    int64_t count = 0;
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++)
        count += running(assignment, p) != NULL;
    metric_set(assignment->options.metrics->assigned, count);
}

static void answer(struct assignment *assignment) {
    kafka_source_answer(assignment->options.source);
    assignment->state = IDLE;
    assignment->drain_until_ms = 0;
    backoff_end(&assignment->retry);
    show_assigned(assignment);
}

/* --- partitions are given --------------------------------------------------------------------- */

/* Whether the topic is the one that the offsets are of. */
static bool is_same_topic(const struct assignment *assignment) {
    const struct assignment_options *options = &assignment->options;
    struct error error;
    if (kafka_topics_is_same(options->source, options->ingest.topic, options->topic_id,
                             KAFKA_CALL_MS, NULL, &error)) {
        return true;
    }
    stop_fail(options->stop, error.text);
    return false;
}

static struct ingest *ingest_of(struct assignment *assignment, int32_t partition) {
    if (assignment->ingests[partition] == NULL)
        assignment->ingests[partition] = ingest_create(&assignment->options.ingest, partition);
    return assignment->ingests[partition];
}

/* Answers the event and starts the threads. In this order: a thread seeks as soon as it knows
 * where, and librdkafka seeks only in what is assigned. */
static void start_all(struct assignment *assignment, const struct kafka_committed *committed) {
    const struct assignment_options *options = &assignment->options;
    const size_t count = assignment->change.count;
    struct ingest_start *starts = memory_create(count * sizeof *starts);
    for (size_t i = 0; i < count; i++) {
        struct kafka_assigned *item = &assignment->change.items[i];
        starts[i] = (struct ingest_start){
            .stream = item->stream,
            .generation = fence_raise(options->fence, item->partition),
            .committed = committed[i],
        };
        item->stream = NULL; /* the ingest's */
    }
    answer(assignment);
    for (size_t i = 0; i < count; i++)
        ingest_start(ingest_of(assignment, starts[i].committed.partition), &starts[i]);
    free(starts);
    show_assigned(assignment);
}

static bool are_within_limits(const struct assignment *assignment) {
    for (size_t i = 0; i < assignment->change.count; i++) {
        if (assignment->change.items[i].partition < FENCE_PARTITIONS_MAX) continue;
        stop_fail(assignment->options.stop,
                  "the input topic has more partitions than rollcall takes (4096)");
        return false;
    }
    return true;
}

/* An offset that another program has committed says neither where the group began nor in which log
 * it lies. */
static void warn_of_foreign_offsets(const struct kafka_committed *committed, size_t count) {
    int64_t foreign = 0;
    const struct kafka_committed *first = NULL;
    for (size_t i = 0; i < count; i++) {
        if (committed[i].offset < 0 || committed[i].origin >= 0) continue;
        if (foreign++ == 0) first = &committed[i];
    }
    if (foreign == 0) return;
    log_warn(
        "Offsets that another program has committed: publishing goes on from there, and counting "
        "where Redis has it; if Redis has no counts, at the first record that Kafka holds",
        log_int("partitions", foreign), log_int("partition", first->partition),
        log_int("offset", first->offset));
}

/* False if Kafka has to be asked again. */
static bool give(struct assignment *assignment) {
    const size_t count = assignment->change.count;
    struct kafka_committed *committed = memory_create(count * sizeof *committed);
    struct error error;
    for (size_t i = 0; i < count; i++)
        committed[i].partition = assignment->change.items[i].partition;
    publish_recount(assignment->options.publish);
    const bool is_answered =
        kafka_source_committed(assignment->options.source, committed, count, KAFKA_CALL_MS, &error);
    if (is_answered) {
        warn_of_foreign_offsets(committed, count);
        start_all(assignment, committed);
    } else {
        log_warn("Waiting for Kafka", log_text("reason", error.text));
    }
    free(committed);
    return is_answered;
}

static void give_step(struct assignment *assignment, int64_t now_ms) {
    const size_t count = assignment->change.count;
    if (now_ms < assignment->retry.until_ms) return;
    const bool is_taken = count > 0 && !stop_is_asked(assignment->options.stop) &&
                          are_within_limits(assignment) && is_same_topic(assignment);
    if (is_taken && !give(assignment)) {
        backoff_grow(&assignment->retry, clock_ms(), RETRY_MS_MIN, RETRY_MS_MAX);
        return;
    }
    if (!is_taken) answer(assignment);
    atomic_store(&assignment->is_giving, false);
    log_info("Partitions assigned", log_uint("count", count));
}

/* --- partitions go ---------------------------------------------------------------------------- */

static void end_ingest(struct assignment *assignment, int32_t partition) {
    struct ingest *ingest = running(assignment, partition);
    if (ingest == NULL) return;
    fence_raise(assignment->options.fence, partition);
    struct kafka_stream *stream = ingest_stop(ingest);
    kafka_stream_close(&stream);
}

/* Whether there is nothing to wait for any more: `ingest`, if it is not NULL, is drained. */
static bool is_drained(const struct assignment *assignment, const struct ingest *ingest) {
    return ingest == NULL || atomic_load(&assignment->options.stop->has_failed) ||
           ingest_is_drained(ingest, checkpoint_is_reachable(assignment->options.checkpoint));
}

/* Where Redis is away, whoever counts next counts the rest; what only somebody can set right is a
 * failure. */
static void tell_uncounted(const struct assignment *assignment) {
    struct checkpoint *checkpoint = assignment->options.checkpoint;
    int64_t count = 0;
    for (int32_t p = 0; p < FENCE_PARTITIONS_MAX; p++) {
        const struct ingest *ingest = running(assignment, p);
        count += ingest != NULL && !ingest_is_drained(ingest, true);
    }
    struct text why = {0};
    if (count == 0 || atomic_load(&assignment->options.stop->has_failed) ||
        checkpoint_is_ready(checkpoint, &why))
        return;
    log_warn("Ended before all was counted: the next start counts it", log_int("partitions", count),
             log_text("reason", text_string(&why)));
    if (checkpoint_is_denied(checkpoint)) stop_fail(assignment->options.stop, text_string(&why));
    text_release(&why);
}

/* True while partitions are to be waited for: those of the open event, or all. */
static bool drains(struct assignment *assignment, int64_t now_ms) {
    const bool all = assignment->is_ending;
    const bool begins = assignment->drain_until_ms == 0;
    if (begins) assignment->drain_until_ms = now_ms + assignment->options.drain_ms;
    const size_t count = all ? FENCE_PARTITIONS_MAX : assignment->change.count;
    bool waits = false;
    for (size_t i = 0; i < count; i++) {
        struct ingest *ingest =
            running(assignment, all ? (int32_t)i : assignment->change.items[i].partition);
        if (begins && ingest != NULL) ingest_drain(ingest);
        waits |= !is_drained(assignment, ingest);
    }
    if (waits && now_ms < assignment->drain_until_ms) return true;
    if (waits) {
        log_warn("Partitions given away before all was stored: the next owner reads it again",
                 log_int("waited_ms", assignment->options.drain_ms));
    }
    if (all) tell_uncounted(assignment);
    return false;
}

static void take_all(struct assignment *assignment, bool is_lost) {
    const size_t count = assignment->change.count;
    for (size_t i = 0; i < count; i++)
        end_ingest(assignment, assignment->change.items[i].partition);
    if (is_lost) {
        log_warn("Partitions lost: another instance may own them already",
                 log_uint("count", count));
    } else {
        log_info("Partitions given away", log_uint("count", count));
    }
    answer(assignment);
}

/* --- steps ------------------------------------------------------------------------------------ */

static void take_event(struct assignment *assignment) {
    struct error error;
    switch (kafka_source_poll(assignment->options.source, &assignment->change, &error)) {
    case SOURCE_QUIET:
        break;
    case SOURCE_GIVEN:
        assignment->state = GIVES;
        atomic_store(&assignment->is_giving, true);
        break;
    case SOURCE_TAKEN:
        assignment->state = TAKES;
        break;
    case SOURCE_LOST:
        take_all(assignment, true);
        break;
    case SOURCE_FAILED:
        stop_fail(assignment->options.stop, error.text);
        break;
    }
}

int64_t assignment_step(struct assignment *assignment, int64_t now_ms) {
    take_event(assignment);
    if (assignment->state == GIVES) give_step(assignment, now_ms);
    if (assignment->state == TAKES && !drains(assignment, now_ms)) take_all(assignment, false);
    return now_ms + POLL_MS;
}

bool assignment_has_drained(const struct assignment *assignment) {
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++) {
        if (running(assignment, p) != NULL) return false;
    }
    return true;
}

int64_t assignment_drain_step(struct assignment *assignment, int64_t now_ms) {
    if (!assignment->is_ending) assignment->drain_until_ms = 0;
    assignment->is_ending = true;
    take_event(assignment); /* the group is served on, or it would expel this member */
    if (drains(assignment, now_ms)) return now_ms + POLL_MS;
    assignment_end(assignment);
    return now_ms;
}

void assignment_end(struct assignment *assignment) {
    for (int32_t p = 0; p < FENCE_PARTITIONS_MAX; p++)
        end_ingest(assignment, p);
    show_assigned(assignment);
}

void assignment_visit(const struct assignment *assignment,
                      void (*visit)(void *context, const struct ingest *ingest), void *context) {
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++) {
        const struct ingest *ingest = running(assignment, p);
        if (ingest != NULL) visit(context, ingest);
    }
}

int64_t assignment_count_stuck(const struct assignment *assignment, int64_t now_ms) {
    int64_t count = 0;
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++) {
        const struct ingest *ingest = running(assignment, p);
        count += ingest != NULL && worker_is_stuck(ingest_worker(ingest), now_ms);
    }
    return count;
}

bool assignment_is_ready(const struct assignment *assignment, struct text *why) {
    if (atomic_load(&assignment->is_giving)) {
        text_add(why, "partitions were assigned, and are not being read yet");
        return false;
    }
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++) {
        struct ingest *ingest = running(assignment, p);
        if (ingest != NULL && !ingest_is_ready(ingest, why)) return false;
    }
    return true;
}

bool assignment_is_alive(const struct assignment *assignment, int64_t now_ms, struct text *why) {
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++) {
        const struct ingest *ingest = running(assignment, p);
        if (ingest == NULL || !worker_is_stuck(ingest_worker(ingest), now_ms)) continue;
        text_format(why, "thread ingest of partition %d is stuck", p);
        return false;
    }
    return true;
}
