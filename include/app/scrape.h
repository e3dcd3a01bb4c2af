/* scrape: the figures of one instance, read from its page /metrics, as far as `rollcall top` shows
 * it.
 *
 * Threads:  pure; any thread.
 * Limits:   FENCE_PARTITIONS_MAX partitions; the page is not trusted.
 */
#ifndef APP_SCRAPE_H
#define APP_SCRAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fence.h"

enum scrape_counter {
    SCRAPE_CONSUMED,
    SCRAPE_COUNTED,
    SCRAPE_PUBLISHED,
    SCRAPE_REJECTED,
    SCRAPE_ANOMALIES,
    SCRAPE_COUNTER_COUNT
};

struct scrape_lag {
    int partition;
    int64_t to_publish, to_count; /* records; 0 while it is not known */
};

struct scrape {
    int64_t totals[SCRAPE_COUNTER_COUNT];         /* since the instance's start, over all labels */
    int64_t assigned_count;                       /* partitions */
    struct scrape_lag lags[FENCE_PARTITIONS_MAX]; /* the largest first */
    size_t lag_count;
};

/* Reads a page. False if it is not that of an instance. Borrows both. */
bool scrape_read(struct scrape *scrape, const char *page);

#endif
