/* config: four sources, and every rule about what they may say. */
#include "app/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/options.h"
#include "base/error.h"

static char file_path[] = "/tmp/test_config_XXXXXX";
static char secret_path[] = "/tmp/test_secret_XXXXXX";

static int make_files(void **state) {
    (void)state;
    const int file = mkstemp(file_path);
    const int secret = mkstemp(secret_path);
    return file < 0 || secret < 0 || close(file) != 0 || close(secret) != 0;
}

static int remove_files(void **state) {
    (void)state;
    return unlink(file_path) != 0 || unlink(secret_path) != 0;
}

static void write_bytes(const char *path, const char *bytes, size_t count) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

/* What a test sets: a file's text or path, one environment, some -X; each may be left out. */
struct given {
    const char *file;
    const char *path;
    bool is_verbose, is_quiet;
    const char *environment[4];
    const char *overrides[4];
};

static struct config *create(const struct given *given, struct error *error) {
    static struct options options;
    options = (struct options){
        .config_path = given->path, .is_verbose = given->is_verbose, .is_quiet = given->is_quiet};
    char *envp[8] = {(char *)(uintptr_t) "PATH=/bin"};
    for (int i = 0; i < 4; i++) {
        envp[i + 1] = (char *)(uintptr_t)given->environment[i];
        options.overrides[i] = given->overrides[i];
        if (given->overrides[i] != NULL) options.override_count++;
    }
    if (given->file != NULL) {
        write_bytes(file_path, given->file, strlen(given->file));
        options.config_path = file_path;
    }
    return config_create(&options, envp, error);
}

static struct config *taken(struct given given) {
    struct error error = {""};
    struct config *config = create(&given, &error);
    if (config == NULL) fail_msg("%s", error.text);
    return config;
}

/* The error says all of the words, which are separated by '|'; %f stands for the file's path. */
static void refused(struct given given, const char *words) {
    struct error error = {""};
    struct config *config = create(&given, &error);
    if (config != NULL) fail_msg("taken, though it should say: %s", words);
    if (strchr(error.text, '\n') != NULL) fail_msg("more than one line: %s", error.text);
    char copy[512];
    snprintf(copy, sizeof copy, "%s", words);
    char *rest = copy;
    for (char *word = strsep(&rest, "|"); word != NULL; word = strsep(&rest, "|")) {
        char expected[512];
        if (strncmp(word, "%f", 2) == 0) {
            snprintf(expected, sizeof expected, "%s%s", file_path, word + 2);
        } else {
            snprintf(expected, sizeof expected, "%s", word);
        }
        if (strstr(error.text, expected) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", error.text, expected);
        }
    }
}

#define TAKEN(...) taken((struct given){__VA_ARGS__})
#define REFUSED(words, ...) refused((struct given){__VA_ARGS__}, words)
#define ENV(...) .environment = {__VA_ARGS__}
#define X(...) .overrides = {__VA_ARGS__}

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
    assert_false(config->instance.is_static);
    assert_int_equal(config->drain_ms, 5000);
    strcpy(config->instance.id, "00000000");
    char *text = printed(config);
    assert_string_equal(
        text,
        "[kafka]\nbootstrap.servers = localhost:9092\n\n"
        "[producer]\ntransaction.timeout.ms = 10000\n\n"
        "[consumer]\ngroup.id = rollcall\nsession.timeout.ms = 10000\nheartbeat.interval.ms = "
        "1000\n\n"
        "[instance]\n# random: id = 00000000\nshards = 2\nmemory_mb = 256\n\n"
        "[input]\ntopic = user-login\nstart = earliest\non_gap = fail\n\n"
        "[output]\ntopic = processed-user-login\nrejected_topic = user-login-rejected\n"
        "guarantee = exactly_once\ncommit_ms = 100\n\n"
        "[aggregate]\ndimensions = device_type,locale\nmax_values = 10000\nmax_days = 4000\n"
        "retention_days = 400\nmax_future_s = 3600\n\n"
        "[anomaly]\nthreshold = 10\n\n"
        "[redis]\nurl = redis://localhost:6379/0\nprefix = {user-login}\ncheckpoint_ms = 500\n"
        "timeout_ms = 5000\n\n"
        "[http]\nlisten = 127.0.0.1:9464\n\n"
        "[log]\nlevel = info\nformat = logfmt\n");
    config_destroy(&config);
    assert_null(config);
    config = TAKEN(.file = text); /* its id is a comment */
    assert_false(config->instance.is_static);
    config_destroy(&config);
    free(text);
    config = TAKEN(.file = NULL);
    assert_in_range(config->instance.shards, 1, 64);
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

