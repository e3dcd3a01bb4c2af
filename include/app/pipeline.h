/* pipeline: everything of `rollcall run`, made in the order of the flow and taken down in reverse.
 *
 * Like each module of the flow it is a machine that takes steps: the main thread is a loop around
 * pipeline_step. It goes through preflight (what must be right before the first record is read),
 * then serves the group, and in the end gives all partitions back and leaves the group.
 *
 * Threads:  create, step and destroy from the main thread, which thereby starts and stops the
 *           INGEST threads.
 * Owns:     everything.
 * Waits:    inside calls to Kafka and Redis that have deadlines. It is patient with Kafka at start,
 *           gives Redis redis.timeout_ms then, and gives partitions back within config.drain_ms.
 */
#ifndef APP_PIPELINE_H
#define APP_PIPELINE_H

#include <stdbool.h>

#include "app/config.h"
#include "base/error.h"
#include "base/stop.h"
#include "base/text.h"

struct pipeline;

/* Serves HTTP already; touches neither Kafka nor Redis. Keeps config and stop, whose alarm the main
 * thread sleeps on. `seed` is random: values cannot be chosen so that their hashes collide. */
struct pipeline *pipeline_create(const struct config *config, struct stop *stop, uint64_t seed,
                                 struct error *error);

/* One step; returns as worker_step does. */
int64_t pipeline_step(struct pipeline *pipeline, int64_t now_ms);

/* True when it has ended, after a signal or because it cannot continue: the group is left, and no
 * further step is to be taken. */
bool pipeline_has_ended(const struct pipeline *pipeline);

/* True if it could not continue, also if that was after a signal; copies the first reason. */
bool pipeline_has_failed(const struct pipeline *pipeline, struct error *error);

/* What /healthz and /readyz answer, in the same words; the reason is added to `why`. */
bool pipeline_is_alive(struct pipeline *pipeline, struct text *why);
bool pipeline_is_ready(struct pipeline *pipeline, struct text *why);

/* Counts a reload of the configuration. If it was taken, clients follow whose certificates or
 * passwords are others now, also in files that have kept their names: adds to `changed` what these
 * are of. */
void pipeline_reloaded(struct pipeline *pipeline, bool is_taken, struct text *changed);

/* How many partitions it has. */
int64_t pipeline_partitions(const struct pipeline *pipeline);

/* Takes *pipeline, which may be NULL, and nulls it. */
void pipeline_destroy(struct pipeline **pipeline);

#endif
