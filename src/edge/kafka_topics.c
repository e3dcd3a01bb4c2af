#include "edge/kafka_topics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/error.h"
#include "kafka_private.h"

enum { SLICE_MS = 250 }; /* between looks whether waiting is vain */

/* What an error of Kafka means for the caller, who sets the error. */
static enum topics_verdict judge(rd_kafka_resp_err_t code) {
    switch (code) {
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

/* No broker has answered in time. */
static bool is_silence(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
           code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR__RESOLVE;
}

static void show_silence(rd_kafka_t *client, rd_kafka_resp_err_t code, struct error *why) {
    struct kafka_client *owner = kafka_client_of(client);
    if (owner != NULL && is_silence(code))
        kafka_access_show_silence(&owner->access, code, why);
    else
        error_set(why, "%s", rd_kafka_err2str(code));
}

static enum topics_verdict fail_look(rd_kafka_t *client, const char *topic,
                                     rd_kafka_resp_err_t code, struct error *error) {
    if (is_silence(code)) {
        struct error why;
        char *brokers = kafka_client_text(client, "bootstrap.servers");
        show_silence(client, code, &why);
        error_set(error, TOPICS_SILENT, brokers == NULL ? "" : brokers, why.text);
        free(brokers);
    } else if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        error_set(error,
                  "this user may not see topic %s: add the ACLs Describe and Read on it (Describe "
                  "and Write for an output)",
                  topic);
    } else {
        error_set(error, "topic %s: %s", topic, rd_kafka_err2str(code));
    }
    return judge(code);
}

/* One request of the admin client. */
struct request {
    rd_kafka_queue_t *queue; /* gets the answer */
    rd_kafka_AdminOptions_t *options;
};

static struct request open_request(rd_kafka_t *client, rd_kafka_admin_op_t kind, int timeout_ms) {
    struct request request = {rd_kafka_queue_new(client), rd_kafka_AdminOptions_new(client, kind)};
    rd_kafka_AdminOptions_set_request_timeout(request.options, timeout_ms, NULL, 0);
    return request;
}

/* Waits for the answer, which is the caller's; NULL if none comes in time. Takes the request. */
static rd_kafka_event_t *close_request(struct request *request, int timeout_ms) {
    rd_kafka_event_t *event = rd_kafka_queue_poll(request->queue, timeout_ms);
    rd_kafka_AdminOptions_destroy(request->options);
    rd_kafka_queue_destroy(request->queue);
    return event;
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
    if (count != 1) return;
    const rd_kafka_resp_err_t code =
        rd_kafka_error_code(rd_kafka_TopicDescription_error(topics[0]));
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) facts->exists = false;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    rd_kafka_TopicDescription_partitions(topics[0], &count);
    facts->partition_count = (int)count;
    const rd_kafka_Uuid_t *id = rd_kafka_TopicDescription_topic_id(topics[0]);
    const char *text = id == NULL ? NULL : rd_kafka_Uuid_base64str(id);
    if (text != NULL && strcmp(text, none) != 0) snprintf(facts->id, sizeof facts->id, "%s", text);
    take_rights(topics[0], facts);
}

/* False if nobody answers. */
static bool describe(rd_kafka_t *client, const char *topic, bool with_rights, int timeout_ms,
                     struct topic_facts *facts) {
    rd_kafka_TopicCollection_t *topics = rd_kafka_TopicCollection_of_topic_names(&topic, 1);
    struct request request = open_request(client, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout_ms);
    rd_kafka_error_destroy(
        rd_kafka_AdminOptions_set_include_authorized_operations(request.options, with_rights));
    rd_kafka_DescribeTopics(client, topics, request.options, request.queue);
    rd_kafka_event_t *event = close_request(&request, timeout_ms);
    const bool is_answered = event != NULL && !is_silence(rd_kafka_event_error(event));
    if (event != NULL) take_description(event, facts);
    rd_kafka_event_destroy(event);
    rd_kafka_TopicCollection_destroy(topics);
    return is_answered;
}