static void a_later_source_wins(void **state) {
    (void)state;
    static const char file[] = "[redis]\nprefix = file\n[producer]\nlinger.ms = 1\n";
    struct config *config = TAKEN(.file = file);
    assert_string_equal(config->redis.prefix, "file");
    assert_string_equal(kafka_conf_get(&config->producer, "linger.ms"), "1");
    config_destroy(&config);
    config = TAKEN(.file = file,
                   ENV("ROLLCALL_REDIS_PREFIX=env", "ROLLCALL_PRODUCER_QUEUE_BUFFERING_MAX_MS=2"));
    assert_string_equal(config->redis.prefix, "env");
    assert_string_equal(kafka_conf_get(&config->producer, "linger.ms"), "2");
    config_destroy(&config);
    config = TAKEN(.file = file,
                   ENV("ROLLCALL_REDIS_PREFIX=env", "ROLLCALL_PRODUCER_QUEUE_BUFFERING_MAX_MS=2"),
                   X("redis.prefix=x", "producer.linger.ms=3", "producer.linger.ms=4"));
    assert_string_equal(config->redis.prefix, "x");
    assert_string_equal(kafka_conf_get(&config->producer, "linger.ms"), "4");
    assert_int_equal(config->producer.count, 2); /* and transaction.timeout.ms */
    config_destroy(&config);
}

static void each_key_is_read_into_its_place(void **state) {
    (void)state;
    struct config *config =
        TAKEN(.file = "# a comment\n"
                      "[kafka]\nbootstrap.servers=k:1\nsecurity.protocol = plaintext\n"
                      "[consumer]\ngroup.id = g\nfetch.min.bytes = 2 ; and another\n"
                      "[instance]\n  id = i-1\n  shards = 3\n  memory_mb = 512\n"
                      "[input]\ntopic = in\nstart = latest\non_gap = continue\n"
                      "[output]\ntopic = out\nrejected_topic =\nguarantee = at_least_once\n"
                      "commit_ms = 50\n"
                      "[aggregate]\ndimensions = a , b.c,d_e-F\nmax_values = 5\n"
                      "retention_days = 7\nmax_future_s = 0\n"
                      "[anomaly]\nthreshold = 99\n"
                      "[redis]\nurl = redis://u:p@h:1/2\nprefix = {p}\ncheckpoint_ms = 100\n"
                      "timeout_ms = 1000\n"
                      "[http]\nlisten =\n[log]\nlevel = debug\nformat = json\n");
    assert_string_equal(kafka_conf_get(&config->kafka, "bootstrap.servers"), "k:1");
    assert_string_equal(config->group_id, "g");
    assert_null(kafka_conf_get(&config->consumer, "group.id"));
    assert_string_equal(kafka_conf_get(&config->consumer, "fetch.min.bytes"), "2");
    assert_string_equal(config->instance.id, "i-1");
    assert_true(config->instance.is_static);
    assert_int_equal(config->instance.shards, 3);
    assert_int_equal(config->instance.memory_mb, 512);
    assert_string_equal(config->input.topic, "in");
    assert_int_equal(config->input.start, CURSOR_START_LATEST);
    assert_int_equal(config->input.on_gap, CURSOR_GAP_CONTINUE);
    assert_string_equal(config->output.topic, "out");
    assert_string_equal(config->output.rejected_topic, "");
    assert_false(config->output.is_exactly_once);
    assert_int_equal(config->output.commit_ms, 50);
    assert_int_equal(config->aggregate.dimension_count, 3);
    assert_string_equal(config->aggregate.dimensions[1], "b.c");
    assert_string_equal(config->aggregate.dimensions[2], "d_e-F");
    assert_int_equal(config->aggregate.max_values, 5);
    assert_int_equal(config->aggregate.retention_days, 7);
    assert_int_equal(config->aggregate.max_future_s, 0);
    assert_int_equal(config->anomaly.threshold, 99);
    assert_string_equal(config->redis.url, "redis://u:p@h:1/2");
    assert_string_equal(config->redis.prefix, "{p}");
    assert_int_equal(config->redis.checkpoint_ms, 100);
    assert_int_equal(config->redis.timeout_ms, 1000);
    assert_string_equal(config->http.listen, "");
    assert_int_equal(config->log.level, LOG_DEBUG);
    assert_int_equal(config->log.format, LOG_JSON);
    config_destroy(&config);
}

