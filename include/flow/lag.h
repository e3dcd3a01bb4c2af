/* lag: how far the watermarks of one partition are behind, in records and in seconds.
 *
 * Place:    one in each ingest.
 * Threads:  the partition's worker; begin and end while it does not run. lag_read from any.
 *
 * The seconds are those since the Kafka timestamp of the oldest record that is not published, or
 * not counted: the first one of the oldest batch above the watermark. A record that was not read
 * yet has no time that could be known. If there are such records, and none that was read, they
 * count from when rollcall first saw that the log goes on, once that is LAG_UNREAD_MS ago:
 * then the lag is at least what is shown.
 */
#ifndef FLOW_LAG_H
#define FLOW_LAG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/metric.h"
#include "core/backlog.h"
#include "core/cursor.h"
#include "edge/kafka_stream.h"
#include "flow/batch.h"

enum { LAG_UNREAD_MS = 1000 }; /* longer than a fetch waits to find that nothing follows */

struct lag_metrics {
    struct metric *records, *counted_records, *seconds, *counted_seconds, *headroom, *age;
};

extern const struct metric_row lag_metric_table[];

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): grouped by the thread that writes */
struct lag {
    /* fixed after init */
    const atomic_int_fast64_t *retention_ms;
    struct metric_cell *headroom;

    /* the worker's */
    struct lag_track {
        struct backlog backlog;
        int64_t unread_since_ms;               /* of the wall clock; 0: nothing is unread */
        struct metric_cell *records, *seconds; /* fixed after init; shown once they are known */
        struct metric_cell *age;               /* fixed after init; of all partitions */
    } published, counted;
    int64_t gate;            /* counted.next before the present batch */
    int64_t first_unkept_ms; /* of the present batch: counted, not published; BACKLOG_NONE: none */
    int64_t end;             /* of the log, as last seen; -1: not yet */
    int64_t told_end;        /* the same, set by whoever asks Kafka; -1: nobody has. What is
                                fetched may show it much later */
    int64_t next_ms;         /* when to look at the end again */

    /* shared: written by the worker, read by anybody; relaxed. -1: not known */
    _Alignas(CACHE_LINE_BYTES) struct {
        atomic_int_fast64_t end, published, counted;
        atomic_int_fast64_t published_oldest_ms, counted_oldest_ms; /* or BACKLOG_NONE */
    } shown;
};

/* What others see of it. -1: not known. */
struct lag_figures {
    int64_t end, published, counted;
    int64_t published_oldest_ms, counted_oldest_ms; /* or BACKLOG_NONE */
};

struct lag_figures lag_read(const struct lag *lag);

/* Keeps the metrics' cells, and retention_ms. */
void lag_init(struct lag *lag, int32_t partition, const struct lag_metrics *metrics,
              const atomic_int_fast64_t *retention_ms);

/* Begins with nothing that is known. The partition is taken away: its series are shown no more. */
void lag_begin(struct lag *lag);
void lag_end(struct lag *lag);

/* Before records are read, and after: the batch is not sent yet. */
void lag_before(struct lag *lag, const struct cursor *cursor);
void lag_after(struct lag *lag, const struct cursor *cursor, const struct batch *batch);

/* A record is counted and not published: the batch does not keep its time. */
static inline void lag_unkept(struct lag *lag, int64_t timestamp_ms) {
    if (lag->first_unkept_ms == BACKLOG_NONE)
        lag->first_unkept_ms = timestamp_ms < 1 ? 1 : timestamp_ms;
}

/* A track was rewound, to be read again from its `stored`. */
void lag_rewind(struct lag *lag, const struct cursor *cursor);

/* Looks at the end of the log, from time to time; and shows all. */
void lag_show(struct lag *lag, const struct cursor *cursor, const struct kafka_stream *stream,
              int64_t now_ms);

#endif
