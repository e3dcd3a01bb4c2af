/* Created in the order of the flow, torn down in reverse. */
#include "app/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "app/assignment.h"
#include "app/preflight.h"
#include "app/stats.h"
#include "app/stop.h"
#include "app/totals.h"
#include "base/clamp.h"
#include "base/clock.h"
#include "base/fence.h"
#include "base/log.h"
#include "base/memory.h"
#include "edge/kafka_topics.h"
#include "edge/redis_link.h"
#include "edge/redis_snapshot.h"
#include "edge/redis_store.h"
#include "flow/count.h"
#include "flow/checkpoint.h"
#include "flow/expose.h"
#include "flow/ingest.h"
#include "flow/publish.h"

enum {
    POLL_MS = 100,
    LOOK_MS = 5000, /* between looks at the input topic's id, and at the group */
    LOOK_WAIT_MS = 1000,
    STUCK_MS = 60000, /* a thread without a step for so long is stuck */
    BATCHES_A_PARTITION = 4,
};

struct pipeline {
    const struct config *config;
    struct stop stop;
    uint64_t seed;
    struct topic_facts input;
    char transactional_id[512];

    struct stats stats;

    struct fence fence;
    struct redis_store *start_store; /* of the main thread: checks, offsets at assignment */
    struct redis_link *page_link;    /* of the HTTP thread: /counts */
    struct redis_store *count_store; /* of CHECKPOINT */
    struct kafka_source *source;
    struct kafka_sink *sink;
    struct checkpoint *checkpoint;
    struct aggregate *aggregates[BATCH_SHARDS_MAX];
    struct inbox *shard_inboxes[BATCH_SHARDS_MAX];
    struct publish *publish;
    struct assignment *assignment;
    struct expose *expose;
    struct budget in_hand;  /* of all partitions' batches */
    atomic_bool is_flowing; /* every part above is made and running */
};

/* --- what HTTP shows -------------------------------------------------------------------------- */

static bool is_recent(int64_t heartbeat_ms, const char *thread, struct text *why) {
    if (clock_ms() - heartbeat_ms < STUCK_MS) return true;
    text_format(why, "thread %s is stuck", thread);
    return false;
}

static bool is_alive(void *context, struct text *why) {
    struct pipeline *pipeline = context;
    bool is_good = true;
    if (!atomic_load(&pipeline->is_flowing)) return true;
    is_good = is_recent(checkpoint_heartbeat_ms(pipeline->checkpoint), "checkpoint", why) &&
              is_recent(publish_heartbeat_ms(pipeline->publish), "publish", why);
    for (int s = 0; is_good && s < pipeline->config->instance.shards; s++) {
        is_good = is_recent(aggregate_heartbeat_ms(pipeline->aggregates[s]), "aggregate", why);
    }
    return is_good && assignment_is_alive(pipeline->assignment, clock_ms() - STUCK_MS, why);
}

static bool is_ready(void *context, struct text *why) {
    struct pipeline *pipeline = context;
    const char *missing = NULL;
    if (!atomic_load(&pipeline->is_flowing)) {
        missing = "not started: waiting for Kafka and Redis";
    } else if (stop_is_asked(&pipeline->stop)) {
        missing = "stopping";
    } else if (!kafka_source_is_joined(pipeline->source)) {
        missing = "not joined: the group has not given this instance its share yet";
    } else if (!publish_is_open(pipeline->publish)) {
        missing = "the producer is not ready";
    } else if (!checkpoint_is_reachable(pipeline->checkpoint)) {
        missing = "Redis is away";
    }
    if (missing != NULL) text_add(why, missing);
    return missing == NULL;
}

static bool show_counts(void *context, enum expose_scope scope, struct text *json,
                        struct text *why) {
    struct pipeline *pipeline = context;
    const struct config *config = pipeline->config;
    const char *const *dimensions = (const char *const *)config->aggregate.dimensions;
    const unsigned dimension_count = (unsigned)config->aggregate.dimension_count;
    if (scope == EXPOSE_INSTANCE) {
        struct tally *tallies[BATCH_SHARDS_MAX];
        if (!atomic_load(&pipeline->is_flowing)) {
            text_add(why, "not started");
            return false;
        }
        for (int s = 0; s < config->instance.shards; s++) {
            tallies[s] = aggregate_tally(pipeline->aggregates[s]);
        }
        totals_render(tallies, (unsigned)config->instance.shards, dimensions, dimension_count,
                      json);
        return true;
    }
    struct error error;
    if (redis_snapshot_read(pipeline->page_link, config->redis.prefix, dimensions, dimension_count,
                            json, &error) == STORE_OK) {
        return true;
    }
    text_add(why, error.text);
    return false;
}

