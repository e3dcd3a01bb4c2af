/* kafka_reader against librdkafka's in-process cluster: which records of its ranges it lends, when
 * it is at the end, and what ends it. */
#include "edge/kafka_reader.h"

#include <stdlib.h>

#include "broker.h"
#include "logged.h"
#include "newest.h"

enum { STEP_MS = 100 };

static struct broker broker;
static struct kafka_reader *reader;
static struct kafka_range ranges[2];
static struct properties consumer;
static struct error error;
static char taken[256]; /* "0:3 1:0 " for partition and offset */

static void (*throttled)(rd_kafka_t *, const char *, int32_t, int, void *);

/* Stands in front of librdkafka's own: the in-process cluster has no quotas. */
void rd_kafka_conf_set_throttle_cb(rd_kafka_conf_t *conf,
                                   void (*callback)(rd_kafka_t *, const char *, int32_t, int,
                                                    void *)) {
    (void)conf;
    throttled = callback;
}

static int start(void **state) {
    (void)state;
    broker_start(&broker, 1);
    broker_topic(&broker, "in", 3);
    for (int i = 0; i < 5; i++)
        broker_write(&broker, "in", 0, "zero");
    broker_write(&broker, "in", 1, "one");
    return 0;
}

static int stop(void **state) {
    (void)state;
    kafka_conf_release(&consumer);
    broker_stop(&broker);
    return 0;
}

static int end(void **state) {
    (void)state;
    kafka_reader_destroy(&reader);
    assert_null(reader);
    kafka_reader_destroy(&reader); /* none is fine */
    return 0;
}

static bool takes_one; /* a read */

static bool take(void *context, struct kafka_range *range, const struct kafka_record *record) {
    const size_t length = strlen(taken);
    assert_ptr_equal(context, taken);
    assert_true(record->offset >= range->next && record->offset < range->end);
    snprintf(taken + length, sizeof taken - length, "%d:%lld ", (int)range->partition,
             (long long)record->offset);
    return !takes_one;
}

static void open_ranges(size_t count) {
    static struct kafka_source_settings settings = {.group = "group", .topic = "in"};
    const struct kafka_source_options options = {.settings = &settings,
                                                 .kafka = &broker.kafka,
                                                 .consumer = &consumer,
                                                 .queue_bytes = 1 << 20};
    taken[0] = error.text[0] = '\0';
    reader = kafka_reader_create(&options, ranges, count, &error);
    if (reader == NULL) fail_msg("%s", error.text);
}

static enum reader_verdict read_once(void) {
    return kafka_reader_read(reader, STEP_MS, take, taken, &error);
}

/* Reads until all ranges are at their ends. */
static void read_all(size_t count) {
    const int64_t until_ms = clock_ms() + BROKER_WAIT_MS;
    for (size_t i = 0; i < count; i++) {
        while (!ranges[i].is_at_end) {
            assert_true(clock_ms() < until_ms);
            assert_int_not_equal(read_once(), READER_FAILED);
        }
    }
}

static void the_records_of_a_range_are_lent_and_no_other(void **state) {
    (void)state;
    ranges[0] = (struct kafka_range){.partition = 0, .begin = 1, .end = 4};
    open_ranges(1);
    assert_int_equal(ranges[0].next, 1);
    assert_false(ranges[0].is_at_end);
    read_all(1);
    assert_string_equal(taken, "0:1 0:2 0:3 ");
    assert_int_equal(ranges[0].next, 4);
    assert_int_equal(read_once(), READER_NOTHING); /* and nothing that is behind it */
    assert_string_equal(taken, "0:1 0:2 0:3 ");
}

static void a_range_without_an_end_goes_on_with_what_is_appended(void **state) {
    (void)state;
    ranges[0] = (struct kafka_range){.partition = 1, .end = KAFKA_READER_ENDLESS};
    ranges[1] = (struct kafka_range){.partition = 2, .end = KAFKA_READER_ENDLESS};
    open_ranges(2);
    read_all(2); /* of an empty one, too */
    assert_string_equal(taken, "1:0 ");
    assert_int_equal(ranges[0].next, 1);
    assert_int_equal(ranges[1].next, 0);
    broker_write(&broker, "in", 2, "two");
    const int64_t until_ms = clock_ms() + BROKER_WAIT_MS;
    enum reader_verdict verdict;
    while ((verdict = read_once()) == READER_NOTHING)
        assert_true(clock_ms() < until_ms);
    assert_int_equal(verdict, READER_RECORDS);
    assert_string_equal(taken, "1:0 2:0 ");
    assert_int_equal(ranges[1].next, 1);
}

