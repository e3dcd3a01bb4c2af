/* One switch (judge) turns librdkafka's errors into verdicts; an error without a class is fatal, as
 * its documentation asks. At least once works by the same calls: commit flushes, looks at the
 * delivery reports, and then commits the offsets through the consumer.
 *
 * What a topic takes (its max.message.bytes, after compression) is only known once it rejects
 * something: the transaction is aborted, and when the record comes again it is sent smaller. A
 * record that may have shared its batch says nothing of its own size: then the next producer makes
 * batches of half the size, until those get through, or a record that has a batch of its own is
 * rejected. */
#include "edge/kafka_sink.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "kafka_private.h"

enum {
    QUEUE_MESSAGES = 25000,
    MESSAGE_BYTES_MAX = 100000000,
    IDLE_MS = 15000,
    LINGER_MS = 500, /* below the least message.timeout.ms that a transaction may have */
};

enum { SETTLE_MS = 1000, START_MS = 2, LOOK_AGAIN_MS = 300, LOOKS_MAX = 5, REFUSALS_MAX = 3 };

const struct setting kafka_sink_setting_table[] = {
    SETTING_TEXT(struct kafka_sink_settings, topic, "output", "topic", 1, 249,
                 "processed-user-login", setting_is_topic, SETTING_TOPIC_RULE, 0,
                 "topic for accepted records"),
    SETTING_TEXT(struct kafka_sink_settings, rejected_topic, "output", "rejected_topic", 0, 249,
                 "user-login-rejected", setting_is_topic, SETTING_TOPIC_RULE, 0,
                 "topic for rejected records; empty: they are only counted and logged"),
    SETTING_CHOICE(struct kafka_sink_settings, guarantee, "output", "guarantee",
                   SETTING_WORDS("at_least_once", "exactly_once"), "exactly_once", 0,
                   "how often a record is published, whatever fails"),
    SETTING_END};

static_assert((int)KAFKA_SINK_AT_LEAST_ONCE == 0 && (int)KAFKA_SINK_EXACTLY_ONCE == 1,
              "the order of the choices");

struct kafka_sink {
    struct kafka_sink_options options;
    bool is_transactional;
    struct kafka_client *client;
    struct kafka_flight *flight;        /* the client's */
    struct kafka_output outputs[2];     /* by is_rejected */
    bool is_committing;                 /* offsets are sent: only a commit may follow */
    rd_kafka_resp_err_t delivery_error; /* first since the last commit or abort */
    struct error delivery_why;          /* in words */
    unsigned refusal_count;             /* transactions in a row with an invalid record */
    size_t batch_bytes;                 /* producer.batch.size, or less if rejected */
    bool is_batch_refused;              /* the next producer must make smaller ones */
    struct kafka_trial trial;           /* of certificates that have changed */
};

/* A topic rejected the message, alone or for the batch that it was in. */
static void on_too_large(struct kafka_sink *sink, const rd_kafka_message_t *message) {
    rd_kafka_headers_t *headers = NULL;
    rd_kafka_message_headers(message, &headers);
    const size_t bytes = message->key_len + message->len +
                         kafka_headers_bytes((const struct kafka_headers *)headers);
    if (bytes <= sink->batch_bytes) {
        sink->is_batch_refused = true;
        return;
    }
    const bool is_rejected = strcmp(rd_kafka_topic_name(message->rkt), sink->outputs[0].name) != 0;
    kafka_output_limit(&sink->outputs[is_rejected], bytes);
}

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque) {
    (void)producer;
    struct kafka_sink *sink = ((struct kafka_client *)opaque)->owner;
    const rd_kafka_resp_err_t err = message->err;
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR || err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
        err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT) {
        return;
    }
    const bool is_first = sink->delivery_error == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (is_first) sink->refusal_count += kafka_output_is_refusal(err);
    if (is_first || sink->delivery_error == RD_KAFKA_RESP_ERR__INVALID_DIFFERENT_RECORD) {
        sink->delivery_error = err;
        error_set(&sink->delivery_why, "a record was not delivered to topic %s: %s; %s",
                  rd_kafka_topic_name(message->rkt), rd_kafka_err2str(err), kafka_output_fix(err));
    }
    if (err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) on_too_large(sink, message);
    log_warn("A record was not delivered", log_text("topic", rd_kafka_topic_name(message->rkt)),
             log_int("partition", message->partition), log_text("error", rd_kafka_err2name(err)));
}

