/* broker: librdkafka's in-process cluster, and a look at what is in its topics. */
#ifndef TESTS_BROKER_H
#define TESTS_BROKER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/clock.h"
#include "edge/kafka_conf.h"

enum { BROKER_WAIT_MS = 20000 };

/* Requests, by Kafka's numbers. */
enum {
    API_PRODUCE = 0,
    API_FETCH = 1,
    API_LIST_OFFSETS = 2,
    API_METADATA = 3,
    API_OFFSET_COMMIT = 8,
    API_OFFSET_FETCH = 9,
    API_FIND_COORDINATOR = 10,
    API_JOIN_GROUP = 11,
    API_HEARTBEAT = 12,
    API_CREATE_TOPICS = 19,
    API_INIT_PRODUCER_ID = 22,
    API_ADD_PARTITIONS = 24,
    API_ADD_OFFSETS = 25,
    API_END_TRANSACTION = 26,
    API_TXN_OFFSET_COMMIT = 28,
};

struct broker {
    rd_kafka_t *client; /* of the cluster's own */
    rd_kafka_mock_cluster_t *cluster;
    struct properties kafka;
};

static inline void broker_start(struct broker *broker, int count) {
    *broker = (struct broker){.client = NULL};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    broker->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    assert_non_null(broker->client);
    broker->cluster = rd_kafka_mock_cluster_new(broker->client, count);
    assert_non_null(broker->cluster);
    rd_kafka_mock_group_initial_rebalance_delay_ms(broker->cluster, 0);
    kafka_conf_put(&broker->kafka, "bootstrap.servers",
                   rd_kafka_mock_cluster_bootstraps(broker->cluster));
}

static inline void broker_stop(struct broker *broker) {
    kafka_conf_release(&broker->kafka);
    rd_kafka_mock_cluster_destroy(broker->cluster);
    rd_kafka_destroy(broker->client);
}

static inline void broker_topic(struct broker *broker, const char *name, int partitions) {
    assert_int_equal(rd_kafka_mock_topic_create(broker->cluster, name, partitions, 1), 0);
}

/* How many requests of this kind came since tracking was started. */
static inline int broker_requests(struct broker *broker, int api) {
    size_t count = 0;
    int found = 0;
    rd_kafka_mock_request_t **all = rd_kafka_mock_get_requests(broker->cluster, &count);
    for (size_t i = 0; i < count; i++)
        found += rd_kafka_mock_request_api_key(all[i]) == api;
    rd_kafka_mock_request_destroy_array(all, count);
    return found;
}

static inline rd_kafka_t *broker_client(struct broker *broker, rd_kafka_type_t type) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(broker->cluster),
                      NULL, 0);
    rd_kafka_conf_set(conf, "group.id", "reader", NULL, 0);
    rd_kafka_conf_set(conf, "enable.partition.eof", "true", NULL, 0);
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    rd_kafka_t *client = rd_kafka_new(type, conf, NULL, 0);
    assert_non_null(client);
    return client;
}

/* Writes one record with this text as its value. */
static inline void broker_write(struct broker *broker, const char *topic, int partition,
                                const char *value) {
    rd_kafka_t *producer = broker_client(broker, RD_KAFKA_PRODUCER);
    assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic),
                                       RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY("key", 3),
                                       RD_KAFKA_V_VALUE((void *)(uintptr_t)value, strlen(value)),
                                       RD_KAFKA_V_TIMESTAMP(1720622216000), RD_KAFKA_V_END),
                     0);
    assert_int_equal(rd_kafka_flush(producer, BROKER_WAIT_MS), 0);
    rd_kafka_destroy(producer);
}

/* A consumer of one partition from this offset on, which shows its end. */
static inline rd_kafka_t *broker_reader(struct broker *broker, const char *topic, int partition,
                                        int64_t offset) {
    rd_kafka_t *consumer = broker_client(broker, RD_KAFKA_CONSUMER);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    assert_int_equal(rd_kafka_assign(consumer, list), 0);
    rd_kafka_topic_partition_list_destroy(list);
    return consumer;
}

/* How many records a partition holds; the ends of transactions are not among them. */
static inline int broker_count(struct broker *broker, const char *topic, int partition) {
    int count = 0;
    rd_kafka_t *consumer = broker_reader(broker, topic, partition, 0);
    for (bool is_end = false; !is_end; count += !is_end) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, BROKER_WAIT_MS);
        assert_non_null(message);
        is_end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        if (!is_end && message->err != 0) fail_msg("%s", rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
    }
    rd_kafka_destroy(consumer);
    return count;
}

/* Calls look with the record at this offset. */
static inline void broker_read(struct broker *broker, const char *topic, int partition,
                               int64_t offset, void (*look)(const rd_kafka_message_t *)) {
    rd_kafka_t *consumer = broker_reader(broker, topic, partition, offset);
    rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, BROKER_WAIT_MS);
    assert_non_null(message);
    if (message->err != 0) fail_msg("%s", rd_kafka_message_errstr(message));
    look(message);
    rd_kafka_message_destroy(message);
    rd_kafka_destroy(consumer);
}

/* Whether a client has this value of a property. */
static inline void has_property(rd_kafka_t *client, const char *name, const char *value) {
    char text[512] = "";
    size_t bytes = sizeof text;
    rd_kafka_conf_get(rd_kafka_conf(client), name, text, &bytes);
    if (strcmp(text, value) != 0) fail_msg("%s is \"%s\", not \"%s\"", name, text, value);
}

#endif
