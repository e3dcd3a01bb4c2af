#include "core/aggregate.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

enum { DIMENSION_BYTES_MAX = 64 };

/* Everything that is counted besides the dimensions. */
static const struct aggregate others[] = {
    {.source = AGGREGATE_MINUTE,
     .kind = AGGREGATE_DAYS,
     .key = "login_counts",
     .title = "Logins Over Time",
     .index_key = "login_days",
     .anomalies_key = "anomalies"},
    {.source = AGGREGATE_REASON,
     .kind = AGGREGATE_NAMES,
     .key = "rejected_counts",
     .title = "Rejected"},
};

enum { OTHER_COUNT = sizeof others / sizeof *others };

static_assert((int)OTHER_COUNT + LOGIN_DIMENSIONS_MAX + DECLARED_MAX == AGGREGATES_MAX,
              "each has a place");
static_assert((int)SETTING_NAMES_MAX == LOGIN_DIMENSIONS_MAX, "as many names as dimensions");

/* The name of a field, whose counts have a key of their own in Redis. Those of days end in a
 * day. */
static bool is_dimension(const char *text) {
    char key[AGGREGATE_TEXT_BYTES];
    snprintf(key, sizeof key, "%s_counts", text);
    for (unsigned i = 0; i < OTHER_COUNT; i++) {
        if (others[i].kind != AGGREGATE_DAYS && strcmp(others[i].key, key) == 0) return false;
    }
    return setting_is_name(text);
}

const struct setting aggregate_setting_table[] = {
    SETTING_NAMES(struct aggregate_settings, dimensions, "aggregate", "dimensions", 1,
                  DIMENSION_BYTES_MAX, "device_type,locale", is_dimension,
                  "a dimension has letters, digits, '.', '_' and '-', and is not called rejected "
                  "or " AGGREGATE_READ_AT,
                  0, "fields whose values are counted"),
    SETTING_NUMBER(struct aggregate_settings, max_values, "aggregate", "max_values", 1, 1000000,
                   "10000", 0, "values of a dimension; further ones count under " AGGREGATE_OTHER),
    SETTING_NUMBER(struct aggregate_settings, max_days, "aggregate", "max_days", 1, 100000, "4000",
                   0, "newest days that have minute counts; older ones are one sum"),
    SETTING_NUMBER(struct aggregate_settings, retention_days, "aggregate", "retention_days", 1,
                   36500, "400", SETTING_RELOADABLE,
                   "days that minute counts are kept after the last write to their day"),
    SETTING_NUMBER(struct aggregate_settings, threshold, "anomaly", "threshold", 1, 1000000000,
                   "10", SETTING_RELOADABLE, "a minute with more logins than this is an anomaly"),
    SETTING_END};

/* "Logins by Device Type" for device_type. */
static void make_title(char title[AGGREGATE_TEXT_BYTES], const char *dimension) {
    int length = snprintf(title, AGGREGATE_TEXT_BYTES, "Logins by ");
    bool begins_word = true;
    for (const char *c = dimension; *c != '\0' && length < AGGREGATE_TEXT_BYTES - 1; c++) {
        title[length++] = *c == '_' ? ' ' : begins_word ? (char)toupper((unsigned char)*c) : *c;
        begins_word = *c == '_';
    }
    title[length] = '\0';
}

/* Whether two titles read the same: blanks in a row count as one. */
static bool reads_same(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        const bool is_blank = *a == ' ';
        for (a++, b++; is_blank && *a == ' ';)
            a++;
        while (is_blank && *b == ' ')
            b++;
    }
    return *a == *b;
}

