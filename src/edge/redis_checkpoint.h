/* redis_checkpoint: one call of redis_store_apply as the command that Redis gets.
 *
 * Place:    under redis_store.
 * Threads:  a command's owner.
 */
#ifndef EDGE_REDIS_CHECKPOINT_H
#define EDGE_REDIS_CHECKPOINT_H

#include "edge/redis_store.h"
#include "redis_command.h"

/* A day by name. */
struct checkpoint_day {
    char name[LOGIN_DAY_BYTES];
};

/* Makes the command that runs checkpoint.lua for the call, by the script's text or by its SHA-1. The
 * hashes of `needed` are declared, too. Borrows all. */
void redis_checkpoint_make(struct redis_command *command, const struct redis_store_options *options,
                           const struct store_call *call, bool by_text,
                           const struct checkpoint_day *needed, size_t needed_count);

#endif
