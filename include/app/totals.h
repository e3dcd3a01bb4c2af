/* totals: the running totals of this instance as one JSON object.
 *
 * Place:    behind /counts?scope=instance.
 * Threads:  any; reads the tally without slowing its writers.
 * Waits:    as long as the text's reader does.
 */
#ifndef APP_TOTALS_H
#define APP_TOTALS_H

#include "base/text.h"
#include "core/days.h"
#include "flow/tally.h"

/* Adds the object, in the form of `rollcall snapshot`: the newest day first; values are in no
 * order. Ends early where json is broken. Borrows all. */
void totals_render(struct tally *tally, const struct aggregates *aggregates,
                   const struct days *days, struct text *json);

#endif
