#include "edge/kafka_conf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "base/secret.h"
#include "kafka_private.h"

/* Before, KIP-848 is an early access feature and cannot hand partitions over one by one. */
enum { CONSUMER_PROTOCOL_SINCE = 0x020c00ff };

enum { FETCH_WAIT_MS = 10000 }; /* a third of the time after which flow/stall takes action */

/* What rollcall owns, by canonical name. A user may still set the value that it has anyway. */
static const struct {
    const char *name;
    const char *allowed[2];
    const char *reason;
} owned[] = {
    {"enable.auto.commit", {"false"}, "offsets are committed inside the output's transactions"},
    {"auto.commit.enable", {"false"}, "offsets are committed inside the output's transactions"},
    {"auto.commit.interval.ms", {NULL}, "there is no auto-commit; output.commit_ms sets the pace"},
    {"enable.auto.offset.store", {"false"}, "only what was processed is committed"},
    {"offset.store.method", {"broker"}, "offsets are kept in the group and in Redis"},
    {"offset.store.path", {NULL}, "offsets are kept in the group and in Redis"},
    {"offset.store.sync.interval.ms", {NULL}, "offsets are kept in the group and in Redis"},
    {"auto.offset.reset", {"error"}, "input.start and input.on_gap say where to read from"},
    {"enable.partition.eof", {"true"}, "it reports where only transaction markers are left"},
    {"check.crcs", {"false"}, "librdkafka skips what fails the check, and may lose its place"},
    {"isolation.level", {"read_committed"}, "records of aborted transactions must not be counted"},
    {"partition.assignment.strategy", {"cooperative-sticky"}, "partitions move one by one"},
    {"group.instance.id", {NULL}, "it is derived from instance.id"},
    {"group.id", {NULL}, "it belongs in [consumer]"},
    {"transactional.id", {NULL}, "it is derived from instance.id"},
    {"enable.idempotence", {"true"}, "without it records could be duplicated or reordered"},
    {"request.required.acks", {"all", "-1"}, "with fewer acknowledgements records could be lost"},
    {"consume.callback.max.messages", {"256"}, "it bounds what is fetched and not yet read"},
    {"queuing.strategy", {"fifo"}, "records keep their order"},
    {"partitioner", {"murmur2_random"}, "records go where the input's partition or key says"},
    {"delivery.report.only.error", {NULL}, "rollcall chooses which delivery reports it takes"},
    {"log_level", {NULL}, "log.level decides what is logged, of librdkafka too"},
    {"log.queue", {NULL}, "librdkafka's lines go through rollcall's log"},
    {"enabled_events", {NULL}, "rollcall chooses which events it takes"},
    {"internal.termination.signal", {NULL}, "signals are rollcall's"},
};

/* Whether rollcall leaves this value to the user; librdkafka checks the rest. */
static bool check_owned(enum kafka_role section, const char *name, const char *value,
                        struct error *error) {
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        if (!kafka_names_is_same(name, owned[i].name)) continue;
        for (size_t j = 0; j < 2 && owned[i].allowed[j] != NULL; j++) {
            if (strcmp(value, owned[i].allowed[j]) == 0) return true;
        }
        return error_set(error, "%s is set by rollcall: %s", name, owned[i].reason);
    }
    if (section != KAFKA_BOTH && kafka_names_is_same(name, "bootstrap.servers")) {
        return error_set(error,
                         "%s belongs in [kafka]: a transaction covers input and output, so both "
                         "clients use one cluster",
                         name);
    }
    if (kafka_names_is_same(name, "bootstrap.servers") && value[0] == '\0') {
        return error_set(error, "%s names no broker", name);
    }
    if (kafka_names_is_same(name, "bootstrap.servers") && strchr(value, '@') != NULL) {
        return error_set(error,
                         "%s names hosts and ports alone: set the user and password as "
                         "sasl.username and sasl.password",
                         name);
    }
    if (kafka_names_is_same(name, "sasl.oauthbearer.token.endpoint.url") &&
        strpbrk(value, " \t\"") != NULL) {
        return error_set(error, "%s: no blanks or quotes; write them as %%20 and %%22", name);
    }
    if (kafka_names_is_same(name, "group.protocol") && strcmp(value, "consumer") == 0 &&
        rd_kafka_version() < CONSUMER_PROTOCOL_SINCE) {
        return error_set(error,
                         "%s=consumer needs librdkafka 2.12 or later, and this is %s: leave it "
                         "out, or build with a later one",
                         name, rd_kafka_version_str());
    }
    if (kafka_names_is_same(name, "max.in.flight") && strtol(value, NULL, 0) > 5) {
        return error_set(error, "%s is at most 5: the producer is idempotent", name);
    }
    if (kafka_names_is_same(name, "fetch.wait.max.ms") && strtol(value, NULL, 0) > FETCH_WAIT_MS) {
        return error_set(error,
                         "%s is at most %d: a partition from which nothing comes for much longer, "
                         "though there is something, is taken to stand still",
                         name, FETCH_WAIT_MS);
    }
    if (kafka_names_is_same(name, "retries") && strtol(value, NULL, 0) < 1) {
        return error_set(error, "%s is at least 1: the producer is idempotent", name);
    }
    return true;
}

