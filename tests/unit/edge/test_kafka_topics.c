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
#include "described.h"
#include "edge/kafka_mock.h"
#include "edge/kafka_private.h"
#include "edge/kafka_source.h"
#include "logged.h"

enum { WAIT_MS = 20000, SHORT_MS = 500 };

static int replication; /* of the topic that was asked for last */

/* Stands in front of librdkafka's own. */
rd_kafka_NewTopic_t *rd_kafka_NewTopic_new(const char *topic, int partitions, int factor,
                                           char *text, size_t bytes) {
    rd_kafka_NewTopic_t *(*real)(const char *, int, int, char *, size_t);
    DESCRIBED_REAL(real, "rd_kafka_NewTopic_new");
    replication = factor;
    return real(topic, partitions, factor, text, bytes);
}

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

/* A source that was borrowed and not given back would wait here without end. */
static void drop_source(struct kafka_source *source) {
    static struct alarm alarm;
    struct source_change change;
    struct error error = {""};
    assert_true(kafka_source_subscribe(source, &alarm, &error));
    kafka_source_replace(source);
    assert_int_equal(kafka_source_poll(source, &change, &error), SOURCE_QUIET);
    assert_int_equal(logged_count("joining with a new one", "makes no progress"), 1);
    kafka_source_destroy(&source);
}

static void a_look_finds_what_is_there_and_creates_nothing(void **state) {
    (void)state;
    struct error error = {""};
    struct topic_facts facts;
    struct kafka_mock *mock = kafka_mock_create(2, &error);
    if (mock == NULL) fail_msg("%s", error.text);
    assert_string_equal(error.text, "");
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
    assert_null(strstr(error.text, "logins")); /* it is not the topic */
    assert_non_null(strstr(error.text, "Kafka at 127.0.0.1:1 does not answer (127.0.0.1:1: "));
    assert_non_null(strstr(error.text, "Connection refused): see that it runs, that kafka.boot"));
    assert_false(facts.exists);
    assert_false(kafka_topics_answers(source, SHORT_MS, &error));
    assert_non_null(strstr(error.text, "Connection refused"));
    assert_int_equal(kafka_topics_create(source, "logins", 3, SHORT_MS, &error), TOPICS_RETRY);
    assert_int_equal(replication, -1); /* the broker's own */
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

static void what_becomes_of_a_topic_to_create_is_reported(void **state) {
    (void)state;
    static const struct {
        rd_kafka_resp_err_t whole, own;
        size_t count;
        const char *words, *why; /* why: NULL where all is well */
        enum topics_verdict verdict;
    } rows[] = {
        {0, 0, 1, NULL, NULL, TOPICS_OK},
        {0, RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, 1, "is there", NULL, TOPICS_OK},
        {0, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1, "no right",
         "topic logins is missing and cannot be created (no right): create it with "
         "kafka-topics.sh --create --topic logins --partitions 3",
         TOPICS_REFUSED},
        {0, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1, NULL,
         "topic logins is missing and cannot be created (Broker: Topic authorization failed): ",
         TOPICS_REFUSED},
        {0, 0, 0, "not shown", "created it yet: Local: Communication failure", TOPICS_RETRY},
        {0, 0, 2, "not shown", "created it yet: Local: Communication failure", TOPICS_RETRY},
        {RD_KAFKA_RESP_ERR__TIMED_OUT, 0, 1, "too slow",
         "topic logins is missing, and Kafka has not created it yet: too slow", TOPICS_RETRY},
        {RD_KAFKA_RESP_ERR__TIMED_OUT, 0, 1, "",
         "topic logins is missing, and Kafka has not created it yet: Local: Timed out",
         TOPICS_RETRY},
    };
    struct kafka_source *source = make_source("127.0.0.1:1");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error error = {""};
        described = (struct described){.is_given = true,
                                       .error = rows[i].whole,
                                       .count = rows[i].count,
                                       .words = rows[i].words};
        described.own = rd_kafka_error_new(rows[i].own, "own");
        const enum topics_verdict verdict =
            kafka_topics_create(source, "logins", 3, WAIT_MS, &error);
        described.is_given = false;
        rd_kafka_error_destroy(described.own);
        if (verdict != rows[i].verdict ||
            (rows[i].why == NULL ? error.text[0] != '\0' : strstr(error.text, rows[i].why) == NULL))
            fail_msg("%zu: %d, %s", i, (int)verdict, error.text);
    }
    kafka_source_destroy(&source);
}

