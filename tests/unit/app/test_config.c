/* config: defaults, values, and what they may not be together. getrandom is this file's own. */
#include <dlfcn.h>
#include <sys/random.h>

#include "app/status.h"
#include "given.h"

static bool has_no_random;

ssize_t getrandom(void *bytes, size_t count, unsigned flags) {
    ssize_t (*real)(void *, size_t, unsigned);
    *(void **)&real = dlsym(RTLD_NEXT, "getrandom");
    return has_no_random ? -1 : real(bytes, count, flags);
}

/* The caller frees it. */
static char *printed(const struct config *config) {
    char *text = NULL;
    size_t count = 0;
    FILE *stream = open_memstream(&text, &count);
    config_print(config, stream);
    fclose(stream);
    return text;
}

static void without_any_source_the_defaults_hold(void **state) {
    (void)state;
    struct config *config = TAKEN(X("instance.shards=2"));
    assert_int_equal(strlen(config->instance.id), 8);
    assert_int_equal(strspn(config->instance.id, "0123456789abcdef"), 8);
    assert_false(config->is_static);
    assert_int_equal(config->drain_ms, 5000);
    strcpy(config->instance.id, "00000000");
    char *text = printed(config);
    assert_string_equal(
        text,
        "[kafka]\nbootstrap.servers = localhost:9092\n\n"
        "[consumer]\ngroup.id = rollcall\nsession.timeout.ms = 10000\nheartbeat.interval.ms = "
        "1000\n\n"
        "[producer]\ntransaction.timeout.ms = 10000\n\n"
        "[instance]\n# random: id = 00000000\nshards = 2\nmemory_mb = 256\n\n"
        "[input]\ntopic = user-login\ntimestamp = timestamp\ntimestamp_format = s\nkey = user_id\n"
        "framing = none\nstart = earliest\non_gap = fail\n\n"
        "[output]\ntopic = processed-user-login\nrejected_topic = user-login-rejected\n"
        "guarantee = exactly_once\ncommit_ms = 100\n\n"
        "[aggregate]\ndimensions = device_type,locale\nmax_values = 10000\nmax_days = 4000\n"
        "retention_days = 400\nmax_future_s = 3600\n\n"
        "[anomaly]\nthreshold = 10\n\n"
        "[redis]\nurl = redis://localhost:6379/0\nprefix = {user-login}\ntimeout_ms = 5000\n"
        "min_replicas = 0\nsentinel_user = \nsentinel_password = \nca_file = \ncert_file = "
        "\nkey_file = \n"
        "checkpoint_ms = 500\n\n"
        "[http]\nlisten = 127.0.0.1:9464\n\n"
        "[log]\nlevel = info\nformat = logfmt\n");
    config_destroy(&config);
    assert_null(config);
    config = TAKEN(.file = text); /* its id is a comment */
    assert_false(config->is_static);
    config_destroy(&config);
    free(text);
    config = TAKEN(.file = NULL);
    assert_in_range(config->instance.shards, 1, 64);
    config_destroy(&config);
}

static void the_status_has_every_setting_by_its_name(void **state) {
    (void)state;
    struct config *config = TAKEN(X("redis.url=redis://:secret@host:7000", "log.format=json"));
    strcpy(config->instance.id, "00000000");
    char *settings = status_settings(config);
    static const char *const some[] = {
        "{\"kafka.bootstrap.servers\": \"localhost:9092\",\n ",
        ",\n \"instance.id\": \"00000000\",\n ",
        ",\n \"redis.url\": \"redis://***@host:7000/0\",\n ",
        ",\n \"http.listen\": \"127.0.0.1:9464\",\n ",
        ",\n \"log.format\": \"json\"}",
    };
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        if (strstr(settings, some[i]) == NULL) fail_msg("\"%s\" is not in %s", some[i], settings);
    }
    free(settings);
    config_destroy(&config);
}

static void two_instances_get_different_ids(void **state) {
    (void)state;
    struct config *a = TAKEN(.file = NULL);
    struct config *b = TAKEN(.file = NULL);
    assert_string_not_equal(a->instance.id, b->instance.id);
    config_destroy(&a);
    config_destroy(&b);
}

static void without_random_numbers_there_is_no_id(void **state) {
    (void)state;
    has_no_random = true;
    REFUSED("no random numbers", .file = NULL);
    has_no_random = false;
}