static void close_producer(struct kafka_sink *sink) {
    if (sink->client == NULL) return;
    rd_kafka_purge(sink->client->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_poll(sink->client->handle, 0);
    for (int i = 0; i < 2; i++)
        kafka_output_close(&sink->outputs[i]);
    kafka_client_destroy(&sink->client);
    kafka_flight_destroy(&sink->flight);
}

/* What rollcall owns, and its own defaults for what the user left open. */
static void configure(struct kafka_sink *sink, rd_kafka_conf_t *conf) {
    const struct properties *kafka = sink->options.kafka, *own = sink->options.producer;
    const long long queue_kb = (long long)(sink->options.queue_bytes / 1024);
    const long long messages = queue_kb < QUEUE_MESSAGES ? queue_kb : QUEUE_MESSAGES; /* of 1 KB */
    kafka_conf_own(conf, "enable.idempotence", "true");
    kafka_conf_own(conf, "partitioner", "murmur2_random");
    if (sink->is_transactional) {
        kafka_conf_own(conf, "transactional.id", sink->options.transactional_id);
        kafka_conf_own(conf, "debug", "eos"); /* added to the user's; see kafka_access */
    }
    kafka_conf_default(conf, kafka, own, "queue.buffering.max.messages", messages);
    kafka_conf_default(conf, kafka, own, "queue.buffering.max.kbytes", queue_kb);
    kafka_conf_default(conf, kafka, own, "topic.metadata.refresh.interval.ms", 10000);
    kafka_conf_default(conf, kafka, own, "message.max.bytes", MESSAGE_BYTES_MAX);
    /* To send offsets to a coordinator that it has dropped meanwhile (see kafka_client), librdkafka
     * waits without end until some connection goes up or down: an idle one soon does. */
    kafka_conf_default(conf, kafka, own, "connections.max.idle.ms", IDLE_MS);
    kafka_conf_own(conf, "delivery.report.only.error", "true"); /* flush and commit show the rest */
    kafka_conf_own_number(conf, "batch.size", (long long)sink->batch_bytes);
    /* Nothing is visible before the commit, which sends everything at once. Lingering until then
     * saves requests, and librdkafka's polling without a pause once a message has lingered: see
     * kafka_flight. */
    kafka_conf_default(conf, kafka, own, "linger.ms", LINGER_MS);
    /* Records without a key go to any partition, one by one. */
    kafka_conf_default(conf, kafka, own, "sticky.partitioning.linger.ms", 0);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
}

static void lower_batch(struct kafka_sink *sink) {
    sink->is_batch_refused = false;
    if (sink->batch_bytes > 1) sink->batch_bytes /= 2;
    log_warn("A topic rejects batches as large as producer.batch.size: making smaller ones; raise "
             "its max.message.bytes",
             log_uint("batch_bytes", sink->batch_bytes));
}

/* Takes the place of the present producer, if there is one. */
static bool open_producer(struct kafka_sink *sink, struct error *error) {
    const struct kafka_sink_options *options = &sink->options;
    rd_kafka_conf_t *conf =
        kafka_conf_build(options->kafka, options->producer, KAFKA_PRODUCER, error);
    if (conf == NULL) return false;
    if (sink->is_batch_refused) lower_batch(sink);
    configure(sink, conf);
    struct kafka_flight *flight = kafka_flight_create();
    kafka_flight_attach(flight, conf);
    struct kafka_client *client = kafka_client_create(
        KAFKA_PRODUCER, conf, options->kafka, options->producer, sink, options->trouble, error);
    if (client == NULL) {
        kafka_flight_destroy(&flight);
        return false;
    }
    close_producer(sink);
    kafka_trial_end(&sink->trial);
    sink->client = client;
    sink->flight = flight;
    for (int i = 0; i < 2; i++) {
        struct kafka_output *output = &sink->outputs[i];
        if (kafka_output_is_written(output) && !kafka_output_open(output, client->handle, error)) {
            return false;
        }
    }
    return true;
}

struct kafka_sink *kafka_sink_create(const struct kafka_sink_options *options,
                                     struct error *error) {
    struct kafka_sink *sink = memory_create(sizeof *sink);
    sink->options = *options;
    sink->is_transactional = options->settings->guarantee == KAFKA_SINK_EXACTLY_ONCE;
    sink->outputs[0] = (struct kafka_output){options->settings->topic, options->input_topic};
    sink->outputs[1] =
        (struct kafka_output){options->settings->rejected_topic, options->input_topic};
    sink->batch_bytes =
        (size_t)kafka_conf_number(options->kafka, options->producer, KAFKA_PRODUCER, "batch.size");
    if (!open_producer(sink, error)) kafka_sink_destroy(&sink);
    return sink;
}

void kafka_sink_destroy(struct kafka_sink **sink) {
    if (*sink == NULL) return;
    close_producer(*sink);
    kafka_trial_end(&(*sink)->trial);
    free(*sink);
    *sink = NULL;
}

/* Of the input topic, and of both outputs by is_rejected; one that is not written has as many. */
struct partition_counts {
    int input, outputs[2];
};

static enum sink_verdict look_at_topics(struct kafka_sink *sink, struct kafka_source *source,
                                        int timeout_ms, struct partition_counts *counts,
                                        struct error *error) {
    struct topic_facts facts;
    if (kafka_topics_look(source, sink->options.input_topic, timeout_ms, &facts, error) !=
        TOPICS_OK) {
        return SINK_RETRY;
    }
    counts->input = facts.partition_count;
    for (int i = 0; i < 2; i++) {
        counts->outputs[i] = counts->input;
        if (!kafka_output_is_written(&sink->outputs[i])) continue;
        if (kafka_topics_look_with(sink->client->handle, sink->outputs[i].name, timeout_ms, &facts,
                                   error) != TOPICS_OK) {
            return SINK_RETRY;
        }
        if (!facts.exists) {
            error_set(error, "topic %s does not exist; %s", sink->outputs[i].name,
                      kafka_output_fix(RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC));
            return SINK_ABORT;
        }
        counts->outputs[i] = facts.partition_count;
    }
    return SINK_OK;
}

/* Topics that differ may be about to grow, one after the other: they are counted once they have
 * stayed the same for a moment. */
enum sink_verdict kafka_sink_count_partitions(struct kafka_sink *sink, struct kafka_source *source,
                                              int timeout_ms, struct error *error) {
    struct partition_counts counts = {0}, before;
    bool is_still = false;
    for (int look = 0; look < LOOKS_MAX && !is_still; look++) {
        if (look > 0) clock_sleep_ms(LOOK_AGAIN_MS);
        before = counts;
        const enum sink_verdict verdict = look_at_topics(sink, source, timeout_ms, &counts, error);
        if (verdict != SINK_OK) return verdict;
        is_still = memcmp(&before, &counts, sizeof before) == 0 ||
                   (counts.outputs[0] == counts.input && counts.outputs[1] == counts.input);
    }
    for (int i = 0; i < 2; i++) {
        struct kafka_output *output = &sink->outputs[i];
        output->keeps_partition = counts.outputs[i] == counts.input;
        if (output->keeps_partition) continue;
        log_info("Input and output differ in partitions: records go by key",
                 log_text("topic", output->name), log_int("partitions", counts.outputs[i]),
                 log_int("input_partitions", counts.input));
    }
    return SINK_OK;
}

/* Takes the failure. */
static enum sink_verdict judge(const struct kafka_sink *sink, rd_kafka_error_t *failure,
                               const char *what, struct error *error) {
    if (failure == NULL) return SINK_OK;
    rd_kafka_resp_err_t code = rd_kafka_error_code(failure);
    enum sink_verdict verdict = SINK_REPLACE;
    struct error fix;
    error_set(error, "%s: %s (%s)", what, rd_kafka_error_string(failure), rd_kafka_err2name(code));
    if (kafka_access_find_right(&sink->options, code, &fix)) {
        error_set(error, "Kafka denies access: %s: %s; %s", what, rd_kafka_error_string(failure),
                  fix.text);
        verdict = SINK_STOP;
    } else if (code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE ||
               code == RD_KAFKA_RESP_ERR__AUTHENTICATION) {
        error_set(error, "%s", rd_kafka_error_string(failure));
        verdict = code == RD_KAFKA_RESP_ERR__AUTHENTICATION ? SINK_RETRY : SINK_STOP;
    } else if (code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
               code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH) {
        verdict = SINK_FENCED;
    } else if (rd_kafka_error_txn_requires_abort(failure)) {
        verdict = SINK_ABORT;
    } else if (rd_kafka_error_is_retriable(failure)) {
        verdict = SINK_RETRY;
    }
    rd_kafka_error_destroy(failure);
    return verdict;
}

enum sink_verdict kafka_sink_open(struct kafka_sink *sink, int timeout_ms, struct error *error) {
    if (!sink->is_transactional) return SINK_OK;
    worker_call_begins(timeout_ms);
    rd_kafka_error_t *failure = kafka_client_init_transactions(sink->client, timeout_ms);
    worker_call_ends();
    return judge(sink, failure, "the transactional producer cannot start", error);
}

bool kafka_sink_lacks_transactions(const struct kafka_sink *sink) {
    return atomic_load(&sink->client->access.lacks_transactions);
}

enum sink_verdict kafka_sink_begin(struct kafka_sink *sink, struct error *error) {
    sink->delivery_error = RD_KAFKA_RESP_ERR_NO_ERROR;
    sink->is_committing = false;
    if (!sink->is_transactional) return SINK_OK;
    return judge(sink, rd_kafka_begin_transaction(sink->client->handle),
                 "a transaction cannot begin", error);
}

enum sink_verdict kafka_sink_send(struct kafka_sink *sink, const struct sink_record *record,
                                  struct error *error) {
    struct kafka_output *output = &sink->outputs[record->reason != LOGIN_ACCEPTED];
    if (!kafka_output_is_written(output)) return SINK_OK;
    if (sink->refusal_count >= REFUSALS_MAX) {
        error_set(error, "%s or %s rejects a record that %s took: %s", sink->outputs[0].name,
                  sink->outputs[1].name, sink->options.input_topic,
                  kafka_output_fix(RD_KAFKA_RESP_ERR_INVALID_RECORD));
        return SINK_STOP;
    }
    return kafka_output_send(output, record, error);
}

void kafka_sink_make_room(struct kafka_sink *sink, int timeout_ms) {
    if (!kafka_flight_wait(sink->flight, timeout_ms))
        rd_kafka_flush(sink->client->handle, START_MS);
    kafka_sink_serve(sink);
}

void kafka_sink_serve(struct kafka_sink *sink) {
    rd_kafka_poll(sink->client->handle, 0);
}

int64_t kafka_sink_throttled_ms(const struct kafka_sink *sink) {
    return atomic_load(&sink->client->throttled_ms);
}

/* What is to be committed, as kafka_sink_commit gets it. */
struct commit {
    struct kafka_source *source;
    const struct kafka_committed *offsets;
    size_t count;
    bool (*may_commit)(void *);
    void *context;
    int timeout_ms;
};

/* Whether what is in hand is still ours; else sets the error. */
static bool is_still_ours(const struct commit *commit, struct error *error) {
    return (kafka_source_is_same_member(commit->source) && commit->may_commit(commit->context)) ||
           error_set(error, "a partition was given away meanwhile");
}

static enum sink_verdict commit_plain(struct kafka_sink *sink, const struct commit *commit,
                                      struct error *error) {
    if (rd_kafka_flush(sink->client->handle, commit->timeout_ms) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        error_set(error, "Kafka takes no records: not delivered within %d ms", commit->timeout_ms);
        return SINK_RETRY;
    }
    if (sink->delivery_error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        *error = sink->delivery_why;
        return SINK_ABORT;
    }
    return is_still_ours(commit, error) &&
                   kafka_source_commit(commit->source, commit->offsets, commit->count,
                                       commit->timeout_ms, error)
               ? SINK_OK
               : SINK_ABORT;
}

static enum sink_verdict send_offsets(struct kafka_sink *sink, const struct commit *commit,
                                      struct error *error) {
    enum sink_verdict verdict = SINK_ABORT;
    rd_kafka_consumer_group_metadata_t *metadata =
        rd_kafka_consumer_group_metadata(kafka_source_borrow(commit->source));
    kafka_source_return(commit->source);
    if (metadata == NULL) { /* the consumer is closing */
        error_set(error, "the group was left meanwhile");
        return SINK_ABORT;
    }
    if (is_still_ours(commit, error)) {
        rd_kafka_topic_partition_list_t *list =
            kafka_source_list(commit->source, commit->offsets, commit->count);
        verdict = judge(sink,
                        rd_kafka_send_offsets_to_transaction(sink->client->handle, list, metadata,
                                                             commit->timeout_ms),
                        "offsets cannot join the transaction", error);
        rd_kafka_topic_partition_list_destroy(list);
    }
    rd_kafka_consumer_group_metadata_destroy(metadata);
    return verdict == SINK_RETRY ? SINK_ABORT : verdict; /* the group may have moved on */
}

static enum sink_verdict commit_transaction(struct kafka_sink *sink, const struct commit *commit,
                                            struct error *error) {
    if (!sink->is_committing) {
        const enum sink_verdict verdict = send_offsets(sink, commit, error);
        if (verdict != SINK_OK) return verdict;
        sink->is_committing = true;
    }
    return judge(sink, rd_kafka_commit_transaction(sink->client->handle, commit->timeout_ms),
                 "the transaction cannot be committed", error);
}

enum sink_verdict kafka_sink_commit(struct kafka_sink *sink, struct kafka_source *source,
                                    const struct kafka_committed *offsets, size_t count,
                                    bool (*may_commit)(void *), void *context, int timeout_ms,
                                    struct error *error) {
    const struct commit commit = {source, offsets, count, may_commit, context, timeout_ms};
    if (!sink->is_committing) { /* the rest travels while the offsets are sent */
        kafka_flight_settle(sink->flight, SETTLE_MS);
        rd_kafka_flush(sink->client->handle, START_MS);
    }
    worker_call_begins(2 * (int64_t)timeout_ms);
    const enum sink_verdict verdict = sink->is_transactional
                                          ? commit_transaction(sink, &commit, error)
                                          : commit_plain(sink, &commit, error);
    worker_call_ends();
    if (verdict == SINK_OK)
        sink->refusal_count = 0;
    else
        kafka_sink_serve(sink); /* a delivery report knows the cause */
    const bool is_undelivered = sink->delivery_error != RD_KAFKA_RESP_ERR_NO_ERROR;
    if (verdict == SINK_ABORT && is_undelivered) *error = sink->delivery_why;
    return verdict;
}

enum sink_verdict kafka_sink_abort(struct kafka_sink *sink, int timeout_ms, struct error *error) {
    enum sink_verdict verdict = SINK_OK;
    worker_call_begins(timeout_ms);
    if (!sink->is_transactional) {
        rd_kafka_purge(sink->client->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(sink->client->handle, timeout_ms);
        sink->delivery_error = RD_KAFKA_RESP_ERR_NO_ERROR;
    } else {
        verdict = judge(sink, rd_kafka_abort_transaction(sink->client->handle, timeout_ms),
                        "the transaction cannot be aborted", error);
    }
    worker_call_ends();
    return verdict == SINK_OK && sink->is_batch_refused ? SINK_REPLACE : verdict;
}

enum sink_verdict kafka_sink_replace(struct kafka_sink *sink, struct error *error) {
    return open_producer(sink, error) ? SINK_OK : SINK_STOP;
}

bool kafka_sink_renew(struct kafka_sink *sink) {
    const struct kafka_sink_options *options = &sink->options;
    struct error error;
    kafka_trial_end(&sink->trial);
    if (kafka_conf_certificates(options->kafka, options->producer) == sink->client->certificates)
        return false;
    rd_kafka_conf_t *conf =
        kafka_conf_build(options->kafka, options->producer, KAFKA_PRODUCER, &error);
    if (conf != NULL) configure(sink, conf);
    kafka_trial_begin(&sink->trial, KAFKA_PRODUCER, conf, options->kafka, options->producer);
    return true;
}

enum sink_renewal kafka_sink_renewal(struct kafka_sink *sink) {
    if (kafka_trial_has_passed(&sink->trial)) return SINK_RENEWAL_DUE;
    return kafka_trial_is_under_way(&sink->trial) ? SINK_RENEWAL_TRIED : SINK_RENEWAL_NONE;
}
