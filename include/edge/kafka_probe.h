/* kafka_probe: looks at single records of the input, outside of the group.
 *
 * Place:    for INGEST, when it must find out where a log departs from the one that it has read.
 * Threads:  one owner.
 * Owns:     a Kafka client of its own, which is why it is opened for a moment and seldom.
 * Waits:    look, at most its timeout; close for librdkafka's threads.
 */
#ifndef EDGE_KAFKA_PROBE_H
#define EDGE_KAFKA_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "edge/kafka_source.h"

struct kafka_probe;

/* NULL with an error if a client cannot be made, or another probe of this source is open. Keeps the
 * source. */
struct kafka_probe *kafka_probe_open(struct kafka_source *source, int32_t partition,
                                     struct error *error);

/* Takes *probe, which may be NULL, and nulls it. */
void kafka_probe_close(struct kafka_probe **probe);

struct kafka_probe_record {
    int64_t offset;       /* INT64_MAX: there is none */
    int32_t leader_epoch; /* as in struct kafka_record */
};

/* The first record at or behind the offset; also one of a transaction that is open or was aborted.
 * Requires an offset within the log. */
bool kafka_probe_look(struct kafka_probe *probe, int64_t offset, struct kafka_probe_record *found,
                      int timeout_ms, struct error *error);

/* Whether Kafka answers this client a question about the partition's log. */
bool kafka_probe_answers(struct kafka_probe *probe, int timeout_ms);

#endif
