/* audit_lag: how far the counts in Redis are behind the log, and waiting until they are not.
 *
 * Place:    under `rollcall audit`, which compares at the offsets that are stored: after a loss
 *           these may be far behind, and equal nevertheless.
 * Threads:  the main thread.
 * Waits:    as redis_link does, for one command at a time.
 */
#ifndef APP_AUDIT_LAG_H
#define APP_AUDIT_LAG_H

#include <stdbool.h>
#include <stdint.h>

#include "app/recount.h"
#include "base/error.h"
#include "edge/redis_link.h"

/* Records between the ends of the ranges and those of the logs, as last looked at. */
int64_t audit_lag_records(const struct recount *recount);

/* Waits until the offsets in Redis have come to where the logs of the recount end, at most wait_s
 * seconds; 0: not at all. False with an error if they have not, if they never will, since Kafka
 * has deleted what they need, or if a signal came. Redis may be away meanwhile. Sets the ends of
 * the ranges. Borrows all. */
bool audit_lag_wait(struct recount *recount, struct redis_link *link, int64_t wait_s,
                    struct error *error);

#endif
