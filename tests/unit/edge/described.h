/* described: what the admin client reports of topics and groups. librdkafka's in-process cluster
 * answers none of these questions, so the answers stand in front of librdkafka's own functions: the
 * one that `described` holds, or none at all. */
#ifndef TESTS_DESCRIBED_H
#define TESTS_DESCRIBED_H

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>

enum { DESCRIBED_NOTHING_MS = 20 }; /* how long is waited for an answer that does not come */

struct described {
    bool is_given;             /* there is an answer */
    rd_kafka_resp_err_t error; /* of the whole */
    rd_kafka_error_t *own;     /* of the one topic; NULL: none */
    size_t count;              /* of topics, groups or resources in it */
    size_t partitions;
    rd_kafka_Uuid_t *id;                   /* NULL: Kafka gives none */
    const rd_kafka_AclOperation_t *rights; /* NULL: Kafka does not know */
    size_t right_count;
    const char *entries[2][2]; /* of a topic's configuration: name and value */
    bool asked_for_rights;     /* the last question did */
    const char *words;         /* of an error; NULL: none */
};

static struct described described;

#define DESCRIBED_EVENT ((rd_kafka_event_t *)&described)
#define DESCRIBED_REAL(real, name) (*(void **)&(real) = dlsym(RTLD_NEXT, name))

rd_kafka_event_t *rd_kafka_queue_poll(rd_kafka_queue_t *queue, int timeout_ms) {
    rd_kafka_event_t *(*real)(rd_kafka_queue_t *, int);
    DESCRIBED_REAL(real, "rd_kafka_queue_poll");
    if (described.is_given) return DESCRIBED_EVENT;
    return real(queue, timeout_ms < DESCRIBED_NOTHING_MS ? timeout_ms : DESCRIBED_NOTHING_MS);
}

void rd_kafka_event_destroy(rd_kafka_event_t *event) {
    void (*real)(rd_kafka_event_t *);
    DESCRIBED_REAL(real, "rd_kafka_event_destroy");
    if (event != DESCRIBED_EVENT) real(event);
}

rd_kafka_resp_err_t rd_kafka_event_error(rd_kafka_event_t *event) {
    rd_kafka_resp_err_t (*real)(rd_kafka_event_t *);
    DESCRIBED_REAL(real, "rd_kafka_event_error");
    return event == DESCRIBED_EVENT ? described.error : real(event);
}

const char *rd_kafka_event_error_string(rd_kafka_event_t *event) {
    const char *(*real)(rd_kafka_event_t *);
    DESCRIBED_REAL(real, "rd_kafka_event_error_string");
    return event == DESCRIBED_EVENT ? described.words : real(event);
}

rd_kafka_error_t *
rd_kafka_AdminOptions_set_include_authorized_operations(rd_kafka_AdminOptions_t *options,
                                                        int with_rights) {
    (void)options;
    described.asked_for_rights = with_rights != 0;
    return NULL;
}

/* The list of one, behind which there is nothing. */
static const void **described_list(const void *result, size_t *count) {
    static const void *list[2];
    assert_ptr_equal(result, &described);
    list[0] = &described;
    *count = described.count;
    return list;
}

static const rd_kafka_AclOperation_t *described_rights(const void *item, size_t *count) {
    assert_ptr_equal(item, &described);
    *count = described.right_count;
    return described.rights;
}

/* --- topics ----------------------------------------------------------------------------------- */

const rd_kafka_DescribeTopics_result_t *
rd_kafka_event_DescribeTopics_result(rd_kafka_event_t *event) {
    return event == DESCRIBED_EVENT ? (const void *)event : NULL;
}

const rd_kafka_TopicDescription_t **
rd_kafka_DescribeTopics_result_topics(const rd_kafka_DescribeTopics_result_t *result,
                                      size_t *count) {
    return (const rd_kafka_TopicDescription_t **)described_list(result, count);
}

const rd_kafka_error_t *rd_kafka_TopicDescription_error(const rd_kafka_TopicDescription_t *topic) {
    assert_ptr_equal(topic, &described);
    return described.own;
}

