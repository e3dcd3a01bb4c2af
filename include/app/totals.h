/* totals: the running totals of this instance's shards as one JSON object.
 *
 * Place:    behind /counts?scope=instance.
 * Threads:  any; reads the tallies without a lock.
 */
#ifndef APP_TOTALS_H
#define APP_TOTALS_H

#include "base/text.h"
#include "flow/tally.h"

/* Adds the object, in the form of `rollcall snapshot`; keys are in no order. Borrows all. */
void totals_render(struct tally *const *tallies, unsigned shard_count,
                   const struct aggregates *aggregates, struct text *json);

#endif
