/* kafka_flight: which requests of a producer are under way, so that nobody flushes behind one.
 *
 * Place:    next to kafka_sink's producer.
 * Threads:  waits on the owner's; librdkafka's broker threads count.
 * Waits:    kafka_flight_wait and kafka_flight_settle, for at most their timeout.
 * Source:   librdkafka's interceptors on_request_sent and on_response_received.
 *
 * An idempotent producer has one batch of a partition under way. While another one is ready to be
 * sent, and in a flush all are, librdkafka's broker thread polls without a pause until the response
 * arrives (it sets its wake-up time before it looks at what is under way; seen up to 2.15.1). That
 * takes a core, which the broker may need to respond. A batch that is ready by its size alone does
 * not wake the thread. So whoever wants everything sent lets what is under way arrive first, and
 * then flushes the rest.
 */
#ifndef EDGE_KAFKA_FLIGHT_H
#define EDGE_KAFKA_FLIGHT_H

#include <stdbool.h>

#include <librdkafka/rdkafka.h>

struct kafka_flight;

struct kafka_flight *kafka_flight_create(void);
/* To be called after the producer was destroyed. Takes *flight, which may be NULL, and nulls it. */
void kafka_flight_destroy(struct kafka_flight **flight);

/* Counts the requests of the producer that is made with this configuration, which keeps the
 * flight. */
void kafka_flight_attach(struct kafka_flight *flight, rd_kafka_conf_t *conf);

/* Waits for a response, for timeout_ms at most. False, and at once, if none is due. May return
 * early. */
bool kafka_flight_wait(struct kafka_flight *flight, int timeout_ms);

/* Waits until no response is due and nothing was sent for a moment after the last one, or for
 * timeout_ms; not at all if none was due. What is sent after that moment costs CPU, nothing
 * else. */
void kafka_flight_settle(struct kafka_flight *flight, int timeout_ms);

#endif
