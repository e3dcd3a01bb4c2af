/* redis_snapshot: all counts of a prefix, taken at one moment, as JSON.
 *
 * Place:    behind /counts and `rollcall snapshot`, next to redis_store.
 * Threads:  the link's owner.
 * Limits:   TEXT_BYTES_MAX of JSON.
 * Waits:    as redis_link does, a few times.
 */
#ifndef EDGE_REDIS_SNAPSHOT_H
#define EDGE_REDIS_SNAPSHOT_H

#include "base/error.h"
#include "base/text.h"
#include "core/aggregate.h"
#include "edge/redis_link.h"
#include "edge/redis_store.h"

/* Adds one JSON object with a member for each aggregate: the values of a dimension, largest count
 * first; minutes and names in order. Members without counts are empty objects. Unless it returns
 * STORE_OK, json is as it was (or broken, when memory ran out). Borrows all. */
enum store_verdict redis_snapshot_read(struct redis_link *link, const char *prefix,
                                       const struct aggregates *aggregates, struct text *json,
                                       struct error *error);

#endif
