#include "edge/kafka_feed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "kafka_private.h"

struct kafka_feed {
    struct kafka_client *client;
    char *topic;
    int32_t partition_count; /* of the topic; 0 until kafka_feed_look found it */
    int64_t sent_count;
    /* written by count_delivery, which only runs inside the owner's calls */
    int64_t delivered_count;
    int64_t failed_count;
    rd_kafka_resp_err_t last_failure;
};

static void count_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    (void)client;
    struct kafka_feed *feed = ((struct kafka_client *)opaque)->owner;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        feed->delivered_count++;
    } else {
        feed->failed_count++;
        feed->last_failure = message->err;
    }
}

struct kafka_feed *kafka_feed_create(const struct properties *kafka,
                                     const struct properties *producer, const char *topic,
                                     struct error *error) {
    rd_kafka_conf_t *conf = kafka_conf_build(kafka, producer, KAFKA_PRODUCER, error);
    if (conf == NULL) return NULL;
    struct kafka_feed *feed = memory_create(sizeof *feed);
    feed->topic = memory_text(topic);
    kafka_conf_own(conf, "enable.idempotence", "true");
    rd_kafka_conf_set_dr_msg_cb(conf, count_delivery);
    feed->client = kafka_client_create(KAFKA_PRODUCER, conf, kafka, producer, feed, NULL, error);
    if (feed->client == NULL) kafka_feed_destroy(&feed);
    return feed;
}

void kafka_feed_destroy(struct kafka_feed **feed) {
    if (*feed == NULL) return;
    kafka_client_destroy(&(*feed)->client);
    free((*feed)->topic);
    free(*feed);
    *feed = NULL;
}

/* Asks for all topics: asking for one by name would create it where the broker allows that. */
enum kafka_feed_verdict kafka_feed_look(struct kafka_feed *feed, int timeout_ms,
                                        struct error *error) {
    const struct rd_kafka_metadata *cluster = NULL;
    const rd_kafka_resp_err_t result =
        rd_kafka_metadata(feed->client->handle, 1, NULL, &cluster, timeout_ms);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR) {
        error_set(error, "Kafka does not answer: %s", rd_kafka_err2str(result));
        return KAFKA_FEED_WAIT;
    }
    for (int i = 0; i < cluster->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *topic = &cluster->topics[i];
        if (topic->err == RD_KAFKA_RESP_ERR_NO_ERROR && strcmp(topic->topic, feed->topic) == 0) {
            feed->partition_count = topic->partition_cnt;
        }
    }
    rd_kafka_metadata_destroy(cluster);
    if (feed->partition_count > 0) return KAFKA_FEED_GO_ON;
    error_set(error, "there is no topic %s", feed->topic);
    return KAFKA_FEED_WAIT;
}

enum kafka_feed_verdict kafka_feed_send(struct kafka_feed *feed, const void *value, size_t bytes,
                                        int64_t timestamp_ms, struct error *error) {
    assert(feed->partition_count > 0);
    const rd_kafka_resp_err_t result = rd_kafka_producev(
        feed->client->handle, RD_KAFKA_V_TOPIC(feed->topic),
        RD_KAFKA_V_PARTITION((int32_t)(feed->sent_count % feed->partition_count)),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE((void *)(uintptr_t)value, bytes),
        RD_KAFKA_V_TIMESTAMP(timestamp_ms), RD_KAFKA_V_END);
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR) {
        feed->sent_count++;
        return KAFKA_FEED_GO_ON;
    }
    if (result == RD_KAFKA_RESP_ERR__QUEUE_FULL) return KAFKA_FEED_WAIT;
    char text[512] = "";
    rd_kafka_fatal_error(feed->client->handle, text, sizeof text);
    error_set(error, "cannot write to %s: %s", feed->topic,
              text[0] != '\0' ? text : rd_kafka_err2str(result));
    return KAFKA_FEED_STOP;
}

void kafka_feed_poll(struct kafka_feed *feed, int timeout_ms) {
    rd_kafka_poll(feed->client->handle, timeout_ms);
}

int kafka_feed_flush(struct kafka_feed *feed, int timeout_ms) {
    rd_kafka_flush(feed->client->handle, timeout_ms);
    return rd_kafka_outq_len(feed->client->handle);
}

int64_t kafka_feed_delivered(const struct kafka_feed *feed) {
    return feed->delivered_count;
}

int64_t kafka_feed_failed(const struct kafka_feed *feed, struct error *error) {
    if (feed->failed_count > 0) {
        error_set(error, "%s: %s", feed->topic, rd_kafka_err2str(feed->last_failure));
    }
    return feed->failed_count;
}
