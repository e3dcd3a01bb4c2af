/* Created in the order of the flow, torn down in reverse; the callbacks of a rebalance are in
 * between. A partition is let go in this order: drained, fenced, stopped, closed. */
#include "app/pipeline.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "app/totals.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/fence.h"
#include "base/log.h"
#include "base/memory.h"
#include "edge/kafka_topics.h"
#include "edge/redis_store.h"
#include "flow/aggregate.h"
#include "flow/checkpoint.h"
#include "flow/expose.h"
#include "flow/ingest.h"
#include "flow/publish.h"

enum {
    POLL_MS = 100,
    KAFKA_CALL_MS = 5000,
    DESCRIBE_MS = 1500,
    RETRY_MS = 250,
    RETRY_MS_MAX = 2000,
    STUCK_MS = 60000, /* a thread without a step for so long is stuck */
    BATCHES_A_PARTITION = 4,
};

struct pipeline {
    const struct config *config;
    const volatile sig_atomic_t *must_stop;
    uint64_t seed;
    int partition_count;
    char topic_id[40];
    char transactional_id[512];

    struct metrics *metrics;
    struct metric *consumed, *published, *counted, *rejected, *lag, *counted_lag, *assigned,
        *checkpoint_seconds, *transaction_seconds, *checkpoint_failures, *rewinds, *aborted,
        *anomalies, *queue_depth, *lost;

    struct fence fence;
    struct redis_store *start_store; /* of the main thread: checks, offsets at assignment */
    struct redis_store *page_store;  /* of the HTTP thread: /counts */
    struct redis_store *count_store; /* of CHECKPOINT */
    struct kafka_source *source;
    struct kafka_sink *sink;
    struct checkpoint *checkpoint;
    struct aggregate *aggregates[BATCH_SHARDS_MAX];
    struct inbox *shard_inboxes[BATCH_SHARDS_MAX];
    struct publish *publish;
    struct ingest_options ingest_options;
    _Atomic(struct ingest *) ingests[FENCE_PARTITIONS_MAX]; /* set by the main thread */
    struct expose *expose;

    pthread_mutex_t lock; /* guards `failure` */
    struct error failure;
    atomic_bool has_failed;
    atomic_bool is_flowing; /* every part above is made and running */
};

/* --- from the threads --------------------------------------------------------------------------- */

static void fail(void *context, const char *why) {
    struct pipeline *pipeline = context;
    pthread_mutex_lock(&pipeline->lock);
    if (!atomic_load(&pipeline->has_failed)) error_set(&pipeline->failure, "%s", why);
    atomic_store(&pipeline->has_failed, true);
    pthread_mutex_unlock(&pipeline->lock);
}

static bool must_stop(const struct pipeline *pipeline) {
    return *pipeline->must_stop != 0 || atomic_load(&pipeline->has_failed);
}

static void sleep_ms(int ms) {
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&time, NULL);
}

/* Sleeps between attempts, longer each time; false if it is time to stop. */
static bool back_off(const struct pipeline *pipeline, int *delay_ms) {
    for (int slept_ms = 0; slept_ms < *delay_ms && !must_stop(pipeline); slept_ms += 50) {
        sleep_ms(50);
    }
    *delay_ms = *delay_ms * 2 > RETRY_MS_MAX ? RETRY_MS_MAX : *delay_ms * 2;
    return !must_stop(pipeline);
}

/* --- what HTTP shows ---------------------------------------------------------------------------- */

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
    for (int p = 0; is_good && p < FENCE_PARTITIONS_MAX; p++) {
        if (pipeline->ingests[p] == NULL || !ingest_is_running(pipeline->ingests[p])) continue;
        is_good = is_recent(ingest_heartbeat_ms(pipeline->ingests[p]), "ingest", why);
    }
    return is_good;
}

