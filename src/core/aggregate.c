#include "core/aggregate.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { DIMENSION_BYTES_MAX = 64 };

/* Everything that is counted besides the dimensions. */
static const struct aggregate others[] = {
    {.source = AGGREGATE_MINUTE,
     .kind = AGGREGATE_DAYS,
     .key = "login_counts",
     .title = "Logins Over Time",
     .days_key = "login_days",
     .anomalies_key = "anomalies"},
    {.source = AGGREGATE_REASON,
     .kind = AGGREGATE_NAMES,
     .key = "rejected_counts",
     .title = "Rejected"},
};

enum { OTHER_COUNT = sizeof others / sizeof *others };

static_assert((int)OTHER_COUNT + LOGIN_DIMENSIONS_MAX == AGGREGATES_MAX, "each has a place");
static_assert((int)SETTING_NAMES_MAX == LOGIN_DIMENSIONS_MAX, "as many names as dimensions");

/* Redis holds the counts of rejected records under that name. */
static bool is_dimension(const char *text) {
    return setting_is_name(text) && strcmp(text, "rejected") != 0;
}

const struct setting aggregate_setting_table[] = {
    SETTING_NAMES(struct aggregate_settings, dimensions, "aggregate", "dimensions", 1,
                  DIMENSION_BYTES_MAX, "device_type,locale", is_dimension,
                  "a dimension has letters, digits, '.', '_' and '-', and is not called rejected",
                  0, "fields of a login whose values are counted, up to 8"),
    SETTING_NUMBER(struct aggregate_settings, max_values, "aggregate", "max_values", 1, 1000000,
                   "10000", 0,
                   "values of a dimension with a count each; further ones are one sum"),
    SETTING_NUMBER(struct aggregate_settings, max_days, "aggregate", "max_days", 1, 100000, "4000",
                   0, "newest days with a count for each minute; older days are one sum"),
    SETTING_NUMBER(struct aggregate_settings, retention_days, "aggregate", "retention_days", 1,
                   36500, "400", SETTING_RELOADABLE,
                   "days that minute counts are kept after the last write to their day"),
    SETTING_NUMBER(struct aggregate_settings, threshold, "anomaly", "threshold", 1, 1000000000,
                   "10", SETTING_RELOADABLE,
                   "logins in a minute above which the minute is an anomaly"),
    SETTING_END};

/* "Logins by Device Type" for device_type. */
static void make_title(char title[AGGREGATE_TEXT_BYTES], const char *dimension) {
    int length = snprintf(title, AGGREGATE_TEXT_BYTES, "Logins by ");
    bool begins_word = true;
    for (const char *c = dimension; *c != '\0' && length < AGGREGATE_TEXT_BYTES - 1; c++) {
        title[length++] = *c == '_'     ? ' '
                          : begins_word ? (char)toupper((unsigned char)*c)
                                        : *c;
        begins_word = *c == '_';
    }
    title[length] = '\0';
}

void aggregates_init(struct aggregates *aggregates, const struct aggregate_settings *settings) {
    *aggregates = (struct aggregates){.settings = settings};
    assert(settings->dimensions.count <= LOGIN_DIMENSIONS_MAX);
    for (int d = 0; d < settings->dimensions.count; d++) {
        const char *name = settings->dimensions.items[d];
        struct aggregate *aggregate = &aggregates->items[aggregates->count++];
        assert(strlen(name) <= DIMENSION_BYTES_MAX);
        *aggregate = (struct aggregate){.source = AGGREGATE_DIMENSION,
                                        .kind = AGGREGATE_VALUES,
                                        .dimension = (unsigned)d};
        snprintf(aggregate->key, sizeof aggregate->key, "%s_counts", name);
        make_title(aggregate->title, name);
    }
    memcpy(&aggregates->items[aggregates->count], others, sizeof others);
    aggregates->count += OTHER_COUNT;
}

bool aggregate_check_settings(const struct aggregate_settings *settings, struct error *error) {
    struct aggregates aggregates;
    aggregates_init(&aggregates, settings);
    for (unsigned i = 0; i < aggregates.count; i++) {
        const struct aggregate *aggregate = &aggregates.items[i];
        if (aggregate->kind == AGGREGATE_DAYS) continue; /* its keys end in a day */
        for (int d = 0; d < settings->dimensions.count && (unsigned)d < i; d++) {
            if (strcmp(aggregate->key, aggregates.items[d].key) != 0) continue;
            const char *name = settings->dimensions.items[d];
            return aggregate->source == AGGREGATE_DIMENSION
                       ? error_set(error, "dimension \"%s\" is there twice", name)
                       : error_set(error,
                                   "a dimension cannot be called %s: Redis holds the counts of "
                                   "\"%s\" under that name",
                                   name, aggregate->title);
        }
    }
    return true;
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
        break;
    }
    assert(!"a number");
}