static void refresh(void *context) {
    struct pipeline *pipeline = context;
    if (!atomic_load(&pipeline->is_flowing)) return;
    size_t depth = 0;
    for (int s = 0; s < pipeline->config->instance.shards; s++) {
        depth += inbox_depth(aggregate_inbox(pipeline->aggregates[s]));
    }
    metric_set(metric_cell(pipeline->stats.queue_depth, "aggregate"), (int64_t)depth);
    metric_set(metric_cell(pipeline->stats.queue_depth, "publish"),
               (int64_t)inbox_depth(publish_inbox(pipeline->publish)));
    metric_set(metric_cell(pipeline->stats.queue_depth, "checkpoint"),
               (int64_t)inbox_depth(checkpoint_inbox(pipeline->checkpoint)));
}

/* --- building -------------------------------------------------------------------------------- */

struct redis_store *pipeline_store(const struct config *config, const char *topic_id,
                                   struct error *error) {
    struct redis_store_options options = {
        .url = config->redis.url,
        .prefix = config->redis.prefix,
        .timeout_ms = config->redis.timeout_ms,
        .group = config->group_id,
        .topic = config->input.topic,
        .topic_id = topic_id,
        .dimension_count = (unsigned)config->aggregate.dimension_count,
        .threshold = config->anomaly.threshold,
        .max_values = config->aggregate.max_values,
        .retention_days = config->aggregate.retention_days,
        .max_days = config->aggregate.max_days,
    };
    for (int d = 0; d < config->aggregate.dimension_count; d++) {
        options.dimensions[d] = config->aggregate.dimensions[d];
    }
    return redis_store_create(&options, error);
}

struct pipeline *pipeline_create(const struct config *config, const volatile sig_atomic_t *stop,
                                 struct error *error) {
    struct pipeline *pipeline = memory_create(sizeof *pipeline);
    stats_create(&pipeline->stats);
    pipeline->config = config;
    stop_init(&pipeline->stop, stop);
    budget_init(&pipeline->in_hand, ((int64_t)config->instance.memory_mb << 20) / 16);
    if (getrandom(&pipeline->seed, sizeof pipeline->seed, 0) < 0)
        pipeline->seed = (uint64_t)clock_us();
    snprintf(pipeline->transactional_id, sizeof pipeline->transactional_id, "rollcall-%s-%s",
             config->group_id, config->instance.id);
    pipeline->start_store = pipeline_store(pipeline->config, pipeline->input.id, error);
    if (pipeline->start_store == NULL) goto fail;
    pipeline->page_link = redis_link_create(config->redis.url, config->redis.timeout_ms, error);
    if (pipeline->page_link == NULL) goto fail;
    if (*config->http.listen != '\0') {
        struct expose_view view = {
            .metrics = pipeline->stats.metrics,
            .context = pipeline,
            .refresh = refresh,
            .is_alive = is_alive,
            .is_ready = is_ready,
            .counts = show_counts,
        };
        pipeline->expose = expose_create(config->http.listen, &view, error);
        if (pipeline->expose == NULL) goto fail;
    }
    return pipeline;
fail:
    pipeline_destroy(&pipeline);
    return NULL;
}

static bool make_edges(struct pipeline *pipeline, struct error *error) {
    const struct config *config = pipeline->config;
    size_t memory_bytes = (size_t)config->instance.memory_mb << 20;
    struct kafka_source_options source = {
        .kafka = &config->kafka,
        .consumer = &config->consumer,
        .group = config->group_id,
        .topic = config->input.topic,
        .static_id = config->instance.is_static ? config->instance.id : NULL,
        .queue_bytes = memory_bytes * 3 / 10,
        .partition_count = pipeline->input.partition_count,
    };
    struct kafka_sink_options sink = {
        .kafka = &config->kafka,
        .producer = &config->producer,
        .transactional_id =
            config->output.guarantee == CONFIG_EXACTLY_ONCE ? pipeline->transactional_id : NULL,
        .input_topic = config->input.topic,
        .topic = config->output.topic,
        .rejected_topic = config->output.rejected_topic,
        .queue_bytes = memory_bytes / 10,
        /* a commit comes first, unless it is made so rarely that the queue would be full by then */
    };
    pipeline->count_store = pipeline_store(pipeline->config, pipeline->input.id, error);
    if (pipeline->count_store == NULL) return false;
    pipeline->source = kafka_source_create(&source, error);
    if (pipeline->source == NULL) return false;
    pipeline->sink = kafka_sink_create(&sink, error);
    return pipeline->sink != NULL;
}

