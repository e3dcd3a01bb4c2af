/* An accepted record goes out as it came, with its user_id as key if it had none; a rejected one as
 * it came, with headers that describe why it was rejected and where it came from. If that is too
 * large for the topic, an accepted record goes without what was added, and a rejected one with the
 * added headers alone: it must not hold up the others. */
#include "kafka_private.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* What is sent of a record. */
struct parcel {
    struct slice key, value;
    rd_kafka_headers_t *headers; /* NULL: none */
};

static void add_text(rd_kafka_headers_t *headers, const char *name, const char *text) {
    rd_kafka_header_add(headers, name, -1, text, (ssize_t)strlen(text));
}

static void add_number(rd_kafka_headers_t *headers, const char *name, int64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    add_text(headers, name, text);
}

/* Adds where a rejected record came from and why it was rejected. */
static void add_error(rd_kafka_headers_t *headers, const struct sink_record *record,
                      const char *input_topic) {
    add_text(headers, "__rollcall.errors.reason", login_reason_name(record->reason));
    rd_kafka_header_add(headers, "__rollcall.errors.detail", -1, record->text.bytes,
                        (ssize_t)record->text.length);
    add_text(headers, "__rollcall.errors.topic", input_topic);
    add_number(headers, "__rollcall.errors.partition", record->partition);
    add_number(headers, "__rollcall.errors.offset", record->offset);
}

static struct parcel pack(const struct sink_record *record, const char *input_topic,
                          bool is_small) {
    struct parcel parcel = {.key = {NULL, 0}};
    const bool is_rejected = record->reason != LOGIN_ACCEPTED;
    if (!is_rejected || !is_small) {
        parcel = (struct parcel){record->key, record->value, NULL};
        if (record->headers != NULL) {
            parcel.headers = rd_kafka_headers_copy((const rd_kafka_headers_t *)record->headers);
        }
    }
    if (is_rejected) {
        if (parcel.headers == NULL) parcel.headers = rd_kafka_headers_new(5);
        add_error(parcel.headers, record, input_topic);
    } else if (parcel.key.bytes == NULL && !is_small) {
        parcel.key = record->text;
    }
    return parcel;
}

static void discard(struct parcel *parcel) {
    if (parcel->headers != NULL) rd_kafka_headers_destroy(parcel->headers);
}

static size_t count_bytes(const struct parcel *parcel) {
    return parcel->key.length + parcel->value.length +
           kafka_headers_bytes((const struct kafka_headers *)parcel->headers);
}

bool kafka_output_open(struct kafka_output *output, rd_kafka_t *producer, struct error *error) {
    output->producer = producer;
    output->topic = rd_kafka_topic_new(producer, output->name, NULL);
    return output->topic != NULL || error_set(error, "topic %s cannot be written: %s", output->name,
                                              rd_kafka_err2str(rd_kafka_last_error()));
}

void kafka_output_close(struct kafka_output *output) {
    if (output->topic != NULL) rd_kafka_topic_destroy(output->topic);
    output->topic = NULL;
}

void kafka_output_limit(struct kafka_output *output, size_t bytes) {
    if (output->limit_bytes == 0 || bytes < output->limit_bytes) output->limit_bytes = bytes;
}

bool kafka_output_is_refusal(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP ||
           code == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
           code == RD_KAFKA_RESP_ERR__INVALID_DIFFERENT_RECORD;
}

const char *kafka_output_fix(rd_kafka_resp_err_t code) {
    switch (code) {
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR__INVALID_DIFFERENT_RECORD:
        return "give it the same message.timestamp.before.max.ms and .after.max.ms as the input, "
               "and no cleanup.policy=compact";
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return "create the topic again, with as many partitions as the input";
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return "give this user the ACLs Write and Describe on it";
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return "raise its max.message.bytes";
    default:
        return "see the brokers' logs";
    }
}

/* Packs it smaller if its topic is known not to take it. False: the topic takes none of it. */
static bool fit(struct parcel *parcel, const struct kafka_output *output,
                const struct sink_record *record, struct error *error) {
    if (output->limit_bytes == 0 || count_bytes(parcel) < output->limit_bytes) return true;
    discard(parcel);
    *parcel = pack(record, output->input_topic, true);
    log_warn("A record is too large to be published whole: key, or key and value, are left out",
             log_text("topic", output->name), log_int("partition", record->partition),
             log_int("offset", record->offset), log_uint("bytes", record->value.length));
    if (count_bytes(parcel) < output->limit_bytes) return true;
    return error_set(error,
                     "the record at %s [%d] offset %lld has %zu bytes, more than topic %s takes: "
                     "raise its max.message.bytes",
                     output->input_topic, record->partition, (long long)record->offset,
                     record->value.length, output->name);
}

/* The headers are the producer's then; if it fails they stay the caller's. */
static rd_kafka_resp_err_t produce(const struct kafka_output *output, const struct parcel *parcel,
                                   const struct sink_record *record) {
    const int32_t partition = output->keeps_partition ? record->partition : RD_KAFKA_PARTITION_UA;
    return rd_kafka_producev(
        output->producer, RD_KAFKA_V_RKT(output->topic), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_VALUE((void *)parcel->value.bytes, parcel->value.length),
        RD_KAFKA_V_KEY(parcel->key.bytes, parcel->key.length),
        RD_KAFKA_V_TIMESTAMP(record->timestamp_ms), /* to librdkafka 0 is now */
        RD_KAFKA_V_HEADERS(parcel->headers), RD_KAFKA_V_END);
}

/* What became of a record that the producer did not take. */
static enum sink_verdict judge(struct kafka_output *output, const struct parcel *parcel,
                               rd_kafka_resp_err_t code, struct error *error) {
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) return SINK_FULL;
    if (code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION && output->keeps_partition) {
        return SINK_RECOUNT; /* the input topic grew, and perhaps the output did too */
    }
    char fatal[256] = "";
    const rd_kafka_resp_err_t cause = rd_kafka_fatal_error(output->producer, fatal, sizeof fatal);
    error_set(error, "a record cannot be sent to topic %s: %s; %s", output->name,
              *fatal != '\0' ? fatal : rd_kafka_err2str(code), kafka_output_fix(code));
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        kafka_output_limit(output, count_bytes(parcel));
    }
    if (code == RD_KAFKA_RESP_ERR__FENCED || cause == RD_KAFKA_RESP_ERR__FENCED) return SINK_FENCED;
    return code == RD_KAFKA_RESP_ERR__FATAL ? SINK_REPLACE : SINK_ABORT;
}

enum sink_verdict kafka_output_send(struct kafka_output *output, const struct sink_record *record,
                                    struct error *error) {
    enum sink_verdict verdict = SINK_STOP;
    struct parcel parcel = pack(record, output->input_topic, false);
    if (fit(&parcel, output, record, error)) {
        const rd_kafka_resp_err_t code = produce(output, &parcel, record);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return SINK_OK;
        verdict = judge(output, &parcel, code, error);
    }
    discard(&parcel);
    return verdict;
}
