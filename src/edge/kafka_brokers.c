#include "edge/kafka_brokers.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

/* Long enough for librdkafka to be through with dropping, before which it finds that it has them. It
 * also bounds how often they are named: librdkafka keeps each list it was ever given. */
enum { NAME_AGAIN_MS = 2000 };

void kafka_brokers_heard(struct kafka_brokers *brokers, const rd_kafka_t *client, int code,
                         const char *reason) {
    log_warn("librdkafka ERROR", log_text("client", rd_kafka_name(client)),
             log_text("error", rd_kafka_err2name((rd_kafka_resp_err_t)code)),
             log_text("text", reason));
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && brokers->due_ms == 0) {
        brokers->due_ms = clock_ms() + NAME_AGAIN_MS;
    }
}

void kafka_brokers_serve(struct kafka_brokers *brokers, rd_kafka_t *client) {
    static const char name[] = "bootstrap.servers";
    if (brokers->due_ms == 0 || clock_ms() < brokers->due_ms) return;
    brokers->due_ms = 0;
    const rd_kafka_conf_t *conf = rd_kafka_conf(client);
    size_t bytes = 0;
    if (rd_kafka_conf_get(conf, name, NULL, &bytes) != RD_KAFKA_CONF_OK) return;
    char *list = memory_create(bytes);
    rd_kafka_conf_get(conf, name, list, &bytes);
    rd_kafka_brokers_add(client, list);
    free(list);
}