static void each_key_is_read_into_its_place(void **state) {
    (void)state;
    struct config *config =
        TAKEN(.file = "# a comment\n"
                      "[kafka]\nbootstrap.servers=k:1\nsecurity.protocol = plaintext\n"
                      "[consumer]\ngroup.id = g\nfetch.min.bytes = 2 ; and another\n"
                      "[instance]\n  id = i-1\n  shards = 3\n  memory_mb = 512\n"
                      "[input]\ntopic = in\nstart = latest\non_gap = continue\n"
                      "timestamp = /context/ts\ntimestamp_format = rfc3339\nkey = /user/id\n"
                      "framing = confluent\n"
                      "[output]\ntopic = out\nrejected_topic =\nguarantee = at_least_once\n"
                      "commit_ms = 50\n"
                      "[aggregate]\ndimensions = a , b.c,d_e-F\nmax_values = 5\n"
                      "retention_days = 7\nmax_future_s = 0\n"
                      "[anomaly]\nthreshold = 99\n"
                      "[redis]\nurl = redis://u:p@h:1/2\nprefix = {p}\ncheckpoint_ms = 100\n"
                      "timeout_ms = 1000\n"
                      "[http]\nlisten =\n[log]\nlevel = debug\nformat = json\n");
    assert_string_equal(kafka_conf_get(&config->kafka, "bootstrap.servers"), "k:1");
    assert_string_equal(config->source.group, "g");
    assert_null(kafka_conf_get(&config->consumer, "group.id"));
    assert_string_equal(kafka_conf_get(&config->consumer, "fetch.min.bytes"), "2");
    assert_string_equal(config->instance.id, "i-1");
    assert_true(config->is_static);
    assert_int_equal(config->instance.shards, 3);
    assert_int_equal(config->instance.memory_mb, 512);
    assert_string_equal(config->source.topic, "in");
    assert_int_equal(config->ingest.policy.start, CURSOR_START_LATEST);
    assert_int_equal(config->ingest.policy.on_gap, CURSOR_GAP_CONTINUE);
    assert_string_equal(config->login.timestamp, "/context/ts");
    assert_int_equal(config->login.timestamp_format, INSTANT_RFC3339);
    assert_string_equal(config->login.key, "/user/id");
    assert_int_equal(config->login.framing, LOGIN_FRAMING_CONFLUENT);
    assert_string_equal(config->sink.topic, "out");
    assert_string_equal(config->sink.rejected_topic, "");
    assert_int_equal(config->sink.guarantee, KAFKA_SINK_AT_LEAST_ONCE);
    assert_int_equal(config->publish.commit_ms, 50);
    assert_int_equal(config->aggregate.dimensions.count, 3);
    assert_string_equal(config->aggregate.dimensions.items[1], "b.c");
    assert_string_equal(config->aggregate.dimensions.items[2], "d_e-F");
    assert_int_equal(config->aggregate.max_values, 5);
    assert_int_equal(config->aggregate.retention_days, 7);
    assert_int_equal(config->login.max_future_s, 0);
    assert_int_equal(config->aggregate.threshold, 99);
    assert_string_equal(config->redis.url, "redis://u:p@h:1/2");
    assert_string_equal(config->redis.prefix, "{p}");
    assert_int_equal(config->ingest.checkpoint_ms, 100);
    assert_int_equal(config->redis.timeout_ms, 1000);
    assert_string_equal(config->expose.listen, "");
    assert_int_equal(config->log.level, LOG_DEBUG);
    assert_int_equal(config->log.format, LOG_JSON);
    config_destroy(&config);
}

static void a_value_out_of_range_says_the_range(void **state) {
    (void)state;
    REFUSED("%f:2: output.commit_ms: 0 is out of range; allowed are 1 to 60000",
            .file = "[output]\ncommit_ms = 0\n");
    REFUSED("\"middle\" is not one of: earliest, latest", X("input.start=middle"));
}

static void a_value_of_the_wrong_form_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"input.topic=..",
                                        "instance.id=a/b",
                                        "redis.url=http://x",
                                        "redis.url=redis://",
                                        "redis.url=redis://h:port",
                                        "redis.url=redis://h:0",
                                        "redis.url=redis://h/db",
                                        "redis.url=unix://socket",
                                        "http.listen=9464",
                                        "http.listen=h:70000",
                                        "http.listen=h:",
                                        "producer.compression.codec=brotli",
                                        "producer.transaction.timeout.ms=50",
                                        "kafka.bootstrap.servers="};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char words[128];
        snprintf(words, sizeof words, "-X %.*s: ", (int)strcspn(wrong[i], "="), wrong[i]);
        REFUSED(words, X(wrong[i]));
    }
    struct config *config = TAKEN(X("http.listen=[::1]:0"));
    config_destroy(&config);
}

