#include "edge/kafka_record.h"

#include <string.h>

#include "edge/kafka_headers.h"

enum { HEADERS_BYTES = 256 }; /* about what librdkafka keeps beside a record's headers */

int64_t kafka_record_timestamp_ms(const rd_kafka_message_t *message) {
    rd_kafka_timestamp_type_t type;
    const int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
    return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : timestamp_ms;
}

static struct slice text_for(const rd_kafka_message_t *message, const struct login *login) {
    if (login->reason != LOGIN_ACCEPTED) {
        return (struct slice){login->detail, strlen(login->detail)};
    }
    if (message->key != NULL || login->user_id.length == 0) return (struct slice){NULL, 0};
    return (struct slice){login->user_id.bytes, login->user_id.length};
}

void kafka_record_keep(struct batch *batch, rd_kafka_message_t *message, int64_t timestamp_ms,
                       const struct login *login) {
    const struct slice key = {message->key, message->key_len};
    const struct slice value = {message->payload, message->len};
    struct batch_record *record = batch_keep(batch, key, value, text_for(message, login));
    record->offset = message->offset;
    record->timestamp_ms = timestamp_ms;
    record->reason = (uint8_t)login->reason;
    rd_kafka_headers_t *headers = kafka_headers_take(message);
    record->headers = headers;
    if (headers != NULL) batch->header_bytes += HEADERS_BYTES + kafka_headers_bytes(headers);
}

void kafka_record_release(struct batch *batch) {
    if (batch->header_bytes == 0) return;
    for (const struct batch_record *record = batch_next(batch, NULL); record != NULL;
         record = batch_next(batch, record)) {
        if (record->headers != NULL) rd_kafka_headers_destroy(record->headers);
    }
}
