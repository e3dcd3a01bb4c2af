/* assignment: the partitions of this instance, and their threads: given and taken by the group.
 *
 * Place:    between kafka_source, whose events it answers, and the INGEST threads, which it starts
 *           and stops.
 * Threads:  everything from the main thread, except assignment_visit, assignment_is_ready,
 *           assignment_count_stuck and assignment_is_alive: from any.
 * Owns:     the ingests; one lives as long as the assignment, also while its partition is
 *           elsewhere.
 * Limits:   FENCE_PARTITIONS_MAX partitions.
 * Waits:    inside calls to Kafka that have deadlines, a few for all partitions together; never for
 *           Redis. Between attempts, and while partitions drain, it sleeps.
 *
 * I1  Before a revocation is answered, the partition is drained (or the deadline has passed),
 *     fenced, and its thread is no more.
 */
#ifndef APP_ASSIGNMENT_H
#define APP_ASSIGNMENT_H

#include "base/stop.h"
#include "base/fence.h"
#include "base/metric.h"
#include "base/text.h"
#include "flow/checkpoint.h"
#include "flow/ingest.h"
#include "flow/publish.h"

struct assignment;

struct assignment_metrics {
    struct metric_cell *assigned;
};

extern const struct metric_row assignment_metric_table[];

struct assignment_options {
    struct kafka_source *source;
    struct publish *publish;
    struct checkpoint *checkpoint;
    struct fence *fence;
    struct stop *stop;
    const struct assignment_metrics *metrics;
    struct ingest_options ingest;
    const char *topic_id; /* of the input, "" if not known: another one is rejected */
    int drain_ms;
};

/* Keeps what options point to. */
struct assignment *assignment_create(const struct assignment_options *options);

/* All of its ingests must have their batches home: after PUBLISH and COUNT ended. */
void assignment_destroy(struct assignment **assignment);

/* Serves the group, one event at a time. Returns as worker_step does. What cannot be fixed goes to
 * options.stop. */
int64_t assignment_step(struct assignment *assignment, int64_t now_ms);

/* Gives all partitions back, as if the group had taken them; the group's events are served no more.
 * Returns as worker_step does. */
int64_t assignment_drain_step(struct assignment *assignment, int64_t now_ms);

/* True once assignment_drain_step has stopped every thread. */
bool assignment_has_drained(const struct assignment *assignment);

/* Ends threads that still run, without draining. */
void assignment_end(struct assignment *assignment);

/* Calls visit for each running ingest, in the order of partitions. From any thread. */
void assignment_visit(const struct assignment *assignment,
                      void (*visit)(void *context, const struct ingest *ingest), void *context);

/* False, with the reason added to why, while an assigned partition is not started, has no place in
 * its log yet, or makes no progress. From any thread. */
bool assignment_is_ready(const struct assignment *assignment, struct text *why);

/* How many running threads are stuck at now_ms (of clock_ms). */
int64_t assignment_count_stuck(const struct assignment *assignment, int64_t now_ms);

/* True if no running thread is stuck; else adds which is. */
bool assignment_is_alive(const struct assignment *assignment, int64_t now_ms, struct text *why);

#endif
