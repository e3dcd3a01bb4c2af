/* The document is written from top to bottom by one function for each member. Numbers of different
 * members are not of one moment; each alone is right. */
#include "app/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/vitals.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "pipeline_parts.h"
#include "status_parts.h"

/* --- totals ----------------------------------------------------------------------------------- */

static struct status_totals totals_of(const struct pipeline *pipeline) {
    const struct stats *stats = &pipeline->stats;
    struct status_totals totals = {
        .consumed = metric_get(stats->ingest.consumed),
        .published = metric_get(stats->publish.published),
        .counted = metric_get(stats->checkpoint.counted),
        .anomalies = metric_get(stats->checkpoint.anomalies),
        .lost = metric_get(stats->ingest.lost),
        .truncated = metric_get(stats->ingest.truncated),
    };
    for (int r = LOGIN_ACCEPTED + 1; r < LOGIN_REASON_COUNT; r++) {
        totals.rejected[r] = metric_get(
            metric_cell(stats->checkpoint.rejected, login_reason_name((enum login_reason)r)));
    }
    for (int c = CURSOR_NO_CAUSE + 1; c < CURSOR_CAUSE_COUNT; c++) {
        totals.rewinds[c] =
            metric_get(metric_cell(stats->ingest.rewinds, cursor_cause_name((enum cursor_cause)c)));
    }
    return totals;
}

void status_tick(struct pipeline *pipeline, int64_t now_ms) {
    struct status *status = &pipeline->status;
    const struct status_sample sample = {now_ms, totals_of(pipeline)};
    pthread_mutex_lock(&status->lock);
    const unsigned newest = (status->next + STATUS_SAMPLES - 1) % STATUS_SAMPLES;
    if (now_ms - status->samples[newest].at_ms >= STATUS_RATE_MS / STATUS_SAMPLES) {
        status->samples[status->next] = sample;
        status->next = (status->next + 1) % STATUS_SAMPLES;
    }
    pthread_mutex_unlock(&status->lock);
}

/* The sample that is as old as rates go back, or the oldest one; at_ms is 0 if there is none. */
static struct status_sample sample_of(struct status *status, int64_t now_ms) {
    struct status_sample best = {.at_ms = 0};
    pthread_mutex_lock(&status->lock);
    for (unsigned i = 0; i < STATUS_SAMPLES; i++) { /* from the oldest on */
        const struct status_sample *sample = &status->samples[(status->next + i) % STATUS_SAMPLES];
        if (sample->at_ms == 0) continue;
        if (best.at_ms == 0 || now_ms - sample->at_ms >= STATUS_RATE_MS) best = *sample;
    }
    pthread_mutex_unlock(&status->lock);
    return best;
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* RFC 3339, UTC, milliseconds; null if it is 0. */
static void add_time(struct text *out, int64_t wall_ms) {
    const time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc = {0};
    char day[32];
    if (wall_ms == 0) {
        text_add(out, "null");
        return;
    }
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &utc));
    text_format(out, "\"%s.%03dZ\"", day, (int)(wall_ms % 1000));
}

static void add_seconds(struct text *out, int64_t ms) {
    const int rest = (int)(ms % 1000);
    const char digits[] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                           (char)('0' + rest % 10)};
    text_add_integer(out, ms / 1000);
    text_add_bytes(out, digits, sizeof digits);
}

/* `begin` holds everything up to the value: comma, name, colon. */
#define ADD_STRING(out_, begin_, value_)                                                           \
    (text_add((out_), begin_), status_add_string((out_), (value_)))

/* --- state ------------------------------------------------------------------------------------ */

static void add_reason(struct text *out, unsigned *count, const char *reason, const char *fix) {
    struct text sentence = {0};
    text_format(&sentence, "%s%s", reason, fix);
    if ((*count)++ > 0) text_add(out, ", ");
    text_add_json(out, text_string(&sentence), sentence.length);
    text_release(&sentence);
}

static void add_down(struct text *out, unsigned *count, const char *name,
                     const struct watch_target *target, const char *fix) {
    struct text reason = {0};
    if (target->is_up) return;
    text_format(&reason, "%s does not answer (%s)", name, target->reason.text);
    add_reason(out, count, text_string(&reason), fix);
    text_release(&reason);
}

