/* redis_checkpoint: one call of redis_store_apply as the command that Redis gets.
 *
 * Place:    under redis_store.
 * Threads:  a call's owner.
 */
#ifndef EDGE_REDIS_CHECKPOINT_H
#define EDGE_REDIS_CHECKPOINT_H

#include "edge/redis_store.h"
#include "redis_call.h"

/* Days by name. */
struct checkpoint_days {
    char (*names)[LOGIN_DAY_BYTES];
    size_t count, capacity;
};

/* Makes the call of checkpoint.lua, by the script's text or by its SHA-1. The hashes of `needed`
 * are declared, too. Borrows all. */
void redis_checkpoint_make(struct redis_call *to, const struct redis_store_options *options,
                           const struct store_call *call, bool by_text,
                           const struct checkpoint_days *needed);

#endif
