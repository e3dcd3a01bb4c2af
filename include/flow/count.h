/* count: the thread of one shard: merges counts of its keys, epoch by epoch.
 *
 * Place:    after ingest, before checkpoint.
 * Threads:  create, start, stop and destroy from the pipeline's thread; its inbox and count_bytes
 *           from any. count_step on its worker alone.
 * Owns:     for each partition the counts since its last mark, and epochs until they come home.
 * Limits:   counts of one partition's epoch: INGEST stops at ingest_options.pending_max.
 * Waits:    never.
 *
 * I1  Counts of a generation are dropped when a later one arrives, and never leave under another.
 * I2  The running totals hold what is stored in Redis, not what is under way.
 */
#ifndef FLOW_COUNT_H
#define FLOW_COUNT_H

#include <stdbool.h>

#include "base/inbox.h"
#include "base/worker.h"
#include "core/aggregate.h"
#include "flow/tally.h"

struct count;

struct count_options {
    unsigned shard;
    uint64_t seed;
    const struct aggregates *aggregates;
    struct inbox *checkpoint;
    struct tally *tally; /* of all shards: what is stored is added to it */
};

struct count *count_create(const struct count_options *options);
bool count_start(struct count *count);
/* Ends the thread after it took what was in its inbox. */
void count_stop(struct count *count);
void count_destroy(struct count **count);

worker_step count_step;

struct inbox *count_inbox(struct count *count);
size_t count_bytes(const struct count *count); /* what its counts take now */
const struct worker *count_worker(const struct count *count);

#endif
