/* kafka_access: what librdkafka's lines and OpenSSL's codes mean. */
#include "edge/kafka_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* As librdkafka 2.8.0 to 2.15.1 write them. */
static const struct {
    const char *line, *fix; /* NULL: it is of another kind */
} lines[] = {
    {"sasl_plaintext://h:1/bootstrap: SASL authentication error: Authentication failed: Invalid "
     "username or password (after 5ms in state AUTH_REQ)",
     "set sasl.username and sasl.password"},
    {"sasl_plaintext://h:1/bootstrap: SASL authentication error: Authentication failed during "
     "authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512",
     "set sasl.username and sasl.password"},
    {"SASL authentication error: {\"status\":\"invalid_token\"}", "correct sasl.oauthbearer.*"},
    {"SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's "
     "supported mechanisms: SCRAM-SHA-512",
     "set sasl.mechanisms"},
    {"sasl_plaintext://h:1/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Unsupported "
     "SASL mechanism: broker's supported mechanisms:  (after 1ms in state AUTH_HANDSHAKE)",
     "the listener has no SASL"},
    {"SASL PLAIN mechanism handshake failed: broker's supported mechanisms: ",
     "set security.protocol to PLAINTEXT or SSL"},
    {"Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate required: SSL alert "
     "number 116",
     "set ssl.certificate.location"},
    {"Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate",
     "set ssl.certificate.location"},
    {"SSL handshake failed: error:0A00010B:SSL routines::wrong version number",
     "set security.protocol to PLAINTEXT"},
    {"Disconnected: SSL connection closed by peer (after 0ms in state SSL_HANDSHAKE)",
     "set security.protocol to PLAINTEXT"},
    {"Disconnected: requesting ApiVersion: might be caused by incorrect security.protocol "
     "configuration (connecting to a SSL listener?)",
     "set security.protocol to SSL"},
    {"SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker "
     "certificate could not be verified (after 3ms in state SSL_HANDSHAKE)",
     NULL},
    {"Connect to ipv4#127.0.0.1:9092 failed: Connection refused", NULL},
    {"Disconnected (after 30ms in state UP)", NULL},
};

static void lines_about_a_log_in_get_their_fix(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct error why = {""};
        assert_int_equal(kafka_access_explain(lines[i].line, &why), lines[i].fix != NULL);
        if (lines[i].fix == NULL) continue;
        if (strstr(why.text, lines[i].fix) == NULL) fail_msg("%s", why.text);
        assert_non_null(strstr(why.text, lines[i].line));
    }
}

#define TOKEN "[thrd:background]: Failed to acquire SASL OAUTHBEARER token: "

static const struct {
    const char *line, *fix; /* NULL: it is of another kind */
} tokens[] = {
    {TOKEN "Failed to connect to 127.0.0.1 port 9 after 0 ms: Couldn't connect to server",
     "can be reached from here"},
    {TOKEN "Could not resolve host: nobody.invalid", "can be reached from here"},
    {TOKEN "Operation timed out after 20003 milliseconds with 0 bytes received",
     "can be reached from here"},
    {TOKEN "SSL certificate problem: self-signed certificate", "set https.ca.location"},
    {TOKEN "{\"error\":\"invalid_client\"}", "set sasl.oauthbearer.client.id"},
    {TOKEN "Expected JSON response with \"access_token\" field", "sasl.oauthbearer.scope"},
    {"1/1 brokers are down", NULL},
};

static void a_token_that_is_not_given_gets_its_fix(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        struct error why = {""};
        assert_int_equal(kafka_access_explain_token("https://t/x", tokens[i].line, &why),
                         tokens[i].fix != NULL);
        if (tokens[i].fix == NULL) continue;
        if (strstr(why.text, tokens[i].fix) == NULL) fail_msg("%s", why.text);
        assert_non_null(strstr(why.text, "from https://t/x ("));
        assert_non_null(strstr(why.text, tokens[i].line + strlen(TOKEN)));
    }
}

