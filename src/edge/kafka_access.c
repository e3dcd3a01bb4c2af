/* librdkafka tries again without end, and reports what went wrong in its log alone, in words. What
 * it says of a certificate is only that it was not verified: the reason is OpenSSL's, and known to
 * the callback that may overrule it. That a broker knows no transactions is said only in debug
 * lines ("eos"), which are on until the producer is ready.
 *
 * Why a success clears what is wrong: a response other than those of the log-in itself comes only
 * over a connection that was let in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "kafka_private.h"

/* Kafka's ApiKeys of the log-in, which is not over yet. */
enum { SASL_HANDSHAKE = 17, API_VERSIONS = 18, SASL_AUTHENTICATE = 36 };

/* OpenSSL's X509_V_ERR_..., which its documentation calls stable. */
enum {
    ISSUER_UNKNOWN = 2,
    NOT_YET_VALID = 9,
    EXPIRED = 10,
    SELF_SIGNED = 18,
    SELF_SIGNED_IN_CHAIN = 19,
    ISSUER_UNKNOWN_HERE = 20,
    LEAF_UNVERIFIED = 21,
    OTHER_HOST = 62,
    OTHER_ADDRESS = 64,
};

#define FIX_LOGIN                                                                                  \
    "set sasl.username and sasl.password (or sasl.password_file) to what the broker knows, and "   \
    "sasl.mechanisms to how it knows it"
#define FIX_CLIENT_CERTIFICATE                                                                     \
    "set ssl.certificate.location and ssl.key.location to a certificate that the broker trusts "   \
    "and its key"

#define FIX_ENDPOINT                                                                               \
    "see that the token endpoint runs, and that sasl.oauthbearer.token.endpoint.url is right and " \
    "can be reached from here"

/* In this order: the first that is in the line counts. */
static const struct {
    const char *words, *what, *fix;
} known[] = {
    {"certificate verify failed", NULL, NULL}, /* see on_certificate */
    {"mechanism handshake failed", "authentication failed",
     "set sasl.mechanisms to one that the broker supports"},
    {"{\"status\":", "authentication failed", /* the form of OAUTHBEARER, RFC 7628 */
     "the broker rejects the token: correct sasl.oauthbearer.* and see what issues the tokens"},
    {"SASL authentication error", "authentication failed", FIX_LOGIN},
    {"certificate required", "a certificate of this client is missing", FIX_CLIENT_CERTIFICATE},
    {"bad certificate", "a certificate of this client is missing, or is not accepted",
     FIX_CLIENT_CERTIFICATE},
    {"alert unknown ca", "the certificate of this client is not accepted", FIX_CLIENT_CERTIFICATE},
    {"alert certificate", "the certificate of this client is not accepted", FIX_CLIENT_CERTIFICATE},
    {"wrong version number", "the listener does not speak TLS",
     "set security.protocol to PLAINTEXT or SASL_PLAINTEXT, or lead kafka.bootstrap.servers to a "
     "listener with TLS"},
    {"in state SSL_HANDSHAKE", "the TLS handshake was broken off",
     "if the listener does not speak TLS, set security.protocol to PLAINTEXT or SASL_PLAINTEXT, or "
     "lead kafka.bootstrap.servers to a listener with TLS"},
    {"incorrect security.protocol", "the listener may speak TLS, or is not Kafka's",
     "set security.protocol to SSL or SASL_SSL, or correct kafka.bootstrap.servers"},
    {"broker might require SASL", "the listener may want a user",
     "set security.protocol to SASL_PLAINTEXT or SASL_SSL, and sasl.*"},
};

/* What librdkafka says of a token that it did not get: in this order, the first that is in the line
 * counts. The last one is in every line. */
static const struct {
    const char *words, *fix;
} tokens[] = {
    {"ertificate", "set https.ca.location to the file of the authority that signed the certificate "
                   "of sasl.oauthbearer.token.endpoint.url"},
    {"resolve", FIX_ENDPOINT},
    {"onnect", FIX_ENDPOINT},
    {"imed out", FIX_ENDPOINT},
    {"", "set sasl.oauthbearer.client.id, sasl.oauthbearer.client.secret and "
         "sasl.oauthbearer.scope to what the token endpoint knows, and see that "
         "sasl.oauthbearer.token.endpoint.url leads to it"},
};

/* The broker lists no mechanism at all. */
static bool is_without_sasl(const char *line) {
    static const char words[] = "supported mechanisms:";
    const char *list = strstr(line, words);
    if (list == NULL) return false;
    list += sizeof words - 1;
    list += strspn(list, " ");
    return *list == '\0' || *list == '(';
}

bool kafka_access_explain(const char *line, struct error *why) {
    if (is_without_sasl(line)) {
        return !error_set(why,
                          "Kafka: the listener has no SASL (%.600s): set security.protocol to "
                          "PLAINTEXT or SSL, or lead kafka.bootstrap.servers to a listener with "
                          "SASL",
                          line);
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strstr(line, known[i].words) == NULL) continue;
        return known[i].what != NULL &&
               !error_set(why, "Kafka: %s (%.600s): %s", known[i].what, line, known[i].fix);
    }
    return false;
}

