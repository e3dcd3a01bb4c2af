/* rollcall top: what one instance reports over HTTP, and what Redis holds. Neither needs the other;
 * an unreachable one is reported where its figures would be, and retried in the next turn. */
#include "app/top.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/commands.h"
#include "app/config.h"
#include "app/screen.h"
#include "base/clamp.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/aggregate.h"
#include "edge/http_client.h"
#include "edge/redis_fault.h"
#include "edge/redis_link.h"

enum { VALUES_SHOWN = 10, ANOMALIES_SHOWN = 5, HTTP_WAIT_MS = 3000, NAP_MS = 100 };

struct top_options {
    int64_t every_s; /* between two views */
    int64_t count;   /* views; 0 is forever */
};

struct top {
    const struct config *config;
    struct aggregates aggregates;
    struct redis_link *link;
    struct screen screen;
    struct text line, reply;
    struct top_figures now;
    int64_t before[TOP_COUNTERS]; /* totals of the turn before */
    int64_t before_us;            /* when; 0: there are none */
};

/* --- the page of an instance ------------------------------------------------------------------ */

static const char *const counter_names[TOP_COUNTERS] = {
    "rollcall_records_consumed_total", "rollcall_records_counted_total",
    "rollcall_records_published_total", "rollcall_records_rejected_total",
    "rollcall_anomalies_total"};

static bool is_named(const char *line, const char *name) {
    const size_t length = strlen(name);
    return strncmp(line, name, length) == 0 && (line[length] == ' ' || line[length] == '{');
}

/* Each partition has its own place until all are there, so a page may name them in any order. What
 * follows a line's first quote is its partition. */
static struct top_lag *lag_of(struct top_figures *figures, const char *line, size_t length) {
    static struct top_lag nowhere;
    const char *quote = memchr(line, '"', length);
    const int64_t partition = quote == NULL ? -1 : strtoll(quote + 1, NULL, 10);
    if (partition < 0 || partition >= FENCE_PARTITIONS_MAX) return &nowhere;
    figures->lags[partition].partition = (int)partition;
    return &figures->lags[partition];
}

static void read_line(struct top_figures *figures, const char *line, size_t length) {
    const char *space = memrchr(line, ' ', length);
    const int64_t value = space == NULL ? 0 : strtoll(space, NULL, 10);
    for (int i = 0; i < TOP_COUNTERS; i++) {
        if (is_named(line, counter_names[i])) figures->totals[i] += value;
    }
    if (is_named(line, "rollcall_assigned_partitions")) figures->assigned_count = value;
    if (is_named(line, "rollcall_lag_records")) lag_of(figures, line, length)->to_publish = value;
    if (is_named(line, "rollcall_counted_lag_records"))
        lag_of(figures, line, length)->to_count = value;
}

static int compare_lags(const void *a, const void *b) {
    const struct top_lag *left = a, *right = b;
    const int64_t l = left->to_publish > left->to_count ? left->to_publish : left->to_count;
    const int64_t r = right->to_publish > right->to_count ? right->to_publish : right->to_count;
    return l != r ? (l < r ? 1 : -1) : left->partition - right->partition;
}

bool top_read(struct top_figures *figures, const char *page) {
    *figures = (struct top_figures){.assigned_count = -1};
    for (size_t i = 0; i < FENCE_PARTITIONS_MAX; i++)
        figures->lags[i].partition = -1;
    while (*page != '\0') {
        const size_t length = strcspn(page, "\n");
        read_line(figures, page, length);
        page += length + (page[length] == '\n');
    }
    for (size_t i = 0; i < FENCE_PARTITIONS_MAX; i++) {
        if (figures->lags[i].partition >= 0) figures->lags[figures->lag_count++] = figures->lags[i];
    }
    qsort(figures->lags, figures->lag_count, sizeof *figures->lags, compare_lags);
    return figures->assigned_count >= 0;
}

/* --- lines ------------------------------------------------------------------------------------ */

/* Adds the last words of a line, and shows it. */
#define say(top, ...) (text_format(&(top)->line, __VA_ARGS__), end_line(top))

static void end_line(struct top *top) {
    screen_line(&top->screen, &top->line);
}

static void say_head(struct top *top) {
    const time_t now = clock_wall_ms() / 1000;
    struct tm utc = {0};
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&now, &utc));
    say(top, "rollcall top  %s  %s  %s %s", text, top->config->expose.listen,
        redis_link_name(top->link), top->config->redis.prefix);
}

/* --- the instance ----------------------------------------------------------------------------- */

