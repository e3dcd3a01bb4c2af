/* nearest: which known name did they mean?
 *
 *     struct nearest nearest = nearest_to(typed);
 *     for each known name: nearest_offer(&nearest, name);
 *     nearest.name is the best of them, or NULL if none comes near;
 *     nearest_hint(&nearest, "--", "") is "; did you mean --count?", or "".
 *
 * Threads:  pure; a struct nearest belongs to its caller.
 * Limits:   NEAREST_NAME_BYTES a name; a longer one is near to nothing.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

enum { NEAREST_NAME_BYTES = 63 };

struct nearest {
    const char *typed;
    const char *name;
    size_t distance;
    char hint[160];
};

/* Begins a search. Keeps typed. */
struct nearest nearest_to(const char *typed);

/* Takes the name as the best one if it is nearer than those before, and no further than a third of
 * what was typed. Keeps name. */
void nearest_offer(struct nearest *nearest, const char *name);

/* The end of an error message: "; did you mean BEFORE<name>AFTER?", or "" without a name. Lives as
 * long as nearest. */
const char *nearest_hint(struct nearest *nearest, const char *before, const char *after);

/* How many insertions, deletions, replacements and swaps of neighbours turn a into b,
 * where case does not count and '.', '-' and '_' are the same; SIZE_MAX if one is too long.
 * Borrows both. */
size_t nearest_distance(const char *a, const char *b);

#endif