static bool reject_unknown(enum kafka_role section, const char *name, struct error *error) {
    struct nearest nearest = nearest_to(name);
    kafka_names_offer(&nearest, section);
    if (nearest.name == NULL) return error_set(error, "%s is not a librdkafka property", name);
    return error_set(error, "%s is not a librdkafka property; did you mean %s?", name,
                     nearest.name);
}

/* Reports why librdkafka rejects a property, but never shows a secret. */
static bool reject_value(const char *name, const char *text, struct error *error) {
    if (kafka_names_is_secret(name)) return error_set(error, "%s: librdkafka rejects it", name);
    return error_set(error, "%s: %.*s", name, (int)strcspn(text, "\n"), text);
}

static bool check_value(enum kafka_role section, const char *name, const char *value,
                        struct error *error) {
    char text[512] = "";
    rd_kafka_conf_t *scratch = rd_kafka_conf_new();
    const rd_kafka_conf_res_t result = rd_kafka_conf_set(scratch, name, value, text, sizeof text);
    rd_kafka_conf_destroy(scratch);
    if (result == RD_KAFKA_CONF_OK) return true;
    if (result == RD_KAFKA_CONF_UNKNOWN) return reject_unknown(section, name, error);
    return reject_value(name, text, error);
}

bool kafka_conf_check(enum kafka_role section, const char *name, const char *value,
                      struct error *error) {
    const struct kafka_name *known = kafka_names_find(name);
    if (known != NULL && known->is_callback) {
        return error_set(error, "%s is for programs, not for a configuration", name);
    }
    const bool is_elsewhere = known != NULL && section != KAFKA_BOTH && known->role != KAFKA_BOTH &&
                              known->role != section;
    if (is_elsewhere) {
        return error_set(error, "%s belongs in [%s]", name,
                         known->role == KAFKA_CONSUMER ? "consumer" : "producer");
    }
    if (strlen(value) >= KAFKA_CONF_VALUE_BYTES) {
        return error_set(error, "%s is longer than %d bytes", name, KAFKA_CONF_VALUE_BYTES);
    }
    return check_owned(section, name, value, error) && check_value(section, name, value, error);
}

/* SASL's password, which clients take in place, and what certificates are made of. */
static const char *const renewable[] = {
    "sasl.password",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.certificate.pem",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.crl.location",
    "ssl.keystore.location",
    "ssl.keystore.password",
};

bool kafka_conf_is_renewable(const char *name) {
    for (size_t i = 0; i < sizeof renewable / sizeof renewable[0]; i++) {
        if (kafka_names_is_same(name, renewable[i])) return true;
    }
    return false;
}

static struct property *find(const struct properties *properties, const char *name) {
    for (size_t i = 0; i < properties->count; i++) {
        if (kafka_names_is_same(properties->items[i].name, name)) return &properties->items[i];
    }
    return NULL;
}

