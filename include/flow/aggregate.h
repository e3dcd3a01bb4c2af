/* aggregate: the thread of one shard: merges counts of its keys, epoch by epoch.
 *
 * Place:    after ingest, before checkpoint.
 * Threads:  create, start, stop and destroy from the pipeline's thread; its inbox from any;
 *           aggregate_tally's readers from any.
 * Owns:     for each partition the counts since its last mark; the running totals of its keys.
 * Limits:   keys of one partition's epoch: INGEST stops at options.pending_max.
 * Waits:    for its inbox alone.
 *
 * I1  Counts of a generation are dropped when a later one arrives, and never leave under another.
 * I2  The totals hold what is stored in Redis, not what is under way.
 */
#ifndef FLOW_AGGREGATE_H
#define FLOW_AGGREGATE_H

#include "base/inbox.h"
#include "core/tally.h"

struct aggregate;

struct aggregate_options {
    unsigned shard;
    int partition_max;
    uint64_t seed;
    int64_t max_values;
    struct inbox *checkpoint;
};

struct aggregate *aggregate_create(const struct aggregate_options *options);
bool aggregate_start(struct aggregate *aggregate);
/* Lets the thread take what is in its inbox, and ends it. */
void aggregate_stop(struct aggregate *aggregate);
void aggregate_destroy(struct aggregate **aggregate);

struct inbox *aggregate_inbox(struct aggregate *aggregate);
struct tally *aggregate_tally(struct aggregate *aggregate);
int64_t aggregate_heartbeat_ms(const struct aggregate *aggregate);

#endif
