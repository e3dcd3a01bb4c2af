/* check: against an in-process Kafka and a real Redis, the lines for what is right and wrong. */
#include <dlfcn.h>
#include <signal.h>

#include "app/captured.h"
#include "app/commands.h"
#include "app/config.h"
#include "base/error.h"
#include "edge/broker.h"
#include "edge/described.h"
#include "redis_server.h"

static struct broker broker;
static struct redis_server redis;
static const char *library = "2.15.1";

/* Stands in front of librdkafka's own. */
const char *rd_kafka_version_str(void) {
    return library;
}

static bool is_without_client; /* from when the configuration has been read */
static bool has_no_client;

rd_kafka_t *rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t bytes) {
    rd_kafka_t *(*real)(rd_kafka_type_t, rd_kafka_conf_t *, char *, size_t);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_new");
    if (!has_no_client) return real(type, conf, text, bytes);
    snprintf(text, bytes, "an odd property");
    return NULL;
}

static int start(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    broker_start(&broker, 1);
    broker_topic(&broker, "user-login", 2);
    broker_topic(&broker, "processed-user-login", 2);
    broker_topic(&broker, "user-login-rejected", 5);
    return redis_server_start(&redis) ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    broker_stop(&broker);
    return redis_server_stop(&redis);
}

static void run(const char *command) {
    struct error error = {""};
    struct redis_link *link =
        redis_link_create(&(struct redis_settings){.url = redis.url, .timeout_ms = 5000}, &error);
    assert_true(redis_link_open(link, &error));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the words of the test itself */
#pragma GCC diagnostic ignored "-Wformat-security"   /* the same */
    struct redis_reply *reply = redis_link_call(link, &error, command);
#pragma GCC diagnostic pop
    assert_non_null(reply);
    assert_int_not_equal(redis_reply_kind(reply), REDIS_ERROR);
    redis_reply_destroy(&reply);
    redis_link_destroy(&link);
}

/* Every line is ok or bad, but for those of the configuration; a bad one makes the status 1. */
static void each_line_has_a_verdict(int status, bool is_verbose) {
    int bad_count = 0;
    for (const char *line = captured; *line != '\0'; line += strcspn(line, "\n") + 1) {
        const bool is_bad = strncmp(line, "bad ", 4) == 0;
        bad_count += is_bad;
        if (!is_verbose && !is_bad && strncmp(line, "ok  ", 4) != 0) fail_msg("%s", captured);
    }
    if (status != (bad_count > 0)) fail_msg("%d: %s", status, captured);
}

/* The exit status of check with two more settings. */
static int check_with(const char *first, const char *second, bool is_verbose) {
    char servers[256], url[128];
    struct error error = {""};
    snprintf(servers, sizeof servers, "kafka.bootstrap.servers=%s",
             rd_kafka_mock_cluster_bootstraps(broker.cluster));
    snprintf(url, sizeof url, "redis.url=%s", redis.url);
    struct options options = {.is_verbose = is_verbose, .overrides = {servers, url, first, second}};
    options.override_count = first == NULL ? 2 : second == NULL ? 3 : 4;
    char *envp[] = {NULL};
    struct config *config = config_create(&options, envp, &error);
    if (config == NULL) fail_msg("%s", error.text);
    capture_begin();
    has_no_client = is_without_client;
    const int status = command_check.run(config, &options);
    has_no_client = false;
    capture_end();
    config_destroy(&config);
    each_line_has_a_verdict(status, is_verbose);
    return status;
}

/* The lines of what was captured begin so, and there are no others. */
static void lines_are(const char *const begins[], size_t count) {
    const char *line = captured;
    for (size_t i = 0; i < count; i++, line += strcspn(line, "\n") + 1) {
        if (strncmp(line, begins[i], strlen(begins[i])) != 0)
            fail_msg("\"%s\" is not where it should be in:\n%s", begins[i], captured);
    }
    assert_string_equal(line, "");
}

static void all_is_well(void **state) {
    (void)state;
    static const char *const begins[] = {
        "ok  the configuration is valid\n",
        "ok  librdkafka 2.15.1\n",
        "ok  Kafka at 127.0.0.1:",
        "ok  input topic user-login has 2 partitions\n",
        "ok  output topic processed-user-login has 2 partitions\n",
        "ok  output topic user-login-rejected has 5 partitions, not as many as the input: records "
        "go by key\n",
        "ok  transactional ids rollcall-rollcall-... may be used\n",
        "ok  Redis at redis://127.0.0.1:",
        "ok  Redis ",
        "ok  maxmemory-policy noeviction, memory: ",
        "ok  appendonly no, save never: a crash or a restart loses all counts",
        "ok  partition 0: log 0..0, published nothing, counted nothing\n",
        "ok  partition 1: log 0..0, published nothing, counted nothing\n",
    };
    assert_int_equal(check_with(NULL, NULL, false), 0);
    lines_are(begins, sizeof begins / sizeof *begins);
    shows(" answers\n");
    shows("/0 is fit for the prefix {user-login}\n");
    shows_not("[instance]");
    assert_int_equal(check_with(NULL, NULL, true), 0);
    shows("[instance]");
}

