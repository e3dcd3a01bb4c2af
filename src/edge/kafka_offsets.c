/* The offsets of a kafka_source's group and topic: from any thread, while the source's own serves
 * the group. The origin of a committed offset is kept in its metadata. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "kafka_private.h"

static const char origin_prefix[] = "origin=";

static void put_origin(rd_kafka_topic_partition_t *place, int64_t origin) {
    char text[40];
    const int length = snprintf(text, sizeof text, "%s%lld", origin_prefix, (long long)origin);
    place->metadata = memory_text(text); /* librdkafka frees it with the list */
    place->metadata_size = (size_t)length;
}

/* The origin in the metadata of a committed offset, -1 if there is none. */
static int64_t origin_of(const rd_kafka_topic_partition_t *place) {
    const size_t prefix_bytes = sizeof origin_prefix - 1;
    char text[32] = "";
    if (place->metadata == NULL || place->metadata_size <= prefix_bytes ||
        place->metadata_size - prefix_bytes >= sizeof text ||
        memcmp(place->metadata, origin_prefix, prefix_bytes) != 0) {
        return -1;
    }
    memcpy(text, (const char *)place->metadata + prefix_bytes, place->metadata_size - prefix_bytes);
    return strtoll(text, NULL, 10);
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
        if (items[i].origin >= 0) put_origin(place, items[i].origin);
    }
    return list;
}

bool kafka_source_committed(struct kafka_source *source, struct kafka_committed *items,
                            size_t count, int timeout_ms, struct error *error) {
    const struct kafka_source_settings *settings = kafka_source_settings(source);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, settings->topic, items[i].partition);
    rd_kafka_resp_err_t err = rd_kafka_committed(kafka_source_borrow(source), list, timeout_ms);
    kafka_source_return(source);
    for (size_t i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < count; i++) {
        const rd_kafka_topic_partition_t *item = &list->elems[i];
        assert(item->partition == items[i].partition);
        err = item->err;
        items[i].offset = item->offset >= 0 ? item->offset : -1;
        items[i].origin = origin_of(item);
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
    return error_set(error, "the committed offsets of group %s cannot be read: %s", settings->group,
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
        if (event != NULL) rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    kafka_source_return(source);
    rd_kafka_topic_partition_list_destroy(list);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
    return error_set(error, "offsets of group %s cannot be committed: %s", settings->group,
                     rd_kafka_err2str(err));
}

bool kafka_source_bounds(struct kafka_source *source, int32_t partition, int64_t *begin,
                         int64_t *end, int timeout_ms, struct error *error) {
    const struct kafka_source_settings *settings = kafka_source_settings(source);
    rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(
        kafka_source_borrow(source), settings->topic, partition, begin, end, timeout_ms);
    kafka_source_return(source);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
    return error_set(error, "the bounds of %s [%d] cannot be read: %s", settings->topic, partition,
                     rd_kafka_err2str(err));
}
