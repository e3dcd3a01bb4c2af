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

enum { PRINTED_MAX = 5, DIFFERENCES_MAX = 20, NAME_BYTES = 320 };

static const char *const titles[KIND_COUNT] = {"device type", "locale", "minute", "rejected"};

static void add(struct delta *counts, enum kind kind, const char *name, int64_t n) {
    const struct slice text = {.bytes = name, .length = strlen(name)};
    if (text.length <= DELTA_KEY_BYTES_MAX && n > 0) {
        delta_add(counts, delta_value_key(0, kind, text), n);
    }
}

void demo_counts_expect(struct delta *counts, const struct event *event) {
    if (event->reason != LOGIN_ACCEPTED) {
        add(counts, REJECTED, login_reason_name(event->reason), 1);
        return;
    }
    char day[LOGIN_DAY_BYTES], time[LOGIN_MINUTE_BYTES], name[NAME_BYTES];
    login_day_format(event->minute, day);
    login_minute_format(event->minute, time);
    snprintf(name, sizeof name, "%s %s", day, time);
    add(counts, MINUTE, name, 1);
    add(counts, DEVICE_TYPE, event->device_type, 1);
    add(counts, LOCALE, event->locale, 1);
}

/* --- from Redis ------------------------------------------------------------------------------- */

/* False, with an error, if the reply is not a list; then it is destroyed. */
static bool is_list(struct redis_reply *reply, struct error *error) {
    if (reply == NULL) return false;
    if (redis_reply_kind(reply) == REDIS_LIST) return true;
    error_set(error, "Redis answered: %s", redis_reply_text(reply).bytes);
    redis_reply_destroy(&reply);
    return false;
}

/* Adds name, count, name, count, ..., each name after `before`. Takes the reply. */
static bool add_reply(struct delta *counts, enum kind kind, const char *before,
                      struct redis_reply *reply, struct error *error) {
    if (!is_list(reply, error)) return false;
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "%.64s%s", before,
                 redis_reply_text(redis_reply_at(reply, i)).bytes);
        const char *count = redis_reply_text(redis_reply_at(reply, i + 1)).bytes;
        add(counts, kind, name, strtoll(count, NULL, 10));
    }
    redis_reply_destroy(&reply);
    return true;
}

static bool read_minutes(struct delta *counts, struct redis_link *link, const char *prefix,
                         struct error *error) {
    struct redis_reply *days = redis_link_call(link, error, "ZRANGE %s:login_days 0 -1", prefix);
    if (!is_list(days, error)) return false;
    bool is_read = true;
    for (size_t i = 0; is_read && i < redis_reply_count(days); i++) {
        const char *day = redis_reply_text(redis_reply_at(days, i)).bytes;
        char before[LOGIN_DAY_BYTES + 1];
        snprintf(before, sizeof before, "%s ", day);
        is_read = add_reply(counts, MINUTE, before,
                            redis_link_call(link, error, "HGETALL %s:login_counts:%s", prefix, day),
                            error);
    }
    redis_reply_destroy(&days);
    return is_read;
}

static bool read_dimension(struct delta *counts, enum kind kind, const char *name,
                           struct redis_link *link, const char *prefix, struct error *error) {
    struct redis_reply *reply =
        redis_link_call(link, error, "ZREVRANGE %s:%s_counts 0 -1 WITHSCORES", prefix, name);
    return add_reply(counts, kind, "", reply, error);
}

bool demo_counts_read(struct delta *counts, struct redis_link *link, const char *prefix,
                      struct error *error) {
    return redis_link_open(link, error) &&
           read_dimension(counts, DEVICE_TYPE, "device_type", link, prefix, error) &&
           read_dimension(counts, LOCALE, "locale", link, prefix, error) &&
           add_reply(counts, REJECTED, "",
                     redis_link_call(link, error, "HGETALL %s:rejected_counts", prefix), error) &&
           read_minutes(counts, link, prefix, error);
}

/* --- shown and compared ----------------------------------------------------------------------- */

struct row {
    struct delta_key key;
    int64_t expected, found;
};

static int by_name(const void *a, const void *b) {
    const struct delta_key *left = &((const struct row *)a)->key;
    const struct delta_key *right = &((const struct row *)b)->key;
    if (left->field != right->field) return left->field - right->field;
    const size_t shorter = left->length < right->length ? left->length : right->length;
    const int order = memcmp(left->bytes, right->bytes, shorter);
    return order != 0 ? order : left->length - right->length;
}

static int by_count(const void *a, const void *b) {
    const struct row *left = a, *right = b;
    if (left->key.field != right->key.field || left->found == right->found) return by_name(a, b);
    return left->found > right->found ? -1 : 1;
}

/* The rows of both, sorted; the caller frees them. */
static struct row *rows_of(const struct delta *expected, const struct delta *found,
                           int (*compare)(const void *, const void *)) {
    const size_t expected_count = expected->entry_count;
    const size_t count = expected_count + found->entry_count;
    struct row *rows = memory_create((count + 1) * sizeof *rows);
    for (size_t i = 0; i < expected_count; i++) {
        const struct delta_entry *entry = &expected->entries[i];
        rows[i] = (struct row){.key = delta_key(expected, entry), .expected = entry->count};
    }
    for (size_t i = expected_count; i < count; i++) {
        const struct delta_entry *entry = &found->entries[i - expected_count];
        rows[i] = (struct row){.key = delta_key(found, entry), .found = entry->count};
    }
    qsort(rows, count, sizeof *rows, compare);
    return rows;
}

void demo_counts_print(const struct delta *counts) {
    struct row *rows = rows_of(&(struct delta){0}, counts, by_count);
    const struct row *row = rows;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        size_t kind_count = 0;
        int64_t sum = 0;
        printf("  %-12s", titles[kind]);
        for (; row < rows + counts->entry_count && row->key.field == kind; row++) {
            sum += row->found;
            if (kind_count++ >= PRINTED_MAX) continue;
            printf("%.*s %" PRId64 "  ", (int)row->key.length, row->key.bytes, row->found);
        }
        printf("%s(%" PRId64 " in %zu)\n", kind_count > PRINTED_MAX ? "... " : "", sum, kind_count);
    }
    free(rows);
}

int demo_counts_compare(const struct delta *expected, const struct delta *found) {
    const size_t count = expected->entry_count + found->entry_count;
    struct row *rows = rows_of(expected, found, by_name);
    int differences = 0;
    for (size_t i = 0; i < count; i++) {
        struct row row = rows[i];
        if (i + 1 < count && by_name(&row, &rows[i + 1]) == 0) {
            i++;
            row.expected += rows[i].expected;
            row.found += rows[i].found;
        }
        if (row.expected == row.found || differences++ >= DIFFERENCES_MAX) continue;
        printf("  %s %.*s: %" PRId64 " generated, %" PRId64 " in Redis\n", titles[row.key.field],
               (int)row.key.length, row.key.bytes, row.expected, row.found);
    }
    free(rows);
    return differences;
}