static void release(struct property *property) {
    free(property->name);
    free(property->value);
    free(property->file);
    secret_destroy(&property->latest);
}

void kafka_conf_put(struct properties *properties, const char *name, const char *value) {
    struct property new = {.name = memory_text(name), .value = memory_text(value)};
    if (kafka_conf_is_renewable(name)) new.latest = secret_create(value);
    struct property *property = find(properties, name);
    if (property != NULL) {
        release(property);
    } else {
        properties->items =
            memory_grow(properties->items, (properties->count + 1) * sizeof *properties->items);
        property = &properties->items[properties->count++];
    }
    *property = new;
}

void kafka_conf_put_file(struct properties *properties, const char *name, const char *path) {
    struct property *property = find(properties, name);
    assert(property != NULL && property->file == NULL);
    property->file = memory_text(path);
}

static const struct property *find_either(const struct properties *kafka,
                                          const struct properties *own, const char *name) {
    const struct property *property = find(own, name);
    return property == NULL ? find(kafka, name) : property;
}

const char *kafka_conf_file(const struct properties *kafka, const struct properties *own,
                            const char *name) {
    const struct property *property = find_either(kafka, own, name);
    return property == NULL ? NULL : property->file;
}

struct secret *kafka_conf_latest(const struct properties *kafka, const struct properties *own,
                                 const char *name) {
    const struct property *property = find_either(kafka, own, name);
    return property == NULL ? NULL : property->latest;
}

void kafka_conf_renew(const struct properties *properties, const struct properties *fresh) {
    for (size_t i = 0; i < properties->count; i++) {
        const struct property *property = &properties->items[i];
        if (property->latest != NULL)
            secret_set(property->latest, kafka_conf_get(fresh, property->name));
    }
}

uint64_t kafka_conf_certificates(const struct properties *kafka, const struct properties *own) {
    uint64_t digest = 0;
    for (size_t i = 0; i < sizeof renewable / sizeof renewable[0]; i++) {
        if (strncmp(renewable[i], "ssl.", 4) != 0) continue;
        char *value = secret_copy(kafka_conf_latest(kafka, own, renewable[i]));
        if (value == NULL) continue;
        digest = file_digest_text(value, file_digest_text(renewable[i], digest));
        if (strstr(renewable[i], ".location") != NULL) digest = file_digest(value, digest);
        secret_forget(value);
    }
    return digest;
}

const char *kafka_conf_get(const struct properties *properties, const char *name) {
    const struct property *property = find(properties, name);
    return property == NULL ? NULL : property->value;
}

bool kafka_conf_is_classic(const struct properties *kafka, const struct properties *consumer) {
    const char *protocol = kafka_conf_get(consumer, "group.protocol");
    if (protocol == NULL) protocol = kafka_conf_get(kafka, "group.protocol");
    return protocol == NULL || strcmp(protocol, "consumer") != 0;
}

void kafka_conf_release(struct properties *properties) {
    for (size_t i = 0; i < properties->count; i++) {
        release(&properties->items[i]);
    }
    free(properties->items);
    *properties = (struct properties){0};
}

/* Sets what is for the role; librdkafka would warn about the rest. */
static bool set_all(rd_kafka_conf_t *conf, const struct properties *properties,
                    enum kafka_role role, struct error *error) {
    for (size_t i = 0; i < properties->count; i++) {
        const struct property *property = &properties->items[i];
        const struct kafka_name *known = kafka_names_find(property->name);
        if (known != NULL && known->role != KAFKA_BOTH && known->role != role) continue;
        char text[512] = "";
        char *latest = secret_copy(property->latest);
        const rd_kafka_conf_res_t result = rd_kafka_conf_set(
            conf, property->name, latest == NULL ? property->value : latest, text, sizeof text);
        secret_forget(latest);
        if (result != RD_KAFKA_CONF_OK) return reject_value(property->name, text, error);
    }
    return true;
}

