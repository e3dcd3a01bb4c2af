/* pipeline_parts: what pipeline.c makes and pipeline_view.c shows.
 *
 * Place:    included by these two alone.
 * Threads:  fixed while is_flowing, which the main thread sets last; what is shown is read on the
 *           HTTP server's threads.
 */
#ifndef APP_PIPELINE_PARTS_H
#define APP_PIPELINE_PARTS_H

#include "app/assignment.h"
#include "app/config.h"
#include "app/pipeline.h"
#include "app/preflight.h"
#include "app/stats.h"
#include "app/status.h"
#include "base/fence.h"
#include "base/trouble.h"
#include "edge/kafka_topics.h"
#include "edge/redis_link.h"
#include "edge/redis_store.h"
#include "core/rules.h"
#include "flow/checkpoint.h"
#include "flow/count.h"
#include "flow/expose.h"
#include "flow/ingest.h"
#include "flow/publish.h"
#include "flow/tally.h"
#include "flow/watch.h"

struct pipeline {
    const struct config *config;
    struct stop *stop;
    uint64_t seed;
    enum { STARTS, FLOWS, DRAINS, ENDED } state; /* see pipeline.c */
    int64_t look_ms;                             /* when to look next */
    struct topic_facts input;
    char transactional_id[512];

    struct stats stats;
    struct aggregates aggregates;
    char rules[RULES_BYTES]; /* of the settings, as text */

    struct fence fence;
    struct preflight *preflight;
    struct redis_settings redis;     /* the configuration's, with the master that all links share */
    struct redis_store *start_store; /* of the main thread: checks */
    struct redis_link *page_link;    /* of the thread that makes /counts */
    struct redis_store *count_store; /* of CHECKPOINT */
    struct kafka_source *source;
    struct kafka_sink *sink;
    struct checkpoint *checkpoint;
    struct tally *tally; /* what has been stored, of all shards */
    struct count *counts[BATCH_SHARDS_MAX];
    struct inbox *shard_inboxes[BATCH_SHARDS_MAX];
    struct publish *publish;
    struct assignment *assignment;
    struct watch *watch;  /* NULL: without HTTP nobody would see what it finds */
    struct status status; /* ready if there is a watch */
    struct expose *expose;
    atomic_int_fast64_t retention_ms; /* of the input topic; written by WATCH */
    struct budget in_hand;            /* of all partitions' batches */
    struct rejections rejections;
    atomic_bool is_flowing;                       /* every part above is made and running */
    struct trouble input_trouble, output_trouble; /* why Kafka does not let a client in */
    struct trouble missing; /* what the start waits for; later, that the input topic is gone */
};

/* What HTTP shows of it. Keeps the pipeline. */
struct expose_view pipeline_view(struct pipeline *pipeline);

#endif
