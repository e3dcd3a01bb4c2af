#include "core/declared.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "core/instant.h"
#include "core/path.h"

enum { MINUTES_AN_HOUR = 60, MINUTES_A_DAY = 24 * 60 };

const char *const declared_every_names[] = {"none", "day", "hour", "minute", NULL};

static bool is_path_or_none(const char *text) {
    return *text == '\0' || path_is_field(text);
}

const struct setting declared_setting_table[] = {
    SETTING_ROW(struct declared_settings, by, "count", "by", "", 0,
                "dimensions whose values, or combinations of values, are counted",
                .type = SETTING_TYPE_NAMES, .max = DECLARED_NAME_BYTES_MAX,
                .names_max = DECLARED_BY_MAX, .rule = "of aggregate.dimensions"),
    SETTING_CHOICE(struct declared_settings, every, "count", "every", declared_every_names, "none",
                   0, "the buckets, in UTC, that are counted for themselves; none: one total"),
    SETTING_NUMBER(struct declared_settings, retention_days, "count", "retention_days", 1, 36500,
                   "400", 0, "days that a bucket is kept after the last write to it"),
    SETTING_NUMBER(struct declared_settings, max_values, "count", "max_values", 1, 1000000, "10000",
                   0, "values of a bucket; further ones count under __other__"),
    SETTING_TEXT(struct declared_settings, unique, "count", "unique", 0, PATH_BYTES_MAX, "",
                 is_path_or_none, PATH_FIELD_RULE, 0,
                 "counts the different values of this field, not events"),
    SETTING_END};

/* --- what may be declared --------------------------------------------------------------------- */

static int place_of(const struct setting_names *names, const char *name) {
    int place = 0;
    while (place < names->count && strcmp(names->items[place], name) != 0)
        place++;
    return place;
}

static bool check_by(const struct declared_settings *settings,
                     const struct setting_names *dimensions, struct error *error) {
    const struct setting_names *by = &settings->by;
    for (int i = 0; i < by->count; i++) {
        if (place_of(dimensions, by->items[i]) < dimensions->count) continue;
        struct nearest nearest = nearest_to(by->items[i]);
        for (int d = 0; d < dimensions->count; d++)
            nearest_offer(&nearest, dimensions->items[d]);
        const char *hint = nearest_hint(&nearest, "", "");
        return error_set(error, "count.%s.by: %s is not in aggregate.dimensions%s", settings->name,
                         by->items[i], *hint == '\0' ? "; add it there" : hint);
    }
    return true;
}

bool declared_check(const struct declared_settings *settings,
                    const struct setting_names *dimensions, struct error *error) {
    const char *name = settings->name;
    if (!setting_is_name(name) || strlen(name) > DECLARED_NAME_BYTES_MAX) {
        return error_set(error,
                         "count.%.80s: the name of a count has at most %d letters, digits, '.', "
                         "'_' and '-'",
                         name, DECLARED_NAME_BYTES_MAX);
    }
    if (settings->by.count == 0 && settings->every == DECLARED_TOTAL &&
        !declared_is_distinct(settings)) {
        return error_set(error, "count.%s has nothing to count: set by, every or unique", name);
    }
    return check_by(settings, dimensions, error);
}

/* --- keys ------------------------------------------------------------------------------------- */

void declared_init(struct declared *declared, const struct declared_settings *settings,
                   const struct setting_names *dimensions) {
    *declared = (struct declared){
        .settings = settings, .every = settings->every, .by_count = (unsigned)settings->by.count};
    assert(declared->by_count <= DECLARED_BY_MAX);
    for (unsigned i = 0; i < declared->by_count; i++) {
        declared->by[i] = (unsigned)place_of(dimensions, settings->by.items[i]);
        assert(declared->by[i] < (unsigned)dimensions->count);
    }
}

int64_t declared_bucket(enum declared_every every, int64_t minute) {
    switch (every) {
    case DECLARED_TOTAL:
        return 0;
    case DECLARED_DAY:
        return minute - minute % MINUTES_A_DAY;
    case DECLARED_HOUR:
        return minute - minute % MINUTES_AN_HOUR;
    case DECLARED_MINUTE:
        break;
    }
    return minute;
}

static char *put_escaped(char *at, struct slice value) {
    for (size_t i = 0; i < value.length; i++) {
        if (value.bytes[i] == '|' || value.bytes[i] == '\\') *at++ = '\\';
        *at++ = value.bytes[i];
    }
    return at;
}

size_t declared_key(const struct declared *declared, const struct login *login,
                    char key[DECLARED_KEY_BYTES]) {
    const int64_t bucket = declared_bucket(declared->every, login->minute);
    memcpy(key, &bucket, sizeof bucket);
    char *at = key + sizeof bucket;
    if (declared->by_count == 1) {
        const struct slice value = login->values[declared->by[0]];
        memcpy(at, value.bytes, value.length);
        at += value.length;
    }
    for (unsigned i = 0; declared->by_count > 1 && i < declared->by_count; i++) {
        if (i > 0) *at++ = '|';
        at = put_escaped(at, login->values[declared->by[i]]);
    }
    return (size_t)(at - key);
}

int64_t declared_key_bucket(const char *key) {
    int64_t bucket;
    memcpy(&bucket, key, sizeof bucket);
    return bucket;
}

/* --- names of buckets ------------------------------------------------------------------------- */

void declared_bucket_name(enum declared_every every, int64_t bucket,
                          char name[DECLARED_BUCKET_BYTES]) {
    static const size_t lengths[] = {0, DECLARED_TIME_AT - 1, DECLARED_TIME_AT + 2,
                                     DECLARED_TIME_AT + 5};
    login_day_format(bucket, name);
    name[DECLARED_TIME_AT - 1] = 'T';
    login_minute_format(bucket, name + DECLARED_TIME_AT);
    name[lengths[every]] = '\0';
}

int64_t declared_buckets_max(const struct declared_settings *settings, int max_days) {
    if (settings->by.count == 0 && !declared_is_distinct(settings))
        return max_days; /* a hash for each, or a field */
    const int64_t minutes = (int64_t)max_days * MINUTES_A_DAY;
    return settings->every == DECLARED_HOUR     ? minutes / MINUTES_AN_HOUR
           : settings->every == DECLARED_MINUTE ? minutes
                                                : max_days;
}

bool declared_bucket_parse(enum declared_every every, struct slice name, int64_t *bucket) {
    char back[DECLARED_BUCKET_BYTES];
    int64_t day = 0;
    long hour = 0, minute = 0;
    char *end = back;
    if (name.length >= sizeof back) return false;
    memcpy(back, name.bytes, name.length);
    back[name.length] = '\0';
    if (every != DECLARED_TOTAL &&
        (name.length < DECLARED_TIME_AT - 1 ||
         instant_read_day((struct slice){back, DECLARED_TIME_AT - 1}, &day) != INSTANT_OK))
        return false;
    if (every >= DECLARED_HOUR && name.length > DECLARED_TIME_AT)
        hour = strtol(back + DECLARED_TIME_AT, &end, 10);
    if (every >= DECLARED_HOUR && *end == ':') minute = strtol(end + 1, NULL, 10);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return false;
    *bucket = day * MINUTES_A_DAY + hour * MINUTES_AN_HOUR + minute;
    declared_bucket_name(every, *bucket, back);
    return strlen(back) == name.length && memcmp(back, name.bytes, name.length) == 0;
}
