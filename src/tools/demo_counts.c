#include "tools/demo_counts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "edge/redis_link.h"
#include "tools/event.h"

enum kind { DEVICE_TYPE, LOCALE, MINUTE, REJECTED, KIND_COUNT };

enum { PRINTED_MAX = 5, KEY_BYTES = 320, NAME_BYTES = LOGIN_DAY_BYTES + LOGIN_MINUTE_BYTES };

static const char *const titles[KIND_COUNT] = {"device type", "locale", "minute", "rejected"};

static void add(struct delta *counts, enum kind kind, const char *name, size_t length, int64_t n) {
    const struct slice text = {.bytes = name, .length = length};
    if (length <= DELTA_KEY_BYTES_MAX && n > 0) {
        delta_add(counts, delta_value_key(0, kind, text), n);
    }
}

void demo_counts_expect(struct delta *counts, const struct event *event) {
    if (event->reason != LOGIN_ACCEPTED) {
        const char *reason = login_reason_name(event->reason);
        add(counts, REJECTED, reason, strlen(reason), 1);
        return;
    }
    char day[LOGIN_DAY_BYTES], time[LOGIN_MINUTE_BYTES], name[NAME_BYTES];
    login_day_format(event->minute, day);
    login_minute_format(event->minute, time);
    const int length = snprintf(name, sizeof name, "%s %s", day, time);
    add(counts, MINUTE, name, (size_t)length, 1);
    add(counts, DEVICE_TYPE, event->device_type, strlen(event->device_type), 1);
    add(counts, LOCALE, event->locale, strlen(event->locale), 1);
}

/* Takes a reply, and returns it if it is a list; else NULL with an error. */
static struct redis_reply *list_of(struct redis_reply *reply, struct error *error) {
    if (reply == NULL || redis_reply_kind(reply) == REDIS_LIST) return reply;
    error_set(error, "Redis answered: %s", redis_reply_text(reply).bytes);
    redis_reply_destroy(&reply);
    return NULL;
}

/* Adds name, count, name, count, ..; a name is what stands before it and a space, if that is not
 * NULL. Takes the reply. */
static bool add_reply(struct delta *counts, enum kind kind, const char *before,
                      struct redis_reply *reply) {
    if (reply == NULL) return false;
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        char name[KEY_BYTES];
        size_t length = 0;
        const struct slice own = redis_reply_text(redis_reply_at(reply, i));
        const struct slice count = redis_reply_text(redis_reply_at(reply, i + 1));
        if (before != NULL) length = (size_t)snprintf(name, sizeof name, "%.64s ", before);
        const size_t room = sizeof name - length;
        const size_t own_bytes = own.length < room ? own.length : room;
        memcpy(name + length, own.bytes, own_bytes);
        add(counts, kind, name, length + own_bytes, strtoll(count.bytes, NULL, 10));
    }
    redis_reply_destroy(&reply);
    return true;
}

static bool read_dimension(struct delta *counts, enum kind kind, const char *name,
                           struct redis_link *link, const char *prefix, struct error *error) {
    struct redis_reply *reply =
        redis_link_call(link, error, "ZREVRANGE %s:%s_counts 0 -1 WITHSCORES", prefix, name);
    return add_reply(counts, kind, NULL, list_of(reply, error));
}

static bool read_minutes(struct delta *counts, struct redis_link *link, const char *prefix,
                         struct error *error) {
    struct redis_reply *days =
        list_of(redis_link_call(link, error, "ZRANGE %s:login_days 0 -1", prefix), error);
    bool is_read = days != NULL;
    for (size_t i = 0; is_read && i < redis_reply_count(days); i++) {
        const char *day = redis_reply_text(redis_reply_at(days, i)).bytes;
        struct redis_reply *reply =
            redis_link_call(link, error, "HGETALL %s:login_counts:%s", prefix, day);
        is_read = add_reply(counts, MINUTE, day, list_of(reply, error));
    }
    redis_reply_destroy(&days);
    return is_read;
}

