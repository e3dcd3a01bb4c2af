/* Created in the order of the flow, torn down in reverse.
 *
 *     STARTS  preflight; then the edges and the threads are made, and the group is joined
 *     FLOWS   the group is served
 *     DRAINS  the end was asked for, or something failed: partitions are given back
 *     ENDED   the group is left
 */
#include "app/pipeline.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/preflight.h"
#include "base/clamp.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "edge/kafka_topics.h"
#include "edge/redis_master.h"
#include "pipeline_parts.h"

enum {
    LOOK_MS = 5000, /* between looks at the input topic's id, and at the group */
    LOOK_WAIT_MS = 1000,
    BATCHES_A_PARTITION = 4,
    PAGE_WAIT_MS = 5000, /* for Redis: neither a client of /counts nor the end waits for longer */
};

/* --- building -------------------------------------------------------------------------------- */

static struct redis_store *make_store(struct pipeline *pipeline, struct error *error) {
    const struct redis_store_options options = {
        .redis = &pipeline->redis,
        .aggregates = &pipeline->aggregates,
        .group = pipeline->config->source.group,
        .topic = pipeline->config->source.topic,
        .topic_id = pipeline->input.id, /* once preflight has it */
        .rules = pipeline->rules,
        .instance = pipeline->config->instance.id,
    };
    return redis_store_create(&options, error);
}

static void tick(void *context, int64_t now_ms) {
    status_tick(context, now_ms);
}

static bool make_expose(struct pipeline *pipeline, struct error *error) {
    const char *listen = pipeline->config->expose.listen;
    const struct expose_view view = pipeline_view(pipeline);
    const struct watch_options watch = {
        .redis = &pipeline->redis,
        .topic = pipeline->config->source.topic,
        .aggregates = &pipeline->aggregates,
        .metrics = &pipeline->stats.watch,
        .retention_ms = &pipeline->retention_ms,
        .tick = tick,
        .context = pipeline,
    };
    if (*listen == '\0') return true;
    status_init(&pipeline->status, pipeline);
    pipeline->watch = watch_create(&watch, error);
    if (pipeline->watch == NULL) return false;
    if (!watch_start(pipeline->watch)) return error_set(error, "the system has no thread to give");
    pipeline->expose = expose_create(listen, &view, error);
    return pipeline->expose != NULL;
}

struct pipeline *pipeline_create(const struct config *config, struct stop *stop, uint64_t seed,
                                 struct error *error) {
    struct pipeline *pipeline = memory_create(sizeof *pipeline);
    pipeline->config = config;
    pipeline->stop = stop;
    pipeline->seed = seed;
    stats_create(&pipeline->stats, config);
    aggregates_init(&pipeline->aggregates, &config->aggregate);
    rules_of_settings(&config->login, &config->aggregate, pipeline->rules);
    budget_init(&pipeline->in_hand, ((int64_t)config->instance.memory_mb << 20) / 16);
    rejections_init(&pipeline->rejections);
    trouble_init(&pipeline->input_trouble);
    trouble_init(&pipeline->output_trouble);
    trouble_init(&pipeline->missing);
    snprintf(pipeline->transactional_id, sizeof pipeline->transactional_id, "rollcall-%s-%s",
             config->source.group, config->instance.id);
    pipeline->redis = config->redis;
    pipeline->redis.master = redis_master_create(&pipeline->redis, error);
    if (pipeline->redis.master != NULL) pipeline->start_store = make_store(pipeline, error);
    if (pipeline->start_store != NULL) {
        struct redis_settings redis = pipeline->redis;
        redis.timeout_ms = (int)clamp(redis.timeout_ms, 0, PAGE_WAIT_MS);
        pipeline->page_link = redis_link_create(&redis, error);
    }
    if (pipeline->page_link == NULL || !make_expose(pipeline, error)) {
        pipeline_destroy(&pipeline);
        return NULL;
    }
    pipeline->preflight = preflight_create(config, pipeline->start_store, &pipeline->input,
                                           &pipeline->input_trouble, &pipeline->missing);
    return pipeline;
}

