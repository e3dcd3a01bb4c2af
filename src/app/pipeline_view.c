/* What HTTP shows of a pipeline. All of it is read from atomics, or behind locks that nobody holds
 * while waiting; but for the counts of the group, which are read from Redis. */
#include <assert.h>

#include "app/page.h"
#include "app/totals.h"
#include "base/clock.h"
#include "edge/redis_snapshot.h"
#include "pipeline_parts.h"

static_assert((int)EXPOSE_REPLICA_BYTES == REDIS_SNAPSHOT_NAME_BYTES, "it is a Redis' name");

enum {
    UNANSWERED_MS = 3000, /* a call that waits as long for its answer is reported */
    DENIED_MS = 2000,     /* the same of a client that Kafka does not let in */
};

static bool moves(const struct worker *worker, struct text *why) {
    if (!worker_is_stuck(worker, clock_ms())) return true;
    text_format(why, "thread %s is stuck", worker->name);
    return false;
}

static int64_t count_stuck(const struct pipeline *pipeline) {
    const int64_t now_ms = clock_ms();
    int64_t stuck = worker_is_stuck(checkpoint_worker(pipeline->checkpoint), now_ms) +
                    worker_is_stuck(publish_worker(pipeline->publish), now_ms) +
                    worker_is_stuck(watch_worker(pipeline->watch), now_ms);
    for (int s = 0; s < pipeline->config->instance.shards; s++)
        stuck += worker_is_stuck(count_worker(pipeline->counts[s]), now_ms);
    return stuck + assignment_count_stuck(pipeline->assignment, now_ms);
}

static bool is_alive(void *context, struct text *why) {
    struct pipeline *pipeline = context;
    if (!atomic_load(&pipeline->is_flowing)) return true;
    bool is_good = moves(checkpoint_worker(pipeline->checkpoint), why) &&
                   moves(publish_worker(pipeline->publish), why);
    for (int s = 0; is_good && s < pipeline->config->instance.shards; s++)
        is_good = moves(count_worker(pipeline->counts[s]), why);
    return is_good && assignment_is_alive(pipeline->assignment, clock_ms(), why);
}

/* Says so if a call to the outside has been waiting for long. */
static bool is_answered(const struct worker *worker, const char *whom, struct text *why) {
    const int64_t waits_ms = worker_waits_ms(worker, clock_ms());
    if (waits_ms < UNANSWERED_MS) return true;
    text_format(why, "%s has not answered for %lld s", whom, (long long)waits_ms / 1000);
    return false;
}

/* What the main thread misses, or else this. */
static void add_missing(struct pipeline *pipeline, const char *otherwise, struct text *why) {
    if (!trouble_show(&pipeline->missing, clock_ms(), 0, why)) text_add(why, otherwise);
}

/* Ends a reason with the one behind it, if Kafka does not answer. */
static void add_kafka(struct pipeline *pipeline, struct text *why) {
    struct watch_target kafka;
    if (pipeline->watch == NULL) return;
    watch_kafka(pipeline->watch, &kafka);
    if (kafka.is_up || !kafka.is_asked) return;
    text_format(why, "; " TOPICS_SILENT,
                kafka_conf_get(&pipeline->config->kafka, "bootstrap.servers"), kafka.reason.text);
}

static bool is_publishing(struct pipeline *pipeline, struct text *why) {
    return publish_is_ready(pipeline->publish, why) &&
           is_answered(publish_worker(pipeline->publish), "Kafka", why);
}

static bool is_counting(struct pipeline *pipeline, struct text *why) {
    return checkpoint_is_ready(pipeline->checkpoint, why) &&
           is_answered(checkpoint_worker(pipeline->checkpoint), "Redis", why);
}

