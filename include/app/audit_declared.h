/* audit_declared: declared counts as they are stored, compared with what was counted again.
 *
 * Place:    under `rollcall audit`.
 * Threads:  the main thread.
 * Owns:     its deltas, until audit_declared_release.
 * Limits:   none: about 250 bytes for each count, 16 KB for each distinct one.
 */
#ifndef APP_AUDIT_DECLARED_H
#define APP_AUDIT_DECLARED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "core/aggregate.h"
#include "core/delta.h"

struct audit_declared {
    /* to be set before the first call */
    const struct aggregates *aggregates;
    uint64_t seed;
    void *context;
    /* A count that is not as it should be; `bucket` as in its key, or "". */
    void (*differ)(void *context, const struct aggregate *aggregate, const char *bucket,
                   struct slice name, int64_t counted, int64_t stored);
    /* Whether what was last written with some record of this day may have expired by now; or with
     * the last record of all, if the day is below 0. */
    bool (*may_be_expired)(void *context, int64_t day, int retention_days);

    /* its own */
    struct delta stored, kept;
    int64_t expired_count; /* events of buckets that may have expired, which are not compared */
};

void audit_declared_release(struct audit_declared *audit);

/* Takes a bucket that the index of a count has, and that has not expired. False: it is none. */
bool audit_declared_bucket(struct audit_declared *audit, unsigned field, struct slice name);

/* Takes a count as it is stored. False: rollcall stores none by this name. */
bool audit_declared_count(struct audit_declared *audit, unsigned field, struct slice bucket,
                          struct slice name, int64_t count);

/* The same for a distinct count; without dimensions the name is "". A HyperLogLog of no bytes is
 * one that should be there, and is gone. */
bool audit_declared_distinct(struct audit_declared *audit, unsigned field, struct slice bucket,
                             struct slice name, struct slice hyperloglog);

/* Compares all that was counted of a field, once all is taken; distinct counts register by
 * register, though what is told of a difference are their numbers. Borrows counted. */
void audit_declared_compare(struct audit_declared *audit, const struct delta *counted,
                            unsigned field);

#endif
