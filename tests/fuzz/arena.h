/* arena: the memory for one input, checked by ASan. ASan's own malloc would be too slow for this
 * many allocations: one for each record, and about ten more by jansson.
 *
 * Limits:   ARENA_BYTES between two resets; beyond that it aborts the process.
 *
 * I1  Everything outside the pieces is poisoned, including freed pieces until the reset.
 * I2  Each piece is freed exactly once: a leaked piece aborts the process at the reset.
 */
#ifndef TESTS_FUZZ_ARENA_H
#define TESTS_FUZZ_ARENA_H

#include <stddef.h>

enum { ARENA_BYTES = 16 << 20 };

/* Never NULL. */
void *arena_take(size_t bytes);
/* Frees a piece, which may be NULL. */
void arena_give(void *piece);

void arena_reset(void);

#endif
