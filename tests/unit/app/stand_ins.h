/* stand_ins: of what assignment calls: the threads of partitions, the group, the topic, the store.
 * They note in `done` what was called, in order. Include once, in the one test that needs it. */
#ifndef TESTS_UNIT_APP_STAND_INS_H
#define TESTS_UNIT_APP_STAND_INS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "app/assignment.h"
#include "edge/kafka_topics.h"
#include "noted.h"

enum { COUNT = 3, DRAIN_MS = 5000, NOW_MS = 1000000 };

struct ingest {
    int32_t partition;
    struct worker worker;
    struct ingest_start start;
    bool is_running, is_draining, is_drained, is_ready;
    int started, stopped;
};

static struct ingest ingests[FENCE_PARTITIONS_MAX];

struct ingest *ingest_create(const struct ingest_options *options, int32_t partition) {
    assert_string_equal(options->topic, "logins");
    ingests[partition].partition = partition;
    note("create %d, ", (int)partition);
    return &ingests[partition];
}

void ingest_destroy(struct ingest **ingest) {
    if (*ingest != NULL) note("destroy %d, ", (int)(*ingest)->partition);
    *ingest = NULL;
}

void ingest_start(struct ingest *ingest, const struct ingest_start *start) {
    note("start %d, ", (int)ingest->partition);
    ingest->start = *start;
    ingest->is_running = true;
    ingest->is_draining = false;
    ingest->is_ready = true;
    atomic_store(&ingest->worker.heartbeat_ms, NOW_MS);
}

bool ingest_is_ready(struct ingest *ingest, struct text *why) {
    if (!ingest->is_ready) text_format(why, "partition %d reads nothing", (int)ingest->partition);
    return ingest->is_ready;
}

void ingest_drain(struct ingest *ingest) {
    note("drain %d, ", (int)ingest->partition);
    ingest->is_draining = true;
}

static bool is_reachable = true, is_ready = true, is_denied;

/* Of what is not drained, all but what waits for the store. */
bool ingest_is_drained(const struct ingest *ingest, bool store_is_reachable) {
    return ingest->is_drained || !store_is_reachable;
}

struct kafka_stream *ingest_stop(struct ingest *ingest) {
    note("stop %d, ", (int)ingest->partition);
    ingest->is_running = false;
    return ingest->start.stream;
}

bool ingest_is_running(const struct ingest *ingest) {
    return ingest->is_running;
}

const struct worker *ingest_worker(const struct ingest *ingest) {
    return &ingest->worker;
}

bool checkpoint_is_reachable(const struct checkpoint *checkpoint) {
    (void)checkpoint;
    return is_reachable;
}

bool checkpoint_is_ready(struct checkpoint *checkpoint, struct text *why) {
    (void)checkpoint;
    if (!is_ready) text_add(why, "Redis says no");
    return is_ready;
}

bool checkpoint_is_denied(const struct checkpoint *checkpoint) {
    (void)checkpoint;
    return is_denied;
}

void publish_recount(struct publish *publish) {
    (void)publish;
    note("recount, ");
}

static enum source_event event;
static bool is_silent, is_other_topic;
static struct kafka_assigned items[COUNT];
static size_t item_count = COUNT;
static int64_t offsets[COUNT], origins[COUNT];

enum source_event kafka_source_poll(struct kafka_source *source, struct source_change *change,
                                    struct error *error) {
    (void)source;
    const enum source_event found = event;
    event = SOURCE_QUIET;
    if (found == SOURCE_FAILED) error_set(error, "the consumer is dead");
    if (found == SOURCE_QUIET || found == SOURCE_FAILED) return found;
    *change = (struct source_change){items, item_count};
    return found;
}

void kafka_source_answer(struct kafka_source *source) {
    (void)source;
    note("answer, ");
}

bool kafka_source_committed(struct kafka_source *source, struct kafka_committed *committed,
                            size_t count, int timeout_ms, struct error *error) {
    (void)source;
    assert_int_equal(timeout_ms, 5000);
    note("committed, ");
    if (is_silent) return error_set(error, "no coordinator");
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(committed[i].partition, items[i].partition);
        committed[i].offset = offsets[i];
        committed[i].origin = origins[i];
    }
    return true;
}

bool kafka_topics_is_same(struct kafka_source *source, const char *topic, const char *id,
                          int timeout_ms, struct topic_facts *now, struct error *error) {
    (void)source;
    assert_string_equal(topic, "logins");
    assert_string_equal(id, "id");
    assert_int_equal(timeout_ms, 5000);
    assert_null(now);
    return !is_other_topic || error_set(error, "it is another topic");
}

void kafka_stream_close(struct kafka_stream **stream) {
    note("close %d, ", (int)((struct kafka_assigned *)*stream - items));
    *stream = NULL;
}

#endif
