#include "flow/watch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "edge/kafka_topics.h"

struct watch {
    struct watch_options options;
    struct worker worker;
    struct redis_settings settings; /* those of options, with less patience */
    struct redis_link *link;
    struct metric_cell *kafka_up, *redis_up;
    int64_t next_ms, retention_next_ms, memory_next_ms;
    bool is_retention_denied, is_clock_wrong; /* were reported */

    _Atomic(struct kafka_source *) source;
    atomic_bool must_ask;       /* at once */
    struct redis_glance *fresh; /* the worker's: is being read */
    pthread_mutex_t lock;       /* guards what follows */
    struct watch_target kafka, redis;
    struct redis_glance *glance;
    int64_t glance_ms; /* when it was read; 0: never */
};

static const char *const target_names[] = {"kafka", "redis", NULL};
static const char *const *const targets = target_names;

const struct metric_row watch_metric_table[] = {
    METRIC_LABELLED_ROW(struct watch_metrics, up, METRIC_GAUGE, "rollcall_dependency_up",
                        "1 if it answered when it was last asked, which is every two seconds.",
                        "target", &targets),
    METRIC_ROW(struct watch_metrics, memory, METRIC_GAUGE, "rollcall_redis_memory_bytes",
               "Memory that Redis uses, for all of its data; 0: not known."),
    METRIC_LABELLED_ROW(struct watch_metrics, count_number, METRIC_GAUGE, "rollcall_count_number",
                        "Of a declared count without dimensions: events, or different values, in "
                        "its newest bucket in Redis.",
                        "count", NULL),
    METRIC_LABELLED_ROW(struct watch_metrics, count_values, METRIC_GAUGE, "rollcall_count_values",
                        "Of a declared count by dimensions: values that its newest bucket in Redis "
                        "has; beyond max_values they are one, __other__.",
                        "count", NULL),
    METRIC_ROW(struct watch_metrics, memory_max, METRIC_GAUGE, "rollcall_redis_memory_max_bytes",
               "Its maxmemory, or without one the memory of its machine; 0: not known."),
    METRIC_END,
};

struct watch *watch_create(const struct watch_options *options, struct error *error) {
    struct watch *watch = memory_create(sizeof *watch);
    watch->options = *options;
    watch->settings = *options->redis;
    watch->settings.timeout_ms = (int)clamp(options->redis->timeout_ms, 1, WATCH_CALL_MS);
    watch->fresh = redis_glance_create(options->aggregates);
    watch->glance = redis_glance_create(options->aggregates);
    pthread_mutex_init(&watch->lock, NULL);
    watch->kafka_up = metric_cell(options->metrics->up, "kafka");
    watch->redis_up = metric_cell(options->metrics->up, "redis");
    watch->kafka.since_ms = watch->redis.since_ms = clock_wall_ms();
    error_set(&watch->kafka.reason, "not asked yet");
    error_set(&watch->redis.reason, "not asked yet");
    worker_init(&watch->worker, "watch", watch_step, watch);
    watch->link = redis_link_create(&watch->settings, error);
    if (watch->link == NULL) watch_destroy(&watch);
    return watch;
}

bool watch_start(struct watch *watch) {
    return worker_start(&watch->worker);
}

void watch_stop(struct watch *watch) {
    worker_stop(&watch->worker);
    atomic_store(&watch->source, NULL);
}

void watch_destroy(struct watch **watch) {
    if (*watch == NULL) return;
    watch_stop(*watch);
    redis_link_destroy(&(*watch)->link);
    free((*watch)->fresh);
    free((*watch)->glance);
    pthread_mutex_destroy(&(*watch)->lock);
    free(*watch);
    *watch = NULL;
}

void watch_join(struct watch *watch, struct kafka_source *source) {
    atomic_store(&watch->source, source);
    atomic_store(&watch->must_ask, true);
    alarm_ring(&watch->worker.alarm);
}

const struct worker *watch_worker(const struct watch *watch) {
    return &watch->worker;
}

static void copy(struct watch *watch, const struct watch_target *from, struct watch_target *to) {
    pthread_mutex_lock(&watch->lock);
    *to = *from;
    pthread_mutex_unlock(&watch->lock);
}

void watch_kafka(struct watch *watch, struct watch_target *kafka) {
    copy(watch, &watch->kafka, kafka);
}

void watch_redis(struct watch *watch, struct watch_target *redis) {
    copy(watch, &watch->redis, redis);
}

int64_t watch_glance(struct watch *watch, struct redis_glance *glance) {
    pthread_mutex_lock(&watch->lock);
    const int64_t glance_ms = watch->glance_ms;
    redis_glance_copy(glance, watch->glance);
    pthread_mutex_unlock(&watch->lock);
    return glance_ms;
}

/* --- the thread ------------------------------------------------------------------------------- */

/* `version`, unless it is NULL, replaces the one that is known. */
static void note(struct watch *watch, struct watch_target *target, struct metric_cell *cell,
                 bool is_up, const char *version, const struct error *reason) {
    pthread_mutex_lock(&watch->lock);
    if (target->is_up != is_up) target->since_ms = clock_wall_ms();
    target->is_up = is_up;
    target->is_asked = true;
    if (version != NULL) snprintf(target->version, sizeof target->version, "%s", version);
    if (is_up)
        target->reason.text[0] = '\0';
    else
        target->reason = *reason;
    pthread_mutex_unlock(&watch->lock);
    metric_set(cell, is_up);
}

