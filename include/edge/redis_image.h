/* redis_image: all counts of a prefix and the offsets that they go with, of one moment.
 *
 * Place:    under `rollcall audit` and `rollcall rebuild`.
 * Threads:  the link's owner.
 * Limits:   none: the whole answer is in memory, about 150 bytes for each count.
 * Waits:    as redis_link does, a few times.
 */
#ifndef EDGE_REDIS_IMAGE_H
#define EDGE_REDIS_IMAGE_H

#include "base/error.h"
#include "base/slice.h"
#include "core/aggregate.h"
#include "edge/redis_link.h"
#include "edge/redis_store.h"

/* Whoever wants to know. All that is lent lives during the call. */
struct redis_image_visitor {
    void *context;
    /* What a field of the hash `offsets` has; a text that is no number gives -1. */
    void (*offset)(void *context, struct slice partition, int64_t offset);
    /* Before any count: the time by the clock of Redis, in seconds since 1970, and the day before
     * which all are in one sum, "" if none is. */
    void (*moment)(void *context, int64_t now_s, struct slice horizon);
    /* A day or bucket that is kept, and when it expires. */
    void (*bucket)(void *context, unsigned field, struct slice name, int64_t expires_s);
    /* A count as it is stored. AGGREGATE_DAYS: `bucket` is its day, "" of the sum of all others.
     * Where declared buckets or days have a key: its bucket or day, AGGREGATE_OTHER of all that
     * have none of their own. Else it is "". Of distinct values the count is a HyperLogLog. */
    void (*count)(void *context, unsigned field, struct slice bucket, struct slice name,
                  struct slice count);
};

/* Unless it returns STORE_OK, the visitor may have been told a part. Borrows all. */
enum store_verdict redis_image_read(struct redis_link *link, const char *prefix,
                                    const struct aggregates *aggregates,
                                    const struct redis_image_visitor *visitor, struct error *error);

/* Where the group began in each of the partitions 0 .. count-1, as it is kept beside the counts;
 * CURSOR_ABSENT where that is not known. */
enum store_verdict redis_image_origins(struct redis_link *link, const char *prefix,
                                       int64_t *origins, size_t count, struct error *error);

#endif
