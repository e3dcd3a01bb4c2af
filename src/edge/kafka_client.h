/* kafka_client: a client of librdkafka: where its log lines go, and that it finds its brokers
 * again.
 *
 * Place:    under kafka_source, kafka_sink and kafka_feed.
 * Threads:  one owner; librdkafka logs from its own threads.
 * Owns:     the handle, and a thread that looks after its brokers. Only a thread of its own can:
 *           all others may wait in librdkafka for those very brokers, some without end
 *           (rd_kafka_send_offsets_to_transaction).
 * Waits:    destroy, for librdkafka's threads.
 *
 * A cluster whose brokers are all fenced for a moment (one broker that slept, a cluster that has
 * just been started) names none of them in its metadata. librdkafka takes that at its word (since
 * 2.10.0, seen up to 2.15.1; its issue 5301): it drops all connections, those to bootstrap.servers
 * too, and cancels its own re-bootstrap. From then on the client asks nobody, and does not always
 * report it. So every few seconds the thread checks whether the client knows a broker that it could
 * ask, and otherwise adds those of bootstrap.servers again. It can go when no version we accept has
 * that fault.
 */
#ifndef EDGE_KAFKA_CLIENT_H
#define EDGE_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>

#include "base/error.h"
#include "base/worker.h"
#include "edge/kafka_conf.h"

struct kafka_client {
    rd_kafka_t *handle;
    struct worker brokers; /* looks after them */
    int64_t look_ms;       /* the worker's: when to look next */
};

/* Sends the lines of a client of this configuration to base/log, as much as log.level lets
 * through. */
void kafka_client_log(rd_kafka_conf_t *conf);

/* Takes conf. NULL with an error. */
struct kafka_client *kafka_client_create(enum kafka_role role, rd_kafka_conf_t *conf,
                                         struct error *error);

/* Takes *client, which may be NULL, and nulls it. */
void kafka_client_destroy(struct kafka_client **client);

#endif