static void init_of_tokens(struct kafka_access *access, rd_kafka_conf_t *conf) {
    rd_kafka_conf_set(conf, "security.protocol", "sasl_ssl", NULL, 0);
    rd_kafka_conf_set(conf, "sasl.mechanism", "OAUTHBEARER", NULL, 0);
    rd_kafka_conf_set(conf, "sasl.oauthbearer.method", "oidc", NULL, 0);
    rd_kafka_conf_set(conf, "sasl.oauthbearer.token.endpoint.url", "https://t/x", NULL, 0);
    kafka_access_init(access, NULL, conf);
}

static void a_client_without_its_first_token_is_denied(void **state) {
    (void)state;
    struct error why = {""};
    struct kafka_access access;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    init_of_tokens(&access, conf);
    kafka_access_show_silence(&access, RD_KAFKA_RESP_ERR__TRANSPORT, &why);
    assert_string_equal(why.text, "no OAUTHBEARER token from https://t/x yet");
    kafka_access_note(&access, "ERROR", tokens[0].line);
    assert_true(kafka_access_is_denied(&access, &why));
    assert_non_null(strstr(why.text, "https://t/x"));
    kafka_access_fini(&access);
    rd_kafka_conf_destroy(conf);
}

/* The token before it may be valid, and connections last longer than tokens. */
static void a_client_that_is_let_in_is_not_denied_for_its_next_token(void **state) {
    (void)state;
    struct error why = {""};
    struct kafka_access access;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    init_of_tokens(&access, conf);
    atomic_store(&access.is_let_in, true);
    kafka_access_note(&access, "ERROR", tokens[0].line);
    assert_false(kafka_access_is_denied(&access, &why));
    kafka_access_note(&access, "FAIL", "SASL authentication error: {\"status\":\"invalid_token\"}");
    kafka_access_note(&access, "ERROR", tokens[0].line);
    assert_true(kafka_access_is_denied(&access, &why));
    assert_non_null(strstr(why.text, "no OAUTHBEARER token"));
    kafka_access_fini(&access);
    rd_kafka_conf_destroy(conf);
}

static const struct {
    int code;
    const char *words;
} certificates[] = {
    {9, "is not valid yet"},   {10, "has expired"},       {18, "ssl.ca.location"},
    {19, "ssl.ca.location"},   {20, "ssl.ca.location"},   {21, "ssl.ca.location"},
    {62, "another host name"}, {64, "another host name"}, {23, "OpenSSL's error 23"},
};

static void a_certificate_is_named_with_what_is_wrong(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof certificates / sizeof *certificates; i++) {
        struct error why = {""};
        kafka_access_explain_certificate("h:1", certificates[i].code, &why);
        if (strstr(why.text, certificates[i].words) == NULL) fail_msg("%s", why.text);
        assert_non_null(strstr(why.text, "broker h:1"));
    }
}

static void what_was_noted_is_shown_and_cleared(void **state) {
    (void)state;
    struct error why = {""};
    struct trouble shown;
    struct kafka_access access;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    trouble_init(&shown);
    kafka_access_init(&access, &shown, conf);
    kafka_access_note(&access, "FAIL", "h:1/1: Connect to ipv4#127.0.0.1:1 failed: refused");
    kafka_access_note(&access, "INIT", lines[0].line);
    assert_false(kafka_access_is_denied(&access, &why));
    kafka_access_note(&access, "FAIL", lines[0].line);
    assert_true(kafka_access_is_denied(&access, &why));
    assert_non_null(strstr(why.text, "authentication failed"));
    trouble_clear(&shown);
    assert_false(kafka_access_is_denied(&access, &why));
    kafka_access_fini(&access);
    trouble_fini(&shown);
    rd_kafka_conf_destroy(conf);
}

