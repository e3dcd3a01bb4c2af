/* tally: running totals of one shard, for readers that must not slow its owner.
 *
 * Place:    AGGREGATE adds what CHECKPOINT has stored; EXPOSE reads.
 * Threads:  tally_add from the owner alone; tally_visit from any thread that is between tally_enter
 *           and tally_leave, at the same time, without a lock; so is the owner.
 * Owns:     its keys, until tally_destroy.
 * Limits:   max_values keys of each field; further ones count under TALLY_OTHER (numbers: -1).
 * Source:   liburcu's lock-free resizable hash table (cds_lfht).
 */
#ifndef FLOW_TALLY_H
#define FLOW_TALLY_H

#include "core/delta.h"

#define TALLY_OTHER "__other__"

struct tally;

/* Makes the calling thread known to RCU, and unknown again. */
void tally_enter(void);
void tally_leave(void);

struct tally *tally_create(uint64_t seed, int64_t max_values);
void tally_destroy(struct tally **tally);

/* Adds every entry of the delta; borrows it. */
void tally_add(struct tally *tally, const struct delta *delta);

/* Calls visit for each key with its total; the key is good during the call. */
void tally_visit(struct tally *tally,
                 void (*visit)(void *context, struct delta_key key, int64_t total), void *context);

#endif
