/* assignment: the partitions of this instance, and their threads: given and taken by the group.
 *
 * Place:    called by kafka_source at each rebalance; starts and stops INGEST[p].
 * Threads:  everything from the main thread, except assignment_is_alive: from any.
 * Owns:     the ingests; one lives as long as the assignment, also while its partition is
 * elsewhere. Limits:   FENCE_PARTITIONS_MAX partitions. Waits:    when partitions are given: for
 * Kafka until it tells the committed offsets; when they are taken: drain_ms at most.
 *
 * I1  Before a revocation is answered, the partition is drained (or the deadline has passed),
 * fenced, and its thread is no more.
 */
#ifndef APP_ASSIGNMENT_H
#define APP_ASSIGNMENT_H

#include "app/stop.h"
#include "base/fence.h"
#include "base/text.h"
#include "edge/redis_store.h"
#include "flow/checkpoint.h"
#include "flow/ingest.h"
#include "flow/publish.h"

struct assignment;

struct assignment_options {
    struct kafka_source *source;
    struct redis_store *store; /* of the main thread */
    struct publish *publish;
    struct checkpoint *checkpoint;
    struct fence *fence;
    struct stop *stop;
    struct ingest_options ingest;
    const char *topic_id; /* of the input, "" if not known: another one is refused */
    int drain_ms;
    struct metric *assigned;
};

/* Keeps what options point to. */
struct assignment *assignment_create(const struct assignment_options *options);

/* All of its ingests must have their batches home: after PUBLISH and AGGREGATE ended. */
void assignment_destroy(struct assignment **assignment);

/* For kafka_source_subscribe; `context` is a struct assignment. */
void assignment_give(void *context, struct kafka_assigned *items, size_t count);
void assignment_take(void *context, const int32_t *partitions, size_t count, bool is_lost);

/* Ends threads that still run, without draining. */
void assignment_end(struct assignment *assignment);

/* True if every running thread made a step since since_ms (of clock_ms); else adds which did not.
 */
bool assignment_is_alive(const struct assignment *assignment, int64_t since_ms, struct text *why);

#endif
