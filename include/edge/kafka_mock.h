/* kafka_mock: librdkafka's in-process broker, for the demo.
 *
 * It speaks Kafka's protocol on free loopback ports, to this process and to others. It has neither
 * real transactions nor fencing: good for a demo, proof of nothing.
 *
 * Threads:  one owner; the broker runs on threads of its own.
 * Owns:     the broker and all its topics, until destroy.
 * Limits:   5 MB a partition, in memory.
 */
#ifndef EDGE_KAFKA_MOCK_H
#define EDGE_KAFKA_MOCK_H

#include <stdbool.h>

struct error;
struct kafka_mock;

/* NULL with an error if it cannot start. */
struct kafka_mock *kafka_mock_create(int broker_count, struct error *error);

/* Takes *mock, which may be NULL, and nulls it. */
void kafka_mock_destroy(struct kafka_mock **mock);

/* Where it listens, for bootstrap.servers. Good as long as the mock. */
const char *kafka_mock_bootstrap(const struct kafka_mock *mock);

/* Creates a topic. Borrows topic. */
bool kafka_mock_create_topic(struct kafka_mock *mock, const char *topic, int partition_count,
                             struct error *error);

#endif
