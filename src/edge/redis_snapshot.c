/* One EVAL of snapshot.lua, so that all counts are of one moment; then only formatting. A script
 * may touch only keys that it was called with, so the days are asked for before. */
#include "edge/redis_snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "edge/redis_fault.h"
#include "redis_call.h"
#include "scripts.h" /* made from checkpoint.lua and snapshot.lua */

enum { ROUNDS_MAX = 8 }; /* until no day comes between the list of days and the script */

struct snapshot {
    struct redis_link *link;
    const char *prefix;
    const struct aggregates *aggregates;
    struct error *error;
};

/* Judges a reply; STORE_OK if it is no error and has its form. */
static enum store_verdict judge(const struct snapshot *snapshot, const struct redis_reply *reply,
                                bool is_right, const char *command) {
    if (reply == NULL) return STORE_RETRY;
    if (redis_reply_kind(reply) == REDIS_ERROR) {
        const enum redis_fault fault =
            redis_fault_judge(redis_reply_text(reply).bytes, redis_link_name(snapshot->link),
                              snapshot->prefix, snapshot->error);
        const bool may_pass = fault == REDIS_FAULT_PASSING || fault == REDIS_FAULT_REPLICA;
        return may_pass ? STORE_RETRY : STORE_REFUSED;
    }
    if (is_right) return STORE_OK;
    error_set(snapshot->error, "Redis at %s gave an odd answer to %s",
              redis_link_name(snapshot->link), command);
    redis_link_close(snapshot->link);
    return STORE_RETRY;
}

/* Puts the keys of the days that have a hash now, and their names. */
static enum store_verdict put_days(const struct snapshot *snapshot, struct redis_call *call) {
    struct redis_reply *days = redis_link_call(snapshot->link, snapshot->error, "ZRANGE %s:%s 0 -1",
                                               snapshot->prefix, call->aggregate->days_key);
    const enum store_verdict verdict =
        judge(snapshot, days, days != NULL && redis_reply_is_texts(days, 1), "ZRANGE");
    for (size_t i = 0; verdict == STORE_OK && i < redis_reply_count(days); i++)
        redis_call_put_day(call, redis_reply_text(redis_reply_at(days, i)).bytes);
    redis_reply_destroy(&days);
    return verdict;
}

/* Runs the script. *counts is the caller's, if there was a reply. */
static enum store_verdict ask(const struct snapshot *snapshot, struct redis_reply **counts) {
    enum store_verdict verdict = STORE_OK;
    struct redis_call call = {0};
    redis_call_clear(&call, snapshot->prefix);
    for (unsigned i = 0; verdict == STORE_OK && i < snapshot->aggregates->count; i++) {
        redis_call_begin(&call, &snapshot->aggregates->items[i]);
        if (call.aggregate->kind == AGGREGATE_DAYS) verdict = put_days(snapshot, &call);
        redis_call_end(&call);
    }
    redis_call_finish(&call, true, snapshot_lua);
    if (verdict == STORE_OK && redis_link_send(snapshot->link, &call.command, snapshot->error)) {
        *counts = redis_link_receive(snapshot->link, snapshot->error);
    }
    redis_call_release(&call);
    return verdict != STORE_OK ? verdict : judge(snapshot, *counts, true, "snapshot.lua");
}

static bool is_again(const struct redis_reply *counts) {
    return counts == NULL || strcmp(redis_reply_text(counts).bytes, "again") == 0;
}

struct pair {
    struct slice name, count;
};

static int compare_names(const void *a, const void *b) {
    const struct slice *left = &((const struct pair *)a)->name;
    const struct slice *right = &((const struct pair *)b)->name;
    const size_t shorter = left->length < right->length ? left->length : right->length;
    const int order = memcmp(left->bytes, right->bytes, shorter);
    return order != 0 ? order : (left->length > right->length) - (left->length < right->length);
}

/* Adds the members of an object. A member's name is made of before (may be empty), a space, and the
 * name. Scores of sorted sets come as texts of doubles, which are whole here. False if the reply is
 * not pairs of texts. */