static void contradictions_name_the_place_of_a_setting(void **state) {
    (void)state;
    REFUSED("%f:2: output.topic is also the input topic", .file = "[output]\ntopic = user-login\n");
    REFUSED("ROLLCALL_OUTPUT_REJECTED_TOPIC: output.rejected_topic is also the input topic",
            ENV("ROLLCALL_OUTPUT_REJECTED_TOPIC=user-login"));
    REFUSED("rejected_topic is the same as output.topic",
            X("output.rejected_topic=processed-user-login"));
    REFUSED(
        "-X aggregate.dimensions: aggregate.dimensions names locale and Locale|Logins by Locale",
        X("aggregate.dimensions=locale,Locale"));
    REFUSED("-X aggregate.dimensions: aggregate.dimensions names read_at, |set from = read_at in",
            X("aggregate.dimensions=read_at,locale"));
    REFUSED("-X output.commit_ms: |below the producer's transaction.timeout.ms",
            X("output.commit_ms=10000"));
    REFUSED("-X output.commit_ms: |transaction.timeout.ms",
            X("output.commit_ms=2000", "producer.transaction.timeout.ms=2000"));
    REFUSED("-X consumer.session.timeout.ms: |too short",
            X("consumer.session.timeout.ms=1000", "redis.checkpoint_ms=500"));
    REFUSED("%f:2: consumer.session.timeout.ms |too short",
            .file = "[kafka]\nsession.timeout.ms = 900\n");
    REFUSED("-X redis.checkpoint_ms: redis.checkpoint_ms (60000) must be below",
            X("redis.checkpoint_ms=60000"));
    REFUSED("-X output.commit_ms: output.commit_ms (9000) must be below 10000",
            X("output.commit_ms=9000", "producer.transaction.timeout.ms=20000"));
    REFUSED("-X consumer.heartbeat.interval.ms: |(10000) must be below session.timeout.ms (10000)",
            X("consumer.heartbeat.interval.ms=10000"));
    REFUSED("%f:2: |below session.timeout.ms", .file = "[kafka]\nheartbeat.interval.ms = 20000\n");
    REFUSED("max.poll.interval.ms|session.timeout.ms", X("consumer.session.timeout.ms=400000"));
    struct config *config = TAKEN(X("consumer.session.timeout.ms=6000"));
    assert_int_equal(config->drain_ms, 3000);
    config_destroy(&config);
    config = TAKEN(X("output.commit_ms=2000", "producer.transaction.timeout.ms=2000",
                     "output.guarantee=at_least_once"));
    config_destroy(&config);
}

static void a_url_that_needs_encoding_names_the_characters(void **state) {
    (void)state;
    static const char *const raw[] = {"redis://u:pa/ss@h", "redis://u:6379/1@h/0", "redis://:/@h",
                                      "unix://u:pa/ss@/path", "rediss://a/b:p@h"};
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
        char setting[64];
        snprintf(setting, sizeof setting, "redis.url=%s", raw[i]);
        REFUSED("raw '/'|'/' as %2F, '@' as %40 and '%' as %25", X(setting));
    }
    REFUSED("'/' as %2F, '@' as %40 and '%' as %25", X("redis.url=redis://h:port"));
    REFUSED("%00", X("redis.url=redis://u:a%00b@h"));
    REFUSED("no spaces", X("redis.url=redis://u:a b@h"));
}

static void what_librdkafka_cannot_combine_is_refused(void **state) {
    (void)state;
    REFUSED("-X consumer.max.poll.interval.ms: librdkafka: |session.timeout.ms",
            X("consumer.max.poll.interval.ms=1000"));
    REFUSED("%f:2: librdkafka: |transaction.timeout.ms",
            .file = "[producer]\nmessage.timeout.ms = 20000\n");
    REFUSED("[kafka] and [consumer]: librdkafka: |SASL",
            X("kafka.security.protocol=sasl_plaintext", "kafka.sasl.mechanism=NONE-SUCH"));
    REFUSED("librdkafka: |ssl.ca.location",
            X("kafka.security.protocol=ssl", "kafka.ssl.ca.location=/nonexistent"));
    REFUSED("consumer.enable.auto.commit is set by rollcall",
            X("consumer.enable.auto.commit=true"));
}