static bool make_edges(struct pipeline *pipeline, struct error *error) {
    const struct config *config = pipeline->config;
    const size_t memory_bytes = (size_t)config->instance.memory_mb << 20;
    const struct kafka_source_options source = {
        .settings = &config->source,
        .kafka = &config->kafka,
        .consumer = &config->consumer,
        .static_id = config->is_static ? config->instance.id : NULL,
        .trouble = &pipeline->input_trouble,
        .queue_bytes = memory_bytes * 3 / 10,
        .partition_count = pipeline->input.partition_count,
    };
    const struct kafka_sink_options sink = {
        .settings = &config->sink,
        .kafka = &config->kafka,
        .producer = &config->producer,
        .transactional_id = pipeline->transactional_id,
        .input_topic = config->source.topic,
        /* a commit comes first, unless it is made so rarely that the queue would be full by then */
        .queue_bytes = memory_bytes / 10,
        .trouble = &pipeline->output_trouble,
    };
    pipeline->count_store = make_store(pipeline, error);
    if (pipeline->count_store != NULL) pipeline->source = kafka_source_create(&source, error);
    if (pipeline->source != NULL) pipeline->sink = kafka_sink_create(&sink, error);
    return pipeline->sink != NULL;
}

static bool make_threads(struct pipeline *pipeline, struct error *error) {
    const struct config *config = pipeline->config;
    const struct checkpoint_options checkpoint = {
        .store = pipeline->count_store,
        .aggregates = &pipeline->aggregates,
        .metrics = &pipeline->stats.checkpoint,
        .shard_count = (unsigned)config->instance.shards,
        .stop = pipeline->stop,
    };
    const struct publish_options publish = {
        .sink = pipeline->sink,
        .source = pipeline->source,
        .instance = config->instance.id,
        .fence = &pipeline->fence,
        .settings = &config->publish,
        .metrics = &pipeline->stats.publish,
        .stop = pipeline->stop,
    };
    const size_t memory_bytes = (size_t)config->instance.memory_mb << 20;
    const struct tally_options tally = {
        .aggregates = &pipeline->aggregates,
        .seed = pipeline->seed,
        .values_bytes = memory_bytes / 16,
        .minutes_bytes = memory_bytes / 16,
        .declared_bytes = memory_bytes / 32, /* and as much again while it is shown */
    };
    pipeline->tally = tally_create(&tally);
    pipeline->checkpoint = checkpoint_create(&checkpoint);
    bool is_good = checkpoint_start(pipeline->checkpoint);
    for (int s = 0; is_good && s < config->instance.shards; s++) {
        const struct count_options count = {
            .shard = (unsigned)s,
            .seed = pipeline->seed,
            .aggregates = &pipeline->aggregates,
            .checkpoint = checkpoint_inbox(pipeline->checkpoint),
            .tally = pipeline->tally,
        };
        pipeline->counts[s] = count_create(&count);
        pipeline->shard_inboxes[s] = count_inbox(pipeline->counts[s]);
        is_good = count_start(pipeline->counts[s]);
    }
    if (!is_good) return error_set(error, "the system has no thread to give");
    pipeline->publish = publish_create(&publish);
    return publish_start(pipeline->publish) || error_set(error, "the system has no thread to give");
}

static void make_assignment(struct pipeline *pipeline) {
    const struct config *config = pipeline->config;
    const int64_t memory_bytes = (int64_t)config->instance.memory_mb << 20;
    const int64_t share_bytes = memory_bytes / clamp(pipeline->input.partition_count, 1, INT32_MAX);
    struct assignment_options options = {
        .source = pipeline->source,
        .publish = pipeline->publish,
        .checkpoint = pipeline->checkpoint,
        .fence = &pipeline->fence,
        .stop = pipeline->stop,
        .metrics = &pipeline->stats.assignment,
        .topic_id = pipeline->input.id,
        .drain_ms = config->drain_ms,
        .ingest =
            {
                .settings = &config->ingest,
                .metrics = &pipeline->stats.ingest,
                .lag_metrics = &pipeline->stats.lag,
                .assigned = pipeline->stats.assignment.assigned,
                .aggregates = &pipeline->aggregates,
                .source = pipeline->source,
                .topic = config->source.topic,
                .seed = pipeline->seed,
                .shard_count = (unsigned)config->instance.shards,
                .shards = pipeline->shard_inboxes,
                .publish = publish_inbox(pipeline->publish),
                .publishes_rejected = *config->sink.rejected_topic != '\0',
                .rejections = &pipeline->rejections,
                .batch_bytes = clamp(share_bytes / 4 / BATCHES_A_PARTITION, 16 << 10, 1 << 20),
                .in_hand = &pipeline->in_hand,
                .retention_ms = &pipeline->retention_ms,
                .pending_max = clamp(share_bytes / 40, 16 << 10, BATCH_PENDING_BYTES),
                .drained = pipeline->stop->alarm,
                .stop = pipeline->stop,
            },
    };
    login_rules_init(&options.ingest.rules, &config->login, &config->aggregate.dimensions);
    aggregates_add_uniques(&config->aggregate, &options.ingest.rules);
    pipeline->assignment = assignment_create(&options);
}

