/* librdkafka tells whether a message has headers by means of a buffer that it allocates and frees
 * for the purpose: an eighth of all CPU that rollcall spends on a record. Most records have none,
 * and that can be seen in the message itself.
 *
 * Why that is safe: in the formats before 2 the length before a value takes four bytes, big end
 * first, and the last of those are never the varint of the same length. And a value that librdkafka
 * keeps elsewhere, as it does an empty one, is not behind its key. So what looks like a record of
 * format 2 is one. */
#include "edge/kafka_record.h"

#include <string.h>

#include "kafka_private.h"

enum { LENGTH_BYTES_MAX = 5, NULL_LENGTH = 1, NO_HEADERS = 0 };

/* Writes a length as format 2 does, as a varint in zigzag coding, and returns its bytes. */
static size_t put_length(uint8_t *out, size_t length) {
    size_t rest = length * 2, bytes = 0;
    for (; rest >= 0x80; rest >>= 7)
        out[bytes++] = (uint8_t)(rest | 0x80);
    out[bytes++] = (uint8_t)rest;
    return bytes;
}

bool kafka_record_shows_no_headers(const rd_kafka_message_t *message) {
    const uint8_t *key = message->key, *value = message->payload;
    if (value == NULL || message->len == 0 || message->len > INT32_MAX) return false;
    uint8_t length[LENGTH_BYTES_MAX];
    const size_t bytes = put_length(length, message->len);
    const uint8_t *key_end = value - bytes;
    if (memcmp(key_end, length, bytes) != 0) return false;
    const bool is_behind_key =
        key == NULL ? key_end[-1] == NULL_LENGTH : key + message->key_len == key_end;
    return is_behind_key && value[message->len] == NO_HEADERS;
}

bool kafka_record_header(const struct kafka_record *record, const char *name, struct slice *value) {
    rd_kafka_headers_t *headers;
    const void *bytes;
    if (kafka_record_shows_no_headers(record->message)) return false;
    if (rd_kafka_message_headers(record->message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    if (rd_kafka_header_get_last(headers, name, &bytes, &value->length) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    value->bytes = bytes;
    return true;
}

struct kafka_headers *kafka_record_take_headers(const struct kafka_record *record) {
    rd_kafka_headers_t *headers = NULL;
    if (record->message == NULL) return NULL; /* it was not read from Kafka */
    if (!kafka_record_shows_no_headers(record->message)) {
        rd_kafka_message_detach_headers(record->message, &headers);
    }
    return (struct kafka_headers *)headers;
}

bool kafka_headers_at(const struct kafka_headers *headers, size_t place, const char **name,
                      struct slice *value) {
    const void *bytes;
    if (headers == NULL ||
        rd_kafka_header_get_all((const rd_kafka_headers_t *)headers, place, name, &bytes,
                                &value->length) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    value->bytes = bytes;
    return true;
}

size_t kafka_headers_bytes(const struct kafka_headers *headers) {
    size_t sum = 0, bytes;
    const char *name;
    const void *value;
    for (size_t i = 0;
         headers != NULL && rd_kafka_header_get_all((const rd_kafka_headers_t *)headers, i, &name,
                                                    &value, &bytes) == RD_KAFKA_RESP_ERR_NO_ERROR;
         i++) {
        sum += strlen(name) + bytes;
    }
    return sum;
}

void kafka_headers_destroy(struct kafka_headers **headers) {
    if (*headers != NULL) rd_kafka_headers_destroy((rd_kafka_headers_t *)*headers);
    *headers = NULL;
}
