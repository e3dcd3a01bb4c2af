/* kafka_conf and kafka_names, against the librdkafka that is linked; it may say that it is another
 * version. */
#include "edge/kafka_conf.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>

#include "base/error.h"
#include "base/nearest.h"
#include "edge/kafka_private.h"

static void assert_refused(enum kafka_role section, const char *name, const char *value,
                           const char *expected) {
    struct error error = {""};
    if (kafka_conf_check(section, name, value, &error)) fail_msg("%s=%s passes", name, value);
    if (strstr(error.text, expected) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error.text, expected);
    }
}

static void assert_taken(enum kafka_role section, const char *name, const char *value) {
    struct error error = {""};
    if (!kafka_conf_check(section, name, value, &error)) fail_msg("%s", error.text);
}

static int other_version; /* 0: its own */

int rd_kafka_version(void) {
    int (*real)(void);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_version");
    return other_version != 0 ? other_version : real();
}

static void the_consumer_protocol_needs_librdkafka_2_12(void **state) {
    (void)state;
    other_version = 0x020b01ff;
    assert_refused(KAFKA_CONSUMER, "group.protocol", "consumer", "needs librdkafka 2.12");
    other_version = 0x020c00ff;
    assert_taken(KAFKA_CONSUMER, "group.protocol", "consumer");
    other_version = 0;
}

static void properties_carry_librdkafkas_roles_and_aliases(void **state) {
    (void)state;
    assert_int_equal(kafka_names_find("bootstrap.servers")->role, KAFKA_BOTH);
    assert_int_equal(kafka_names_find("fetch.wait.max.ms")->role, KAFKA_CONSUMER);
    assert_int_equal(kafka_names_find("batch.size")->role, KAFKA_PRODUCER);
    assert_string_equal(kafka_names_find("linger.ms")->canonical, "queue.buffering.max.ms");
    assert_string_equal(kafka_names_find("acks")->canonical, "request.required.acks");
    assert_string_equal(kafka_names_find("enable.auto.commit")->canonical, "enable.auto.commit");
    assert_true(kafka_names_find("dr_msg_cb")->is_callback);
    assert_null(kafka_names_find("Property"));
    assert_null(kafka_names_find(""));
    assert_true(kafka_names_is_same("acks", "request.required.acks"));
    assert_false(kafka_names_is_same("acks", "linger.ms"));
}

static void an_environment_name_finds_its_property(void **state) {
    (void)state;
    assert_string_equal(kafka_names_find_env("BOOTSTRAP_SERVERS")->name, "bootstrap.servers");
    assert_string_equal(kafka_names_find_env("SSL_KEY_PASSWORD")->name, "ssl.key.password");
    assert_null(kafka_names_find_env("BOOTSTRAP_SERVER"));
    assert_null(kafka_names_find_env(""));
}

static void every_credential_is_a_secret(void **state) {
    (void)state;
    static const char *const secrets[] = {
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.extensions",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
    };
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        assert_true(kafka_names_is_secret(secrets[i]));
    }
    assert_false(kafka_names_is_secret("sasl.username"));
    assert_false(kafka_names_is_secret("ssl.key.location"));
    assert_false(kafka_names_is_secret("ssl.ca.pem"));
}

static void an_unknown_property_names_the_nearest(void **state) {
    (void)state;
    assert_refused(KAFKA_BOTH, "bootstrap.server", "x", "did you mean bootstrap.servers?");
    assert_refused(KAFKA_PRODUCER, "linger_ms", "5", "did you mean linger.ms?");
    assert_refused(KAFKA_BOTH, "builtin.feature", "x", "did you mean builtin.features?");
    assert_refused(KAFKA_PRODUCER, "client.idd", "x", "did you mean client.id?");
    assert_refused(KAFKA_BOTH, "completely.made.up.name", "x", "is not a librdkafka property");
    struct error error = {""};
    assert_false(kafka_conf_check(KAFKA_BOTH, "completely.made.up.name", "x", &error));
    assert_null(strstr(error.text, "did you mean"));
    assert_false(kafka_conf_check(KAFKA_CONSUMER, "linger_ms", "5", &error)); /* not its own */
    assert_null(strstr(error.text, "did you mean linger.ms?"));
}

static void a_wrong_value_is_refused_in_librdkafkas_words(void **state) {
    (void)state;
    assert_refused(KAFKA_PRODUCER, "compression.codec", "brotli", "Invalid value \"brotli\"");
    assert_refused(KAFKA_BOTH, "socket.timeout.ms", "5", "outside allowed range 10..300000");
    assert_refused(KAFKA_BOTH, "ssl.truststore.location", "x", "Java");
}

