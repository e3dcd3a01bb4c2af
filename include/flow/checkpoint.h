/* checkpoint: the thread that brings finished epochs to Redis and tells their partitions.
 *
 * Place:    after aggregate, before redis_store.
 * Threads:  create, start, stop and destroy from the pipeline's thread; its inbox, the health
 *           functions from any.
 * Owns:     the store's connection; epochs until they are stored or overtaken, then they go home to
 *           their shards.
 * Limits:   one epoch a partition (cursor I3).
 * Waits:    for its inbox; for Redis, at most redis.timeout_ms a reply; between attempts with a
 *           growing delay of up to RETRY_MS_MAX.
 */
#ifndef FLOW_CHECKPOINT_H
#define FLOW_CHECKPOINT_H

#include <stdbool.h>

#include "base/inbox.h"
#include "base/metric.h"
#include "edge/redis_store.h"

struct checkpoint;

struct checkpoint_options {
    struct redis_store *store; /* kept, and used by this thread alone while it runs */
    unsigned shard_count;
    int partition_max;
    int64_t threshold;
    struct metric *counted, *rejected, *anomalies, *seconds, *failures;
    /* Called on this thread when counting cannot go on; keeps nothing. */
    void (*failed)(void *context, const char *why);
    void *context;
};

struct checkpoint *checkpoint_create(const struct checkpoint_options *options);
bool checkpoint_start(struct checkpoint *checkpoint);
void checkpoint_stop(struct checkpoint *checkpoint);
void checkpoint_destroy(struct checkpoint **checkpoint);

struct inbox *checkpoint_inbox(struct checkpoint *checkpoint);
int64_t checkpoint_heartbeat_ms(const struct checkpoint *checkpoint);

/* False from a failed attempt until the next good one. */
bool checkpoint_is_reachable(const struct checkpoint *checkpoint);

#endif
