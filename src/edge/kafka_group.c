#include "edge/kafka_group.h"

#include <librdkafka/rdkafka.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "edge/kafka_topics.h"

static rd_kafka_event_t *describe(rd_kafka_t *client, const char *group, int timeout_ms) {
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    if (options != NULL) {
        rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, NULL, 0);
    }
    rd_kafka_DescribeConsumerGroups(client, &group, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);
    if (options != NULL) rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return event;
}

static int count_owned(const rd_kafka_MemberDescription_t *member, const char *topic) {
    const rd_kafka_MemberAssignment_t *assignment = rd_kafka_MemberDescription_assignment(member);
    const rd_kafka_topic_partition_list_t *list =
        assignment == NULL ? NULL : rd_kafka_MemberAssignment_partitions(assignment);
    int count = 0;
    for (int i = 0; list != NULL && i < list->cnt; i++) {
        count += strcmp(list->elems[i].topic, topic) == 0;
    }
    return count;
}

/* Whether the member with our id comes first, by what it owns and then by its id; sets how many
 * partitions all members own. */
static bool owns_least(const rd_kafka_ConsumerGroupDescription_t *group, const char *our_id,
                       const char *topic, int *owned_by_all) {
    const char *first_id = NULL;
    int first_owned = 0;
    const size_t count = rd_kafka_ConsumerGroupDescription_member_count(group);
    *owned_by_all = 0;
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_MemberDescription_t *member =
            rd_kafka_ConsumerGroupDescription_member(group, i);
        const char *id = rd_kafka_MemberDescription_consumer_id(member);
        const int owned = count_owned(member, topic);
        *owned_by_all += owned;
        if (first_id == NULL || owned < first_owned ||
            (owned == first_owned && strcmp(id, first_id) < 0)) {
            first_id = id;
            first_owned = owned;
        }
    }
    return first_id != NULL && strcmp(first_id, our_id) == 0;
}

static bool is_ours_to_mend(rd_kafka_event_t *event, const char *our_id, const char *topic,
                            int partition_count) {
    size_t count = 0;
    const rd_kafka_DescribeConsumerGroups_result_t *result =
        rd_kafka_event_DescribeConsumerGroups_result(event);
    if (result == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
    const rd_kafka_ConsumerGroupDescription_t **groups =
        rd_kafka_DescribeConsumerGroups_result_groups(result, &count);
    if (count != 1 || rd_kafka_ConsumerGroupDescription_state(groups[0]) !=
                          RD_KAFKA_CONSUMER_GROUP_STATE_STABLE) {
        return false;
    }
    int owned_by_all = 0;
    return owns_least(groups[0], our_id, topic, &owned_by_all) && owned_by_all < partition_count;
}

bool kafka_group_is_ours_to_mend(rd_kafka_t *client, const char *group, const char *topic,
                                 int timeout_ms) {
    struct error error;
    struct topic_facts facts;
    bool is_ours = false;
    char *our_id = rd_kafka_memberid(client);
    rd_kafka_event_t *event = our_id == NULL ? NULL : describe(client, group, timeout_ms);
    if (event != NULL) {
        is_ours = kafka_topics_look(client, topic, timeout_ms, &facts, &error) == TOPICS_OK &&
                  is_ours_to_mend(event, our_id, topic, facts.partition_count);
        rd_kafka_event_destroy(event);
    }
    if (our_id != NULL) rd_kafka_mem_free(client, our_id);
    return is_ours;
}
