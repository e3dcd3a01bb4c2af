/* One switch (judge) turns librdkafka's errors into verdicts; an error without a class is fatal, as
 * its documentation wants it. Without a transactional id the same calls give at-least-once: commit
 * flushes, looks at the delivery reports, and then commits the offsets by the consumer.
 *
 * What a topic takes (its max.message.bytes, after compression) is only known when it refuses: the
 * transaction is aborted, and when the record comes again it is sent smaller. A record that may have
 * shared its batch says nothing of its own size: then the next producer makes batches of half the
 * size, until those go through, or a record that has one for itself is refused. */
#include "edge/kafka_sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "edge/kafka_brokers.h"
#include "edge/kafka_flight.h"
#include "edge/kafka_headers.h"
#include "edge/kafka_log.h"
#include "edge/kafka_parcel.h"
#include "edge/kafka_topics.h"

enum {
    QUEUE_MESSAGES = 25000,
    MESSAGE_BYTES_MAX = 100000000,
    IDLE_MS = 15000,
    LINGER_MS = 500, /* below the least message.timeout.ms that a transaction may have */
    SETTLE_MS = 1000,
    START_MS = 2,
    LOOK_AGAIN_MS = 300,
    LOOKS_MAX = 5,
    REFUSALS_MAX = 3,
};

struct kafka_sink {
    struct kafka_sink_options options;
    rd_kafka_t *producer;
    struct kafka_brokers *brokers;
    struct kafka_flight *flight; /* the producer's */
    rd_kafka_topic_t *topics[2]; /* of the producer, by is_rejected; NULL: not written */
    bool keeps_partition[2];     /* by is_rejected */
    bool is_committing; /* offsets are in the transaction; only its commit may be said again */
    rd_kafka_resp_err_t delivery_error; /* first since the last commit or abort */
    unsigned refusal_count;   /* transactions in a row that failed for a record Kafka finds wrong */
    size_t batch_bytes;       /* producer.batch.size, or less where a topic refused such batches */
    bool is_batch_refused;    /* the next producer must make smaller ones */
    size_t too_many_bytes[2]; /* by is_rejected: of the smallest record refused alone; 0: none */
};

static void note_too_large(struct kafka_sink *sink, bool is_rejected, size_t bytes) {
    size_t *least = &sink->too_many_bytes[is_rejected];
    if (*least == 0 || bytes < *least) *least = bytes;
}

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque) {
    (void)producer;
    struct kafka_sink *sink = opaque;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR ||
        message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
        message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT) {
        return;
    }
    if (sink->delivery_error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        sink->delivery_error = message->err;
        sink->refusal_count += message->err == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP ||
                               message->err == RD_KAFKA_RESP_ERR_INVALID_RECORD;
    }
    if (message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        rd_kafka_headers_t *headers = NULL;
        rd_kafka_message_headers(message, &headers);
        const size_t bytes = message->key_len + message->len + kafka_headers_bytes(headers);
        const char *topic = rd_kafka_topic_name(message->rkt);
        if (bytes <= sink->batch_bytes) {
            sink->is_batch_refused = true;
        } else {
            note_too_large(sink, strcmp(topic, sink->options.topic) != 0, bytes);
        }
    }
    log_warn("A record was not delivered", log_text("topic", rd_kafka_topic_name(message->rkt)),
             log_int("partition", message->partition),
             log_text("error", rd_kafka_err2name(message->err)));
}

