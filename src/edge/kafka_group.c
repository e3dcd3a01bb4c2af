/* Members: one that the group expelled (session timeout) joins again under a new id, and its
 * partitions may have had another owner in between. librdkafka reports this as a lost assignment,
 * with one exception: a static member (group.instance.id) that is expelled while it takes part in a
 * rebalance goes on holding its partitions, with metadata that the group accepts (seen up to
 * 2.15.1). So only what is held under the id that it was given to may be committed.
 *
 * Orphans: in a cooperative rebalance (KIP-429) a partition changes hands in two steps: its owner
 * gives it up and joins once more, then it is given to another. If the owner is a static member
 * (KIP-345) and dies between the two, its successor receives, without a rebalance, what the first
 * step had left to it. It has nothing to give up, nobody joins once more, and the partition stays
 * an orphan until something else moves the group.
 *
 * They are looked for with rd_kafka_list_groups: with the admin client's DescribeConsumerGroups
 * librdkafka ends the process by an assertion if the group's coordinator goes away meanwhile (up to
 * 2.15.1; its issue 4605). But only the latter reports rights, so `check` uses it.
 *
 * Offsets: the origin and the lineage of a committed one are kept in its metadata. */
#include "kafka_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/memory.h"

enum { COORDINATOR_WAIT_MS = 100 };

void kafka_member_init(struct kafka_member *member, rd_kafka_t *consumer) {
    *member = (struct kafka_member){.consumer = consumer};
    pthread_mutex_init(&member->lock, NULL);
}

static void forget_id(struct kafka_member *member) {
    if (member->id != NULL) rd_kafka_mem_free(member->consumer, member->id);
    member->id = NULL;
}

void kafka_member_fini(struct kafka_member *member) {
    forget_id(member);
    pthread_mutex_destroy(&member->lock);
}

void kafka_member_take_id(struct kafka_member *member) {
    char *id = rd_kafka_memberid(member->consumer);
    pthread_mutex_lock(&member->lock);
    forget_id(member);
    member->id = id;
    pthread_mutex_unlock(&member->lock);
}

enum kafka_member_state kafka_member_state(struct kafka_member *member) {
    char *id = rd_kafka_memberid(member->consumer);
    enum kafka_member_state state = KAFKA_MEMBER_OTHER;
    pthread_mutex_lock(&member->lock);
    if (id == NULL || *id == '\0')
        state = KAFKA_MEMBER_NONE;
    else if (member->id != NULL && strcmp(id, member->id) == 0)
        state = KAFKA_MEMBER_SAME;
    pthread_mutex_unlock(&member->lock);
    if (id != NULL) rd_kafka_mem_free(member->consumer, id);
    return state;
}

bool kafka_member_lost_id(struct kafka_member *member) {
    return member->id != NULL && kafka_member_state(member) != KAFKA_MEMBER_SAME;
}

bool kafka_member_has_joined(rd_kafka_t *consumer) {
#if RD_KAFKA_VERSION >= 0x020c00ff /* with which the protocol can be used */
    rd_kafka_consumer_group_metadata_t *metadata = rd_kafka_consumer_group_metadata(consumer);
    if (metadata == NULL) return false;
    const bool has_joined = rd_kafka_consumer_group_metadata_generation_id(metadata) > 0;
    rd_kafka_consumer_group_metadata_destroy(metadata);
    return has_joined;
#else
    (void)consumer;
    return false;
#endif
}

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
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, NULL, 0);
    rd_kafka_error_destroy(rd_kafka_AdminOptions_set_include_authorized_operations(options, 1));
    rd_kafka_DescribeConsumerGroups(client, &group, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);
    const bool is_allowed = event == NULL || may_read(event);
    rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return is_allowed;
}

static const char origin_prefix[] = "origin=", lineage_prefix[] = "lineage=";

/* The metadata, and the epoch where other tools look for it (KIP-320). */
static void put_metadata(rd_kafka_topic_partition_t *place, const struct kafka_committed *item) {
    char text[48 + LINEAGE_TEXT_BYTES];
    int length = 0;
    if (item->origin >= 0)
        length = snprintf(text, sizeof text, "%s%lld", origin_prefix, (long long)item->origin);
    if (item->lineage.count > 0 || item->lineage.branch > 0) {
        char lineage[LINEAGE_TEXT_BYTES];
        lineage_format(&item->lineage, lineage);
        length += snprintf(text + length, sizeof text - (size_t)length, "%s%s%s",
                           length > 0 ? " " : "", lineage_prefix, lineage);
    }
    rd_kafka_topic_partition_set_leader_epoch(place, lineage_epoch(&item->lineage));
    if (length == 0) return;
    place->metadata = memory_text(text); /* librdkafka frees it with the list */
    place->metadata_size = (size_t)length;
}