static bool is_ready(void *context, struct text *why) {
    struct pipeline *pipeline = context;
    const char *missing = NULL;
    if (!atomic_load(&pipeline->is_flowing)) {
        missing = "not started: waiting for Kafka and Redis";
    } else if (must_stop(pipeline)) {
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
    if (scope == EXPOSE_INSTANCE) {
        struct tally *tallies[BATCH_SHARDS_MAX];
        if (!atomic_load(&pipeline->is_flowing)) {
            text_add(why, "not started");
            return false;
        }
        for (int s = 0; s < config->instance.shards; s++) {
            tallies[s] = aggregate_tally(pipeline->aggregates[s]);
        }
        totals_render(tallies, (unsigned)config->instance.shards,
                      (const char *const *)config->aggregate.dimensions,
                      (unsigned)config->aggregate.dimension_count, json);
        return true;
    }
    struct error error;
    if (redis_store_snapshot(pipeline->page_store, json, &error) == STORE_OK) return true;
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
    metric_set(metric_cell(pipeline->queue_depth, "aggregate"), (int64_t)depth);
    metric_set(metric_cell(pipeline->queue_depth, "publish"),
               (int64_t)inbox_depth(publish_inbox(pipeline->publish)));
    metric_set(metric_cell(pipeline->queue_depth, "checkpoint"),
               (int64_t)inbox_depth(checkpoint_inbox(pipeline->checkpoint)));
}

static bool add_metrics(struct pipeline *pipeline) {
    struct metrics *m = pipeline->metrics = metrics_create();
    if (m == NULL) return false;
    const enum metric_kind counter = METRIC_COUNTER, gauge = METRIC_GAUGE;
    pipeline->consumed = metrics_add(m, counter, "rollcall_records_consumed_total",
                                     "Records read from the input topic, those read again too.", NULL);
    pipeline->published = metrics_add(m, counter, "rollcall_records_published_total",
                                      "Records written to the output topics and committed.", NULL);
    pipeline->counted = metrics_add(m, counter, "rollcall_records_counted_total",
                                    "Records whose counts this instance stored in Redis.", NULL);
    pipeline->rejected = metrics_add(m, counter, "rollcall_records_rejected_total",
                                     "Rejected records among those counted.", "reason");
    pipeline->lag = metrics_add(m, gauge, "rollcall_lag_records",
                                "Offsets between the end of the log and the published watermark.",
                                "partition");
    pipeline->counted_lag =
        metrics_add(m, gauge, "rollcall_counted_lag_records",
                    "Offsets between the end of the log and the counted watermark.", "partition");
    pipeline->assigned = metrics_add(m, gauge, "rollcall_assigned_partitions",
                                     "Input partitions that this instance owns.", NULL);
    pipeline->checkpoint_seconds =
        metrics_add(m, METRIC_HISTOGRAM, "rollcall_checkpoint_seconds",
                    "From a whole epoch to its place in Redis.", NULL);
    pipeline->transaction_seconds =
        metrics_add(m, METRIC_HISTOGRAM, "rollcall_transaction_seconds",
                    "From the begin of a transaction to its commit.", NULL);
    pipeline->checkpoint_failures = metrics_add(m, counter, "rollcall_checkpoint_failures_total",
                                                "Attempts that Redis did not take.", NULL);
    pipeline->rewinds = metrics_add(m, counter, "rollcall_rewinds_total",
                                    "Times a partition was read again, by cause.", "cause");
    pipeline->aborted = metrics_add(m, counter, "rollcall_transactions_aborted_total",
                                    "Transactions that came to nothing.", NULL);
    pipeline->anomalies = metrics_add(m, counter, "rollcall_anomalies_total",
                                      "Anomalies that this instance's checkpoints found.", NULL);
    pipeline->queue_depth = metrics_add(m, gauge, "rollcall_queue_depth",
                                        "Items that wait before a stage.", "stage");
    pipeline->lost = metrics_add(m, counter, "rollcall_records_lost_total",
                                 "Records that Kafka no longer held when they were needed.", NULL);
    for (int cause = 1; cause < CURSOR_CAUSE_COUNT; cause++) {
        metric_cell(pipeline->rewinds, cursor_cause_name((enum cursor_cause)cause));
    }
    for (int reason = 1; reason < LOGIN_REASON_COUNT; reason++) {
        metric_cell(pipeline->rejected, login_reason_name((enum login_reason)reason));
    }
    static const char *const stages[] = {"aggregate", "publish", "checkpoint"};
    for (size_t i = 0; i < 3; i++) metric_cell(pipeline->queue_depth, stages[i]);
    static char info[128];
    snprintf(info, sizeof info, "version=\"%s\",librdkafka=\"%s\"", ROLLCALL_VERSION,
             rd_kafka_version_str());
    metrics_add_info(m, "rollcall_build_info", "Versions of this build.", info);
    return true;
}

/* --- building ----------------------------------------------------------------------------------- */

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
    };
    for (int d = 0; d < config->aggregate.dimension_count; d++) {
        options.dimensions[d] = config->aggregate.dimensions[d];
    }
    return redis_store_create(&options, error);
}

