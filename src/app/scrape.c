#include "app/scrape.h"

#include <stdlib.h>
#include <string.h>

static const char *const counter_names[SCRAPE_COUNTER_COUNT] = {
    [SCRAPE_CONSUMED] = "rollcall_records_consumed_total",
    [SCRAPE_COUNTED] = "rollcall_records_counted_total",
    [SCRAPE_PUBLISHED] = "rollcall_records_published_total",
    [SCRAPE_REJECTED] = "rollcall_records_rejected_total",
    [SCRAPE_ANOMALIES] = "rollcall_anomalies_total",
};

static bool is_named(const char *line, const char *name) {
    const size_t length = strlen(name);
    return strncmp(line, name, length) == 0 && (line[length] == ' ' || line[length] == '{');
}

/* What follows the last space of a line, and below its first quote; 0 or -1 without one. */
static int64_t value_of(const char *line, size_t length) {
    const char *space = memrchr(line, ' ', length);
    return space == NULL ? 0 : strtoll(space, NULL, 10);
}

static int64_t label_of(const char *line, size_t length) {
    const char *quote = memchr(line, '"', length);
    return quote == NULL ? -1 : strtoll(quote + 1, NULL, 10);
}

/* Each partition has its own place until all are there, so a page may name them in any order. */
static struct scrape_lag *lag_of(struct scrape *scrape, int64_t partition) {
    static struct scrape_lag nowhere;
    if (partition < 0 || partition >= FENCE_PARTITIONS_MAX) return &nowhere;
    scrape->lags[partition].partition = (int)partition;
    return &scrape->lags[partition];
}

static void read_line(struct scrape *scrape, const char *line, size_t length) {
    const int64_t value = value_of(line, length);
    for (int i = 0; i < SCRAPE_COUNTER_COUNT; i++) {
        if (is_named(line, counter_names[i])) scrape->totals[i] += value;
    }
    if (is_named(line, "rollcall_assigned_partitions")) scrape->assigned_count = value;
    if (is_named(line, "rollcall_lag_records"))
        lag_of(scrape, label_of(line, length))->to_publish = value;
    if (is_named(line, "rollcall_counted_lag_records"))
        lag_of(scrape, label_of(line, length))->to_count = value;
}

static int compare(const void *a, const void *b) {
    const struct scrape_lag *left = a, *right = b;
    const int64_t l = left->to_publish > left->to_count ? left->to_publish : left->to_count;
    const int64_t r = right->to_publish > right->to_count ? right->to_publish : right->to_count;
    return l != r ? (l < r ? 1 : -1) : left->partition - right->partition;
}

static void sort_lags(struct scrape *scrape) {
    for (size_t i = 0; i < FENCE_PARTITIONS_MAX; i++) {
        if (scrape->lags[i].partition >= 0) scrape->lags[scrape->lag_count++] = scrape->lags[i];
    }
    qsort(scrape->lags, scrape->lag_count, sizeof *scrape->lags, compare);
}

bool scrape_read(struct scrape *scrape, const char *page) {
    *scrape = (struct scrape){.assigned_count = -1};
    for (size_t i = 0; i < FENCE_PARTITIONS_MAX; i++)
        scrape->lags[i].partition = -1;
    while (*page != '\0') {
        const size_t length = strcspn(page, "\n");
        read_line(scrape, page, length);
        page += length + (page[length] == '\n');
    }
    sort_lags(scrape);
    return scrape->assigned_count >= 0;
}
