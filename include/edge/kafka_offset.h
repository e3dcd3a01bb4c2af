/* kafka_offset: a committed offset of the group, and the origin that is kept in its metadata.
 *
 * Place:    read by kafka_source, sent by it or by kafka_sink.
 * Threads:  pure; any thread.
 */
#ifndef EDGE_KAFKA_OFFSET_H
#define EDGE_KAFKA_OFFSET_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

struct kafka_committed {
    int32_t partition;
    int64_t offset; /* -1: none */
    int64_t origin; /* where the group began; -1: not known */
};

/* Adds the offset, with its origin, to a list that is to be committed. Borrows all. */
void kafka_offset_put(rd_kafka_topic_partition_list_t *list, const char *topic,
                      const struct kafka_committed *item);

/* The origin beside a committed offset, -1 if there is none. Borrows item. */
int64_t kafka_offset_origin(const rd_kafka_topic_partition_t *item);

#endif
