/* config_sources and what feeds it: which setting counts, and what its place is called. */
#include "app/config_sources.h"

#include "given.h"

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

static void an_unknown_key_names_its_place_and_the_nearest(void **state) {
    (void)state;
    REFUSED("%f:3: |unknown key redis.prefx|did you mean redis.prefix?",
            .file = "[redis]\n# comment\nprefx = a\n");
    REFUSED("environment variable ROLLCALL_REDIS_PREFX: |did you mean redis.prefix?",
            ENV("ROLLCALL_REDIS_PREFX=a"));
    REFUSED("-X redis.prefx: |did you mean redis.prefix?", X("redis.prefx=a"));
    REFUSED("%f:2: |kafka.bootstrap.server |did you mean bootstrap.servers?",
            .file = "[kafka]\nbootstrap.server = a:1\n");
    REFUSED("environment variable ROLLCALL_PRODUCER_LINGER: |producer.linger ",
            ENV("ROLLCALL_PRODUCER_LINGER=1"));
    REFUSED("-X output.threshold: |did you mean anomaly.threshold?", X("output.threshold=1"));
    REFUSED("-X http.zzzzzzzzz: unknown key http.zzzzzzzzz", X("http.zzzzzzzzz=1"));
    REFUSED("did you mean group.id?", X("consumer.groupid=1"));
}

static void an_unknown_section_names_its_place_and_the_nearest(void **state) {
    (void)state;
    REFUSED("%f:2: |unknown section [kafak]; did you mean [kafka]?",
            .file = "\n[kafak]\nbootstrap.servers = a:1\n");
    REFUSED("%f:1: |unknown section [kafak]", .file = "[kafak]\n");
    REFUSED("environment variable ROLLCALL_REDS_URL: |did you mean [redis]?",
            ENV("ROLLCALL_REDS_URL=a"));
    REFUSED("environment variable ROLLCALL_NONSENSE", ENV("ROLLCALL_NONSENSE=a"));
    REFUSED("-X reds.url: |did you mean [redis]?", X("reds.url=a"));
    REFUSED("%f:1: a key before any [section]", .file = "prefix = a\n");
}

static void sections_with_a_name_are_read_from_file_and_overrides(void **state) {
    (void)state;
    struct config *config =
        TAKEN(.file = "[dimension.b.c]\nfrom = /x/y ; a comment\ndefault = unknown\n"
                      "[aggregate]\ndimensions = a, b.c, d\n[dimension.d]\n",
              X("dimension.b.c.accept=scalar", "dimension.b.c.from=header:h",
                "dimension.a.default=-"));
    const struct login_dimension_settings *dimensions = config->login.dimensions;
    assert_int_equal(config->login.dimension_count, 3);
    assert_string_equal(dimensions[0].name, "b.c");
    assert_string_equal(dimensions[0].from, "header:h");
    assert_string_equal(dimensions[0].fallback, "unknown");
    assert_int_equal(dimensions[0].accept, LOGIN_ACCEPT_SCALAR);
    assert_string_equal(dimensions[1].name, "d");
    assert_string_equal(dimensions[1].from, "d");
    assert_string_equal(dimensions[1].fallback, "");
    assert_int_equal(dimensions[1].accept, LOGIN_ACCEPT_STRING);
    assert_string_equal(dimensions[2].name, "a");
    assert_string_equal(dimensions[2].fallback, "-");
    struct login_rules rules;
    login_rules_init(&rules, &config->login, &config->aggregate.dimensions);
    assert_string_equal(rules.dimensions[0].name, "a");
    assert_string_equal(rules.dimensions[2].name, "d");
    assert_string_equal(rules.dimensions[0].fallback, "-");
    assert_string_equal(rules.dimensions[1].from, "header:h");
    assert_null(rules.dimensions[2].fallback);
    config_destroy(&config);
}

