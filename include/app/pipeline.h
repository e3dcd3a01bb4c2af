/* pipeline: all threads of `rollcall run`, made in the order of the flow and taken down in reverse.
 *
 * Threads:  create, run and destroy from the main thread. The main thread also serves rebalances:
 *           it starts and stops the INGEST threads.
 * Owns:     everything.
 * Waits:    for Kafka at start as long as it takes; for Redis at start redis.timeout_ms; to hand
 *           over partitions at most config.drain_ms.
 */
#ifndef APP_PIPELINE_H
#define APP_PIPELINE_H

#include <signal.h>
#include <stdbool.h>

#include "app/config.h"
#include "base/error.h"

struct pipeline;
struct redis_store;

/* Serves HTTP already; touches neither Kafka nor Redis. Keeps config and must_stop, which a signal
 * handler sets. */
struct pipeline *pipeline_create(const struct config *config,
                                 const volatile sig_atomic_t *must_stop, struct error *error);

/* Checks, joins the group and works until *must_stop (true) or until it cannot go on (false and
 * error). Partitions are handed over and the group is left in both cases. */
bool pipeline_run(struct pipeline *pipeline, struct error *error);

void pipeline_destroy(struct pipeline **pipeline);

/* The counts in Redis as this configuration has them; topic_id is "" where it is not known. Keeps
 * both. */
struct redis_store *pipeline_store(const struct config *config, const char *topic_id,
                                   struct error *error);

#endif
