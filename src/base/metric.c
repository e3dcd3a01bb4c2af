/* What is hot and what is not: a cell's numbers, and whether it is shown, are written without a
 * lock by the threads that hold its address; the lists of series change under the registry's lock.
 * Cells are never freed before the registry, so an address can not go stale.
 *
 * All orders are relaxed: a number implies nothing about other memory, and no code acts on two of
 * them together. */
#include "base/metric.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

static const int64_t bounds_us[] = {
    1000,   2500,    5000,    10000,   25000,    50000,    100000,   250000,
    500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, INT64_MAX,
};
enum { BUCKET_COUNT = sizeof bounds_us / sizeof *bounds_us };

struct metric_cell {
    /* shared: written by any thread that counts, read by the scrape; relaxed */
    alignas(CACHE_LINE_BYTES) _Atomic(int64_t) value; /* histogram: sum in microseconds */
    _Atomic(int64_t) counts[BUCKET_COUNT];            /* histogram: of each bucket alone */
    atomic_bool is_shown;
    /* guarded by the registry's lock, but rarely touched */
    struct metric_cell *next; /* in the order of the labels */
    char *label_value;        /* "" without label */
    char *labels;             /* as they are rendered: `reason="empty"` */
};
static_assert(sizeof(struct metric_cell) % CACHE_LINE_BYTES == 0, "cells do not share lines");

struct metric {
    struct metric_cell *cells;  /* guarded by lock */
    struct metric_cell *newest; /* guarded by lock; inserted last: labels often come in order */
    size_t cell_count;          /* guarded by lock */
    /* fixed after metrics_add */
    enum metric_kind kind;
    const char *name;
    const char *help;
    const char *label_name; /* NULL: none */
    pthread_mutex_t *lock;  /* the registry's */
};

struct metrics {
    pthread_mutex_t lock;
    size_t count;
    struct metric metrics[METRICS_MAX];
};

struct metrics *metrics_create(void) {
    struct metrics *metrics = memory_create(sizeof *metrics);
    pthread_mutex_init(&metrics->lock, NULL);
    return metrics;
}

void metrics_destroy(struct metrics **metrics) {
    if (*metrics == NULL) return;
    for (size_t i = 0; i < (*metrics)->count; i++) {
        struct metric_cell *next;
        for (struct metric_cell *cell = (*metrics)->metrics[i].cells; cell != NULL; cell = next) {
            next = cell->next;
            free(cell->label_value);
            free(cell->labels);
            free(cell);
        }
    }
    pthread_mutex_destroy(&(*metrics)->lock);
    free(*metrics);
    *metrics = NULL;
}

/* --- metrics and their cells --- */

/* Adds a string as an escaped help text, or, with '"' as another one to escape, as a label. */
static void add_escaped(struct text *out, const char *string, char quote) {
    for (; *string != '\0'; string++) {
        if (*string == '\n')
            text_add(out, "\\n");
        else
            text_format(out, *string == '\\' || *string == quote ? "\\%c" : "%c", *string);
    }
}

void metric_add_label(struct text *labels, const char *name, const char *value) {
    text_format(labels, "%s%s=\"", labels->length > 0 ? "," : "", name);
    add_escaped(labels, value, '"');
    text_add(labels, "\"");
}

/* The link that leads to label_value, or to where it belongs. Numbers in the label are ordered by
 * value: 2 before 10. */
static struct metric_cell **find_link(struct metric *metric, const char *label_value) {
    struct metric_cell **link = &metric->cells, *newest = metric->newest;
    if (newest != NULL && strverscmp(newest->label_value, label_value) < 0) link = &newest->next;
    while (*link != NULL && strverscmp((*link)->label_value, label_value) < 0)
        link = &(*link)->next;
    return link;
}

static bool is_at(const struct metric_cell *cell, const char *label_value) {
    return cell != NULL && strcmp(cell->label_value, label_value) == 0;
}

static struct metric_cell *insert_cell(struct metric *metric, struct metric_cell **link,
                                       const char *label_value) {
    assert(metric->cell_count < METRIC_SERIES_MAX);
    struct metric_cell *cell = memory_create(sizeof *cell);
    struct text labels = {0};
    if (metric->label_name != NULL) metric_add_label(&labels, metric->label_name, label_value);
    cell->label_value = memory_text(label_value);
    cell->labels = memory_text(text_string(&labels));
    cell->next = *link;
    *link = metric->newest = cell;
    metric->cell_count++;
    text_release(&labels);
    return cell;
}

struct metric_cell *metric_cell_hidden(struct metric *metric, const char *label_value) {
    assert((label_value == NULL) == (metric->label_name == NULL));
    if (label_value == NULL) label_value = "";
    pthread_mutex_lock(metric->lock);
    struct metric_cell **link = find_link(metric, label_value);
    struct metric_cell *cell =
        is_at(*link, label_value) ? *link : insert_cell(metric, link, label_value);
    pthread_mutex_unlock(metric->lock);
    return cell;
}

struct metric_cell *metric_cell(struct metric *metric, const char *label_value) {
    struct metric_cell *cell = metric_cell_hidden(metric, label_value);
    metric_cell_show(cell, true);
    return cell;
}

void metric_cell_show(struct metric_cell *cell, bool is_shown) {
    atomic_store_explicit(&cell->is_shown, is_shown, memory_order_relaxed);
}

struct metric *metrics_add(struct metrics *metrics, enum metric_kind kind, const char *name,
                           const char *help, const char *label_name) {
    assert(metrics->count < METRICS_MAX);
    struct metric *metric = &metrics->metrics[metrics->count++];
    *metric = (struct metric){
        .kind = kind, .name = name, .help = help, .label_name = label_name, .lock = &metrics->lock};
    if (label_name == NULL) metric_cell(metric, NULL);
    return metric;
}

