/* stats: every metric of `rollcall run`, stacked from the tables of the modules.
 *
 * Place:    made first; each module is given its own struct.
 * Owns:     the registry, until stats_destroy; the metrics live as long.
 */
#ifndef APP_STATS_H
#define APP_STATS_H

#include "app/assignment.h"
#include "app/config.h"
#include "app/vitals.h"
#include "base/metric.h"
#include "flow/checkpoint.h"
#include "flow/ingest.h"
#include "flow/publish.h"
#include "flow/watch.h"

struct stats {
    struct metrics *metrics;
    struct ingest_metrics ingest;
    struct lag_metrics lag;
    struct checkpoint_metrics checkpoint;
    struct publish_metrics publish;
    struct assignment_metrics assignment;
    struct watch_metrics watch;
    struct vitals vitals;
    struct metric *queue_depth;
    struct metric *memory_bytes;
    struct metric_cell *input_partitions;
};

/* Fills *stats; series whose labels are known are shown as 0 from now on. Borrows config. */
void stats_create(struct stats *stats, const struct config *config);
void stats_destroy(struct stats *stats);

#endif
