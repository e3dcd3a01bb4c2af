#include "edge/kafka_brokers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/inbox.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"

/* Also bounds how often brokers are named: librdkafka keeps each list it was ever given. */
enum { LOOK_MS = 5000 };

struct kafka_brokers {
    rd_kafka_t *client;
    pthread_t thread;
    bool is_running;
    atomic_bool must_stop;
    struct inbox inbox; /* only to sleep by */
};

/* A request for metadata with no time to wait fails in another way where there is nobody to ask. */
static bool has_any(rd_kafka_t *client) {
    const struct rd_kafka_metadata *cluster = NULL;
    const rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, NULL, &cluster, 0);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) rd_kafka_metadata_destroy(cluster);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR__TIMED_OUT;
}

/* The client keeps those that it has. */
static void name_brokers(rd_kafka_t *client) {
    static const char name[] = "bootstrap.servers";
    const rd_kafka_conf_t *conf = rd_kafka_conf(client);
    size_t bytes = 0;
    if (rd_kafka_conf_get(conf, name, NULL, &bytes) != RD_KAFKA_CONF_OK) return;
    char *list = memory_create(bytes);
    rd_kafka_conf_get(conf, name, list, &bytes);
    rd_kafka_brokers_add(client, list);
    free(list);
}

static void *run(void *context) {
    struct kafka_brokers *brokers = context;
    for (;;) {
        inbox_wait(&brokers->inbox, LOOK_MS);
        if (atomic_load(&brokers->must_stop)) return NULL;
        if (!has_any(brokers->client)) name_brokers(brokers->client);
    }
}

struct kafka_brokers *kafka_brokers_watch(rd_kafka_t *client) {
    struct kafka_brokers *brokers = memory_create(sizeof *brokers);
    brokers->client = client;
    inbox_init(&brokers->inbox, NULL, NULL);
    brokers->is_running = thread_start(&brokers->thread, "brokers", run, brokers);
    if (!brokers->is_running) log_warn("A thread cannot be made: nobody looks after the brokers");
    return brokers;
}

void kafka_brokers_forget(struct kafka_brokers **brokers) {
    if (*brokers == NULL) return;
    atomic_store(&(*brokers)->must_stop, true);
    inbox_wake(&(*brokers)->inbox);
    if ((*brokers)->is_running) pthread_join((*brokers)->thread, NULL);
    inbox_fini(&(*brokers)->inbox);
    free(*brokers);
    *brokers = NULL;
}
