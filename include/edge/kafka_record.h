/* kafka_record: what a batch keeps of a message that was read.
 *
 * Place:    between kafka_source and kafka_parcel, which makes of it what is sent.
 * Threads:  INGEST's.
 * Owns:     the headers in the batch, which outlive the message and its consumer.
 */
#ifndef EDGE_KAFKA_RECORD_H
#define EDGE_KAFKA_RECORD_H

#include <librdkafka/rdkafka.h>

#include "core/batch.h"

/* Milliseconds since 1970; -1 if the message has none. */
int64_t kafka_record_timestamp_ms(const rd_kafka_message_t *message);

/* Keeps in the batch what is to be published of the message: all of it, its timestamp as above, and
 * the key to give it, or why it is rejected. Takes the message's headers, borrows the rest. */
void kafka_record_keep(struct batch *batch, rd_kafka_message_t *message, int64_t timestamp_ms,
                       const struct login *login);

/* Frees the headers of all records of the batch, which is to be cleared next. */
void kafka_record_release(struct batch *batch);

#endif