const rd_kafka_TopicPartitionInfo_t **
rd_kafka_TopicDescription_partitions(const rd_kafka_TopicDescription_t *topic, size_t *count) {
    assert_ptr_equal(topic, &described);
    *count = described.partitions;
    return NULL;
}

const rd_kafka_Uuid_t *
rd_kafka_TopicDescription_topic_id(const rd_kafka_TopicDescription_t *topic) {
    assert_ptr_equal(topic, &described);
    return described.id;
}

const rd_kafka_AclOperation_t *
rd_kafka_TopicDescription_authorized_operations(const rd_kafka_TopicDescription_t *topic,
                                                size_t *count) {
    return described_rights(topic, count);
}

/* --- a topic that is created ------------------------------------------------------------------ */

const rd_kafka_CreateTopics_result_t *rd_kafka_event_CreateTopics_result(rd_kafka_event_t *event) {
    return event == DESCRIBED_EVENT ? (const void *)event : NULL;
}

const rd_kafka_topic_result_t **
rd_kafka_CreateTopics_result_topics(const rd_kafka_CreateTopics_result_t *result, size_t *count) {
    return (const rd_kafka_topic_result_t **)described_list(result, count);
}

rd_kafka_resp_err_t rd_kafka_topic_result_error(const rd_kafka_topic_result_t *topic) {
    assert_ptr_equal(topic, &described);
    return rd_kafka_error_code(described.own);
}

const char *rd_kafka_topic_result_error_string(const rd_kafka_topic_result_t *topic) {
    assert_ptr_equal(topic, &described);
    return described.words;
}

/* --- groups ----------------------------------------------------------------------------------- */

const rd_kafka_DescribeConsumerGroups_result_t *
rd_kafka_event_DescribeConsumerGroups_result(rd_kafka_event_t *event) {
    return event == DESCRIBED_EVENT ? (const void *)event : NULL;
}

const rd_kafka_ConsumerGroupDescription_t **rd_kafka_DescribeConsumerGroups_result_groups(
    const rd_kafka_DescribeConsumerGroups_result_t *result, size_t *count) {
    return (const rd_kafka_ConsumerGroupDescription_t **)described_list(result, count);
}

const rd_kafka_AclOperation_t *rd_kafka_ConsumerGroupDescription_authorized_operations(
    const rd_kafka_ConsumerGroupDescription_t *group, size_t *count) {
    return described_rights(group, count);
}

/* --- a topic's configuration ------------------------------------------------------------------ */

const rd_kafka_DescribeConfigs_result_t *
rd_kafka_event_DescribeConfigs_result(rd_kafka_event_t *event) {
    return event == DESCRIBED_EVENT ? (const void *)event : NULL;
}

const rd_kafka_ConfigResource_t **
rd_kafka_DescribeConfigs_result_resources(const rd_kafka_DescribeConfigs_result_t *result,
                                          size_t *count) {
    return (const rd_kafka_ConfigResource_t **)described_list(result, count);
}

rd_kafka_resp_err_t rd_kafka_ConfigResource_error(const rd_kafka_ConfigResource_t *resource) {
    assert_ptr_equal(resource, &described);
    return rd_kafka_error_code(described.own);
}

const rd_kafka_ConfigEntry_t **
rd_kafka_ConfigResource_configs(const rd_kafka_ConfigResource_t *resource, size_t *count) {
    static const rd_kafka_ConfigEntry_t *entries[2];
    assert_ptr_equal(resource, &described);
    for (*count = 0; *count < 2 && described.entries[*count][0] != NULL; ++*count)
        entries[*count] = (const void *)described.entries[*count];
    return entries;
}

const char *rd_kafka_ConfigEntry_name(const rd_kafka_ConfigEntry_t *entry) {
    return ((const char *const *)(const void *)entry)[0];
}

const char *rd_kafka_ConfigEntry_value(const rd_kafka_ConfigEntry_t *entry) {
    return ((const char *const *)(const void *)entry)[1];
}

#endif
