/* kafka_feed against librdkafka's in-process cluster. */
#include "edge/kafka_feed.h"

#include "base/error.h"
#include "broker.h"
#include "newest.h"

enum { WAIT_MS = BROKER_WAIT_MS, SHORT_MS = 200, PARTITIONS = 3, TIMESTAMP = 17206 };

static struct broker broker;
static struct properties producer;
static struct kafka_feed *feed;
static struct error error;

static int begin(void **state) {
    (void)state;
    broker_start(&broker, 1);
    kafka_conf_put(&producer, "linger.ms", "5");
    kafka_conf_put(&producer, "queue.buffering.max.messages", "10");
    feed = kafka_feed_create(&broker.kafka, &producer, "logins", &error);
    if (feed == NULL) fail_msg("%s", error.text);
    return 0;
}

static int end(void **state) {
    (void)state;
    kafka_feed_destroy(&feed);
    assert_null(feed);
    kafka_feed_destroy(&feed); /* none is fine */
    kafka_conf_release(&producer);
    broker_stop(&broker);
    return 0;
}

static void open_topic(void) {
    broker_topic(&broker, "logins", PARTITIONS);
    if (kafka_feed_look(feed, WAIT_MS, &error) != KAFKA_FEED_GO_ON) fail_msg("%s", error.text);
}

static enum kafka_feed_verdict put(const char *value) {
    return kafka_feed_send(feed, value, value == NULL ? 0 : strlen(value), TIMESTAMP, &error);
}

static void a_topic_is_looked_for_and_not_created(void **state) {
    (void)state;
    broker_topic(&broker, "others", 5);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kafka_feed_look(feed, WAIT_MS, &error), KAFKA_FEED_WAIT);
        assert_string_equal(error.text, "there is no topic logins");
    }
    open_topic();
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    assert_int_equal(kafka_feed_look(feed, SHORT_MS, &error), KAFKA_FEED_WAIT);
    assert_non_null(strstr(error.text, "Kafka does not answer"));
    rd_kafka_mock_broker_set_up(broker.cluster, 1);
}

static void look(const rd_kafka_message_t *message) {
    assert_int_equal(message->len, 2);
    assert_memory_equal(message->payload, "v4", 2);
    assert_null(message->key);
    assert_int_equal(rd_kafka_message_timestamp(message, NULL), TIMESTAMP);
}

static void look_null(const rd_kafka_message_t *message) {
    assert_null(message->payload);
}

static void records_go_to_each_partition_in_turn(void **state) {
    (void)state;
    open_topic();
    static const char *const values[] = {"v0", "v1", "v2", "v3", "v4", NULL, "v6"};
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(put(values[i]), KAFKA_FEED_GO_ON);
    assert_int_equal(kafka_feed_flush(feed, WAIT_MS), 0);
    assert_int_equal(kafka_feed_delivered(feed), 7);
    error.text[0] = '\0';
    assert_int_equal(kafka_feed_failed(feed, &error), 0);
    assert_string_equal(error.text, "");
    for (int p = 0; p < PARTITIONS; p++)
        assert_int_equal(broker_count(&broker, "logins", p), p == 0 ? 3 : 2);
    broker_read(&broker, "logins", 1, 1, look);
    broker_read(&broker, "logins", 2, 1, look_null);
}

static void acknowledgements_are_taken_by_polling(void **state) {
    (void)state;
    open_topic();
    assert_int_equal(put("v"), KAFKA_FEED_GO_ON);
    const int64_t until_ms = clock_ms() + WAIT_MS;
    while (kafka_feed_delivered(feed) < 1) {
        assert_true(clock_ms() < until_ms);
        kafka_feed_poll(feed, SHORT_MS);
    }
}

static void a_full_queue_is_to_be_waited_for(void **state) {
    (void)state;
    open_topic();
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    int sent = 0;
    while (put("v") == KAFKA_FEED_GO_ON && sent < 100)
        sent++;
    assert_int_equal(sent, 10);
    assert_int_equal(put("v"), KAFKA_FEED_WAIT);
    assert_int_equal(kafka_feed_flush(feed, SHORT_MS), 10);
    assert_int_equal(kafka_feed_delivered(feed), 0);
    rd_kafka_mock_broker_set_up(broker.cluster, 1);
    assert_int_equal(kafka_feed_flush(feed, WAIT_MS), 0);
    assert_int_equal(kafka_feed_delivered(feed), 10);
}

static void a_record_that_is_given_up_is_counted_and_explained(void **state) {
    (void)state;
    open_topic();
    rd_kafka_mock_push_request_errors(broker.cluster, API_PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_INVALID_RECORD);
    assert_int_equal(put("v"), KAFKA_FEED_GO_ON);
    assert_int_equal(kafka_feed_flush(feed, WAIT_MS), 0);
    assert_int_equal(kafka_feed_failed(feed, &error), 1);
    assert_non_null(strstr(error.text, "logins: Broker: "));
    assert_int_equal(kafka_feed_delivered(feed), 0);
}

static void a_dead_producer_takes_no_records(void **state) {
    (void)state;
    open_topic();
    rd_kafka_test_fatal_error(newest, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "broken");
    assert_int_equal(put("v"), KAFKA_FEED_STOP);
    assert_non_null(strstr(error.text, "cannot write to logins: "));
    assert_non_null(strstr(error.text, "broken"));
}

static void properties_are_rollcalls_own_or_rejected(void **state) {
    (void)state;
    has_property(newest, "enable.idempotence", "true");
    kafka_conf_put(&producer, "linger.ms", "-5");
    assert_null(kafka_feed_create(&broker.kafka, &producer, "logins", &error));
    assert_non_null(strstr(error.text, "linger.ms"));
    kafka_conf_put(&producer, "linger.ms", "5");
    kafka_conf_put(&producer, "acks", "1"); /* contradicts it */
    assert_null(kafka_feed_create(&broker.kafka, &producer, "logins", &error));
    assert_non_null(strstr(error.text, "acks"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(a_topic_is_looked_for_and_not_created),
        TEST(records_go_to_each_partition_in_turn),
        TEST(acknowledgements_are_taken_by_polling),
        TEST(a_full_queue_is_to_be_waited_for),
        TEST(a_record_that_is_given_up_is_counted_and_explained),
        TEST(a_dead_producer_takes_no_records),
        TEST(properties_are_rollcalls_own_or_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
