/* backlog: when the oldest record was written that one side of a partition has not finished yet.
 *
 * Place:    two for each partition, next to its cursor: what was handed over to be published, and
 *           to be counted, and has not moved the watermark yet.
 * Threads:  one owner; no I/O, no clock.
 * Limits:   BACKLOG_RUNS_MAX runs of records. Beyond that, two neighbours become one, whose time
 *           is that of its first record: then the answer may be too old, by up to the span of a
 *           run, never too young.
 *
 * I1  runs are in the order of the log, and end above `done`.
 */
#ifndef CORE_BACKLOG_H
#define CORE_BACKLOG_H

#include <stdint.h>

enum { BACKLOG_RUNS_MAX = 32 };

/* Instead of a time. */
enum { BACKLOG_NONE = 0 };

struct backlog {
    int64_t done; /* the watermark: nothing below it is waited for; below 0: not known */
    unsigned count;
    struct backlog_run {
        int64_t end;           /* the offset behind the last record */
        int64_t written_at_ms; /* of the first record, since 1970 */
    } runs[BACKLOG_RUNS_MAX];
};

/* Nothing is waited for. */
void backlog_clear(struct backlog *backlog);

/* Records up to `end` were handed over, the first of them written at written_at_ms. What does
 * not end above all that was added before is known already. */
void backlog_add(struct backlog *backlog, int64_t end, int64_t written_at_ms);

/* How many offsets of a run the watermark passes on its way to `stored`: those above where it was.
 * 0 before it was anywhere. */
int64_t backlog_passes(const struct backlog *backlog, unsigned run, int64_t stored);

/* The watermark is at `stored` now. */
void backlog_finish(struct backlog *backlog, int64_t stored);

/* All is void and will be read again from `stored` on. The oldest time is kept if `stored` is where
 * the watermark was; else it is not known any more. */
void backlog_rewind(struct backlog *backlog, int64_t stored);

/* When the oldest record was written, at least 1, or BACKLOG_NONE. */
int64_t backlog_oldest_ms(const struct backlog *backlog);

#endif