/* No group began behind where it has got to. */
static int64_t read_origin(const char *text, int64_t offset) {
    char *end;
    const int64_t origin = strtoll(text, &end, 10);
    return end == text || *end != '\0' || origin < 0 || origin > offset ? -1 : origin;
}

/* What is not there, or written by somebody else, is not known. */
static void get_metadata(const rd_kafka_topic_partition_t *place, struct kafka_committed *item) {
    char text[48 + LINEAGE_TEXT_BYTES] = "", *rest = NULL;
    item->origin = -1;
    item->lineage = (struct lineage){0};
    if (place->metadata == NULL || place->metadata_size >= sizeof text) return;
    memcpy(text, place->metadata, place->metadata_size);
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        const char *origin = word + sizeof origin_prefix - 1;
        if (strncmp(word, origin_prefix, sizeof origin_prefix - 1) == 0)
            item->origin = read_origin(origin, item->offset);
        else if (strncmp(word, lineage_prefix, sizeof lineage_prefix - 1) == 0)
            lineage_parse(word + sizeof lineage_prefix - 1, &item->lineage);
    }
}

rd_kafka_topic_partition_list_t *kafka_source_list(const struct kafka_source *source,
                                                   const struct kafka_committed *items,
                                                   size_t count) {
    const struct kafka_source_settings *settings = kafka_source_settings(source);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_t *place =
            rd_kafka_topic_partition_list_add(list, settings->topic, items[i].partition);
        place->offset = items[i].offset;
        put_metadata(place, &items[i]);
    }
    return list;
}

/* A coordinator that was just found, or moves, answers a moment later. */
static rd_kafka_resp_err_t ask_committed(rd_kafka_t *client, rd_kafka_topic_partition_list_t *list,
                                         int timeout_ms) {
    const int64_t until_ms = clock_ms() + timeout_ms;
    for (;;) {
        const int64_t left_ms = clamp(until_ms - clock_ms(), 0, timeout_ms);
        const rd_kafka_resp_err_t err = rd_kafka_committed(client, list, (int)left_ms);
        const bool may_pass = err == RD_KAFKA_RESP_ERR_NOT_COORDINATOR ||
                              err == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE ||
                              err == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
        if (!may_pass || clock_ms() + COORDINATOR_WAIT_MS >= until_ms) return err;
        clock_sleep_ms(COORDINATOR_WAIT_MS);
    }
}

bool kafka_source_committed(struct kafka_source *source, struct kafka_committed *items,
                            size_t count, int timeout_ms, struct error *error) {
    const struct kafka_source_settings *settings = kafka_source_settings(source);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, settings->topic, items[i].partition);
    worker_call_begins(timeout_ms);
    rd_kafka_resp_err_t err = ask_committed(kafka_source_borrow(source), list, timeout_ms);
    worker_call_ends();
    kafka_source_return(source);
    for (size_t i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < count; i++) {
        const rd_kafka_topic_partition_t *item = &list->elems[i];
        assert(item->partition == items[i].partition);
        err = item->err;
        items[i].offset = item->offset >= 0 ? item->offset : -1;
        get_metadata(item, &items[i]);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ||
           error_set(error, "the committed offsets of group %s cannot be read: %s", settings->group,
                     rd_kafka_err2str(err));
}

/* Not by rd_kafka_commit, which waits without a limit. */
bool kafka_source_commit(struct kafka_source *source, const struct kafka_committed *items,
                         size_t count, int timeout_ms, struct error *error) {
    const struct kafka_source_settings *settings = kafka_source_settings(source);
    rd_kafka_topic_partition_list_t *list = kafka_source_list(source, items, count);
    rd_kafka_t *consumer = kafka_source_borrow(source);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer);
    rd_kafka_resp_err_t err = rd_kafka_commit_queue(consumer, list, queue, NULL, NULL);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);
        err = event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(event);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    kafka_source_return(source);
    rd_kafka_topic_partition_list_destroy(list);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ||
           error_set(error, "offsets of group %s cannot be committed: %s", settings->group,
                     rd_kafka_err2str(err));
}

bool kafka_source_may_join(struct kafka_source *source, int timeout_ms) {
    const char *group = kafka_source_settings(source)->group;
    const bool may_join = kafka_group_may_read(kafka_source_borrow(source), group, timeout_ms);
    kafka_source_return(source);
    return may_join;
}
