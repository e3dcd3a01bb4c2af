/* run: the whole program: what it stores, publishes and reports. */
#include "app/running.h"
#include "logged.h"

/* --- tests ------------------------------------------------------------------------------------ */

static void all_is_counted_published_and_reported(void **state) {
    (void)state;
    static const char *const guarantees[] = {"exactly_once", "at_least_once"};
    for (int g = 0; g < 2; g++) {
        if (g > 0) { /* for each an empty world */
            assert_int_equal(end(state), 0);
            assert_int_equal(begin(state), 0);
        }
        write_records();
        start(guarantees[g]);
        await("rollcall_records_counted_total", ALL);
        await("rollcall_records_published_total", ALL);
        await_page("/readyz", true);
        await("rollcall_lag_records{partition=\"1\"}", 0);
        await("rollcall_counted_lag_records{partition=\"1\"}", 0);
        assert_non_null(get("/healthz"));
        is("rollcall_records_consumed_total", ALL);
        is("rollcall_records_rejected_total{reason=\"empty\"}", 2);
        is("rollcall_records_rejected_total{reason=\"not_json\"}", 1);
        is("rollcall_records_rejected_total{reason=\"bad_timestamp\"}", 1);
        is("rollcall_anomalies_total", 1);
        await("rollcall_assigned_partitions", PARTITIONS);
        await("rollcall_input_partitions", PARTITIONS);
        await("rollcall_lag_records{partition=\"0\"}", 0);
        is("rollcall_checkpoint_failures_total", 0);
        is("rollcall_transactions_aborted_total", 0);
        is("rollcall_records_lost_total", 0);
        is("rollcall_records_truncated_total", 0);
        await("rollcall_queue_depth{stage=\"checkpoint\"}", 0);
        await("rollcall_queue_depth{stage=\"publish\"}", 0);
        await("rollcall_queue_depth{stage=\"aggregate\"}", 0);
        assert_true(metric("rollcall_checkpoint_seconds_count") >= 1);
        assert_true(metric("rollcall_transaction_seconds_count") >= 1);
        const double seconds = metric("rollcall_transaction_seconds_sum");
        assert_true(seconds > 0 && seconds < 30);
        assert_non_null(get("/counts"));
        assert_non_null(
            strstr(text_string(&reply), "\"Logins by Locale\": {\"US\": 40, \"PA\": 20}"));
        assert_null(get("/nowhere"));
        redis_holds_all();
        the_outputs_hold_all();
        assert_int_equal(stop(g == 0 ? SIGTERM : SIGINT), 0);
        redis_holds_all();
        assert_null(get("/healthz"));
    }
}

/* A Redis that goes away, and comes back empty. */
static void a_redis_that_came_back_empty_is_filled_again(void **state) {
    (void)state;
    write_records();
    start("at_least_once");
    await("rollcall_records_counted_total", ALL);
    await("rollcall_records_published_total", ALL);
    redis_holds_all();
    in_redis("OK ", "FLUSHALL");
    await("rollcall_rewinds_total{cause=\"vanished\"}", PARTITIONS);
    const int64_t until_ms = clock_ms() + WAIT_MS;
    while (metric("rollcall_counted_lag_records{partition=\"1\"}") != 0 ||
           metric("rollcall_records_counted_total") < 2 * ALL) {
        assert_true(clock_ms() < until_ms);
        clock_sleep_ms(20);
    }
    clock_sleep_ms(300); /* whatever is too much has come by then */
    redis_holds_all();
    the_outputs_hold_all(); /* nothing was published twice */
    assert_int_equal(stop(SIGTERM), 0);
}

static void a_redis_that_does_not_answer_is_waited_for(void **state) {
    (void)state;
    start("exactly_once");
    await("rollcall_assigned_partitions", PARTITIONS);
    await_page("/readyz", true);
    kill(redis.pid, SIGSTOP);
    write_records();
    await("rollcall_records_published_total", ALL); /* goes on meanwhile */
    await_page("/readyz", false);
    assert_non_null(get("/healthz"));
    while (metric("rollcall_checkpoint_failures_total") < 1)
        clock_sleep_ms(20);
    is("rollcall_records_counted_total", 0);
    kill(redis.pid, SIGCONT);
    await("rollcall_records_counted_total", ALL);
    await_page("/readyz", true);
    redis_holds_all();
    assert_int_equal(stop(SIGTERM), 0);
}

