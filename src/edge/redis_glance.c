#include "edge/redis_glance.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "edge/redis_reply.h"

struct reading {
    struct redis_link *link;
    const char *prefix;
    struct redis_glance *glance;
    struct error *error;
};

struct redis_glance *redis_glance_create(const struct aggregates *aggregates) {
    size_t text_bytes = 0;
    for (unsigned i = 0; i < aggregates->count; i++) {
        const struct aggregate *aggregate = &aggregates->items[i];
        if (aggregate->source == AGGREGATE_DIMENSION) text_bytes += LOGIN_VALUE_BYTES_MAX;
        if (aggregate->declared.by_count > 0) text_bytes += DECLARED_KEY_BYTES;
    }
    text_bytes *= GLANCE_VALUES;
    struct redis_glance *glance = memory_create(sizeof *glance + text_bytes);
    glance->text_capacity = text_bytes;
    glance->count_count = aggregates->count - aggregates->first_declared;
    return glance;
}

void redis_glance_copy(struct redis_glance *into, const struct redis_glance *from) {
    assert(into->text_capacity == from->text_capacity);
    *into = *from;
    memcpy(into->texts, from->texts, from->text_bytes);
}

/* Takes an unexpected reply. */
static bool refuse(const struct reading *reading, struct redis_reply *reply, const char *what) {
    error_set(reading->error, "Redis at %s gave an odd answer to %s: %.200s",
              redis_link_name(reading->link), what,
              redis_reply_kind(reply) == REDIS_ERROR ? redis_reply_text(reply).bytes : "");
    redis_reply_destroy(&reply);
    return false;
}

/* The reply, if it is a list of texts, of which as many belong together; of anything, if that is 0.
 * Else NULL with an error. The caller destroys it. */
static struct redis_reply *check(const struct reading *reading, struct redis_reply *reply,
                                 size_t multiple, const char *what) {
    if (reply == NULL) return NULL;
    if (multiple == 0 ? redis_reply_kind(reply) == REDIS_LIST
                      : redis_reply_is_texts(reply, multiple))
        return reply;
    refuse(reading, reply, what);
    return NULL;
}

/* Takes a reply that is a number. */
static bool take_number(const struct reading *reading, struct redis_reply *reply, const char *what,
                        int64_t *number) {
    if (reply == NULL) return false;
    if (redis_reply_kind(reply) != REDIS_INTEGER) return refuse(reading, reply, what);
    *number = redis_reply_integer(reply);
    redis_reply_destroy(&reply);
    return true;
}

static void keep_text(struct redis_glance *glance, struct slice text, struct glance_value *value) {
    assert(text.length <= glance->text_capacity - glance->text_bytes);
    value->text_at = (uint32_t)glance->text_bytes;
    value->text_length = (uint32_t)text.length;
    memcpy(glance->texts + glance->text_bytes, text.bytes, text.length);
    glance->text_bytes += text.length;
}

/* Reads the largest values of a sorted set; no text of ours is longer than text_max. */
static bool read_values(const struct reading *reading, const char *key, size_t text_max,
                        struct glance_values *values) {
    struct redis_reply *reply =
        redis_link_call(reading->link, reading->error, "ZREVRANGE %s:%s 0 %d WITHSCORES",
                        reading->prefix, key, GLANCE_VALUES - 1);
    reply = check(reading, reply, 2, "ZREVRANGE");
    if (reply == NULL) return false;
    for (size_t i = 0; i < redis_reply_count(reply) && values->count < GLANCE_VALUES; i += 2) {
        struct slice text = redis_reply_text(redis_reply_at(reply, i));
        if (text.length > text_max) text.length = text_max;
        struct glance_value *value = &values->items[values->count++];
        keep_text(reading->glance, text, value);
        const double count = strtod(redis_reply_text(redis_reply_at(reply, i + 1)).bytes, NULL);
        value->count = fabs(count) < 0x1p63 ? (int64_t)count : 0; /* larger: not rollcall's */
    }
    redis_reply_destroy(&reply);
    return true;
}

/* --- minutes ---------------------------------------------------------------------------------- */

static int newest_minute_first(const void *a, const void *b) {
    const struct glance_minute *left = a, *right = b;
    return strcmp(right->minute, left->minute);
}

static int newest_day_first(const void *a, const void *b) {
    return strcmp(*(const char *const *)b, *(const char *const *)a);
}

/* Adds the newest minutes of a day, as far as there is room. */
static void add_minutes(struct redis_glance *glance, const char *day,
                        const struct redis_reply *fields) {
    const size_t count = redis_reply_count(fields) / 2;
    struct glance_minute *minutes = memory_create((count + 1) * sizeof *minutes);
    for (size_t i = 0; i < count; i++) {
        snprintf(minutes[i].minute, sizeof minutes[i].minute, "%.10s %.5s", day,
                 redis_reply_text(redis_reply_at(fields, 2 * i)).bytes);
        minutes[i].count =
            strtoll(redis_reply_text(redis_reply_at(fields, 2 * i + 1)).bytes, NULL, 10);
    }
    qsort(minutes, count, sizeof *minutes, newest_minute_first);
    for (size_t i = 0; i < count && glance->minute_count < GLANCE_MINUTES; i++)
        glance->minutes[glance->minute_count++] = minutes[i];
    free(minutes);
}

