/* preflight: what must be right before the first record is read.
 *
 * Place:    the first part of pipeline_step: looks at Redis, then at the topics, creates output
 *           topics that are missing, then looks at Redis once more, since only then the topic's id
 *           is known.
 * Threads:  the main thread.
 * Owns:     a client of Kafka, until it has passed.
 * Waits:    inside calls to Kafka and Redis that have deadlines. Between attempts it sleeps, with a
 *           growing delay; it is patient with Kafka, and gives Redis redis.timeout_ms.
 */
#ifndef APP_PREFLIGHT_H
#define APP_PREFLIGHT_H

#include "app/config.h"
#include "base/trouble.h"
#include "edge/kafka_topics.h"
#include "edge/redis_store.h"

struct preflight;

enum preflight_verdict {
    PREFLIGHT_WAITS,  /* step again at *until_ms */
    PREFLIGHT_PASSED, /* all is well; facts of the input topic are filled */
    PREFLIGHT_FAILED, /* the error says why */
};

/* Keeps all; store points to the id in `input`, which is filled on the way. `trouble` shows why
 * Kafka does not let the client in, and `missing` what is waited for, why, and what to do. */
struct preflight *preflight_create(const struct config *config, struct redis_store *store,
                                   struct topic_facts *input, struct trouble *trouble,
                                   struct trouble *missing);
/* Takes *preflight, which may be NULL, and nulls it. */
void preflight_destroy(struct preflight **preflight);

/* The configuration was reloaded. */
void preflight_reloaded(struct preflight *preflight);

/* One step. */
enum preflight_verdict preflight_step(struct preflight *preflight, int64_t now_ms,
                                      int64_t *until_ms, struct error *error);

#endif
