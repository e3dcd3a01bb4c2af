/* newest: the client that was made last, a source's asker apart, and how many there are. */
#ifndef TESTS_NEWEST_H
#define TESTS_NEWEST_H

#include <dlfcn.h>

#include <librdkafka/rdkafka.h>

#include "edge/kafka_private.h"

static rd_kafka_t *newest, *newest_asker;
static int client_count; /* that were made and not destroyed */

/* These stand in front of librdkafka's own. */
rd_kafka_t *rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t bytes) {
    rd_kafka_t *(*real)(rd_kafka_type_t, rd_kafka_conf_t *, char *, size_t);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_new");
    /* See kafka_consumer_conf_of_asker: it reads nothing, and sees what a member may read. */
    const bool is_asker = type == RD_KAFKA_CONSUMER &&
                          kafka_conf_has(conf, "queued.min.messages", "1") &&
                          kafka_conf_has(conf, "isolation.level", "read_committed");
    rd_kafka_t *made = real(type, conf, text, bytes);
    *(is_asker ? &newest_asker : &newest) = made;
    client_count += made != NULL;
    return made;
}

void rd_kafka_destroy(rd_kafka_t *client) {
    void (*real)(rd_kafka_t *);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_destroy");
    client_count--;
    real(client);
}

#endif
