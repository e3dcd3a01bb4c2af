/* twins: whether another process has the same transactional id. Used by publish alone.
 *
 * A predecessor is shut out once, by its successor; twins shut each other out in turns.
 */
#ifndef FLOW_TWINS_H
#define FLOW_TWINS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct twins { /* all zero: none was noticed */
    int count;
    int64_t last_ms;
};

/* Another producer took the id of this instance at now_ms, from a transaction that began at
 * since_ms. True, with the error, if that was no successor. Borrows instance. */
bool twins_note(struct twins *twins, const char *instance, int64_t since_ms, int64_t now_ms,
                struct error *error);

#endif