static void ask_kafka(struct watch *watch) {
    struct error why = {""};
    struct kafka_source *source = atomic_load(&watch->source);
    if (source == NULL) return;
    const bool is_up = kafka_topics_answers(source, WATCH_CALL_MS, &why);
    note(watch, &watch->kafka, watch->kafka_up, is_up, NULL, &why);
}

/* Redis has the one clock that all instances share. The way there and back is in the difference. */
static void compare_clocks(struct watch *watch, int64_t common_ms) {
    const int64_t error_ms = clock_wall_ms() - common_ms;
    const bool is_right = error_ms > -WATCH_CLOCK_MS && error_ms < WATCH_CLOCK_MS;
    if (!is_right && !watch->is_clock_wrong)
        log_warn("This machine's clock and that of Redis differ; ages are shown by that of Redis",
                 log_int("ahead_s", error_ms / 1000));
    watch->is_clock_wrong = !is_right;
    clock_correct(is_right ? 0 : error_ms);
}

/* An error is an answer too: of one that is up, if not of use. */
static void ask_redis(struct watch *watch) {
    struct error why = {""};
    char version[64] = "";
    const bool was_up = watch->redis.is_up; /* written by this thread alone */
    int64_t common_ms = -1;
    const bool is_up =
        redis_link_open(watch->link, &why) && redis_link_clock(watch->link, &common_ms, &why);
    if (common_ms >= 0) compare_clocks(watch, common_ms);
    if (is_up && !was_up)
        redis_link_info(watch->link, "redis_version:", version, sizeof version, &why);
    note(watch, &watch->redis, watch->redis_up, is_up, is_up && !was_up ? version : NULL, &why);
}

static void show_counts(const struct watch *watch) {
    const struct aggregates *aggregates = watch->options.aggregates;
    const struct watch_metrics *metrics = watch->options.metrics;
    for (unsigned i = 0; i < watch->fresh->count_count; i++) {
        const struct aggregate *aggregate = &aggregates->items[aggregates->first_declared + i];
        const struct glance_count *count = &watch->fresh->counts[i];
        const bool is_by = aggregate->declared.by_count > 0;
        struct metric *metric = is_by ? metrics->count_values : metrics->count_number;
        metric_set(metric_cell(metric, aggregate->title),
                   is_by ? count->value_count : count->number);
    }
}

static void read_counts(struct watch *watch) {
    struct error why = {""};
    if (!watch->redis.is_up) return;
    const int64_t begin_ms = clock_wall_ms();
    if (!redis_glance_read(watch->link, watch->settings.prefix, watch->options.aggregates,
                           watch->fresh, &why)) {
        log_debug("The status shows older counts", log_text("reason", why.text));
        return;
    }
    pthread_mutex_lock(&watch->lock);
    redis_glance_copy(watch->glance, watch->fresh);
    watch->glance_ms = begin_ms;
    pthread_mutex_unlock(&watch->lock);
    show_counts(watch);
}

/* False: Redis does not say. The connection may have broken with the question before. */
static bool ask_bytes(struct watch *watch, const char *field, int64_t *bytes) {
    char text[32];
    struct error why;
    return redis_link_open(watch->link, &why) &&
           redis_link_info(watch->link, field, text, sizeof text, &why) &&
           setting_parse_number(text, 1, INT64_MAX, bytes, &why);
}

static void ask_memory(struct watch *watch, int64_t now_ms) {
    int64_t used, max;
    if (!watch->redis.is_up || now_ms < watch->memory_next_ms) return;
    watch->memory_next_ms = now_ms + WATCH_MEMORY_MS;
    if (!ask_bytes(watch, "used_memory:", &used) ||
        (!ask_bytes(watch, "maxmemory:", &max) &&
         !ask_bytes(watch, "total_system_memory:", &max))) {
        return;
    }
    metric_set(watch->options.metrics->memory, used);
    metric_set(watch->options.metrics->memory_max, max);
}

static void ask_retention(struct watch *watch, int64_t now_ms) {
    struct error why = {""};
    int64_t retention_ms = TOPICS_KEEP_UNKNOWN;
    struct kafka_source *source = atomic_load(&watch->source);
    if (source == NULL || !watch->kafka.is_up || now_ms < watch->retention_next_ms) return;
    watch->retention_next_ms = now_ms + WATCH_RETENTION_MS;
    switch (
        kafka_topics_retention(source, watch->options.topic, WATCH_CALL_MS, &retention_ms, &why)) {
    case TOPICS_OK:
        atomic_store_explicit(watch->options.retention_ms, retention_ms, memory_order_relaxed);
        break;
    case TOPICS_RETRY:
        watch->retention_next_ms = now_ms;
        break;
    case TOPICS_REFUSED:
        if (!watch->is_retention_denied)
            log_info("The retention headroom is not shown", log_text("reason", why.text));
        watch->is_retention_denied = true;
        watch->retention_next_ms = CLOCK_NEVER_MS; /* some services log each request denied */
        break;
    }
}

int64_t watch_step(void *context, int64_t now_ms) {
    struct watch *watch = context;
    if (watch->options.tick != NULL) watch->options.tick(watch->options.context, now_ms);
    if (!atomic_exchange(&watch->must_ask, false) && now_ms < watch->next_ms) return watch->next_ms;
    watch->next_ms = now_ms + WATCH_EVERY_MS;
    ask_kafka(watch);
    ask_redis(watch);
    read_counts(watch);
    ask_memory(watch, now_ms);
    ask_retention(watch, now_ms);
    return watch->next_ms;
}
