/* preflight: what must be right before the first record is read.
 *
 * Place:    at start, before the threads are made.
 * Threads:  the main thread.
 * Waits:    for Kafka as long as it takes, for Redis redis.timeout_ms; both until `stop` is asked.
 */
#ifndef APP_PREFLIGHT_H
#define APP_PREFLIGHT_H

#include "app/config.h"
#include "app/stop.h"
#include "edge/kafka_topics.h"
#include "edge/redis_store.h"

/* Reach, password, eviction policy, types of the keys, owner of the prefix. Borrows all. */
bool preflight_redis(const struct config *config, struct redis_store *store,
                     const struct stop *stop, struct error *error);

/* The input topic is there: fills its facts; the output topics are made where they are missing.
 * Borrows all. */
bool preflight_topics(const struct config *config, const struct stop *stop,
                      struct topic_facts *input, struct error *error);

#endif
