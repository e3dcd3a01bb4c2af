/* A script may touch only keys that it was called with, so the days and buckets are asked for
 * before. */
#include "edge/redis_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h" /* made from image.lua */
#include "redis_answer.h"
#include "redis_call.h"

enum { ROUNDS_MAX = 8, PARTS = 4 };

struct image {
    struct redis_link *link;
    const char *prefix;
    const struct aggregates *aggregates;
    const struct redis_image_visitor *visitor;
    struct error *error;
};

static enum store_verdict judge(const struct image *image, const struct redis_reply *reply,
                                bool is_right, const char *command) {
    const enum store_verdict verdict =
        redis_answer_judge(image->link, image->prefix, reply, image->error);
    if (verdict != STORE_OK || is_right) return verdict;
    return redis_answer_odd(image->link, command, image->error);
}

/* Puts the keys of the values of a bucket, and how many there are, and these. */
static enum store_verdict put_values(const struct image *image, struct redis_call *call,
                                     const char *bucket) {
    char name[AGGREGATE_TEXT_BYTES];
    redis_call_values_name(call->aggregate, name);
    struct redis_reply *values =
        redis_link_call(image->link, image->error, "ZRANGE %s:%s%s%s 0 -1", image->prefix, name,
                        *bucket == '\0' ? "" : ":", bucket);
    const enum store_verdict verdict =
        judge(image, values, values != NULL && redis_reply_is_texts(values, 1), "ZRANGE");
    if (verdict == STORE_OK)
        redis_command_put_int(&call->section, (int64_t)redis_reply_count(values));
    for (size_t i = 0; verdict == STORE_OK && i < redis_reply_count(values); i++) {
        const struct slice value = redis_reply_text(redis_reply_at(values, i));
        redis_call_put_value_key(call, bucket, value);
        redis_command_put(&call->section, value.bytes, value.length);
    }
    redis_reply_destroy(&values);
    return verdict;
}

static enum store_verdict put_bucket(const struct image *image, struct redis_call *call,
                                     const char *bucket) {
    redis_call_put_bucket(call, bucket);
    return call->aggregate->kind == AGGREGATE_DISTINCT_BY ? put_values(image, call, bucket)
                                                          : STORE_OK;
}

static enum store_verdict put_buckets(const struct image *image, struct redis_call *call) {
    const struct aggregate *aggregate = call->aggregate;
    if (aggregate->source == AGGREGATE_DECLARED && aggregate->declared.every == DECLARED_TOTAL)
        return put_bucket(image, call, "");
    struct redis_reply *names = redis_link_call(image->link, image->error, "ZRANGE %s:%s 0 -1",
                                                image->prefix, aggregate->index_key);
    enum store_verdict verdict =
        judge(image, names, names != NULL && redis_reply_is_texts(names, 1), "ZRANGE");
    for (size_t i = 0; verdict == STORE_OK && i < redis_reply_count(names); i++)
        verdict = put_bucket(image, call, redis_reply_text(redis_reply_at(names, i)).bytes);
    redis_reply_destroy(&names);
    return verdict;
}

/* Runs the script. *found is the caller's, if there was a reply. */
static enum store_verdict ask(const struct image *image, struct redis_reply **found) {
    enum store_verdict verdict = STORE_OK;
    struct redis_call call = {0};
    redis_call_clear(&call, image->prefix);
    redis_command_put_key(&call.keys, image->prefix, "offsets", NULL);
    redis_command_put_key(&call.keys, image->prefix, "meta", NULL);
    for (unsigned i = 0; verdict == STORE_OK && i < image->aggregates->count; i++) {
        redis_call_begin(&call, &image->aggregates->items[i]);
        if (aggregate_has_buckets(call.aggregate)) verdict = put_buckets(image, &call);
        redis_call_end(&call);
    }
    redis_call_finish(&call, true, image_lua);
    if (verdict == STORE_OK) *found = redis_link_exchange(image->link, &call.command, image->error);
    redis_call_release(&call);
    return verdict != STORE_OK ? verdict : judge(image, *found, true, "image.lua");
}

static struct slice text_at(const struct redis_reply *list, size_t index) {
    return redis_reply_text(redis_reply_at(list, index));
}

static bool visit_counts(const struct image *image, unsigned field, struct slice bucket,
                         const struct redis_reply *pairs) {
    if (!redis_reply_is_texts(pairs, 2)) return false;
    for (size_t i = 0; i < redis_reply_count(pairs); i += 2) {
        image->visitor->count(image->visitor->context, field, bucket, text_at(pairs, i),
                              text_at(pairs, i + 1));
    }
    return true;
}

