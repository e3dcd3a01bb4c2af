#include "edge/kafka_offset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static const char origin_prefix[] = "origin=";

void kafka_offset_put(rd_kafka_topic_partition_list_t *list, const char *topic,
                      const struct kafka_committed *item) {
    rd_kafka_topic_partition_t *place =
        rd_kafka_topic_partition_list_add(list, topic, item->partition);
    place->offset = item->offset;
    if (item->origin < 0) return;
    char text[40];
    int length = snprintf(text, sizeof text, "%s%lld", origin_prefix, (long long)item->origin);
    place->metadata = memory_text(text); /* librdkafka frees it with the list */
    place->metadata_size = (size_t)length;
}

int64_t kafka_offset_origin(const rd_kafka_topic_partition_t *item) {
    size_t prefix_bytes = sizeof origin_prefix - 1;
    char text[32] = "";
    if (item->metadata == NULL || item->metadata_size <= prefix_bytes ||
        item->metadata_size - prefix_bytes >= sizeof text ||
        memcmp(item->metadata, origin_prefix, prefix_bytes) != 0) {
        return -1;
    }
    memcpy(text, (const char *)item->metadata + prefix_bytes, item->metadata_size - prefix_bytes);
    return strtoll(text, NULL, 10);
}
