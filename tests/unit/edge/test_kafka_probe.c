/* kafka_probe against librdkafka's in-process cluster: which record is found where, and whether
 * Kafka answers. */
#include "edge/kafka_probe.h"

#include "broker.h"
#include "newest.h"

enum { SHORT_MS = 300 };

static struct broker broker;
static struct properties consumer;
static struct kafka_source *source;
static struct error error;

static int start(void **state) {
    static struct kafka_source_settings settings = {.group = "group", .topic = "in"};
    (void)state;
    broker_start(&broker, 1);
    broker_topic(&broker, "in", 2);
    for (int i = 0; i < 3; i++)
        broker_write(&broker, "in", 1, "value");
    source = kafka_source_create(&(struct kafka_source_options){.settings = &settings,
                                                                .kafka = &broker.kafka,
                                                                .consumer = &consumer,
                                                                .queue_bytes = 1 << 20,
                                                                .partition_count = 2},
                                 &error);
    return source == NULL ? -1 : 0;
}

static int stop(void **state) {
    (void)state;
    kafka_source_destroy(&source);
    kafka_conf_release(&consumer);
    broker_stop(&broker);
    return 0;
}

static struct kafka_probe *open_probe(int32_t partition) {
    struct kafka_probe *probe = kafka_probe_open(source, partition, &error);
    if (probe == NULL) fail_msg("%s", error.text);
    return probe;
}

static void a_source_has_one_probe_at_a_time(void **state) {
    (void)state;
    struct kafka_probe *probe = open_probe(0);
    assert_null(kafka_probe_open(source, 1, &error));
    assert_string_equal(error.text, "another partition is looked at");
    kafka_probe_close(&probe);
    assert_null(probe);
    probe = open_probe(1);
    kafka_probe_close(&probe);
    kafka_probe_close(&probe);
}

/* A record of a transaction that was aborted is in the log, too. */
static void it_looks_at_the_log_as_it_is(void **state) {
    (void)state;
    struct kafka_probe *probe = open_probe(0);
    has_property(newest, "isolation.level", "read_uncommitted");
    has_property(newest, "group.id", "group");
    has_property(newest, "enable.auto.commit", "false");
    has_property(newest, "auto.offset.reset", "error");
    has_property(newest, "allow.auto.create.topics", "false");
    has_property(newest, "enable.partition.eof", "true");
    kafka_probe_close(&probe);
}

static void the_first_record_from_an_offset_on_is_found(void **state) {
    (void)state;
    struct kafka_probe_record found = {0};
    struct kafka_probe *probe = open_probe(1);
    for (int64_t offset = 2; offset >= 0; offset--) {
        if (!kafka_probe_look(probe, offset, &found, BROKER_WAIT_MS, &error))
            fail_msg("%s", error.text);
        assert_int_equal(found.offset, offset);
    }
    assert_true(kafka_probe_look(probe, 3, &found, BROKER_WAIT_MS, &error));
    assert_true(found.offset == INT64_MAX);
    assert_false(kafka_probe_look(probe, 77, &found, BROKER_WAIT_MS, &error));
    assert_non_null(strstr(error.text, "the record at offset 77 of in [1] cannot be read: "));
    kafka_probe_close(&probe);
}

static void a_kafka_that_is_away_does_not_answer(void **state) {
    (void)state;
    struct kafka_probe_record found = {0};
    struct kafka_probe *probe = open_probe(1);
    assert_true(kafka_probe_answers(probe, BROKER_WAIT_MS));
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    assert_false(kafka_probe_answers(probe, SHORT_MS));
    assert_false(kafka_probe_look(probe, 0, &found, SHORT_MS, &error));
    rd_kafka_mock_broker_set_up(broker.cluster, 1);
    kafka_probe_close(&probe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_has_one_probe_at_a_time),
        cmocka_unit_test(it_looks_at_the_log_as_it_is),
        cmocka_unit_test(the_first_record_from_an_offset_on_is_found),
        cmocka_unit_test(a_kafka_that_is_away_does_not_answer),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
