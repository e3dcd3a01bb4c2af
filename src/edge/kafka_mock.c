#include "edge/kafka_mock.h"

#include <stdlib.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/memory.h"
#include "kafka_private.h"

struct kafka_mock {
    rd_kafka_t *client; /* of the cluster's own; never connects */
    rd_kafka_mock_cluster_t *cluster;
};

struct kafka_mock *kafka_mock_create(int broker_count, struct error *error) {
    struct kafka_mock *mock = memory_create(sizeof *mock);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    kafka_client_log(conf);
    rd_kafka_conf_set(conf, "log_level", "4", NULL, 0); /* not that it has no servers */
    mock->client = kafka_conf_open(conf, KAFKA_PRODUCER, error);
    if (mock->client != NULL) {
        mock->cluster = rd_kafka_mock_cluster_new(mock->client, broker_count);
        if (mock->cluster == NULL)
            error_set(error, "librdkafka's in-process broker does not start");
    }
    if (mock->cluster == NULL)
        kafka_mock_destroy(&mock);
    else
        rd_kafka_mock_group_initial_rebalance_delay_ms(mock->cluster, 0);
    return mock;
}

void kafka_mock_destroy(struct kafka_mock **mock) {
    if (*mock == NULL) return;
    if ((*mock)->cluster != NULL) rd_kafka_mock_cluster_destroy((*mock)->cluster);
    if ((*mock)->client != NULL) rd_kafka_destroy((*mock)->client);
    free(*mock);
    *mock = NULL;
}

const char *kafka_mock_bootstrap(const struct kafka_mock *mock) {
    return rd_kafka_mock_cluster_bootstraps(mock->cluster);
}

bool kafka_mock_create_topic(struct kafka_mock *mock, const char *topic, int partition_count,
                             struct error *error) {
    const rd_kafka_resp_err_t code =
        rd_kafka_mock_topic_create(mock->cluster, topic, partition_count, 1);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ||
           error_set(error, "topic %s: %s", topic, rd_kafka_err2str(code));
}
