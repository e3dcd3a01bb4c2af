/* The layout is the one that checkpoint.lua states: a section for each row of the table. Minutes are
 * sorted, so that those of one day are together, and minutes all over the ages cost no more than those
 * of one day. */
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
    uint32_t count;
    uint32_t day_count;
};

/* All that a command is made from. */
struct making {
    struct redis_command *command;
    const char *prefix;
    const struct aggregates *aggregates;
    const struct store_call *call;
    struct minutes minutes[AGGREGATES_MAX]; /* of AGGREGATE_DAYS */
    const struct checkpoint_day *needed;
    size_t needed_count;
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

static int64_t day_of(const struct minutes *minutes, uint32_t m) {
    return minutes->items[m].minute / AGGREGATE_MINUTES_A_DAY;
}

static bool begins_day(const struct minutes *minutes, uint32_t m) {
    return m == 0 || day_of(minutes, m) != day_of(minutes, m - 1);
}

/* The caller frees the items. */
static struct minutes sort_minutes(const struct store_call *call, unsigned field) {
    struct minutes minutes = {0};
    minutes.items = memory_create((count_entries(call, field) + 1) * sizeof *minutes.items);
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
    for (uint32_t m = 0; m < minutes.count; m++)
        minutes.day_count += begins_day(&minutes, m);
    return minutes;
}

static unsigned key_count_of(const struct making *making, unsigned field) {
    enum { DAYS_KEYS = 3 }; /* before those of single days */
    return making->aggregates->items[field].kind != AGGREGATE_DAYS
               ? 1
               : DAYS_KEYS + making->minutes[field].day_count + (unsigned)making->needed_count;
}

static void put_keys(const struct making *making, unsigned field) {
    const struct aggregate *aggregate = &making->aggregates->items[field];
    const struct minutes *minutes = &making->minutes[field];
    const char *prefix = making->prefix;
    if (aggregate->kind != AGGREGATE_DAYS) {
        redis_command_put_format(making->command, "%s:%s", prefix, aggregate->key);
        return;
    }
    redis_command_put_format(making->command, "%s:%s", prefix, aggregate->days_key);
    redis_command_put_format(making->command, "%s:%s:" AGGREGATE_OTHER, prefix, aggregate->key);
    redis_command_put_format(making->command, "%s:%s", prefix, aggregate->anomalies_key);
    for (uint32_t m = 0; m < minutes->count; m++) {
        char day[LOGIN_DAY_BYTES];
        if (!begins_day(minutes, m)) continue;
        login_day_format(minutes->items[m].minute, day);
        redis_command_put_format(making->command, "%s:%s:%s", prefix, aggregate->key, day);
    }
    for (size_t i = 0; i < making->needed_count; i++) {
        redis_command_put_format(making->command, "%s:%s:%s", prefix, aggregate->key,
                                 making->needed[i].name);
    }
}

static void put_section(const struct making *making, unsigned field, const char *kind,
                        size_t argument_count) {
    redis_command_put_text(making->command, kind);
    redis_command_put_int(making->command, key_count_of(making, field));
    redis_command_put_int(making->command, (int64_t)argument_count);
}

/* Puts pairs of name and count for the entries of one field. */
static void put_pairs(const struct making *making, unsigned field) {
    const struct aggregate *aggregate = &making->aggregates->items[field];
    for (size_t i = 0; i < making->call->delta_count; i++) {
        const struct delta *delta = making->call->deltas[i];
        for (uint32_t e = 0; e < delta->entry_count; e++) {
            const struct delta_entry *entry = &delta->entries[e];
            if (entry->field != field) continue;
            const struct delta_key key = delta_key(delta, entry);
            if (aggregate->source == AGGREGATE_DIMENSION) {
                redis_command_put(making->command, key.bytes, key.length);
            } else {
                char name[AGGREGATE_TEXT_BYTES];
                aggregate_name(aggregate, delta_number(key), name);
                redis_command_put_text(making->command, name);
            }
            redis_command_put_int(making->command, entry->count);
        }
    }
}

/* Puts for each day its name, n, and n pairs. */
static void put_days(const struct making *making, unsigned field) {
    const struct minutes *minutes = &making->minutes[field];
    char day[LOGIN_DAY_BYTES], name[AGGREGATE_TEXT_BYTES];
    for (uint32_t m = 0; m < minutes->count; m++) {
        if (begins_day(minutes, m)) {
            uint32_t end = m + 1;
            while (end < minutes->count && !begins_day(minutes, end))
                end++;
            login_day_format(minutes->items[m].minute, day);
            redis_command_put_text(making->command, day);
            redis_command_put_int(making->command, end - m);
        }
        aggregate_name(&making->aggregates->items[field], minutes->items[m].minute, name);
        redis_command_put_text(making->command, name);
        redis_command_put_int(making->command, minutes->items[m].count);
    }
    for (size_t i = 0; i < making->needed_count; i++) {
        redis_command_put_text(making->command, making->needed[i].name);
        redis_command_put_int(making->command, 0);
    }
}

static void put_arguments(const struct making *making, unsigned field) {
    const struct aggregate_settings *settings = making->aggregates->settings;
    const struct minutes *minutes = &making->minutes[field];
    switch (making->aggregates->items[field].kind) {
    case AGGREGATE_VALUES:
        put_section(making, field, "values", 1 + 2 * (size_t)count_entries(making->call, field));
        redis_command_put_int(making->command, settings->max_values);
        put_pairs(making, field);
        break;
    case AGGREGATE_DAYS:
        put_section(making, field, "days",
                    3 + 2 * (minutes->day_count + making->needed_count + minutes->count));
        redis_command_put_int(making->command, settings->threshold);
        redis_command_put_int(making->command, settings->max_days);
        redis_command_put_int(making->command, (int64_t)settings->retention_days * 24 * 3600);
        put_days(making, field);
        break;
    case AGGREGATE_NAMES:
        put_section(making, field, "names", 2 * (size_t)count_entries(making->call, field));
        put_pairs(making, field);
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

void redis_checkpoint_make(struct redis_command *command, const struct redis_store_options *options,
                           const struct store_call *call, bool by_text,
                           const struct checkpoint_day *needed, size_t needed_count) {
    const struct aggregates *aggregates = options->aggregates;
    struct making making = {.command = command,
                            .prefix = options->redis->prefix,
                            .aggregates = aggregates,
                            .call = call,
                            .needed = needed,
                            .needed_count = needed_count};
    unsigned key_count = 2;
    for (unsigned field = 0; field < aggregates->count; field++) {
        if (aggregates->items[field].kind == AGGREGATE_DAYS)
            making.minutes[field] = sort_minutes(call, field);
        key_count += key_count_of(&making, field);
    }
    redis_command_clear(command);
    redis_command_put_text(command, by_text ? "EVAL" : "EVALSHA");
    redis_command_put_text(command, by_text ? checkpoint_lua : checkpoint_lua_sha);
    redis_command_put_int(command, key_count);
    redis_command_put_format(command, "%s:offsets", making.prefix);
    redis_command_put_format(command, "%s:meta", making.prefix);
    for (unsigned field = 0; field < aggregates->count; field++)
        put_keys(&making, field);
    redis_command_put_int(command, call->partition);
    put_offset(command, call->base);
    put_offset(command, call->end);
    redis_command_put_int(command, REDIS_STORE_SCHEMA);
    redis_command_put_text(command, options->group);
    redis_command_put_text(command, options->topic);
    redis_command_put_text(command, options->topic_id);
    for (unsigned field = 0; field < aggregates->count; field++) {
        put_arguments(&making, field);
        free(making.minutes[field].items);
    }
}