static void a_property_of_the_other_client_is_refused(void **state) {
    (void)state;
    assert_refused(KAFKA_CONSUMER, "batch.size", "1000", "belongs in [producer]");
    assert_refused(KAFKA_PRODUCER, "fetch.min.bytes", "1", "belongs in [consumer]");
    assert_taken(KAFKA_BOTH, "fetch.min.bytes", "1");
    assert_refused(KAFKA_CONSUMER, "bootstrap.servers", "x:1", "belongs in [kafka]");
    assert_refused(KAFKA_PRODUCER, "metadata.broker.list", "x:1", "belongs in [kafka]");
    assert_refused(KAFKA_PRODUCER, "dr_cb", "x", "for programs");
    assert_refused(KAFKA_BOTH, "bootstrap.servers", "h:1,u:p@h:2", "hosts and ports alone");
    assert_refused(KAFKA_BOTH, "sasl.oauthbearer.token.endpoint.url", "https://u:a b@x", "%20");
}

static void what_rollcall_owns_is_refused_with_a_reason(void **state) {
    (void)state;
    static const struct {
        enum kafka_role section;
        const char *name, *refused, *taken, *reason;
    } cases[] = {
        {KAFKA_CONSUMER, "enable.auto.commit", "true", "false", "transactions"},
        {KAFKA_CONSUMER, "enable.auto.offset.store", "true", "false", "processed"},
        {KAFKA_CONSUMER, "auto.offset.reset", "earliest", "error", "input.start"},
        {KAFKA_CONSUMER, "enable.partition.eof", "false", "true", "markers"},
        {KAFKA_CONSUMER, "check.crcs", "true", "false", "skips what"},
        {KAFKA_CONSUMER, "isolation.level", "read_uncommitted", "read_committed", "aborted"},
        {KAFKA_CONSUMER, "partition.assignment.strategy", "range", "cooperative-sticky", "one by"},
        {KAFKA_CONSUMER, "group.instance.id", "a", NULL, "instance.id"},
        {KAFKA_BOTH, "group.id", "a", NULL, "[consumer]"},
        {KAFKA_PRODUCER, "transactional.id", "a", NULL, "instance.id"},
        {KAFKA_PRODUCER, "enable.idempotence", "false", "true", "duplicated"},
        {KAFKA_PRODUCER, "acks", "1", "all", "lost"},
        {KAFKA_PRODUCER, "request.required.acks", "0", "-1", "lost"},
        {KAFKA_BOTH, "acks", "1", "all", "lost"},
        {KAFKA_PRODUCER, "partitioner", "random", "murmur2_random", "key"},
        {KAFKA_PRODUCER, "max.in.flight", "6", "5", "idempotent"},
        {KAFKA_PRODUCER, "max.in.flight.requests.per.connection", "6", "1", "idempotent"},
        {KAFKA_PRODUCER, "retries", "0", "1", "idempotent"},
        {KAFKA_CONSUMER, "fetch.wait.max.ms", "10001", "10000", "stand still"},
        {KAFKA_BOTH, "log_level", "7", NULL, "log.level"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(cases[i].section, cases[i].name, cases[i].refused, cases[i].reason);
        if (cases[i].taken != NULL) {
            assert_taken(cases[i].section, cases[i].name, cases[i].taken);
        }
    }
}

static void memory_and_fetch_sizes_are_the_users(void **state) {
    (void)state;
    assert_taken(KAFKA_CONSUMER, "queued.max.messages.kbytes", "1024");
    assert_taken(KAFKA_CONSUMER, "fetch.message.max.bytes", "262144");
    assert_taken(KAFKA_PRODUCER, "queue.buffering.max.kbytes", "1024");
    assert_taken(KAFKA_PRODUCER, "transaction.timeout.ms", "20000");
}

static void a_put_replaces_under_any_alias(void **state) {
    (void)state;
    struct properties properties = {0};
    kafka_conf_put(&properties, "linger.ms", "5");
    kafka_conf_put(&properties, "client.id", "a");
    kafka_conf_put(&properties, "queue.buffering.max.ms", "7");
    assert_int_equal(properties.count, 2);
    assert_string_equal(kafka_conf_get(&properties, "linger.ms"), "7");
    assert_string_equal(kafka_conf_get(&properties, "client.id"), "a");
    assert_null(kafka_conf_get(&properties, "batch.size"));
    kafka_conf_release(&properties);
    assert_int_equal(properties.count, 0);
}

static void a_clients_own_section_wins_and_foreign_properties_stay_out(void **state) {
    (void)state;
    struct properties kafka = {0};
    struct properties own = {0};
    kafka_conf_put(&kafka, "bootstrap.servers", "k:9092");
    kafka_conf_put(&kafka, "socket.timeout.ms", "1000");
    kafka_conf_put(&kafka, "session.timeout.ms", "9000");
    kafka_conf_put(&own, "socket.timeout.ms", "2000");
    kafka_conf_put(&own, "linger.ms", "3");
    struct error error = {""};
    rd_kafka_conf_t *conf = kafka_conf_build(&kafka, &own, KAFKA_PRODUCER, &error);
    assert_non_null(conf);
    char text[64];
    size_t count = sizeof text;
    assert_int_equal(rd_kafka_conf_get(conf, "bootstrap.servers", text, &count), RD_KAFKA_CONF_OK);
    assert_string_equal(text, "k:9092");
    count = sizeof text;
    rd_kafka_conf_get(conf, "socket.timeout.ms", text, &count);
    assert_string_equal(text, "2000");
    count = sizeof text;
    rd_kafka_conf_get(conf, "session.timeout.ms", text, &count);
    assert_string_not_equal(text, "9000");
    rd_kafka_conf_destroy(conf);
    assert_int_equal(kafka_conf_number(&kafka, &own, KAFKA_PRODUCER, "linger.ms"), 3);
    assert_int_equal(kafka_conf_number(&kafka, &own, KAFKA_PRODUCER, "message.timeout.ms"), -1);
    assert_int_equal(kafka_conf_number(&kafka, &own, KAFKA_PRODUCER, "bootstrap.servers"), -1);
    kafka_conf_release(&own);
    assert_int_equal(kafka_conf_number(&kafka, &own, KAFKA_CONSUMER, "session.timeout.ms"), 9000);
    kafka_conf_release(&kafka);
    assert_int_equal(kafka_conf_number(&kafka, &own, KAFKA_CONSUMER, "session.timeout.ms"), 45000);
}

static void a_bad_property_fails_the_build_with_its_name(void **state) {
    (void)state;
    struct properties kafka = {0};
    struct properties own = {0};
    kafka_conf_put(&own, "linger.ms", "soon");
    struct error error = {""};
    assert_null(kafka_conf_build(&kafka, &own, KAFKA_PRODUCER, &error));
    assert_non_null(strstr(error.text, "linger.ms"));
    kafka_conf_release(&own);
}

static char key_path[] = "/tmp/test_conf_XXXXXX";

static void write_key(const char *text) {
    FILE *file = fopen(key_path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void certificates_are_others_once_a_file_or_its_name_is(void **state) {
    (void)state;
    struct properties kafka = {0}, own = {0}, fresh = {0};
    const int file = mkstemp(key_path);
    assert_true(file >= 0);
    close(file);
    kafka_conf_put(&kafka, "bootstrap.servers", "k:9092");
    kafka_conf_put(&kafka, "sasl.password", "old");
    const uint64_t none = kafka_conf_certificates(&kafka, &own);
    kafka_conf_put(&kafka, "ssl.key.location", key_path);
    kafka_conf_put(&kafka, "ssl.key.password", "old");
    write_key("key");
    const uint64_t first = kafka_conf_certificates(&kafka, &own);
    assert_true(first != none);
    write_key("other key");
    const uint64_t second = kafka_conf_certificates(&kafka, &own);
    assert_true(second != first);
    write_key("key");
    assert_true(kafka_conf_certificates(&kafka, &own) == first);
    kafka_conf_put(&fresh, "sasl.password", "new");
    kafka_conf_put(&fresh, "ssl.key.location", key_path);
    kafka_conf_put(&fresh, "ssl.key.password", "old");
    kafka_conf_renew(&kafka, &fresh);
    assert_true(kafka_conf_certificates(&kafka, &own) == first); /* SASL's is none of them */
    kafka_conf_put(&fresh, "ssl.key.password", "new");
    kafka_conf_renew(&kafka, &fresh);
    assert_true(kafka_conf_certificates(&kafka, &own) != first);
    kafka_conf_put(&own, "ssl.key.password", "own"); /* wins */
    const uint64_t owned = kafka_conf_certificates(&kafka, &own);
    kafka_conf_renew(&kafka, &fresh);
    assert_true(kafka_conf_certificates(&kafka, &own) == owned);
    kafka_conf_release(&own);
    unlink(key_path);
    kafka_conf_release(&kafka);
    kafka_conf_release(&fresh);
}

static void a_client_is_built_with_what_was_reloaded_last(void **state) {
    (void)state;
    struct properties kafka = {0}, own = {0}, fresh = {0};
    struct error error = {""};
    kafka_conf_put(&kafka, "sasl.password", "old");
    kafka_conf_put(&kafka, "client.id", "one");
    kafka_conf_put(&fresh, "sasl.password", "new");
    kafka_conf_put(&fresh, "client.id", "two");
    kafka_conf_renew(&kafka, &fresh);
    rd_kafka_conf_t *conf = kafka_conf_build(&kafka, &own, KAFKA_CONSUMER, &error);
    char text[64];
    size_t count = sizeof text;
    rd_kafka_conf_get(conf, "sasl.password", text, &count);
    assert_string_equal(text, "new");
    count = sizeof text;
    rd_kafka_conf_get(conf, "client.id", text, &count);
    assert_string_equal(text, "one");
    rd_kafka_conf_destroy(conf);
    kafka_conf_release(&kafka);
    kafka_conf_release(&fresh);
}

static bool try_oauth(const char *name, const char *value, struct error *error) {
    struct properties kafka = {0}, own = {0};
    kafka_conf_put(&kafka, "security.protocol", "SASL_PLAINTEXT");
    kafka_conf_put(&kafka, "sasl.mechanisms", "OAUTHBEARER");
    if (name != NULL) kafka_conf_put(&kafka, name, value);
    const bool is_good = kafka_conf_try(&kafka, &own, KAFKA_CONSUMER, false, error);
    kafka_conf_release(&kafka);
    return is_good;
}

static void a_token_that_nobody_can_bring_is_rejected(void **state) {
    (void)state;
    struct error error = {""};
    assert_false(try_oauth(NULL, NULL, &error));
    if (strstr(error.text, "sasl.oauthbearer.method=oidc") == NULL) fail_msg("%s", error.text);
    assert_true(try_oauth("security.protocol", "plaintext", &error));
}

static void a_token_that_cannot_be_made_is_rejected(void **state) {
    (void)state;
    struct properties kafka = {0}, own = {0};
    struct error error = {""};
    assert_false(try_oauth("enable.sasl.oauthbearer.unsecure.jwt", "true", &error));
    if (strstr(error.text, "write principal=NAME") == NULL) fail_msg("%s", error.text);
    kafka_conf_put(&kafka, "security.protocol", "SASL_PLAINTEXT");
    kafka_conf_put(&kafka, "sasl.mechanisms", "OAUTHBEARER");
    kafka_conf_put(&kafka, "enable.sasl.oauthbearer.unsecure.jwt", "true");
    for (int role = KAFKA_CONSUMER; role <= KAFKA_PRODUCER; role++) {
        kafka_conf_put(&kafka, "sasl.oauthbearer.config", "hidden=secret");
        assert_false(kafka_conf_try(&kafka, &own, (enum kafka_role)role, false, &error));
        assert_null(strstr(error.text, "hidden"));
        kafka_conf_put(&kafka, "sasl.oauthbearer.config", "principal=u scope=s");
        if (!kafka_conf_try(&kafka, &own, (enum kafka_role)role, false, &error))
            fail_msg("%s", error.text);
    }
    kafka_conf_release(&kafka);
}

/* Names and values, up to NULL. */
static struct properties of(const char *const *pairs) {
    struct properties properties = {0};
    for (; *pairs != NULL; pairs += 2)
        kafka_conf_put(&properties, pairs[0], pairs[1]);
    return properties;
}

#define OF(...) of((const char *const[]){__VA_ARGS__, NULL})

static void a_login_without_a_protocol_is_rejected(void **state) {
    (void)state;
    struct error error = {""};
    struct properties none = {0};
    struct properties wrong[] = {OF("sasl.username", "u", "sasl.password", "hidden"),
                                 OF("sasl.mechanisms", "PLAIN"),
                                 OF("sasl.mechanism", "OAUTHBEARER")};
    struct properties right[] = {
        OF("sasl.username", "u", "sasl.password", "p", "security.protocol", "plaintext"),
        OF("sasl.mechanism", "PLAIN", "security.protocol", "plaintext"), OF("sasl.password", "p"),
        OF("client.id", "i")};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(kafka_conf_try(&wrong[i], &none, KAFKA_CONSUMER, false, &error));
        if (strstr(error.text, "set security.protocol to SASL_SSL or") == NULL)
            fail_msg("%s", error.text);
        assert_non_null(strstr(error.text, wrong[i].items[0].name));
        assert_null(strstr(error.text, "hidden"));
        kafka_conf_release(&wrong[i]);
    }
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        if (!kafka_conf_try(&right[i], &none, KAFKA_CONSUMER, false, &error))
            fail_msg("%s", error.text);
        kafka_conf_release(&right[i]);
    }
}

static void a_property_without_effect_is_named(void **state) {
    (void)state;
    struct error what = {""};
    struct properties none = {0};
    struct properties idle[] = {OF("client.id", "i", "ssl.ca.location", "/f"),
                                OF("ssl.key.location", "/f", "security.protocol", "SASL_PLAINTEXT"),
                                OF("sasl.password", "p", "security.protocol", "ssl")};
    struct properties used[] = {
        OF("client.id", "i"), OF("ssl.ca.location", "/f", "security.protocol", "ssl"),
        OF("ssl.ca.location", "/f", "security.protocol", "SASL_SSL", "sasl.username", "u"),
        OF("sasl.username", "u", "security.protocol", "sasl_plaintext")};
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) {
        assert_true(kafka_conf_is_idle(&idle[i], &none, &what));
        assert_non_null(strstr(what.text, idle[i].items[i == 0].name));
        assert_true(kafka_conf_is_idle(&none, &idle[i], &what));
        kafka_conf_release(&idle[i]);
    }
    for (size_t i = 0; i < sizeof used / sizeof *used; i++) {
        if (kafka_conf_is_idle(&used[i], &none, &what)) fail_msg("%s", what.text);
        kafka_conf_release(&used[i]);
    }
}

