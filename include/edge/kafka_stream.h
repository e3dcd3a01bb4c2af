/* kafka_stream: the records of one assigned partition, in the order of its log.
 *
 * Place:    given out by kafka_source at an assignment; read by INGEST.
 * Threads:  one reader; open and close while nobody reads; wake from any thread.
 * Owns:     the partition's queue. What is read of it is only lent.
 * Waits:    read and seek, at most their timeout.
 */
#ifndef EDGE_KAFKA_STREAM_H
#define EDGE_KAFKA_STREAM_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct kafka_stream;

/* Takes the partition's records out of the consumer's main queue; before the partition is assigned, so
 * that none of them is there already. Sets is_stranded when the log no longer has what was to be read
 * next. Borrows all until close. */
struct kafka_stream *kafka_stream_open(rd_kafka_t *consumer, const char *topic, int32_t partition,
                                       atomic_bool *is_stranded);
void kafka_stream_close(struct kafka_stream **stream);

/* What one read gave. */
enum stream_verdict {
    STREAM_RECORDS,
    STREAM_NOTHING,    /* no record within the time */
    STREAM_UNREADABLE, /* librdkafka cannot read what is there, and may pass over it: seek again */
};

/* Lends `take` one message after the other, until it answers false or there are no more at hand; for
 * the first one it waits timeout_ms at most. */
enum stream_verdict kafka_stream_read(struct kafka_stream *stream, int timeout_ms,
                                      bool (*take)(void *context, rd_kafka_message_t *message),
                                      void *context);

/* Ends a present or the next waiting read; from any thread. */
void kafka_stream_wake(struct kafka_stream *stream);

/* Reading goes on at offset; what was fetched from elsewhere is not seen any more. */
bool kafka_stream_seek(struct kafka_stream *stream, int64_t offset, struct error *error);

/* The end of the log as the last fetch saw it, or -1. */
int64_t kafka_stream_end(const struct kafka_stream *stream);

#endif
