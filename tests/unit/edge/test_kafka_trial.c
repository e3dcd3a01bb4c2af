/* kafka_trial: when a client with new certificates has passed, and its lines in the log before that.
 * Nothing is reached: what brokers answer stands in for it. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "edge/kafka_conf.h"
#include "edge/kafka_private.h"
#include "logged.h"

static bool is_let_in;

/* Stands in front of librdkafka's own. */
char *rd_kafka_clusterid(rd_kafka_t *client, int timeout_ms) {
    (void)client;
    assert_int_equal(timeout_ms, 0);
    return is_let_in ? strdup("cluster") : NULL;
}

static struct properties kafka, none;
static struct kafka_trial trial;

static int end(void **state) {
    (void)state;
    kafka_trial_end(&trial);
    assert_false(kafka_trial_is_under_way(&trial));
    kafka_trial_end(&trial); /* none is fine */
    kafka_conf_release(&kafka);
    return 0;
}

static void begin_trial(void) {
    struct error error = {""};
    kafka_conf_put(&kafka, "bootstrap.servers", "127.0.0.1:1");
    rd_kafka_conf_t *conf = kafka_conf_build(&kafka, &none, KAFKA_PRODUCER, &error);
    if (conf == NULL) fail_msg("%s", error.text);
    kafka_trial_begin(&trial, KAFKA_PRODUCER, conf, &kafka, &none);
    assert_true(kafka_trial_is_under_way(&trial));
}

static void it_passes_once_when_a_broker_has_answered(void **state) {
    (void)state;
    is_let_in = false;
    assert_false(kafka_trial_has_passed(&trial)); /* none is under way */
    begin_trial();
    assert_false(kafka_trial_has_passed(&trial));
    assert_true(kafka_trial_is_under_way(&trial));
    is_let_in = true;
    logged_begin();
    const bool has_passed = kafka_trial_has_passed(&trial);
    logged_end();
    assert_true(has_passed);
    assert_non_null(strstr(logged_text, "level=info msg=\"Brokers let a client in with the new "
                                        "certificates\" client=rdkafka#producer-"));
    assert_false(kafka_trial_is_under_way(&trial));
    assert_false(kafka_trial_has_passed(&trial));
}

static void one_that_is_not_let_in_is_logged_from_time_to_time(void **state) {
    (void)state;
    const char *words = "Brokers do not let a client in with the new certificates: clients keep "
                        "those before them until they do";
    is_let_in = false;
    begin_trial();
    assert_false(kafka_trial_has_passed(&trial));
    assert_int_equal(logged_count(words, ""), 0); /* nothing is known yet */
    kafka_access_note(&trial.client->access, "FAIL",
                      "ssl://h:1/1: SSL handshake failed: error:0A000412:SSL routines::sslv3 alert "
                      "bad certificate: SSL alert number 42");
    for (int i = 0; i < 3; i++)
        assert_false(kafka_trial_has_passed(&trial));
    assert_int_equal(logged_count(words, "client=rdkafka#producer-"), 1); /* in ten seconds */
    assert_true(trial.warn_ms > clock_ms());
    trial.warn_ms = 0;
    assert_false(kafka_trial_has_passed(&trial));
    assert_int_equal(logged_count(words, "bad certificate"), 2);
    assert_true(kafka_trial_is_under_way(&trial));
}

static void what_librdkafka_rejects_is_no_trial(void **state) {
    (void)state;
    kafka_trial_begin(&trial, KAFKA_PRODUCER, NULL, &kafka, &none);
    assert_false(kafka_trial_is_under_way(&trial));
    assert_int_equal(
        logged_count("The new certificates of Kafka cannot be used: clients keep those "
                     "before them",
                     "reason=\"librdkafka rejects a property\""),
        1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(it_passes_once_when_a_broker_has_answered, end),
        cmocka_unit_test_teardown(one_that_is_not_let_in_is_logged_from_time_to_time, end),
        cmocka_unit_test_teardown(what_librdkafka_rejects_is_no_trial, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
