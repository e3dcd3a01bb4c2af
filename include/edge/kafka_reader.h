/* kafka_reader: the records of a topic's partitions from one offset to another, without a group.
 *
 * Place:    for commands that look back: audit and rebuild.
 * Threads:  one owner.
 * Owns:     a consumer that joins no group and commits nothing.
 * Limits:   options.queue_bytes fetched and not yet read, over all partitions.
 * Waits:    read, at most its timeout.
 */
#ifndef EDGE_KAFKA_READER_H
#define EDGE_KAFKA_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "edge/kafka_record.h"
#include "edge/kafka_source.h"

struct kafka_reader;

/* Instead of an end: go on with what is appended. */
#define KAFKA_READER_ENDLESS INT64_MAX

/* The part of a partition that is to be read. */
struct kafka_range {
    int32_t partition;
    int64_t begin, end; /* records of [begin, end); begin must be in the log, or be its end */
    /* kept by the reader */
    int64_t next;   /* all below is read; past begin only when something was */
    bool is_at_end; /* the last that was read is the last that can be: the log's end, or `end` */
};

/* Begins to fetch. Reads committed records only. Keeps the ranges and what options point to; of
 * these it takes no static id. NULL with an error. */
struct kafka_reader *kafka_reader_create(const struct kafka_source_options *options,
                                         struct kafka_range *ranges, size_t count,
                                         struct error *error);
/* Takes *reader, which may be NULL, and nulls it. */
void kafka_reader_destroy(struct kafka_reader **reader);

enum reader_verdict {
    READER_RECORDS, /* at least one */
    READER_NOTHING, /* none came in time; is_at_end may have changed */
    READER_HELD,    /* the same, while a quota of Kafka's holds reading back */
    READER_FAILED,  /* a range cannot be read: the error names the partition, and why */
};

/* Gets a record, which is lent. False: it is enough, the others are for the next read. */
typedef bool kafka_reader_take(void *context, struct kafka_range *range,
                               const struct kafka_record *record);

/* Lends what is at hand to `take`, one record after the other, each partition in order; waits for
 * the first one. */
enum reader_verdict kafka_reader_read(struct kafka_reader *reader, int timeout_ms,
                                      kafka_reader_take *take, void *context, struct error *error);

#endif
