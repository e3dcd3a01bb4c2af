/* A partition is let go in this order: drained, fenced, stopped, closed. */
#include "app/assignment.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "edge/kafka_topics.h"

enum { KAFKA_CALL_MS = 5000, DRAIN_NAP_MS = 2 };

struct assignment {
    struct assignment_options options;
    _Atomic(struct ingest *) ingests[FENCE_PARTITIONS_MAX]; /* set by the main thread */
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

static void show_assigned(struct assignment *assignment) {
    int64_t count = 0;
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++)
        count += running(assignment, p) != NULL;
    metric_set(metric_cell(assignment->options.assigned, NULL), count);
}

/* The committed offsets; Kafka must tell them before anything is read. */
static bool ask_kafka(struct assignment *assignment, struct kafka_committed *committed,
                      size_t count) {
    const struct assignment_options *options = &assignment->options;
    struct error error;
    int delay_ms = STOP_RETRY_MS;
    while (!kafka_source_committed(options->source, committed, count, KAFKA_CALL_MS, &error)) {
        log_warn("Waiting for Kafka", log_text("reason", error.text));
        if (!stop_back_off(options->stop, &delay_ms)) return false;
    }
    return true;
}

/* Whether the topic is the one that the offsets are of. */
static bool is_same_topic(const struct assignment *assignment) {
    const struct assignment_options *options = &assignment->options;
    struct error error;
    if (kafka_topics_is_same(kafka_source_handle(options->source), options->ingest.topic,
                             options->topic_id, KAFKA_CALL_MS, &error)) {
        return true;
    }
    stop_fail(options->stop, error.text);
    return false;
}

/* The counted offsets; without Redis they are unknown for now, and publishing can begin. */
static void ask_redis(struct assignment *assignment, const int32_t *partitions, size_t count,
                      int64_t *counted) {
    const struct assignment_options *options = &assignment->options;
    struct error error;
    enum store_verdict verdict = STORE_RETRY;
    for (int i = 0; verdict == STORE_RETRY && i < 2;
         i++) { /* twice: an idle connection may be gone */
        verdict = redis_store_offsets(options->store, partitions, count, counted, &error);
    }
    if (verdict == STORE_OK) return;
    if (verdict == STORE_REFUSED) stop_fail(options->stop, error.text);
    log_warn("Redis is away: counting begins when it is back", log_text("reason", error.text));
    for (size_t i = 0; i < count; i++)
        counted[i] = CURSOR_UNKNOWN;
}

static struct ingest *ingest_of(struct assignment *assignment, int32_t partition) {
    if (assignment->ingests[partition] == NULL) {
        assignment->ingests[partition] = ingest_create(&assignment->options.ingest, partition);
    }
    return assignment->ingests[partition];
}

/* Starts the threads of all items, each at the place that its watermarks and its log say. */
static void start_all(struct assignment *assignment, struct kafka_assigned *items, size_t count,
                      const struct kafka_committed *committed, const int64_t *counted) {
    const struct assignment_options *options = &assignment->options;
    bool has_log = true; /* after one that cannot be had, the threads ask for theirs */
    for (size_t i = 0; i < count && !stop_is_asked(options->stop); i++) {
        struct error error;
        struct cursor_log log = {0};
        int32_t partition = items[i].partition;
        has_log = has_log && kafka_source_bounds(options->source, partition, &log.begin, &log.end,
                                                 KAFKA_CALL_MS, &error);
        items[i].offset = ingest_start(ingest_of(assignment, partition), items[i].stream,
                                       fence_raise(options->fence, partition), counted[i],
                                       &committed[i], has_log, log);
        items[i].stream = NULL; /* the ingest's now */
    }
}

void assignment_give(void *context, struct kafka_assigned *items, size_t count) {
    struct assignment *assignment = context;
    struct kafka_committed *committed = memory_create(count * sizeof *committed);
    int32_t *partitions = memory_create(count * sizeof *partitions);
    int64_t *counted = memory_create(count * sizeof *counted);
    for (size_t i = 0; i < count; i++) {
        partitions[i] = committed[i].partition = items[i].partition;
        items[i].offset = RD_KAFKA_OFFSET_END;
        if (partitions[i] < FENCE_PARTITIONS_MAX) continue;
        stop_fail(assignment->options.stop,
                  "the input topic has more partitions than rollcall takes (4096)");
    }
    if (count > 0) publish_recount(assignment->options.publish);
    if (count > 0 && is_same_topic(assignment) && ask_kafka(assignment, committed, count)) {
        ask_redis(assignment, partitions, count, counted);
        start_all(assignment, items, count, committed, counted);
    }
    for (size_t i = 0; i < count; i++)
        kafka_stream_close(&items[i].stream);
    log_info("Partitions assigned", log_uint("count", count));
    show_assigned(assignment);
    free(committed);
    free(partitions);
    free(counted);
}

static bool are_drained(const struct assignment *assignment, const int32_t *partitions,
                        size_t count) {
    bool store_is_away = !checkpoint_is_reachable(assignment->options.checkpoint);
    for (size_t i = 0; i < count; i++) {
        const struct ingest *ingest = running(assignment, partitions[i]);
        if (ingest != NULL && !ingest_is_drained(ingest, store_is_away)) return false;
    }
    return true;
}

static void drain(struct assignment *assignment, const int32_t *partitions, size_t count) {
    const struct assignment_options *options = &assignment->options;
    int64_t until_ms = clock_ms() + options->drain_ms;
    for (size_t i = 0; i < count; i++) {
        struct ingest *ingest = running(assignment, partitions[i]);
        if (ingest != NULL) ingest_drain(ingest);
    }
    while (!are_drained(assignment, partitions, count)) {
        if (clock_ms() >= until_ms) {
            log_warn("Partitions given away before all was stored: the next owner reads it again",
                     log_int("waited_ms", options->drain_ms));
            break;
        }
        if (atomic_load(&options->stop->has_failed)) break;
        clock_sleep_ms(DRAIN_NAP_MS);
    }
}

static void end_ingest(struct assignment *assignment, int32_t partition) {
    struct ingest *ingest = running(assignment, partition);
    if (ingest == NULL) return;
    struct kafka_stream *stream = ingest_stop(ingest);
    kafka_stream_close(&stream);
}

void assignment_take(void *context, const int32_t *partitions, size_t count, bool is_lost) {
    struct assignment *assignment = context;
    if (!is_lost) drain(assignment, partitions, count);
    for (size_t i = 0; i < count; i++) {
        if (partitions[i] >= FENCE_PARTITIONS_MAX) continue;
        fence_raise(assignment->options.fence, partitions[i]);
        end_ingest(assignment, partitions[i]);
    }
    if (is_lost) {
        log_warn("Partitions lost: another instance may own them already",
                 log_uint("count", count));
    } else {
        log_info("Partitions given away", log_uint("count", count));
    }
    show_assigned(assignment);
}

void assignment_end(struct assignment *assignment) {
    for (int32_t p = 0; p < FENCE_PARTITIONS_MAX; p++)
        end_ingest(assignment, p);
}

bool assignment_is_alive(const struct assignment *assignment, int64_t since_ms, struct text *why) {
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++) {
        const struct ingest *ingest = running(assignment, p);
        if (ingest == NULL || ingest_heartbeat_ms(ingest) >= since_ms) continue;
        text_format(why, "thread ingest of partition %d is stuck", p);
        return false;
    }
    return true;
}
