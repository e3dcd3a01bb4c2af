/* A script may touch only keys that it was called with, so days and buckets are asked for first; if
 * there are others by the time of the script, all is asked for again. Its first call brings
 * everything but what there is no room for: older days and buckets, which come in further calls. */
#include "edge/redis_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "redis_answer.h"
#include "redis_call.h"
#include "redis_packed.h"
#include "scripts.h" /* made from checkpoint.lua and snapshot.lua */

enum {
    FIRST_SECTION = 1,    /* of an answer, behind what INFO has */
    ROUNDS_MAX = 8,       /* until none comes between the list of days and buckets and the script */
    BUCKETS_A_CALL = 512, /* of each section at most; the script takes what it has room for */
    AT_ONCE_MS = 100,     /* a connection that fails so soon had been closed before */
    HEAD_COUNT = 2,       /* of days and buckets: in front of these themselves */
};

static const char script[] = "snapshot.lua";

/* The days or buckets of one row of the table. */
struct buckets {
    char (*names)[DECLARED_BUCKET_BYTES]; /* that have a key, the newest first */
    size_t count;
    size_t begin, end; /* of those that are shown and were not yet */
};

struct snapshot {
    struct redis_link *link;
    const struct redis_snapshot_options *options;
    struct text *json;
    struct error *error;
    struct buckets buckets[AGGREGATES_MAX]; /* by row */
};

/* --- asking ----------------------------------------------------------------------------------- */

static enum store_verdict odd(const struct snapshot *snapshot, const char *command) {
    return redis_answer_odd(snapshot->link, command, snapshot->error);
}

/* Judges a reply; STORE_OK if it is a list. */
static enum store_verdict judge(const struct snapshot *snapshot, const struct redis_reply *reply,
                                const char *command) {
    const enum store_verdict verdict =
        redis_answer_judge(snapshot->link, snapshot->options->prefix, reply, snapshot->error);
    if (verdict != STORE_OK || redis_reply_kind(reply) == REDIS_LIST) return verdict;
    return odd(snapshot, command);
}

static int newest_first(const void *a, const void *b) {
    return -strcmp(a, b);
}

static bool is_total(const struct aggregate *aggregate) {
    return aggregate->source == AGGREGATE_DECLARED && aggregate->declared.every == DECLARED_TOTAL;
}

/* Copies the name of a day or bucket that a row may have; false if it is none of ours. */
static bool take_name(const struct aggregate *aggregate, const char *bytes, size_t length,
                      char name[DECLARED_BUCKET_BYTES]) {
    const enum declared_every every = aggregate_index_every(aggregate);
    int64_t bucket;
    if (!declared_bucket_parse(every, (struct slice){bytes, length}, &bucket)) return false;
    memcpy(name, bytes, length);
    name[length] = '\0';
    return true;
}

static bool is_shown(const struct snapshot *snapshot, const char *name) {
    char day[LOGIN_DAY_BYTES];
    snprintf(day, sizeof day, "%.*s", (int)sizeof day - 1, name);
    return days_have(snapshot->options->days, day);
}

/* Takes the list of a row's days or buckets; a text that is none is none of ours. */
static void take_names(struct snapshot *snapshot, unsigned field, const struct redis_reply *reply) {
    const struct aggregate *aggregate = &snapshot->options->aggregates->items[field];
    struct buckets *buckets = &snapshot->buckets[field];
    const size_t count = redis_reply_count(reply);
    buckets->names = memory_grow(buckets->names, (count + 1) * sizeof *buckets->names);
    buckets->count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct slice name = redis_reply_text(redis_reply_at(reply, i));
        buckets->count +=
            take_name(aggregate, name.bytes, name.length, buckets->names[buckets->count]);
    }
    qsort(buckets->names, buckets->count, sizeof *buckets->names, newest_first);
    buckets->begin = 0;
    while (buckets->begin < buckets->count && !is_shown(snapshot, buckets->names[buckets->begin]))
        buckets->begin++;
    buckets->end = buckets->begin;
    while (buckets->end < buckets->count && is_shown(snapshot, buckets->names[buckets->end]))
        buckets->end++;
}

/* A total is one bucket without a name, which is in no list. */
static void take_total(struct buckets *buckets) {
    buckets->names = memory_grow(buckets->names, sizeof *buckets->names);
    buckets->names[0][0] = '\0';
    buckets->count = buckets->end = 1;
    buckets->begin = 0;
}

