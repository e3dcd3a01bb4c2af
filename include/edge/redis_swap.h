/* redis_swap: puts a rebuilt set of counts in the place of the live one.
 *
 * Place:    under `rollcall rebuild`, beside redis_store.
 * Threads:  the link's owner.
 * Limits:   as many keys as a rebuild makes: a few for each aggregate, and one for each day.
 * Waits:    as redis_link does; to find the keys, once for each thousand of the database.
 *
 * With P the prefix, rebuilt counts are under P:rebuild, and the counts that they replace go to
 * P:before.
 *
 * I1  The keys under P:rebuild belong to one rebuild, which P:rebuild:meta names: only it adds to
 *     them, swaps them in, or deletes them (redis_store_options.rebuild, swap.lua, claim.lua).
 * I2  What is under P:before is never overwritten.
 */
#ifndef EDGE_REDIS_SWAP_H
#define EDGE_REDIS_SWAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/aggregate.h"
#include "edge/redis_link.h"
#include "edge/redis_store.h"

#define REDIS_SWAP_REBUILT "rebuild"
#define REDIS_SWAP_BEFORE "before"

enum swap_verdict {
    SWAP_DONE,
    SWAP_LATER,   /* the rebuilt counts are behind the live ones, or those changed meanwhile */
    SWAP_RETRY,   /* Redis is unreachable or busy: the same again, later */
    SWAP_REFUSED, /* only the user can fix it; the error describes how */
};

/* Makes the keys under prefix:rebuild those of the rebuild of this name, without counts yet, and
 * counts what it deletes. From then on any other rebuild is refused. STORE_REFUSED too if another
 * one claims them meanwhile. May be repeated until something is stored. Borrows all. */
enum store_verdict redis_swap_claim(struct redis_link *link, const char *prefix,
                                    const char *rebuild, size_t *count, struct error *error);

/* Gives up what was claimed and is still without counts, unless it is another's by now. Borrows
 * all. */
enum store_verdict redis_swap_release(struct redis_link *link, const char *prefix,
                                      const char *rebuild, struct error *error);

/* Swaps in one step of Redis, or does nothing; if must_be_as_far, only where each partition's
 * rebuilt offset is not below the live one. May be repeated: the rebuild's name stays in the live
 * meta. Borrows all. */
enum swap_verdict redis_swap_run(struct redis_link *link, const char *prefix,
                                 const struct aggregates *aggregates, const char *rebuild,
                                 bool must_be_as_far, struct error *error);

/* How many keys are under prefix:part. STORE_RETRY, STORE_REFUSED with an error. */
enum store_verdict redis_swap_count(struct redis_link *link, const char *prefix, const char *part,
                                    size_t *count, struct error *error);

/* Deletes the keys under prefix:before, and counts them. */
enum store_verdict redis_swap_forget(struct redis_link *link, const char *prefix, size_t *count,
                                     struct error *error);

/* Why a rebuild ends, and what to do: its keys are gone or another's; those before are there. */
void redis_swap_name_loss(const char *prefix, struct error *error);
void redis_swap_name_before(const char *prefix, struct error *error);

#endif