static void a_wrong_section_with_a_name_names_its_place_and_the_nearest(void **state) {
    (void)state;
    REFUSED("%f:2: |unknown key dimension.locale.form|did you mean dimension.locale.from?",
            .file = "[dimension.locale]\nform = /x\n");
    REFUSED("-X dimension.locale.form: |did you mean dimension.locale.from?",
            X("dimension.locale.form=/x"));
    REFUSED("%f:1: |[dimension.locales]: locales is not in aggregate.dimensions|did you mean "
            "[dimension.locale]?",
            .file = "[dimension.locales]\n");
    REFUSED(
        "-X dimension.nothing.from: [dimension.nothing]: nothing is not in aggregate.dimensions",
        X("dimension.nothing.from=/x"));
    REFUSED("%f:1: |unknown section [dimensions.locale]; did you mean [dimension.locale]?",
            .file = "[dimensions.locale]\n");
    REFUSED("%f:1: |unknown section [dimension]; did you mean [dimension.NAME]?",
            .file = "[dimension]\n");
    REFUSED("%f:1: |unknown section [dimension.]; did you mean [dimension.NAME]?",
            .file = "[dimension.]\n");
    REFUSED("-X dimension.from: |unknown section [dimension]", X("dimension.from=/x"));
    REFUSED("environment variable ROLLCALL_DIMENSION_LOCALE_FROM: |set in the file or by -X",
            ENV("ROLLCALL_DIMENSION_LOCALE_FROM=/x"));
    REFUSED("%f:3: dimension.locale.from is set twice, first at ",
            .file = "[dimension.locale]\nfrom = /x\nfrom = /y\n");
    REFUSED("%f:2: dimension.locale.from: |\"/a~2\" has the wrong form",
            .file = "[dimension.locale]\nfrom = /a~2\n");
    REFUSED("%f:2: dimension.locale.from: |out of range", .file = "[dimension.locale]\nfrom =\n");
    REFUSED("dimension.locale.accept: |string, scalar", X("dimension.locale.accept=number"));
    REFUSED("dimension.locale.default: |wrong form", X("dimension.locale.default=\xff"));
    REFUSED("dimension.locale.default: |129 bytes are out of range",
            X("dimension.locale.default=0123456789012345678901234567890123456789012345678901234567"
              "89012345678901234567890123456789012345678901234567890123456789012345678"));
    REFUSED("more than 8 sections [dimension.NAME]",
            .file = "[dimension.a]\n[dimension.b]\n[dimension.c]\n[dimension.d]\n[dimension.e]\n"
                    "[dimension.f]\n[dimension.g]\n[dimension.h]\n[dimension.i]\n");
    REFUSED("input.key: |wrong form", X("input.key=header:h"));
    REFUSED("input.timestamp_format: |s, ms, us, ns, rfc3339, auto", X("input.timestamp_format=h"));
    REFUSED("input.framing: |none, confluent", X("input.framing=avro"));
}

static void a_malformed_source_is_refused(void **state) {
    (void)state;
    REFUSED("%f:2: neither [section], key = value nor a comment", .file = "[redis]\nprefix\n");
    REFUSED("%f:1: neither", .file = "[redis\nprefix = a\n");
    REFUSED("%f:2: neither", .file = "[redis]\nnonsense\nalso = unknown\n");
    REFUSED("%f:2: |unknown key redis.also", .file = "[redis]\nalso = unknown\nnonsense\n");
    REFUSED("-X redis: write -X section.key=value", X("redis=a"));
    REFUSED("write -X section.key=value", X("redis.prefix"));
    REFUSED("write -X section.key=value", X(".prefix=a"));
    REFUSED("write -X section.key=value", X("redis.=a"));
    REFUSED("/nonexistent/rollcall.ini: No such file", .path = "/nonexistent/rollcall.ini");
    REFUSED("cannot read /tmp", .path = "/tmp");
    write_bytes(file_path, "[redis]\npre\0fix = a\n", 20);
    REFUSED("%f holds a NUL byte", .path = file_path);
}

/* Both would be dropped without a word. */
static void what_stands_where_nothing_may_is_refused(void **state) {
    (void)state;
    REFUSED("%f:1: something follows [redis]: write it on a line of its own",
            .file = "[redis] url = redis://10.1.2.3:6399/0\n");
    REFUSED("%f:2: something follows [log]: write it on a line of its own",
            .file = "[http]#here\n[log]x\n");
    REFUSED("%f:1: a carriage return within the line: end lines with LF or CRLF",
            .file = "; all of it\r[redis]\rurl = redis://10.1.2.3:6399/0\r");
}