static bool read_day(const struct reading *reading, const char *key, const char *day,
                     struct redis_glance *glance) {
    struct redis_reply *reply = redis_link_call(reading->link, reading->error, "HGETALL %s:%s:%s",
                                                reading->prefix, key, day);
    reply = check(reading, reply, 2, "HGETALL");
    if (reply == NULL) return false;
    add_minutes(glance, day, reply);
    redis_reply_destroy(&reply);
    return true;
}

static bool read_minutes(const struct reading *reading, const struct aggregate *aggregate,
                         struct redis_glance *glance) {
    struct redis_reply *reply = redis_link_call(reading->link, reading->error, "ZRANGE %s:%s 0 -1",
                                                reading->prefix, aggregate->index_key);
    reply = check(reading, reply, 1, "ZRANGE");
    if (reply == NULL) return false;
    const size_t count = redis_reply_count(reply);
    const char **days = memory_create((count + 1) * sizeof *days);
    bool is_good = true;
    for (size_t i = 0; i < count; i++)
        days[i] = redis_reply_text(redis_reply_at(reply, i)).bytes;
    qsort(days, count, sizeof *days, newest_day_first);
    for (size_t i = 0; is_good && i < count && glance->minute_count < GLANCE_MINUTES; i++)
        is_good = read_day(reading, aggregate->key, days[i], glance);
    free(days);
    redis_reply_destroy(&reply);
    return is_good;
}

/* --- anomalies -------------------------------------------------------------------------------- */

static void add_anomaly(struct redis_glance *glance, const struct redis_reply *fields) {
    struct glance_minute *anomaly = &glance->anomalies[glance->anomaly_count++];
    for (size_t i = 0; i < redis_reply_count(fields); i += 2) {
        const char *name = redis_reply_text(redis_reply_at(fields, i)).bytes;
        const char *value = redis_reply_text(redis_reply_at(fields, i + 1)).bytes;
        if (strcmp(name, "minute") == 0)
            snprintf(anomaly->minute, sizeof anomaly->minute, "%.16s", value);
        if (strcmp(name, "count") == 0) anomaly->count = strtoll(value, NULL, 10);
        if (strcmp(name, "threshold") == 0) anomaly->threshold = strtoll(value, NULL, 10);
    }
}

static bool read_anomalies(const struct reading *reading, const char *key,
                           struct redis_glance *glance) {
    struct redis_reply *reply =
        redis_link_call(reading->link, reading->error, "XREVRANGE %s:%s + - COUNT %d",
                        reading->prefix, key, GLANCE_ANOMALIES);
    reply = check(reading, reply, 0, "XREVRANGE");
    if (reply == NULL) return false;
    for (size_t i = 0; i < redis_reply_count(reply) && i < GLANCE_ANOMALIES; i++) {
        const struct redis_reply *entry = redis_reply_at(reply, i); /* its id, and its fields */
        if (redis_reply_count(entry) == 2 && redis_reply_is_texts(redis_reply_at(entry, 1), 2))
            add_anomaly(glance, redis_reply_at(entry, 1));
    }
    redis_reply_destroy(&reply);
    return true;
}

/* --- declared counts -------------------------------------------------------------------------- */

enum { KEY_BYTES = AGGREGATE_TEXT_BYTES + DECLARED_BUCKET_BYTES };

/* The newest day or bucket, as its key has it; as it was, "", if there is none, and for a total. */
static bool read_newest(const struct reading *reading, const struct aggregate *aggregate,
                        char newest[DECLARED_BUCKET_BYTES]) {
    int64_t bucket;
    if (aggregate->declared.every == DECLARED_TOTAL) return true;
    struct redis_reply *reply =
        redis_link_call(reading->link, reading->error, "ZREVRANGE %s:%s 0 %d", reading->prefix,
                        aggregate->index_key, GLANCE_BUCKETS - 1);
    reply = check(reading, reply, 1, "ZREVRANGE");
    if (reply == NULL) return false;
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        const struct slice name = redis_reply_text(redis_reply_at(reply, i));
        if (declared_bucket_parse(aggregate_index_every(aggregate), name, &bucket) &&
            strcmp(name.bytes, newest) > 0)
            snprintf(newest, DECLARED_BUCKET_BYTES, "%s", name.bytes);
    }
    redis_reply_destroy(&reply);
    return true;
}

/* The values of one bucket of a count by dimensions. */
static bool read_bucket(const struct reading *reading, const char *key,
                        struct glance_count *count) {
    struct redis_reply *reply =
        redis_link_call(reading->link, reading->error, "ZCARD %s:%s", reading->prefix, key);
    return take_number(reading, reply, "ZCARD", &count->value_count) &&
           read_values(reading, key, DECLARED_KEY_BYTES, &count->values);
}

