/* check --sample against an in-process Kafka: which records are the newest, and what is said of
 * them. What is proposed is in test_proposal.c. */
#include "app/check_sample.h"

#include "app/captured.h"
#include "app/options.h"
#include "base/error.h"
#include "edge/broker.h"

/* 2024-07-10 14:36:56 UTC. */
#define NOW_S "1720622216"
#define NOW_MS INT64_C(1720622216000)
#define GOOD "{\"device_type\":\"tv\",\"locale\":\"PA\",\"timestamp\":" NOW_S "}"

static struct broker broker;
static rd_kafka_t *producer;
static const char *more; /* a setting besides those of the topic; NULL: none */

static int start(void **state) {
    (void)state;
    broker_start(&broker, 1);
    producer = broker_client(&broker, RD_KAFKA_PRODUCER);
    return 0;
}

static int stop(void **state) {
    (void)state;
    rd_kafka_destroy(producer);
    broker_stop(&broker);
    return 0;
}

/* Writes a record this many ms after NOW_MS. */
static void put(const char *topic, int partition, int64_t later_ms, const char *value) {
    const size_t length = value == NULL ? 0 : strlen(value);
    assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic),
                                       RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY("key", 3),
                                       RD_KAFKA_V_VALUE((void *)(uintptr_t)value, length),
                                       RD_KAFKA_V_TIMESTAMP(NOW_MS + later_ms), RD_KAFKA_V_END),
                     0);
    assert_int_equal(rd_kafka_flush(producer, BROKER_WAIT_MS), 0);
}

static int check(const char *topic, size_t max) {
    char servers[256], input[128];
    struct error error = {""};
    snprintf(servers, sizeof servers, "kafka.bootstrap.servers=%s",
             rd_kafka_mock_cluster_bootstraps(broker.cluster));
    snprintf(input, sizeof input, "input.topic=%s", topic);
    const struct options options = {.overrides = {servers, input, more},
                                    .override_count = more == NULL ? 2 : 3};
    char *envp[] = {NULL};
    struct config *config = config_create(&options, envp, &error);
    if (config == NULL) fail_msg("%s", error.text);
    capture_begin();
    const int status = check_sample(config, max);
    capture_end();
    config_destroy(&config);
    return status;
}

static void a_topic_that_is_missing_or_empty_is_named(void **state) {
    (void)state;
    broker_topic(&broker, "empty", 2);
    assert_int_equal(check("empty", 10), 0);
    assert_string_equal(captured, "ok  empty holds no record\n");
    assert_int_equal(check("nowhere", 10), 1);
    assert_string_equal(captured, "bad there is no topic nowhere: correct input.topic\n");
}

/* Also where all of them are in one partition. */
static void the_newest_are_those_of_the_latest_timestamps(void **state) {
    (void)state;
    broker_topic(&broker, "newest", 3);
    for (int i = 0; i < 8; i++)
        put("newest", 1, 1000 + i * 7 % 8, GOOD); /* in no order */
    for (int i = 0; i < 5; i++) {
        put("newest", 0, i, "{}");
        put("newest", 2, i, NULL);
    }
    assert_int_equal(check("newest", 8), 0);
    assert_string_equal(captured, "ok  8 of the newest 8 records of newest would be accepted\n");
    assert_int_equal(check("newest", 3), 0);
    assert_string_equal(captured, "ok  3 of the newest 3 records of newest would be accepted\n");
    assert_int_equal(check("newest", 9), 1); /* of equal ones that of the higher offset */
    shows("bad 8 of the newest 9 records of newest would be accepted\n");
    shows("records, for example partition ");
    shows(", offset 4: ");
    assert_int_equal(check("newest", 100), 1);
    shows("bad 8 of the newest 18 records of newest would be accepted\n");
    shows("bad empty: 5 records, for example partition 2, offset 0: the record has no value\n");
    shows("bad missing_field: 5 records, for example partition 0, offset 0: "
          "device_type: missing\n");
    shows("\n; no settings were found under which more would be accepted\n");
}

/* The last of two headers of a name counts. */
static void headers_are_read(void **state) {
    (void)state;
    static const char value[] = "{\"device_type\":\"tv\",\"locale\":\"PA\"}";
    broker_topic(&broker, "headers", 1);
    assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("headers"),
                                       RD_KAFKA_V_PARTITION(0),
                                       RD_KAFKA_V_VALUE((void *)(uintptr_t)value, strlen(value)),
                                       RD_KAFKA_V_HEADER("time", "soon", -1),
                                       RD_KAFKA_V_HEADER("time", NOW_S, -1),
                                       RD_KAFKA_V_HEADER("trace", "x", -1), RD_KAFKA_V_END),
                     0);
    put("headers", 0, 0, value);
    more = "input.timestamp=header:time";
    const int status = check("headers", 10);
    more = NULL;
    assert_int_equal(status, 1);
    shows("bad 1 of the newest 2 records of headers would be accepted\n");
    shows("bad missing_field: 1 records, for example partition 0, offset 1: "
          "timestamp (header:time): missing\n");
}

static void better_settings_come_with_what_they_leave(void **state) {
    (void)state;
    broker_topic(&broker, "better", 1);
    put("better", 0, 0, "{");
    for (int i = 0; i < 3; i++)
        put("better", 0, i, "{\"device_type\":\"tv\",\"lang\":\"PA\",\"timestamp\":" NOW_S "}");
    assert_int_equal(check("better", 10), 1);
    shows("bad 0 of the newest 4 records of better would be accepted\n");
    shows("bad not_json: 1 records, for example partition 0, offset 0: ");
    shows("bad missing_field: 3 records, for example partition 0, offset 1: ");
    shows("\n; with these settings 3 of 4 would be accepted\n; not_json: 1 records");
    shows("\n[dimension.locale]\nfrom = lang\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_that_is_missing_or_empty_is_named),
        cmocka_unit_test(the_newest_are_those_of_the_latest_timestamps),
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(better_settings_come_with_what_they_leave),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
