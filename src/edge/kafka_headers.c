/* In the formats before 2 the length before a value takes four bytes, big end first: the last of them
 * are never the varint of the same length. And a value that librdkafka keeps elsewhere, as it does
 * an empty one, is not behind its key. So what looks like a record of format 2 is one. */
#include "edge/kafka_headers.h"

#include <stdint.h>
#include <string.h>

enum { LENGTH_BYTES_MAX = 5, NULL_LENGTH = 1, NO_HEADERS = 0 };

/* Writes a length the way format 2 does, as a varint in zigzag coding, and answers its bytes. */
static size_t put_length(uint8_t *out, size_t length) {
    size_t rest = length * 2, bytes = 0;
    for (; rest >= 0x80; rest >>= 7)
        out[bytes++] = (uint8_t)(rest | 0x80);
    out[bytes++] = (uint8_t)rest;
    return bytes;
}

bool kafka_headers_are_none(const rd_kafka_message_t *message) {
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

rd_kafka_headers_t *kafka_headers_take(rd_kafka_message_t *message) {
    rd_kafka_headers_t *headers = NULL;
    if (!kafka_headers_are_none(message)) rd_kafka_message_detach_headers(message, &headers);
    return headers;
}

size_t kafka_headers_bytes(const rd_kafka_headers_t *headers) {
    size_t sum = 0, bytes;
    const char *name;
    const void *value;
    for (size_t i = 0;
         headers != NULL &&
         rd_kafka_header_get_all(headers, i, &name, &value, &bytes) == RD_KAFKA_RESP_ERR_NO_ERROR;
         i++) {
        sum += strlen(name) + bytes;
    }
    return sum;
}
