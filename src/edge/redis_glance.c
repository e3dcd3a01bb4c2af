#include "edge/redis_glance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "edge/redis_reply.h"

struct reading {
    struct redis_link *link;
    const char *prefix;
    struct error *error;
};

/* The reply, if it is a list of texts, of which as many belong together; of anything, if that is 0.
 * Else NULL with an error. The caller destroys it. */
static struct redis_reply *check(const struct reading *reading, struct redis_reply *reply,
                                 size_t multiple, const char *what) {
    if (reply == NULL) return NULL;
    if (multiple == 0 ? redis_reply_kind(reply) == REDIS_LIST
                      : redis_reply_is_texts(reply, multiple))
        return reply;
    error_set(reading->error, "Redis at %s gave an odd answer to %s: %.200s",
              redis_link_name(reading->link), what,
              redis_reply_kind(reply) == REDIS_ERROR ? redis_reply_text(reply).bytes : "");
    redis_reply_destroy(&reply);
    return NULL;
}

static bool read_values(const struct reading *reading, const char *key,
                        struct glance_values *values) {
    struct redis_reply *reply =
        redis_link_call(reading->link, reading->error, "ZREVRANGE %s:%s 0 %d WITHSCORES",
                        reading->prefix, key, GLANCE_VALUES - 1);
    reply = check(reading, reply, 2, "ZREVRANGE");
    if (reply == NULL) return false;
    for (size_t i = 0; i + 1 < redis_reply_count(reply) && values->count < GLANCE_VALUES; i += 2) {
        const struct slice text = redis_reply_text(redis_reply_at(reply, i));
        struct glance_value *value = &values->items[values->count++];
        value->length = text.length < GLANCE_VALUE_BYTES ? text.length : GLANCE_VALUE_BYTES;
        memcpy(value->text, text.bytes, value->length);
        value->count = (int64_t)strtod(redis_reply_text(redis_reply_at(reply, i + 1)).bytes, NULL);
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
    *anomaly = (struct glance_minute){.count = 0};
    for (size_t i = 0; i + 1 < redis_reply_count(fields); i += 2) {
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

bool redis_glance_read(struct redis_link *link, const char *prefix,
                       const struct aggregates *aggregates, struct redis_glance *glance,
                       struct error *error) {
    const struct reading reading = {link, prefix, error};
    *glance = (struct redis_glance){.dimension_count = 0};
    for (unsigned i = 0; i < aggregates->count; i++) {
        const struct aggregate *aggregate = &aggregates->items[i];
        if (!redis_link_open(link, error)) return false;
        if (aggregate->kind == AGGREGATE_VALUES &&
            !read_values(&reading, aggregate->key, &glance->dimensions[glance->dimension_count++]))
            return false;
        if (aggregate->kind == AGGREGATE_DAYS &&
            (!read_minutes(&reading, aggregate, glance) ||
             !read_anomalies(&reading, aggregate->anomalies_key, glance)))
            return false;
    }
    return true;
}
