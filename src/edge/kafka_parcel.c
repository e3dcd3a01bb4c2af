#include "edge/kafka_parcel.h"

#include <stdio.h>
#include <string.h>

#include "core/login.h"

static void add_text(rd_kafka_headers_t *headers, const char *name, const char *text) {
    rd_kafka_header_add(headers, name, -1, text, (ssize_t)strlen(text));
}

static void add_number(rd_kafka_headers_t *headers, const char *name, int64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    add_text(headers, name, text);
}

/* Adds where a rejected record came from and why it was rejected. */
static rd_kafka_headers_t *add_error_headers(rd_kafka_headers_t *headers, const struct batch *batch,
                                             const struct batch_record *record,
                                             const char *input_topic) {
    const rd_kafka_message_t *message = record->message;
    if (headers == NULL) headers = rd_kafka_headers_new(5);
    add_text(headers, "__rollcall.errors.reason",
             login_reason_name((enum login_reason)record->reason));
    rd_kafka_header_add(headers, "__rollcall.errors.detail", -1, batch->text + record->text_offset,
                        (ssize_t)record->text_length);
    add_text(headers, "__rollcall.errors.topic", input_topic);
    add_number(headers, "__rollcall.errors.partition", message->partition);
    add_number(headers, "__rollcall.errors.offset", message->offset);
    return headers;
}

struct kafka_parcel kafka_parcel_pack(const struct batch *batch, const struct batch_record *record,
                                      const char *input_topic) {
    const rd_kafka_message_t *message = record->message;
    struct kafka_parcel parcel = {message->key, message->payload, message->key_len, message->len,
                                  NULL};
    rd_kafka_headers_t *own = NULL;
    if (rd_kafka_message_headers(message, &own) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        parcel.headers = rd_kafka_headers_copy(own);
    }
    if (record->fate == BATCH_REJECTED) {
        parcel.headers = add_error_headers(parcel.headers, batch, record, input_topic);
    } else if (parcel.key == NULL && record->text_length > 0) {
        parcel.key = batch->text + record->text_offset;
        parcel.key_bytes = record->text_length;
    }
    return parcel;
}

void kafka_parcel_release(struct kafka_parcel *parcel) {
    if (parcel->headers != NULL) rd_kafka_headers_destroy(parcel->headers);
    parcel->headers = NULL;
}

size_t kafka_parcel_bytes(const struct kafka_parcel *parcel) {
    size_t bytes = parcel->key_bytes + parcel->value_bytes, header_bytes;
    const char *name;
    const void *value;
    for (size_t i = 0; parcel->headers != NULL &&
                       rd_kafka_header_get_all(parcel->headers, i, &name, &value, &header_bytes) ==
                           RD_KAFKA_RESP_ERR_NO_ERROR;
         i++) {
        bytes += strlen(name) + header_bytes;
    }
    return bytes;
}

void kafka_parcel_shrink(struct kafka_parcel *parcel, const struct batch *batch,
                         const struct batch_record *record, const char *input_topic) {
    const rd_kafka_message_t *message = record->message;
    if (record->fate == BATCH_REJECTED) {
        kafka_parcel_release(parcel);
        *parcel =
            (struct kafka_parcel){.headers = add_error_headers(NULL, batch, record, input_topic)};
    } else if (message->key == NULL) {
        parcel->key = NULL;
        parcel->key_bytes = 0;
    }
}
