/* kafka_topics and kafka_mock, one against the other. */
#include "edge/kafka_topics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "edge/kafka_mock.h"
#include "edge/kafka_source.h"

enum { WAIT_MS = 20000, SHORT_MS = 500 };

/* Never joins the group. */
static struct kafka_source *make_source(const char *brokers) {
    static struct kafka_source_settings settings = {.group = "group", .topic = "logins"};
    struct error error = {""};
    static struct properties kafka, consumer;
    kafka_conf_put(&kafka, "bootstrap.servers", brokers);
    const struct kafka_source_options options = {
        .settings = &settings, .kafka = &kafka, .consumer = &consumer};
    struct kafka_source *source = kafka_source_create(&options, &error);
    if (source == NULL) fail_msg("%s", error.text);
    return source;
}

static void a_look_finds_what_is_there_and_creates_nothing(void **state) {
    (void)state;
    struct error error = {""};
    struct topic_facts facts;
    struct kafka_mock *mock = kafka_mock_create(2, &error);
    if (mock == NULL) fail_msg("%s", error.text);
    assert_true(kafka_mock_create_topic(mock, "logins", 3, &error));
    struct kafka_source *source = make_source(kafka_mock_bootstrap(mock));
    assert_int_equal(kafka_topics_look(source, "logins", WAIT_MS, &facts, &error), TOPICS_OK);
    assert_true(facts.exists);
    assert_int_equal(facts.partition_count, 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kafka_topics_look(source, "others", WAIT_MS, &facts, &error), TOPICS_OK);
        assert_false(facts.exists);
        assert_int_equal(facts.partition_count, 0);
        assert_string_equal(facts.id, "");
    }
    kafka_source_destroy(&source);
    kafka_mock_destroy(&mock);
    assert_null(mock);
}

static void an_unreachable_kafka_is_to_be_asked_again(void **state) {
    (void)state;
    struct error error = {""};
    struct topic_facts facts;
    struct kafka_source *source = make_source("127.0.0.1:1");
    assert_int_equal(kafka_topics_look(source, "logins", SHORT_MS, &facts, &error), TOPICS_RETRY);
    assert_non_null(strstr(error.text, "logins"));
    assert_false(facts.exists);
    assert_int_equal(kafka_topics_create(source, "logins", 3, SHORT_MS, &error), TOPICS_RETRY);
    assert_non_null(strstr(error.text, "logins"));
    kafka_source_destroy(&source);
}

static void what_cannot_be_created_is_named_with_the_command_that_creates_it(void **state) {
    (void)state;
    struct error error = {""};
    struct kafka_source *source = make_source("127.0.0.1:1");
    const int too_many = 200000; /* librdkafka itself rejects it */
    assert_int_equal(kafka_topics_create(source, "logins", too_many, SHORT_MS, &error),
                     TOPICS_REFUSED);
    assert_non_null(strstr(error.text, "--create --topic logins --partitions 200000"));
    kafka_source_destroy(&source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_look_finds_what_is_there_and_creates_nothing),
        cmocka_unit_test(an_unreachable_kafka_is_to_be_asked_again),
        cmocka_unit_test(what_cannot_be_created_is_named_with_the_command_that_creates_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
