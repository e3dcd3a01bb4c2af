/* stats: every metric of `rollcall run`, by name.
 *
 * Place:    made first; each stage is given those that it keeps up to date.
 * Owns:     the registry; the metrics live as long.
 */
#ifndef APP_STATS_H
#define APP_STATS_H

#include "base/metric.h"

struct stats {
    struct metrics *metrics;
    struct metric *consumed, *published, *counted, *rejected, *lag, *counted_lag, *assigned,
        *checkpoint_seconds, *transaction_seconds, *checkpoint_failures, *rewinds, *aborted,
        *anomalies, *queue_depth, *lost;
};

/* Fills *stats; series whose labels are known are shown as 0 from now on. The caller ends it with
 * metrics_destroy(&stats->metrics). */
void stats_create(struct stats *stats);

#endif