static void close_producer(struct kafka_sink *sink) {
    if (sink->producer == NULL) return;
    kafka_brokers_forget(&sink->brokers);
    rd_kafka_purge(sink->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_poll(sink->producer, 0);
    for (int i = 0; i < 2; i++) {
        if (sink->topics[i] != NULL) rd_kafka_topic_destroy(sink->topics[i]);
    }
    rd_kafka_destroy(sink->producer);
    kafka_flight_destroy(&sink->flight);
}

/* What rollcall owns, and its own defaults for what the user left open. */
static void configure(struct kafka_sink *sink, rd_kafka_conf_t *conf) {
    const struct properties *kafka = sink->options.kafka, *own = sink->options.producer;
    const long long queue_kb = (long long)(sink->options.queue_bytes / 1024);
    const long long messages = queue_kb < QUEUE_MESSAGES ? queue_kb : QUEUE_MESSAGES; /* of 1 KB */
    char batch_bytes[24];
    kafka_conf_own(conf, "enable.idempotence", "true");
    kafka_conf_own(conf, "partitioner", "murmur2_random");
    if (sink->options.transactional_id != NULL) {
        kafka_conf_own(conf, "transactional.id", sink->options.transactional_id);
    }
    kafka_conf_default(conf, kafka, own, "queue.buffering.max.messages", messages);
    kafka_conf_default(conf, kafka, own, "queue.buffering.max.kbytes", queue_kb);
    kafka_conf_default(conf, kafka, own, "topic.metadata.refresh.interval.ms", 10000);
    kafka_conf_default(conf, kafka, own, "message.max.bytes", MESSAGE_BYTES_MAX);
    /* librdkafka waits without end to send offsets to a coordinator that it has dropped meanwhile (see
     * kafka_brokers), until another connection goes up or down: one that is idle does so now. */
    kafka_conf_default(conf, kafka, own, "connections.max.idle.ms", IDLE_MS);
    kafka_conf_own(conf, "delivery.report.only.error", "true"); /* flush and commit tell the rest */
    snprintf(batch_bytes, sizeof batch_bytes, "%zu", sink->batch_bytes);
    kafka_conf_own(conf, "batch.size", batch_bytes);
    /* Nothing is seen before the commit, and that sends all at once. Until then there are requests to
     * save, and librdkafka's polling without a pause once a message has lingered: see kafka_flight. */
    kafka_conf_default(conf, kafka, own, "linger.ms", LINGER_MS);
    /* records without a key go to any partition, one by one */
    kafka_conf_default(conf, kafka, own, "sticky.partitioning.linger.ms", 0);
    rd_kafka_conf_set_opaque(conf, sink);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    kafka_log_attach(conf);
}

static void lower_batch(struct kafka_sink *sink) {
    sink->is_batch_refused = false;
    if (sink->batch_bytes > 1) sink->batch_bytes /= 2;
    log_warn(
        "A topic takes no batch as large as producer.batch.size: making smaller ones; raise its "
        "max.message.bytes",
        log_uint("batch_bytes", sink->batch_bytes));
}

/* Takes the place of the present producer, if there is one. */
static bool open_producer(struct kafka_sink *sink, struct error *error) {
    char why[512];
    rd_kafka_conf_t *conf = NULL;
    const struct kafka_sink_options *options = &sink->options;
    if (!kafka_conf_build(options->kafka, options->producer, KAFKA_PRODUCER, &conf, error)) {
        return false;
    }
    if (sink->is_batch_refused) lower_batch(sink);
    configure(sink, conf);
    struct kafka_flight *flight = kafka_flight_create();
    kafka_flight_attach(flight, conf);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (producer == NULL) {
        rd_kafka_conf_destroy(conf);
        kafka_flight_destroy(&flight);
        return error_set(error, "the Kafka producer cannot be made: %s", why);
    }
    close_producer(sink);
    sink->producer = producer;
    sink->flight = flight;
    sink->brokers = kafka_brokers_watch(producer);
    const char *const names[] = {options->topic, options->rejected_topic};
    for (int i = 0; i < 2; i++) {
        sink->topics[i] = *names[i] == '\0' ? NULL : rd_kafka_topic_new(producer, names[i], NULL);
    }
    return true;
}

struct kafka_sink *kafka_sink_create(const struct kafka_sink_options *options,
                                     struct error *error) {
    struct kafka_sink *sink = memory_create(sizeof *sink);
    sink->options = *options;
    sink->batch_bytes =
        (size_t)kafka_conf_number(options->kafka, options->producer, KAFKA_PRODUCER, "batch.size");
    if (!open_producer(sink, error)) kafka_sink_destroy(&sink);
    return sink;
}

void kafka_sink_destroy(struct kafka_sink **sink) {
    if (*sink == NULL) return;
    close_producer(*sink);
    free(*sink);
    *sink = NULL;
}

/* What was looked at: the input topic, and both outputs by is_rejected (-1: not written). */
struct partition_counts {
    int input, outputs[2];
};

static enum sink_verdict look_at_topics(struct kafka_sink *sink, struct kafka_source *source,
                                        int timeout_ms, struct partition_counts *counts,
                                        struct error *error) {
    struct topic_facts facts;
    const enum topics_verdict verdict = kafka_topics_look(
        kafka_source_borrow(source), sink->options.input_topic, timeout_ms, &facts, error);
    kafka_source_return(source);
    if (verdict != TOPICS_OK) return SINK_RETRY;
    counts->input = facts.partition_count;
    for (int is_rejected = 0; is_rejected < 2; is_rejected++) {
        const char *topic = is_rejected ? sink->options.rejected_topic : sink->options.topic;
        counts->outputs[is_rejected] = -1;
        if (*topic == '\0') continue;
        if (kafka_topics_look(sink->producer, topic, timeout_ms, &facts, error) != TOPICS_OK) {
            return SINK_RETRY;
        }
        counts->outputs[is_rejected] = facts.partition_count;
    }
    return SINK_OK;
}

static bool differ(const struct partition_counts *counts) {
    return counts->outputs[0] != counts->input ||
           (counts->outputs[1] >= 0 && counts->outputs[1] != counts->input);
}

/* Topics that differ may be about to grow, one after the other: they count once they have been the
 * same for a while. */
static enum sink_verdict look_until_still(struct kafka_sink *sink, struct kafka_source *source,
                                          int timeout_ms, struct partition_counts *counts,
                                          struct error *error) {
    struct partition_counts before = {0};
    enum sink_verdict verdict = look_at_topics(sink, source, timeout_ms, counts, error);
    for (int look = 1; verdict == SINK_OK && look < LOOKS_MAX && differ(counts) &&
                       memcmp(&before, counts, sizeof before) != 0;
         look++) {
        before = *counts;
        clock_sleep_ms(LOOK_AGAIN_MS);
        verdict = look_at_topics(sink, source, timeout_ms, counts, error);
    }
    return verdict;
}

enum sink_verdict kafka_sink_count_partitions(struct kafka_sink *sink, struct kafka_source *source,
                                              int timeout_ms, struct error *error) {
    struct partition_counts counts;
    enum sink_verdict verdict = look_until_still(sink, source, timeout_ms, &counts, error);
    if (verdict != SINK_OK) return verdict;
    for (int is_rejected = 0; is_rejected < 2; is_rejected++) {
        if (counts.outputs[is_rejected] < 0) continue;
        sink->keeps_partition[is_rejected] = counts.outputs[is_rejected] == counts.input;
        if (sink->keeps_partition[is_rejected]) continue;
        log_info(
            "Input and output differ in partitions: records go by key",
            log_text("topic", is_rejected ? sink->options.rejected_topic : sink->options.topic),
            log_int("partitions", counts.outputs[is_rejected]),
            log_int("input_partitions", counts.input));
    }
    return SINK_OK;
}

static enum sink_verdict judge(const struct kafka_sink *sink, rd_kafka_error_t *failure,
                               const char *what, struct error *error) {
    if (failure == NULL) return SINK_OK;
    rd_kafka_resp_err_t code = rd_kafka_error_code(failure);
    enum sink_verdict verdict = SINK_REPLACE;
    error_set(error, "%s: %s (%s)", what, rd_kafka_error_string(failure), rd_kafka_err2name(code));
    if (code == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED) {
        error_set(error,
                  "Kafka denies access: %s: %s; let this user use the transactional id: "
                  "kafka-acls.sh --add --operation Write --operation Describe --transactional-id "
                  "%s, or with instance.id not set, of all ids that begin so: "
                  "--resource-pattern-type prefixed",
                  what, rd_kafka_error_string(failure), sink->options.transactional_id);
        verdict = SINK_STOP;
    } else if (code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED) {
        error_set(error, "Kafka denies access: %s: %s; let this user Read the group", what,
                  rd_kafka_error_string(failure));
        verdict = SINK_STOP;
    } else if (code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
               code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        error_set(error,
                  "Kafka denies access: %s: %s; let this user Read the topic %s, Write and "
                  "Describe %s and %s",
                  what, rd_kafka_error_string(failure), sink->options.input_topic,
                  sink->options.topic, sink->options.rejected_topic);
        verdict = SINK_STOP;
    } else if (rd_kafka_error_txn_requires_abort(failure)) {
        verdict = SINK_ABORT;
    } else if (rd_kafka_error_is_retriable(failure)) {
        verdict = SINK_RETRY;
    }
    rd_kafka_error_destroy(failure);
    return verdict;
}

enum sink_verdict kafka_sink_open(struct kafka_sink *sink, int timeout_ms, struct error *error) {
    if (sink->options.transactional_id == NULL) return SINK_OK;
    return judge(sink, rd_kafka_init_transactions(sink->producer, timeout_ms),
                 "the transactional producer cannot start", error);
}

enum sink_verdict kafka_sink_begin(struct kafka_sink *sink, struct error *error) {
    sink->delivery_error = RD_KAFKA_RESP_ERR_NO_ERROR;
    sink->is_committing = false;
    if (sink->options.transactional_id == NULL) return SINK_OK;
    return judge(sink, rd_kafka_begin_transaction(sink->producer), "a transaction cannot begin",
                 error);
}

/* Makes the parcel one that its topic takes, as far as is known. False: there is none. */
static bool fit(struct kafka_parcel *parcel, const struct kafka_sink *sink,
                const struct batch *batch, const struct batch_record *record, struct error *error) {
    const bool is_rejected = record->reason != LOGIN_ACCEPTED;
    const size_t too_many = sink->too_many_bytes[is_rejected];
    if (too_many == 0 || kafka_parcel_bytes(parcel) < too_many) return true;
    const char *topic = rd_kafka_topic_name(sink->topics[is_rejected]);
    kafka_parcel_shrink(parcel, batch, record, sink->options.input_topic);
    log_warn("A record is too large to be published whole: key, or key and value, are left out",
             log_text("topic", topic), log_int("partition", batch->partition),
             log_int("offset", record->offset), log_int("bytes", record->value_length));
    if (kafka_parcel_bytes(parcel) < too_many) return true;
    return error_set(error,
                     "the record at %s [%d] offset %lld has %d bytes, more than topic %s takes: "
                     "raise its max.message.bytes",
                     sink->options.input_topic, batch->partition, (long long)record->offset,
                     record->value_length, topic);
}

/* What became of a record that the producer did not take. */
static enum sink_verdict judge_send(struct kafka_sink *sink, const struct batch_record *record,
                                    const struct kafka_parcel *parcel, rd_kafka_resp_err_t code,
                                    struct error *error) {
    const bool is_rejected = record->reason != LOGIN_ACCEPTED;
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) return SINK_FULL;
    if (code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION && sink->keeps_partition[is_rejected]) {
        return SINK_RECOUNT; /* the input topic grew, and perhaps the output did too */
    }
    char fatal[256] = "";
    rd_kafka_fatal_error(sink->producer, fatal, sizeof fatal);
    error_set(error, "a record cannot be sent to %s: %s",
              rd_kafka_topic_name(sink->topics[is_rejected]),
              *fatal != '\0' ? fatal : rd_kafka_err2str(code));
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        note_too_large(sink, is_rejected, kafka_parcel_bytes(parcel));
    }
    return code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__FENCED ? SINK_REPLACE
                                                                                 : SINK_ABORT;
}

