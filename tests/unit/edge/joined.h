/* joined: members of a group of librdkafka's in-process cluster, and what the first one reads. */
#ifndef TESTS_JOINED_H
#define TESTS_JOINED_H

#include <dlfcn.h>
#include <stdlib.h>

#include "broker.h"
#include "edge/kafka_private.h"
#include "edge/kafka_source.h"
#include "logged.h"
#include "newest.h"

enum { WAIT_MS = BROKER_WAIT_MS, SHORT_MS = 300, PARTITIONS = 3, TIMESTAMP_MS = 1000 };

static struct broker broker;
static struct kafka_source_settings settings = {.group = "group", .topic = "logins"};
static struct properties consumer;
static struct error error;
static struct alarm alarms[2];
static struct kafka_source *sources[2];
static struct kafka_stream *streams[PARTITIONS]; /* of the first source */

static inline int begin(void **state) {
    (void)state;
    broker_start(&broker, 1);
    broker_topic(&broker, "logins", PARTITIONS);
    kafka_conf_put(&consumer, "session.timeout.ms", "3000");
    kafka_conf_put(&consumer, "heartbeat.interval.ms", "100");
    error.text[0] = '\0';
    memset(alarms, 0, sizeof alarms);
    return 0;
}

static inline void close_streams(void) {
    for (int p = 0; p < PARTITIONS; p++)
        kafka_stream_close(&streams[p]);
}

static inline int end(void **state) {
    (void)state;
    close_streams();
    for (int s = 0; s < 2; s++) {
        kafka_source_destroy(&sources[s]);
        assert_null(sources[s]);
    }
    kafka_conf_release(&consumer);
    broker_stop(&broker);
    return 0;
}

static inline struct kafka_source *create(const char *static_id, size_t queue_bytes,
                                          int partitions) {
    const struct kafka_source_options options = {.settings = &settings,
                                                 .kafka = &broker.kafka,
                                                 .consumer = &consumer,
                                                 .static_id = static_id,
                                                 .queue_bytes = queue_bytes,
                                                 .partition_count = partitions};
    struct kafka_source *source = kafka_source_create(&options, &error);
    if (source == NULL) fail_msg("%s", error.text);
    return source;
}

static inline void join(int s) {
    sources[s] = create(NULL, 10 << 20, PARTITIONS);
    assert_false(kafka_source_is_joined(sources[s]));
    if (!kafka_source_subscribe(sources[s], &alarms[s], &error)) fail_msg("%s", error.text);
}

/* Sleeps until the alarm rings, or for a moment: what is late fails the test in the end. */
static inline void doze(struct alarm *alarm) {
    alarm_wait(alarm, clock_ms() + 50);
}

/* Polls source s until something happens. */
static inline struct source_change await(int s, enum source_event expected) {
    const int64_t until_ms = clock_ms() + WAIT_MS;
    struct source_change change;
    for (;;) {
        alarm_arm(&alarms[s]);
        const enum source_event event = kafka_source_poll(sources[s], &change, &error);
        if (event == expected) return change;
        if (event != SOURCE_QUIET) fail_msg("%d: %s", (int)event, error.text);
        if (clock_ms() > until_ms) fail_msg("event %d does not come", (int)expected);
        doze(&alarms[s]);
    }
}

enum { NOWHERE = -1 };

/* Takes the streams of an assignment of the first source, to be read from this offset on. */
static inline void take(struct source_change change, int64_t offset) {
    int32_t taken_here[PARTITIONS];
    const size_t count = change.count;
    assert_true(count <= PARTITIONS);
    for (size_t i = 0; i < change.count; i++) {
        const int32_t p = change.items[i].partition;
        assert_in_range(p, 0, PARTITIONS - 1);
        assert_null(streams[p]);
        streams[p] = change.items[i].stream;
        change.items[i].stream = NULL;
        taken_here[i] = p;
    }
    kafka_source_answer(sources[0]);
    for (size_t i = 0; offset != NOWHERE && i < count; i++) {
        if (!kafka_stream_seek(streams[taken_here[i]], offset, &error)) fail_msg("%s", error.text);
    }
}

/* The first source, alone, with all partitions. */
static inline int begin_joined(void **state) {
    begin(state);
    join(0);
    const struct source_change change = await(0, SOURCE_GIVEN);
    assert_int_equal(change.count, PARTITIONS);
    take(change, 0);
    return 0;
}

static int64_t first_offset, last_offset;
static int taken, takes_at_most;

static inline bool take_record(void *context, const struct kafka_record *record) {
    assert_ptr_equal(context, &taken);
    assert_int_equal(record->key.length, 3);
    assert_memory_equal(record->key.bytes, "key", 3);
    assert_memory_equal(record->value.bytes, "value", record->value.length);
    assert_int_equal(record->value.length, 5);
    assert_true(record->timestamp_ms == 1720622216000);
    assert_non_null(record->message);
    if (taken == 0) first_offset = record->offset;
    assert_true(taken == 0 || record->offset == last_offset + 1);
    last_offset = record->offset;
    return ++taken < takes_at_most;
}

/* Reads this many of a partition, as they come. */
static inline void read_records(int p, int count) {
    const int64_t until_ms = clock_ms() + WAIT_MS;
    struct alarm alarm = {0};
    kafka_stream_watch(streams[p], &alarm);
    taken = 0;
    takes_at_most = count;
    while (taken < count) {
        alarm_arm(&alarm);
        const enum stream_verdict verdict = kafka_stream_read(streams[p], take_record, &taken);
        assert_int_not_equal(verdict, STREAM_UNREADABLE);
        if (verdict == STREAM_NOTHING) doze(&alarm);
        if (clock_ms() > until_ms) fail_msg("%d of %d records came", taken, count);
    }
    kafka_stream_watch(streams[p], NULL);
}

#endif