static bool read_rejected(struct delta *counts, struct redis_link *link, const char *prefix,
                          struct error *error) {
    struct redis_reply *reply = redis_link_call(link, error, "HGETALL %s:rejected_counts", prefix);
    return add_reply(counts, REJECTED, NULL, list_of(reply, error));
}

bool demo_counts_read(struct delta *counts, struct redis_link *link, const char *prefix,
                      struct error *error) {
    return redis_link_open(link, error) &&
           read_dimension(counts, DEVICE_TYPE, "device_type", link, prefix, error) &&
           read_dimension(counts, LOCALE, "locale", link, prefix, error) &&
           read_rejected(counts, link, prefix, error) && read_minutes(counts, link, prefix, error);
}

/* One count, as it is printed and compared. */
struct row {
    struct delta_key key;
    int64_t count;
};

static int compare_names(const void *a, const void *b) {
    const struct delta_key *left = &((const struct row *)a)->key;
    const struct delta_key *right = &((const struct row *)b)->key;
    if (left->field != right->field) return left->field < right->field ? -1 : 1;
    const size_t shorter = left->length < right->length ? left->length : right->length;
    const int order = memcmp(left->bytes, right->bytes, shorter);
    return order != 0 ? order : (left->length > right->length) - (left->length < right->length);
}

static int compare_counts(const void *a, const void *b) {
    const struct row *left = a, *right = b;
    if (left->key.field != right->key.field || left->count == right->count) {
        return compare_names(a, b);
    }
    return left->count > right->count ? -1 : 1;
}

/* All counts in order; the caller frees them. */
static struct row *sorted(const struct delta *counts, int (*compare)(const void *, const void *)) {
    const size_t count = counts->entry_count;
    struct row *rows = memory_create((count + 1) * sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        rows[i].key = delta_key(counts, &counts->entries[i]);
        rows[i].count = counts->entries[i].count;
    }
    qsort(rows, count, sizeof *rows, compare);
    return rows;
}

void demo_counts_print(const struct delta *counts) {
    struct row *rows = sorted(counts, compare_counts);
    size_t i = 0;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        size_t kind_count = 0;
        int64_t sum = 0;
        printf("  %-12s", titles[kind]);
        for (; i < counts->entry_count && rows[i].key.field == kind; i++) {
            sum += rows[i].count;
            if (kind_count++ >= PRINTED_MAX) continue;
            printf("%.*s %" PRId64 "  ", (int)rows[i].key.length, rows[i].key.bytes, rows[i].count);
        }
        printf("%s(%" PRId64 " in %zu)\n", kind_count > PRINTED_MAX ? "... " : "", sum, kind_count);
    }
    free(rows);
}

int demo_counts_compare(const struct delta *expected, const struct delta *found) {
    enum { SHOWN_MAX = 20 };
    const size_t left_count = expected->entry_count, right_count = found->entry_count;
    struct row *left = sorted(expected, compare_names), *right = sorted(found, compare_names);
    int differences = 0;
    size_t i = 0, j = 0;
    while (i < left_count || j < right_count) {
        const int order = i == left_count    ? 1
                          : j == right_count ? -1
                                             : compare_names(&left[i], &right[j]);
        const int64_t wanted = order <= 0 ? left[i].count : 0;
        const int64_t there = order >= 0 ? right[j].count : 0;
        if (wanted != there && differences++ < SHOWN_MAX) {
            const struct delta_key *key = order <= 0 ? &left[i].key : &right[j].key;
            printf("  %s %.*s: %" PRId64 " generated, %" PRId64 " in Redis\n", titles[key->field],
                   (int)key->length, key->bytes, wanted, there);
        }
        i += order <= 0;
        j += order >= 0;
    }
    free(left);
    free(right);
    return differences;
}