/* Sends it. The headers are the producer's then; on failure they stay the caller's. */
static rd_kafka_resp_err_t produce(struct kafka_sink *sink, const struct batch *batch,
                                   const struct batch_record *record,
                                   const struct kafka_parcel *parcel) {
    const bool is_rejected = record->reason != LOGIN_ACCEPTED;
    const int32_t partition =
        sink->keeps_partition[is_rejected] ? batch->partition : RD_KAFKA_PARTITION_UA;
    return rd_kafka_producev(
        sink->producer, RD_KAFKA_V_RKT(sink->topics[is_rejected]), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_VALUE((void *)parcel->value.bytes, parcel->value.length),
        RD_KAFKA_V_KEY(parcel->key.bytes, parcel->key.length),
        RD_KAFKA_V_TIMESTAMP(record->timestamp_ms), /* to librdkafka 0 is now */
        RD_KAFKA_V_HEADERS(parcel->headers), RD_KAFKA_V_END);
}

enum sink_verdict kafka_sink_send(struct kafka_sink *sink, const struct batch *batch,
                                  const struct batch_record *record, struct error *error) {
    if (sink->topics[record->reason != LOGIN_ACCEPTED] == NULL) return SINK_OK;
    if (sink->refusal_count >= REFUSALS_MAX) {
        error_set(error,
                  "%s or %s refuses a record that %s took: give it the same "
                  "message.timestamp.before.max.ms and .after.max.ms, and no "
                  "cleanup.policy=compact",
                  sink->options.topic, sink->options.rejected_topic, sink->options.input_topic);
        return SINK_STOP;
    }
    enum sink_verdict verdict = SINK_STOP;
    struct kafka_parcel parcel = kafka_parcel_pack(batch, record, sink->options.input_topic);
    if (fit(&parcel, sink, batch, record, error)) {
        const rd_kafka_resp_err_t code = produce(sink, batch, record, &parcel);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return SINK_OK;
        verdict = judge_send(sink, record, &parcel, code, error);
    }
    kafka_parcel_release(&parcel);
    return verdict;
}