static void assert_trial(const char *name, const char *value, enum kafka_role role,
                         const char *expected) {
    struct properties kafka = {0};
    struct properties own = {0};
    struct error error = {""};
    kafka_conf_put(&kafka, "bootstrap.servers", "nobody.invalid:9092");
    if (name != NULL) kafka_conf_put(&own, name, value);
    kafka_conf_put(&kafka, "session.timeout.ms", "45000");
    kafka_conf_put(&kafka, "transaction.timeout.ms", "10000");
    const bool is_good = kafka_conf_try(&kafka, &own, role, true, &error);
    assert_int_equal(is_good, expected == NULL);
    if (expected != NULL && strstr(error.text, expected) == NULL) fail_msg("%s", error.text);
    kafka_conf_release(&own);
    kafka_conf_release(&kafka);
}

static void a_trial_finds_contradictions_and_missing_files(void **state) {
    (void)state;
    assert_trial(NULL, NULL, KAFKA_CONSUMER, NULL);
    assert_trial(NULL, NULL, KAFKA_PRODUCER, NULL);
    assert_trial("max.poll.interval.ms", "1000", KAFKA_CONSUMER, "session.timeout.ms");
    assert_trial("message.timeout.ms", "20000", KAFKA_PRODUCER, "transaction.timeout.ms");
    assert_trial("security.protocol", "sasl_plaintext", KAFKA_PRODUCER, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_that_nobody_can_bring_is_rejected),
        cmocka_unit_test(a_token_that_cannot_be_made_is_rejected),
        cmocka_unit_test(a_login_without_a_protocol_is_rejected),
        cmocka_unit_test(a_property_without_effect_is_named),
        cmocka_unit_test(the_consumer_protocol_needs_librdkafka_2_12),
        cmocka_unit_test(properties_carry_librdkafkas_roles_and_aliases),
        cmocka_unit_test(an_environment_name_finds_its_property),
        cmocka_unit_test(every_credential_is_a_secret),
        cmocka_unit_test(an_unknown_property_names_the_nearest),
        cmocka_unit_test(a_wrong_value_is_refused_in_librdkafkas_words),
        cmocka_unit_test(a_property_of_the_other_client_is_refused),
        cmocka_unit_test(what_rollcall_owns_is_refused_with_a_reason),
        cmocka_unit_test(memory_and_fetch_sizes_are_the_users),
        cmocka_unit_test(a_put_replaces_under_any_alias),
        cmocka_unit_test(a_clients_own_section_wins_and_foreign_properties_stay_out),
        cmocka_unit_test(a_trial_finds_contradictions_and_missing_files),
        cmocka_unit_test(a_bad_property_fails_the_build_with_its_name),
        cmocka_unit_test(certificates_are_others_once_a_file_or_its_name_is),
        cmocka_unit_test(a_client_is_built_with_what_was_reloaded_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