rd_kafka_conf_t *kafka_conf_build(const struct properties *kafka, const struct properties *own,
                                  enum kafka_role role, struct error *error) {
    assert(role != KAFKA_BOTH);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (set_all(conf, kafka, role, error) && set_all(conf, own, role, error)) return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

void kafka_conf_own(rd_kafka_conf_t *conf, const char *name, const char *value) {
    const rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, name, value, NULL, 0);
    assert(result == RD_KAFKA_CONF_OK);
    (void)result;
}

void kafka_conf_own_number(rd_kafka_conf_t *conf, const char *name, long long value) {
    char text[24];
    snprintf(text, sizeof text, "%lld", value);
    kafka_conf_own(conf, name, text);
}

void kafka_conf_default(rd_kafka_conf_t *conf, const struct properties *kafka,
                        const struct properties *own, const char *name, long long value) {
    if (kafka_conf_get(kafka, name) != NULL || kafka_conf_get(own, name) != NULL) return;
    kafka_conf_own_number(conf, name, value);
}

rd_kafka_t *kafka_conf_open(rd_kafka_conf_t *conf, enum kafka_role role, struct error *error) {
    char why[512] = "";
    rd_kafka_t *client = rd_kafka_new(
        role == KAFKA_CONSUMER ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (client == NULL) {
        rd_kafka_conf_destroy(conf);
        error_set(error, "librdkafka: %.*s", (int)strcspn(why, "\n"), why);
    }
    return client;
}

char *kafka_conf_text(const rd_kafka_conf_t *conf, const char *name) {
    size_t bytes = 0;
    if (rd_kafka_conf_get(conf, name, NULL, &bytes) != RD_KAFKA_CONF_OK) return NULL;
    char *text = memory_create(bytes);
    rd_kafka_conf_get(conf, name, text, &bytes);
    return text;
}

bool kafka_conf_has(const rd_kafka_conf_t *conf, const char *name, const char *value) {
    char *text = kafka_conf_text(conf, name);
    const bool has = text != NULL && strcasecmp(text, value) == 0;
    free(text);
    return has;
}

bool kafka_conf_is_oauthbearer(const rd_kafka_conf_t *conf) {
    const bool has_sasl = kafka_conf_has(conf, "security.protocol", "sasl_ssl") ||
                          kafka_conf_has(conf, "security.protocol", "sasl_plaintext");
    return has_sasl && kafka_conf_has(conf, "sasl.mechanism", "OAUTHBEARER");
}

/* Of the trial client, whose opaque is a bool: whether it could not make a token. It makes one
 * while it is created, where none is to be fetched. */
static void take_line(const rd_kafka_t *client, int level, const char *facility, const char *line) {
    struct error why;
    bool *has_no_token = rd_kafka_opaque(client);
    (void)level;
    if (strcmp(facility, "ERROR") == 0 && kafka_access_explain_token(NULL, line, &why))
        *has_no_token = true;
}

/* Takes the place of what would fetch a token: a trial asks nobody. */
static void fetch_no_token(rd_kafka_t *client, const char *config, void *opaque) {
    (void)client, (void)config, (void)opaque;
}

/* Adds what decides how librdkafka checks the rest, and removes the brokers. */
static void make_trial(rd_kafka_conf_t *conf, enum kafka_role role, bool is_transactional,
                       bool *has_no_token) {
    rd_kafka_conf_set(conf, "bootstrap.servers", NULL, NULL, 0);
    rd_kafka_conf_set_log_cb(conf, take_line);
    rd_kafka_conf_set_opaque(conf, has_no_token);
    if (kafka_conf_has(conf, "sasl.oauthbearer.method", "oidc"))
        rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, fetch_no_token);
    if (role == KAFKA_CONSUMER) {
        rd_kafka_conf_set(conf, "group.id", "trial", NULL, 0);
        return;
    }
    rd_kafka_conf_set(conf, "enable.idempotence", "true", NULL, 0);
    if (is_transactional) rd_kafka_conf_set(conf, "transactional.id", "trial", NULL, 0);
}