struct pipeline *pipeline_create(const struct config *config,
                                 const volatile sig_atomic_t *stop, struct error *error) {
    struct pipeline *pipeline = memory_create(sizeof *pipeline);
    if (pipeline == NULL || !add_metrics(pipeline)) {
        free(pipeline);
        error_set(error, "out of memory");
        return NULL;
    }
    pipeline->config = config;
    pipeline->must_stop = stop;
    pthread_mutex_init(&pipeline->lock, NULL);
    if (getrandom(&pipeline->seed, sizeof pipeline->seed, 0) < 0) pipeline->seed = (uint64_t)clock_us();
    snprintf(pipeline->transactional_id, sizeof pipeline->transactional_id, "rollcall-%s-%s",
             config->group_id, config->instance.id);
    pipeline->start_store = pipeline_store(config, pipeline->topic_id, error);
    if (pipeline->start_store == NULL) goto fail;
    pipeline->page_store = pipeline_store(config, pipeline->topic_id, error);
    if (pipeline->page_store == NULL) goto fail;
    if (*config->http.listen != '\0') {
        struct expose_view view = {
            .metrics = pipeline->metrics,
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

static bool check_redis(struct pipeline *pipeline, struct error *error) {
    struct error warning;
    int delay_ms = RETRY_MS;
    int64_t until_ms = clock_ms() + pipeline->config->redis.timeout_ms;
    for (;;) {
        enum store_verdict verdict =
            redis_store_check(pipeline->start_store, &warning, error);
        if (verdict == STORE_OK) break;
        if (verdict == STORE_REFUSED) return false;
        log_warn("Waiting for Redis", log_text("reason", error->text));
        if (clock_ms() >= until_ms || !back_off(pipeline, &delay_ms)) {
            struct error reason = *error;
            return error_set(error, "%.700s; start Redis, or set redis.url", reason.text);
        }
    }
    if (warning.text[0] != '\0') log_warn(warning.text);
    return true;
}

static bool look(struct pipeline *pipeline, rd_kafka_t *client, const char *topic,
                 struct topic_facts *facts, struct error *error) {
    int delay_ms = RETRY_MS;
    for (;;) {
        enum topics_verdict verdict =
            kafka_topics_look(client, topic, KAFKA_CALL_MS, facts, error);
        if (verdict != TOPICS_RETRY) return verdict == TOPICS_OK;
        log_warn("Waiting for Kafka",
                 log_text("bootstrap.servers",
                          kafka_conf_get(&pipeline->config->kafka, "bootstrap.servers")),
                 log_text("reason", error->text));
        if (!back_off(pipeline, &delay_ms)) return false;
    }
}

/* Makes an output topic where there is none. */
static bool ensure_output(struct pipeline *pipeline, rd_kafka_t *client, const char *topic,
                          struct error *error) {
    struct topic_facts facts;
    if (*topic == '\0') return true;
    if (!look(pipeline, client, topic, &facts, error)) return false;
    if (facts.exists) return true;
    int delay_ms = RETRY_MS;
    for (;;) {
        enum topics_verdict verdict = kafka_topics_create(
            client, topic, pipeline->partition_count, KAFKA_CALL_MS, error);
        if (verdict == TOPICS_REFUSED) return false;
        if (verdict == TOPICS_OK) break;
        log_warn("Waiting for Kafka", log_text("reason", error->text));
        if (!back_off(pipeline, &delay_ms)) return false;
    }
    log_info("Topic created", log_text("topic", topic),
             log_int("partitions", pipeline->partition_count));
    delay_ms = 50;
    do { /* until the broker shows it: a transaction must not meet a topic that is not there */
        if (!look(pipeline, client, topic, &facts, error)) return false;
    } while (!facts.exists && back_off(pipeline, &delay_ms));
    return facts.exists;
}

static bool check_topics(struct pipeline *pipeline, struct error *error) {
    const struct config *config = pipeline->config;
    struct kafka_source_options options = {
        .kafka = &config->kafka,
        .consumer = &config->consumer,
        .group = config->group_id,
        .topic = config->input.topic,
    };
    struct kafka_source *probe = kafka_source_create(&options, error);
    if (probe == NULL) return false;
    rd_kafka_t *client = kafka_source_handle(probe);
    struct topic_facts facts;
    bool is_good = look(pipeline, client, config->input.topic, &facts, error);
    if (is_good && !facts.exists) {
        is_good = error_set(error,
                            "the input topic %s does not exist: create it (kafka-topics.sh --create "
                            "--topic %s --partitions 4) or set input.topic",
                            config->input.topic, config->input.topic);
    }
    if (is_good && facts.partition_count > FENCE_PARTITIONS_MAX) {
        is_good = error_set(error, "topic %s has %d partitions, and rollcall takes at most %d",
                            config->input.topic, facts.partition_count, FENCE_PARTITIONS_MAX);
    }
    if (is_good) {
        pipeline->partition_count = facts.partition_count;
        kafka_topics_describe(client, config->input.topic, DESCRIBE_MS, &facts);
        snprintf(pipeline->topic_id, sizeof pipeline->topic_id, "%s", facts.id);
        is_good = ensure_output(pipeline, client, config->output.topic, error) &&
                  ensure_output(pipeline, client, config->output.rejected_topic, error);
    }
    kafka_source_destroy(&probe);
    return is_good;
}

static void on_assigned(void *context, struct kafka_assigned *items, size_t count);
static void on_revoked(void *context, const int32_t *partitions, size_t count, bool is_lost);

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
        .partition_count = pipeline->partition_count,
        .assigned = on_assigned,
        .revoked = on_revoked,
        .context = pipeline,
    };
    struct kafka_sink_options sink = {
        .kafka = &config->kafka,
        .producer = &config->producer,
        .transactional_id = config->output.is_exactly_once ? pipeline->transactional_id : NULL,
        .input_topic = config->input.topic,
        .topic = config->output.topic,
        .rejected_topic = config->output.rejected_topic,
        .queue_bytes = memory_bytes / 10,
    };
    pipeline->count_store = pipeline_store(config, pipeline->topic_id, error);
    if (pipeline->count_store == NULL) return false;
    pipeline->source = kafka_source_create(&source, error);
    if (pipeline->source == NULL) return false;
    pipeline->sink = kafka_sink_create(&sink, error);
    if (pipeline->sink == NULL) return false;
    return true;
}

static bool make_threads(struct pipeline *pipeline, struct error *error) {
    const struct config *config = pipeline->config;
    struct checkpoint_options checkpoint = {
        .store = pipeline->count_store,
        .shard_count = (unsigned)config->instance.shards,
        .partition_max = FENCE_PARTITIONS_MAX,
        .threshold = config->anomaly.threshold,
        .counted = pipeline->counted,
        .rejected = pipeline->rejected,
        .anomalies = pipeline->anomalies,
        .seconds = pipeline->checkpoint_seconds,
        .failures = pipeline->checkpoint_failures,
        .failed = fail,
        .context = pipeline,
    };
    struct publish_options publish = {
        .sink = pipeline->sink,
        .source = pipeline->source,
        .fence = &pipeline->fence,
        .partition_max = FENCE_PARTITIONS_MAX,
        .commit_ms = config->output.commit_ms,
        .published = pipeline->published,
        .aborted = pipeline->aborted,
        .seconds = pipeline->transaction_seconds,
        .failed = fail,
        .context = pipeline,
    };
    pipeline->checkpoint = checkpoint_create(&checkpoint);
    if (pipeline->checkpoint == NULL || !checkpoint_start(pipeline->checkpoint)) goto fail;
    for (int s = 0; s < config->instance.shards; s++) {
        struct aggregate_options aggregate = {
            .shard = (unsigned)s,
            .partition_max = FENCE_PARTITIONS_MAX,
            .seed = pipeline->seed,
            .max_values = config->aggregate.max_values,
            .checkpoint = checkpoint_inbox(pipeline->checkpoint),
        };
        pipeline->aggregates[s] = aggregate_create(&aggregate);
        if (pipeline->aggregates[s] == NULL) goto fail;
        pipeline->shard_inboxes[s] = aggregate_inbox(pipeline->aggregates[s]);
        if (!aggregate_start(pipeline->aggregates[s])) goto fail;
    }
    pipeline->publish = publish_create(&publish);
    if (pipeline->publish == NULL || !publish_start(pipeline->publish)) goto fail;
    return true;
fail:
    return error_set(error, "out of memory or threads");
}

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

static void set_ingest_options(struct pipeline *pipeline) {
    const struct config *config = pipeline->config;
    int64_t memory_bytes = (int64_t)config->instance.memory_mb << 20;
    int64_t share_bytes = memory_bytes / (pipeline->partition_count > 0 ? pipeline->partition_count : 1);
    pipeline->ingest_options = (struct ingest_options){
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
        .batch_bytes = clamp(share_bytes / 4 / BATCHES_A_PARTITION, 16 << 10, 1 << 20),
        .pending_max = clamp(share_bytes / 10 / 256, 256, 16384),
        .failed = fail,
        .context = pipeline,
        .consumed = pipeline->consumed,
        .counted_lag = pipeline->counted_lag,
        .lag = pipeline->lag,
        .rewinds = pipeline->rewinds,
        .lost = pipeline->lost,
    };
    for (int d = 0; d < config->aggregate.dimension_count; d++) {
        pipeline->ingest_options.rules.dimensions[d] = config->aggregate.dimensions[d];
    }
}

/* --- rebalances --------------------------------------------------------------------------------- */

/* The committed offsets; Kafka must tell them before anything is read. */
static bool ask_kafka(struct pipeline *pipeline, struct kafka_committed *committed, size_t count) {
    struct error error;
    int delay_ms = RETRY_MS;
    while (!kafka_source_committed(pipeline->source, committed, count, KAFKA_CALL_MS, &error)) {
        log_warn("Waiting for Kafka", log_text("reason", error.text));
        if (!back_off(pipeline, &delay_ms)) return false;
    }
    return true;
}

/* The counted offsets; without Redis they are unknown for now, and publishing can begin. */
static void ask_redis(struct pipeline *pipeline, const int32_t *partitions, size_t count,
                      int64_t *counted) {
    struct error error;
    enum store_verdict verdict =
        redis_store_offsets(pipeline->start_store, partitions, count, counted, &error);
    if (verdict == STORE_RETRY) { /* a connection that idled may have been closed */
        verdict = redis_store_offsets(pipeline->start_store, partitions, count, counted, &error);
    }
    if (verdict == STORE_OK) return;
    if (verdict == STORE_REFUSED) fail(pipeline, error.text);
    log_warn("Redis is away: counting begins when it is back", log_text("reason", error.text));
    for (size_t i = 0; i < count; i++) counted[i] = CURSOR_UNKNOWN;
}

static struct ingest *ingest_of(struct pipeline *pipeline, int32_t partition) {
    if (pipeline->ingests[partition] == NULL) {
        struct ingest *ingest = ingest_create(&pipeline->ingest_options, partition);
        if (ingest == NULL) abort(); /* out of memory: nothing is lost by a crash */
        pipeline->ingests[partition] = ingest;
    }
    return pipeline->ingests[partition];
}

static void show_assigned(struct pipeline *pipeline) {
    int64_t count = 0;
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++) {
        count += pipeline->ingests[p] != NULL && ingest_is_running(pipeline->ingests[p]);
    }
    metric_set(metric_cell(pipeline->assigned, NULL), count);
}