static void say_counters(struct top *top) {
    const int64_t now_us = clock_us(), *now = top->now.totals;
    const double seconds = (double)(now_us - top->before_us) / 1e6;
    bool has_rates = top->before_us != 0;
    for (int i = 0; i < TOP_COUNTERS; i++)
        has_rates = has_rates && now[i] >= top->before[i]; /* else it was restarted */
    say(top, "%-9s%14s%14s%14s%14s%14s", "", "consumed", "counted", "published", "rejected",
        "anomalies");
    say(top, "%-9s%14" PRId64 "%14" PRId64 "%14" PRId64 "%14" PRId64 "%14" PRId64, "total", now[0],
        now[1], now[2], now[3], now[4]);
    text_add(&top->line, "a second ");
    for (int i = 0; i < TOP_COUNTERS; i++) {
        if (has_rates)
            text_format(&top->line, "%14.1f", (double)(now[i] - top->before[i]) / seconds);
        else
            text_format(&top->line, "%14s", "-");
    }
    end_line(top);
    memcpy(top->before, now, sizeof top->before);
    top->before_us = now_us;
}

/* The lags from the given one on, together. */
static struct top_lag sum_of(const struct top_figures *figures, size_t first) {
    struct top_lag sum = {0};
    for (size_t i = first; i < figures->lag_count; i++) {
        sum.to_publish += figures->lags[i].to_publish;
        sum.to_count += figures->lags[i].to_count;
    }
    return sum;
}

/* False: it is unreachable, and the reason was shown. */
static bool say_instance(struct top *top) {
    const char *listen_on = top->config->expose.listen;
    struct error error = {""};
    const char *page = http_client_get(listen_on, "/metrics", HTTP_WAIT_MS, &top->reply, &error);
    const bool is_read =
        page != NULL && (top_read(&top->now, page) ||
                         error_set(&error, "%s is not an instance of rollcall", listen_on));
    if (!is_read) {
        top->before_us = 0;
        text_format(&top->line,
                    "no figures of the instance: %s; start `rollcall run`, or set http.listen as "
                    "the instance has it",
                    error.text);
        screen_sentence(&top->screen, &top->line);
        return false;
    }
    say_counters(top);
    const struct top_lag all = sum_of(&top->now, 0);
    say(top, "%-9s%" PRId64 " to publish, %" PRId64 " to count, in %" PRId64 " partitions", "lag",
        all.to_publish, all.to_count, top->now.assigned_count);
    return true;
}

static void say_lag(struct top *top, const char *name, struct top_lag lag) {
    say(top, "%-9s%14" PRId64 "%14" PRId64, name, lag.to_publish, lag.to_count);
}

/* As many partitions as there is room for, and the sum of the others. */
static void say_partitions(struct top *top) {
    const size_t count = top->now.lag_count;
    const int rows_left = top->screen.rows - top->screen.used_rows;
    const size_t room = rows_left > 2 ? (size_t)rows_left - 2 : 0;
    if (count == 0 || room == 0) return;
    const size_t shown = count <= room ? count : room - 1;
    char name[32];
    end_line(top);
    say(top, "%-9s%14s%14s", "partition", "to publish", "to count");
    for (size_t i = 0; i < shown; i++) {
        snprintf(name, sizeof name, "%d", top->now.lags[i].partition);
        say_lag(top, name, top->now.lags[i]);
    }
    snprintf(name, sizeof name, "%zu more", count - shown);
    if (shown < count) say_lag(top, name, sum_of(&top->now, shown));
}

/* --- Redis ------------------------------------------------------------------------------------ */

/* The reply to a command if it is a list; else NULL, and the error contains a fix. */
#define ask(top, error, ...) list_of(top, redis_link_call((top)->link, error, __VA_ARGS__), error)

/* Takes the reply. */
static struct redis_reply *list_of(const struct top *top, struct redis_reply *reply,
                                   struct error *error) {
    if (reply == NULL || redis_reply_kind(reply) == REDIS_LIST) return reply;
    redis_fault_judge(redis_reply_text(reply).bytes, redis_link_name(top->link),
                      top->config->redis.prefix, error);
    redis_reply_destroy(&reply);
    return NULL;
}

/* Adds name, value, name, value, ... */
static void add_pairs(struct top *top, const struct redis_reply *pairs) {
    for (size_t i = 0; i < redis_reply_count(pairs); i++) {
        const struct slice word = redis_reply_text(redis_reply_at(pairs, i));
        text_add(&top->line, i % 2 == 0 ? "  " : " ");
        text_add_bytes(&top->line, word.bytes, word.length);
    }
}