bool kafka_access_explain_token(const char *endpoint, const char *line, struct error *why) {
    static const char words[] = "Failed to acquire SASL OAUTHBEARER token: ";
    const char *reason = strstr(line, words);
    if (reason == NULL) return false;
    reason += sizeof words - 1;
    size_t i = 0;
    while (strstr(reason, tokens[i].words) == NULL)
        i++;
    return !error_set(why, "Kafka: no OAUTHBEARER token from %.300s (%.600s): %s",
                      endpoint == NULL ? "sasl.oauthbearer.token.endpoint.url" : endpoint, reason,
                      tokens[i].fix);
}

void kafka_access_explain_certificate(const char *broker, int code, struct error *why) {
    switch (code) {
    case EXPIRED:
        error_set(why,
                  "the certificate of the Kafka broker %s, or of the authority that signed it, has "
                  "expired: renew it there (or correct the clock of this machine)",
                  broker);
        break;
    case NOT_YET_VALID:
        error_set(why,
                  "the certificate of the Kafka broker %s is not valid yet: correct the clock of "
                  "this machine, or the certificate",
                  broker);
        break;
    case ISSUER_UNKNOWN:
    case SELF_SIGNED:
    case SELF_SIGNED_IN_CHAIN:
    case ISSUER_UNKNOWN_HERE:
    case LEAF_UNVERIFIED:
        error_set(why,
                  "the certificate of the Kafka broker %s is signed by an authority that is not "
                  "trusted here: set ssl.ca.location to the file of that authority's certificate",
                  broker);
        break;
    case OTHER_HOST:
    case OTHER_ADDRESS:
        error_set(why,
                  "the certificate of the Kafka broker %s is for another host name: use a name "
                  "that is in it in kafka.bootstrap.servers and the broker's advertised.listeners, "
                  "or give the broker a certificate for this one",
                  broker);
        break;
    default:
        error_set(why,
                  "the certificate of the Kafka broker %s cannot be verified (OpenSSL's error %d): "
                  "see the broker's certificate and ssl.ca.location",
                  broker, code);
        break;
    }
}

static void deny(struct kafka_access *access, const struct error *why) {
    atomic_store(&access->is_let_in, false);
    trouble_set(access->trouble, clock_ms(), why->text);
    log_error("Kafka does not let this client in", log_text("reason", why->text));
}

/* OpenSSL's verdict on one certificate of the chain, which is not overruled. */
static int on_certificate(rd_kafka_t *client, const char *broker, int32_t broker_id, int *code,
                          int depth, const char *certificate, size_t bytes, char *out,
                          size_t out_bytes, void *opaque) {
    (void)client, (void)broker_id, (void)depth, (void)certificate, (void)bytes;
    struct error why;
    if (*code == 0) return 1;
    kafka_access_explain_certificate(broker, *code, &why);
    deny(&((struct kafka_client *)opaque)->access, &why);
    snprintf(out, out_bytes, "%s", why.text);
    return 0;
}