static bool make_threads(struct pipeline *pipeline, struct error *error) {
    const struct config *config = pipeline->config;
    struct checkpoint_options checkpoint = {
        .store = pipeline->count_store,
        .shard_count = (unsigned)config->instance.shards,
        .partition_max = FENCE_PARTITIONS_MAX,
        .threshold = config->anomaly.threshold,
        .counted = pipeline->stats.counted,
        .rejected = pipeline->stats.rejected,
        .anomalies = pipeline->stats.anomalies,
        .seconds = pipeline->stats.checkpoint_seconds,
        .failures = pipeline->stats.checkpoint_failures,
        .failed = stop_fail,
        .context = &pipeline->stop,
    };
    struct publish_options publish = {
        .sink = pipeline->sink,
        .source = pipeline->source,
        .fence = &pipeline->fence,
        .partition_max = FENCE_PARTITIONS_MAX,
        .commit_ms = config->output.commit_ms,
        .published = pipeline->stats.published,
        .aborted = pipeline->stats.aborted,
        .seconds = pipeline->stats.transaction_seconds,
        .failed = stop_fail,
        .context = &pipeline->stop,
    };
    pipeline->checkpoint = checkpoint_create(&checkpoint);
    if (!checkpoint_start(pipeline->checkpoint)) goto fail;
    for (int s = 0; s < config->instance.shards; s++) {
        struct aggregate_options aggregate = {
            .shard = (unsigned)s,
            .partition_max = FENCE_PARTITIONS_MAX,
            .seed = pipeline->seed,
            .max_values = config->aggregate.max_values,
            .checkpoint = checkpoint_inbox(pipeline->checkpoint),
        };
        pipeline->aggregates[s] = aggregate_create(&aggregate);
        pipeline->shard_inboxes[s] = aggregate_inbox(pipeline->aggregates[s]);
        if (!aggregate_start(pipeline->aggregates[s])) goto fail;
    }
    pipeline->publish = publish_create(&publish);
    if (!publish_start(pipeline->publish)) goto fail;
    return true;
fail:
    return error_set(error, "out of memory or threads");
}

static void make_assignment(struct pipeline *pipeline) {
    const struct config *config = pipeline->config;
    int64_t memory_bytes = (int64_t)config->instance.memory_mb << 20;
    int64_t share_bytes = memory_bytes / clamp(pipeline->input.partition_count, 1, INT32_MAX);
    struct ingest_options ingest = {
        .source = pipeline->source,
        .topic = config->input.topic,
        .rules = {.dimension_count = (size_t)config->aggregate.dimension_count,
                  .max_future_s = config->aggregate.max_future_s},
        .policy = {config->input.start, config->input.on_gap},
        .seed = pipeline->seed,
        .shard_count = (unsigned)config->instance.shards,
        .shards = pipeline->shard_inboxes,
        .publish = publish_inbox(pipeline->publish),
        .publishes_rejected = *config->output.rejected_topic != '\0',
        .checkpoint_ms = config->redis.checkpoint_ms,
        .in_hand = &pipeline->in_hand,
        .batch_bytes = clamp(share_bytes / 4 / BATCHES_A_PARTITION, 16 << 10, 1 << 20),
        .pending_max = clamp(share_bytes / 10 / 256, 256, 16384),
        .failed = stop_fail,
        .context = &pipeline->stop,
        .consumed = pipeline->stats.consumed,
        .counted_lag = pipeline->stats.counted_lag,
        .lag = pipeline->stats.lag,
        .rewinds = pipeline->stats.rewinds,
        .lost = pipeline->stats.lost,
    };
    for (int d = 0; d < config->aggregate.dimension_count; d++) {
        ingest.rules.dimensions[d] = config->aggregate.dimensions[d];
    }
    struct assignment_options options = {
        .source = pipeline->source,
        .store = pipeline->start_store,
        .publish = pipeline->publish,
        .checkpoint = pipeline->checkpoint,
        .fence = &pipeline->fence,
        .stop = &pipeline->stop,
        .ingest = ingest,
        .topic_id = pipeline->input.id,
        .drain_ms = config->drain_ms,
        .assigned = pipeline->stats.assigned,
    };
    pipeline->assignment = assignment_create(&options);
}

