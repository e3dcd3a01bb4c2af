/* publish: the thread that writes the output topics and moves the published watermark.
 *
 * Place:    after ingest; kafka_sink is under it.
 * Threads:  create, start, stop and destroy from the pipeline's thread; its inbox from any.
 * Owns:     the producer, and one transaction at a time over whatever partitions have records.
 * Limits:   a transaction is cut after commit_ms, RECORDS_MAX records or BYTES_MAX bytes.
 * Waits:    for its inbox; for Kafka, each call at most CALL_MS, then again with a growing delay.
 *
 * I1  A batch of a generation that was told NOTICE_UNPUBLISHED, or that the fence shuts out, is never
 *     published.
 */
#ifndef FLOW_PUBLISH_H
#define FLOW_PUBLISH_H

#include <stdbool.h>

#include "base/fence.h"
#include "base/inbox.h"
#include "base/metric.h"
#include "edge/kafka_sink.h"

struct publish;

struct publish_options {
    struct kafka_sink *sink; /* kept, and used by this thread alone while it runs */
    struct kafka_source *source;
    const struct fence *fence;
    int partition_max;
    int commit_ms;
    struct metric *published, *aborted, *seconds;
    /* Called on this thread when publishing cannot go on; keeps nothing. */
    void (*failed)(void *context, const char *why);
    void *context;
};

struct publish *publish_create(const struct publish_options *options);
bool publish_start(struct publish *publish);
/* Ends the thread; an open transaction is aborted. */
void publish_stop(struct publish *publish);
void publish_destroy(struct publish **publish);

/* Partitions were assigned: a topic may have grown. From any thread. */
void publish_recount(struct publish *publish);

struct inbox *publish_inbox(struct publish *publish);
int64_t publish_heartbeat_ms(const struct publish *publish);
/* True once the producer is ready to publish. */
bool publish_is_open(const struct publish *publish);

#endif
