/* redis_glance: a few of the counts, as people look at them: the largest values of each dimension,
 * the newest minutes, the newest anomalies, and of each declared count the newest bucket.
 *
 * Place:    behind the status page, next to redis_snapshot, which reads all at one moment. This
 *           reads one after the other, and little of each.
 * Threads:  the link's owner; a glance has one owner at a time.
 * Limits:   below, for each list; and the fields of a day for each day that minutes are read of.
 * Waits:    as redis_link does, for each list and each of those days.
 *
 * The newest bucket of a declared count is looked for among the GLANCE_BUCKETS that were written
 * last: there may be a million, and Redis has no list of them by time.
 */
#ifndef EDGE_REDIS_GLANCE_H
#define EDGE_REDIS_GLANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "core/aggregate.h"
#include "edge/redis_link.h"

enum {
    GLANCE_VALUES = 10,
    GLANCE_MINUTES = 120,
    GLANCE_MINUTE_BYTES = sizeof "2024-07-10 14:36",
    GLANCE_ANOMALIES = 20,
    GLANCE_BUCKETS = 100,
};

struct redis_glance {
    unsigned dimension_count;
    struct glance_values {
        unsigned count;
        struct glance_value {
            uint32_t text_at, text_length; /* in texts; glance_text */
            int64_t count;
        } items[GLANCE_VALUES]; /* largest first */
    } dimensions[LOGIN_DIMENSIONS_MAX];
    unsigned minute_count, anomaly_count;
    struct glance_minute {
        char minute[GLANCE_MINUTE_BYTES];
        int64_t count, threshold;                           /* threshold: of an anomaly */
    } minutes[GLANCE_MINUTES], anomalies[GLANCE_ANOMALIES]; /* newest first */
    unsigned count_count;
    struct glance_count {
        char bucket[DECLARED_BUCKET_BYTES]; /* the newest; "": a total, or nothing is counted yet */
        int64_t number;              /* by no dimension: events, or different values, in it */
        int64_t value_count;         /* by dimensions: how many values it has */
        struct glance_values values; /* by dimensions */
    } counts[DECLARED_MAX];          /* as declared */
    size_t text_bytes, text_capacity;
    char texts[];
};

/* An empty one, with room for the texts of these aggregates. The caller frees it. */
struct redis_glance *redis_glance_create(const struct aggregates *aggregates);

/* Makes `into` the same as `from`; both were created for the same aggregates. Borrows both. */
void redis_glance_copy(struct redis_glance *into, const struct redis_glance *from);

/* A value's text; lives until the glance changes. */
static inline struct slice glance_text(const struct redis_glance *glance,
                                       const struct glance_value *value) {
    return (struct slice){glance->texts + value->text_at, value->text_length};
}

/* False with an error; then glance may be half filled. Borrows all. */
bool redis_glance_read(struct redis_link *link, const char *prefix,
                       const struct aggregates *aggregates, struct redis_glance *glance,
                       struct error *error);

#endif
