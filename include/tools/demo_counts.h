/* demo_counts: what the counts must be, what they are in Redis, and how the two differ.
 *
 * Counts are a struct delta, in which the kind of a count takes the place of the dimension.
 * Reads Redis by plain commands, as a user would, and shares no code with what counted.
 *
 * Threads:  one owner.
 */
#ifndef TOOLS_DEMO_COUNTS_H
#define TOOLS_DEMO_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/delta.h"

struct error;
struct event;
struct redis_link;

/* Adds what this event must count for. */
void demo_counts_expect(struct delta *counts, const struct event *event);

/* Adds all counts under the prefix. */
bool demo_counts_read(struct delta *counts, struct redis_link *link, const char *prefix,
                      struct error *error);

/* Prints the largest of each kind to stdout. */
void demo_counts_print(const struct delta *counts);

/* Prints the first differences; returns how many there are. */
int demo_counts_compare(const struct delta *expected, const struct delta *found);

#endif