/* A question that `answer` is the answer to. */
static struct topic_facts described_facts(struct kafka_source *source, struct described answer) {
    struct topic_facts facts = {.exists = true};
    struct error error = {""};
    answer.is_given = true;
    described = answer;
    assert_true(kafka_topics_describe(source, "logins", WAIT_MS, &facts, &error));
    assert_true(facts.exists);
    assert_true(described.asked_for_rights);
    described.is_given = false;
    return facts;
}

static void a_description_has_partitions_id_and_rights(void **state) {
    (void)state;
    static const rd_kafka_AclOperation_t rights[] = {
        RD_KAFKA_ACL_OPERATION_READ, RD_KAFKA_ACL_OPERATION_WRITE, RD_KAFKA_ACL_OPERATION_ALL};
    struct kafka_source *source = make_source("127.0.0.1:1");
    struct described answer = {.count = 1, .partitions = 7};
    answer.id = rd_kafka_Uuid_new(0x0102030405060708, 0x090A0B0C0D0E0F10);
    struct topic_facts facts = described_facts(source, answer);
    assert_int_equal(facts.partition_count, 7);
    assert_string_equal(facts.id, "AQIDBAUGBwgJCgsMDQ4PEA");
    assert_false(facts.has_rights);
    for (size_t first = 0; first < 3; first++) {
        answer.rights = rights + first;
        for (answer.right_count = 0; answer.right_count <= 1; answer.right_count++) {
            facts = described_facts(source, answer);
            assert_true(facts.has_rights);
            assert_int_equal(facts.may_read, answer.right_count == 1 && first != 1);
            assert_int_equal(facts.may_write, answer.right_count == 1 && first != 0);
        }
    }
    answer.rights = NULL;
    rd_kafka_Uuid_destroy(answer.id);
    answer.id = rd_kafka_Uuid_new(0, 0); /* of an older broker */
    assert_string_equal(described_facts(source, answer).id, "");
    rd_kafka_Uuid_destroy(answer.id);
    answer.id = NULL;
    assert_string_equal(described_facts(source, answer).id, "");
    answer.error = RD_KAFKA_RESP_ERR__TIMED_OUT;
    assert_int_equal(described_facts(source, answer).partition_count, 0);
    answer.error = RD_KAFKA_RESP_ERR_NO_ERROR;
    answer.own = rd_kafka_error_new(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "gone");
    assert_int_equal(described_facts(source, answer).partition_count, 0);
    rd_kafka_error_destroy(answer.own);
    answer.own = NULL;
    answer.count = 0;
    assert_int_equal(described_facts(source, answer).partition_count, 0);
    kafka_source_destroy(&source);
}

static void a_broker_that_cannot_be_reached_where_it_advertises_is_named(void **state) {
    (void)state;
    struct error error = {""};
    struct topic_facts facts = {.exists = true};
    struct kafka_source *source = make_source("127.0.0.1:1");
    struct kafka_access *access = &kafka_client_of(kafka_source_borrow(source))->access;
    kafka_source_return(source);
    assert_true(kafka_topics_describe(source, "logins", WAIT_MS, &facts, &error));
    kafka_access_note(access, "FAIL", "h:2/7: Connect to ipv4#10.0.0.1:2 failed: No route to host");
    assert_false(kafka_topics_describe(source, "logins", WAIT_MS, &facts, &error));
    assert_non_null(strstr(error.text, "Kafka at 127.0.0.1:1 answers, but a broker that it "));
    assert_non_null(strstr(error.text, "(broker 7 at h:2: Connect to ipv4#10.0.0.1:2 failed: No "));
    assert_non_null(strstr(error.text, "correct that broker's advertised.listeners"));
    described_facts(source, (struct described){.count = 1}); /* another broker answers */
    kafka_source_destroy(&source);
}