void metrics_add_table(struct metrics *metrics, const struct metric_row table[], void *module) {
    for (const struct metric_row *row = table; row->name != NULL; row++) {
        struct metric *metric =
            metrics_add(metrics, row->kind, row->name, row->help, row->label_name);
        const char *const *value = row->label_values != NULL ? *row->label_values : NULL;
        for (; value != NULL && *value != NULL; value++)
            metric_cell(metric, *value);
        void *member = (char *)module + row->offset;
        if (row->label_name == NULL)
            *(struct metric_cell **)member = metric_cell(metric, NULL);
        else
            *(struct metric **)member = metric;
    }
}

void metrics_add_info(struct metrics *metrics, const char *name, const char *help,
                      const char *labels) {
    struct metric *metric = metrics_add(metrics, METRIC_GAUGE, name, help, NULL);
    free(metric->cells->labels);
    metric->cells->labels = memory_text(labels);
    metric_set(metric->cells, 1);
}

/* --- numbers --- */

void metric_add(struct metric_cell *cell, int64_t n) {
    atomic_fetch_add_explicit(&cell->value, n, memory_order_relaxed);
}

void metric_set(struct metric_cell *cell, int64_t value) {
    atomic_store_explicit(&cell->value, value, memory_order_relaxed);
}

int64_t metric_get(const struct metric_cell *cell) {
    return atomic_load_explicit(&cell->value, memory_order_relaxed);
}

void metric_observe_us(struct metric_cell *cell, int64_t duration_us) {
    metric_observe_times(cell, duration_us, 1);
}

void metric_observe_times(struct metric_cell *cell, int64_t duration_us, int64_t times) {
    if (duration_us < 0) duration_us = 0;
    size_t i = 0;
    while (duration_us > bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&cell->counts[i], times, memory_order_relaxed);
    metric_add(cell, duration_us * times);
}

/* --- rendering --- */

/* name_suffix{label="value",le="..."}, and the blank before the number. */
static void add_series(struct text *page, const struct metric *metric,
                       const struct metric_cell *cell, const char *suffix, const char *le) {
    const char *labels = cell->labels;
    text_format(page, "%s%s", metric->name, suffix);
    if (le != NULL)
        text_format(page, "{%s%sle=\"%s\"}", labels, labels[0] != '\0' ? "," : "", le);
    else if (labels[0] != '\0')
        text_format(page, "{%s}", labels);
    text_add(page, " ");
}

static void add_seconds(struct text *page, int64_t ms) {
    const int64_t size_ms = ms < 0 ? -ms : ms;
    text_format(page, "%s%" PRId64 ".%03d\n", ms < 0 ? "-" : "", size_ms / 1000,
                (int)(size_ms % 1000));
}

static void add_number(struct text *page, enum metric_kind kind, int64_t value, int64_t now_ms) {
    const bool is_time = kind == METRIC_AGE || kind == METRIC_TIME_LEFT;
    if (kind == METRIC_TIME)
        add_seconds(page, value);
    else if (is_time && value == 0)
        text_add(page, kind == METRIC_AGE ? "0\n" : "+Inf\n");
    else if (kind == METRIC_AGE)
        add_seconds(page, now_ms > value ? now_ms - value : 0);
    else if (kind == METRIC_TIME_LEFT)
        add_seconds(page, value - now_ms);
    else
        text_format(page, "%" PRId64 "\n", value);
}

static void add_cell(struct text *page, const struct metric *metric, const struct metric_cell *cell,
                     int64_t now_ms) {
    if (metric->kind != METRIC_HISTOGRAM) {
        add_series(page, metric, cell, "", NULL);
        add_number(page, metric->kind, metric_get(cell), now_ms);
        return;
    }
    int64_t count = 0;
    char le[16];
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        count += atomic_load_explicit(&cell->counts[i], memory_order_relaxed);
        if (i < BUCKET_COUNT - 1) snprintf(le, sizeof le, "%g", (double)bounds_us[i] / 1e6);
        add_series(page, metric, cell, "_bucket", i < BUCKET_COUNT - 1 ? le : "+Inf");
        text_format(page, "%" PRId64 "\n", count);
    }
    const int64_t sum_us = metric_get(cell);
    add_series(page, metric, cell, "_sum", NULL);
    text_format(page, "%" PRId64 ".%06" PRId64 "\n", sum_us / 1000000, sum_us % 1000000);
    add_series(page, metric, cell, "_count", NULL);
    text_format(page, "%" PRId64 "\n", count);
}

static const char *kind_name(const struct metric *metric) {
    const size_t length = strlen(metric->name), total = strlen("_total");
    const bool is_total = length > total && strcmp(metric->name + length - total, "_total") == 0;
    switch (metric->kind) {
    case METRIC_HISTOGRAM:
        return "histogram";
    case METRIC_COUNTER:
        return "counter";
    case METRIC_TIME:
        return is_total ? "counter" : "gauge";
    default:
        return "gauge";
    }
}

void metrics_render(struct metrics *metrics, struct text *page) {
    const int64_t now_ms = clock_common_ms();
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < metrics->count; i++) {
        const struct metric *metric = &metrics->metrics[i];
        text_format(page, "# HELP %s ", metric->name);
        add_escaped(page, metric->help, '\\');
        text_format(page, "\n# TYPE %s %s\n", metric->name, kind_name(metric));
        for (const struct metric_cell *cell = metric->cells; cell != NULL; cell = cell->next) {
            if (atomic_load_explicit(&cell->is_shown, memory_order_relaxed))
                add_cell(page, metric, cell, now_ms);
        }
    }
    pthread_mutex_unlock(&metrics->lock);
}