static void on_assigned(void *context, struct kafka_assigned *items, size_t count) {
    struct pipeline *pipeline = context;
    struct kafka_committed *committed = calloc(count + 1, sizeof *committed);
    int32_t *partitions = calloc(count + 1, sizeof *partitions);
    int64_t *counted = calloc(count + 1, sizeof *counted);
    if (committed == NULL || partitions == NULL || counted == NULL) abort();
    for (size_t i = 0; i < count; i++) {
        partitions[i] = committed[i].partition = items[i].partition;
        if (items[i].partition >= FENCE_PARTITIONS_MAX) {
            fail(pipeline, "the input topic has more partitions than rollcall takes (4096)");
        }
        items[i].offset = RD_KAFKA_OFFSET_END;
    }
    if (count > 0) publish_recount(pipeline->publish);
    if (ask_kafka(pipeline, committed, count)) {
        ask_redis(pipeline, partitions, count, counted);
        bool has_log = true; /* after one that cannot be had, the threads ask for theirs */
        for (size_t i = 0; i < count && !must_stop(pipeline); i++) {
            struct error error;
            struct cursor_log log = {0};
            has_log = has_log && kafka_source_bounds(pipeline->source, partitions[i], &log.begin,
                                                     &log.end, KAFKA_CALL_MS, &error);
            struct ingest *ingest = ingest_of(pipeline, partitions[i]);
            uint64_t generation = fence_raise(&pipeline->fence, partitions[i]);
            items[i].offset = ingest_start(ingest, items[i].stream, generation, counted[i],
                                           &committed[i], has_log, log);
            items[i].stream = NULL; /* the ingest's now */
        }
    }
    for (size_t i = 0; i < count; i++) kafka_stream_close(&items[i].stream);
    log_info("Partitions assigned", log_uint("count", count));
    show_assigned(pipeline);
    free(committed);
    free(partitions);
    free(counted);
}