/* Of one key twice Redis caches nothing, so that it writes nothing. */
static bool read_distinct(const struct reading *reading, const char *key, int64_t *number) {
    struct redis_reply *reply =
        redis_link_call(reading->link, reading->error, "PFCOUNT %s:%s %s:%s", reading->prefix, key,
                        reading->prefix, key);
    return take_number(reading, reply, "PFCOUNT", number);
}

/* The newest hour or minute of a day. */
static bool read_times(const struct reading *reading, const char *key, struct glance_count *count) {
    char day[DECLARED_BUCKET_BYTES], newest[DECLARED_BUCKET_BYTES] = "";
    struct redis_reply *reply =
        redis_link_call(reading->link, reading->error, "HGETALL %s:%s", reading->prefix, key);
    reply = check(reading, reply, 2, "HGETALL");
    if (reply == NULL) return false;
    for (size_t i = 0; i < redis_reply_count(reply); i += 2) {
        const char *time = redis_reply_text(redis_reply_at(reply, i)).bytes;
        if (strlen(time) >= sizeof "14:36" || strcmp(time, newest) <= 0) continue;
        snprintf(newest, sizeof newest, "%s", time);
        count->number = strtoll(redis_reply_text(redis_reply_at(reply, i + 1)).bytes, NULL, 10);
    }
    redis_reply_destroy(&reply);
    memcpy(day, count->bucket, sizeof day);
    if (newest[0] != '\0') snprintf(count->bucket, sizeof count->bucket, "%.10sT%.5s", day, newest);
    return true;
}

static bool read_date(const struct reading *reading, const struct aggregate *aggregate,
                      struct glance_count *count) {
    struct redis_reply *reply = redis_link_call(reading->link, reading->error, "HGET %s:%s %s",
                                                reading->prefix, aggregate->key, count->bucket);
    if (reply == NULL) return false;
    if (redis_reply_kind(reply) != REDIS_TEXT && redis_reply_kind(reply) != REDIS_NIL)
        return refuse(reading, reply, "HGET");
    count->number = strtoll(redis_reply_text(reply).bytes, NULL, 10);
    redis_reply_destroy(&reply);
    return true;
}

static bool read_count(const struct reading *reading, const struct aggregate *aggregate,
                       struct glance_count *count) {
    char key[KEY_BYTES];
    const bool is_distinct_by = aggregate->kind == AGGREGATE_DISTINCT_BY;
    if (!read_newest(reading, aggregate, count->bucket)) return false;
    if (count->bucket[0] == '\0' && aggregate->declared.every != DECLARED_TOTAL) return true;
    snprintf(key, sizeof key, "%s%s%s%s", is_distinct_by ? AGGREGATE_VALUES_KEY : "",
             is_distinct_by ? aggregate->title : aggregate->key,
             count->bucket[0] == '\0' ? "" : ":", count->bucket);
    switch (aggregate->kind) {
    case AGGREGATE_BUCKETS:
    case AGGREGATE_DISTINCT_BY:
        return read_bucket(reading, key, count);
    case AGGREGATE_DISTINCT:
        return read_distinct(reading, key, &count->number);
    case AGGREGATE_TIMES:
        return read_times(reading, key, count);
    case AGGREGATE_DATES:
        return read_date(reading, aggregate, count);
    case AGGREGATE_VALUES:
    case AGGREGATE_DAYS:
    case AGGREGATE_NAMES:
        break; /* not declared */
    }
    return true;
}

/* --- the whole -------------------------------------------------------------------------------- */

static bool read_built_in(const struct reading *reading, const struct aggregate *aggregate,
                          struct redis_glance *glance) {
    switch (aggregate->kind) {
    case AGGREGATE_VALUES:
        return read_values(reading, aggregate->key, LOGIN_VALUE_BYTES_MAX,
                           &glance->dimensions[glance->dimension_count++]);
    case AGGREGATE_DAYS:
        return read_minutes(reading, aggregate, glance) &&
               read_anomalies(reading, aggregate->anomalies_key, glance);
    default:
        return true;
    }
}

static void clear(struct redis_glance *glance) {
    const struct redis_glance kept = *glance;
    *glance =
        (struct redis_glance){.count_count = kept.count_count, .text_capacity = kept.text_capacity};
}

bool redis_glance_read(struct redis_link *link, const char *prefix,
                       const struct aggregates *aggregates, struct redis_glance *glance,
                       struct error *error) {
    const struct reading reading = {link, prefix, glance, error};
    clear(glance);
    for (unsigned i = 0; i < aggregates->count; i++) {
        const struct aggregate *aggregate = &aggregates->items[i];
        if (!redis_link_open(link, error)) return false;
        if (!(i < aggregates->first_declared
                  ? read_built_in(&reading, aggregate, glance)
                  : read_count(&reading, aggregate,
                               &glance->counts[i - aggregates->first_declared])))
            return false;
    }
    return true;
}