/* The first request that goes to a broker by the address that it advertises. */
bool kafka_topics_describe(struct kafka_source *source, const char *topic, int timeout_ms,
                           struct topic_facts *facts, struct error *error) {
    struct error why;
    rd_kafka_t *client = kafka_source_borrow_asker(source);
    const bool is_cut_off = !describe(client, topic, true, timeout_ms, facts) &&
                            kafka_access_is_cut_off(&kafka_client_of(client)->access, &why);
    if (is_cut_off) {
        char *brokers = kafka_client_text(client, "bootstrap.servers");
        error_set(error,
                  "Kafka at %.300s answers, but a broker that it advertises cannot be reached from "
                  "here (%.400s): correct that broker's advertised.listeners, or the network",
                  brokers == NULL ? "" : brokers, why.text);
        free(brokers);
    }
    kafka_source_return(source);
    facts->exists = true; /* as another broker has just said */
    return !is_cut_off;
}

/* Without the rights: it is asked every few seconds, and some managed services log each that is
 * denied. */
bool kafka_topics_is_same(struct kafka_source *source, const char *topic, const char *id,
                          int timeout_ms, struct topic_facts *now, struct error *error) {
    struct topic_facts facts = {.exists = true};
    if (*id == '\0') return true;
    describe(kafka_source_borrow_asker(source), topic, false, timeout_ms, &facts);
    kafka_source_return(source);
    if (now != NULL) now->exists = facts.exists;
    if (now != NULL && facts.partition_count > 0) now->partition_count = facts.partition_count;
    if (facts.id[0] == '\0' || strcmp(facts.id, id) == 0) return true;
    return error_set(error,
                     "topic %s was deleted and re-created while rollcall ran (its id was %s and is "
                     "%s), and the offsets and counts are those of the old one: choose another "
                     "consumer.group.id and redis.prefix, or delete the group and all keys under "
                     "the prefix to start over",
                     topic, id, facts.id);
}

/* RD_KAFKA_RESP_ERR__AUTHENTICATION, and early, if brokers do not let the client in. */
static rd_kafka_resp_err_t ask_metadata(rd_kafka_t *client, rd_kafka_topic_t *topic, int timeout_ms,
                                        const struct rd_kafka_metadata **cluster,
                                        struct error *why) {
    struct kafka_client *owner = kafka_client_of(client);
    const int64_t until_ms = clock_ms() + timeout_ms;
    int64_t left_ms = timeout_ms;
    for (;;) {
        const rd_kafka_resp_err_t code =
            rd_kafka_metadata(client, 0, topic, cluster, (int)clamp(left_ms, 0, SLICE_MS));
        left_ms = until_ms - clock_ms();
        if (code != RD_KAFKA_RESP_ERR__TIMED_OUT && code != RD_KAFKA_RESP_ERR__TRANSPORT)
            return code;
        if (owner != NULL && kafka_access_is_denied(&owner->access, why))
            return RD_KAFKA_RESP_ERR__AUTHENTICATION;
        if (left_ms <= 0) return code;
    }
}

enum topics_verdict kafka_topics_look_with(rd_kafka_t *client, const char *topic, int timeout_ms,
                                           struct topic_facts *facts, struct error *error) {
    *facts = (struct topic_facts){.exists = false};
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    if (handle == NULL) return fail_look(client, topic, rd_kafka_last_error(), error);
    const struct rd_kafka_metadata *cluster = NULL;
    struct error denied;
    worker_call_begins(timeout_ms);
    rd_kafka_resp_err_t code = ask_metadata(client, handle, timeout_ms, &cluster, &denied);
    worker_call_ends();
    rd_kafka_topic_destroy(handle);
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION) {
        error_set(error, "%s", denied.text);
        return TOPICS_RETRY;
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return fail_look(client, topic, code, error);
    code = cluster->topic_cnt == 1 ? cluster->topics[0].err : RD_KAFKA_RESP_ERR__FAIL;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        facts->exists = true;
        facts->partition_count = cluster->topics[0].partition_cnt;
    }
    rd_kafka_metadata_destroy(cluster);
    if (facts->exists || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) return TOPICS_OK;
    return fail_look(client, topic, code, error);
}

enum topics_verdict kafka_topics_look(struct kafka_source *source, const char *topic,
                                      int timeout_ms, struct topic_facts *facts,
                                      struct error *error) {
    const enum topics_verdict verdict =
        kafka_topics_look_with(kafka_source_borrow_asker(source), topic, timeout_ms, facts, error);
    kafka_source_return(source);
    return verdict;
}