/* --- running ---------------------------------------------------------------------------------- */

/* The source of every later step; its failure is the pipeline's. */
static bool join(struct pipeline *pipeline, struct error *error) {
    const struct config *config = pipeline->config;
    if (!make_edges(pipeline, error) || !make_threads(pipeline, error)) return false;
    make_assignment(pipeline);
    if (pipeline->watch != NULL) watch_join(pipeline->watch, pipeline->source);
    atomic_store(&pipeline->is_flowing, true);
    if (!kafka_source_subscribe(pipeline->source, pipeline->stop->alarm, error)) return false;
    log_info("Running", log_text("group", config->source.group),
             log_text("instance", config->instance.id), log_text("topic", config->source.topic),
             log_text("redis", redis_store_name(pipeline->start_store)));
    return true;
}

static int64_t start_step(struct pipeline *pipeline, int64_t now_ms) {
    struct error error;
    int64_t until_ms = now_ms;
    enum preflight_verdict verdict = preflight_step(pipeline->preflight, now_ms, &until_ms, &error);
    if (verdict == PREFLIGHT_WAITS) return until_ms;
    preflight_destroy(&pipeline->preflight);
    trouble_clear(&pipeline->missing);
    if (verdict == PREFLIGHT_FAILED || !join(pipeline, &error))
        stop_fail(pipeline->stop, error.text);
    metric_set(pipeline->stats.input_partitions, pipeline->input.partition_count);
    pipeline->state = FLOWS;
    pipeline->look_ms = now_ms + LOOK_MS;
    return now_ms;
}

/* The group then has nothing to give: the instance is not joined, or has no partition. */
static void show_topic(struct pipeline *pipeline) {
    struct error why;
    if (pipeline->input.exists) {
        trouble_clear(&pipeline->missing);
        return;
    }
    error_set(&why,
              "the input topic %s no longer exists; create it again and choose another "
              "consumer.group.id and redis.prefix, as its offsets begin again, or set input.topic",
              pipeline->config->source.topic);
    log_warn("Waiting for Kafka", log_text("reason", why.text));
    trouble_set(&pipeline->missing, clock_ms(), why.text);
}

static int64_t flow_step(struct pipeline *pipeline, int64_t now_ms) {
    struct error error;
    if (now_ms >= pipeline->look_ms) {
        if (!kafka_topics_is_same(pipeline->source, pipeline->config->source.topic,
                                  pipeline->input.id, LOOK_WAIT_MS, &pipeline->input, &error) ||
            !kafka_source_look_at_group(pipeline->source, LOOK_WAIT_MS, &error)) {
            stop_fail(pipeline->stop, error.text);
        }
        show_topic(pipeline);
        metric_set(pipeline->stats.input_partitions, pipeline->input.partition_count);
        pipeline->look_ms = clock_ms() + LOOK_MS;
    }
    return assignment_step(pipeline->assignment, now_ms);
}