static void a_topic_of_another_id_is_another_one(void **state) {
    (void)state;
    static const char id[] = "AQIDBAUGBwgJCgsMDQ4PEA";
    struct error error = {""};
    struct topic_facts now = {.exists = true, .partition_count = 3};
    struct kafka_source *source = make_source("127.0.0.1:1");
    described = (struct described){.is_given = true, .count = 1, .partitions = 7};
    described.asked_for_rights = true;
    assert_true(kafka_topics_is_same(source, "logins", id, WAIT_MS, NULL, &error)); /* no telling */
    assert_false(described.asked_for_rights);
    described.id = rd_kafka_Uuid_new(0x0102030405060708, 0x090A0B0C0D0E0F10);
    assert_true(kafka_topics_is_same(source, "logins", id, WAIT_MS, &now, &error));
    assert_int_equal(now.partition_count, 7);
    described.partitions = 0;
    assert_true(kafka_topics_is_same(source, "logins", "", WAIT_MS, &now, &error));
    assert_false(kafka_topics_is_same(source, "logins", "other", WAIT_MS, &now, &error));
    assert_int_equal(now.partition_count, 7);
    assert_true(now.exists);
    assert_non_null(strstr(error.text, "its id was other and is AQIDBAUGBwgJCgsMDQ4PEA"));
    described.own = rd_kafka_error_new(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "gone");
    assert_true(kafka_topics_is_same(source, "logins", id, WAIT_MS, &now, &error));
    assert_false(now.exists);
    assert_int_equal(now.partition_count, 7);
    rd_kafka_error_destroy(described.own);
    described.own = NULL;
    described.is_given = false;
    assert_true(kafka_topics_is_same(source, "logins", id, WAIT_MS, &now, &error));
    assert_true(now.exists); /* nobody says otherwise */
    rd_kafka_Uuid_destroy(described.id);
    drop_source(source);
}

static void a_topic_keeps_records_as_its_configuration_says(void **state) {
    (void)state;
    static const struct {
        const char *retention, *policy;
        int64_t kept_ms;
    } cases[] = {
        {"604800000", "delete", 604800000},
        {"604800000", "compact", TOPICS_KEEP_ALWAYS},
        {"604800000", "compact,delete", 604800000},
        {"-1", "delete", TOPICS_KEEP_ALWAYS},
        {"0", "delete", 1},
        {"1", NULL, 1},
    };
    struct error error = {""};
    int64_t kept_ms = 0;
    struct kafka_source *source = make_source("127.0.0.1:1");
    described = (struct described){.is_given = true, .count = 1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        described.entries[0][0] = "cleanup.policy";
        described.entries[0][1] = cases[i].policy;
        described.entries[1][0] = "retention.ms";
        described.entries[1][1] = cases[i].retention;
        assert_int_equal(kafka_topics_retention(source, "logins", WAIT_MS, &kept_ms, &error),
                         TOPICS_OK);
        assert_int_equal(kept_ms, cases[i].kept_ms);
    }
    described.entries[1][0] = NULL;
    assert_int_equal(kafka_topics_retention(source, "logins", WAIT_MS, &kept_ms, &error),
                     TOPICS_REFUSED);
    described.own = rd_kafka_error_new(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "denied");
    assert_int_equal(kafka_topics_retention(source, "logins", WAIT_MS, &kept_ms, &error),
                     TOPICS_REFUSED);
    assert_non_null(strstr(error.text, "allow DescribeConfigs on the topic"));
    rd_kafka_error_destroy(described.own);
    described.own = NULL;
    described.count = 0;
    assert_int_equal(kafka_topics_retention(source, "logins", WAIT_MS, &kept_ms, &error),
                     TOPICS_RETRY);
    described.error = RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    assert_int_equal(kafka_topics_retention(source, "logins", WAIT_MS, &kept_ms, &error),
                     TOPICS_REFUSED);
    described.is_given = false;
    kafka_source_destroy(&source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_look_finds_what_is_there_and_creates_nothing),
        cmocka_unit_test(an_unreachable_kafka_is_to_be_asked_again),
        cmocka_unit_test(what_cannot_be_created_is_named_with_the_command_that_creates_it),
        cmocka_unit_test(what_becomes_of_a_topic_to_create_is_reported),
        cmocka_unit_test(a_description_has_partitions_id_and_rights),
        cmocka_unit_test(a_broker_that_cannot_be_reached_where_it_advertises_is_named),
        cmocka_unit_test(a_topic_of_another_id_is_another_one),
        cmocka_unit_test(a_topic_keeps_records_as_its_configuration_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