static void add_state(struct pipeline *pipeline, const struct watch_target *kafka,
                      const struct watch_target *redis, struct text *out) {
    struct text dead = {0}, unready = {0}, reasons = {0};
    unsigned count = 0;
    const bool is_alive = pipeline_is_alive(pipeline, &dead);
    const bool is_ready = pipeline_is_ready(pipeline, &unready);
    if (!is_alive) {
        add_reason(&reasons, &count, text_string(&dead),
                   "; restart this instance: what was not stored is read again");
    }
    add_down(&reasons, &count, "Kafka", kafka,
             "; start its brokers, or correct kafka.bootstrap.servers: work goes on by itself once "
             "they answer");
    add_down(&reasons, &count, "Redis", redis,
             "; publishing goes on, and counting resumes once it answers");
    if (!is_ready && kafka->is_up && redis->is_up)
        add_reason(&reasons, &count, text_string(&unready),
                   strchr(text_string(&unready), ';') != NULL
                       ? ""
                       : "; wait a moment, and if it lasts, look at the warnings below");
    text_format(out, ",\n\"state\": {\"is_alive\": %s, \"is_ready\": %s, \"reasons\": [%s]}",
                is_alive ? "true" : "false", count == 0 ? "true" : "false", text_string(&reasons));
    text_release(&dead);
    out->is_broken |= reasons.is_broken;
    text_release(&unready);
    text_release(&reasons);
}

/* --- totals and rates ------------------------------------------------------------------------- */

/* One number, or for a rate the difference to `before` in a second. */
static void add_number(struct text *out, int64_t value, int64_t before, int64_t span_ms) {
    if (span_ms == 0)
        text_format(out, "%lld", (long long)value);
    else
        text_format(out, "%.3f", (double)(value - before) * 1000 / (double)span_ms);
}

/* Totals, or with a span of time the rates since `before`. */
static void add_totals(struct text *out, const struct status_totals *now,
                       const struct status_totals *before, int64_t span_ms) {
    const struct {
        const char *name;
        int64_t now, before;
    } plain[] = {
        {"{\"consumed\": ", now->consumed, before->consumed},
        {", \"published\": ", now->published, before->published},
        {", \"counted\": ", now->counted, before->counted},
        {", \"anomalies\": ", now->anomalies, before->anomalies},
        {", \"lost\": ", now->lost, before->lost},
        {", \"truncated\": ", now->truncated, before->truncated},
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        text_add(out, plain[i].name);
        add_number(out, plain[i].now, plain[i].before, span_ms);
    }
    text_add(out, ", \"rejected\": {");
    for (int r = LOGIN_ACCEPTED + 1; r < LOGIN_REASON_COUNT; r++) {
        text_format(out, "%s\"%s\": ", r > LOGIN_ACCEPTED + 1 ? ", " : "",
                    login_reason_name((enum login_reason)r));
        add_number(out, now->rejected[r], before->rejected[r], span_ms);
    }
    text_add(out, "}, \"rewinds\": {");
    for (int c = CURSOR_NO_CAUSE + 1; c < CURSOR_CAUSE_COUNT; c++) {
        text_format(out, "%s\"%s\": ", c > CURSOR_NO_CAUSE + 1 ? ", " : "",
                    cursor_cause_name((enum cursor_cause)c));
        add_number(out, now->rewinds[c], before->rewinds[c], span_ms);
    }
    text_add(out, "}}");
}

static void add_progress(struct pipeline *pipeline, int64_t now_ms, struct text *out) {
    const struct status_totals totals = totals_of(pipeline);
    const struct status_sample before = sample_of(&pipeline->status, now_ms);
    const int64_t span_ms = before.at_ms == 0 || now_ms <= before.at_ms ? 0 : now_ms - before.at_ms;
    text_add(out, ",\n\"totals\": ");
    add_totals(out, &totals, &totals, 0);
    text_add(out, ",\n\"rates\": ");
    add_totals(out, &totals, span_ms == 0 ? &totals : &before.totals, span_ms == 0 ? 1 : span_ms);
}

