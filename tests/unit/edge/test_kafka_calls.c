/* Calls to Kafka that may wait: each marks its begin and its end, so that a worker that waits in it
 * is not taken for stuck, nor one that waits no more for waiting. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/worker.h"
#include "edge/kafka_conf.h"
#include "edge/kafka_private.h"
#include "edge/kafka_probe.h"
#include "edge/kafka_sink.h"
#include "edge/kafka_topics.h"

enum { CALL_MS = 400, WAIT_MS = 20000 };

static struct worker worker;
static struct kafka_source *source;
static struct kafka_sink *plain_sink, *sink;
static struct kafka_probe *probe;
static int64_t limit_ms; /* of the call in which librdkafka was called; 0: outside of any */

static void look(void) {
    const int64_t since_ms = atomic_load(&worker.call_since_ms);
    if (since_ms != 0) limit_ms = atomic_load(&worker.heartbeat_ms) - since_ms;
}

/* --- these stand in front of librdkafka's own: nothing is reached ----------------------------- */

rd_kafka_error_t *rd_kafka_init_transactions(rd_kafka_t *client, int timeout_ms) {
    (void)client, (void)timeout_ms;
    look();
    return NULL;
}

rd_kafka_resp_err_t rd_kafka_flush(rd_kafka_t *client, int timeout_ms) {
    (void)client;
    if (timeout_ms == CALL_MS) look();
    return RD_KAFKA_RESP_ERR__TIMED_OUT;
}

