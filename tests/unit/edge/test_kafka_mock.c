/* kafka_mock: a broker whose topics a client of any kind can see. */
#include "edge/kafka_mock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>

#include "base/error.h"

enum { WAIT_MS = 20000 };

static int partitions_of(const char *servers, const char *topic) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const struct rd_kafka_metadata *cluster = NULL;
    rd_kafka_conf_set(conf, "bootstrap.servers", servers, NULL, 0);
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    assert_non_null(client);
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    assert_int_equal(rd_kafka_metadata(client, 0, handle, &cluster, WAIT_MS), 0);
    const int count = cluster->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(cluster);
    rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(client);
    return count;
}

static void a_topic_has_the_partitions_that_it_was_given(void **state) {
    (void)state;
    struct error error = {""};
    struct kafka_mock *mock = kafka_mock_create(1, &error);
    if (mock == NULL) fail_msg("%s", error.text);
    assert_true(kafka_mock_create_topic(mock, "a", 3, &error));
    assert_int_equal(partitions_of(kafka_mock_bootstrap(mock), "a"), 3);
    assert_string_equal(error.text, "");
    assert_false(kafka_mock_create_topic(mock, "a", 3, &error));
    assert_non_null(strstr(error.text, "topic a: "));
    kafka_mock_destroy(&mock);
    assert_null(mock);
    kafka_mock_destroy(&mock);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_has_the_partitions_that_it_was_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
