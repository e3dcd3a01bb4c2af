/* watch: a step at a time, with a real Redis and an in-process Kafka, which come and go. */
#include "flow/watch.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "edge/broker.h"
#include "edge/described.h"
#include "edge/kafka_topics.h"
#include "logged.h"
#include "redis_server.h"
#include "locks.h"

static struct redis_server redis;
static struct broker broker;
static struct metrics *metrics;
static struct watch_metrics watch_metrics;
static struct aggregates aggregates;
static struct redis_settings settings;
static atomic_int_fast64_t retention_ms;
static struct kafka_source *source;
static struct watch *watch;
static int ticks;

static void tick(void *context, int64_t now_ms) {
    assert_ptr_equal(context, &ticks);
    assert_true(now_ms > 0);
    ticks++;
}

static int start(void **state) {
    static char locale[] = "locale", prefix[] = "{p}";
    static const struct aggregate_settings counted = {.dimensions = {{locale}, 1}};
    static struct kafka_source_settings of_source = {.group = "group", .topic = "logins"};
    static struct properties consumer;
    struct error error = {""};
    (void)state;
    if (!redis_server_start(&redis)) return -1;
    broker_start(&broker, 1);
    broker_topic(&broker, "logins", 1);
    const struct kafka_source_options options = {
        .settings = &of_source, .kafka = &broker.kafka, .consumer = &consumer};
    source = kafka_source_create(&options, &error);
    if (source == NULL) fail_msg("%s", error.text);
    aggregates_init(&aggregates, &counted);
    settings = (struct redis_settings){.url = redis.url, .prefix = prefix, .timeout_ms = 5000};
    return 0;
}

static int stop(void **state) {
    (void)state;
    kafka_source_destroy(&source);
    broker_stop(&broker);
    return redis_server_stop(&redis);
}

static int begin(void **state) {
    struct error error = {""};
    (void)state;
    described.is_given = false;
    ticks = 0;
    retention_ms = TOPICS_KEEP_UNKNOWN;
    metrics = metrics_create();
    metrics_add_table(metrics, watch_metric_table, &watch_metrics);
    const struct watch_options options = {.redis = &settings,
                                          .topic = "logins",
                                          .aggregates = &aggregates,
                                          .metrics = &watch_metrics,
                                          .retention_ms = &retention_ms,
                                          .tick = tick,
                                          .context = &ticks};
    watch = watch_create(&options, &error);
    if (watch == NULL) fail_msg("%s", error.text);
    return 0;
}

static int end(void **state) {
    (void)state;
    watch_destroy(&watch);
    assert_null(watch);
    watch_destroy(&watch); /* none is fine */
    metrics_destroy(&metrics);
    return 0;
}

static bool shows(const char *line) {
    struct text text = {0};
    metrics_render(metrics, &text);
    const bool is_shown = strstr(text_string(&text), line) != NULL;
    text_release(&text);
    return is_shown;
}

#define KAFKA_UP "\nrollcall_dependency_up{target=\"kafka\"} "
#define REDIS_UP "\nrollcall_dependency_up{target=\"redis\"} "

/* librdkafka waits for up to ten seconds before it connects again. */
static void bring_kafka_back(void) {
    struct error why = {""};
    const int64_t until_ms = clock_ms() + 3 * BROKER_WAIT_MS;
    rd_kafka_mock_broker_set_up(broker.cluster, 1);
    while (!kafka_topics_answers(source, WATCH_CALL_MS, &why)) {
        if (clock_ms() > until_ms) fail_msg("%s", why.text);
    }
}

static _Thread_local int64_t ahead_s; /* of the true time; librdkafka has threads of its own */

/* Stands in front of libc's. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    const int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += ahead_s;
    return result;
}

static void ages_are_by_the_clock_of_redis(void **state) {
    static const int64_t days_ahead[] = {0, 2, -2, 0};
    (void)state;
    for (size_t i = 0; i < sizeof days_ahead / sizeof *days_ahead; i++) {
        char field[40];
        const int64_t true_ms = clock_wall_ms();
        ahead_s = days_ahead[i] * 86400;
        watch_step(watch, 1000 + (int64_t)i * WATCH_EVERY_MS);
        const int64_t common_ms = clock_common_ms();
        const int64_t own_ms = clock_wall_ms();
        snprintf(field, sizeof field, "ahead_s=%lld", (long long)ahead_s);
        ahead_s = 0;
        assert_in_range(common_ms, true_ms - WATCH_CLOCK_MS, clock_wall_ms() + WATCH_CLOCK_MS);
        if (days_ahead[i] == 0) assert_in_range(own_ms - common_ms, 0, 1000); /* as it is */
        if (days_ahead[i] == 2) assert_int_equal(logged_count("This machine's clock", field), 1);
    }
    assert_int_equal(logged_count("This machine's clock", ""), 1); /* once while it is wrong */
}