static enum store_verdict list_buckets(struct snapshot *snapshot) {
    const struct aggregates *aggregates = snapshot->options->aggregates;
    enum store_verdict verdict = STORE_OK;
    for (unsigned i = 0; verdict == STORE_OK && i < aggregates->count; i++) {
        const struct aggregate *aggregate = &aggregates->items[i];
        if (is_total(aggregate)) take_total(&snapshot->buckets[i]);
        if (is_total(aggregate) || !aggregate_has_buckets(aggregate)) continue;
        struct redis_reply *reply =
            redis_link_call(snapshot->link, snapshot->error, "ZRANGE %s:%s 0 -1",
                            snapshot->options->prefix, aggregate->index_key);
        verdict = judge(snapshot, reply, "ZRANGE");
        if (verdict == STORE_OK && !redis_reply_is_texts(reply, 1))
            verdict = odd(snapshot, "ZRANGE");
        if (verdict == STORE_OK) take_names(snapshot, i, reply);
        redis_reply_destroy(&reply);
    }
    return verdict;
}

/* Runs the script for the days and buckets that were not shown yet, of one row; or, the first time,
 * for everything. *reply is the caller's. */
static enum store_verdict ask(const struct snapshot *snapshot, bool is_first, unsigned field,
                              struct redis_reply **reply) {
    const struct aggregates *aggregates = snapshot->options->aggregates;
    struct redis_call call = {0};
    redis_call_clear(&call, snapshot->options->prefix);
    redis_command_put_int(&call.arguments,
                          is_first ? REDIS_SNAPSHOT_FIRST_MINUTES : REDIS_SNAPSHOT_MINUTES);
    redis_command_put_int(&call.arguments, (int64_t)snapshot->options->reply_bytes_max);
    redis_command_put_text(&call.arguments, is_first ? "" : "1");
    for (unsigned i = 0; i < aggregates->count; i++) {
        const struct buckets *buckets = &snapshot->buckets[i];
        if (!is_first && i != field) continue;
        redis_call_begin(&call, &aggregates->items[i]);
        for (size_t b = buckets->begin; b < buckets->end && b < buckets->begin + BUCKETS_A_CALL;
             b++)
            redis_call_put_bucket(&call, buckets->names[b]);
        redis_call_end(&call);
    }
    redis_call_finish(&call, true, snapshot_lua);
    *reply = redis_link_exchange(snapshot->link, &call.command, snapshot->error);
    redis_call_release(&call);
    const enum store_verdict verdict = judge(snapshot, *reply, script);
    if (verdict != STORE_OK) return verdict;
    if (redis_reply_count(*reply) == 0) return odd(snapshot, script);
    if (strcmp(redis_reply_text(redis_reply_at(*reply, 0)).bytes, "large") != 0) return STORE_OK;
    error_set(
        snapshot->error,
        "the counts are more than %zu MB at once, without the days; raise instance.memory_mb, "
        "or read single keys with redis-cli",
        snapshot->options->reply_bytes_max >> 20);
    return STORE_REFUSED;
}

/* --- showing ---------------------------------------------------------------------------------- */

/* Adds one day or bucket: its times as members of their own, or its values as one member, which a
 * total's are without it. */
static bool add_bucket(struct text *json, const struct aggregate *aggregate, const char *name,
                       const struct redis_reply *reply, const char **separator) {
    const bool is_day = aggregate->kind == AGGREGATE_DAYS;
    const struct redis_packed_style style = {name, is_day ? " " : "T", NULL};
    if (is_day || aggregate->kind == AGGREGATE_TIMES)
        return redis_packed_add_sorted(json, &style, reply, separator);
    const bool is_distinct = aggregate->kind == AGGREGATE_DISTINCT;
    if (*name == '\0' && !is_distinct) return redis_packed_add_values(json, reply);
    if (*name == '\0') return redis_packed_add_number(json, reply);
    if (redis_reply_text(reply).length == 0) return true; /* it has expired */
    text_add(json, *separator);
    *separator = ",\n   ";
    text_add_json(json, name, strlen(name));
    if (is_distinct) {
        text_add(json, ": ");
        return redis_packed_add_number(json, reply);
    }
    text_add(json, ": {");
    const bool is_right = redis_packed_add_values(json, reply);
    text_add(json, "}");
    return is_right;
}