static bool is_ready(void *context, struct text *why) {
    struct pipeline *pipeline = context;
    if (trouble_show(&pipeline->input_trouble, clock_ms(), DENIED_MS, why) ||
        trouble_show(&pipeline->output_trouble, clock_ms(), DENIED_MS, why)) {
        return false;
    }
    if (!atomic_load(&pipeline->is_flowing)) {
        text_add(why, "not started: ");
        add_missing(pipeline, "the parts are being made", why);
        return false;
    }
    if (stop_is_asked(pipeline->stop)) {
        text_add(why, "stopping");
        return false;
    }
    if (!kafka_source_is_joined(pipeline->source)) {
        text_add(why, "not joined: ");
        add_missing(pipeline, "the group has not given this instance its share yet", why);
        add_kafka(pipeline, why);
        return false;
    }
    if (!is_counting(pipeline, why)) return false;
    if (is_publishing(pipeline, why) && assignment_is_ready(pipeline->assignment, why)) return true;
    add_kafka(pipeline, why);
    return false;
}

static bool show_totals(struct pipeline *pipeline, struct expose_counts *counts) {
    if (!atomic_load(&pipeline->is_flowing)) {
        text_add(&counts->why, "not started");
        return false;
    }
    totals_render(pipeline->tally, &pipeline->aggregates, &counts->days, counts->json);
    return true;
}

static bool show_counts(void *context, struct expose_counts *counts) {
    struct pipeline *pipeline = context;
    const struct redis_snapshot_options snapshot = {
        .prefix = pipeline->config->redis.prefix,
        .aggregates = &pipeline->aggregates,
        .days = &counts->days,
        .reply_bytes_max = ((size_t)pipeline->config->instance.memory_mb << 20) / 16,
    };
    struct error error;
    if (counts->scope == EXPOSE_INSTANCE) return show_totals(pipeline, counts);
    if (redis_snapshot_read(pipeline->page_link, &snapshot, counts->replica, counts->json,
                            &error) == STORE_OK) {
        return true;
    }
    text_add(&counts->why, error.text);
    return false;
}

static void refresh(void *context) {
    struct pipeline *pipeline = context;
    struct metric *queue_depth = pipeline->stats.queue_depth;
    struct metric *memory_bytes = pipeline->stats.memory_bytes;
    vitals_refresh(&pipeline->stats.vitals);
    if (!atomic_load(&pipeline->is_flowing)) return;
    metric_set(pipeline->stats.vitals.threads_stuck, count_stuck(pipeline));
    size_t depth = 0, counts_bytes = 0;
    for (int s = 0; s < pipeline->config->instance.shards; s++) {
        depth += inbox_depth(count_inbox(pipeline->counts[s]));
        counts_bytes += count_bytes(pipeline->counts[s]);
    }
    metric_set(metric_cell(queue_depth, "aggregate"), (int64_t)depth);
    metric_set(metric_cell(queue_depth, "publish"),
               (int64_t)inbox_depth(publish_inbox(pipeline->publish)));
    metric_set(metric_cell(queue_depth, "checkpoint"),
               (int64_t)inbox_depth(checkpoint_inbox(pipeline->checkpoint)));
    metric_set(metric_cell(memory_bytes, "batches"), budget_taken(&pipeline->in_hand));
    metric_set(metric_cell(memory_bytes, "counts"), (int64_t)counts_bytes);
    metric_set(metric_cell(memory_bytes, "totals"), (int64_t)tally_bytes(pipeline->tally));
    metric_set(metric_cell(memory_bytes, "http"), (int64_t)expose_bytes(pipeline->expose));
}

static void show_status(void *context, struct text *json) {
    status_json(context, json);
}

static void show_page(void *context, struct text *html) {
    struct text json = {0};
    status_json(context, &json);
    page_html(text_string(&json), html);
    html->is_broken |= json.is_broken;
    text_release(&json);
}

bool pipeline_is_alive(struct pipeline *pipeline, struct text *why) {
    return is_alive(pipeline, why);
}

bool pipeline_is_ready(struct pipeline *pipeline, struct text *why) {
    return is_ready(pipeline, why);
}

struct expose_view pipeline_view(struct pipeline *pipeline) {
    return (struct expose_view){
        .metrics = pipeline->stats.metrics,
        .context = pipeline,
        .refresh = refresh,
        .is_alive = is_alive,
        .is_ready = is_ready,
        .counts = show_counts,
        .status = show_status,
        .page = show_page,
        .style = page_style(),
        .script = page_script(),
    };
}