void kafka_sink_make_room(struct kafka_sink *sink, int timeout_ms) {
    if (!kafka_flight_wait(sink->flight, timeout_ms)) rd_kafka_flush(sink->producer, START_MS);
    kafka_sink_serve(sink, 0);
}

void kafka_sink_serve(struct kafka_sink *sink, int timeout_ms) {
    rd_kafka_poll(sink->producer, timeout_ms);
}

/* Whether what is in hand is still ours; else sets the error. */
static bool is_still_ours(struct kafka_source *source, bool (*may_commit)(void *), void *context,
                          struct error *error) {
    return (kafka_source_is_same_member(source) && may_commit(context)) ||
           error_set(error, "a partition was given away meanwhile");
}

static enum sink_verdict commit_plain(struct kafka_sink *sink, struct kafka_source *source,
                                      const struct kafka_committed *offsets, size_t count,
                                      bool (*may_commit)(void *), void *context, int timeout_ms,
                                      struct error *error) {
    if (rd_kafka_flush(sink->producer, timeout_ms) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        error_set(error, "Kafka takes no records: not delivered within %d ms", timeout_ms);
        return SINK_RETRY;
    }
    if (sink->delivery_error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        error_set(error, "a record was not delivered: %s", rd_kafka_err2str(sink->delivery_error));
        return SINK_ABORT;
    }
    return is_still_ours(source, may_commit, context, error) &&
                   kafka_source_commit(source, offsets, count, error)
               ? SINK_OK
               : SINK_ABORT;
}

