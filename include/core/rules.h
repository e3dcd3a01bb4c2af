/* rules: everything that decides a verdict or a count, as a text that is kept beside the counts.
 *
 * Place:    made at start from the settings; edge/redis_store keeps it in P:meta and compares.
 * Threads:  pure; any.
 *
 * A line for each setting: "input.timestamp = /context/ts".
 */
#ifndef CORE_RULES_H
#define CORE_RULES_H

#include "core/aggregate.h"
#include "core/login.h"

enum { RULES_BYTES = 32768, RULES_DIFFERENCE_BYTES = 640 };

void rules_print(const struct login_rules *login, const struct aggregate_settings *aggregate,
                 char text[RULES_BYTES]);

/* The same of settings. */
void rules_of_settings(const struct login_settings *login,
                       const struct aggregate_settings *aggregate, char text[RULES_BYTES]);

enum rules_verdict {
    RULES_SAME,
    RULES_OTHER_COUNTS, /* dimensions or declared counts are new, or no longer there; all else is
                           the same */
    RULES_OTHER,        /* counts made under them do not add up */
};

/* Compares what is stored with our own; unless they are the same the difference is put into words.
 * Borrows all. */
enum rules_verdict rules_compare(const char *theirs, const char *ours,
                                 char difference[RULES_DIFFERENCE_BYTES]);

#endif
