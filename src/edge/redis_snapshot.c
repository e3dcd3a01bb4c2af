/* One EVAL of snapshot.lua, so that all counts are of one moment; then only formatting. */
#include "edge/redis_snapshot.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "edge/redis_fault.h"
#include "scripts.h" /* made from checkpoint.lua and snapshot.lua */

enum { ANSWER_REJECTED, ANSWER_DAYS, ANSWER_DIMENSIONS };

static bool send_script(struct redis_link *link, const char *prefix, const char *const *dimensions,
                        unsigned dimension_count, struct error *error) {
    struct redis_command command = {0};
    redis_command_put_text(&command, "EVAL");
    redis_command_put_text(&command, snapshot_lua);
    redis_command_put_int(&command, 2 + dimension_count);
    redis_command_put_format(&command, "%s:rejected_counts", prefix);
    redis_command_put_format(&command, "%s:login_days", prefix);
    for (unsigned i = 0; i < dimension_count; i++)
        redis_command_put_format(&command, "%s:%s_counts", prefix, dimensions[i]);
    redis_command_put_format(&command, "%s:login_counts:", prefix);
    const bool is_sent = redis_link_send(link, &command, error);
    redis_command_release(&command);
    return is_sent;
}

static bool is_array(const redisReply *reply) {
    return reply->type == REDIS_REPLY_ARRAY;
}

static bool is_pairs(const redisReply *reply) {
    if (!is_array(reply) || reply->elements % 2 != 0) return false;
    for (size_t i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING) return false;
    }
    return true;
}

/* Whether the answer has the form that snapshot.lua describes. */
static bool is_answer(const redisReply *reply, unsigned dimension_count) {
    if (!is_array(reply) || reply->elements != ANSWER_DIMENSIONS + dimension_count) return false;
    const redisReply *days = reply->element[ANSWER_DAYS];
    if (!is_array(days) || days->elements % 2 != 0) return false;
    for (size_t i = 0; i < days->elements; i += 2) {
        if (days->element[i]->type != REDIS_REPLY_STRING || !is_pairs(days->element[i + 1])) {
            return false;
        }
    }
    for (size_t i = 0; i < reply->elements; i++) {
        if (i != ANSWER_DAYS && !is_pairs(reply->element[i])) return false;
    }
    return true;
}

static int compare_names(const void *a, const void *b) {
    const redisReply *left = *(redisReply *const *)a, *right = *(redisReply *const *)b;
    const size_t shorter = left->len < right->len ? left->len : right->len;
    const int order = memcmp(left->str, right->str, shorter);
    return order != 0 ? order : (left->len > right->len) - (left->len < right->len);
}

/* Sorts name, count, name, count, .. by name. */
static void sort_pairs(redisReply *pairs) {
    if (pairs->elements == 0) return;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is meant */
    qsort(pairs->element, pairs->elements / 2, 2 * sizeof *pairs->element, compare_names);
}

/* A member's name is made of before (may be NULL or empty), a space, and the name. Scores of sorted
 * sets come as texts of doubles, which are whole here. */
static void add_pairs(struct text *json, const redisReply *before, const redisReply *pairs,
                      bool *is_first) {
    struct text name = {0};
    for (size_t i = 0; i < pairs->elements; i += 2) {
        text_clear(&name);
        if (before != NULL && before->len > 0) {
            text_add_bytes(&name, before->str, before->len);
            text_add(&name, " ");
        }
        text_add_bytes(&name, pairs->element[i]->str, pairs->element[i]->len);
        json->is_broken |= name.is_broken;
        if (!*is_first) text_add(json, ", ");
        *is_first = false;
        text_add_json(json, text_string(&name), name.length);
        text_format(json, ": %.0f", strtod(pairs->element[i + 1]->str, NULL));
    }
    text_release(&name);
}

static void add_object(struct text *json, const redisReply *pairs) {
    bool is_first = true;
    text_add(json, "{");
    add_pairs(json, NULL, pairs, &is_first);
    text_add(json, "}");
}

void redis_snapshot_title(struct text *json, const char *dimension) {
    struct text title = {0};
    bool begins_word = true;
    text_add(&title, "Logins by ");
    for (const char *c = dimension; *c != '\0'; c++) {
        const char shown = *c == '_' ? ' ' : begins_word ? (char)toupper((unsigned char)*c) : *c;
        text_add_bytes(&title, &shown, 1);
        begins_word = *c == '_';
    }
    text_add_json(json, text_string(&title), title.length);
    json->is_broken |= title.is_broken;
    text_release(&title);
}

static void add_answer(struct text *json, const redisReply *reply, const char *const *dimensions,
                       unsigned dimension_count) {
    text_add(json, "{");
    for (unsigned i = 0; i < dimension_count; i++) {
        redis_snapshot_title(json, dimensions[i]);
        text_add(json, ": ");
        add_object(json, reply->element[ANSWER_DIMENSIONS + i]);
        text_add(json, ",\n ");
    }
    text_add(json, "\"Logins Over Time\": {");
    const redisReply *days = reply->element[ANSWER_DAYS];
    bool is_first = true;
    for (size_t i = 0; i < days->elements; i += 2) {
        sort_pairs(days->element[i + 1]);
        add_pairs(json, days->element[i], days->element[i + 1], &is_first);
    }
    text_add(json, "},\n \"Rejected\": ");
    sort_pairs(reply->element[ANSWER_REJECTED]);
    add_object(json, reply->element[ANSWER_REJECTED]);
    text_add(json, "}");
}

enum store_verdict redis_snapshot_read(struct redis_link *link, const char *prefix,
                                       const char *const *dimensions, unsigned dimension_count,
                                       struct text *json, struct error *error) {
    if (!redis_link_open(link, error) ||
        !send_script(link, prefix, dimensions, dimension_count, error)) {
        return STORE_RETRY;
    }
    redisReply *reply = redis_link_receive(link, error);
    if (reply == NULL) return STORE_RETRY;
    enum store_verdict verdict = STORE_OK;
    if (reply->type == REDIS_REPLY_ERROR) {
        const enum redis_fault fault =
            redis_fault_judge(reply->str, redis_link_name(link), prefix, error);
        const bool may_pass = fault == REDIS_FAULT_PASSING || fault == REDIS_FAULT_REPLICA;
        verdict = may_pass ? STORE_RETRY : STORE_REFUSED;
    } else if (!is_answer(reply, dimension_count)) {
        error_set(error, "Redis at %s gave an odd answer to snapshot.lua", redis_link_name(link));
        redis_link_close(link);
        verdict = STORE_RETRY;
    } else {
        add_answer(json, reply, dimensions, dimension_count);
        if (json->is_broken) {
            error_set(error, "out of memory for the counts");
            verdict = STORE_RETRY;
        }
    }
    freeReplyObject(reply);
    return verdict;
}