/* Adds the days or buckets that a call has brought, and moves on behind them. */
static bool add_buckets(struct snapshot *snapshot, unsigned field, const struct redis_reply *reply,
                        const char **separator) {
    const struct aggregate *aggregate = &snapshot->options->aggregates->items[field];
    struct buckets *buckets = &snapshot->buckets[field];
    const size_t count = redis_reply_count(reply);
    if (count < HEAD_COUNT || !redis_reply_is_texts(reply, 1)) return false;
    if (count - HEAD_COUNT > buckets->end - buckets->begin) return false;
    if (count == HEAD_COUNT && buckets->begin < buckets->end) return false;
    for (size_t i = HEAD_COUNT; i < count; i++) {
        if (!add_bucket(snapshot->json, aggregate, buckets->names[buckets->begin++],
                        redis_reply_at(reply, i), separator)) {
            return false;
        }
    }
    return true;
}

/* Adds what is beyond a bound, where there is something. */
static bool add_others(struct text *json, const struct aggregate *aggregate,
                       const struct redis_reply *reply, const char **separator) {
    if (redis_reply_text(reply).length == 0) return true;
    if (!aggregate_is_by_bucket(aggregate))
        return redis_packed_add_sorted(json, &redis_packed_plain, reply, separator);
    return add_bucket(json, aggregate, AGGREGATE_OTHER, reply, separator);
}

/* Adds the days or buckets of the first call, and asks for all further ones. */
static enum store_verdict stream_buckets(struct snapshot *snapshot, unsigned field,
                                         const struct redis_reply *first) {
    const struct aggregate *aggregate = &snapshot->options->aggregates->items[field];
    const struct buckets *buckets = &snapshot->buckets[field];
    const char *separator = "";
    if (!add_buckets(snapshot, field, first, &separator)) return odd(snapshot, script);
    enum store_verdict verdict = STORE_OK;
    while (verdict == STORE_OK && buckets->begin < buckets->end && !snapshot->json->is_broken) {
        struct redis_reply *reply = NULL;
        verdict = ask(snapshot, false, field, &reply);
        if (verdict == STORE_OK &&
            (redis_reply_count(reply) != FIRST_SECTION + 1 ||
             !add_buckets(snapshot, field, redis_reply_at(reply, FIRST_SECTION), &separator))) {
            verdict = odd(snapshot, script);
        }
        redis_reply_destroy(&reply);
    }
    if (verdict == STORE_OK && !is_total(aggregate) && days_are_all(snapshot->options->days) &&
        !add_others(snapshot->json, aggregate, redis_reply_at(first, 1), &separator)) {
        verdict = odd(snapshot, script);
    }
    return verdict;
}

/* Adds the counts of one row. */
static enum store_verdict stream_row(struct snapshot *snapshot, unsigned field,
                                     const struct redis_reply *reply) {
    const struct aggregate *aggregate = &snapshot->options->aggregates->items[field];
    const struct days *days = snapshot->options->days;
    struct text *json = snapshot->json;
    const char *separator = "";
    enum store_verdict verdict = STORE_OK;
    const bool is_number = aggregate->kind == AGGREGATE_DISTINCT && is_total(aggregate);
    text_add_json(json, aggregate->title, strlen(aggregate->title));
    text_add(json, is_number ? ": " : ": {");
    if (aggregate_has_buckets(aggregate)) {
        verdict = stream_buckets(snapshot, field, reply);
    } else {
        const bool is_dates = aggregate->kind == AGGREGATE_DATES;
        const struct redis_packed_style style = {"", "",
                                                 is_dates && !days_are_all(days) ? days : NULL};
        if (redis_reply_kind(reply) != REDIS_TEXT ||
            !(aggregate->kind == AGGREGATE_VALUES
                  ? redis_packed_add_values(json, reply)
                  : redis_packed_add_sorted(json, &style, reply, &separator)))
            verdict = odd(snapshot, script);
    }
    if (!is_number) text_add(json, "}");
    return verdict;
}

