/* top: the figures of one instance, read from its page /metrics, as `rollcall top` shows them.
 *
 * Threads:  pure; any thread.
 * Limits:   FENCE_PARTITIONS_MAX partitions; the page is not trusted.
 */
#ifndef APP_TOP_H
#define APP_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fence.h"

enum { TOP_COUNTERS = 5 }; /* consumed, counted, published, rejected, anomalies */

struct top_lag {
    int partition;
    int64_t to_publish, to_count; /* records; 0 while it is not known */
};

struct top_figures {
    int64_t totals[TOP_COUNTERS];              /* since the instance's start, over all labels */
    int64_t assigned_count;                    /* partitions */
    struct top_lag lags[FENCE_PARTITIONS_MAX]; /* the largest first */
    size_t lag_count;
};

/* Reads a page. False if it is not that of an instance. Borrows both. */
bool top_read(struct top_figures *figures, const char *page);

#endif