rd_kafka_resp_err_t rd_kafka_purge(rd_kafka_t *client, int flags) {
    (void)client, (void)flags;
    look();
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t rd_kafka_committed(rd_kafka_t *client, rd_kafka_topic_partition_list_t *list,
                                       int timeout_ms) {
    (void)client, (void)list;
    assert_int_equal(timeout_ms, CALL_MS);
    look();
    return RD_KAFKA_RESP_ERR__TIMED_OUT;
}

rd_kafka_resp_err_t rd_kafka_query_watermark_offsets(rd_kafka_t *client, const char *topic,
                                                     int32_t partition, int64_t *low, int64_t *high,
                                                     int timeout_ms) {
    (void)client, (void)topic, (void)partition, (void)low, (void)high, (void)timeout_ms;
    look();
    return RD_KAFKA_RESP_ERR__TIMED_OUT;
}

int rd_kafka_consume_start(rd_kafka_topic_t *topic, int32_t partition, int64_t offset) {
    (void)topic, (void)partition, (void)offset;
    look();
    return -1;
}

rd_kafka_resp_err_t rd_kafka_metadata(rd_kafka_t *client, int all, rd_kafka_topic_t *topic,
                                      const struct rd_kafka_metadata **found, int timeout_ms) {
    (void)client, (void)all, (void)topic, (void)found, (void)timeout_ms;
    look();
    return RD_KAFKA_RESP_ERR_INVALID_REQUEST;
}

/* --- the calls -------------------------------------------------------------------------------- */

static void open_sink(struct error *error) {
    assert_int_equal(kafka_sink_open(sink, CALL_MS, error), SINK_OK);
}

static bool may_commit(void *context) {
    (void)context;
    return true;
}

static void commit(struct error *error) {
    assert_int_equal(
        kafka_sink_commit(plain_sink, source, NULL, 0, may_commit, NULL, CALL_MS, error),
        SINK_RETRY);
}

static void end_transaction(struct error *error) {
    assert_int_equal(kafka_sink_abort(plain_sink, CALL_MS, error), SINK_OK);
}

static void ask_group(struct error *error) {
    struct kafka_committed item = {.partition = 0};
    assert_false(kafka_source_committed(source, &item, 1, CALL_MS, error));
}

static void ask_bounds(struct error *error) {
    int64_t begin, end;
    assert_false(kafka_source_bounds(source, 0, &begin, &end, CALL_MS, error));
}

static void look_at_a_record(struct error *error) {
    struct kafka_probe_record found;
    assert_false(kafka_probe_look(probe, 0, &found, CALL_MS, error));
}

static void ask_a_probe(struct error *error) {
    (void)error;
    assert_false(kafka_probe_answers(probe, CALL_MS));
}

static void look_at_a_topic(struct error *error) {
    struct topic_facts facts;
    assert_int_equal(kafka_topics_look(source, "logins", CALL_MS, &facts, error), TOPICS_REFUSED);
}

static const struct {
    const char *name;
    void (*call)(struct error *error);
    int64_t limit_ms;
} calls[] = {
    {"kafka_sink_open", open_sink, CALL_MS},        {"kafka_sink_commit", commit, 2 * CALL_MS},
    {"kafka_sink_abort", end_transaction, CALL_MS}, {"kafka_source_committed", ask_group, CALL_MS},
    {"kafka_source_bounds", ask_bounds, CALL_MS},   {"kafka_probe_look", look_at_a_record, CALL_MS},
    {"kafka_probe_answers", ask_a_probe, CALL_MS},  {"kafka_topics_look", look_at_a_topic, CALL_MS},
};

enum { COUNT = sizeof calls / sizeof *calls };

static struct outcome {
    int64_t limit_ms;
    bool has_ended;
} outcomes[COUNT];

static atomic_bool is_done;

static int64_t call_all(void *context, int64_t now_ms) {
    (void)context, (void)now_ms;
    for (int i = 0; i < COUNT && !atomic_load(&is_done); i++) {
        struct error error = {""};
        limit_ms = 0;
        calls[i].call(&error);
        outcomes[i] = (struct outcome){limit_ms, atomic_load(&worker.call_since_ms) == 0};
    }
    atomic_store(&is_done, true);
    return CLOCK_NEVER_MS;
}

static void each_call_marks_how_long_it_may_wait(void **state) {
    (void)state;
    const int64_t until_ms = clock_ms() + WAIT_MS;
    worker_init(&worker, "caller", call_all, NULL);
    assert_true(worker_start(&worker));
    while (!atomic_load(&is_done)) {
        assert_true(clock_ms() < until_ms);
        clock_sleep_ms(5);
    }
    worker_stop(&worker);
    for (int i = 0; i < COUNT; i++) {
        if (outcomes[i].limit_ms != calls[i].limit_ms || !outcomes[i].has_ended)
            fail_msg("%s: %d ms, %s", calls[i].name, (int)outcomes[i].limit_ms,
                     outcomes[i].has_ended ? "ended" : "not ended");
    }
}

/* --- around them ------------------------------------------------------------------------------ */

static struct properties kafka, none;

static struct kafka_sink *make_sink(enum kafka_sink_guarantee guarantee) {
    static struct kafka_sink_settings settings[2];
    struct error error = {""};
    settings[guarantee] = (struct kafka_sink_settings){
        .topic = (char *)"out", .rejected_topic = (char *)"", .guarantee = guarantee};
    struct kafka_sink *made =
        kafka_sink_create(&(struct kafka_sink_options){.settings = &settings[guarantee],
                                                       .kafka = &kafka,
                                                       .producer = &none,
                                                       .transactional_id = "rollcall-1",
                                                       .input_topic = "logins",
                                                       .queue_bytes = 1 << 20},
                          &error);
    if (made == NULL) fail_msg("%s", error.text);
    return made;
}

static int begin(void **state) {
    static struct kafka_source_settings settings = {.group = (char *)"group",
                                                    .topic = (char *)"logins"};
    struct error error = {""};
    (void)state;
    kafka_conf_put(&kafka, "bootstrap.servers", "127.0.0.1:1");
    source = kafka_source_create(
        &(struct kafka_source_options){
            .settings = &settings, .kafka = &kafka, .consumer = &none, .queue_bytes = 1 << 20},
        &error);
    if (source == NULL) fail_msg("%s", error.text);
    probe = kafka_probe_open(source, 0, &error);
    if (probe == NULL) fail_msg("%s", error.text);
    sink = make_sink(KAFKA_SINK_EXACTLY_ONCE);
    plain_sink = make_sink(KAFKA_SINK_AT_LEAST_ONCE);
    return 0;
}

static int end(void **state) {
    (void)state;
    kafka_probe_close(&probe);
    kafka_sink_destroy(&sink);
    kafka_sink_destroy(&plain_sink);
    kafka_source_destroy(&source);
    kafka_conf_release(&kafka);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_marks_how_long_it_may_wait),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