bool aggregates_check(const struct aggregate_settings *settings, struct error *error) {
    char titles[LOGIN_DIMENSIONS_MAX][AGGREGATE_TEXT_BYTES];
    const struct setting_names *names = &settings->dimensions;
    for (int i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], AGGREGATE_READ_AT) == 0) {
            return error_set(
                error, "names " AGGREGATE_READ_AT ", which in /status.json is when the "
                       "counts were read; give the dimension another name, and set from "
                       "= " AGGREGATE_READ_AT " in the section [dimension.NAME] of that name");
        }
        make_title(titles[i], names->items[i]);
        for (int j = 0; j < i; j++) {
            if (!reads_same(titles[i], titles[j])) continue;
            return error_set(error,
                             "names %s and %s, whose counts would both be called \"%s\" in a "
                             "snapshot; leave one of them out",
                             names->items[j], names->items[i], titles[i]);
        }
    }
    return true;
}

static void add_declared(struct aggregates *aggregates, const struct declared_settings *settings,
                         unsigned unique) {
    struct aggregate *aggregate = &aggregates->items[aggregates->count++];
    *aggregate = (struct aggregate){.source = AGGREGATE_DECLARED, .kind = AGGREGATE_BUCKETS};
    if (settings->by.count == 0)
        aggregate->kind = settings->every == DECLARED_DAY ? AGGREGATE_DATES : AGGREGATE_TIMES;
    declared_init(&aggregate->declared, settings, &aggregates->settings->dimensions);
    if (declared_is_distinct(settings)) {
        aggregate->kind = settings->by.count > 0 ? AGGREGATE_DISTINCT_BY : AGGREGATE_DISTINCT;
        aggregate->declared.unique = unique;
    }
    snprintf(aggregate->key, sizeof aggregate->key, AGGREGATE_COUNT_KEY "%s", settings->name);
    snprintf(aggregate->title, sizeof aggregate->title, "%s", settings->name);
    snprintf(aggregate->index_key, sizeof aggregate->index_key, "%s%s",
             aggregate->kind == AGGREGATE_DATES ? AGGREGATE_DATES_KEY : AGGREGATE_BUCKETS_KEY,
             settings->name);
}

void aggregates_init(struct aggregates *aggregates, const struct aggregate_settings *settings) {
    *aggregates = (struct aggregates){.settings = settings};
    assert(settings->dimensions.count <= LOGIN_DIMENSIONS_MAX);
    for (int d = 0; d < settings->dimensions.count; d++) {
        const char *name = settings->dimensions.items[d];
        struct aggregate *aggregate = &aggregates->items[aggregates->count++];
        assert(strlen(name) <= DIMENSION_BYTES_MAX);
        *aggregate = (struct aggregate){.source = AGGREGATE_DIMENSION, .kind = AGGREGATE_VALUES};
        snprintf(aggregate->key, sizeof aggregate->key, "%s_counts", name);
        make_title(aggregate->title, name);
    }
    memcpy(&aggregates->items[aggregates->count], others, sizeof others);
    aggregates->count += OTHER_COUNT;
    aggregates->first_declared = aggregates->count;
    unsigned unique = 0;
    for (int i = 0; i < settings->count_count; i++) {
        add_declared(aggregates, &settings->counts[i], unique);
        unique += declared_is_distinct(&settings->counts[i]);
    }
}

void aggregates_add_uniques(const struct aggregate_settings *settings, struct login_rules *rules) {
    static_assert((int)LOGIN_UNIQUES_MAX == (int)DECLARED_MAX, "each has a place");
    for (int i = 0; i < settings->count_count; i++) {
        if (declared_is_distinct(&settings->counts[i]))
            rules->uniques[rules->unique_count++] = settings->counts[i].unique;
    }
}

void aggregate_name(const struct aggregate *aggregate, int64_t number,
                    char name[AGGREGATE_TEXT_BYTES]) {
    switch (aggregate->source) {
    case AGGREGATE_MINUTE:
        login_minute_format(number, name);
        return;
    case AGGREGATE_REASON:
        snprintf(name, AGGREGATE_TEXT_BYTES, "%s", login_reason_name((enum login_reason)number));
        return;
    case AGGREGATE_DIMENSION:
    case AGGREGATE_DECLARED:
        break;
    }
    assert(!"a number");
}