/* What became of the one topic of a request to create it; `why` gets Kafka's words. */
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

static rd_kafka_resp_err_t create(rd_kafka_t *client, const char *topic, int partition_count,
                                  int timeout_ms, char *why, size_t bytes) {
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    rd_kafka_NewTopic_t *wanted = rd_kafka_NewTopic_new(topic, partition_count, -1, why, bytes);
    if (wanted == NULL) return RD_KAFKA_RESP_ERR__INVALID_ARG;
    struct request request = open_request(client, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms);
    rd_kafka_CreateTopics(client, &wanted, 1, request.options, request.queue);
    rd_kafka_event_t *event = close_request(&request, timeout_ms);
    if (event != NULL) code = read_created(event, why, bytes);
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(wanted);
    return code;
}

enum topics_verdict kafka_topics_create(struct kafka_source *source, const char *topic,
                                        int partition_count, int timeout_ms, struct error *error) {
    char why[512] = "";
    const rd_kafka_resp_err_t code = create(kafka_source_borrow_asker(source), topic,
                                            partition_count, timeout_ms, why, sizeof why);
    kafka_source_return(source);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
        return TOPICS_OK;
    }
    if (judge(code) == TOPICS_RETRY) {
        error_set(error, "topic %s is missing, and Kafka has not created it yet: %s", topic,
                  why[0] != '\0' ? why : rd_kafka_err2str(code));
    } else {
        error_set(error,
                  "topic %s is missing and cannot be created (%s): create it with "
                  "kafka-topics.sh --create --topic %s --partitions %d",
                  topic, why, topic, partition_count);
    }
    return judge(code);
}

/* Not rd_kafka_DescribeCluster, which would be meant for it: where a broker answers that there are
 * no brokers, librdkafka fails an assertion (2.15.1, rd_kafka_admin_response_parse) and ends the
 * process. */
bool kafka_topics_answers(struct kafka_source *source, int timeout_ms, struct error *error) {
    const struct rd_kafka_metadata *cluster = NULL;
    rd_kafka_t *client = kafka_source_borrow_asker(source);
    const rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, NULL, &cluster, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(cluster);
    else
        show_silence(client, code, error);
    kafka_source_return(source);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The value of an entry, or "". */
static const char *entry_of(const rd_kafka_ConfigResource_t *resource, const char *name) {
    size_t count = 0;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), name) == 0) return value ? value : "";
    }
    return "";
}

static rd_kafka_resp_err_t read_retention(rd_kafka_event_t *event, int64_t *retention_ms) {
    size_t count = 0;
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return rd_kafka_event_error(event);
    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &count);
    if (count != 1) return RD_KAFKA_RESP_ERR__FAIL;
    const rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resources[0]);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return code;
    const char *retention = entry_of(resources[0], "retention.ms");
    if (*retention == '\0') return RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
    const bool deletes = strstr(entry_of(resources[0], "cleanup.policy"), "compact") == NULL ||
                         strstr(entry_of(resources[0], "cleanup.policy"), "delete") != NULL;
    const int64_t ms = strtoll(retention, NULL, 10);
    *retention_ms = !deletes || ms < 0 ? TOPICS_KEEP_ALWAYS : ms == 0 ? 1 : ms;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

enum topics_verdict kafka_topics_retention(struct kafka_source *source, const char *topic,
                                           int timeout_ms, int64_t *retention_ms,
                                           struct error *error) {
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    rd_kafka_ConfigResource_t *wanted = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_t *client = kafka_source_borrow_asker(source);
    struct request request = open_request(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms);
    rd_kafka_DescribeConfigs(client, &wanted, 1, request.options, request.queue);
    rd_kafka_event_t *event = close_request(&request, timeout_ms);
    kafka_source_return(source);
    if (event != NULL) code = read_retention(event, retention_ms);
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(wanted);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return TOPICS_OK;
    error_set(error, "retention.ms of topic %s: %s; allow DescribeConfigs on the topic", topic,
              rd_kafka_err2str(code));
    return judge(code);
}