/* --- running ---------------------------------------------------------------------------------- */

static bool start(struct pipeline *pipeline, struct error *error) {
    const struct config *config = pipeline->config;
    const struct stop *stop = &pipeline->stop;
    if (!preflight_redis(config, pipeline->start_store, stop, error) ||
        !preflight_topics(config, stop, &pipeline->input, error)) {
        return false;
    }
    /* Once more, now that the topic's id is known, to which the stores point. */
    if (!preflight_redis(config, pipeline->start_store, stop, error) ||
        !make_edges(pipeline, error) || !make_threads(pipeline, error)) {
        return false;
    }
    make_assignment(pipeline);
    atomic_store(&pipeline->is_flowing, true);
    struct kafka_rebalance rebalance = {assignment_give, assignment_take, pipeline->assignment};
    return kafka_source_subscribe(pipeline->source, &rebalance, error);
}

bool pipeline_run(struct pipeline *pipeline, struct error *error) {
    bool is_good = start(pipeline, error);
    if (is_good) {
        log_info("Running", log_text("group", pipeline->config->group_id),
                 log_text("instance", pipeline->config->instance.id),
                 log_text("topic", pipeline->config->input.topic),
                 log_text("redis", redis_store_name(pipeline->start_store)));
    }
    int64_t look_ms = clock_ms() + LOOK_MS;
    while (is_good && !stop_is_asked(&pipeline->stop)) {
        is_good = kafka_source_poll(pipeline->source, POLL_MS, error);
        if (!is_good || clock_ms() < look_ms) continue;
        is_good = kafka_topics_is_same(kafka_source_handle(pipeline->source),
                                       pipeline->config->input.topic, pipeline->input.id,
                                       LOOK_WAIT_MS, error) &&
                  kafka_source_look_at_group(pipeline->source, LOOK_WAIT_MS, error);
        look_ms = clock_ms() + LOOK_MS;
    }
    const int signal = *pipeline->stop.signal;
    if (pipeline->source != NULL) {
        const char *name = signal == SIGTERM ? "SIGTERM" : signal == SIGINT ? "SIGINT" : "an error";
        log_info("Stopping: handing over what is in hand; a second signal ends at once",
                 log_text("because", name));
        kafka_source_leave(pipeline->source);
    }
    if (is_good) is_good = !stop_has_failed(&pipeline->stop, error);
    return is_good || signal != 0;
}

void pipeline_destroy(struct pipeline **pipeline) {
    if (*pipeline == NULL) return;
    struct pipeline *p = *pipeline;
    expose_destroy(&p->expose);
    if (p->assignment != NULL) assignment_end(p->assignment);
    if (p->publish != NULL) publish_stop(p->publish);
    /* A shard may have an epoch yet to detach; CHECKPOINT takes it, and sends it home. */
    for (int s = 0; s < BATCH_SHARDS_MAX && p->aggregates[s] != NULL; s++)
        aggregate_stop(p->aggregates[s]);
    if (p->checkpoint != NULL) checkpoint_stop(p->checkpoint);
    for (int s = 0; s < BATCH_SHARDS_MAX; s++)
        aggregate_destroy(&p->aggregates[s]);
    publish_destroy(&p->publish);
    checkpoint_destroy(&p->checkpoint);
    assignment_destroy(&p->assignment);
    kafka_sink_destroy(&p->sink);
    kafka_source_destroy(&p->source);
    redis_store_destroy(&p->count_store);
    redis_link_destroy(&p->page_link);
    redis_store_destroy(&p->start_store);
    metrics_destroy(&p->stats.metrics);
    budget_fini(&p->in_hand);
    stop_fini(&p->stop);
    free(p);
    *pipeline = NULL;
}
