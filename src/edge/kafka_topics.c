#include "edge/kafka_topics.h"

#include <stdio.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "base/error.h"

/* What Kafka's answer means for whoever asked; the error is set by the caller. */
static enum topics_verdict judge(rd_kafka_resp_err_t code) {
    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return TOPICS_OK;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION: /* not a valid name */
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
    case RD_KAFKA_RESP_ERR_SECURITY_DISABLED:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
        return TOPICS_REFUSED;
    default:
        return TOPICS_RETRY;
    }
}

static enum topics_verdict refuse_look(const char *topic, rd_kafka_resp_err_t code,
                                       struct error *error) {
    const enum topics_verdict verdict = judge(code);
    if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        error_set(error,
                  "this user may not see topic %s: let it, with the ACLs Describe and Read on the "
                  "topic (Describe and Write for an output)",
                  topic);
    } else {
        error_set(error, "topic %s: %s", topic, rd_kafka_err2str(code));
    }
    return verdict;
}

/* Waits for the one answer that comes into queue, NULL if it does not. */
static rd_kafka_event_t *wait_for(rd_kafka_queue_t *queue, int timeout_ms, const char *what,
                                  struct error *error) {
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);
    if (event == NULL) {
        error_set(error, "%s: Kafka did not answer within %d ms", what, timeout_ms);
    }
    return event;
}

static rd_kafka_AdminOptions_t *make_options(rd_kafka_t *client, rd_kafka_admin_op_t operation,
                                             int timeout_ms) {
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, operation);
    if (options != NULL) {
        rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, NULL, 0);
    }
    return options;
}

static void take_rights(const rd_kafka_TopicDescription_t *topic, struct topic_facts *facts) {
    size_t count = 0;
    const rd_kafka_AclOperation_t *allowed =
        rd_kafka_TopicDescription_authorized_operations(topic, &count);
    facts->has_rights = allowed != NULL;
    for (size_t i = 0; allowed != NULL && i < count; i++) {
        const bool is_all = allowed[i] == RD_KAFKA_ACL_OPERATION_ALL;
        facts->may_read |= is_all || allowed[i] == RD_KAFKA_ACL_OPERATION_READ;
        facts->may_write |= is_all || allowed[i] == RD_KAFKA_ACL_OPERATION_WRITE;
    }
}

