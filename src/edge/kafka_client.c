/* Why it looks after its brokers: a cluster whose brokers are all fenced for a moment (one broker
 * that slept, a cluster that has just been started) names none of them in its metadata. librdkafka
 * takes that at its word (since 2.10.0, seen up to 2.15.1; its issue 5301): it drops all
 * connections, those to bootstrap.servers too, and cancels its own re-bootstrap. From then on the
 * client asks nobody, and does not always report it. So every few seconds a thread checks whether
 * the client knows a broker that it could ask, and otherwise adds those of bootstrap.servers again.
 * It has to be a thread of its own: all others may wait in librdkafka for those very brokers, some
 * without end (rd_kafka_send_offsets_to_transaction). It can go when no version we accept has that
 * fault. */
#include "kafka_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/secret.h"

/* Also limits how often brokers are added: librdkafka keeps each list that it was ever given. */
enum { LOOK_MS = 5000 };

enum { SLICE_MS = 250 }; /* between looks whether waiting for the transaction coordinator is vain */

/* librdkafka's levels are those of syslog(3), whose header has names in common with base/log.h. */
enum { SYSLOG_ERROR = 3, SYSLOG_WARNING = 4, SYSLOG_INFO = 6, SYSLOG_DEBUG = 7 };

/* librdkafka's errors are warnings here: it tries again, and what it gives up on reaches us as an
 * error code, which whoever gets it judges and logs. The message, by which the log limits rates, is
 * the facility ("FAIL", "REBALANCE"): a few dozen words. */
static void take_shown(const rd_kafka_t *client, int level, const char *facility,
                       const char *text) {
    const enum log_level ours = level <= SYSLOG_WARNING ? LOG_WARN
                                : level < SYSLOG_DEBUG  ? LOG_INFO
                                                        : LOG_DEBUG;
    struct kafka_client *owner = client == NULL ? NULL : kafka_client_of(client);
    if (owner != NULL) kafka_access_note(&owner->access, facility, text);
    if (!log_is_enabled(ours)) return;
    char message[64];
    snprintf(message, sizeof message, "librdkafka %s", facility);
    const struct log_field fields[] = {
        log_text("client", client == NULL ? NULL : rd_kafka_name(client)),
        log_text("text", text),
        {0},
    };
    log_write(ours, message, fields);
}

/* "[thrd:app]:   NAME = VALUE", with debug=conf. librdkafka hides some of the secrets, not all. */
static bool shows_a_secret(const char *facility, const char *text) {
    char name[64];
    const char *equals = strcmp(facility, "CONF") == 0 ? strstr(text, " = ") : NULL;
    if (equals == NULL) return false;
    const char *blank = memrchr(text, ' ', (size_t)(equals - text));
    const char *begin = blank == NULL ? text : blank + 1;
    snprintf(name, sizeof name, "%.*s", (int)(equals - begin), begin);
    return kafka_names_is_secret(name);
}

static void take_line(const rd_kafka_t *client, int level, const char *facility, const char *text) {
    if (shows_a_secret(facility, text)) return;
    char *shown = secret_hide_users(text);
    take_shown(client, level, facility, shown);
    free(shown);
}

static int log_level(void) {
    return log_is_enabled(LOG_DEBUG)  ? SYSLOG_DEBUG
           : log_is_enabled(LOG_INFO) ? SYSLOG_INFO
           : log_is_enabled(LOG_WARN) ? SYSLOG_WARNING
                                      : SYSLOG_ERROR;
}

void kafka_client_log(rd_kafka_conf_t *conf) {
    kafka_conf_own_number(conf, "log_level", log_level());
    rd_kafka_conf_set_log_cb(conf, take_line);
}

static void take_throttle(rd_kafka_t *handle, const char *broker, int32_t id, int wait_ms,
                          void *opaque) {
    struct kafka_client *client = opaque;
    (void)id;
    if (wait_ms <= 0) return; /* no longer */
    atomic_store(&client->throttled_ms, clock_ms() + wait_ms);
    log_warn("A quota of Kafka holds this client back", log_text("client", rd_kafka_name(handle)),
             log_text("broker", broker), log_int("wait_ms", wait_ms));
}

static void ring(rd_kafka_t *client, void *alarm) {
    (void)client;
    alarm_ring(alarm);
}

void kafka_client_watch(rd_kafka_queue_t *queue, struct alarm *alarm) {
    rd_kafka_queue_cb_event_enable(queue, alarm == NULL ? NULL : ring, alarm);
}

/* A request for metadata without time to wait fails in another way if there is no broker to ask. */
static bool has_broker(rd_kafka_t *handle) {
    const struct rd_kafka_metadata *cluster = NULL;
    const rd_kafka_resp_err_t code = rd_kafka_metadata(handle, 0, NULL, &cluster, 0);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) rd_kafka_metadata_destroy(cluster);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR__TIMED_OUT;
}

char *kafka_client_text(rd_kafka_t *handle, const char *name) {
    return kafka_conf_text(rd_kafka_conf(handle), name);
}

/* The client keeps those that it has. */
static void add_brokers(rd_kafka_t *handle) {
    char *list = kafka_client_text(handle, "bootstrap.servers");
    if (list != NULL) rd_kafka_brokers_add(handle, list);
    free(list);
}

