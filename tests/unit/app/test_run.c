/* run: the whole program in this process, on an in-process Kafka and a real Redis: what it stores,
 * publishes and reports. */
#include <pthread.h>
#include <signal.h>

#include "app/captured.h"
#include "app/commands.h"
#include "app/config.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "edge/broker.h"
#include "edge/http_client.h"
#include "redis_server.h"

enum {
    WAIT_MS = 30000,
    RECORD_S = 1720622216,
    GOOD = 60,
    ALL = GOOD + 7,
    PARTITIONS = 2,
    REDIS_SHORT_MS = 300
};

static struct broker broker;
static struct redis_server redis;
static struct redis_link *admin;
static char listen_on[32];
static struct text reply;
static struct config *config;
static pthread_t program, main_thread;
static int status;

/* --- around the program ----------------------------------------------------------------------- */

static void open_admin(void) {
    struct error error = {""};
    admin =
        redis_link_create(&(struct redis_settings){.url = redis.url, .timeout_ms = 5000}, &error);
    assert_true(redis_link_open(admin, &error));
}

static int begin(void **state) {
    (void)state;
    main_thread = pthread_self();
    signal(SIGPIPE, SIG_IGN);
    broker_start(&broker, 1);
    broker_topic(&broker, "user-login", PARTITIONS);
    broker_topic(&broker, "processed-user-login", PARTITIONS);
    broker_topic(&broker, "user-login-rejected", PARTITIONS);
    snprintf(listen_on, sizeof listen_on, "127.0.0.1:%d", redis_server_free_port());
    if (!redis_server_start(&redis)) return -1;
    open_admin();
    return 0;
}

static int end(void **state) {
    (void)state;
    alarm(0); /* the program's watchdog */
    redis_link_destroy(&admin);
    text_release(&reply);
    broker_stop(&broker);
    return redis_server_stop(&redis);
}

static void *run(void *context) {
    const struct options options = {.is_quiet = false};
    (void)context;
    status = command_run.run(config, &options);
    return NULL;
}

static void start(const char *guarantee) {
    static char settings[12][160];
    struct options options = {.override_count = 0};
    struct error error = {""};
    snprintf(settings[0], 160, "kafka.bootstrap.servers=%s",
             rd_kafka_mock_cluster_bootstraps(broker.cluster));
    snprintf(settings[1], 160, "redis.url=%s", redis.url);
    snprintf(settings[2], 160, "http.listen=%s", listen_on);
    snprintf(settings[3], 160, "output.guarantee=%s", guarantee);
    snprintf(settings[4], 160, "redis.checkpoint_ms=50");
    snprintf(settings[5], 160, "redis.timeout_ms=%d", REDIS_SHORT_MS);
    snprintf(settings[6], 160, "instance.shards=2");
    snprintf(settings[7], 160, "output.commit_ms=20");
    snprintf(settings[8], 160, "consumer.heartbeat.interval.ms=100");
    for (int i = 0; i < 9; i++)
        options.overrides[options.override_count++] = settings[i];
    char *envp[] = {NULL};
    config = config_create(&options, envp, &error);
    if (config == NULL) fail_msg("%s", error.text);
    assert_int_equal(pthread_create(&program, NULL, run, NULL), 0);
}

/* Ends it by a signal; returns its exit status. */
static int stop(int signal_number) {
    pthread_kill(program, signal_number);
    pthread_join(program, NULL);
    alarm(0);
    config_destroy(&config);
    return status;
}

static const char *get(const char *path) {
    struct error error = {""};
    return http_client_get(listen_on, path, 5000, &reply, &error);
}

/* The number behind a series on the page; -1 if it is not there. */
static double metric(const char *series) {
    char start[128];
    const char *page = get("/metrics");
    if (page == NULL) return -1;
    snprintf(start, sizeof start, "\n%s ", series);
    const char *line = strstr(page, start);
    return line == NULL ? -1 : strtod(line + strlen(start), NULL);
}

static void await(const char *series, double value) {
    const int64_t until_ms = clock_ms() + WAIT_MS;
    while (metric(series) != value) { /* whole numbers */
        if (clock_ms() > until_ms) fail_msg("%s is %g, not %g", series, metric(series), value);
        clock_sleep_ms(20);
    }
}

static void is(const char *series, double value) {
    const double found = metric(series);
    if (found != value) fail_msg("%s is %g, not %g", series, found, value);
}

static void await_page(const char *path, bool is_there) {
    const int64_t until_ms = clock_ms() + WAIT_MS;
    while ((get(path) != NULL) != is_there) {
        if (clock_ms() > until_ms) fail_msg("%s does not change", path);
        clock_sleep_ms(20);
    }
}

/* Writes values one after the other, all of one time. */
static void write_all(int partition, const char *const *values, int count) {
    rd_kafka_t *producer = broker_client(&broker, RD_KAFKA_PRODUCER);
    for (int i = 0; i < count; i++) {
        const size_t length = values[i] == NULL ? 0 : strlen(values[i]);
        assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("user-login"),
                                           RD_KAFKA_V_PARTITION(partition),
                                           RD_KAFKA_V_VALUE((void *)(uintptr_t)values[i], length),
                                           RD_KAFKA_V_TIMESTAMP(RECORD_S * INT64_C(1000)),
                                           RD_KAFKA_V_END),
                         0);
    }
    assert_int_equal(rd_kafka_flush(producer, WAIT_MS), 0);
    rd_kafka_destroy(producer);
}

