/* arena: memory of one input, under ASan's eyes, for what is asked for too often for its own
 * malloc: ten pieces a record by jansson, and the record.
 *
 * Limits:   ARENA_BYTES between two resets; past that it ends the process.
 *
 * I1  All but the pieces is poisoned: what lies between them, and those given back until the reset.
 * I2  Each piece is given back once: what is forgotten ends the process at the reset.
 */
#ifndef TESTS_FUZZ_ARENA_H
#define TESTS_FUZZ_ARENA_H

#include <stddef.h>

enum { ARENA_BYTES = 16 << 20 };

/* Never NULL. */
void *arena_take(size_t bytes);
/* Takes the piece, which may be NULL. */
void arena_give(void *piece);

void arena_reset(void);

#endif