static rd_kafka_resp_err_t on_answered(rd_kafka_t *client, int socket, const char *broker,
                                       int32_t broker_id, int16_t api, int16_t version,
                                       int32_t correlation, size_t bytes, int64_t round_trip_us,
                                       rd_kafka_resp_err_t code, void *context) {
    (void)client, (void)socket, (void)broker, (void)version;
    (void)correlation, (void)bytes, (void)round_trip_us;
    struct kafka_access *access = context;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        trouble_clear(&access->bootstrap_away);
        if (broker_id >= 0) trouble_clear(&access->advertised_away);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && api != SASL_HANDSHAKE && api != API_VERSIONS &&
        api != SASL_AUTHENTICATE) {
        atomic_store(&access->is_let_in, true);
        trouble_clear(access->trouble);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Where tokens come from, to be shown, of a client that fetches them; NULL: it fetches none. The
 * caller frees it. */
static char *find_endpoint(const rd_kafka_conf_t *conf) {
    if (!kafka_conf_is_oauthbearer(conf) ||
        !kafka_conf_has(conf, "sasl.oauthbearer.method", "oidc"))
        return NULL;
    char *url = kafka_conf_text(conf, "sasl.oauthbearer.token.endpoint.url");
    char *shown = url == NULL ? NULL : secret_hide_users(url);
    secret_forget(url);
    return shown;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *client, const rd_kafka_conf_t *conf, void *context,
                                  char *why, size_t why_bytes) {
    (void)conf, (void)why, (void)why_bytes;
    rd_kafka_interceptor_add_on_response_received(client, "access", on_answered, context);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void kafka_access_init(struct kafka_access *access, struct trouble *trouble,
                       rd_kafka_conf_t *conf) {
    trouble_init(&access->own);
    trouble_init(&access->bootstrap_away);
    trouble_init(&access->advertised_away);
    access->trouble = trouble == NULL ? &access->own : trouble;
    atomic_store(&access->lacks_transactions, false);
    atomic_store(&access->is_let_in, false);
    access->token_endpoint = find_endpoint(conf);
    rd_kafka_conf_interceptor_add_on_new(conf, "access", on_new, access);
    rd_kafka_conf_set_ssl_cert_verify_cb(conf, on_certificate); /* without TLS: no matter */
}

void kafka_access_fini(struct kafka_access *access) {
    trouble_fini(&access->own);
    trouble_fini(&access->bootstrap_away);
    trouble_fini(&access->advertised_away);
    free(access->token_endpoint);
    access->token_endpoint = NULL;
}

/* A line of a connection that failed: "[thrd:...]: sasl_ssl://HOST:PORT/ID: REASON (after ...)", in
 * which the ID of bootstrap.servers is "bootstrap". */
static void note_away(struct kafka_access *access, const char *line) {
    const char *thread = *line == '[' ? strstr(line, "]: ") : NULL;
    if (thread != NULL) line = thread + 3;
    const char *reason = strstr(line, ": "), *scheme = strstr(line, "://");
    if (reason == NULL) return;
    if (scheme != NULL && scheme < reason) line = scheme + 3;
    const size_t address = strcspn(line, "/ "), id = strspn(line + address, "/");
    const int number = (int)strspn(line + address + id, "0123456789");
    const char *end = strstr(reason, ": probably due to broker version"); /* a mere guess */
    if (end == NULL) end = strstr(reason, " (after ");
    const int length = (int)(end == NULL ? strlen(reason) : (size_t)(end - reason));
    struct error what;
    if (id == 0 || line + address >= reason) return; /* of a coordinator: named twice */
    if (number == 0) {
        error_set(&what, "%.*s%.*s", (int)address, line, length, reason);
        trouble_set(&access->bootstrap_away, clock_ms(), what.text);
        return;
    }
    error_set(&what, "broker %.*s at %.*s%.*s", number, line + address + id, (int)address, line,
              length, reason);
    trouble_set(&access->advertised_away, clock_ms(), what.text);
}

void kafka_access_note(struct kafka_access *access, const char *facility, const char *line) {
    struct error why;
    if (strcmp(facility, "TXNCOORD") == 0) {
        const char *name = strstr(line, "Failed to find transaction coordinator: ");
        if (name != NULL && (strstr(name, ": INVALID_REQUEST") != NULL ||
                             strstr(name, ": UNSUPPORTED_VERSION") != NULL))
            atomic_store(&access->lacks_transactions, true);
    } else if (strcmp(facility, "FAIL") == 0) {
        note_away(access, line);
        if (kafka_access_explain(line, &why)) deny(access, &why);
    } else if (strcmp(facility, "ERROR") == 0 &&
               kafka_access_explain_token(access->token_endpoint, line, &why)) {
        if (!atomic_load(&access->is_let_in))
            deny(access, &why);
        else /* the token before it may be valid for a while */
            log_warn("No new OAUTHBEARER token yet; open connections stay open",
                     log_text("reason", why.text));
    }
}

static bool is_in(struct trouble *trouble, struct error *why) {
    char room[ERROR_BYTES];
    struct text text = text_within(room, sizeof room);
    return trouble_show(trouble, clock_ms(), 0, &text) && !error_set(why, "%s", text_string(&text));
}

bool kafka_access_is_denied(struct kafka_access *access, struct error *why) {
    return is_in(access->trouble, why);
}

void kafka_access_show_silence(struct kafka_access *access, rd_kafka_resp_err_t code,
                               struct error *why) {
    if (is_in(&access->advertised_away, why) || is_in(&access->bootstrap_away, why)) return;
    if (access->token_endpoint != NULL && !atomic_load(&access->is_let_in))
        error_set(why, "no OAUTHBEARER token from %.300s yet", access->token_endpoint);
    else
        error_set(why, "%s", rd_kafka_err2str(code));
}

/* One that was connected and broke, or that answers late, can be reached. */
bool kafka_access_is_cut_off(struct kafka_access *access, struct error *why) {
    return is_in(&access->advertised_away, why) &&
           (strstr(why->text, "Connect to ") != NULL ||
            strstr(why->text, "Failed to resolve") != NULL ||
            strstr(why->text, "Connection setup timed out") != NULL);
}

bool kafka_access_find_right(const struct kafka_sink_options *options, rd_kafka_resp_err_t code,
                             struct error *fix) {
    switch (code) {
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        error_set(fix,
                  "allow this user the transactional id: kafka-acls.sh --add --operation Write "
                  "--operation Describe --transactional-id %s; if instance.id is not set, allow "
                  "all ids that begin like it: --resource-pattern-type prefixed",
                  options->transactional_id);
        return true;
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        error_set(fix, "add the ACL Read on the group");
        return true;
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        error_set(fix, "allow this user to Read topic %s, and to Write and Describe %s and %s",
                  options->input_topic, options->settings->topic,
                  options->settings->rejected_topic);
        return true;
    default:
        return false;
    }
}
