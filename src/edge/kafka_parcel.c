#include "edge/kafka_parcel.h"

#include <stdio.h>
#include <string.h>

#include "core/login.h"
#include "edge/kafka_headers.h"

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
    const struct slice detail = batch_text(record);
    if (headers == NULL) headers = rd_kafka_headers_new(5);
    add_text(headers, "__rollcall.errors.reason",
             login_reason_name((enum login_reason)record->reason));
    rd_kafka_header_add(headers, "__rollcall.errors.detail", -1, detail.bytes,
                        (ssize_t)detail.length);
    add_text(headers, "__rollcall.errors.topic", input_topic);
    add_number(headers, "__rollcall.errors.partition", batch->partition);
    add_number(headers, "__rollcall.errors.offset", record->offset);
    return headers;
}

struct kafka_parcel kafka_parcel_pack(const struct batch *batch, const struct batch_record *record,
                                      const char *input_topic) {
    struct kafka_parcel parcel = {batch_key(record), batch_value(record), NULL};
    if (record->headers != NULL) parcel.headers = rd_kafka_headers_copy(record->headers);
    if (record->reason != LOGIN_ACCEPTED) {
        parcel.headers = add_error_headers(parcel.headers, batch, record, input_topic);
    } else if (parcel.key.bytes == NULL) {
        parcel.key = batch_text(record);
    }
    return parcel;
}

void kafka_parcel_release(struct kafka_parcel *parcel) {
    if (parcel->headers != NULL) rd_kafka_headers_destroy(parcel->headers);
    parcel->headers = NULL;
}

size_t kafka_parcel_bytes(const struct kafka_parcel *parcel) {
    return parcel->key.length + parcel->value.length + kafka_headers_bytes(parcel->headers);
}

void kafka_parcel_shrink(struct kafka_parcel *parcel, const struct batch *batch,
                         const struct batch_record *record, const char *input_topic) {
    if (record->reason != LOGIN_ACCEPTED) {
        kafka_parcel_release(parcel);
        *parcel =
            (struct kafka_parcel){.headers = add_error_headers(NULL, batch, record, input_topic)};
    } else {
        parcel->key = batch_key(record);
    }
}
