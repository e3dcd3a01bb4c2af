/* redis_snapshot: all counts of a prefix, taken at one moment, as JSON.
 *
 * Place:    behind /counts and `rollcall snapshot`, beside redis_store.
 * Threads:  the link's owner.
 * Limits:   TEXT_BYTES_MAX of JSON.
 * Waits:    as redis_link does.
 */
#ifndef EDGE_REDIS_SNAPSHOT_H
#define EDGE_REDIS_SNAPSHOT_H

#include "base/error.h"
#include "base/text.h"
#include "edge/redis_link.h"
#include "edge/redis_store.h"

/* Adds one JSON object: "Logins by <Dimension>" for each dimension, largest count first, "Logins
 * Over Time" by minute, "Rejected" by reason; members without counts are empty objects. Unless it
 * answers STORE_OK, json is as it was (or broken, when memory ran out). Borrows all. */
enum store_verdict redis_snapshot_read(struct redis_link *link, const char *prefix,
                                       const char *const *dimensions, unsigned dimension_count,
                                       struct text *json, struct error *error);

/* Adds the name of a dimension's member as a JSON string: "Logins by Device Type" for device_type.
 * Borrows both. */
void redis_snapshot_title(struct text *json, const char *dimension);

#endif