static bool are_drained(struct pipeline *pipeline, const int32_t *partitions, size_t count) {
    bool store_is_away = !checkpoint_is_reachable(pipeline->checkpoint);
    for (size_t i = 0; i < count; i++) {
        struct ingest *ingest = pipeline->ingests[partitions[i]];
        if (ingest != NULL && ingest_is_running(ingest) &&
            !ingest_is_drained(ingest, store_is_away)) {
            return false;
        }
    }
    return true;
}

static void drain(struct pipeline *pipeline, const int32_t *partitions, size_t count) {
    int64_t until_ms = clock_ms() + pipeline->config->drain_ms;
    for (size_t i = 0; i < count; i++) {
        struct ingest *ingest = pipeline->ingests[partitions[i]];
        if (ingest != NULL && ingest_is_running(ingest)) ingest_drain(ingest);
    }
    while (!are_drained(pipeline, partitions, count)) {
        if (clock_ms() >= until_ms) {
            log_warn("Partitions given away before all was stored: the next owner reads it again",
                     log_int("waited_ms", pipeline->config->drain_ms));
            break;
        }
        if (atomic_load(&pipeline->has_failed)) break;
        sleep_ms(2);
    }
}

static void on_revoked(void *context, const int32_t *partitions, size_t count, bool is_lost) {
    struct pipeline *pipeline = context;
    if (!is_lost) drain(pipeline, partitions, count);
    for (size_t i = 0; i < count; i++) {
        struct ingest *ingest = pipeline->ingests[partitions[i]];
        fence_raise(&pipeline->fence, partitions[i]);
        if (ingest == NULL || !ingest_is_running(ingest)) continue;
        struct kafka_stream *stream = ingest_stop(ingest);
        kafka_stream_close(&stream);
    }
    if (is_lost) {
        log_warn("Partitions lost: another instance may own them already",
                 log_uint("count", count));
    } else {
        log_info("Partitions given away", log_uint("count", count));
    }
    show_assigned(pipeline);
}