static bool use_password(rd_kafka_t *handle, const char *password, struct error *error) {
    char *user = kafka_client_text(handle, "sasl.username");
    rd_kafka_error_t *fault = rd_kafka_sasl_set_credentials(handle, user, password);
    free(user);
    if (fault == NULL) return true;
    error_set(error, "%s", rd_kafka_error_string(fault));
    rd_kafka_error_destroy(fault);
    return false;
}

void kafka_client_read_password(struct kafka_client *client) {
    struct error why = {""};
    if (client->latest == NULL) return;
    char *password = secret_read(client->latest, client->password_file, &why);
    if (password != NULL && client->password != NULL && strcmp(password, client->password) == 0) {
        secret_forget(password);
        return;
    }
    if (password == NULL || !use_password(client->handle, password, &why)) {
        log_warn("sasl.password cannot be read again: the one before it is kept",
                 log_text("reason", why.text));
        secret_forget(password);
    } else {
        log_info("sasl.password has changed: new connections use it");
        secret_forget(client->password);
        client->password = password;
    }
}

static int64_t look_after_brokers(void *context, int64_t now_ms) {
    struct kafka_client *client = context;
    if (now_ms < client->look_ms) return client->look_ms;
    kafka_client_read_password(client);
    if (!has_broker(client->handle)) add_brokers(client->handle);
    client->look_ms = now_ms + LOOK_MS;
    return client->look_ms;
}

struct kafka_client *kafka_client_create(enum kafka_role role, rd_kafka_conf_t *conf,
                                         const struct properties *kafka,
                                         const struct properties *own, void *owner,
                                         struct trouble *trouble, struct error *error) {
    const char *password_file = kafka_conf_file(kafka, own, "sasl.password");
    struct kafka_client *client = memory_create(sizeof *client);
    client->owner = owner;
    client->certificates = kafka_conf_certificates(kafka, own);
    kafka_client_log(conf);
    /* Nobody takes them: they would pile up where nobody polls. */
    kafka_conf_own(conf, "statistics.interval.ms", "0");
    rd_kafka_conf_set_opaque(conf, client);
    if (owner != NULL) rd_kafka_conf_set_throttle_cb(conf, take_throttle);
    kafka_access_init(&client->access, trouble, conf);
    client->handle = kafka_conf_open(conf, role, error);
    if (client->handle == NULL) {
        kafka_access_fini(&client->access);
        free(client);
        return NULL;
    }
    client->look_ms = clock_ms() + LOOK_MS;
    const bool is_debugged =
        kafka_conf_get(kafka, "debug") != NULL || kafka_conf_get(own, "debug") != NULL;
    client->log_level = is_debugged ? SYSLOG_DEBUG : (int)clamp(log_level(), 0, SYSLOG_INFO);
    client->latest = kafka_conf_latest(kafka, own, "sasl.password");
    if (password_file != NULL) client->password_file = memory_text(password_file);
    if (client->latest != NULL) {
        client->password = kafka_client_text(client->handle, "sasl.password");
        kafka_client_read_password(client); /* made again after a reload */
    }
    worker_init(&client->brokers, "brokers", look_after_brokers, client);
    if (!worker_start(&client->brokers)) {
        log_warn("No thread to look after the Kafka brokers: a client that loses them all stays "
                 "without");
    }
    return client;
}

struct kafka_client *kafka_client_of(const rd_kafka_t *handle) {
    return rd_kafka_opaque(handle);
}

/* Whether brokers answer so to the first request of a transaction because they know none. */
static bool is_unsupported(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR_INVALID_REQUEST ||
           code == RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION ||
           code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
}

rd_kafka_error_t *kafka_client_init_transactions(struct kafka_client *client, int timeout_ms) {
    const int64_t until_ms = clock_ms() + timeout_ms;
    int64_t left_ms = timeout_ms;
    rd_kafka_set_log_level(client->handle, SYSLOG_DEBUG);
    for (;;) {
        struct error why;
        rd_kafka_error_t *failure =
            rd_kafka_init_transactions(client->handle, (int)clamp(left_ms, 0, SLICE_MS));
        rd_kafka_resp_err_t code = rd_kafka_error_code(failure);
        if (is_unsupported(code)) atomic_store(&client->access.lacks_transactions, true);
        if (atomic_load(&client->access.lacks_transactions)) {
            code = RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
            error_set(&why, "these Kafka brokers do not support transactions (they answer "
                            "INVALID_REQUEST): set output.guarantee=at_least_once, or use brokers "
                            "that do");
        } else if (code == RD_KAFKA_RESP_ERR__TIMED_OUT &&
                   kafka_access_is_denied(&client->access, &why)) {
            code = RD_KAFKA_RESP_ERR__AUTHENTICATION;
        } else {
            left_ms = until_ms - clock_ms();
            if (failure == NULL) rd_kafka_set_log_level(client->handle, client->log_level);
            const bool is_passing = code == RD_KAFKA_RESP_ERR__TIMED_OUT ||
                                    (failure != NULL && rd_kafka_error_is_retriable(failure));
            if (!is_passing || left_ms <= 0) return failure;
            rd_kafka_error_destroy(failure);
            continue;
        }
        rd_kafka_error_destroy(failure);
        return rd_kafka_error_new(code, "%s", why.text);
    }
}

void kafka_client_destroy(struct kafka_client **client) {
    if (*client == NULL) return;
    worker_stop(&(*client)->brokers);
    rd_kafka_destroy((*client)->handle);
    kafka_access_fini(&(*client)->access);
    free((*client)->password_file);
    secret_forget((*client)->password);
    free(*client);
    *client = NULL;
}