static void an_empty_range_is_at_its_end(void **state) {
    (void)state;
    ranges[0] = (struct kafka_range){.partition = 0, .begin = 5, .end = 5};
    open_ranges(1);
    assert_true(ranges[0].is_at_end);
    assert_int_equal(ranges[0].next, 5);
    assert_int_equal(read_once(), READER_NOTHING);
}

/* Positions are not reset: what is not in the log would be left out. */
static void what_is_not_in_the_log_fails(void **state) {
    (void)state;
    ranges[0] = (struct kafka_range){.partition = 0, .begin = 77, .end = 80};
    open_ranges(1);
    const int64_t until_ms = clock_ms() + BROKER_WAIT_MS;
    while (read_once() != READER_FAILED)
        assert_true(clock_ms() < until_ms);
    if (strstr(error.text, "cannot read in [0] at offset 77: ") == NULL) fail_msg("%s", error.text);
    assert_string_equal(taken, "");
}

static void who_has_enough_gets_the_rest_with_the_next_reads(void **state) {
    (void)state;
    ranges[0] = (struct kafka_range){.partition = 0, .end = 4};
    open_ranges(1);
    takes_one = true;
    for (int count = 0; count < 4; count++) {
        const int64_t until_ms = clock_ms() + BROKER_WAIT_MS;
        assert_int_equal(ranges[0].next, count);
        while (read_once() == READER_NOTHING)
            assert_true(clock_ms() < until_ms);
        assert_int_equal(ranges[0].next, count + 1);
    }
    takes_one = false;
    assert_string_equal(taken, "0:0 0:1 0:2 0:3 ");
}

/* Whoever waits for records wants to know why none comes. */
static void a_broker_that_is_gone_is_logged_and_waited_for(void **state) {
    (void)state;
    ranges[0] = (struct kafka_range){.partition = 0, .end = KAFKA_READER_ENDLESS};
    open_ranges(1);
    read_all(1);
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    const int64_t until_ms = clock_ms() + BROKER_WAIT_MS;
    while (logged_count("librdkafka ERROR", "failed: Connection refused") == 0) {
        assert_true(clock_ms() < until_ms);
        assert_int_equal(read_once(), READER_NOTHING);
    }
    rd_kafka_mock_broker_set_up(broker.cluster, 1);
    broker_write(&broker, "in", 0, "zero");
    while (read_once() == READER_NOTHING)
        assert_true(clock_ms() < until_ms);
    assert_string_equal(taken, "0:0 0:1 0:2 0:3 0:4 0:5 ");
}

/* It is waited for, and logged; a wait of 0 ends one. */
static void a_quota_that_holds_back_is_told(void **state) {
    (void)state;
    ranges[0] = (struct kafka_range){.partition = 2, .begin = 0, .end = KAFKA_READER_ENDLESS};
    open_ranges(1);
    read_all(1); /* of other tests */
    taken[0] = '\0';
    assert_int_equal(read_once(), READER_NOTHING);
    throttled(newest, "broker:9092", 1, 3 * STEP_MS, rd_kafka_opaque(newest));
    assert_int_equal(
        logged_count("A quota of Kafka holds this client back", "broker=broker:9092 wait_ms=300"),
        1);
    assert_int_equal(read_once(), READER_HELD);
    throttled(newest, "broker:9092", 1, 0, rd_kafka_opaque(newest));
    assert_int_equal(read_once(), READER_HELD);
    while (read_once() == READER_HELD)
        assert_string_equal(taken, "");
    assert_int_equal(read_once(), READER_NOTHING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_records_of_a_range_are_lent_and_no_other, end),
        cmocka_unit_test_teardown(a_range_without_an_end_goes_on_with_what_is_appended, end),
        cmocka_unit_test_teardown(an_empty_range_is_at_its_end, end),
        cmocka_unit_test_teardown(what_is_not_in_the_log_fails, end),
        cmocka_unit_test_teardown(who_has_enough_gets_the_rest_with_the_next_reads, end),
        cmocka_unit_test_teardown(a_broker_that_is_gone_is_logged_and_waited_for, end),
        cmocka_unit_test_teardown(a_quota_that_holds_back_is_told, end),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
