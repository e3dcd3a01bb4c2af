#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/clock.h"
#include "edge/kafka_private.h"

enum { ANSWER_MS = 300, LONG_MS = 20000, SHORT_MS = 20, BROKER = 1 };

struct fixture {
    struct kafka_flight *flight;
    rd_kafka_t *producer;
    rd_kafka_mock_cluster_t *cluster;
};

static void conf_set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[256];
    assert_int_equal(rd_kafka_conf_set(conf, name, value, why, sizeof why), RD_KAFKA_CONF_OK);
}

static void produce(const struct fixture *fixture) {
    assert_int_equal(rd_kafka_producev(fixture->producer, RD_KAFKA_V_TOPIC("t"),
                                       RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE("x", 1),
                                       RD_KAFKA_V_END),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
}

static int open_fixture(void **state) {
    static struct fixture fixture;
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    conf_set(conf, "test.mock.num.brokers", "1");
    conf_set(conf, "bootstrap.servers", "mock"); /* the mock's own are put in its place */
    conf_set(conf, "enable.idempotence", "true");
    conf_set(conf, "linger.ms", "0");
    fixture.flight = kafka_flight_create();
    kafka_flight_attach(fixture.flight, conf);
    fixture.producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    assert_non_null(fixture.producer);
    fixture.cluster = rd_kafka_handle_mock_cluster(fixture.producer);
    produce(&fixture); /* connections, metadata and the producer's id are there from now on */
    assert_int_equal(rd_kafka_flush(fixture.producer, LONG_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    *state = &fixture;
    return 0;
}

static int close_fixture(void **state) {
    struct fixture *fixture = *state;
    rd_kafka_destroy(fixture->producer);
    kafka_flight_destroy(&fixture->flight);
    assert_null(fixture->flight);
    return 0;
}

static void send_and_wait_sent(const struct fixture *fixture) {
    const int64_t until_ms = clock_ms() + LONG_MS;
    rd_kafka_mock_broker_set_rtt(fixture->cluster, BROKER, ANSWER_MS);
    produce(fixture);
    while (!kafka_flight_wait(fixture->flight, 0))
        assert_true(clock_ms() < until_ms);
}

static void nothing_is_waited_for_when_nothing_is_due(void **state) {
    const struct fixture *fixture = *state;
    assert_false(kafka_flight_wait(fixture->flight, LONG_MS));
    kafka_flight_settle(fixture->flight, LONG_MS);
}

static void a_request_is_due_until_its_answer_is_there(void **state) {
    const struct fixture *fixture = *state;
    send_and_wait_sent(fixture);
    assert_int_equal(rd_kafka_outq_len(fixture->producer), 1);
    while (kafka_flight_wait(fixture->flight, LONG_MS)) {
    }
    assert_int_equal(rd_kafka_flush(fixture->producer, LONG_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void settling_waits_for_the_answer(void **state) {
    const struct fixture *fixture = *state;
    send_and_wait_sent(fixture);
    kafka_flight_settle(fixture->flight, LONG_MS);
    assert_false(kafka_flight_wait(fixture->flight, 0));
}

static void settling_ends_with_its_time(void **state) {
    const struct fixture *fixture = *state;
    send_and_wait_sent(fixture);
    kafka_flight_settle(fixture->flight, SHORT_MS);
    assert_true(kafka_flight_wait(fixture->flight, 0)); /* the answer takes much longer */
}

static void a_request_that_comes_to_nothing_is_not_due_for_ever(void **state) {
    const struct fixture *fixture = *state;
    send_and_wait_sent(fixture);
    assert_int_equal(rd_kafka_mock_broker_set_down(fixture->cluster, BROKER),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    kafka_flight_settle(fixture->flight, LONG_MS);
    assert_false(kafka_flight_wait(fixture->flight, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_waited_for_when_nothing_is_due, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_request_is_due_until_its_answer_is_there, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(settling_waits_for_the_answer, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(settling_ends_with_its_time, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_request_that_comes_to_nothing_is_not_due_for_ever,
                                        open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