/* librdkafka would wait without end for tokens that its program is to bring. */
static bool check_tokens(const rd_kafka_conf_t *conf, struct error *error) {
    if (!kafka_conf_is_oauthbearer(conf) ||
        !kafka_conf_has(conf, "sasl.oauthbearer.method", "default") ||
        kafka_conf_has(conf, "enable.sasl.oauthbearer.unsecure.jwt", "true")) {
        return true;
    }
    return error_set(error, "sasl.mechanism=OAUTHBEARER has no way to get a token: set "
                            "sasl.oauthbearer.method=oidc and what belongs to it "
                            "(sasl.oauthbearer.token.endpoint.url, .client.id, .client.secret)");
}

/* With security.protocol set to PLAINTEXT or SSL it may be meant. */
static bool check_login(const struct properties *kafka, const struct properties *own,
                        struct error *error) {
    const struct property *login = find_either(kafka, own, "sasl.mechanism");
    if (login == NULL && find_either(kafka, own, "sasl.password") != NULL)
        login = find_either(kafka, own, "sasl.username");
    if (login == NULL || find_either(kafka, own, "security.protocol") != NULL) return true;
    return error_set(error,
                     "%s is set and security.protocol is not, so rollcall would not log in: set "
                     "security.protocol to SASL_SSL or SASL_PLAINTEXT, or leave %s out",
                     login->name, login->name);
}

bool kafka_conf_try(const struct properties *kafka, const struct properties *own,
                    enum kafka_role role, bool is_transactional, struct error *error) {
    rd_kafka_conf_t *conf = kafka_conf_build(kafka, own, role, error);
    if (conf == NULL) return false;
    if (!check_login(kafka, own, error) || !check_tokens(conf, error)) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    bool has_no_token = false;
    make_trial(conf, role, is_transactional, &has_no_token);
    rd_kafka_t *client = kafka_conf_open(conf, role, error);
    if (client == NULL) return false;
    rd_kafka_destroy(client);
    return !has_no_token ||
           error_set(error, "sasl.oauthbearer.config is missing, or no token can be made of it: "
                            "write principal=NAME, and if needed scope=A,B and lifeSeconds=N, "
                            "separated by spaces");
}

bool kafka_conf_is_idle(const struct properties *kafka, const struct properties *own,
                        struct error *what) {
    const struct property *set = find_either(kafka, own, "security.protocol");
    const char *protocol = set == NULL ? "plaintext" : set->value;
    const bool has_sasl = strncasecmp(protocol, "sasl", 4) == 0;
    const bool has_tls = strcasecmp(protocol, "ssl") == 0 || strcasecmp(protocol, "sasl_ssl") == 0;
    for (size_t i = 0; i < kafka->count + own->count; i++) {
        const char *name =
            i < kafka->count ? kafka->items[i].name : own->items[i - kafka->count].name;
        const bool is_tls = strncmp(name, "ssl.", 4) == 0;
        if (is_tls ? has_tls : has_sasl || strncmp(name, "sasl.", 5) != 0) continue;
        const char *fix = is_tls ? "SSL or SASL_SSL" : "SASL_SSL or SASL_PLAINTEXT";
        error_set(what,
                  "%s has no effect on connections to brokers, as security.protocol is %s: "
                  "set security.protocol to %s, or leave %s out",
                  name, protocol, fix, name);
        return true;
    }
    return false;
}

int64_t kafka_conf_number(const struct properties *kafka, const struct properties *own,
                          enum kafka_role role, const char *name) {
    rd_kafka_conf_t *conf = kafka_conf_build(kafka, own, role, NULL);
    if (conf == NULL) return -1;
    char text[64] = "", *end;
    size_t text_bytes = sizeof text;
    const rd_kafka_conf_res_t result = rd_kafka_conf_get(conf, name, text, &text_bytes);
    rd_kafka_conf_destroy(conf);
    const int64_t number = strtoll(text, &end, 10);
    return result != RD_KAFKA_CONF_OK || end == text || *end != '\0' ? -1 : number;
}