/* With partitions that another instance has counted and published already. */
static void a_second_run_goes_on_where_the_first_ended(void **state) {
    (void)state;
    write_records();
    start("at_least_once"); /* of a transaction the in-process cluster keeps no offsets */
    await("rollcall_records_counted_total", ALL);
    await("rollcall_records_published_total", ALL);
    assert_int_equal(stop(SIGTERM), 0);
    start("at_least_once");
    await("rollcall_assigned_partitions", PARTITIONS);
    static const char *const more[] = {
        "{\"locale\": \"XX\", \"device_type\": \"ios\", \"timestamp\": 1720622216}"};
    write_all(0, more, 1);
    await("rollcall_records_counted_total", 1);
    await("rollcall_records_published_total", 1);
    is("rollcall_records_consumed_total", 1);
    in_redis("1 ", "ZSCORE {user-login}:locale_counts XX");
    in_redis("20 ", "ZSCORE {user-login}:locale_counts PA");
    assert_int_equal(stop(SIGINT), 0);
}

static void what_runs_and_how_it_ends_is_logged(void **state) {
    (void)state;
    char running[256];
    logged_begin();
    start("at_least_once");
    await("rollcall_assigned_partitions", PARTITIONS);
    snprintf(running, sizeof running,
             " level=info msg=Running group=rollcall instance=%s topic=user-login redis=%s/0\n",
             config->instance.id, redis.url);
    await_page("/readyz", true);
    const int result = stop(SIGTERM);
    logged_end();
    assert_int_equal(result, 0);
    const char *const lines[] = {
        running, " level=info msg=\"Partitions assigned\" count=2\n",
        " level=info msg=\"Stopping: giving back what is in hand; a second signal ends at once\" "
        "because=SIGTERM\n",
        " level=info msg=Stopped\n"};
    const char *at = logged_text;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        at = strstr(at, lines[i]);
        if (at == NULL) fail_msg("%s is not in:\n%s", lines[i], logged_text);
    }
    if (strstr(logged_text, " level=info msg=Reading partition=1 offset=0 ") == NULL)
        fail_msg("%s", logged_text);
}

static void counts_of_another_topic_are_not_touched(void **state) {
    (void)state;
    in_redis("4 ", "HSET {user-login}:meta schema 1 group other topic user-login seal 1");
    in_redis("1 ", "HSET {user-login}:offsets 0 5");
    start("exactly_once");
    await_program();
    alarm(0);
    config_destroy(&config);
    assert_int_equal(status, 1);
    assert_int_equal(logged_count("level=error", "belongs to group \\\"other\\\", and this is"), 1);
    in_redis("other ", "HGET {user-login}:meta group");
}

static void an_output_that_is_denied_ends_the_program(void **state) {
    (void)state;
    rd_kafka_mock_topic_set_error(broker.cluster, "processed-user-login",
                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    start("at_least_once");
    await_program();
    alarm(0);
    config_destroy(&config);
    assert_int_equal(status, 1);
    assert_int_equal(logged_count("level=error", "may not see topic processed-user-login"), 1);
}

static void await_reason(const char *words) {
    const int64_t until_ms = clock_ms() + WAIT_MS;
    while (get("/readyz") != NULL || strstr(text_string(&reply), words) == NULL) {
        if (clock_ms() > until_ms) fail_msg("%s: not %s", words, text_string(&reply));
        clock_sleep_ms(20);
    }
}

static void a_start_names_what_it_waits_for_and_why(void **state) {
    (void)state;
    kill(redis.pid, SIGSTOP);
    start_with("at_least_once", "redis.timeout_ms=20000");
    await_reason("not started: waiting for Redis: redis://127.0.0.1:");
    assert_non_null(strstr(text_string(&reply), "; start Redis, or set redis.url"));
    assert_null(strstr(text_string(&reply), "Kafka"));
    kill(redis.pid, SIGCONT);
    await_page("/readyz", true);
    assert_int_equal(stop(SIGTERM), 0);
    start_with("at_least_once", "kafka.bootstrap.servers=127.0.0.1:1");
    await_reason("not started: waiting for Kafka: Kafka at 127.0.0.1:1 does not answer (");
    assert_non_null(strstr(text_string(&reply), "Connection refused): see that it runs"));
    assert_null(strstr(text_string(&reply), "Redis"));
    assert_true(logged_count("Waiting for Kafka", "kafka.bootstrap.servers and its") > 0);
    assert_int_equal(stop(SIGTERM), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_is_counted_published_and_reported, begin, end),
        cmocka_unit_test_setup_teardown(a_redis_that_came_back_empty_is_filled_again, begin, end),
        cmocka_unit_test_setup_teardown(a_redis_that_does_not_answer_is_waited_for, begin, end),
        cmocka_unit_test_setup_teardown(a_start_names_what_it_waits_for_and_why, begin, end),
        cmocka_unit_test_setup_teardown(a_second_run_goes_on_where_the_first_ended, begin, end),
        cmocka_unit_test_setup_teardown(what_runs_and_how_it_ends_is_logged, begin, end),
        cmocka_unit_test_setup_teardown(an_output_that_is_denied_ends_the_program, begin, end),
        cmocka_unit_test_setup_teardown(counts_of_another_topic_are_not_touched, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
