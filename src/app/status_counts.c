/* Members that show counts: by one function for each. */
#include "core/aggregate.h"
#include "edge/redis_glance.h"
#include "status_parts.h"

static void add_values(const struct redis_glance *glance, const struct glance_values *values,
                       struct text *out) {
    for (unsigned i = 0; i < values->count; i++) {
        const struct slice text = glance_text(glance, &values->items[i]);
        text_add(out, i > 0 ? ", [" : "[");
        text_add_json(out, text.bytes, text.length);
        text_format(out, ", %lld]", (long long)values->items[i].count);
    }
}

static void add_dimensions(const struct setting_names *dimensions,
                           const struct redis_glance *glance, struct text *out) {
    for (unsigned d = 0; d < (unsigned)dimensions->count && d < LOGIN_DIMENSIONS_MAX; d++) {
        text_add(out, ",\n ");
        status_add_string(out, dimensions->items[d]);
        text_add(out, ": [");
        add_values(glance, &glance->dimensions[d], out);
        text_add(out, "]");
    }
}

/* A declared count: of one by dimensions its values, of another one a number. */
static void add_declared(const struct aggregate *aggregate, const struct redis_glance *glance,
                         const struct glance_count *count, struct text *out) {
    status_add_string(out, aggregate->title);
    text_add(out, ": {\"bucket\": ");
    if (count->bucket[0] == '\0')
        text_add(out, "null");
    else
        status_add_string(out, count->bucket);
    text_add(out, ", \"is_distinct\": ");
    status_add_bool(out, aggregate_is_distinct(aggregate));
    if (aggregate->declared.by_count > 0)
        text_format(out, ", \"number\": null, \"value_count\": %lld, \"values\": [",
                    (long long)count->value_count);
    else
        text_format(out, ", \"number\": %lld, \"value_count\": null, \"values\": [",
                    (long long)count->number);
    add_values(glance, &count->values, out);
    text_add(out, "]}");
}

static void add_minutes(int threshold, const struct redis_glance *glance, struct text *out) {
    for (unsigned i = 0; i < glance->minute_count; i++) {
        const struct glance_minute *minute = &glance->minutes[i];
        text_add(out, i > 0 ? ", [" : "[");
        status_add_string(out, minute->minute);
        text_format(out, ", %lld, ", (long long)minute->count);
        status_add_bool(out, minute->count > threshold);
        text_add(out, "]");
    }
}

static void add_anomalies(const struct redis_glance *glance, struct text *out) {
    for (unsigned i = 0; i < glance->anomaly_count; i++) {
        const struct glance_minute *anomaly = &glance->anomalies[i];
        text_add(out, i > 0 ? ", {\"minute\": " : "{\"minute\": ");
        status_add_string(out, anomaly->minute);
        text_format(out, ", \"count\": %lld, \"threshold\": %lld}", (long long)anomaly->count,
                    (long long)anomaly->threshold);
    }
}

void status_add_counts(const struct aggregates *aggregates, const struct redis_glance *glance,
                       struct text *out) {
    add_dimensions(&aggregates->settings->dimensions, glance, out);
    text_add(out, "},\n\"counts\": {");
    for (unsigned i = 0; i < glance->count_count; i++) {
        if (i > 0) text_add(out, ",\n ");
        add_declared(&aggregates->items[aggregates->first_declared + i], glance, &glance->counts[i],
                     out);
    }
    text_add(out, "},\n\"minutes\": [");
    add_minutes(aggregates->settings->threshold, glance, out);
    text_add(out, "],\n\"anomalies\": [");
    add_anomalies(glance, out);
    text_add(out, "]");
}
