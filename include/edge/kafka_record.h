/* kafka_record: one record of a topic, as rollcall sees it.
 *
 * Place:    lent by kafka_stream to INGEST.
 * Threads:  INGEST's; taken headers belong to whoever holds the batch.
 */
#ifndef EDGE_KAFKA_RECORD_H
#define EDGE_KAFKA_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Lent: good until the callback that got it returns. */
struct kafka_record {
    int64_t offset;
    int64_t timestamp_ms; /* since 1970; -1: it has none */
    int32_t leader_epoch; /* of the leader that wrote it; -1: it has none (before Kafka 0.11) */
    struct slice key, value;
    void *message; /* the edge's own */
};

/* Some headers, in an order; several may have one name. */
struct kafka_headers;

/* The last of the record's headers of this name; its value, which is lent like the record, has
 * bytes NULL if it is null. False: there is none. Before the headers are taken. Borrows name. */
bool kafka_record_header(const struct kafka_record *record, const char *name, struct slice *value);

/* Takes the record's headers, which outlive it and its consumer; NULL: it has none. */
struct kafka_headers *kafka_record_take_headers(const struct kafka_record *record);

/* A header by its place; its value has bytes NULL if it is null. False: no more. Lends both. */
bool kafka_headers_at(const struct kafka_headers *headers, size_t place, const char **name,
                      struct slice *value);

/* Of names and values together; 0 for NULL. */
size_t kafka_headers_bytes(const struct kafka_headers *headers);

/* Takes *headers, which may be NULL, and nulls it. */
void kafka_headers_destroy(struct kafka_headers **headers);

#endif
