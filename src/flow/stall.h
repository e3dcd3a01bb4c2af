/* stall: whether a partition stands still although its log does not. Used by ingest alone.
 *
 * librdkafka can stop fetching a partition without a word: if a broker comes back with a metadata
 * log that is older than what the client has seen, the client takes its own for newer, is rejected
 * by every fetch, and does not tell. A new consumer knows nothing and reads on.
 *
 * Threads:  the ingest's; stall_show from any.
 * Waits:    in stall_look, every STALL_LOOK_MS while nothing is read: for the log's bounds, and
 *           while those do not come, for a client of its own.
 *
 * What a quota of Kafka's holds back is not still: it comes when the quota lets it.
 */
#ifndef FLOW_STALL_H
#define FLOW_STALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/trouble.h"
#include "core/cursor.h"
#include "edge/kafka_source.h"

enum {
    STALL_LOOK_MS = 10000,
    STALL_LOOKS = 3, /* in a row that find it standing still: 30 s */
};

struct stall {
    int64_t look_ms;  /* when to look next */
    int64_t position; /* at the last look */
    int looks;        /* that found it standing still there */
    struct trouble trouble;
};

void stall_init(struct stall *stall);
void stall_fini(struct stall *stall);

/* Something was read, or nothing is to be. */
void stall_rest(struct stall *stall, int64_t now_ms);

enum stall_verdict {
    STALL_NONE,
    STALL_BEYOND, /* the log ends below the position: the place to read must be found again */
    STALL_FOUND,  /* only a new consumer helps; stall_show says why */
};

/* To be called while nothing comes, though it should if there is anything. position -1: it is not
 * found yet. Sets *end, that of the log, if Kafka told it. */
enum stall_verdict stall_look(struct stall *stall, struct kafka_source *source, int32_t partition,
                              int64_t position, int64_t now_ms, int64_t *end);

/* True, with the reason added to why, from STALL_FOUND to the next stall_rest. */
bool stall_show(struct stall *stall, struct text *why);

#endif