static void both_are_asked_every_two_seconds(void **state) {
    (void)state;
    struct watch_target target;
    const int64_t now_ms = clock_wall_ms();
    watch_kafka(watch, &target);
    assert_false(target.is_up);
    assert_string_equal(target.reason.text, "not asked yet");
    assert_in_range(target.since_ms, now_ms - 60000, now_ms);
    assert_true(shows(KAFKA_UP "0\n") && shows(REDIS_UP "0\n"));
    assert_int_equal(watch_step(watch, 1000), 1000 + WATCH_EVERY_MS);
    watch_kafka(watch, &target);
    assert_false(target.is_up || target.is_asked); /* there is no client yet */
    watch_redis(watch, &target);
    assert_true(target.is_up);
    assert_string_equal(target.reason.text, "");
    assert_true(strchr(target.version, '.') != NULL);
    assert_true(shows(KAFKA_UP "0\n") && shows(REDIS_UP "1\n"));
    assert_int_equal(watch_step(watch, 2999), 1000 + WATCH_EVERY_MS); /* too early */
    assert_int_equal(ticks, 2);
    watch_join(watch, source); /* asks at once */
    assert_int_equal(watch_step(watch, 2999), 2999 + WATCH_EVERY_MS);
    watch_kafka(watch, &target);
    assert_true(target.is_up);
    assert_true(shows(KAFKA_UP "1\n"));
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    watch_step(watch, 10000);
    watch_kafka(watch, &target);
    assert_false(target.is_up);
    assert_true(target.is_asked);
    assert_string_not_equal(target.reason.text, "");
    assert_true(shows(KAFKA_UP "0\n") && shows(REDIS_UP "1\n"));
    bring_kafka_back();
}

static void a_redis_that_is_away_is_not_up(void **state) {
    (void)state;
    static char nowhere[] = "redis://127.0.0.1:1";
    struct watch_target target;
    struct redis_glance *glance = redis_glance_create(&aggregates);
    settings.url = nowhere;
    end(NULL);
    begin(NULL);
    watch_step(watch, 1000);
    watch_redis(watch, &target);
    assert_false(target.is_up);
    assert_non_null(strstr(target.reason.text, "127.0.0.1:1"));
    assert_string_equal(target.version, "");
    assert_int_equal(watch_glance(watch, glance), 0);
    assert_true(shows("\nrollcall_redis_memory_bytes 0\n"));
    settings.url = redis.url;
    free(glance);
}

static void counts_and_memory_are_read(void **state) {
    (void)state;
    struct error error = {""};
    struct redis_glance *glance = redis_glance_create(&aggregates);
    struct redis_link *link = redis_link_create(&settings, &error);
    assert_true(redis_link_open(link, &error));
    struct redis_reply *reply = redis_link_call(link, &error, "ZADD {p}:locale_counts 3 PA");
    redis_reply_destroy(&reply);
    reply = redis_link_call(link, &error, "CONFIG SET maxmemory 987654321");
    redis_reply_destroy(&reply);
    const int64_t now_ms = clock_wall_ms();
    assert_int_equal(watch_glance(watch, glance), 0);
    watch_step(watch, 1000);
    assert_true(watch_glance(watch, glance) >= now_ms);
    assert_int_equal(glance->dimensions[0].count, 1);
    assert_int_equal(glance->dimensions[0].items[0].count, 3);
    assert_false(shows("\nrollcall_redis_memory_bytes 0\n"));
    assert_true(shows("\nrollcall_redis_memory_max_bytes 987654321\n"));
    reply = redis_link_call(link, &error, "CONFIG SET maxmemory 0"); /* then its machine's */
    redis_reply_destroy(&reply);
    watch_step(watch, 1000 + WATCH_MEMORY_MS - 1);
    assert_true(shows("\nrollcall_redis_memory_max_bytes 987654321\n")); /* not yet */
    watch_step(watch, 1000 + WATCH_MEMORY_MS + WATCH_EVERY_MS);
    assert_false(shows("\nrollcall_redis_memory_max_bytes 987654321\n"));
    assert_false(shows("\nrollcall_redis_memory_max_bytes 0\n"));
    redis_link_destroy(&link);
    free(glance);
}

static void the_retention_is_asked_for_each_minute(void **state) {
    (void)state;
    described = (struct described){.count = 1, .entries = {{"retention.ms", "7000"}}};
    watch_step(watch, 1000);
    assert_int_equal(retention_ms, TOPICS_KEEP_UNKNOWN); /* whom should it ask? */
    watch_join(watch, source);
    described.is_given = true;
    watch_step(watch, 2000);
    assert_int_equal(retention_ms, 7000);
    described.entries[0][1] = "9000";
    watch_step(watch, 2000 + WATCH_RETENTION_MS - 1);
    assert_int_equal(retention_ms, 7000);
    watch_step(watch, 4000 + WATCH_RETENTION_MS);
    assert_int_equal(retention_ms, 9000);
}

/* What may pass is asked again with the next look, what is denied never. */
static void a_retention_that_is_denied_is_not_asked_for_again(void **state) {
    (void)state;
    watch_join(watch, source);
    described =
        (struct described){.is_given = true, .count = 1, .entries = {{"retention.ms", "7000"}}};
    described.error = RD_KAFKA_RESP_ERR__TIMED_OUT;
    watch_step(watch, 1000);
    assert_int_equal(retention_ms, TOPICS_KEEP_UNKNOWN);
    described.error = RD_KAFKA_RESP_ERR_NO_ERROR;
    watch_step(watch, 1000 + WATCH_EVERY_MS);
    assert_int_equal(retention_ms, 7000);
    described.error = RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    watch_step(watch, 100000);
    described.error = RD_KAFKA_RESP_ERR_NO_ERROR;
    described.entries[0][1] = "9000";
    watch_step(watch, 1000000000);
    assert_int_equal(retention_ms, 7000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(both_are_asked_every_two_seconds),
        TEST(ages_are_by_the_clock_of_redis),
        TEST(a_redis_that_is_away_is_not_up),
        TEST(counts_and_memory_are_read),
        TEST(the_retention_is_asked_for_each_minute),
        TEST(a_retention_that_is_denied_is_not_asked_for_again),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
