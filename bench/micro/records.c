#include "records.h"

#include <stdlib.h>
#include <string.h>

#include "tools/event.h"
#include "micro.h"

const struct login_rules records_rules = {
    .dimensions = {{"device_type"}, {"locale"}},
    .dimension_count = 2,
    .max_future_s = 3600,
};

static size_t copy_replaced(char *at, const struct event *event, const char *from, const char *to) {
    const char *found = from == NULL || event->value == NULL
                            ? NULL
                            : memmem(event->value, event->value_bytes, from, strlen(from));
    if (event->value_bytes > 0) memcpy(at, event->value, event->value_bytes);
    if (found == NULL) return event->value_bytes;
    const size_t before = (size_t)(found - event->value);
    const size_t after = event->value_bytes - before - strlen(from);
    memcpy(at + before, to, strlen(to));
    memcpy(at + before + strlen(to), found + strlen(from), after);
    return before + strlen(to) + after;
}

struct records *records_create(double invalid_percent, const char *from, const char *to) {
    const struct event_plan plan = {
        .seed = 1,
        .users = 100000,
        .skew = 1.0,
        .invalid_percent = invalid_percent,
        .start_ms = INT64_C(1720622216000),
        .rate = 100000,
    };
    struct event_source *source = event_source_create(&plan);
    struct records *records = calloc(1, sizeof *records);
    if (source == NULL || records == NULL) micro_fail("out of memory");
    records->bytes = malloc((size_t)RECORDS_COUNT * 2 * EVENT_VALUE_BYTES);
    if (records->bytes == NULL) micro_fail("out of memory");
    char *at = records->bytes;
    for (int i = 0; i < RECORDS_COUNT; i++) {
        struct event event;
        event_next(source, &event);
        records->values[i] = (struct slice){at, copy_replaced(at, &event, from, to)};
        records->timestamp_ms[i] = event.timestamp_ms;
        at += records->values[i].length;
    }
    event_source_destroy(&source);
    return records;
}

void records_destroy(struct records *records) {
    free(records->bytes);
    free(records);
}