static void topics_that_are_missing_are_named(void **state) {
    (void)state;
    assert_int_equal(check_with("input.topic=nowhere", "output.rejected_topic=", false), 1);
    shows("bad input topic nowhere is missing: create it with kafka-topics.sh --create --topic "
          "nowhere");
    shows_not("user-login-rejected");
    shows_not("partition 0");
    assert_int_equal(check_with("output.topic=later", NULL, false), 0);
    shows("ok  output topic later is missing: run creates it");
}

static void a_given_instance_id_is_not_tried(void **state) {
    (void)state;
    rd_kafka_mock_start_request_tracking(broker.cluster);
    assert_int_equal(check_with("instance.id=one", NULL, false), 0);
    shows("ok  transactional id rollcall-rollcall-one is not tried");
    rd_kafka_mock_clear_requests(broker.cluster);
    assert_int_equal(check_with("output.guarantee=at_least_once", NULL, false), 0);
    shows_not("transactional");
    assert_int_equal(broker_requests(&broker, API_INIT_PRODUCER_ID), 0);
    assert_int_equal(check_with(NULL, NULL, false), 0);
    assert_int_equal(broker_requests(&broker, API_INIT_PRODUCER_ID), 1);
    rd_kafka_mock_push_request_errors(broker.cluster, API_INIT_PRODUCER_ID, 1,
                                      RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    assert_int_equal(check_with(NULL, NULL, false), 1);
    shows("bad Kafka denies access");
    shows("--transactional-id rollcall-rollcall-check");
}

static void brokers_without_transactions_are_named(void **state) {
    (void)state;
    static const char *const settings[] = {NULL, "instance.id=one"};
    for (int i = 0; i < 2; i++) {
        rd_kafka_mock_push_request_errors(broker.cluster, API_INIT_PRODUCER_ID, 1,
                                          RD_KAFKA_RESP_ERR_INVALID_REQUEST);
        assert_int_equal(check_with(settings[i], NULL, false), 1);
        shows("bad these Kafka brokers do not support transactions");
        shows("output.guarantee=at_least_once");
    }
}

static void an_input_that_may_not_be_seen_is_named(void **state) {
    (void)state;
    rd_kafka_mock_topic_set_error(broker.cluster, "user-login",
                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_int_equal(check_with(NULL, NULL, false), 1);
    shows("bad input: ");
    shows("Describe and Read");
    shows("output topic processed-user-login has 2 partitions"); /* the rest is looked at */
    rd_kafka_mock_topic_set_error(broker.cluster, "user-login", RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_mock_topic_set_error(broker.cluster, "processed-user-login",
                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_int_equal(check_with(NULL, NULL, false), 1);
    shows("bad output: ");
    rd_kafka_mock_topic_set_error(broker.cluster, "processed-user-login",
                                  RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void check_with_rights(const rd_kafka_AclOperation_t *rights, size_t count, int status) {
    described = (struct described){.is_given = true, .count = 1, .partitions = 2};
    described.rights = rights;
    described.right_count = count;
    assert_int_equal(check_with(NULL, NULL, false), status);
    described.is_given = false;
}

static void rights_that_lack_are_named(void **state) {
    (void)state;
    static const rd_kafka_AclOperation_t describe[] = {RD_KAFKA_ACL_OPERATION_DESCRIBE};
    static const rd_kafka_AclOperation_t read_write[] = {RD_KAFKA_ACL_OPERATION_WRITE,
                                                         RD_KAFKA_ACL_OPERATION_READ};
    check_with_rights(describe, 1, 1);
    shows("bad input topic user-login cannot be read by this user: add the ACL Read on it\n");
    shows("bad output topic processed-user-login cannot be written by this user: add the ACL Write "
          "on it\n");
    shows("bad output topic user-login-rejected cannot be written");
    shows("bad group rollcall cannot be joined by this user: add the ACL Read on it\n");
    check_with_rights(read_write, 2, 0);
    check_with_rights(NULL, 0, 0); /* Kafka has no ACLs */
    shows_not("bad ");
}

/* Each watermark, in a log of three records. */
static void watermarks_are_compared_with_the_log(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++)
        broker_write(&broker, "user-login", 0, "{}");
    run("HSET {user-login}:meta schema 1 group rollcall topic user-login checkpoints 1 seal 1");
    run("HSET {user-login}:offsets 0 2");
    assert_int_equal(check_with(NULL, NULL, false), 0);
    shows("ok  partition 0: log 0..3, published nothing, counted to 2\n");
    shows("ok  partition 1: log 0..0, published nothing, counted nothing\n");
    run("HSET {user-login}:offsets 0 3");
    assert_int_equal(check_with(NULL, NULL, false), 0);
    run("HSET {user-login}:offsets 0 4");
    assert_int_equal(check_with(NULL, NULL, false), 1);
    shows("bad partition 0: log 0..3, published nothing, counted to 4: the log lost its end");
    run("HSET {user-login}:offsets 0 x");
    assert_int_equal(check_with(NULL, NULL, false), 1);
    shows("log 0..3, published nothing, counted unknown\n");
    run("DEL {user-login}:offsets");
    run("SET {user-login}:offsets x");
    assert_int_equal(check_with(NULL, NULL, false), 1);
    shows("WRONGTYPE");
    run("FLUSHALL");
}

static void a_redis_that_is_away_or_belongs_to_others_is_named(void **state) {
    (void)state;
    run("HSET {user-login}:meta schema 1 group other topic user-login checkpoints 1 seal 1");
    run("HSET {user-login}:offsets 0 2");
    assert_int_equal(check_with(NULL, NULL, false), 1);
    shows("other");
    shows("partition 0: log "); /* that can be seen without */
    shows("counted unknown");
    shows_not("start Redis");
    run("FLUSHALL");
    assert_int_equal(check_with("redis.url=redis://127.0.0.1:1", NULL, false), 1);
    shows("; start Redis, or set redis.url\n");
    shows("counted unknown");
}

static void a_kafka_that_does_not_answer_is_not_asked_more(void **state) {
    (void)state;
    assert_int_equal(check_with("kafka.bootstrap.servers=127.0.0.1:1", NULL, false), 1);
    shows("bad Kafka at 127.0.0.1:1 does not answer (");
    shows_not("output topic");
    shows_not("partition");
    shows("is fit for the prefix");
}

static void versions_with_faults_are_bad(void **state) {
    (void)state;
    static const struct {
        const char *version;
        bool is_good;
    } cases[] = {{"2.8.0", true},  {"2.7.9", false}, {"2.10.0", false}, {"2.10.1", true},
                 {"1.9.0", false}, {"3.0.0", true},  {"3", true},       {"2.15.1-RC1", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[64];
        library = cases[i].version;
        assert_int_equal(check_with(NULL, NULL, false), cases[i].is_good ? 0 : 1);
        snprintf(expected, sizeof expected, "%s librdkafka %s", cases[i].is_good ? "ok " : "bad",
                 cases[i].version);
        shows(expected);
    }
    library = "2.15.1";
}

/* Commits this offset of partition 0 in the group. */
static void publish_to(int64_t offset) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(broker.cluster),
                      NULL, 0);
    rd_kafka_conf_set(conf, "group.id", "rollcall", NULL, 0);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, NULL, 0);
    assert_non_null(client);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "user-login", 0)->offset = offset;
    assert_int_equal(rd_kafka_commit(client, list, 0), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(client);
}

/* The same for what was published; behind the tests of what was not. */
static void published_watermarks_are_compared_with_the_log(void **state) {
    (void)state;
    publish_to(1);
    assert_int_equal(check_with(NULL, NULL, false), 0);
    shows("ok  partition 0: log 0..3, published to 1, counted nothing; run counts again from the "
          "log's begin\n");
    shows("ok  partition 1: log 0..0, published nothing, counted nothing\n");
    run("HSET {user-login}:meta schema 1 group rollcall topic user-login checkpoints 1 seal 1");
    run("HSET {user-login}:offsets 0 0");
    assert_int_equal(check_with(NULL, NULL, false), 0);
    shows("ok  partition 0: log 0..3, published to 1, counted to 0\n");
    publish_to(4);
    assert_int_equal(check_with(NULL, NULL, false), 1);
    shows("bad partition 0: log 0..3, published to 4, counted to 0: the log lost its end");
    run("FLUSHALL");
    publish_to(0);
    assert_int_equal(check_with(NULL, NULL, false), 0);
    shows("ok  partition 0: log 0..3, published to 0, counted nothing\n");
}

static void a_client_that_cannot_be_made_is_reported(void **state) {
    (void)state;
    is_without_client = true;
    assert_int_equal(check_with(NULL, NULL, false), 1);
    is_without_client = false;
    shows("bad librdkafka: an odd property\n");
    shows("\nok  Redis ");
    shows_not("Kafka at");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_well),
        cmocka_unit_test(topics_that_are_missing_are_named),
        cmocka_unit_test(a_given_instance_id_is_not_tried),
        cmocka_unit_test(brokers_without_transactions_are_named),
        cmocka_unit_test(an_input_that_may_not_be_seen_is_named),
        cmocka_unit_test(rights_that_lack_are_named),
        cmocka_unit_test(watermarks_are_compared_with_the_log),
        cmocka_unit_test(a_redis_that_is_away_or_belongs_to_others_is_named),
        cmocka_unit_test(a_kafka_that_does_not_answer_is_not_asked_more),
        cmocka_unit_test(published_watermarks_are_compared_with_the_log),
        cmocka_unit_test(a_client_that_cannot_be_made_is_reported),
        cmocka_unit_test(versions_with_faults_are_bad),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
