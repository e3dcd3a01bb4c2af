/* metric: what Prometheus reads: counters, gauges and histograms.
 *
 * Place:    every stage updates its own cells; the HTTP server renders them all.
 * Threads:  metrics_create and the metrics_add family before other threads see the registry. After
 *           that metric_cell, metric_cell_hidden and metrics_render from any thread (one lock, held
 *           while a page is rendered); metric_add, metric_set, metric_get and metric_observe_us
 *           from any thread and without a lock: relaxed atomics, each cell on its own cache lines.
 * Owns:     metrics and cells, until metrics_destroy: an address once given stays good until then.
 * Limits:   METRICS_MAX metrics, METRIC_SERIES_MAX labelled series each.
 *
 * A scrape is not a snapshot: cells move while they are read. Each alone is right, and a
 * histogram's count is the sum of its buckets.
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum { METRICS_MAX = 64, METRIC_SERIES_MAX = 4096 };

enum metric_kind {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM, /* of durations; buckets from 1 ms to 60 s, rendered in seconds */
    /* set in ms, rendered in seconds: */
    METRIC_TIME,      /* a counter or gauge of time; by its name, *_total is a counter */
    METRIC_AGE,       /* set to a time of clock_common_ms: how long ago that is; 0 if it is 0 */
    METRIC_TIME_LEFT, /* the same: how far it lies ahead; +Inf if it is 0 */
};

struct metrics;
struct metric;
struct metric_cell;

struct metrics *metrics_create(void);
void metrics_destroy(struct metrics **metrics);

/* A metric with one label, or with none if label_name is NULL. Keeps the strings. Requires a name
 * by Prometheus' rules (`promtool check metrics`) that is not there yet. One without label shows 0
 * from now on, one with a label shows nothing before its first metric_cell. Never NULL. */
struct metric *metrics_add(struct metrics *metrics, enum metric_kind kind, const char *name,
                           const char *help, const char *label_name);

/* One metric of a module, which declares all of its own in a table next to its code. */
struct metric_row {
    const char *name; /* NULL ends a table */
    enum metric_kind kind;
    const char *help;
    const char *label_name;                 /* NULL: none */
    const char *const *const *label_values; /* shown as 0 from the start: a NULL-terminated list */
    size_t offset; /* of the member: a struct metric_cell *, or with a label a struct metric * */
};

#define METRIC_ROW(type_, member, kind_, name_, help_)                                             \
    { .name = (name_), .kind = (kind_), .help = (help_), .offset = offsetof(type_, member) }
#define METRIC_LABELLED_ROW(type_, member, kind_, name_, help_, label_name_, label_values_)        \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .help = (help_), .label_name = (label_name_),            \
        .label_values = (label_values_), .offset = offsetof(type_, member)                         \
    }
#define METRIC_END                                                                                 \
    { .name = NULL }

/* Adds all metrics of a table, and sets the members of `module`, the struct that it is about. */
void metrics_add_table(struct metrics *metrics, const struct metric_row table[], void *module);

/* Adds `name="value"` to labels, escaped, behind a comma if it is not the first. */
void metric_add_label(struct text *labels, const char *name, const char *value);

/* A gauge that is always 1 and informs by its labels, made with metric_add_label. Keeps name and
 * help. */
void metrics_add_info(struct metrics *metrics, const char *name, const char *help,
                      const char *labels);

/* The cell of a label's value (borrowed; NULL if the metric has no label), shown from now on. A
 * series that was hidden comes back with the numbers it had. Never NULL. */
struct metric_cell *metric_cell(struct metric *metric, const char *label_value);

/* The same, not shown if it is new. Many are best asked for in the order of their labels. */
struct metric_cell *metric_cell_hidden(struct metric *metric, const char *label_value);

/* Shows the series, or stops showing it, as when a partition is given away. */
void metric_cell_show(struct metric_cell *cell, bool is_shown);

/* Counter or gauge: adds n, which is not negative for a counter. */
void metric_add(struct metric_cell *cell, int64_t n);

/* Gauge: sets it; also a counter that mirrors one kept elsewhere. */
void metric_set(struct metric_cell *cell, int64_t value);

int64_t metric_get(const struct metric_cell *cell);

/* Histogram: one duration in microseconds; below 0 is taken for 0. */
void metric_observe_us(struct metric_cell *cell, int64_t duration_us);

/* The same for `times` of one duration at once. */
void metric_observe_times(struct metric_cell *cell, int64_t duration_us, int64_t times);

/* Adds all metrics in the text format 0.0.4: in the order of metrics_add, series in the order of
 * their labels, numbers by value. Borrows page; its is_broken says whether memory sufficed. */
void metrics_render(struct metrics *metrics, struct text *page);

#endif