/* GOOD records over the partitions, 20 of them in one minute; and 7 that are rejected. */
static void write_records(void) {
    static char good[GOOD][160];
    const char *values[GOOD];
    for (int i = 0; i < GOOD; i++) {
        const long time_s = i < 20 ? RECORD_S : RECORD_S + 60 * (i - 18);
        snprintf(good[i], sizeof good[i],
                 "{\"user_id\": \"u%d\", \"locale\": \"%s\", \"device_type\": \"%s\", "
                 "\"timestamp\": %ld}",
                 i, i % 3 == 0 ? "PA" : "US", i % 2 == 0 ? "ios" : "android", time_s);
        values[i] = good[i];
    }
    static const char *const bad[] = {NULL,
                                      "",
                                      "{",
                                      "[]",
                                      "{\"locale\": \"PA\", \"timestamp\": 5}",
                                      "{\"locale\": 5, \"device_type\": \"x\", \"timestamp\": 5}",
                                      "{\"locale\": \"PA\", \"device_type\": \"x\", "
                                      "\"timestamp\": -5}"};
    write_all(0, values, GOOD / 2);
    write_all(1, values + GOOD / 2, GOOD / 2);
    write_all(1, bad, 7);
}

static void add_words(struct text *text, const struct redis_reply *from) {
    if (redis_reply_kind(from) == REDIS_INTEGER)
        text_format(text, "%lld ", (long long)redis_reply_integer(from));
    else if (redis_reply_kind(from) != REDIS_LIST)
        text_format(text, "%s ", redis_reply_text(from).bytes);
    for (size_t i = 0; i < redis_reply_count(from); i++)
        add_words(text, redis_reply_at(from, i));
}

/* Redis answers the command with these words. */
static void in_redis(const char *words, const char *command) {
    struct error error = {""};
    struct text text = {0};
    redis_link_open(admin, &error);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
    struct redis_reply *answer = redis_link_call(admin, &error, command);
#pragma GCC diagnostic pop
    if (answer == NULL) fail_msg("%s: %s", command, error.text);
    add_words(&text, answer);
    if (strcmp(text_string(&text), words) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", command, text_string(&text), words);
    text_release(&text);
    redis_reply_destroy(&answer);
}

static void redis_holds_all(void) {
    in_redis("android 30 ios 30 ", "ZRANGE {user-login}:device_type_counts 0 -1 WITHSCORES");
    in_redis("PA 20 US 40 ", "ZRANGE {user-login}:locale_counts 0 -1 WITHSCORES");
    in_redis("20 1 ", "HMGET {user-login}:login_counts:2024-07-10 14:36 14:38");
    in_redis("41 ", "HLEN {user-login}:login_counts:2024-07-10");
    in_redis("2 1 1 1 1 1 ", "HMGET {user-login}:rejected_counts empty not_json not_object "
                             "missing_field bad_value bad_timestamp");
    in_redis("1 ", "XLEN {user-login}:anomalies");
    in_redis("30 37 ", "HMGET {user-login}:offsets 0 1");
    in_redis("rollcall user-login ", "HMGET {user-login}:meta group topic");
}

static void look_first(const rd_kafka_message_t *message) {
    assert_int_equal(message->key_len, 2);
    assert_memory_equal(message->key, "u0", 2);
}

static void the_outputs_hold_all(void) {
    assert_int_equal(broker_count(&broker, "processed-user-login", 0), GOOD / 2);
    assert_int_equal(broker_count(&broker, "processed-user-login", 1), GOOD / 2);
    assert_int_equal(broker_count(&broker, "user-login-rejected", 0), 0);
    assert_int_equal(broker_count(&broker, "user-login-rejected", 1), 7);
    broker_read(&broker, "processed-user-login", 0, 0, look_first);
}

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
        is("rollcall_assigned_partitions", PARTITIONS);
        is("rollcall_input_partitions", PARTITIONS);
        is("rollcall_lag_records{partition=\"0\"}", 0);
        is("rollcall_checkpoint_failures_total", 0);
        is("rollcall_transactions_aborted_total", 0);
        is("rollcall_records_lost_total", 0);
        is("rollcall_records_truncated_total", 0);
        is("rollcall_queue_depth{stage=\"checkpoint\"}", 0);
        is("rollcall_queue_depth{stage=\"publish\"}", 0);
        is("rollcall_queue_depth{stage=\"aggregate\"}", 0);
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
    assert_int_equal(stop(SIGHUP), 0);
}

static void counts_of_another_topic_are_not_touched(void **state) {
    (void)state;
    in_redis("4 ", "HSET {user-login}:meta schema 1 group other topic user-login seal 1");
    in_redis("1 ", "HSET {user-login}:offsets 0 5");
    start("exactly_once");
    pthread_join(program, NULL);
    alarm(0);
    config_destroy(&config);
    assert_int_equal(status, 1);
    in_redis("other ", "HGET {user-login}:meta group");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_is_counted_published_and_reported, begin, end),
        cmocka_unit_test_setup_teardown(a_redis_that_came_back_empty_is_filled_again, begin, end),
        cmocka_unit_test_setup_teardown(a_redis_that_does_not_answer_is_waited_for, begin, end),
        cmocka_unit_test_setup_teardown(a_second_run_goes_on_where_the_first_ended, begin, end),
        cmocka_unit_test_setup_teardown(counts_of_another_topic_are_not_touched, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
