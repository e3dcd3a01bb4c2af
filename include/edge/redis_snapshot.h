/* redis_snapshot: all counts of a prefix as JSON, piece by piece.
 *
 * Place:    behind /counts and `rollcall snapshot`, next to redis_store.
 * Threads:  the link's owner.
 * Limits:   reply_bytes_max for what Redis answers at once.
 * Waits:    as redis_link does, for every piece, and for whoever takes the text.
 *
 * I1  All totals, the list of days, and the newest days up to REDIS_SNAPSHOT_FIRST_MINUTES are of
 *     one moment. Each older day is of one moment, too, but of a later one.
 */
#ifndef EDGE_REDIS_SNAPSHOT_H
#define EDGE_REDIS_SNAPSHOT_H

#include "base/error.h"
#include "base/text.h"
#include "core/aggregate.h"
#include "core/days.h"
#include "edge/redis_link.h"
#include "edge/redis_store.h"

enum {
    REDIS_SNAPSHOT_FIRST_MINUTES = 100000, /* some 70 days in which each minute has logins */
    REDIS_SNAPSHOT_MINUTES = 20000,        /* of each further piece: Redis does nothing else then */
    REDIS_SNAPSHOT_NAME_BYTES = 320,
};

struct redis_snapshot_options {
    const char *prefix;
    const struct aggregates *aggregates;
    const struct days *days; /* of the minutes that are shown. With a bound, the sum of the
                                      oldest days is not shown */
    size_t reply_bytes_max;  /* twice as much may be held */
};

/* Adds one JSON object with a member for each aggregate: the values of a dimension, largest count
 * first; the newest day first, and its minutes in order; names in order. Members without counts are
 * empty objects. Before it adds anything, it writes to `replica` the name of the one that it
 * reads from, if that is a replica; else "".
 *
 * Unless it returns STORE_OK, json is as it was, or, where it passed some of it on, has only a
 * part. STORE_RETRY also if nobody takes the text. Borrows all. */
enum store_verdict redis_snapshot_read(struct redis_link *link,
                                       const struct redis_snapshot_options *options,
                                       char replica[REDIS_SNAPSHOT_NAME_BYTES], struct text *json,
                                       struct error *error);

#endif