static void a_file_has_comments_blanks_and_either_separator(void **state) {
    (void)state;
    struct config *config =
        TAKEN(.file = "\xEF\xBB\xBF; a comment\r\n\t# another\r\n\n [redis] ; not this\r\n"
                      "\tprefix : {a;b} ; not this\r\n  timeout_ms=1000\t;nor this ; or that\n"
                      "[kafka]\nclient.id = a = b : c\n[http]\nlisten = ; nothing\n"
                      "[log]\nlevel = warn");
    assert_string_equal(config->redis.prefix, "{a;b}");
    assert_int_equal(config->redis.timeout_ms, 1000);
    assert_string_equal(kafka_conf_get(&config->kafka, "client.id"), "a = b : c");
    assert_string_equal(config->expose.listen, "");
    assert_int_equal(config->log.level, LOG_WARN); /* of a line without an end */
    config_destroy(&config);
    REFUSED("%f:2: unknown key redis.", .file = "[redis]\n = a\n");
    REFUSED("%f:1: ", .file = "[]\n");
    REFUSED("%f:3: |unknown key redis.\xEF\xBB\xBF", .file = "[redis]\n\n\xEF\xBB\xBFprefix = a\n");
}

static const char *password(const struct config *config) {
    return kafka_conf_get(&config->kafka, "sasl.password");
}

