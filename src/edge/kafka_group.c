/* Orphans: in a cooperative rebalance (KIP-429) a partition changes hands in two steps: its owner
 * gives it up and joins once more, then it is given to another. If the owner is a static member
 * (KIP-345) and dies between the two, its successor receives, without a rebalance, what the first
 * step had left to it. It has nothing to give up, nobody joins once more, and the partition stays
 * an orphan until something else moves the group.
 *
 * They are looked for with rd_kafka_list_groups: with the admin client's DescribeConsumerGroups
 * librdkafka ends the process by an assertion if the group's coordinator goes away meanwhile (up to
 * 2.15.1; its issue 4605). But only the latter tells rights, so `check` uses it. */
#include "kafka_private.h"

#include <stdint.h>
#include <string.h>

struct reader {
    const unsigned char *at, *end;
    bool is_broken;
};

static const unsigned char *skip(struct reader *reader, size_t bytes) {
    const unsigned char *at = reader->at;
    if ((size_t)(reader->end - at) < bytes) reader->is_broken = true;
    if (reader->is_broken) return NULL;
    reader->at += bytes;
    return at;
}

static uint32_t read_number(struct reader *reader, size_t bytes) {
    const unsigned char *at = skip(reader, bytes);
    uint32_t number = 0;
    for (size_t i = 0; at != NULL && i < bytes; i++)
        number = number << 8 | at[i];
    return number;
}

int kafka_group_count_assigned(const void *assignment, size_t bytes, const char *topic) {
    const unsigned char *begin = assignment;
    struct reader reader = {.at = begin, .end = bytes == 0 ? begin : begin + bytes};
    uint32_t count = 0;
    read_number(&reader, 2); /* version: later ones only append */
    uint32_t topics = read_number(&reader, 4);
    for (; topics > 0 && !reader.is_broken; topics--) {
        const size_t length = read_number(&reader, 2);
        const unsigned char *name = skip(&reader, length);
        const uint32_t partitions = read_number(&reader, 4);
        skip(&reader, (size_t)partitions * 4);
        if (reader.is_broken) break;
        if (length == strlen(topic) && memcmp(name, topic, length) == 0) count += partitions;
    }
    return reader.is_broken ? -1 : (int)count;
}

/* How many partitions of topic are owned; -1 if the group is not at rest. */
static int count_owned(const struct rd_kafka_group_info *group, const char *topic) {
    int count = 0;
    if (group->err != RD_KAFKA_RESP_ERR_NO_ERROR || strcmp(group->state, "Stable") != 0) return -1;
    for (int i = 0; i < group->member_cnt; i++) {
        const struct rd_kafka_group_member_info *member = &group->members[i];
        if (member->member_assignment_size == 0) continue;
        const int owned = kafka_group_count_assigned(member->member_assignment,
                                                     (size_t)member->member_assignment_size, topic);
        if (owned < 0) return -1;
        count += owned;
    }
    return count;
}

bool kafka_group_has_orphans(rd_kafka_t *client, const char *group, const char *topic,
                             int timeout_ms) {
    struct topic_facts facts;
    const struct rd_kafka_group_list *list = NULL;
    if (kafka_topics_look_with(client, topic, timeout_ms, &facts, NULL) != TOPICS_OK) return false;
    if (rd_kafka_list_groups(client, group, &list, timeout_ms) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (list != NULL) rd_kafka_group_list_destroy(list);
        return false;
    }
    const int owned = list->group_cnt == 1 ? count_owned(&list->groups[0], topic) : -1;
    rd_kafka_group_list_destroy(list);
    return owned >= 0 && owned < facts.partition_count;
}

static bool may_read(rd_kafka_event_t *event) {
    size_t count = 0;
    const rd_kafka_DescribeConsumerGroups_result_t *result =
        rd_kafka_event_DescribeConsumerGroups_result(event);
    if (result == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) return true;
    const rd_kafka_ConsumerGroupDescription_t **groups =
        rd_kafka_DescribeConsumerGroups_result_groups(result, &count);
    if (count != 1) return true;
    const rd_kafka_AclOperation_t *allowed =
        rd_kafka_ConsumerGroupDescription_authorized_operations(groups[0], &count);
    bool is_allowed = allowed == NULL;
    for (size_t i = 0; allowed != NULL && i < count; i++) {
        is_allowed |=
            allowed[i] == RD_KAFKA_ACL_OPERATION_ALL || allowed[i] == RD_KAFKA_ACL_OPERATION_READ;
    }
    return is_allowed;
}

bool kafka_group_may_read(rd_kafka_t *client, const char *group, int timeout_ms) {
    bool is_allowed = true;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, NULL, 0);
    rd_kafka_error_destroy(rd_kafka_AdminOptions_set_include_authorized_operations(options, 1));
    rd_kafka_DescribeConsumerGroups(client, &group, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);
    if (event != NULL) {
        is_allowed = may_read(event);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return is_allowed;
}
