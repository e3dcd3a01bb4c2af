/* The layout is the one that checkpoint.lua states. Minutes are sorted, so that those of one day lie
 * together, and minutes all over the ages cost no more than those of one day. */
#include "edge/redis_checkpoint.h"

#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "scripts.h" /* made from checkpoint.lua and snapshot.lua */

enum { MINUTES_A_DAY = 24 * 60 };

struct minute {
    int64_t minute; /* since 1970 */
    int64_t count;
};

struct minutes {
    struct minute *items; /* oldest first */
    uint32_t count;
    uint32_t day_count;
};

static uint32_t count_entries(const struct store_call *call, unsigned field) {
    uint32_t count = 0;
    for (size_t i = 0; i < call->delta_count; i++) {
        for (uint32_t e = 0; e < call->deltas[i]->entry_count; e++)
            count += call->deltas[i]->entries[e].field == field;
    }
    return count;
}

static int compare_minutes(const void *a, const void *b) {
    const struct minute *left = a, *right = b;
    return (left->minute > right->minute) - (left->minute < right->minute);
}

static bool begins_day(const struct minutes *minutes, uint32_t m) {
    return m == 0 ||
           minutes->items[m].minute / MINUTES_A_DAY != minutes->items[m - 1].minute / MINUTES_A_DAY;
}

/* The caller frees the items. */
static struct minutes sort_minutes(const struct store_call *call) {
    struct minutes minutes = {0};
    minutes.items = memory_create((count_entries(call, DELTA_MINUTE) + 1) * sizeof *minutes.items);
    for (size_t i = 0; i < call->delta_count; i++) {
        const struct delta *delta = call->deltas[i];
        for (uint32_t e = 0; e < delta->entry_count; e++) {
            const struct delta_entry *entry = &delta->entries[e];
            if (entry->field != DELTA_MINUTE) continue;
            minutes.items[minutes.count++] =
                (struct minute){delta_number(delta_key(delta, entry)), entry->count};
        }
    }
    qsort(minutes.items, minutes.count, sizeof *minutes.items, compare_minutes);
    for (uint32_t m = 0; m < minutes.count; m++)
        minutes.day_count += begins_day(&minutes, m);
    return minutes;
}

static void put_keys(struct redis_command *command, const struct redis_store_options *options,
                     const struct minutes *minutes) {
    static const char *const names[] = {"offsets",   "meta",       "rejected_counts",
                                        "anomalies", "login_days", "login_counts:__other__"};
    enum { NAME_COUNT = sizeof names / sizeof *names };
    redis_command_put_int(command, NAME_COUNT + options->dimension_count + minutes->day_count);
    for (unsigned i = 0; i < NAME_COUNT; i++)
        redis_command_put_format(command, "%s:%s", options->prefix, names[i]);
    for (unsigned d = 0; d < options->dimension_count; d++) {
        redis_command_put_format(command, "%s:%s_counts", options->prefix, options->dimensions[d]);
    }
    for (uint32_t m = 0; m < minutes->count; m++) {
        char day[LOGIN_DAY_BYTES];
        if (!begins_day(minutes, m)) continue;
        login_day_format(minutes->items[m].minute, day);
        redis_command_put_format(command, "%s:login_counts:%s", options->prefix, day);
    }
}

static void put_offset(struct redis_command *command, int64_t offset) {
    if (offset == CURSOR_ABSENT)
        redis_command_put_text(command, "none");
    else if (offset == CURSOR_UNKNOWN)
        redis_command_put_text(command, "unknown");
    else
        redis_command_put_int(command, offset);
}

/* Puts n and n pairs for the entries of one field, but for minutes. */
static void put_pairs(struct redis_command *command, const struct store_call *call,
                      unsigned field) {
    redis_command_put_int(command, count_entries(call, field));
    for (size_t i = 0; i < call->delta_count; i++) {
        const struct delta *delta = call->deltas[i];
        for (uint32_t e = 0; e < delta->entry_count; e++) {
            const struct delta_entry *entry = &delta->entries[e];
            if (entry->field != field) continue;
            const struct delta_key key = delta_key(delta, entry);
            if (field == DELTA_REJECTED) {
                const enum login_reason reason = (enum login_reason)delta_number(key);
                redis_command_put_text(command, login_reason_name(reason));
            } else {
                redis_command_put(command, key.bytes, key.length);
            }
            redis_command_put_int(command, entry->count);
        }
    }
}

/* Puts for each day its name, n, and n pairs. */
static void put_days(struct redis_command *command, const struct minutes *minutes) {
    char day[LOGIN_DAY_BYTES], time_name[LOGIN_MINUTE_BYTES];
    for (uint32_t m = 0; m < minutes->count; m++) {
        if (begins_day(minutes, m)) {
            uint32_t end = m + 1;
            while (end < minutes->count && !begins_day(minutes, end))
                end++;
            login_day_format(minutes->items[m].minute, day);
            redis_command_put_text(command, day);
            redis_command_put_int(command, end - m);
        }
        login_minute_format(minutes->items[m].minute, time_name);
        redis_command_put_text(command, time_name);
        redis_command_put_int(command, minutes->items[m].count);
    }
}

void redis_checkpoint_make(struct redis_command *command, const struct redis_store_options *options,
                           const struct store_call *call, bool by_text) {
    const struct minutes minutes = sort_minutes(call);
    redis_command_clear(command);
    redis_command_put_text(command, by_text ? "EVAL" : "EVALSHA");
    redis_command_put_text(command, by_text ? checkpoint_lua : checkpoint_lua_sha);
    put_keys(command, options, &minutes);
    redis_command_put_int(command, call->partition);
    put_offset(command, call->base);
    put_offset(command, call->end);
    redis_command_put_int(command, REDIS_STORE_SCHEMA);
    redis_command_put_text(command, options->group);
    redis_command_put_text(command, options->topic);
    redis_command_put_text(command, options->topic_id);
    redis_command_put_int(command, options->threshold);
    redis_command_put_int(command, options->max_values);
    redis_command_put_int(command, options->retention_days * 24 * 3600);
    redis_command_put_int(command, (int64_t)time(NULL));
    redis_command_put_int(command, options->max_days);
    redis_command_put_int(command, options->dimension_count);
    for (unsigned d = 0; d < options->dimension_count; d++)
        put_pairs(command, call, d);
    put_pairs(command, call, DELTA_REJECTED);
    put_days(command, &minutes);
    free(minutes.items);
}