/* The end was asked for: of what was made, partitions are given back and the group is left. */
static void begin_end(struct pipeline *pipeline) {
    const int signal = atomic_load(&pipeline->stop->signal);
    const char *name = signal == SIGTERM ? "SIGTERM" : signal == SIGINT ? "SIGINT" : "an error";
    preflight_destroy(&pipeline->preflight);
    pipeline->state = pipeline->assignment != NULL ? DRAINS : ENDED;
    if (pipeline->source == NULL) return;
    log_info("Stopping: giving back what is in hand; a second signal ends at once",
             log_text("because", name));
}

static int64_t drain_step(struct pipeline *pipeline, int64_t now_ms) {
    const int64_t until_ms = assignment_drain_step(pipeline->assignment, now_ms);
    if (!assignment_has_drained(pipeline->assignment)) return until_ms;
    kafka_source_leave(pipeline->source);
    pipeline->state = ENDED;
    return CLOCK_NEVER_MS;
}

int64_t pipeline_step(struct pipeline *pipeline, int64_t now_ms) {
    if (pipeline->state < DRAINS && stop_is_asked(pipeline->stop)) begin_end(pipeline);
    switch (pipeline->state) {
    case STARTS:
        return start_step(pipeline, now_ms);
    case FLOWS:
        return flow_step(pipeline, now_ms);
    case DRAINS:
        return drain_step(pipeline, now_ms);
    case ENDED:
        break;
    }
    return CLOCK_NEVER_MS;
}

bool pipeline_has_ended(const struct pipeline *pipeline) {
    return pipeline->state == ENDED;
}

bool pipeline_has_failed(const struct pipeline *pipeline, struct error *error) {
    return stop_has_failed(pipeline->stop, error);
}

/* Before the group is joined there is none but the preflight's. */
static void renew_clients(struct pipeline *pipeline, struct text *changed) {
    if (redis_master_renew(pipeline->redis.master))
        text_format(changed, "%sthe certificates of Redis", changed->length > 0 ? ", " : "");
    if (pipeline->preflight != NULL) preflight_reloaded(pipeline->preflight);
    if (!atomic_load(&pipeline->is_flowing)) return;
    if (kafka_source_renew(pipeline->source))
        text_format(changed, "%sthe certificates of Kafka", changed->length > 0 ? ", " : "");
    publish_renew(pipeline->publish);
}

void pipeline_reloaded(struct pipeline *pipeline, bool is_taken, struct text *changed) {
    metric_add(metric_cell(pipeline->stats.vitals.reloads, is_taken ? "ok" : "refused"), 1);
    if (!is_taken) return;
    status_reload(&pipeline->status, pipeline);
    renew_clients(pipeline, changed);
}

int64_t pipeline_partitions(const struct pipeline *pipeline) {
    return metric_get(pipeline->stats.assignment.assigned);
}

void pipeline_destroy(struct pipeline **pipeline) {
    if (*pipeline == NULL) return;
    struct pipeline *p = *pipeline;
    expose_destroy(&p->expose);
    watch_destroy(&p->watch);
    status_fini(&p->status);
    preflight_destroy(&p->preflight);
    if (p->assignment != NULL) assignment_end(p->assignment);
    if (p->publish != NULL) publish_stop(p->publish);
    /* A shard may have an epoch yet to detach; CHECKPOINT takes it, and sends it home. */
    for (int s = 0; s < BATCH_SHARDS_MAX && p->counts[s] != NULL; s++)
        count_stop(p->counts[s]);
    if (p->checkpoint != NULL) checkpoint_stop(p->checkpoint);
    for (int s = 0; s < BATCH_SHARDS_MAX; s++)
        count_destroy(&p->counts[s]);
    tally_destroy(&p->tally);
    publish_destroy(&p->publish);
    checkpoint_destroy(&p->checkpoint);
    assignment_destroy(&p->assignment);
    kafka_sink_destroy(&p->sink);
    kafka_source_destroy(&p->source);
    redis_store_destroy(&p->count_store);
    redis_link_destroy(&p->page_link);
    redis_store_destroy(&p->start_store);
    redis_master_destroy(&p->redis.master);
    stats_destroy(&p->stats);
    budget_fini(&p->in_hand);
    rejections_fini(&p->rejections);
    trouble_fini(&p->input_trouble);
    trouble_fini(&p->output_trouble);
    trouble_fini(&p->missing);
    free(p);
    *pipeline = NULL;
}
