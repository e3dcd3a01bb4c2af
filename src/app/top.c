/* rollcall top: what an instance reports of itself and of the counts, in its /status.json. An
 * unreachable one is reported where its figures would be, and retried in the next turn. */
#include "app/top.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/commands.h"
#include "app/config.h"
#include "base/clamp.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/aggregate.h"
#include "core/tree.h"
#include "edge/http_client.h"

enum { ANOMALIES_SHOWN = 5, WARNINGS_SHOWN = 3, HTTP_WAIT_MS = 3000, NAP_MS = 100 };

struct top_options {
    int64_t every_s; /* between two views */
    int64_t count;   /* views; 0 is forever */
    const char *url; /* "": http.listen */
};

/* --- where it is ------------------------------------------------------------------------------ */

bool top_find(const char *url, struct top_place *place, struct error *error) {
    static const char scheme[] = "http://";
    const char *host = url + sizeof scheme - 1;
    const bool is_http = strncmp(url, scheme, sizeof scheme - 1) == 0;
    const size_t length = is_http ? strcspn(host, "/?#") : 0;
    size_t prefix = is_http ? strcspn(host + length, "?#") : 0;
    const bool has_port =
        length > 0 && memrchr(host, ':', length) != NULL && host[length - 1] != ']';
    while (prefix > 0 && host[length + prefix - 1] == '/')
        prefix--;
    if (length == 0 || host[length + prefix + strspn(host + length + prefix, "/")] != '\0' ||
        memchr(host, '@', length) != NULL || length + 4 > sizeof place->listen_on ||
        prefix + sizeof "/status.json" > sizeof place->path ||
        strcspn(url, " \t\r\n") != strlen(url)) {
        return error_set(error,
                         "--url %s is not http://HOST:PORT or http://HOST:PORT/PREFIX; for example "
                         "http://localhost:9464",
                         url);
    }
    snprintf(place->listen_on, sizeof place->listen_on, "%.*s%s", (int)length, host,
             has_port ? "" : ":80");
    snprintf(place->path, sizeof place->path, "%.*s/status.json", (int)prefix, host + length);
    return true;
}

/* --- lines ------------------------------------------------------------------------------------ */

struct view {
    struct screen *screen;
    const struct tree_value *document;
    struct text line;
};

/* Adds the last words of a line, and shows it. */
#define say(view, ...) (text_format(&(view)->line, __VA_ARGS__), end_line(view))

static void end_line(struct view *view) {
    screen_line(view->screen, &view->line);
}

static const char *text_of(const struct view *view, const char *name) {
    return tree_text(tree_member(view->document, name));
}

static void say_head(struct view *view) {
    say(view, "rollcall top  %s  instance %s  group %s  topic %s  version %s  up %.0f s",
        text_of(view, "now"), text_of(view, "instance"), text_of(view, "group"),
        text_of(view, "topic"), text_of(view, "version"),
        tree_real(tree_member(view->document, "uptime_s")));
}

static void say_state(struct view *view) {
    const struct tree_value *state = tree_member(view->document, "state");
    const struct tree_value *reasons = tree_member(state, "reasons");
    for (size_t i = 0; i < tree_count(reasons); i++) {
        text_format(&view->line, "! %s", tree_text(tree_at(reasons, i)));
        screen_sentence(view->screen, &view->line);
    }
    if (tree_count(reasons) == 0)
        say(view, "%s", tree_is_true(tree_member(state, "is_ready")) ? "ready" : "! not ready");
}

/* --- the instance ----------------------------------------------------------------------------- */

static void add_sum(void *context, const char *name, const struct tree_value *value) {
    (void)name;
    *(double *)context += tree_real(value);
}

/* Of a number, or of an object's numbers. */
static double total_of(const struct tree_value *value) {
    double sum = tree_real(value);
    tree_visit(value, add_sum, &sum);
    return sum;
}