/* --- running ------------------------------------------------------------------------------------ */

static bool start(struct pipeline *pipeline, struct error *error) {
    if (!check_redis(pipeline, error) || !check_topics(pipeline, error)) return false;
    /* Once more, now that the topic's id is known. */
    redis_store_destroy(&pipeline->start_store);
    pipeline->start_store = pipeline_store(pipeline->config, pipeline->topic_id, error);
    if (pipeline->start_store == NULL || !check_redis(pipeline, error)) return false;
    if (!make_edges(pipeline, error) || !make_threads(pipeline, error)) return false;
    set_ingest_options(pipeline);
    atomic_store(&pipeline->is_flowing, true);
    return kafka_source_subscribe(pipeline->source, error);
}

bool pipeline_run(struct pipeline *pipeline, struct error *error) {
    bool is_good = start(pipeline, error);
    if (is_good) {
        log_info("Running", log_text("group", pipeline->config->group_id),
                 log_text("instance", pipeline->config->instance.id),
                 log_text("topic", pipeline->config->input.topic),
                 log_text("redis", redis_store_name(pipeline->start_store)));
    }
    while (is_good && !must_stop(pipeline)) {
        is_good = kafka_source_poll(pipeline->source, POLL_MS, error);
    }
    if (pipeline->source != NULL) {
        const char *name = *pipeline->must_stop == SIGTERM  ? "SIGTERM"
                           : *pipeline->must_stop == SIGINT ? "SIGINT"
                                                            : "an error";
        log_info("Stopping: handing over what is in hand; a second signal ends at once",
                 log_text("because", name));
        kafka_source_leave(pipeline->source);
    }
    pthread_mutex_lock(&pipeline->lock);
    if (is_good && atomic_load(&pipeline->has_failed)) {
        is_good = false;
        *error = pipeline->failure;
    }
    pthread_mutex_unlock(&pipeline->lock);
    return is_good || *pipeline->must_stop != 0;
}