static bool add_pairs(struct text *json, const struct redis_reply *reply, struct slice before,
                      bool is_sorted, const char **separator) {
    if (!redis_reply_is_texts(reply, 2)) return false;
    const size_t count = redis_reply_count(reply) / 2;
    struct pair *pairs = memory_create((count + 1) * sizeof *pairs);
    struct text name = {0};
    for (size_t i = 0; i < count; i++) {
        pairs[i].name = redis_reply_text(redis_reply_at(reply, 2 * i));
        pairs[i].count = redis_reply_text(redis_reply_at(reply, 2 * i + 1));
    }
    if (is_sorted) qsort(pairs, count, sizeof *pairs, compare_names);
    for (size_t i = 0; i < count; i++) {
        text_clear(&name);
        if (before.length > 0) {
            text_add_bytes(&name, before.bytes, before.length);
            text_add(&name, " ");
        }
        text_add_bytes(&name, pairs[i].name.bytes, pairs[i].name.length);
        json->is_broken |= name.is_broken;
        text_add(json, *separator);
        *separator = ", ";
        text_add_json(json, text_string(&name), name.length);
        text_format(json, ": %.0f", strtod(pairs[i].count.bytes, NULL));
    }
    text_release(&name);
    free(pairs);
    return true;
}

static bool add_days(struct text *json, const struct redis_reply *counts, const char **separator) {
    const size_t count = redis_reply_count(counts);
    bool is_right = redis_reply_kind(counts) == REDIS_LIST && count % 2 == 0;
    for (size_t i = 0; is_right && i < count; i += 2) {
        const struct redis_reply *day = redis_reply_at(counts, i);
        is_right =
            redis_reply_kind(day) == REDIS_TEXT &&
            add_pairs(json, redis_reply_at(counts, i + 1), redis_reply_text(day), true, separator);
    }
    return is_right;
}

/* Adds the object. False if the answer has not the form that snapshot.lua describes. */
static bool add_counts(struct text *json, const struct aggregates *aggregates,
                       const struct redis_reply *counts) {
    const struct slice none = {"", 0};
    bool is_right = redis_reply_count(counts) == aggregates->count;
    for (unsigned i = 0; is_right && i < aggregates->count; i++) {
        const struct aggregate *aggregate = &aggregates->items[i];
        const struct redis_reply *own = redis_reply_at(counts, i);
        const char *separator = "";
        text_add(json, i == 0 ? "{" : ",\n ");
        text_add_json(json, aggregate->title, strlen(aggregate->title));
        text_add(json, ": {");
        is_right = aggregate->kind == AGGREGATE_DAYS
                       ? add_days(json, own, &separator)
                       : add_pairs(json, own, none, aggregate->kind == AGGREGATE_NAMES, &separator);
        text_add(json, "}");
    }
    text_add(json, "}");
    return is_right;
}

enum store_verdict redis_snapshot_read(struct redis_link *link, const char *prefix,
                                       const struct aggregates *aggregates, struct text *json,
                                       struct error *error) {
    const struct snapshot snapshot = {link, prefix, aggregates, error};
    struct redis_reply *counts = NULL;
    struct text made = {0};
    if (!redis_link_open(link, error)) return STORE_RETRY;
    error_set(error, "new days come too often for a snapshot of Redis at %s",
              redis_link_name(link));
    enum store_verdict verdict = STORE_OK;
    for (int i = 0; verdict == STORE_OK && is_again(counts) && i < ROUNDS_MAX; i++) {
        redis_reply_destroy(&counts);
        verdict = ask(&snapshot, &counts);
    }
    if (verdict == STORE_OK && is_again(counts)) verdict = STORE_RETRY;
    if (verdict == STORE_OK) {
        const bool is_right = add_counts(&made, aggregates, counts);
        verdict = judge(&snapshot, counts, is_right, "snapshot.lua");
    }
    if (verdict == STORE_OK) {
        text_add_bytes(json, made.bytes, made.length);
        json->is_broken |= made.is_broken;
        if (json->is_broken) {
            error_set(error, "out of memory for the counts");
            verdict = STORE_RETRY;
        }
    }
    text_release(&made);
    redis_reply_destroy(&counts);
    return verdict;
}