static enum store_verdict stream(struct snapshot *snapshot, const struct redis_reply *reply) {
    const struct aggregates *aggregates = snapshot->options->aggregates;
    struct text *json = snapshot->json;
    enum store_verdict verdict = STORE_OK;
    if (redis_reply_count(reply) != FIRST_SECTION + aggregates->count) return odd(snapshot, script);
    for (unsigned i = 0; verdict == STORE_OK && i < aggregates->count; i++) {
        text_add(json, i == 0 ? "{" : ",\n ");
        if (i == aggregates->first_declared) text_add(json, "\"Counts\": {");
        verdict = stream_row(snapshot, i, redis_reply_at(reply, FIRST_SECTION + i));
    }
    text_add(json, aggregates->count > aggregates->first_declared ? "}}" : "}");
    return verdict;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Whether the script saw the days and buckets that it was asked for, by what it says that there
 * are. */
static bool is_list_current(const struct aggregate *aggregate, const struct buckets *buckets,
                            const char *names) {
    size_t count = 0;
    while (*names != '\0') {
        char name[DECLARED_BUCKET_BYTES];
        const size_t length = strcspn(names, " ");
        const bool is_ours = take_name(aggregate, names, length, name);
        count += is_ours;
        if (is_ours && (buckets->names == NULL || bsearch(name, buckets->names, buckets->count,
                                                          sizeof name, newest_first) == NULL)) {
            return false;
        }
        names += length + (names[length] == ' ');
    }
    return count == buckets->count;
}

static bool is_current(const struct snapshot *snapshot, const struct redis_reply *reply) {
    const struct aggregates *aggregates = snapshot->options->aggregates;
    for (unsigned i = 0; FIRST_SECTION + i < redis_reply_count(reply) && i < aggregates->count;
         i++) {
        const struct aggregate *aggregate = &aggregates->items[i];
        const struct redis_reply *own = redis_reply_at(reply, FIRST_SECTION + i);
        if (is_total(aggregate) || !aggregate_has_buckets(aggregate)) continue;
        if (redis_reply_count(own) == 0) continue;
        if (!is_list_current(aggregate, &snapshot->buckets[i],
                             redis_reply_text(redis_reply_at(own, 0)).bytes)) {
            return false;
        }
    }
    return true;
}

static enum store_verdict begin(struct snapshot *snapshot, char replica[REDIS_SNAPSHOT_NAME_BYTES],
                                struct redis_reply **reply) {
    for (int i = 0; i < ROUNDS_MAX; i++) {
        redis_reply_destroy(reply);
        enum store_verdict verdict = list_buckets(snapshot);
        if (verdict == STORE_OK) verdict = ask(snapshot, true, 0, reply);
        if (verdict != STORE_OK) return verdict;
        const char *info = redis_reply_text(redis_reply_at(*reply, 0)).bytes;
        const bool is_replica = strstr(info, "role:slave") != NULL;
        snprintf(replica, REDIS_SNAPSHOT_NAME_BYTES, "%s",
                 is_replica ? redis_link_name(snapshot->link) : "");
        if (is_current(snapshot, *reply)) return verdict;
    }
    error_set(snapshot->error, "new days come too often for a snapshot of Redis at %s",
              redis_link_name(snapshot->link));
    return STORE_RETRY;
}

enum store_verdict redis_snapshot_read(struct redis_link *link,
                                       const struct redis_snapshot_options *options,
                                       char replica[REDIS_SNAPSHOT_NAME_BYTES], struct text *json,
                                       struct error *error) {
    struct snapshot snapshot = {.link = link, .options = options, .json = json, .error = error};
    const struct text before = *json;
    struct redis_reply *reply = NULL;
    enum store_verdict verdict = STORE_RETRY;
    for (int i = 0; verdict == STORE_RETRY && i < 2; i++) {
        const int64_t began_ms = clock_ms();
        redis_reply_destroy(&reply);
        if (!redis_link_open(link, error)) break;
        verdict = begin(&snapshot, replica, &reply);
        if (clock_ms() - began_ms > AT_ONCE_MS) break;
    }
    if (verdict == STORE_OK) verdict = stream(&snapshot, reply);
    if (verdict == STORE_OK && json->is_broken) {
        error_set(error, "out of memory for the counts");
        verdict = STORE_RETRY;
    }
    if (verdict != STORE_OK && json->passed_bytes == before.passed_bytes) {
        json->length = before.length;
        if (json->bytes != NULL) json->bytes[json->length] = '\0';
    }
    redis_reply_destroy(&reply);
    for (unsigned i = 0; i < options->aggregates->count; i++)
        free(snapshot.buckets[i].names);
    return verdict;
}
