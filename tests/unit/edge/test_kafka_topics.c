/* kafka_topics and kafka_mock, one against the other. */
#include "edge/kafka_topics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>

#include "base/error.h"
#include "edge/kafka_mock.h"

enum { WAIT_MS = 20000, SHORT_MS = 500 };

static rd_kafka_t *make_consumer(const char *brokers) {
    char text[512] = "";
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (client == NULL) fail_msg("%s", text);
    return client;
}

static void a_look_finds_what_is_there_and_creates_nothing(void **state) {
    (void)state;
    struct error error = {""};
    struct topic_facts facts;
    struct kafka_mock *mock = kafka_mock_create(2, &error);
    if (mock == NULL) fail_msg("%s", error.text);
    assert_true(kafka_mock_create_topic(mock, "logins", 3, &error));
    rd_kafka_t *client = make_consumer(kafka_mock_bootstrap(mock));
    assert_int_equal(kafka_topics_look(client, "logins", WAIT_MS, &facts, &error), TOPICS_OK);
    assert_true(facts.exists);
    assert_int_equal(facts.partition_count, 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kafka_topics_look(client, "others", WAIT_MS, &facts, &error), TOPICS_OK);
        assert_false(facts.exists);
        assert_int_equal(facts.partition_count, 0);
        assert_string_equal(facts.id, "");
    }
    rd_kafka_destroy(client);
    kafka_mock_destroy(&mock);
    assert_null(mock);
}

static void kafka_that_is_away_is_to_be_asked_again(void **state) {
    (void)state;
    struct error error = {""};
    struct topic_facts facts;
    rd_kafka_t *client = make_consumer("127.0.0.1:1");
    assert_int_equal(kafka_topics_look(client, "logins", SHORT_MS, &facts, &error), TOPICS_RETRY);
    assert_non_null(strstr(error.text, "logins"));
    assert_false(facts.exists);
    assert_int_equal(kafka_topics_create(client, "logins", 3, SHORT_MS, &error), TOPICS_RETRY);
    assert_non_null(strstr(error.text, "logins"));
    rd_kafka_destroy(client);
}

static void what_cannot_be_created_is_named_with_the_command_that_creates_it(void **state) {
    (void)state;
    struct error error = {""};
    rd_kafka_t *client = make_consumer("127.0.0.1:1");
    const int too_many = 200000; /* librdkafka itself refuses it */
    assert_int_equal(kafka_topics_create(client, "logins", too_many, SHORT_MS, &error),
                     TOPICS_REFUSED);
    assert_non_null(strstr(error.text, "--create --topic logins --partitions 200000"));
    rd_kafka_destroy(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_look_finds_what_is_there_and_creates_nothing),
        cmocka_unit_test(kafka_that_is_away_is_to_be_asked_again),
        cmocka_unit_test(what_cannot_be_created_is_named_with_the_command_that_creates_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
