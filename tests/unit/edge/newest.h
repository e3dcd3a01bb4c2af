/* newest: the client that was made last, and how many there are. */
#ifndef TESTS_NEWEST_H
#define TESTS_NEWEST_H

#include <dlfcn.h>

#include <librdkafka/rdkafka.h>

static rd_kafka_t *newest;
static int client_count; /* that were made and not destroyed */

/* These stand in front of librdkafka's own. */
rd_kafka_t *rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t bytes) {
    rd_kafka_t *(*real)(rd_kafka_type_t, rd_kafka_conf_t *, char *, size_t);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_new");
    newest = real(type, conf, text, bytes);
    client_count += newest != NULL;
    return newest;
}

void rd_kafka_destroy(rd_kafka_t *client) {
    void (*real)(rd_kafka_t *);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_destroy");
    client_count--;
    real(client);
}

#endif
