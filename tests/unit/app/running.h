/* running: the whole program in this process, on an in-process Kafka and a real Redis. */
#ifndef TESTS_RUNNING_H
#define TESTS_RUNNING_H

#include <dlfcn.h>
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

enum { QUICK_MS = 500 };

/* Stands in front of librdkafka's own: the in-process cluster never answers what the admin client
 * asks about topics, and nobody is to wait for that. */
rd_kafka_event_t *rd_kafka_queue_poll(rd_kafka_queue_t *queue, int timeout_ms) {
    rd_kafka_event_t *(*real)(rd_kafka_queue_t *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_queue_poll");
    return real(queue, timeout_ms < QUICK_MS ? timeout_ms : QUICK_MS);
}

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
static pthread_t program;
static int status;

/* --- around the program ----------------------------------------------------------------------- */

static inline void open_admin(void) {
    struct error error = {""};
    admin =
        redis_link_create(&(struct redis_settings){.url = redis.url, .timeout_ms = 5000}, &error);
    assert_true(redis_link_open(admin, &error));
}

static inline int begin(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_DFL); /* nohup has it ignored, and then it stays so */
    broker_start(&broker, 1);
    broker_topic(&broker, "user-login", PARTITIONS);
    broker_topic(&broker, "processed-user-login", PARTITIONS);
    broker_topic(&broker, "user-login-rejected", PARTITIONS);
    snprintf(listen_on, sizeof listen_on, "127.0.0.1:%d", redis_server_free_port());
    if (!redis_server_start(&redis)) return -1;
    open_admin();
    return 0;
}

static inline int end(void **state) {
    (void)state;
    alarm(0); /* the program's watchdog */
    redis_link_destroy(&admin);
    text_release(&reply);
    broker_stop(&broker);
    return redis_server_stop(&redis);
}

static inline void *run(void *context) {
    const struct options options = {.is_quiet = false};
    (void)context;
    status = command_run.run(config, &options);
    return NULL;
}

static const char *further[5]; /* settings, up to NULL */

/* extra: one more setting, or NULL. */
static inline void start_with(const char *guarantee, const char *extra) {
    static char settings[9][160];
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
    if (extra != NULL) options.overrides[options.override_count++] = extra;
    for (size_t i = 0; further[i] != NULL; i++)
        options.overrides[options.override_count++] = further[i];
    config = config_create(&options, envp, &error);
    if (config == NULL) fail_msg("%s", error.text);
    assert_int_equal(pthread_create(&program, NULL, run, NULL), 0);
}

static inline void start(const char *guarantee) {
    start_with(guarantee, NULL);
}

static inline void await_program(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    assert_int_equal(pthread_timedjoin_np(program, NULL, &until), 0);
}

/* Ends it by a signal; returns its exit status. */
static inline int stop(int signal_number) {
    pthread_kill(program, signal_number);
    await_program();
    alarm(0);
    config_destroy(&config);
    return status;
}

static inline const char *get(const char *path) {
    struct error error = {""};
    return http_client_get(listen_on, path, 5000, &reply, &error);
}

/* The number behind a series on the page; -1 if it is not there. */
static inline double metric(const char *series) {
    char start[128];
    const char *page = get("/metrics");
    if (page == NULL) return -1;
    snprintf(start, sizeof start, "\n%s ", series);
    const char *line = strstr(page, start);
    return line == NULL ? -1 : strtod(line + strlen(start), NULL);
}

static inline void await(const char *series, double value) {
    const int64_t until_ms = clock_ms() + WAIT_MS;
    while (metric(series) != value) { /* whole numbers */
        if (clock_ms() > until_ms) fail_msg("%s is %g, not %g", series, metric(series), value);
        clock_sleep_ms(20);
    }
}

static inline void is(const char *series, double value) {
    const double found = metric(series);
    if (found != value) fail_msg("%s is %g, not %g", series, found, value);
}

static inline void await_page(const char *path, bool is_there) {
    const int64_t until_ms = clock_ms() + WAIT_MS;
    while ((get(path) != NULL) != is_there) {
        if (clock_ms() > until_ms) fail_msg("%s does not change", path);
        clock_sleep_ms(20);
    }
}

/* Writes values one after the other, all with this time. */
static inline void write_at(int partition, const char *const *values, int count, int64_t time_ms) {
    rd_kafka_t *producer = broker_client(&broker, RD_KAFKA_PRODUCER);
    for (int i = 0; i < count; i++) {
        const size_t length = values[i] == NULL ? 0 : strlen(values[i]);
        assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("user-login"),
                                           RD_KAFKA_V_PARTITION(partition),
                                           RD_KAFKA_V_VALUE((void *)(uintptr_t)values[i], length),
                                           RD_KAFKA_V_TIMESTAMP(time_ms), RD_KAFKA_V_END),
                         0);
    }
    assert_int_equal(rd_kafka_flush(producer, WAIT_MS), 0);
    rd_kafka_destroy(producer);
}

static inline void write_all(int partition, const char *const *values, int count) {
    write_at(partition, values, count, RECORD_S * INT64_C(1000));
}

/* GOOD records, half of them in the first partition; 20 in one minute; and 7 that are rejected. */
static inline void write_records_from(int first) {
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
    write_all(first, values, GOOD / 2);
    write_all(1, values + GOOD / 2, GOOD / 2);
    write_all(1, bad, 7);
}

static inline void write_records(void) {
    write_records_from(0);
}

static inline void add_words(struct text *text, const struct redis_reply *from) {
    if (redis_reply_kind(from) == REDIS_INTEGER)
        text_format(text, "%lld ", (long long)redis_reply_integer(from));
    else if (redis_reply_kind(from) != REDIS_LIST)
        text_format(text, "%s ", redis_reply_text(from).bytes);
    for (size_t i = 0; i < redis_reply_count(from); i++)
        add_words(text, redis_reply_at(from, i));
}

/* Redis answers the command with these words. */
static inline void in_redis(const char *words, const char *command) {
    struct error error = {""};
    struct text text = {0};
    redis_link_open(admin, &error);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the words of the test itself */
#pragma GCC diagnostic ignored "-Wformat-security"   /* the same */
    struct redis_reply *answer = redis_link_call(admin, &error, command);
#pragma GCC diagnostic pop
    if (answer == NULL) fail_msg("%s: %s", command, error.text);
    add_words(&text, answer);
    if (strcmp(text_string(&text), words) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", command, text_string(&text), words);
    text_release(&text);
    redis_reply_destroy(&answer);
}

static inline void redis_holds_all(void) {
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

static inline void look_first(const rd_kafka_message_t *message) {
    assert_int_equal(message->key_len, 2);
    assert_memory_equal(message->key, "u0", 2);
}

static inline void the_outputs_hold_all(void) {
    assert_int_equal(broker_count(&broker, "processed-user-login", 0), GOOD / 2);
    assert_int_equal(broker_count(&broker, "processed-user-login", 1), GOOD / 2);
    assert_int_equal(broker_count(&broker, "user-login-rejected", 0), 0);
    assert_int_equal(broker_count(&broker, "user-login-rejected", 1), 7);
    broker_read(&broker, "processed-user-login", 0, 0, look_first);
}

#endif
