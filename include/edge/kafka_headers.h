/* kafka_headers: the headers of a message.
 *
 * librdkafka answers whether a message has any with a buffer that it makes and frees for it, which
 * costs an eighth of all that rollcall does with a record. Most have none, and that can be seen in
 * the message itself.
 *
 * Place:    taken by kafka_record; measured by kafka_parcel and kafka_sink too.
 * Threads:  whoever has the message.
 */
#ifndef EDGE_KAFKA_HEADERS_H
#define EDGE_KAFKA_HEADERS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether the message shows that it has no headers. It does as long as key and value lie where they
 * were read, in a record of Kafka's format 2 (since 0.11): the length of the value stands between
 * them, and the number of headers behind. False: it may have some; librdkafka knows.
 * Source: KIP-98, "Message Format". Borrows the message, which is a consumer's, and looks at a few
 * bytes before and behind its value. */
bool kafka_headers_are_none(const rd_kafka_message_t *message);

/* Takes the message's headers, which are the caller's to destroy; NULL: it has none. */
rd_kafka_headers_t *kafka_headers_take(rd_kafka_message_t *message);

/* Of names and values together; 0 for NULL. */
size_t kafka_headers_bytes(const rd_kafka_headers_t *headers);

#endif