static void an_unknown_key_names_its_place_and_the_nearest(void **state) {
    (void)state;
    REFUSED("%f:3: |there is no key redis.prefx|did you mean redis.prefix?",
            .file = "[redis]\n# comment\nprefx = a\n");
    REFUSED("environment variable ROLLCALL_REDIS_PREFX: |did you mean redis.prefix?",
            ENV("ROLLCALL_REDIS_PREFX=a"));
    REFUSED("-X redis.prefx: |did you mean redis.prefix?", X("redis.prefx=a"));
    REFUSED("%f:2: |kafka.bootstrap.server |did you mean bootstrap.servers?",
            .file = "[kafka]\nbootstrap.server = a:1\n");
    REFUSED("environment variable ROLLCALL_PRODUCER_LINGER: |producer.linger ",
            ENV("ROLLCALL_PRODUCER_LINGER=1"));
    REFUSED("-X output.threshold: |did you mean anomaly.threshold?", X("output.threshold=1"));
    REFUSED("-X http.zzzzzzzzz: there is no key http.zzzzzzzzz", X("http.zzzzzzzzz=1"));
    REFUSED("did you mean group.id?", X("consumer.groupid=1"));
}

static void an_unknown_section_names_its_place_and_the_nearest(void **state) {
    (void)state;
    REFUSED("%f:2: |there is no section [kafak]; did you mean [kafka]?",
            .file = "\n[kafak]\nbootstrap.servers = a:1\n");
    REFUSED("%f:1: |there is no section [kafak]", .file = "[kafak]\n");
    REFUSED("environment variable ROLLCALL_REDS_URL: |did you mean [redis]?",
            ENV("ROLLCALL_REDS_URL=a"));
    REFUSED("environment variable ROLLCALL_NONSENSE", ENV("ROLLCALL_NONSENSE=a"));
    REFUSED("-X reds.url: |did you mean [redis]?", X("reds.url=a"));
    REFUSED("%f:1: a key before any [section]", .file = "prefix = a\n");
}

static void a_malformed_source_is_refused(void **state) {
    (void)state;
    REFUSED("%f:2: neither [section], key = value nor a comment", .file = "[redis]\nprefix\n");
    REFUSED("%f:1: neither", .file = "[redis\nprefix = a\n");
    REFUSED("%f:2: neither", .file = "[redis]\nnonsense\nalso = unknown\n");
    REFUSED("%f:2: |no key redis.also", .file = "[redis]\nalso = unknown\nnonsense\n");
    REFUSED("-X redis: write -X section.key=value", X("redis=a"));
    REFUSED("write -X section.key=value", X("redis.prefix"));
    REFUSED("write -X section.key=value", X(".prefix=a"));
    REFUSED("write -X section.key=value", X("redis.=a"));
    REFUSED("/nonexistent/rollcall.ini: No such file", .path = "/nonexistent/rollcall.ini");
    REFUSED("cannot read /tmp", .path = "/tmp");
    write_bytes(file_path, "[redis]\npre\0fix = a\n", 20);
    REFUSED("%f:2: a NUL byte", .path = file_path);
}

