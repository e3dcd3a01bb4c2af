#include "edge/kafka_headers.h"

#include <string.h>

rd_kafka_headers_t *kafka_headers_take(rd_kafka_message_t *message) {
    rd_kafka_headers_t *headers = NULL;
    rd_kafka_resp_err_t err = rd_kafka_message_detach_headers(message, &headers);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ? headers : NULL;
}

void kafka_headers_free(rd_kafka_headers_t *headers) {
    if (headers != NULL) rd_kafka_headers_destroy(headers);
}

size_t kafka_headers_bytes(const rd_kafka_headers_t *headers) {
    size_t sum = 0, bytes;
    const char *name;
    const void *value;
    for (size_t i = 0; headers != NULL && rd_kafka_header_get_all(headers, i, &name, &value, &bytes) ==
                                              RD_KAFKA_RESP_ERR_NO_ERROR;
         i++) {
        sum += strlen(name) + bytes;
    }
    return sum;
}
