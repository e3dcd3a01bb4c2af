/* rejections: notices when nearly all records are rejected, which is most often one mistake in a
 * setting or a producer, and says so once a minute.
 *
 * Place:    ingest notes verdicts, and asks for the line; all partitions share one struct.
 * Threads:  struct rejections any; a struct rejections_noted belongs to one ingest.
 * Waits:    never, but for the lock, which is held for a few lines.
 *
 * Of REJECTIONS_SPAN_MS at least, or of the first second, a line is due if 9 of 10 records were
 * rejected. Fewer than REJECTIONS_RECORDS are gathered for a minute before they are judged.
 */
#ifndef FLOW_REJECTIONS_H
#define FLOW_REJECTIONS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "core/login.h"

enum {
    REJECTIONS_FIRST_MS = 1000,
    REJECTIONS_SPAN_MS = 10000,
    REJECTIONS_LINE_MS = 60000,
    REJECTIONS_RECORDS = 10,
    REJECTIONS_DETAIL_BYTES = 256,
};

struct rejections_example {
    int64_t count; /* of this reason; 0: the rest is not set */
    int64_t offset;
    int32_t partition;
    char detail[REJECTIONS_DETAIL_BYTES];
};

/* All zero: nothing. */
struct rejections_noted {
    int64_t judged; /* records, counted by the owner */
    bool has_rejected;
    struct rejections_example reasons[LOGIN_REASON_COUNT];
};

struct rejections {
    pthread_mutex_t lock; /* guards all but has_noted */
    struct rejections_noted sum;
    struct rejections_example last[LOGIN_REASON_COUNT]; /* the newest of each reason */
    int64_t begin_ms; /* when the first record of sum was noticed, 0: not yet */
    int64_t next_ms;  /* when to look next, 0: at nothing yet */
    atomic_bool has_noted;
};

void rejections_init(struct rejections *rejections);
void rejections_fini(struct rejections *rejections);

/* Notes a rejected record. Borrows login. */
void rejections_note(struct rejections_noted *noted, const struct login *login, int32_t partition,
                     int64_t offset);

/* Adds what was noted, and empties it. */
void rejections_add(struct rejections *rejections, struct rejections_noted *noted);

/* The newest example of each reason since the start; count 0: none. */
void rejections_last(struct rejections *rejections,
                     struct rejections_example last[LOGIN_REASON_COUNT]);

/* True if a line is due: then what was added since the last look is moved to sum. Cheap while
 * nothing was added. */
bool rejections_due(struct rejections *rejections, int64_t now_ms, struct rejections_noted *sum);

/* The reason with most records. */
enum login_reason rejections_worst(const struct rejections_noted *sum);

/* Writes the line if it is due. */
void rejections_report(struct rejections *rejections, int64_t now_ms);

#endif
