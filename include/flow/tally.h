/* tally: running totals of one shard, for readers that must not slow its owner.
 *
 * Place:    COUNT adds what CHECKPOINT has stored; EXPOSE reads.
 * Threads:  tally_add from the owner alone; tally_visit from any thread at the same time, without a
 *           lock.
 * Owns:     its keys, until tally_destroy.
 * Limits:   max_values keys of each aggregate, except names; further ones count under
 *           AGGREGATE_OTHER (minutes: -1), which is one more.
 * Source:   liburcu's lock-free resizable hash table (cds_lfht), read under urcu-bp, which
 *           registers a thread by itself when it reads for the first time.
 */
#ifndef FLOW_TALLY_H
#define FLOW_TALLY_H

#include "core/aggregate.h"
#include "core/delta.h"

struct tally;

/* Keeps aggregates. */
struct tally *tally_create(const struct aggregates *aggregates, uint64_t seed);

/* Takes *tally, which may be NULL, and nulls it. No reader is left. */
void tally_destroy(struct tally **tally);

/* Adds every entry of the delta; borrows it. */
void tally_add(struct tally *tally, const struct delta *delta);

/* Calls visit for each key with its total; the key is valid during the call. */
void tally_visit(struct tally *tally,
                 void (*visit)(void *context, struct delta_key key, int64_t total), void *context);

/* Whether a key is where the counts beyond the limit go. */
bool tally_is_other(const struct tally *tally, struct delta_key key);

#endif
