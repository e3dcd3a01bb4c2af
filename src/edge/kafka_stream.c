/* Why no ring is missed: librdkafka calls on_ready under the queue's lock whenever it adds to an
 * empty queue, and a reader that got STREAM_NOTHING has taken that lock and found the queue
 * empty.
 *
 * Why what it reached may be believed: librdkafka reports the end of a partition
 * (enable.partition.eof) when a fetch from exactly the last stable offset brought nothing, with
 * that offset, in the same queue as the records and behind all of them. Transaction markers and
 * aborted records below it have moved its own position without a message. A report from before a
 * seek is dropped by its version, like a record; after a seek the end is reported again (2.8.0
 * to 2.15.1). rd_kafka_position, which passes markers too, is of no use: a marker that was
 * fetched before a seek and is served after it still sets the position (rd_kafka_op_handle_std
 * asks for no version). The fault by which such reports moved positions (its issue 4844, up to
 * 2.13.1) is one of rd_kafka_consume_batch_queue, and of positions that rollcall does not use.
 *
 * Why records are lent a few at a time: those that a read takes out of the queue are no longer part
 * of its length, so librdkafka fetches more meanwhile, and then puts back what was not taken. Where
 * a read took all and left most, each one let another fetch in, and the queue grew without end.
 * rd_kafka_consume_callback takes no more than consume.callback.max.messages. */
#include "edge/kafka_stream.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "kafka_private.h"

enum {
    SEEK_TIMEOUT_MS = 5000,
    LARGE_BYTES = 16 << 10, /* records of this size are taken one at a time */
    MEAN_WEIGHT = 8,
};

struct kafka_stream {
    rd_kafka_t *consumer;
    rd_kafka_topic_t *handle; /* of the topic */
    const char *topic;
    int32_t partition;
    atomic_bool *is_stranded;
    rd_kafka_queue_t *queue;
    int64_t reached;   /* since the last seek; -1: never */
    size_t mean_bytes; /* of the last records, roughly */
};

struct kafka_stream *kafka_stream_open(rd_kafka_t *consumer, const char *topic, int32_t partition,
                                       atomic_bool *is_stranded) {
    struct kafka_stream *stream = memory_create(sizeof *stream);
    *stream = (struct kafka_stream){
        .consumer = consumer,
        .handle = rd_kafka_topic_new(consumer, topic, NULL),
        .topic = topic,
        .partition = partition,
        .is_stranded = is_stranded,
        .queue = rd_kafka_queue_get_partition(consumer, topic, partition),
        .reached = -1,
    };
    assert(stream->handle != NULL && stream->queue != NULL);
    rd_kafka_queue_forward(stream->queue, NULL);
    return stream;
}

void kafka_stream_watch(struct kafka_stream *stream, struct alarm *alarm) {
    kafka_client_watch(stream->queue, alarm);
}

void kafka_stream_close(struct kafka_stream **stream) {
    if (*stream == NULL) return;
    kafka_stream_watch(*stream, NULL); /* the queue itself lives as long as the consumer */
    rd_kafka_queue_destroy((*stream)->queue);
    rd_kafka_topic_destroy((*stream)->handle);
    free(*stream);
    *stream = NULL;
}

/* One read under way. */
struct reading {
    struct kafka_stream *stream;
    bool (*take)(void *context, const struct kafka_record *);
    void *context;
    enum stream_verdict verdict;
    bool is_over; /* no more is wanted */
};

/* Damaged records, and those whose codec librdkafka was built without: what follows may come after
 * the error as if nothing had been skipped. */
static bool is_unreadable(rd_kafka_resp_err_t err) {
    return err == RD_KAFKA_RESP_ERR__BAD_MSG || err == RD_KAFKA_RESP_ERR__BAD_COMPRESSION ||
           err == RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED;
}

/* Returns whether reading goes on. */
static bool on_error(struct reading *reading, const rd_kafka_message_t *message) {
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        reading->stream->reached = message->offset;
        return true;
    }
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        atomic_store(reading->stream->is_stranded, true);
    }
    if (!is_unreadable(message->err)) {
        log_warn("Kafka partition", log_int("partition", reading->stream->partition),
                 log_text("error", rd_kafka_err2name(message->err)),
                 log_text("reason", rd_kafka_message_errstr(message)));
        return true;
    }
    reading->verdict = STREAM_UNREADABLE;
    log_error("Records cannot be read: the partition stands still until they can",
              log_int("partition", reading->stream->partition), log_int("offset", message->offset),
              log_text("reason", rd_kafka_message_errstr(message)));
    return false;
}

static bool on_record(struct reading *reading, rd_kafka_message_t *message) {
    const struct kafka_record record = kafka_record_of(message);
    struct kafka_stream *stream = reading->stream;
    stream->mean_bytes -= stream->mean_bytes / MEAN_WEIGHT;
    stream->mean_bytes += message->len / MEAN_WEIGHT;
    reading->verdict = STREAM_RECORDS;
    return reading->take(reading->context, &record);
}

static void on_message(rd_kafka_message_t *message, void *opaque) {
    struct reading *reading = opaque;
    const bool goes_on = message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? on_record(reading, message)
                                                                    : on_error(reading, message);
    reading->is_over = !goes_on;
    if (!goes_on) rd_kafka_yield(reading->stream->consumer); /* the rest stays in the queue */
}

/* False: nothing is in the queue. */
static bool read_one(struct reading *reading) {
    rd_kafka_message_t *message = rd_kafka_consume_queue(reading->stream->queue, 0);
    if (message == NULL) return false;
    on_message(message, reading);
    rd_kafka_message_destroy(message);
    return true;
}

/* As read_one; reports and old fetches, which are dropped, count as well. */
static bool read_some(struct reading *reading) {
    struct kafka_stream *stream = reading->stream;
    return rd_kafka_consume_callback(stream->handle, stream->partition, 0, on_message, reading) > 0;
}

enum stream_verdict kafka_stream_read(struct kafka_stream *stream,
                                      bool (*take)(void *context, const struct kafka_record *),
                                      void *context) {
    struct reading reading = {stream, take, context, STREAM_NOTHING, false};
    bool is_any = true;
    while (is_any && !reading.is_over) {
        const bool is_large = stream->mean_bytes >= LARGE_BYTES;
        is_any = is_large ? read_one(&reading) : read_some(&reading);
    }
    return reading.verdict;
}

int64_t kafka_stream_reached(const struct kafka_stream *stream) {
    return stream->reached;
}

bool kafka_stream_seek(struct kafka_stream *stream, int64_t offset, struct error *error) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    stream->reached = -1;
    rd_kafka_topic_partition_list_add(list, stream->topic, stream->partition)->offset = offset;
    rd_kafka_error_t *failure = rd_kafka_seek_partitions(stream->consumer, list, SEEK_TIMEOUT_MS);
    rd_kafka_resp_err_t err = failure != NULL ? rd_kafka_error_code(failure) : list->elems[0].err;
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) rd_kafka_resume_partitions(stream->consumer, list);
    rd_kafka_error_destroy(failure);
    rd_kafka_topic_partition_list_destroy(list);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ||
           error_set(error, "cannot seek %s [%d] to offset %lld: %s", stream->topic,
                     stream->partition, (long long)offset, rd_kafka_err2str(err));
}

int64_t kafka_stream_end(const struct kafka_stream *stream) {
    int64_t begin, end;
    rd_kafka_resp_err_t err = rd_kafka_get_watermark_offsets(stream->consumer, stream->topic,
                                                             stream->partition, &begin, &end);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR && end >= 0 ? end : -1;
}