void pipeline_destroy(struct pipeline **pipeline) {
    if (*pipeline == NULL) return;
    struct pipeline *p = *pipeline;
    expose_destroy(&p->expose);
    for (int i = 0; i < FENCE_PARTITIONS_MAX; i++) {
        if (p->ingests[i] == NULL || !ingest_is_running(p->ingests[i])) continue;
        struct kafka_stream *stream = ingest_stop(p->ingests[i]);
        kafka_stream_close(&stream);
    }
    if (p->publish != NULL) publish_stop(p->publish);
    if (p->checkpoint != NULL) checkpoint_stop(p->checkpoint);
    for (int s = 0; s < BATCH_SHARDS_MAX; s++) aggregate_destroy(&p->aggregates[s]);
    publish_destroy(&p->publish);
    checkpoint_destroy(&p->checkpoint);
    for (int i = 0; i < FENCE_PARTITIONS_MAX; i++) {
        struct ingest *ingest = p->ingests[i];
        ingest_destroy(&ingest);
    }
    kafka_sink_destroy(&p->sink);
    kafka_source_destroy(&p->source);
    redis_store_destroy(&p->count_store);
    redis_store_destroy(&p->page_store);
    redis_store_destroy(&p->start_store);
    metrics_destroy(&p->metrics);
    pthread_mutex_destroy(&p->lock);
    free(p);
    *pipeline = NULL;
}