/* As librdkafka writes them, with the name of the thread. */
static const struct {
    const char *line, *shown;
    bool is_cut_off;
} connections[] = {
    {"[thrd:h:1/bootstrap]: h:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused "
     "(after 0ms in state CONNECT, 1 identical error(s) suppressed)",
     "h:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused", false},
    {"[thrd:sasl_ssl://h:1/bootstrap]: sasl_ssl://h:1/bootstrap: Failed to resolve 'h:1': Name or "
     "service not known (after 9ms in state CONNECT)",
     "h:1: Failed to resolve 'h:1': Name or service not known", false},
    {"[thrd:h:1/bootstrap]: h:1/bootstrap: ApiVersionRequest failed: Local: Timed out: probably "
     "due to broker version < 0.10 (see api.version.request) (after 9ms in state APIVERSION_QUERY)",
     "h:1: ApiVersionRequest failed: Local: Timed out", false},
    {"[thrd:h:23/4]: h:23/4: Connect to ipv4#10.0.0.1:23 failed: Connection refused (after 0ms in "
     "state CONNECT)",
     "broker 4 at h:23: Connect to ipv4#10.0.0.1:23 failed: Connection refused", true},
    {"[thrd:ssl://h:23/4]: ssl://h:23/4: Connection setup timed out in state CONNECT (after "
     "30021ms in state CONNECT)",
     "broker 4 at h:23: Connection setup timed out in state CONNECT", true},
    {"[thrd:h:23/4]: h:23/4: 1 request(s) timed out: disconnect (after 9ms in state UP)",
     "broker 4 at h:23: 1 request(s) timed out: disconnect", false},
    {"[thrd:GroupCoordinator]: GroupCoordinator: h:23: Disconnected (after 9ms in state UP)",
     "Local: Timed out", false},
    {"", "Local: Timed out", false},
};

static void a_connection_that_failed_is_the_reason_why_nobody_answers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof connections / sizeof *connections; i++) {
        struct error why = {""};
        struct kafka_access access;
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        kafka_access_init(&access, NULL, conf);
        kafka_access_note(&access, "FAIL", connections[i].line);
        kafka_access_show_silence(&access, RD_KAFKA_RESP_ERR__TIMED_OUT, &why);
        assert_string_equal(why.text, connections[i].shown);
        assert_int_equal(kafka_access_is_cut_off(&access, &why), connections[i].is_cut_off);
        kafka_access_fini(&access);
        rd_kafka_conf_destroy(conf);
    }
}

static void brokers_without_transactions_are_recognised(void **state) {
    (void)state;
    struct kafka_access access;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    kafka_access_init(&access, NULL, conf);
    kafka_access_note(&access, "TXNCOORD", "Querying for transaction coordinator: Acquire PID");
    kafka_access_note(&access, "TXNCOORD",
                      "Failed to find transaction coordinator: COORDINATOR_NOT_AVAILABLE: Broker: "
                      "Coordinator not available");
    assert_false(atomic_load(&access.lacks_transactions));
    kafka_access_note(&access, "TXNCOORD",
                      "Failed to find transaction coordinator: INVALID_REQUEST: Broker: Invalid "
                      "request");
    assert_true(atomic_load(&access.lacks_transactions));
    kafka_access_fini(&access);
    rd_kafka_conf_destroy(conf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_about_a_log_in_get_their_fix),
        cmocka_unit_test(a_token_that_is_not_given_gets_its_fix),
        cmocka_unit_test(a_client_without_its_first_token_is_denied),
        cmocka_unit_test(a_client_that_is_let_in_is_not_denied_for_its_next_token),
        cmocka_unit_test(a_certificate_is_named_with_what_is_wrong),
        cmocka_unit_test(what_was_noted_is_shown_and_cleared),
        cmocka_unit_test(a_connection_that_failed_is_the_reason_why_nobody_answers),
        cmocka_unit_test(brokers_without_transactions_are_recognised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
