/* A script may touch only keys that it was called with, so the days are asked for first; if others
 * have a hash by the time of the script, all is asked for again. Its first call brings everything
 * but what there is no room for: older days, which come in further calls. */
#include "edge/redis_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "redis_answer.h"
#include "redis_call.h"
#include "scripts.h" /* made from checkpoint.lua and snapshot.lua */

enum {
    FIRST_SECTION = 1, /* of an answer, behind what INFO has */
    ROUNDS_MAX = 8,    /* until no day comes between the list of days and the script */
    DAYS_A_CALL = 512, /* at most, of which the script takes what it has room for */
    AT_ONCE_MS = 100,  /* a connection that fails so soon had been closed before */
    HEAD_COUNT = 2,    /* of days: in front of the days themselves */
};

static const char script[] = "snapshot.lua";

struct snapshot {
    struct redis_link *link;
    const struct redis_snapshot_options *options;
    struct text *json;
    struct error *error;
    char (*days)[LOGIN_DAY_BYTES]; /* that have a hash, the newest first */
    size_t day_count;
    size_t begin, end; /* of those that are shown */
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

static int compare_days(const void *a, const void *b) {
    return -strcmp(a, b);
}

/* Takes the list of days that have a hash; a text that is no day is none of ours. */
static void take_days(struct snapshot *snapshot, const struct redis_reply *reply) {
    const struct days *shown = snapshot->options->days;
    const size_t count = redis_reply_count(reply);
    snapshot->days = memory_grow(snapshot->days, (count + 1) * sizeof *snapshot->days);
    snapshot->day_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct slice day = redis_reply_text(redis_reply_at(reply, i));
        if (day.length != LOGIN_DAY_BYTES - 1) continue;
        memcpy(snapshot->days[snapshot->day_count++], day.bytes, LOGIN_DAY_BYTES);
    }
    qsort(snapshot->days, snapshot->day_count, sizeof *snapshot->days, compare_days);
    snapshot->begin = 0;
    while (snapshot->begin < snapshot->day_count &&
           !days_have(shown, snapshot->days[snapshot->begin]))
        snapshot->begin++;
    snapshot->end = snapshot->begin;
    while (snapshot->end < snapshot->day_count && days_have(shown, snapshot->days[snapshot->end]))
        snapshot->end++;
}

static enum store_verdict list_days(struct snapshot *snapshot) {
    const struct aggregates *aggregates = snapshot->options->aggregates;
    enum store_verdict verdict = STORE_OK;
    for (unsigned i = 0; verdict == STORE_OK && i < aggregates->first_declared; i++) {
        if (aggregates->items[i].kind != AGGREGATE_DAYS) continue;
        struct redis_reply *reply =
            redis_link_call(snapshot->link, snapshot->error, "ZRANGE %s:%s 0 -1",
                            snapshot->options->prefix, aggregates->items[i].index_key);
        verdict = judge(snapshot, reply, "ZRANGE");
        if (verdict == STORE_OK && !redis_reply_is_texts(reply, 1))
            verdict = odd(snapshot, "ZRANGE");
        if (verdict == STORE_OK) take_days(snapshot, reply);
        redis_reply_destroy(&reply);
    }
    return verdict;
}

/* Runs the script for the days from snapshot->begin on; the first time, for all else too. *reply is
 * the caller's. */