static bool say_values(struct top *top, unsigned dimension, struct error *error) {
    struct redis_reply *reply =
        ask(top, error, "ZREVRANGE %s:%s 0 %d WITHSCORES", top->config->redis.prefix,
            top->aggregates.items[dimension].key, VALUES_SHOWN - 1);
    if (reply == NULL) return false;
    text_format(&top->line, "%-11s", top->config->aggregate.dimensions.items[dimension]);
    add_pairs(top, reply);
    end_line(top);
    redis_reply_destroy(&reply);
    return true;
}

static bool say_anomalies(struct top *top, const struct aggregate *aggregate, struct error *error) {
    struct redis_reply *reply =
        ask(top, error, "XREVRANGE %s:%s + - COUNT %d", top->config->redis.prefix,
            aggregate->anomalies_key, ANOMALIES_SHOWN);
    if (reply == NULL) return false;
    if (redis_reply_count(reply) == 0) say(top, "%-11s  none", "anomalies");
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        const struct redis_reply *entry = redis_reply_at(reply, i); /* its id, and its fields */
        text_format(&top->line, "%-11s", i == 0 ? "anomalies" : "");
        if (redis_reply_count(entry) == 2) add_pairs(top, redis_reply_at(entry, 1));
        end_line(top);
    }
    redis_reply_destroy(&reply);
    return true;
}

static void say_redis(struct top *top) {
    struct error error = {""};
    bool is_good = redis_link_open(top->link, &error);
    const bool is_open = is_good;
    for (unsigned i = 0; is_good && i < top->aggregates.count; i++) {
        const struct aggregate *aggregate = &top->aggregates.items[i];
        if (aggregate->source == AGGREGATE_DIMENSION)
            is_good = say_values(top, i, &error);
        else if (aggregate->kind == AGGREGATE_DAYS)
            is_good = say_anomalies(top, aggregate, &error);
    }
    if (is_good) return;
    text_format(&top->line, "no figures of Redis: %s%s", error.text,
                is_open ? "" : "; start Redis, or set redis.url");
    screen_sentence(&top->screen, &top->line);
}

/* --- turns ------------------------------------------------------------------------------------ */

static bool take_turn(struct top *top) {
    screen_begin(&top->screen);
    say_head(top);
    end_line(top);
    const bool has_instance = say_instance(top);
    end_line(top);
    say_redis(top);
    if (has_instance) say_partitions(top);
    return commands_are_stopped() || screen_show(&top->screen);
}

static void pause_until(int64_t next_ms) {
    int64_t left_ms;
    while (!commands_are_stopped() && (left_ms = next_ms - clock_ms()) > 0)
        clock_sleep_ms((int)clamp(left_ms, 1, NAP_MS));
}

static void watch(struct top *top, const struct top_options *options) {
    int64_t next_ms = clock_ms();
    for (int64_t turn = 1; !commands_are_stopped() && take_turn(top) && turn != options->count;
         turn++) {
        next_ms = clamp(next_ms + options->every_s * 1000, clock_ms(), INT64_MAX);
        pause_until(next_ms);
    }
}

static int run(const struct config *config, const struct options *options) {
    struct error error = {"http.listen is empty: top asks a running instance over HTTP, so set it "
                          "as that instance has it"};
    struct top *top = memory_create(sizeof *top);
    top->config = config;
    aggregates_init(&top->aggregates, &config->aggregate);
    if (config->expose.listen[0] != '\0') top->link = redis_link_create(&config->redis, &error);
    const bool is_right = top->link != NULL;
    if (is_right) {
        commands_catch_signals(true);
        signal(SIGPIPE, SIG_IGN); /* hiredis writes to connections that Redis has closed */
        watch(top, (const void *)options->own);
    } else {
        log_error(error.text);
    }
    screen_release(&top->screen);
    text_release(&top->line);
    text_release(&top->reply);
    redis_link_destroy(&top->link);
    free(top);
    return is_right ? 0 : 2;
}

static const struct option_row own_options[] = {
    OPTION_NUMBER(struct top_options, every_s, "every", "SECONDS", 1, 3600, "1",
                  "between two views"),
    OPTION_NUMBER(struct top_options, count, "count", "N", 0, 1000000000000, "0",
                  "views; 0: forever"),
    OPTION_END};

const struct command command_top = {
    .name = "top",
    .summary = "watch an instance and the counts in the terminal: rates, lag, top values",
    .help = "Shows totals and rates of the instance at http.listen, its lag by partition, the\n"
            "largest counts in Redis and the newest anomalies, until SIGINT or SIGTERM. On a\n"
            "terminal each view takes the place of the one before. An unreachable instance or\n"
            "Redis is reported where the figures would be, and retried in the next view.\n",
    .options = own_options,
    .run = run,
};
