/* checkpoint: the thread that brings finished epochs to Redis and notifies their partitions.
 *
 * Place:    after count, before redis_store.
 * Threads:  create, start, stop and destroy from the pipeline's thread; its inbox and
 *           checkpoint_is_reachable, _is_ready and _is_denied from any. checkpoint_step on its
 *           worker alone.
 * Owns:     epochs until they are stored or overtaken, then they go home to their shards.
 * Limits:   one epoch a partition (cursor I3); CALLS_MAX calls of CALLS_BYTES_MAX a step, one more
 *           at most.
 * Waits:    inside redis_store alone, at most redis.timeout_ms a reply. Between attempts it sleeps
 *           for a growing delay of up to RETRY_MS_MAX, but a redirection or a new master is
 *           followed at once, at most once in REDIRECT_MS.
 */
#ifndef FLOW_CHECKPOINT_H
#define FLOW_CHECKPOINT_H

#include <stdbool.h>

#include "base/inbox.h"
#include "base/metric.h"
#include "base/stop.h"
#include "base/text.h"
#include "base/worker.h"
#include "core/aggregate.h"
#include "edge/redis_store.h"

struct checkpoint;

struct checkpoint_metrics {
    struct metric_cell *counted, *anomalies, *seconds, *failures;
    struct metric *rejected;
};

extern const struct metric_row checkpoint_metric_table[];

struct checkpoint_options {
    struct redis_store *store; /* kept, and used by this thread alone while it runs */
    const struct aggregates *aggregates;
    const struct checkpoint_metrics *metrics;
    unsigned shard_count;
    struct stop *stop; /* gets the reason when counting cannot continue */
};

struct checkpoint *checkpoint_create(const struct checkpoint_options *options);
bool checkpoint_start(struct checkpoint *checkpoint);
/* Ends the thread. Epochs that are not stored go home to their shards. */
void checkpoint_stop(struct checkpoint *checkpoint);
void checkpoint_destroy(struct checkpoint **checkpoint);

worker_step checkpoint_step;

struct inbox *checkpoint_inbox(struct checkpoint *checkpoint);
const struct worker *checkpoint_worker(const struct checkpoint *checkpoint);

/* False from a failed attempt until the next good one. */
bool checkpoint_is_reachable(const struct checkpoint *checkpoint);
/* The same, with the reason in `why`. */
bool checkpoint_is_ready(struct checkpoint *checkpoint, struct text *why);
/* Whether it failed by what somebody must set up differently. */
bool checkpoint_is_denied(const struct checkpoint *checkpoint);

#endif