static enum sink_verdict send_offsets(struct kafka_sink *sink, struct kafka_source *source,
                                      const struct kafka_committed *offsets, size_t count,
                                      bool (*may_commit)(void *), void *context, int timeout_ms,
                                      struct error *error) {
    rd_kafka_consumer_group_metadata_t *metadata =
        rd_kafka_consumer_group_metadata(kafka_source_borrow(source));
    kafka_source_return(source);
    if (metadata == NULL) { /* the consumer is closing */
        error_set(error, "the group was left meanwhile");
        return SINK_ABORT;
    }
    if (!is_still_ours(source, may_commit, context, error)) {
        rd_kafka_consumer_group_metadata_destroy(metadata);
        return SINK_ABORT;
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        kafka_offset_put(list, sink->options.input_topic, &offsets[i]);
    }
    enum sink_verdict verdict = judge(
        sink, rd_kafka_send_offsets_to_transaction(sink->producer, list, metadata, timeout_ms),
        "offsets cannot join the transaction", error);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_group_metadata_destroy(metadata);
    return verdict == SINK_RETRY ? SINK_ABORT : verdict; /* the group may have moved on: anew */
}

static enum sink_verdict commit_transaction(struct kafka_sink *sink, struct kafka_source *source,
                                            const struct kafka_committed *offsets, size_t count,
                                            bool (*may_commit)(void *), void *context,
                                            int timeout_ms, struct error *error) {
    if (!sink->is_committing) {
        enum sink_verdict verdict =
            send_offsets(sink, source, offsets, count, may_commit, context, timeout_ms, error);
        if (verdict != SINK_OK) return verdict;
        sink->is_committing = true;
    }
    return judge(sink, rd_kafka_commit_transaction(sink->producer, timeout_ms),
                 "the transaction cannot be committed", error);
}

enum sink_verdict kafka_sink_commit(struct kafka_sink *sink, struct kafka_source *source,
                                    const struct kafka_committed *offsets, size_t count,
                                    bool (*may_commit)(void *), void *context, int timeout_ms,
                                    struct error *error) {
    if (!sink->is_committing) { /* the rest is under way while the offsets are sent */
        kafka_flight_settle(sink->flight, SETTLE_MS);
        rd_kafka_flush(sink->producer, START_MS);
    }
    const enum sink_verdict verdict =
        sink->options.transactional_id == NULL
            ? commit_plain(sink, source, offsets, count, may_commit, context, timeout_ms, error)
            : commit_transaction(sink, source, offsets, count, may_commit, context, timeout_ms,
                                 error);
    if (verdict == SINK_OK) sink->refusal_count = 0;
    return verdict;
}

enum sink_verdict kafka_sink_abort(struct kafka_sink *sink, int timeout_ms, struct error *error) {
    enum sink_verdict verdict = SINK_OK;
    if (sink->options.transactional_id == NULL) {
        rd_kafka_purge(sink->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(sink->producer, timeout_ms);
        sink->delivery_error = RD_KAFKA_RESP_ERR_NO_ERROR;
    } else {
        verdict = judge(sink, rd_kafka_abort_transaction(sink->producer, timeout_ms),
                        "the transaction cannot be aborted", error);
    }
    return verdict == SINK_OK && sink->is_batch_refused ? SINK_REPLACE : verdict;
}

enum sink_verdict kafka_sink_replace(struct kafka_sink *sink, struct error *error) {
    return open_producer(sink, error) ? SINK_OK : SINK_STOP;
}
