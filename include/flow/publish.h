/* publish: the thread that writes the output topics and moves the published watermark.
 *
 * Place:    after ingest; kafka_sink is under it.
 * Threads:  create, start, stop and destroy from the pipeline's thread; its inbox, publish_recount,
 *           publish_renew and publish_is_ready from any. publish_step on its worker alone.
 * Owns:     one transaction at a time, over whatever partitions have records.
 * Limits:   a transaction is cut after commit_ms, RECORDS_MAX records or BYTES_MAX bytes.
 * Waits:    inside kafka_sink and kafka_source alone, each call at most CALL_MS. Between attempts
 *           it sleeps for a growing delay of up to RETRY_MS_MAX.
 *
 * I1  A batch of a generation that was sent NOTICE_UNPUBLISHED, or that the fence shuts out, is
 *     never published.
 */
#ifndef FLOW_PUBLISH_H
#define FLOW_PUBLISH_H

#include <stdbool.h>

#include "base/fence.h"
#include "base/inbox.h"
#include "base/metric.h"
#include "base/setting.h"
#include "base/stop.h"
#include "base/text.h"
#include "base/worker.h"
#include "edge/kafka_sink.h"

struct publish;

/* output.commit_ms */
struct publish_settings {
    int commit_ms;
};

extern const struct setting publish_setting_table[];

struct publish_metrics {
    struct metric_cell *published, *aborted, *seconds;
};

extern const struct metric_row publish_metric_table[];

struct publish_options {
    struct kafka_sink *sink; /* kept, and used by this thread alone while it runs */
    struct kafka_source *source;
    const char *instance; /* its id, for messages */
    const struct fence *fence;
    const struct publish_settings *settings;
    const struct publish_metrics *metrics;
    struct stop *stop; /* gets the reason when publishing cannot continue */
};

struct publish *publish_create(const struct publish_options *options);
bool publish_start(struct publish *publish);
/* Ends the thread; an open transaction is aborted. */
void publish_stop(struct publish *publish);
void publish_destroy(struct publish **publish);

worker_step publish_step;

/* Partitions were assigned: a topic may have grown. From any thread. */
void publish_recount(struct publish *publish);

/* The configuration was reloaded: a new producer follows, between two transactions, if certificates
 * have changed. From any thread. */
void publish_renew(struct publish *publish);

struct inbox *publish_inbox(struct publish *publish);
const struct worker *publish_worker(const struct publish *publish);
/* False, with the reason in `why`, while the producer is not ready or publishing keeps failing. */
bool publish_is_ready(struct publish *publish, struct text *why);

#endif
