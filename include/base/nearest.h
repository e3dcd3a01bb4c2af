/* nearest: which known name was meant?
 *
 *     struct nearest nearest = nearest_to(typed);
 *     for each known name: nearest_offer(&nearest, name);
 *     nearest.name is the best of them, or NULL if none comes near;
 *     nearest_hint(&nearest, "--", "") is "; did you mean --count?", or "".
 *
 * Threads:  pure; a struct nearest belongs to its caller.
 * Owns:     nothing; keeps what was typed and every name.
 * Limits:   NEAREST_NAME_BYTES a name; a longer one is near to nothing. A name is near if no more
 *           than a third of what was typed is different.
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

struct nearest nearest_to(const char *typed);
void nearest_offer(struct nearest *nearest, const char *name);

/* The end of an error message. Lives as long as nearest. */
const char *nearest_hint(struct nearest *nearest, const char *before, const char *after);

/* How many insertions, deletions, replacements and swaps of neighbours turn a into b,
 * where case does not count and '.', '-' and '_' are the same; SIZE_MAX if one is too long. */
size_t nearest_distance(const char *a, const char *b);

#endif