static void both_characters_begin_a_comment_after_a_blank_and_quotes_keep_them(void **state) {
    (void)state;
    static const char *const lines[][2] = {
        {"pa ;ss", "pa"},
        {"secret  # note", "secret"},
        {"pa#ss;word", "pa#ss;word"},
        {"a\t#b ; c", "a"},
        {"\"pa ;ss\"", "pa ;ss"},
        {"\"secret  # note\"  # a \"note\"", "secret  # note"},
        {"\" a \"\t; b", " a "},
        {"\"a\\\"b\\\\\\c\"", "a\"b\\\\c"},
        {"a\"b\"", "a\"b\""},
        {"'a' #", "'a'"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        for (int ending = 0; ending < 2; ending++) {
            char file[160];
            snprintf(file, sizeof file, "\xEF\xBB\xBF[kafka]%s\nsasl.password = %s%s\n",
                     ending == 0 ? "" : "\r", lines[i][0], ending == 0 ? "" : "\r");
            struct config *config = TAKEN(.file = file);
            assert_string_equal(password(config), lines[i][1]);
            config_destroy(&config);
        }
    }
    static const char *const wrong[] = {"\"", "\"a", "\"a\\\"", "\"a\"b", "\"a\"#b", "\"a\" b"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char file[160];
        snprintf(file, sizeof file, "[kafka]\nsasl.password = %s\n", wrong[i]);
        REFUSED("%f:2: kafka.sasl.password begins with a double quote", .file = file);
    }
    struct config *config = TAKEN(X("kafka.sasl.password=\"a #b ;c"));
    assert_string_equal(password(config), "\"a #b ;c");
    config_destroy(&config);
}

static void what_surrounds_a_value_is_cut_in_every_source(void **state) {
    (void)state;
    static const char *const values[] = {
        "s3cret",   "s3cret\n",           "s3cret\r\n",
        "s3cret\r", "\xEF\xBB\xBFs3cret", "\xEF\xBB\xBFs3cret\r\n\n"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char env[96], override[96], path[96];
        snprintf(env, sizeof env, "ROLLCALL_KAFKA_SASL_PASSWORD=%s", values[i]);
        snprintf(override, sizeof override, "kafka.sasl.password=%s", values[i]);
        snprintf(path, sizeof path, "ROLLCALL_KAFKA_SASL_PASSWORD_FILE=%s\n", secret_path);
        write_bytes(secret_path, values[i], strlen(values[i]));
        const struct given given[] = {{ENV(env)}, {X(override)}, {ENV(path)}};
        for (size_t j = 0; j < sizeof given / sizeof *given; j++) {
            struct config *config = taken(given[j]);
            assert_string_equal(password(config), "s3cret");
            config_destroy(&config);
        }
    }
    REFUSED("ROLLCALL_KAFKA_SASL_PASSWORD: kafka.sasl.password: a line break within",
            ENV("ROLLCALL_KAFKA_SASL_PASSWORD=a\nb\n"));
    REFUSED("-X redis.url: redis.url: a line break within", X("redis.url=redis://:a\rb@h"));
    write_bytes(secret_path, "\xEF\xBB\xBF\r\n", 5);
    const char *setting = "kafka.sasl.password_file=";
    char empty[96];
    snprintf(empty, sizeof empty, "%s%s", setting, secret_path);
    REFUSED("is empty", X(empty));
    write_bytes(secret_path, "\xFF\xFEs\0", 4);
    REFUSED("UTF-16", X(empty));
    struct config *config = TAKEN(ENV("ROLLCALL_REDIS_TIMEOUT_MS=1000\n"));
    assert_int_equal(config->redis.timeout_ms, 1000);
    config_destroy(&config);
}

static void a_line_may_be_long(void **state) {
    (void)state;
    static char file[70000];
    snprintf(file, sizeof file, "[kafka]\nclient.id = %030000d\n", 1);
    struct config *config = TAKEN(.file = file);
    assert_int_equal(strlen(kafka_conf_get(&config->kafka, "client.id")), 30000);
    config_destroy(&config);
    snprintf(file, sizeof file, "[kafka]\nclient.id = %066000d\n", 1);
    REFUSED("%f:2: kafka.client.id is longer than", .file = file);
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
    assert_string_equal(kafka_conf_file(&config->kafka, &config->consumer, "sasl.password"),
                        secret_path);
    config_destroy(&config);
    config = TAKEN(ENV(with_secret("ROLLCALL_KAFKA_SASL_PASSWORD_FILE=", "s3cret", 6)),
                   X("kafka.sasl.password=other"));
    assert_null(kafka_conf_file(&config->kafka, &config->consumer, "sasl.password"));
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
    REFUSED("kafka.sasl.password_file: |is longer than",
            X(with_secret(password_file, large, sizeof large)));
    REFUSED("unknown key redis.prefix_file", X("redis.prefix_file=/x"));
    REFUSED("sasl.username_file is not a librdkafka property", X("kafka.sasl.username_file=/x"));
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
    assert_string_equal(config->redis.url_file, secret_path);
    config_destroy(&config);
    config = TAKEN(.file = with_secret("[redis]\nurl_file = ", "redis://h", 9),
                   X("redis.url=redis://g"));
    assert_null(config->redis.url_file);
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
    REFUSED("%f:1000001: unknown key redis.prefx", .file = file);
    free(file);
}

static void a_file_without_an_end_is_not_read_to_its_end(void **state) {
    (void)state;
    REFUSED("/dev/zero is longer than", .path = "/dev/zero");
    REFUSED("redis.url_file: |cannot read /tmp", X("redis.url_file=/tmp"));
    REFUSED("redis.url_file: |is longer than", X("redis.url_file=/dev/zero"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_later_source_wins),
        cmocka_unit_test(an_unknown_key_names_its_place_and_the_nearest),
        cmocka_unit_test(an_unknown_section_names_its_place_and_the_nearest),
        cmocka_unit_test(sections_with_a_name_are_read_from_file_and_overrides),
        cmocka_unit_test(a_wrong_section_with_a_name_names_its_place_and_the_nearest),
        cmocka_unit_test(a_malformed_source_is_refused),
        cmocka_unit_test(what_stands_where_nothing_may_is_refused),
        cmocka_unit_test(a_file_has_comments_blanks_and_either_separator),
        cmocka_unit_test(both_characters_begin_a_comment_after_a_blank_and_quotes_keep_them),
        cmocka_unit_test(what_surrounds_a_value_is_cut_in_every_source),
        cmocka_unit_test(a_line_may_be_long),
        cmocka_unit_test(a_file_sets_nothing_twice),
        cmocka_unit_test(a_secret_can_be_in_a_file),
        cmocka_unit_test(a_secret_file_that_cannot_be_read_is_an_error),
        cmocka_unit_test(a_secret_is_given_once_plainly_or_in_a_file),
        cmocka_unit_test(an_error_never_shows_a_secret),
        cmocka_unit_test(kubernetes_service_variables_are_not_settings),
        cmocka_unit_test(a_file_of_a_million_lines_is_read_to_its_end),
        cmocka_unit_test(a_file_without_an_end_is_not_read_to_its_end),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
