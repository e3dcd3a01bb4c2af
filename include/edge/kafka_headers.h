/* kafka_headers: a record's headers, on their way from the input to an output.
 *
 * Threads:  one owner at a time.
 */
#ifndef EDGE_KAFKA_HEADERS_H
#define EDGE_KAFKA_HEADERS_H

#include <librdkafka/rdkafka.h>
#include <stddef.h>

/* Takes them out of a message that was read; NULL if it has none. They outlive the message and its
 * consumer, until kafka_headers_free. */
rd_kafka_headers_t *kafka_headers_take(rd_kafka_message_t *message);
void kafka_headers_free(rd_kafka_headers_t *headers);

/* Of names and values together; 0 for NULL. */
size_t kafka_headers_bytes(const rd_kafka_headers_t *headers);

#endif
