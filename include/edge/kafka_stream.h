/* kafka_stream: the records of one assigned partition, in the order of its log.
 *
 * Place:    given out by kafka_source with an assignment; read by INGEST.
 * Threads:  one reader; watch and close while nobody reads.
 * Owns:     the partition's queue. What is read of it is only lent.
 * Waits:    seek, at most its timeout; read never.
 */
#ifndef EDGE_KAFKA_STREAM_H
#define EDGE_KAFKA_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alarm.h"
#include "base/error.h"
#include "edge/kafka_record.h"

struct kafka_stream;

/* The alarm rings when there is something to read where there was nothing: a reader that has not
 * read up to STREAM_NOTHING must come back by itself. Keeps it until close, or until NULL. */
void kafka_stream_watch(struct kafka_stream *stream, struct alarm *alarm);

/* Takes *stream, which may be NULL, and nulls it. */
void kafka_stream_close(struct kafka_stream **stream);

/* What one read gave. */
enum stream_verdict {
    STREAM_RECORDS,    /* at least one; there may be more */
    STREAM_NOTHING,    /* none at hand */
    STREAM_UNREADABLE, /* librdkafka cannot read what is there, and may skip it: seek again */
};

/* Lends `take` one record after the other, until it returns false or none is at hand. */
enum stream_verdict kafka_stream_read(struct kafka_stream *stream,
                                      bool (*take)(void *context, const struct kafka_record *),
                                      void *context);

/* Where reading last came to the end of the log, as an offset; -1: not since the last seek.
 * Below it there are no records but those lent: only transaction markers, records of aborted
 * transactions, and what was compacted away. */
int64_t kafka_stream_reached(const struct kafka_stream *stream);

/* Continues at offset; what was fetched from elsewhere is dropped. */
bool kafka_stream_seek(struct kafka_stream *stream, int64_t offset, struct error *error);

/* The end of the log as the last fetch saw it, or -1. */
int64_t kafka_stream_end(const struct kafka_stream *stream);

#endif
