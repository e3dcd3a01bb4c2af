/* What lets a client in is shown by the name of the cluster, which only a response to a request
 * brings: with TLS 1.3 a handshake seems to succeed before the broker has looked at the client's
 * certificate. librdkafka connects to a broker and asks for that by itself. */
#include "base/clock.h"
#include "base/log.h"
#include "kafka_private.h"

enum { WARN_MS = 10000 };

void kafka_trial_begin(struct kafka_trial *trial, enum kafka_role role, rd_kafka_conf_t *conf,
                       const struct properties *kafka, const struct properties *own) {
    struct error error = {"librdkafka rejects a property"};
    trial->client =
        conf == NULL ? NULL : kafka_client_create(role, conf, kafka, own, NULL, NULL, &error);
    trial->warn_ms = clock_ms();
    if (trial->client == NULL)
        log_warn("The new certificates of Kafka cannot be used: clients keep those before them",
                 log_text("reason", error.text));
}

static bool is_let_in(const struct kafka_trial *trial) {
    char *name = rd_kafka_clusterid(trial->client->handle, 0);
    if (name == NULL) return false;
    rd_kafka_mem_free(trial->client->handle, name);
    return true;
}

bool kafka_trial_has_passed(struct kafka_trial *trial) {
    struct error why;
    if (trial->client == NULL) return false;
    if (is_let_in(trial)) {
        log_info("Brokers let a client in with the new certificates",
                 log_text("client", rd_kafka_name(trial->client->handle)));
        kafka_trial_end(trial);
        return true;
    }
    if (clock_ms() < trial->warn_ms || !kafka_access_is_denied(&trial->client->access, &why))
        return false;
    log_warn("Brokers do not let a client in with the new certificates: clients keep those before "
             "them until they do",
             log_text("client", rd_kafka_name(trial->client->handle)),
             log_text("reason", why.text));
    trial->warn_ms = clock_ms() + WARN_MS;
    return false;
}

bool kafka_trial_is_under_way(const struct kafka_trial *trial) {
    return trial->client != NULL;
}

void kafka_trial_end(struct kafka_trial *trial) {
    kafka_client_destroy(&trial->client);
}
