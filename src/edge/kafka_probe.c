/* With librdkafka's simple consumer: it reads a partition without joining the group, and commits
 * nothing. Each look starts afresh, so that nothing of what an earlier one fetched is taken for an
 * answer. */
#include "edge/kafka_probe.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "kafka_private.h"

struct kafka_probe {
    struct kafka_source *source;
    struct kafka_client *client;
    rd_kafka_topic_t *topic;
    int32_t partition;
};

struct kafka_probe *kafka_probe_open(struct kafka_source *source, int32_t partition,
                                     struct error *error) {
    struct kafka_client *client = kafka_source_make_probe(source, error);
    if (client == NULL) return NULL;
    struct kafka_probe *probe = memory_create(sizeof *probe);
    probe->source = source;
    probe->client = client;
    probe->topic = rd_kafka_topic_new(client->handle, kafka_source_settings(source)->topic, NULL);
    probe->partition = partition;
    if (probe->topic == NULL) {
        error_set(error, "the input topic cannot be opened: %s",
                  rd_kafka_err2str(rd_kafka_last_error()));
        kafka_probe_close(&probe);
    }
    return probe;
}

void kafka_probe_close(struct kafka_probe **probe) {
    if (*probe == NULL) return;
    if ((*probe)->topic != NULL) rd_kafka_topic_destroy((*probe)->topic);
    kafka_client_destroy(&(*probe)->client);
    kafka_source_end_probe((*probe)->source);
    free(*probe);
    *probe = NULL;
}

/* Takes the message. True if it is an answer. */
static bool take(rd_kafka_message_t *message, struct kafka_probe_record *found,
                 rd_kafka_resp_err_t *code) {
    *code = message->err;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        *found =
            (struct kafka_probe_record){message->offset, rd_kafka_message_leader_epoch(message)};
    else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        *found = (struct kafka_probe_record){INT64_MAX, -1};
    rd_kafka_message_destroy(message);
    return *code == RD_KAFKA_RESP_ERR_NO_ERROR || *code == RD_KAFKA_RESP_ERR__PARTITION_EOF;
}

bool kafka_probe_look(struct kafka_probe *probe, int64_t offset, struct kafka_probe_record *found,
                      int timeout_ms, struct error *error) {
    const int64_t until_ms = clock_ms() + timeout_ms;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    bool is_found = false;
    worker_call_begins(timeout_ms);
    if (rd_kafka_consume_start(probe->topic, probe->partition, offset) != 0) {
        code = rd_kafka_last_error();
    } else {
        for (int64_t left_ms = timeout_ms; !is_found && left_ms > 0;
             left_ms = until_ms - clock_ms()) {
            rd_kafka_message_t *message =
                rd_kafka_consume(probe->topic, probe->partition, (int)left_ms);
            is_found = message != NULL && take(message, found, &code);
            if (!is_found && code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) break;
        }
        rd_kafka_consume_stop(probe->topic, probe->partition);
    }
    worker_call_ends();
    return is_found || error_set(error, "the record at offset %lld of %s [%d] cannot be read: %s",
                                 (long long)offset, rd_kafka_topic_name(probe->topic),
                                 (int)probe->partition, rd_kafka_err2str(code));
}

bool kafka_probe_answers(struct kafka_probe *probe, int timeout_ms) {
    int64_t begin, end;
    worker_call_begins(timeout_ms);
    const rd_kafka_resp_err_t err =
        rd_kafka_query_watermark_offsets(probe->client->handle, rd_kafka_topic_name(probe->topic),
                                         probe->partition, &begin, &end, timeout_ms);
    worker_call_ends();
    return err == RD_KAFKA_RESP_ERR_NO_ERROR;
}