static void a_long_line_is_an_error_not_two_lines(void **state) {
    (void)state;
    static char file[40000];
    snprintf(file, sizeof file, "[kafka]\nclient.id = %01000d\n", 1);
    struct config *config = TAKEN(.file = file);
    assert_int_equal(strlen(kafka_conf_get(&config->kafka, "client.id")), 1000);
    config_destroy(&config);
    snprintf(file, sizeof file, "[kafka]\nclient.id = %030000d\n", 1);
    REFUSED("%f:2: longer than", .file = file);
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

static void a_file_sets_nothing_twice(void **state) {
    (void)state;
    REFUSED("%f:4: redis.prefix is set twice, first at |%f:2",
            .file = "[redis]\nprefix = a\n[redis]\nprefix = a\n");
    REFUSED("%f:3: producer.linger.ms is set twice, first at |%f:2",
            .file = "[producer]\nqueue.buffering.max.ms = 1\nlinger.ms = 1\n");
    REFUSED("ROLLCALL_PRODUCER_LINGER_MS: |set twice|ROLLCALL_PRODUCER_QUEUE_BUFFERING_MAX_MS",
            ENV("ROLLCALL_PRODUCER_QUEUE_BUFFERING_MAX_MS=1", "ROLLCALL_PRODUCER_LINGER_MS=1"));
    struct config *config = TAKEN(.file = "[kafka]\nsocket.timeout.ms = 5000\n"
                                          "[producer]\nsocket.timeout.ms = 6000\n");
    config_destroy(&config);
}

/* A setting that ends in the path of a file with this secret. */
static const char *with_secret(const char *setting, const void *secret, size_t count) {
    static char text[160];
    write_bytes(secret_path, secret, count);
    snprintf(text, sizeof text, "%s%s", setting, secret_path);
    return text;
}

static void a_secret_can_be_in_a_file(void **state) {
    (void)state;
    struct config *config =
        TAKEN(.file = with_secret("[redis]\nurl_file = ", "redis://:pa;ss@h\n", 17));
    assert_string_equal(config->redis.url, "redis://:pa;ss@h");
    config_destroy(&config);
    config = TAKEN(ENV(with_secret("ROLLCALL_KAFKA_SASL_PASSWORD_FILE=", "s3cret\r\n", 8)));
    assert_string_equal(kafka_conf_get(&config->kafka, "sasl.password"), "s3cret");
    config_destroy(&config);
    config = TAKEN(X(with_secret("producer.ssl.key.password_file=", "no newline", 10)));
    assert_string_equal(kafka_conf_get(&config->producer, "ssl.key.password"), "no newline");
    config_destroy(&config);
}

static void a_secret_file_that_cannot_be_read_is_an_error(void **state) {
    (void)state;
    static const char password_file[] = "kafka.sasl.password_file=";
    static char large[70000];
    memset(large, 'x', sizeof large);
    REFUSED("%f:2: redis.url_file: cannot read /nonexistent: No such file",
            .file = "[redis]\nurl_file = /nonexistent\n");
    REFUSED("kafka.sasl.password_file: |NUL", X(with_secret(password_file, "a\0b", 3)));
    REFUSED("kafka.sasl.password_file: |too long",
            X(with_secret(password_file, large, sizeof large)));
    REFUSED("no key redis.prefix_file", X("redis.prefix_file=/x"));
    REFUSED("sasl.username_file is no librdkafka property", X("kafka.sasl.username_file=/x"));
}

static void a_secret_is_given_once_plainly_or_in_a_file(void **state) {
    (void)state;
    REFUSED("%f:3: redis.url is set twice, first at |%f:2",
            .file = with_secret("[redis]\nurl = redis://g\nurl_file = ", "redis://h", 9));
    const char *setting = with_secret("redis.url_file=", "redis://h", 9);
    REFUSED("-X redis.url: redis.url is set twice", X(setting, "redis.url=redis://g"));
    REFUSED("-X redis.url_file: redis.url is set twice", X("redis.url=redis://g", setting));
    struct config *config = TAKEN(.file = "[redis]\nurl = redis://g\n", X(setting));
    assert_string_equal(config->redis.url, "redis://h");
    config_destroy(&config);
}

static void an_error_never_shows_a_secret(void **state) {
    (void)state;
    struct error error;
    const struct given wrong[] = {
        {X("redis.url=http://u:hunter2@h")},          {X("redis.url=redis://u:hunter2 @h")},
        {X("redis.url=redis://u:hunter2@h:port")},    {X("redis.url=redis://u@h/hunter2")},
        {.file = "[redis]\nurl = hunter2\n"},         {ENV("ROLLCALL_REDIS_URL=hunter2")},
        {ENV("ROLLCALL_KAFKA_SASL_PASWORD=hunter2")}, {X("kafka.sasl.pasword=hunter2")},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_null(create(&wrong[i], &error));
        if (strstr(error.text, "hunter2") != NULL) fail_msg("%s", error.text);
    }
}

static void kubernetes_service_variables_are_not_settings(void **state) {
    (void)state;
    struct config *config = TAKEN(
        ENV("ROLLCALL_PORT=tcp://10.0.0.1:9464", "ROLLCALL_SERVICE_PORT_HTTP=9464",
            "ROLLCALL_REDIS_PORT_6379_TCP_ADDR=10.0.0.2", "ROLLCALL_KAFKA_SERVICE_HOST=10.0.0.3"));
    config_destroy(&config);
    REFUSED("ROLLCALL_PORT", ENV("ROLLCALL_PORT=9464"));
}

static void a_file_of_a_million_lines_is_read_to_its_end(void **state) {
    (void)state;
    enum { LINES = 1000000 };
    char *file = malloc(LINES * 9 + 64);
    size_t used = 0;
    for (int i = 0; i < LINES; i++) {
        memcpy(file + used, i % 2 == 0 ? "# none\n" : "[redis]\n", 8);
        used += i % 2 == 0 ? 7 : 8;
    }
    strcpy(file + used, "prefx = a\n");
    REFUSED("%f:1000001: there is no key redis.prefx", .file = file);
    free(file);
}

/* /dev/zero is one line that never ends. */
static void a_line_without_an_end_is_not_read_to_its_end(void **state) {
    (void)state;
    REFUSED("/dev/zero:1: ", .path = "/dev/zero");
    REFUSED("redis.url_file: |cannot read /tmp", X("redis.url_file=/tmp"));
    REFUSED("redis.url_file: |too long", X("redis.url_file=/dev/zero"));
}

static void contradictions_name_the_place_of_a_setting(void **state) {
    (void)state;
    REFUSED("%f:2: output.topic is the input's topic", .file = "[output]\ntopic = user-login\n");
    REFUSED("ROLLCALL_OUTPUT_REJECTED_TOPIC: output.rejected_topic is the input's",
            ENV("ROLLCALL_OUTPUT_REJECTED_TOPIC=user-login"));
    REFUSED("rejected_topic is the same as output.topic",
            X("output.rejected_topic=processed-user-login"));
    REFUSED("-X output.commit_ms: |below the producer's transaction.timeout.ms",
            X("output.commit_ms=10000"));
    REFUSED("-X output.commit_ms: |transaction.timeout.ms",
            X("output.commit_ms=2000", "producer.transaction.timeout.ms=2000"));
    REFUSED("-X consumer.session.timeout.ms: |too short",
            X("consumer.session.timeout.ms=1000", "redis.checkpoint_ms=500"));
    REFUSED("%f:2: consumer.session.timeout.ms |too short",
            .file = "[kafka]\nsession.timeout.ms = 900\n");
    REFUSED("-X redis.checkpoint_ms: redis.checkpoint_ms must be below",
            X("redis.checkpoint_ms=60000"));
    REFUSED("-X output.commit_ms: output.commit_ms must be below 10000",
            X("output.commit_ms=9000", "producer.transaction.timeout.ms=20000"));
    REFUSED("-X consumer.heartbeat.interval.ms: |it is 10000, and that 10000",
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
        {"unix:///redis.sock?db=3", "\nurl = unix:///redis.sock?db=3\n"},
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

static void print_shows_all_but_secrets_and_can_be_read_again(void **state) {
    (void)state;
    struct config *config =
        TAKEN(.file = "[kafka]\nsasl.password = hunter2\n[redis]\nurl = redis://u:hunter2@h\n",
              X("consumer.fetch.min.bytes=7", "instance.id=i", "producer.linger.ms=9"));
    char *text = printed(config);
    assert_null(strstr(text, "hunter2"));
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
        cmocka_unit_test(two_instances_get_different_ids),
        cmocka_unit_test(a_later_source_wins),
        cmocka_unit_test(each_key_is_read_into_its_place),
        cmocka_unit_test(an_unknown_key_names_its_place_and_the_nearest),
        cmocka_unit_test(an_unknown_section_names_its_place_and_the_nearest),
        cmocka_unit_test(a_malformed_source_is_refused),
        cmocka_unit_test(a_long_line_is_an_error_not_two_lines),
        cmocka_unit_test(a_value_out_of_range_says_the_range),
        cmocka_unit_test(a_value_of_the_wrong_form_is_refused),
        cmocka_unit_test(a_file_sets_nothing_twice),
        cmocka_unit_test(a_secret_can_be_in_a_file),
        cmocka_unit_test(a_secret_file_that_cannot_be_read_is_an_error),
        cmocka_unit_test(a_secret_is_given_once_plainly_or_in_a_file),
        cmocka_unit_test(an_error_never_shows_a_secret),
        cmocka_unit_test(kubernetes_service_variables_are_not_settings),
        cmocka_unit_test(a_file_of_a_million_lines_is_read_to_its_end),
        cmocka_unit_test(a_line_without_an_end_is_not_read_to_its_end),
        cmocka_unit_test(contradictions_name_the_place_of_a_setting),
        cmocka_unit_test(what_librdkafka_cannot_combine_is_refused),
        cmocka_unit_test(verbose_and_quiet_outweigh_the_level),
        cmocka_unit_test(a_url_is_shown_without_its_password),
        cmocka_unit_test(print_shows_all_but_secrets_and_can_be_read_again),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