static enum store_verdict ask(const struct snapshot *snapshot, bool is_first,
                              struct redis_reply **reply) {
    const struct aggregates *aggregates = snapshot->options->aggregates;
    struct redis_call call = {0};
    redis_call_clear(&call, snapshot->options->prefix);
    redis_command_put_int(&call.arguments,
                          is_first ? REDIS_SNAPSHOT_FIRST_MINUTES : REDIS_SNAPSHOT_MINUTES);
    redis_command_put_int(&call.arguments, (int64_t)snapshot->options->reply_bytes_max);
    redis_command_put_text(&call.arguments, is_first ? "" : "1");
    for (unsigned i = 0; i < aggregates->first_declared; i++) {
        const struct aggregate *aggregate = &aggregates->items[i];
        if (!is_first && aggregate->kind != AGGREGATE_DAYS) continue;
        redis_call_begin(&call, aggregate);
        for (size_t d = snapshot->begin; aggregate->kind == AGGREGATE_DAYS && d < snapshot->end &&
                                         d < snapshot->begin + DAYS_A_CALL;
             d++)
            redis_call_put_bucket(&call, snapshot->days[d]);
        redis_call_end(&call);
    }
    redis_call_finish(&call, true, snapshot_lua);
    if (redis_link_send(snapshot->link, &call.command, snapshot->error))
        *reply = redis_link_receive(snapshot->link, snapshot->error);
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

struct pair {
    struct slice name;
    double count;
};

/* Takes a pair out of packed counts; false if there is none, or it has not the form. */
static bool take_pair(struct slice *packed, struct pair *pair) {
    char *stop;
    const size_t length = strtoul(packed->bytes, &stop, 10);
    const size_t head = (size_t)(stop - packed->bytes) + 1;
    if (head == 1 || *stop != ' ' || length >= packed->length || head + length >= packed->length)
        return false;
    pair->name = (struct slice){packed->bytes + head, length};
    const char *count = packed->bytes + head + length;
    if (*count != ' ') return false;
    pair->count = strtod(count + 1, &stop);
    const char *end = packed->bytes + packed->length;
    if (stop == count + 1 || stop > end || (stop < end && *stop != ' ')) return false;
    packed->bytes = stop < end ? stop + 1 : end;
    packed->length = (size_t)(end - packed->bytes);
    return true;
}

/* Adds a member whose name is made of before (may be ""), a blank, and the pair's. */
static void add_pair(struct text *json, const char *before, const struct pair *pair,
                     const char **separator) {
    char room[64];
    text_add(json, *separator);
    *separator = ", ";
    if (*before == '\0' || pair->name.length + LOGIN_DAY_BYTES > sizeof room) {
        text_add_json(json, pair->name.bytes, pair->name.length);
    } else {
        struct text name = text_within(room, sizeof room);
        text_format(&name, "%s ", before);
        text_add_bytes(&name, pair->name.bytes, pair->name.length);
        text_add_json(json, name.bytes, name.length);
    }
    text_format(json, ": %.0f", pair->count);
}

static int compare_names(const void *a, const void *b) {
    const struct slice *left = &((const struct pair *)a)->name;
    const struct slice *right = &((const struct pair *)b)->name;
    const size_t shorter = left->length < right->length ? left->length : right->length;
    const int order = memcmp(left->bytes, right->bytes, shorter);
    return order != 0 ? order : (left->length > right->length) - (left->length < right->length);
}

/* Adds packed counts in order of their names; false if they have not the form. */
static bool add_sorted(struct text *json, const char *before, const struct redis_reply *reply,
                       const char **separator) {
    struct slice packed = redis_reply_text(reply);
    struct pair *pairs = memory_create((packed.length / 5 + 1) * sizeof *pairs); /* "1 a 1" */
    size_t count = 0;
    while (packed.length > 0 && take_pair(&packed, &pairs[count]))
        count++;
    qsort(pairs, count, sizeof *pairs, compare_names);
    for (size_t i = 0; i < count; i++)
        add_pair(json, before, &pairs[i], separator);
    free(pairs);
    return packed.length == 0;
}

static bool add_values(struct text *json, const struct redis_reply *reply) {
    struct slice packed = redis_reply_text(reply);
    const char *separator = "";
    struct pair pair;
    while (packed.length > 0 && take_pair(&packed, &pair))
        add_pair(json, "", &pair, &separator);
    return packed.length == 0;
}

/* Adds the days that a call has brought, and moves on behind them. */
static bool add_days(struct snapshot *snapshot, const struct redis_reply *reply,
                     const char **separator) {
    const size_t count = redis_reply_count(reply);
    if (count < HEAD_COUNT || !redis_reply_is_texts(reply, 1)) return false;
    if (count - HEAD_COUNT > snapshot->end - snapshot->begin) return false;
    if (count == HEAD_COUNT && snapshot->begin < snapshot->end) return false;
    for (size_t i = HEAD_COUNT; i < count; i++) {
        if (!add_sorted(snapshot->json, snapshot->days[snapshot->begin++], redis_reply_at(reply, i),
                        separator)) {
            return false;
        }
    }
    return true;
}

/* Adds the days of the first call, and asks for all further ones. */
static enum store_verdict stream_days(struct snapshot *snapshot, const struct redis_reply *first) {
    const struct days *shown = snapshot->options->days;
    const char *separator = "";
    if (!add_days(snapshot, first, &separator)) return odd(snapshot, script);
    enum store_verdict verdict = STORE_OK;
    while (verdict == STORE_OK && snapshot->begin < snapshot->end && !snapshot->json->is_broken) {
        struct redis_reply *reply = NULL;
        verdict = ask(snapshot, false, &reply);
        if (verdict == STORE_OK &&
            (redis_reply_count(reply) != FIRST_SECTION + 1 ||
             !add_days(snapshot, redis_reply_at(reply, FIRST_SECTION), &separator))) {
            verdict = odd(snapshot, script);
        }
        redis_reply_destroy(&reply);
    }
    if (verdict == STORE_OK && days_are_all(shown) &&
        !add_sorted(snapshot->json, "", redis_reply_at(first, 1), &separator)) {
        verdict = odd(snapshot, script);
    }
    return verdict;
}

static enum store_verdict stream(struct snapshot *snapshot, const struct redis_reply *reply) {
    const struct aggregates *aggregates = snapshot->options->aggregates;
    struct text *json = snapshot->json;
    enum store_verdict verdict = STORE_OK;
    if (redis_reply_count(reply) != FIRST_SECTION + aggregates->first_declared)
        return odd(snapshot, script);
    for (unsigned i = 0; verdict == STORE_OK && i < aggregates->first_declared; i++) {
        const struct aggregate *aggregate = &aggregates->items[i];
        const struct redis_reply *own = redis_reply_at(reply, FIRST_SECTION + i);
        const char *separator = "";
        text_add(json, i == 0 ? "{" : ",\n ");
        text_add_json(json, aggregate->title, strlen(aggregate->title));
        text_add(json, ": {");
        if (aggregate->kind == AGGREGATE_DAYS)
            verdict = stream_days(snapshot, own);
        else if (redis_reply_kind(own) != REDIS_TEXT ||
                 !(aggregate->kind == AGGREGATE_VALUES ? add_values(json, own)
                                                       : add_sorted(json, "", own, &separator)))
            verdict = odd(snapshot, script);
        text_add(json, "}");
    }
    text_add(json, "}");
    return verdict;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Whether the script saw the days that it was asked for. */
static bool is_current(const struct snapshot *snapshot, const struct redis_reply *reply) {
    const struct aggregates *aggregates = snapshot->options->aggregates;
    for (unsigned i = 0;
         FIRST_SECTION + i < redis_reply_count(reply) && i < aggregates->first_declared; i++) {
        const struct redis_reply *own = redis_reply_at(reply, FIRST_SECTION + i);
        if (aggregates->items[i].kind != AGGREGATE_DAYS || redis_reply_count(own) == 0) continue;
        const struct slice days = redis_reply_text(redis_reply_at(own, 0));
        size_t count = 0;
        for (const char *day = days.bytes; *day != '\0'; count++) {
            char name[LOGIN_DAY_BYTES] = "";
            const size_t length = strcspn(day, " ");
            if (length == sizeof name - 1) memcpy(name, day, length);
            if (length != sizeof name - 1) count--; /* none of ours */
            if (length == sizeof name - 1 && bsearch(name, snapshot->days, snapshot->day_count,
                                                     sizeof name, compare_days) == NULL) {
                return false;
            }
            day += length + (day[length] == ' ');
        }
        if (count != snapshot->day_count) return false;
    }
    return true;
}

static enum store_verdict begin(struct snapshot *snapshot, char replica[REDIS_SNAPSHOT_NAME_BYTES],
                                struct redis_reply **reply) {
    for (int i = 0; i < ROUNDS_MAX; i++) {
        redis_reply_destroy(reply);
        enum store_verdict verdict = list_days(snapshot);
        if (verdict == STORE_OK) verdict = ask(snapshot, true, reply);
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
    free(snapshot.days);
    return verdict;
}