static void verbose_and_quiet_outweigh_the_level(void **state) {
    (void)state;
    struct config *config = TAKEN(X("log.level=error"), .is_verbose = true);
    assert_int_equal(config->log.level, LOG_DEBUG);
    config_destroy(&config);
    config = TAKEN(X("log.level=error"), .is_quiet = true);
    assert_int_equal(config->log.level, LOG_WARN);
    config_destroy(&config);
}

static void a_url_is_shown_without_its_password(void **state) {
    (void)state;
    static const char *const urls[][2] = {
        {"redis://localhost", "\nurl = redis://localhost:6379/0\n"},
        {"redis://user:pass@h:1/2", "\nurl = redis://user:***@h:1/2\n"},
        {"redis://:pass@h", "\nurl = redis://***@h:6379/0\n"},
        {"redis://pass@h", "\nurl = redis://***@h:6379/0\n"},
        {"redis://@h", "\nurl = redis://h:6379/0\n"},
        {"redis://u:p@s%zz%@h", "\nurl = redis://u:***@h:6379/0\n"},
        {"unix:///redis.sock?db=3", "\nurl = unix:///redis.sock?db=3\n"},
        {"unix:///a@/b", "\nurl = unix:///a@/b?db=0\n"},
        {"unix://u:p@s@/redis.sock", "\nurl = unix://u:***@/redis.sock?db=0\n"},
        {"unix://u@/redis.sock?db=3", "\nurl = unix://***@/redis.sock?db=3\n"},
    };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        char setting[64];
        snprintf(setting, sizeof setting, "redis.url=%s", urls[i][0]);
        struct config *config = TAKEN(X(setting));
        char *text = printed(config);
        if (strstr(text, urls[i][1]) == NULL) fail_msg("no %s in %s", urls[i][1], text);
        free(text);
        config_destroy(&config);
    }
}

static void properties_are_shown_without_secrets(void **state) {
    (void)state;
    struct config *config =
        TAKEN(X("kafka.sasl.oauthbearer.token.endpoint.url=https://u:hunter2@x/y",
                "kafka.sasl.oauthbearer.extensions=key=hunter2", "redis.prefix=redis://hunter2@h"));
    char *text = printed(config);
    assert_null(strstr(text, "hunter2"));
    assert_non_null(strstr(text, "sasl.oauthbearer.token.endpoint.url = https://***@x/y\n"));
    assert_non_null(strstr(text, "sasl.oauthbearer.extensions = ***\n"));
    free(text);
    config_destroy(&config);
}

static void print_shows_all_but_secrets_and_can_be_read_again(void **state) {
    (void)state;
    struct config *config = TAKEN(.file = "[instance]\nid = i\n[kafka]\nsasl.password = "
                                          "hunter2\n[redis]\nurl = redis://u:hunter2@h\n"
                                          "[dimension.locale]\ndefault = \"; none\"\n",
                                  X("consumer.fetch.min.bytes=7", "kafka.client.id=a #b \"c\"",
                                    "producer.linger.ms=9", "redis.prefix=\"p\\"));
    char *text = printed(config);
    assert_null(strstr(text, "hunter2"));
    assert_non_null(strstr(text, "[dimension.locale]\nfrom = locale\ndefault = \"; none\"\n"));
    assert_non_null(strstr(text, "sasl.password = ***\n"));
    assert_non_null(strstr(text, "url = redis://u:***@h:6379/0\n"));
    struct config *again = TAKEN(.file = text);
    char *same = printed(again);
    assert_string_equal(same, text);
    free(text);
    free(same);
    config_destroy(&config);
    config_destroy(&again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_any_source_the_defaults_hold),
        cmocka_unit_test(the_status_has_every_setting_by_its_name),
        cmocka_unit_test(two_instances_get_different_ids),
        cmocka_unit_test(without_random_numbers_there_is_no_id),
        cmocka_unit_test(each_key_is_read_into_its_place),
        cmocka_unit_test(a_value_out_of_range_says_the_range),
        cmocka_unit_test(a_value_of_the_wrong_form_is_refused),
        cmocka_unit_test(contradictions_name_the_place_of_a_setting),
        cmocka_unit_test(a_url_that_needs_encoding_names_the_characters),
        cmocka_unit_test(what_librdkafka_cannot_combine_is_refused),
        cmocka_unit_test(verbose_and_quiet_outweigh_the_level),
        cmocka_unit_test(a_url_is_shown_without_its_password),
        cmocka_unit_test(properties_are_shown_without_secrets),
        cmocka_unit_test(print_shows_all_but_secrets_and_can_be_read_again),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
