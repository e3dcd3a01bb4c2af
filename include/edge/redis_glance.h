/* redis_glance: a few of the counts, as people look at them: the largest values of each dimension,
 * the newest minutes, the newest anomalies.
 *
 * Place:    behind the status page, next to redis_snapshot, which reads all at one moment. This
 *           reads one after the other, and little of each.
 * Threads:  the link's owner.
 * Limits:   below, for each list; and the fields of a day for each day that minutes are read of.
 * Waits:    as redis_link does, for each list and each of those days.
 */
#ifndef EDGE_REDIS_GLANCE_H
#define EDGE_REDIS_GLANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/aggregate.h"
#include "edge/redis_link.h"

enum {
    GLANCE_VALUES = 10,
    GLANCE_VALUE_BYTES = 128, /* core/login accepts no longer ones */
    GLANCE_MINUTES = 120,
    GLANCE_MINUTE_BYTES = sizeof "2024-07-10 14:36",
    GLANCE_ANOMALIES = 20,
};

struct redis_glance {
    unsigned dimension_count;
    struct glance_values {
        unsigned count;
        struct glance_value {
            char text[GLANCE_VALUE_BYTES];
            size_t length;
            int64_t count;
        } items[GLANCE_VALUES]; /* largest first */
    } dimensions[LOGIN_DIMENSIONS_MAX];
    unsigned minute_count, anomaly_count;
    struct glance_minute {
        char minute[GLANCE_MINUTE_BYTES];
        int64_t count, threshold;                           /* threshold: of an anomaly */
    } minutes[GLANCE_MINUTES], anomalies[GLANCE_ANOMALIES]; /* newest first */
};

/* False with an error; then glance may be half filled. Borrows all. */
bool redis_glance_read(struct redis_link *link, const char *prefix,
                       const struct aggregates *aggregates, struct redis_glance *glance,
                       struct error *error);

#endif
