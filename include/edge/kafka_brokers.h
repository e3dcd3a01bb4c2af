/* kafka_brokers: a client that has lost every broker gets those of its configuration again.
 *
 * Place:    beside each client that lives long, kept by its owner: kafka_source, kafka_sink, kafka_feed.
 * Threads:  watch and forget from the owner's. The look is a thread of its own: all others may wait in
 *           librdkafka for the very brokers, some without end (rd_kafka_send_offsets_to_transaction).
 * Waits:    forget, for the thread: it never waits for Kafka.
 *
 * A cluster whose brokers are all fenced for a moment (one broker that slept, a cluster that has just
 * been started) names none of them in its metadata. librdkafka takes that at its word (since 2.10.0,
 * seen up to 2.15.1): it drops all connections, those of bootstrap.servers too, and cancels its own
 * re-bootstrap; from then on the client asks nobody, and does not always tell. See its issue 5301.
 */
#ifndef EDGE_KAFKA_BROKERS_H
#define EDGE_KAFKA_BROKERS_H

#include <librdkafka/rdkafka.h>

struct kafka_brokers;

/* Looks every few seconds whether the client knows a broker that it could ask, and else names those of
 * bootstrap.servers to it. Keeps the client until kafka_brokers_forget. */
struct kafka_brokers *kafka_brokers_watch(rd_kafka_t *client);

/* To be called before the client is destroyed. Takes *brokers, which may be NULL, and nulls it. */
void kafka_brokers_forget(struct kafka_brokers **brokers);

#endif
