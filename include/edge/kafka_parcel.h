/* kafka_parcel: what is sent of a record, beside what came.
 *
 * Place:    under kafka_sink.
 * Threads:  the sink's.
 * Owns:     its headers. Key and value lie in the batch.
 *
 * An accepted record goes out as it came, with its user_id as key if it had none; a rejected one as it
 * came, with headers that say why and where from.
 */
#ifndef EDGE_KAFKA_PARCEL_H
#define EDGE_KAFKA_PARCEL_H

#include <librdkafka/rdkafka.h>
#include <stddef.h>

#include "flow/batch.h"

struct kafka_parcel {
    struct slice key, value;
    rd_kafka_headers_t *headers; /* NULL: none */
};

/* Borrows all; what it points to is good as long as the batch. */
struct kafka_parcel kafka_parcel_pack(const struct batch *batch, const struct batch_record *record,
                                      const char *input_topic);

/* Frees the headers, unless a producer took them. */
void kafka_parcel_release(struct kafka_parcel *parcel);

/* What of a topic's max.message.bytes is the record's own. */
size_t kafka_parcel_bytes(const struct kafka_parcel *parcel);

/* Takes from a parcel that is too large what was added to an accepted record, and from a rejected one
 * all but why and where from: it must hold nobody up. */
void kafka_parcel_shrink(struct kafka_parcel *parcel, const struct batch *batch,
                         const struct batch_record *record, const char *input_topic);

#endif