static void take_description(rd_kafka_event_t *event, struct topic_facts *facts) {
    static const char none[] = "AAAAAAAAAAAAAAAAAAAAAA"; /* all zero: older brokers, the mock */
    size_t count = 0;
    const rd_kafka_DescribeTopics_result_t *result = rd_kafka_event_DescribeTopics_result(event);
    if (result == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    const rd_kafka_TopicDescription_t **topics =
        rd_kafka_DescribeTopics_result_topics(result, &count);
    if (count != 1 || rd_kafka_error_code(rd_kafka_TopicDescription_error(topics[0])) !=
                          RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }
    const rd_kafka_Uuid_t *id = rd_kafka_TopicDescription_topic_id(topics[0]);
    const char *text = id == NULL ? NULL : rd_kafka_Uuid_base64str(id);
    if (text != NULL && strcmp(text, none) != 0) {
        snprintf(facts->id, sizeof facts->id, "%s", text);
    }
    take_rights(topics[0], facts);
}

void kafka_topics_describe(rd_kafka_t *client, const char *topic, int timeout_ms,
                           struct topic_facts *facts) {
    rd_kafka_TopicCollection_t *topics = rd_kafka_TopicCollection_of_topic_names(&topic, 1);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *options =
        make_options(client, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout_ms);
    if (options != NULL) {
        rd_kafka_error_destroy(rd_kafka_AdminOptions_set_include_authorized_operations(options, 1));
    }
    rd_kafka_DescribeTopics(client, topics, options, queue);
    rd_kafka_event_t *event = wait_for(queue, timeout_ms, topic, NULL);
    if (event != NULL) {
        take_description(event, facts);
        rd_kafka_event_destroy(event);
    }
    if (options != NULL) rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_TopicCollection_destroy(topics);
}

bool kafka_topics_is_same(rd_kafka_t *client, const char *topic, const char *id, int timeout_ms,
                          struct error *error) {
    struct topic_facts facts = {.exists = true};
    if (*id == '\0') return true;
    kafka_topics_describe(client, topic, timeout_ms, &facts);
    if (facts.id[0] == '\0' || strcmp(facts.id, id) == 0) return true;
    return error_set(error,
                     "topic %s was deleted and made anew while rollcall ran (its id was %s and is "
                     "%s): offsets and counts are the old one's; choose another consumer.group.id "
                     "and redis.prefix, or delete the group and all keys under the prefix to begin "
                     "anew",
                     topic, id, facts.id);
}

enum topics_verdict kafka_topics_look(rd_kafka_t *client, const char *topic, int timeout_ms,
                                      struct topic_facts *facts, struct error *error) {
    *facts = (struct topic_facts){.exists = false};
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    if (handle == NULL) return refuse_look(topic, rd_kafka_last_error(), error);
    const struct rd_kafka_metadata *cluster = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, handle, &cluster, timeout_ms);
    rd_kafka_topic_destroy(handle);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return refuse_look(topic, code, error);
    code = cluster->topic_cnt == 1 ? cluster->topics[0].err : RD_KAFKA_RESP_ERR__FAIL;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        facts->exists = true;
        facts->partition_count = cluster->topics[0].partition_cnt;
    }
    rd_kafka_metadata_destroy(cluster);
    if (facts->exists || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) return TOPICS_OK;
    return refuse_look(topic, code, error);
}

/* Answers what became of the one topic of a request to create; why gets Kafka's words. */
static rd_kafka_resp_err_t read_created(rd_kafka_event_t *event, char *why, size_t bytes) {
    size_t count = 0;
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    const char *text = rd_kafka_event_error_string(event);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const rd_kafka_topic_result_t **topics =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
        code = count == 1 ? rd_kafka_topic_result_error(topics[0]) : RD_KAFKA_RESP_ERR__FAIL;
        text = count == 1 ? rd_kafka_topic_result_error_string(topics[0]) : NULL;
    }
    snprintf(why, bytes, "%s", text != NULL ? text : rd_kafka_err2str(code));
    return code;
}

enum topics_verdict kafka_topics_create(rd_kafka_t *client, const char *topic, int partition_count,
                                        int timeout_ms, struct error *error) {
    char why[512] = "";
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__INVALID_ARG;
    rd_kafka_NewTopic_t *wanted =
        rd_kafka_NewTopic_new(topic, partition_count, -1, why, sizeof why);
    if (wanted != NULL) {
        rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
        rd_kafka_AdminOptions_t *options =
            make_options(client, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms);
        rd_kafka_CreateTopics(client, &wanted, 1, options, queue);
        rd_kafka_event_t *event = wait_for(queue, timeout_ms, topic, error);
        code = event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : read_created(event, why, sizeof why);
        if (event != NULL) rd_kafka_event_destroy(event);
        if (options != NULL) rd_kafka_AdminOptions_destroy(options);
        rd_kafka_queue_destroy(queue);
        rd_kafka_NewTopic_destroy(wanted);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
        return TOPICS_OK;
    }
    const enum topics_verdict verdict = judge(code);
    if (verdict == TOPICS_RETRY) {
        error_set(error, "topic %s is missing, and Kafka has not created it yet: %s", topic,
                  why[0] != '\0' ? why : rd_kafka_err2str(code));
        return verdict;
    }
    error_set(error,
              "topic %s is missing and cannot be created (%s): create it with kafka-topics.sh "
              "--create --topic %s --partitions %d",
              topic, why, topic, partition_count);
    return verdict;
}