static bool visit_buckets(const struct image *image, unsigned field,
                          const struct redis_reply *buckets) {
    if (redis_reply_count(buckets) != 2) return false;
    const struct redis_reply *index = redis_reply_at(buckets, 0);
    const struct redis_reply *found = redis_reply_at(buckets, 1);
    if (!redis_reply_is_texts(index, 2) || redis_reply_count(found) % 2 != 0) return false;
    for (size_t i = 0; i < redis_reply_count(index); i += 2) {
        image->visitor->bucket(image->visitor->context, field, text_at(index, i),
                               (int64_t)strtod(text_at(index, i + 1).bytes, NULL));
    }
    bool is_right = true;
    for (size_t i = 0; is_right && i < redis_reply_count(found); i += 2)
        is_right = visit_counts(image, field, text_at(found, i), redis_reply_at(found, i + 1));
    return is_right;
}

/* False if the answer has not the form that image.lua describes. */
static bool visit(const struct image *image, const struct redis_reply *found) {
    const struct redis_image_visitor *visitor = image->visitor;
    if (redis_reply_count(found) != PARTS) return false;
    const struct redis_reply *offsets = redis_reply_at(found, 0);
    const struct redis_reply *sections = redis_reply_at(found, 3);
    const int64_t now_s = strtoll(text_at(found, 2).bytes, NULL, 10);
    if (!redis_reply_is_texts(offsets, 2) ||
        redis_reply_count(sections) != image->aggregates->count) {
        return false;
    }
    for (size_t i = 0; i < redis_reply_count(offsets); i += 2) {
        int64_t offset = -1;
        redis_answer_offset(text_at(offsets, i + 1), &offset);
        visitor->offset(visitor->context, text_at(offsets, i), offset);
    }
    visitor->moment(visitor->context, now_s, text_at(found, 1));
    bool is_right = true;
    for (unsigned i = 0; is_right && i < image->aggregates->count; i++) {
        const struct redis_reply *section = redis_reply_at(sections, i);
        is_right = image->aggregates->items[i].index_key[0] != '\0'
                       ? visit_buckets(image, i, section)
                       : visit_counts(image, i, (struct slice){"", 0}, section);
    }
    return is_right;
}

enum store_verdict redis_image_read(struct redis_link *link, const char *prefix,
                                    const struct aggregates *aggregates,
                                    const struct redis_image_visitor *visitor,
                                    struct error *error) {
    const struct image image = {link, prefix, aggregates, visitor, error};
    struct redis_reply *found = NULL;
    if (!redis_link_open(link, error)) return STORE_RETRY;
    error_set(error, "new days come too often to read the counts in Redis at %s",
              redis_link_name(link));
    enum store_verdict verdict = STORE_OK;
    bool is_again = true;
    for (int i = 0; verdict == STORE_OK && is_again && i < ROUNDS_MAX; i++) {
        redis_reply_destroy(&found);
        verdict = ask(&image, &found);
        is_again = verdict == STORE_OK && strcmp(redis_reply_text(found).bytes, "again") == 0;
    }
    if (is_again) verdict = STORE_RETRY;
    if (verdict == STORE_OK) verdict = judge(&image, found, visit(&image, found), "image.lua");
    redis_reply_destroy(&found);
    return verdict;
}

enum store_verdict redis_image_origins(struct redis_link *link, const char *prefix,
                                       int64_t *origins, size_t count, struct error *error) {
    struct redis_command command = {0};
    redis_command_put_text(&command, "HMGET");
    redis_command_put_key(&command, prefix, "meta", NULL);
    for (size_t i = 0; i < count; i++) {
        char field[32];
        snprintf(field, sizeof field, "origin:%zu", i);
        redis_command_put_text(&command, field);
    }
    struct redis_reply *reply = NULL;
    if (redis_link_open(link, error)) reply = redis_link_exchange(link, &command, error);
    redis_command_release(&command);
    enum store_verdict verdict = redis_answer_judge(link, prefix, reply, error);
    if (verdict == STORE_OK && redis_reply_count(reply) != count)
        verdict = redis_answer_odd(link, "HMGET", error);
    for (size_t i = 0; verdict == STORE_OK && i < count; i++) {
        origins[i] = CURSOR_ABSENT;
        redis_answer_offset(redis_answer_word(reply, i), &origins[i]);
    }
    redis_reply_destroy(&reply);
    return verdict;
}
