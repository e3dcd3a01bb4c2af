/* The consumer tells where a partition ends (enable.partition.eof), as the last record before an
 * end need not exist: it may be a transaction's marker, or compacted away. */
#include "edge/kafka_reader.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "kafka_private.h"

enum { FETCH_BYTES_MAX = 256 * 1024, QUEUED_KB_MIN = 64, RECORDS_AT_ONCE = 10000 };

struct kafka_reader {
    struct kafka_client *client;
    rd_kafka_queue_t *queue;
    const char *topic;
    struct kafka_range *ranges;
    size_t count;
    /* of the read under way */
    kafka_reader_take *take;
    void *context;
    enum reader_verdict verdict;
    bool is_enough;
    int record_count;
    struct error *error;
};

static void configure(const struct kafka_source_options *options, size_t count,
                      rd_kafka_conf_t *conf) {
    const struct properties *kafka = options->kafka, *own = options->consumer;
    long long share_kb = (long long)(options->queue_bytes / 1024 / (count > 0 ? count : 1));
    if (share_kb < QUEUED_KB_MIN) share_kb = QUEUED_KB_MIN;
    kafka_conf_own(conf, "group.id", options->settings->group); /* assigning needs one */
    kafka_conf_own(conf, "enable.auto.commit", "false");
    kafka_conf_own(conf, "enable.auto.offset.store", "false");
    kafka_conf_own(conf, "auto.offset.reset", "error");
    kafka_conf_own(conf, "isolation.level", "read_committed");
    kafka_conf_own(conf, "allow.auto.create.topics", "false");
    kafka_conf_own(conf, "enable.partition.eof", "true");
    kafka_conf_default(conf, kafka, own, "queued.max.messages.kbytes", share_kb);
    kafka_conf_default(conf, kafka, own, "fetch.queue.backoff.ms", 10);
    kafka_conf_default(conf, kafka, own, "fetch.message.max.bytes", FETCH_BYTES_MAX);
}

static struct kafka_range *range_of(struct kafka_reader *reader, int32_t partition) {
    for (size_t i = 0; i < reader->count; i++) {
        if (reader->ranges[i].partition == partition) return &reader->ranges[i];
    }
    return NULL;
}

static void stop_at(struct kafka_reader *reader, const struct kafka_range *range) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, reader->topic, range->partition);
    rd_kafka_pause_partitions(reader->client->handle, list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* The log's next offset, as far as it can be read, is `next`. */
static void move_to(struct kafka_reader *reader, struct kafka_range *range, int64_t next,
                    bool is_log_end) {
    if (next > range->next) range->next = next;
    const bool is_over = range->next >= range->end;
    range->is_at_end = is_log_end || is_over;
    if (is_over) stop_at(reader, range);
}

static void on_record(struct kafka_reader *reader, struct kafka_range *range,
                      rd_kafka_message_t *message) {
    const struct kafka_record record = kafka_record_of(message);
    reader->verdict = READER_RECORDS;
    reader->is_enough = !reader->take(reader->context, range, &record);
    move_to(reader, range, record.offset + 1, false);
}

/* What ends a range permanently. Everything else librdkafka tries again. */
static bool is_permanent(rd_kafka_resp_err_t err) {
    return err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || err == RD_KAFKA_RESP_ERR__BAD_MSG ||
           err == RD_KAFKA_RESP_ERR__BAD_COMPRESSION || err == RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED ||
           err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
           err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

static void on_error(struct kafka_reader *reader, const rd_kafka_message_t *message) {
    if (!is_permanent(message->err)) {
        log_warn("Kafka", log_text("error", rd_kafka_err2name(message->err)),
                 log_text("reason", rd_kafka_message_errstr(message)));
        return;
    }
    reader->verdict = READER_FAILED;
    error_set(reader->error, "cannot read %s [%d] at offset %lld: %s", reader->topic,
              (int)message->partition, (long long)message->offset,
              rd_kafka_message_errstr(message));
}

static void on_message(rd_kafka_message_t *message, void *opaque) {
    struct kafka_reader *reader = opaque;
    struct kafka_range *range = range_of(reader, message->partition);
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && range != NULL)
        move_to(reader, range, message->offset, true);
    else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        on_error(reader, message);
    else if (range != NULL && message->offset < range->end)
        on_record(reader, range, message);
    else if (range != NULL)
        move_to(reader, range, range->end, false);
    reader->is_enough |= ++reader->record_count >= RECORDS_AT_ONCE;
    if (reader->verdict == READER_FAILED || reader->is_enough)
        rd_kafka_yield(reader->client->handle); /* the rest stays in the queue */
}

struct kafka_reader *kafka_reader_create(const struct kafka_source_options *options,
                                         struct kafka_range *ranges, size_t count,
                                         struct error *error) {
    rd_kafka_conf_t *conf =
        kafka_conf_build(options->kafka, options->consumer, KAFKA_CONSUMER, error);
    if (conf == NULL) return NULL;
    configure(options, count, conf);
    struct kafka_reader *reader = memory_create(sizeof *reader);
    reader->topic = options->settings->topic;
    reader->ranges = ranges;
    reader->count = count;
    reader->client = kafka_client_create(KAFKA_CONSUMER, conf, options->kafka, options->consumer,
                                         reader, options->trouble, error);
    if (reader->client == NULL) {
        free(reader);
        return NULL;
    }
    reader->queue = rd_kafka_queue_get_consumer(reader->client->handle);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        ranges[i].next = ranges[i].begin;
        ranges[i].is_at_end = ranges[i].begin >= ranges[i].end;
        if (ranges[i].is_at_end) continue;
        rd_kafka_topic_partition_list_add(list, reader->topic, ranges[i].partition)->offset =
            ranges[i].begin;
    }
    const rd_kafka_resp_err_t err = rd_kafka_assign(reader->client->handle, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        error_set(error, "cannot read topic %s: %s", reader->topic, rd_kafka_err2str(err));
        kafka_reader_destroy(&reader);
    }
    return reader;
}

void kafka_reader_destroy(struct kafka_reader **reader) {
    if (*reader == NULL) return;
    rd_kafka_queue_destroy((*reader)->queue);
    kafka_client_destroy(&(*reader)->client);
    free(*reader);
    *reader = NULL;
}

enum reader_verdict kafka_reader_read(struct kafka_reader *reader, int timeout_ms,
                                      kafka_reader_take *take, void *context, struct error *error) {
    reader->take = take;
    reader->context = context;
    reader->error = error;
    reader->verdict = READER_NOTHING;
    reader->is_enough = false;
    reader->record_count = 0;
    /* Callbacks have a queue of their own, not led into the consumer's: librdkafka (seen up to
     * 2.15.1) ends the process where it finds one in a queue of records. */
    rd_kafka_poll(reader->client->handle, 0);
    rd_kafka_consume_callback_queue(reader->queue, timeout_ms, on_message, reader);
    const bool is_held = clock_ms() < atomic_load(&reader->client->throttled_ms);
    return reader->verdict == READER_NOTHING && is_held ? READER_HELD : reader->verdict;
}
