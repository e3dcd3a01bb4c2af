/* rd_kafka_list_groups, not the admin client's DescribeConsumerGroups: that one ends the process by an
 * assertion if its coordinator goes away at the wrong moment (seen in 2.15.1; librdkafka #4605). */
#include "edge/kafka_group.h"

#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "edge/kafka_topics.h"

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
    struct error error;
    struct topic_facts facts;
    const struct rd_kafka_group_list *list = NULL;
    if (kafka_topics_look(client, topic, timeout_ms, &facts, &error) != TOPICS_OK) return false;
    if (rd_kafka_list_groups(client, group, &list, timeout_ms) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (list != NULL) rd_kafka_group_list_destroy(list);
        return false;
    }
    const int owned = list->group_cnt == 1 ? count_owned(&list->groups[0], topic) : -1;
    rd_kafka_group_list_destroy(list);
    return owned >= 0 && owned < facts.partition_count;
}
