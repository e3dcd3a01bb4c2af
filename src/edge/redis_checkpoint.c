/* Minutes are sorted, so that those of one day are together, and minutes all over the ages cost no
 * more than those of one day. */
#include "redis_checkpoint.h"

#include <stdlib.h>

#include "base/memory.h"
#include "scripts.h" /* made from checkpoint.lua and snapshot.lua */

struct minute {
    int64_t minute; /* since 1970 */
    int64_t count;
};

struct minutes {
    struct minute *items; /* oldest first */
    size_t count;
};

static int compare_minutes(const void *a, const void *b) {
    const struct minute *left = a, *right = b;
    return (left->minute > right->minute) - (left->minute < right->minute);
}

/* The caller frees the items. */
static struct minutes sort_minutes(const struct store_call *call, unsigned field) {
    size_t room = 1;
    for (size_t i = 0; i < call->delta_count; i++)
        room += call->deltas[i]->entry_count;
    struct minutes minutes = {.items = memory_create(room * sizeof *minutes.items)};
    for (size_t i = 0; i < call->delta_count; i++) {
        const struct delta *delta = call->deltas[i];
        for (uint32_t e = 0; e < delta->entry_count; e++) {
            const struct delta_entry *entry = &delta->entries[e];
            if (entry->field != field) continue;
            minutes.items[minutes.count++] =
                (struct minute){delta_number(delta_key(delta, entry)), entry->count};
        }
    }
    qsort(minutes.items, minutes.count, sizeof *minutes.items, compare_minutes);
    return minutes;
}

/* Puts for each day its name, n, and n pairs of minute and count. */
static void put_days(struct redis_call *to, const struct minutes *minutes) {
    for (size_t m = 0, end; m < minutes->count; m = end) {
        const int64_t day = minutes->items[m].minute / AGGREGATE_MINUTES_A_DAY;
        char text[AGGREGATE_TEXT_BYTES];
        for (end = m + 1; end < minutes->count; end++) {
            if (minutes->items[end].minute / AGGREGATE_MINUTES_A_DAY != day) break;
        }
        login_day_format(minutes->items[m].minute, text);
        redis_call_put_day(to, text);
        redis_command_put_int(&to->section, (int64_t)(end - m));
        for (size_t i = m; i < end; i++) {
            aggregate_name(to->aggregate, minutes->items[i].minute, text);
            redis_command_put_text(&to->section, text);
            redis_command_put_int(&to->section, minutes->items[i].count);
        }
    }
}

/* Puts pairs of value or name and count. */
static void put_pairs(struct redis_call *to, const struct store_call *call, unsigned field) {
    for (size_t i = 0; i < call->delta_count; i++) {
        const struct delta *delta = call->deltas[i];
        for (uint32_t e = 0; e < delta->entry_count; e++) {
            const struct delta_entry *entry = &delta->entries[e];
            if (entry->field != field) continue;
            const struct delta_key key = delta_key(delta, entry);
            if (to->aggregate->source == AGGREGATE_DIMENSION) {
                redis_command_put(&to->section, key.bytes, key.length);
            } else {
                char name[AGGREGATE_TEXT_BYTES];
                aggregate_name(to->aggregate, delta_number(key), name);
                redis_command_put_text(&to->section, name);
            }
            redis_command_put_int(&to->section, entry->count);
        }
    }
}

static void put_section(struct redis_call *to, const struct aggregate_settings *settings,
                        const struct store_call *call, unsigned field,
                        const struct checkpoint_days *needed) {
    struct minutes minutes;
    switch (to->aggregate->kind) {
    case AGGREGATE_VALUES:
        redis_command_put_int(&to->section, settings->max_values);
        put_pairs(to, call, field);
        break;
    case AGGREGATE_DAYS:
        redis_command_put_int(&to->section, settings->threshold);
        redis_command_put_int(&to->section, settings->max_days);
        redis_command_put_int(&to->section, (int64_t)settings->retention_days * 24 * 3600);
        minutes = sort_minutes(call, field);
        put_days(to, &minutes);
        free(minutes.items);
        for (size_t i = 0; i < needed->count; i++) {
            redis_call_put_day(to, needed->names[i]);
            redis_command_put_int(&to->section, 0);
        }
        break;
    case AGGREGATE_NAMES:
        put_pairs(to, call, field);
        break;
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

void redis_checkpoint_make(struct redis_call *to, const struct redis_store_options *options,
                           const struct store_call *call, bool by_text,
                           const struct checkpoint_days *needed) {
    const struct aggregates *aggregates = options->aggregates;
    redis_call_clear(to, options->redis->prefix);
    redis_command_put_format(&to->keys, "%s:offsets", to->prefix);
    redis_command_put_format(&to->keys, "%s:meta", to->prefix);
    redis_command_put_int(&to->arguments, call->partition);
    put_offset(&to->arguments, call->base);
    put_offset(&to->arguments, call->end);
    redis_command_put_int(&to->arguments, REDIS_STORE_SCHEMA);
    redis_command_put_text(&to->arguments, options->group);
    redis_command_put_text(&to->arguments, options->topic);
    redis_command_put_text(&to->arguments, options->topic_id);
    for (unsigned field = 0; field < aggregates->count; field++) {
        redis_call_begin(to, &aggregates->items[field]);
        put_section(to, aggregates->settings, call, field, needed);
        redis_call_end(to);
    }
    redis_call_finish(to, by_text, by_text ? checkpoint_lua : checkpoint_lua_sha);
}