static void say_totals(struct view *view) {
    static const char *const names[] = {"consumed", "counted", "published", "rejected",
                                        "anomalies"};
    const struct tree_value *totals = tree_member(view->document, "totals");
    const struct tree_value *rates = tree_member(view->document, "rates");
    text_format(&view->line, "%-9s", "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        text_format(&view->line, "%14s", names[i]);
    end_line(view);
    text_format(&view->line, "%-9s", "total");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        text_format(&view->line, "%14.0f", total_of(tree_member(totals, names[i])));
    end_line(view);
    text_format(&view->line, "%-9s", "a second");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        text_format(&view->line, "%14.1f", total_of(tree_member(rates, names[i])));
    end_line(view);
}

struct top_lag {
    int64_t partition;
    double to_publish, to_count, publish_s, count_s; /* 0 while it is not known */
};

static struct top_lag lag_of(const struct tree_value *partition) {
    return (struct top_lag){
        .partition = tree_integer(tree_member(partition, "partition")),
        .to_publish = tree_real(tree_member(partition, "lag_records")),
        .to_count = tree_real(tree_member(partition, "counted_lag_records")),
        .publish_s = tree_real(tree_member(partition, "lag_seconds")),
        .count_s = tree_real(tree_member(partition, "counted_lag_seconds")),
    };
}

/* The largest first. */
static int compare_lags(const void *a, const void *b) {
    const struct top_lag *left = a, *right = b;
    const double l = left->to_publish > left->to_count ? left->to_publish : left->to_count;
    const double r = right->to_publish > right->to_count ? right->to_publish : right->to_count;
    if (l < r || l > r) return l < r ? 1 : -1;
    return left->partition < right->partition ? -1 : 1;
}

/* The lags from the given one on: their sum in records, and the highest in seconds. */
static struct top_lag sum_of(const struct top_lag *lags, size_t first, size_t count) {
    struct top_lag sum = {.partition = 0};
    for (size_t i = first; i < count; i++) {
        sum.to_publish += lags[i].to_publish;
        sum.to_count += lags[i].to_count;
        if (lags[i].publish_s > sum.publish_s) sum.publish_s = lags[i].publish_s;
        if (lags[i].count_s > sum.count_s) sum.count_s = lags[i].count_s;
    }
    return sum;
}

static void say_lag(struct view *view, const char *name, struct top_lag lag) {
    say(view, "%-9s%14.0f%14.0f%16.1f%14.1f", name, lag.to_publish, lag.to_count, lag.publish_s,
        lag.count_s);
}

/* As many partitions as there is room for, and the sum of the others. */
static void say_partitions(struct view *view, const struct top_lag *lags, size_t count) {
    const int rows_left = view->screen->rows - view->screen->used_rows;
    const size_t room = rows_left > 2 ? (size_t)rows_left - 2 : 0;
    if (count == 0 || room == 0) return;
    const size_t shown = count <= room ? count : room - 1;
    char name[32];
    end_line(view);
    say(view, "%-9s%14s%14s%16s%14s", "partition", "to publish", "to count", "to publish, s",
        "to count, s");
    for (size_t i = 0; i < shown; i++) {
        snprintf(name, sizeof name, "%" PRId64, lags[i].partition);
        say_lag(view, name, lags[i]);
    }
    snprintf(name, sizeof name, "%zu more", count - shown);
    if (shown < count) say_lag(view, name, sum_of(lags, shown, count));
}

/* --- the counts, and the log ------------------------------------------------------------------ */

static void add_pairs(struct view *view, const struct tree_value *values) {
    for (size_t i = 0; i < tree_count(values); i++) {
        const struct tree_value *pair = tree_at(values, i);
        text_add(&view->line, "  ");
        const struct slice value = tree_bytes(tree_at(pair, 0));
        text_add_bytes(&view->line, value.bytes, value.length);
        text_format(&view->line, " %" PRId64, tree_integer(tree_at(pair, 1)));
    }
}

static void say_values(void *context, const char *name, const struct tree_value *values) {
    struct view *view = context;
    if (strcmp(name, AGGREGATE_READ_AT) == 0) return;
    text_format(&view->line, "%-11s", name);
    add_pairs(view, values);
    end_line(view);
}

/* The newest bucket of a declared count: its largest values, or its number. */
static void say_declared(void *context, const char *name, const struct tree_value *count) {
    struct view *view = context;
    const struct tree_value *values = tree_member(count, "values");
    const char *bucket = tree_text(tree_member(count, "bucket"));
    const char *unit = tree_is_true(tree_member(count, "is_distinct")) ? "different" : "in all";
    const int64_t more =
        tree_integer(tree_member(count, "value_count")) - (int64_t)tree_count(values);
    text_format(&view->line, "%-11s%s%s", name, *bucket == '\0' ? "" : "  ", bucket);
    add_pairs(view, values);
    if (tree_is_number(tree_member(count, "number")))
        text_format(&view->line, "  %" PRId64 " %s", tree_integer(tree_member(count, "number")),
                    unit);
    if (more > 0) text_format(&view->line, "  and %" PRId64 " more", more);
    end_line(view);
}

static void say_counts(struct view *view) {
    const struct tree_value *top = tree_member(view->document, "top");
    const struct tree_value *anomalies = tree_member(view->document, "anomalies");
    const size_t count = tree_count(anomalies);
    const char *read_at = tree_text(tree_member(top, AGGREGATE_READ_AT));
    say(view, "%s%s", *read_at == '\0' ? "counts in Redis: not read yet" : "counts in Redis at ",
        read_at);
    tree_visit(top, say_values, view);
    tree_visit(tree_member(view->document, "counts"), say_declared, view);
    if (count == 0) say(view, "%-11s  none", "anomalies");
    for (size_t i = 0; i < count && i < ANOMALIES_SHOWN; i++) {
        const struct tree_value *anomaly = tree_at(anomalies, i);
        say(view, "%-11s  minute %s  count %" PRId64 "  threshold %" PRId64,
            i == 0 ? "anomalies" : "", tree_text(tree_member(anomaly, "minute")),
            tree_integer(tree_member(anomaly, "count")),
            tree_integer(tree_member(anomaly, "threshold")));
    }
}

static void say_recent(struct view *view) {
    const struct tree_value *recent = tree_member(view->document, "recent");
    const size_t count = tree_count(recent);
    for (size_t i = 0; i < count && i < WARNINGS_SHOWN; i++)
        say(view, "%-11s  %s", i == 0 ? "warnings" : "", tree_text(tree_at(recent, count - 1 - i)));
}

static void show(struct view *view) {
    const struct tree_value *partitions = tree_member(view->document, "partitions");
    const size_t count = tree_count(partitions);
    struct top_lag *lags = memory_create((count + 1) * sizeof *lags);
    for (size_t i = 0; i < count; i++)
        lags[i] = lag_of(tree_at(partitions, i));
    qsort(lags, count, sizeof *lags, compare_lags);
    const struct top_lag all = sum_of(lags, 0, count);
    say_head(view);
    say_state(view);
    end_line(view);
    say_totals(view);
    say(view, "%-9s%.0f to publish, %.0f to count, in %zu partitions; the oldest %.1f s and %.1f s",
        "lag", all.to_publish, all.to_count, count, all.publish_s, all.count_s);
    end_line(view);
    say_counts(view);
    say_recent(view);
    say_partitions(view, lags, count);
    free(lags);
}

bool top_show(struct screen *screen, const char *document) {
    struct tree_value *root = tree_read(document);
    struct view view = {.screen = screen, .document = root};
    const bool is_status = tree_member(root, "totals") != NULL && tree_member(root, "top") != NULL;
    if (is_status) show(&view);
    text_release(&view.line);
    tree_destroy(&root);
    return is_status;
}

/* --- turns ------------------------------------------------------------------------------------ */

struct top {
    struct top_place place;
    const char *fix; /* of an instance that does not answer */
    struct screen screen;
    struct text reply;
};

static void say_missing(struct top *top, const char *why) {
    struct text line = {0};
    char text[32];
    const time_t now = clock_wall_ms() / 1000;
    struct tm utc = {0};
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    text_format(&line, "rollcall top  %s  http://%s%s", text, top->place.listen_on,
                top->place.path);
    screen_line(&top->screen, &line);
    screen_line(&top->screen, &line);
    text_format(&line, "no figures of the instance: %s; %s", why, top->fix);
    screen_sentence(&top->screen, &line);
    text_release(&line);
}

static bool take_turn(struct top *top) {
    struct error error = {""};
    screen_begin(&top->screen);
    const char *document =
        http_client_get(top->place.listen_on, top->place.path, HTTP_WAIT_MS, &top->reply, &error);
    if (document == NULL) {
        say_missing(top, error.text);
    } else if (!top_show(&top->screen, document)) {
        error_set(&error, "%s is not an instance of rollcall", top->place.listen_on);
        say_missing(top, error.text);
    }
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

static bool find(const struct config *config, const struct top_options *options, struct top *top,
                 struct error *error) {
    const char *listen = config->expose.listen;
    if (*options->url != '\0') {
        top->fix = "start `rollcall run`, or correct --url";
        return top_find(options->url, &top->place, error);
    }
    top->fix = "start `rollcall run`, or set http.listen as the instance has it, or --url";
    snprintf(top->place.listen_on, sizeof top->place.listen_on, "%s", listen);
    snprintf(top->place.path, sizeof top->place.path, "/status.json");
    return *listen != '\0' ||
           error_set(error,
                     "http.listen is empty: top asks a running instance over HTTP, so set it "
                     "as that instance has it, or give --url");
}

static int run(const struct config *config, const struct options *options) {
    struct error error;
    const struct top_options *own = (const void *)options->own;
    struct top *top = memory_create(sizeof *top);
    const bool is_right = find(config, own, top, &error);
    if (is_right) {
        commands_catch_signals(true);
        signal(SIGPIPE, SIG_IGN); /* a closed standard output is reported */
        watch(top, own);
    } else {
        log_error(error.text);
    }
    screen_release(&top->screen);
    text_release(&top->reply);
    free(top);
    return is_right ? 0 : 2;
}

static bool keep_url(const struct option_row *row, const char *text, void *member,
                     struct error *error) {
    (void)error;
    *(const char **)member = text == row->fallback ? "" : text;
    return true;
}

static const struct option_row own_options[] = {
    OPTION_NUMBER(struct top_options, every_s, "every", "SECONDS", 1, 3600, "1",
                  "between two views"),
    OPTION_NUMBER(struct top_options, count, "count", "N", 0, 1000000000000, "0",
                  "views; 0: forever"),
    OPTION_OTHER(struct top_options, url, "url", "URL", 0, 0, keep_url, "http.listen",
                 "of the instance, for example http://localhost:9464"),
    OPTION_END};

const struct command command_top = {
    .name = "top",
    .summary = "watch an instance in the terminal: state, rates, lag, top values",
    .help =
        "Shows what the instance at --url or http.listen reports in /status.json: its state,\n"
        "totals and rates, the largest counts in Redis, the newest anomalies and warnings, and\n"
        "lag by partition, until SIGINT or SIGTERM. On a terminal each view takes the place of\n"
        "the one before. An unreachable instance is reported, and retried in the next view.\n",
    .options = own_options,
    .run = run,
};