static void add_rejections(struct pipeline *pipeline, struct text *out) {
    struct rejections_example last[LOGIN_REASON_COUNT];
    const char *separator = "";
    rejections_last(&pipeline->rejections, last);
    text_add(out, ",\n\"rejections\": [");
    for (int r = LOGIN_ACCEPTED + 1; r < LOGIN_REASON_COUNT; r++) {
        if (last[r].count == 0) continue;
        text_format(out, "%s{\"reason\": \"%s\", \"partition\": %d, \"offset\": %lld, \"detail\": ",
                    separator, login_reason_name((enum login_reason)r), last[r].partition,
                    (long long)last[r].offset);
        status_add_string(out, last[r].detail);
        text_add(out, "}");
        separator = ", ";
    }
    text_add(out, "]");
}

/* --- partitions and threads ------------------------------------------------------------------- */

struct list {
    struct text *out;
    const char *separator;
    int64_t wall_ms, now_ms;
};

static void add_offset(struct text *out, const char *begin, int64_t offset) {
    text_add(out, begin);
    if (offset < 0)
        text_add(out, "null");
    else
        text_add_integer(out, offset);
}

static void add_lag(struct text *out, const char *begin, int64_t end, int64_t stored) {
    add_offset(out, begin, end < 0 || stored < 0 ? -1 : end > stored ? end - stored : 0);
}

static void add_age(const struct list *list, const char *begin, int64_t stored, int64_t oldest_ms) {
    text_add(list->out, begin);
    if (stored < 0)
        text_add(list->out, "null");
    else if (oldest_ms == BACKLOG_NONE || oldest_ms >= list->wall_ms)
        text_add(list->out, "0");
    else
        add_seconds(list->out, list->wall_ms - oldest_ms);
}

static void add_partition(void *context, const struct ingest *ingest) {
    struct list *list = context;
    const struct lag_figures lag = ingest_lag(ingest);
    text_add(list->out, list->separator);
    add_offset(list->out, "{\"partition\": ", ingest_partition(ingest));
    add_offset(list->out, ", \"end\": ", lag.end);
    add_offset(list->out, ", \"published\": ", lag.published);
    add_offset(list->out, ", \"counted\": ", lag.counted);
    add_lag(list->out, ", \"lag_records\": ", lag.end, lag.published);
    add_lag(list->out, ", \"counted_lag_records\": ", lag.end, lag.counted);
    add_age(list, ", \"lag_seconds\": ", lag.published, lag.published_oldest_ms);
    add_age(list, ", \"counted_lag_seconds\": ", lag.counted, lag.counted_oldest_ms);
    text_add(list->out, "}");
    list->separator = ",\n ";
}

static void add_thread(struct list *list, const struct worker *worker, int32_t partition) {
    const int64_t idle_ms =
        list->now_ms - atomic_load_explicit(&worker->heartbeat_ms, memory_order_relaxed);
    text_add(list->out, list->separator);
    text_add(list->out, "{\"name\": \"");
    text_add(list->out, worker->name);
    text_add(list->out, "\"");
    add_offset(list->out, ", \"partition\": ", partition);
    text_add(list->out, ", \"idle_s\": ");
    add_seconds(list->out, idle_ms > 0 ? idle_ms : 0);
    text_add(list->out, ", \"is_stuck\": ");
    status_add_bool(list->out, worker_is_stuck(worker, list->now_ms));
    text_add(list->out, "}");
    list->separator = ",\n ";
}

static void add_ingest_thread(void *context, const struct ingest *ingest) {
    add_thread(context, ingest_worker(ingest), ingest_partition(ingest));
}

static void add_flow(struct pipeline *pipeline, int64_t wall_ms, int64_t now_ms, struct text *out) {
    const bool is_flowing = atomic_load(&pipeline->is_flowing);
    struct list list = {out, "", wall_ms, now_ms};
    text_add(out, ",\n\"partitions\": [");
    if (is_flowing) assignment_visit(pipeline->assignment, add_partition, &list);
    text_add(out, "],\n\"threads\": [");
    list.separator = "";
    add_thread(&list, watch_worker(pipeline->watch), -1);
    if (is_flowing) {
        add_thread(&list, checkpoint_worker(pipeline->checkpoint), -1);
        add_thread(&list, publish_worker(pipeline->publish), -1);
        for (int s = 0; s < pipeline->config->instance.shards; s++)
            add_thread(&list, count_worker(pipeline->counts[s]), -1);
        assignment_visit(pipeline->assignment, add_ingest_thread, &list);
    }
    text_add(out, "]");
}

