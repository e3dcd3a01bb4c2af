/* tally: running totals of this instance, for readers that must not slow its threads.
 *
 * Place:    COUNT adds what CHECKPOINT has stored; EXPOSE reads.
 * Threads:  tally_add from any, with keys that no other thread adds at the same time (a key belongs
 *           to one shard); everything that reads from any thread at the same time.
 * Owns:     its keys, until tally_destroy.
 * Limits:   max_values keys of each dimension, over all shards; further ones count under
 *           AGGREGATE_OTHER, which is one more. Keys together take values_bytes at most, whatever
 *           max_values is: then new ones count under it, too. Minutes are kept for the newest
 *           max_days, or as many as fit in minutes_bytes; older ones are one sum. Names are all
 *           kept. Declared counts take declared_bytes at most: beyond, what is new, or would grow,
 *           goes to the count's TALLY_OTHER_BUCKET, or to its value AGGREGATE_OTHER.
 * Source:   liburcu's lock-free resizable hash table (cds_lfht), read under urcu-bp, which
 *           registers a thread by itself when it reads for the first time.
 */
#ifndef FLOW_TALLY_H
#define FLOW_TALLY_H

#include "core/aggregate.h"
#include "core/delta.h"

struct tally;

struct tally_options {
    const struct aggregates *aggregates;
    uint64_t seed; /* of the keys' hashes */
    size_t values_bytes, minutes_bytes, declared_bytes;
};

#define TALLY_OTHER_BUCKET INT64_MAX

/* Copies options, keeps what they point to. */
struct tally *tally_create(const struct tally_options *options);

/* Takes *tally, which may be NULL, and nulls it. No reader is left. */
void tally_destroy(struct tally **tally);

/* Adds every entry of the delta; borrows it. */
void tally_add(struct tally *tally, const struct delta *delta);

/* Calls visit for each key of a dimension, or of names, with its total, AGGREGATE_OTHER last; the
 * key is valid during the call. False from visit ends it. What is added in the meantime may be seen
 * or not. */
void tally_visit(struct tally *tally, unsigned field,
                 bool (*visit)(void *context, struct delta_key key, int64_t total), void *context);

/* What of one day has been counted. */
struct tally_day {
    int64_t day; /* since 1970 */
    int64_t totals[AGGREGATE_MINUTES_A_DAY];
};

/* Copies the newest day before `before` that is kept; false if there is none. */
bool tally_copy_day(struct tally *tally, int64_t before, struct tally_day *day);

/* The sum of all older minutes than those that are kept. */
int64_t tally_older(struct tally *tally);

/* Adds all of a declared count to `copy`, which it borrows; in pieces, so that no writer waits for
 * long. What is added in the meantime may be in it or not. */
void tally_copy_declared(struct tally *tally, unsigned field, struct delta *copy);

/* What it takes now, about. */
size_t tally_bytes(struct tally *tally);

#endif
