/* kafka_brokers: a client that has lost every broker gets those of its configuration again.
 *
 * Place:    kept by each client's owner: kafka_source, kafka_sink, kafka_feed.
 * Threads:  the one that polls the client.
 *
 * A cluster whose brokers are all fenced for a moment (one broker that slept, a cluster that has just
 * been started) names none of them in its metadata. librdkafka takes that at its word (since 2.10.0,
 * seen up to 2.15.1): it drops all connections, those of bootstrap.servers too, and cancels its own
 * re-bootstrap; from then on the client asks nobody. See its issue 5301.
 */
#ifndef EDGE_KAFKA_BROKERS_H
#define EDGE_KAFKA_BROKERS_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

struct kafka_brokers {
    int64_t due_ms; /* when to name the brokers again; 0: nothing is amiss */
};

/* From the client's error_cb: logs, and notes that all brokers are down. */
void kafka_brokers_heard(struct kafka_brokers *brokers, const rd_kafka_t *client, int code,
                         const char *reason);

/* To be called often: if they went down a while ago, names them to the client again. It keeps those
 * it has. */
void kafka_brokers_serve(struct kafka_brokers *brokers, rd_kafka_t *client);

#endif