/* --- counts ----------------------------------------------------------------------------------- */

static void add_counts(struct pipeline *pipeline, struct text *out) {
    struct redis_glance *glance = redis_glance_create(&pipeline->aggregates);
    const int64_t read_ms = watch_glance(pipeline->watch, glance);
    text_add(out, ",\n\"top\": {\"" AGGREGATE_READ_AT "\": ");
    add_time(out, read_ms);
    status_add_counts(&pipeline->aggregates, glance, out);
    free(glance);
}

/* --- the outside ------------------------------------------------------------------------------ */

static void add_target(const char *name, const struct watch_target *target, struct text *out) {
    text_format(out, ",\n\"%s\": {\"is_up\": %s, \"since\": ", name,
                target->is_up ? "true" : "false");
    add_time(out, target->since_ms);
    text_add(out, ", \"version\": ");
    if (target->version[0] == '\0')
        text_add(out, "null");
    else
        status_add_string(out, target->version);
    text_add(out, ", \"reason\": ");
    if (target->is_up)
        text_add(out, "null");
    else
        status_add_string(out, target->reason.text);
    text_add(out, "}");
}

static void add_line(void *context, const char *line, size_t length) {
    struct list *list = context;
    text_add(list->out, list->separator);
    text_add_json(list->out, line, length);
    list->separator = ",\n ";
}

static void make(struct pipeline *pipeline, int64_t now_ms, struct text *out) {
    const struct config *config = pipeline->config;
    const int64_t wall_ms = clock_wall_ms();
    struct status *status = &pipeline->status;
    struct watch_target kafka, redis;
    watch_kafka(pipeline->watch, &kafka);
    watch_redis(pipeline->watch, &redis);
    ADD_STRING(out, "{\"version\": ", ROLLCALL_VERSION);
    text_add(out, ",\n\"now\": ");
    add_time(out, wall_ms);
    text_add(out, ",\n\"uptime_s\": ");
    add_seconds(out, clock_ms() - status->start_ms);
    ADD_STRING(out, ",\n\"instance\": ", config->instance.id);
    ADD_STRING(out, ",\n\"group\": ", config->source.group);
    ADD_STRING(out, ",\n\"topic\": ", config->source.topic);
    add_state(pipeline, &kafka, &redis, out);
    add_progress(pipeline, now_ms, out);
    add_rejections(pipeline, out);
    add_flow(pipeline, clock_common_ms(), now_ms, out);
    add_counts(pipeline, out);
    add_target("kafka", &kafka, out);
    add_target("redis", &redis, out);
    struct list list = {out, "", 0, 0};
    text_add(out, ",\n\"recent\": [");
    log_recent(add_line, &list);
    pthread_mutex_lock(&status->lock);
    text_format(out, "],\n\"settings\": %s}\n", status->settings);
    pthread_mutex_unlock(&status->lock);
}

void status_json(struct pipeline *pipeline, struct text *out) {
    struct status *status = &pipeline->status;
    const int64_t now_ms = clock_ms();
    if (status->made_ms == 0 || now_ms - status->made_ms >= STATUS_FRESH_MS) {
        text_clear(&status->json);
        make(pipeline, now_ms, &status->json);
        status->made_ms = now_ms;
    }
    text_add_bytes(out, text_string(&status->json), status->json.length);
    out->is_broken |= status->json.is_broken;
}

void status_init(struct status *status, const struct pipeline *pipeline) {
    pthread_mutex_init(&status->lock, NULL);
    status->start_ms = clock_ms();
    status->settings = status_settings(pipeline->config);
}

void status_reload(struct status *status, const struct pipeline *pipeline) {
    char *fresh = status_settings(pipeline->config);
    pthread_mutex_lock(&status->lock);
    char *old = status->settings;
    status->settings = fresh;
    pthread_mutex_unlock(&status->lock);
    free(old);
}

void status_fini(struct status *status) {
    if (status->settings == NULL) return;
    free(status->settings);
    text_release(&status->json);
    pthread_mutex_destroy(&status->lock);
}
