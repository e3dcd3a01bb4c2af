/* Minutes and buckets are sorted, so that those of one day or bucket are together, and such from
 * all over the ages cost no more than those of one day. */
#include "redis_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "scripts.h" /* made from checkpoint.lua and snapshot.lua */

void redis_command_clear(struct redis_command *command) {
    text_clear(&command->words);
    command->count = 0;
}

void redis_command_release(struct redis_command *command) {
    text_release(&command->words);
    command->count = 0;
}

void redis_command_put(struct redis_command *command, const char *word, size_t length) {
    text_format(&command->words, "$%zu\r\n", length);
    text_add_bytes(&command->words, word, length);
    text_add_bytes(&command->words, "\r\n", 2);
    command->count++;
}

void redis_command_put_text(struct redis_command *command, const char *word) {
    redis_command_put(command, word, strlen(word));
}

void redis_command_put_int(struct redis_command *command, int64_t number) {
    char word[24];
    const int length = snprintf(word, sizeof word, "%lld", (long long)number);
    redis_command_put(command, word, (size_t)length);
}

void redis_command_put_key_end(struct redis_command *command, const char *prefix, const char *name,
                               const char *part, struct slice end) {
    const char *after_name = name == NULL ? "" : ":", *after_part = part == NULL ? "" : ":";
    if (name == NULL) name = "";
    if (part == NULL) part = "";
    const size_t length = strlen(prefix) + 1 + strlen(name) + strlen(after_name) + strlen(part) +
                          strlen(after_part) + end.length;
    text_format(&command->words, "$%zu\r\n%s:%s%s%s%s", length, prefix, name, after_name, part,
                after_part);
    text_add_bytes(&command->words, end.bytes, end.length);
    text_add_bytes(&command->words, "\r\n", 2);
    command->count++;
}

void redis_command_put_key(struct redis_command *command, const char *prefix, const char *name,
                           const char *part) {
    const char *end = part == NULL ? name : part;
    redis_command_put_key_end(command, prefix, part == NULL ? NULL : name, NULL,
                              (struct slice){end, strlen(end)});
}

static void put_all(struct redis_command *command, const struct redis_command *other) {
    text_add_bytes(&command->words, other->words.bytes, other->words.length);
    command->words.is_broken |= other->words.is_broken;
    command->count += other->count;
}

void redis_call_clear(struct redis_call *call, const char *prefix) {
    call->prefix = prefix;
    redis_command_clear(&call->keys);
    redis_command_clear(&call->arguments);
}

void redis_call_release(struct redis_call *call) {
    redis_command_release(&call->command);
    redis_command_release(&call->keys);
    redis_command_release(&call->arguments);
    redis_command_release(&call->section);
}

void redis_call_begin(struct redis_call *call, const struct aggregate *aggregate) {
    call->aggregate = aggregate;
    call->first_key = call->keys.count;
    redis_command_clear(&call->section);
    if (aggregate->index_key[0] != '\0')
        redis_command_put_key(&call->keys, call->prefix, aggregate->index_key, NULL);
    redis_command_put_key(&call->keys, call->prefix, aggregate->key,
                          aggregate_has_buckets(aggregate) ? AGGREGATE_OTHER : NULL);
    if (aggregate->anomalies_key != NULL)
        redis_command_put_key(&call->keys, call->prefix, aggregate->anomalies_key, NULL);
    if (aggregate_is_distinct(aggregate))
        redis_command_put_key(&call->keys, call->prefix, AGGREGATE_PIECE_KEY, NULL);
}

void redis_call_values_name(const struct aggregate *aggregate, char name[AGGREGATE_TEXT_BYTES]) {
    snprintf(name, AGGREGATE_TEXT_BYTES, AGGREGATE_VALUES_KEY "%s",
             aggregate->declared.settings->name);
}

/* Puts the key of a bucket's sorted set, or of that of a total. */
static void put_bucket_key(struct redis_call *call, const char *key, const char *bucket) {
    redis_command_put_key(&call->keys, call->prefix, key, *bucket == '\0' ? NULL : bucket);
}

void redis_call_put_bucket(struct redis_call *call, const char *name) {
    if (call->aggregate->kind == AGGREGATE_DISTINCT_BY) {
        char key[AGGREGATE_TEXT_BYTES];
        redis_call_values_name(call->aggregate, key);
        put_bucket_key(call, key, name);
        snprintf(key, sizeof key, AGGREGATE_ENDS_KEY "%s",
                 call->aggregate->declared.settings->name);
        put_bucket_key(call, key, name);
    } else if (aggregate_has_buckets(call->aggregate)) {
        put_bucket_key(call, call->aggregate->key, name);
    }
    redis_command_put_text(&call->section, name);
}

void redis_call_put_value_key(struct redis_call *call, const char *bucket, struct slice value) {
    redis_command_put_key_end(&call->keys, call->prefix, call->aggregate->key,
                              *bucket == '\0' ? NULL : bucket, value);
}

void redis_call_end(struct redis_call *call) {
    static const char *const kinds[] = {
        [AGGREGATE_VALUES] = "values",     [AGGREGATE_DAYS] = "days",
        [AGGREGATE_NAMES] = "names",       [AGGREGATE_BUCKETS] = "buckets",
        [AGGREGATE_TIMES] = "times",       [AGGREGATE_DATES] = "dates",
        [AGGREGATE_DISTINCT] = "distinct", [AGGREGATE_DISTINCT_BY] = "distinct_by"};
    redis_command_put_text(&call->arguments, kinds[call->aggregate->kind]);
    redis_command_put_int(&call->arguments, call->keys.count - call->first_key);
    redis_command_put_int(&call->arguments, call->section.count);
    put_all(&call->arguments, &call->section);
}

void redis_call_finish(struct redis_call *call, bool by_text, const char *script) {
    redis_command_clear(&call->command);
    redis_command_put_text(&call->command, by_text ? "EVAL" : "EVALSHA");
    redis_command_put_text(&call->command, script);
    redis_command_put_int(&call->command, call->keys.count);
    put_all(&call->command, &call->keys);
    put_all(&call->command, &call->arguments);
}

/* What was counted of one aggregate. */
struct counted {
    struct delta_key key;
    int64_t count;
    const struct hyperloglog *distinct; /* NULL: a count */
};

/* The minute, or that at which the bucket begins. */
static int64_t minute_of(const struct counted *counted) {
    return declared_key_bucket(counted->key.bytes);
}

static int compare_minutes(const void *a, const void *b) {
    const int64_t left = minute_of(a), right = minute_of(b);
    return (left > right) - (left < right);
}

/* Returns the counts of all deltas for a field; the caller frees them. */
static struct counted *collect(const struct store_call *checkpoint, unsigned field, size_t *count) {
    size_t room = 1;
    for (size_t i = 0; i < checkpoint->delta_count; i++)
        room += checkpoint->deltas[i]->entry_count;
    struct counted *items = memory_create(room * sizeof *items);
    *count = 0;
    for (size_t i = 0; i < checkpoint->delta_count; i++) {
        const struct delta *delta = checkpoint->deltas[i];
        for (uint32_t e = 0; e < delta->entry_count; e++) {
            const struct delta_entry *entry = &delta->entries[e];
            if (entry->field != field) continue;
            items[(*count)++] =
                (struct counted){delta_key(delta, entry), entry->count,
                                 entry->is_distinct ? &delta->distinct[entry->count] : NULL};
        }
    }
    return items;
}

static void put_distinct(struct redis_call *call, const struct hyperloglog *distinct) {
    char piece[HYPERLOGLOG_DENSE_BYTES];
    redis_command_put(&call->section, piece, hyperloglog_write(distinct, piece));
}

/* Puts pairs of value or name and count, or piece of a HyperLogLog. */
static void put_pairs(struct redis_call *call, const struct counted *items, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct delta_key *key = &items[i].key;
        if (call->aggregate->source == AGGREGATE_DIMENSION) {
            redis_command_put(&call->section, key->bytes, key->length);
        } else if (call->aggregate->kind == AGGREGATE_BUCKETS || items[i].distinct != NULL) {
            const struct slice value = declared_key_value(key->bytes, key->length);
            redis_command_put(&call->section, value.bytes, value.length);
        } else if (call->aggregate->source == AGGREGATE_DECLARED) {
            char name[DECLARED_BUCKET_BYTES];
            declared_bucket_name(call->aggregate->declared.every, minute_of(&items[i]), name);
            redis_command_put_text(&call->section, call->aggregate->kind == AGGREGATE_TIMES
                                                       ? name + DECLARED_TIME_AT
                                                       : name);
        } else {
            char name[AGGREGATE_TEXT_BYTES];
            aggregate_name(call->aggregate, delta_number(*key), name);
            redis_command_put_text(&call->section, name);
        }
        if (items[i].distinct == NULL)
            redis_command_put_int(&call->section, items[i].count);
        else
            put_distinct(call, items[i].distinct);
    }
}

/* Puts the further keys of a bucket of AGGREGATE_DISTINCT_BY: see distinct.lua. */
static void put_value_keys(struct redis_call *call, const char *bucket, const struct counted *items,
                           size_t count) {
    static const struct slice other = {AGGREGATE_OTHER, sizeof AGGREGATE_OTHER - 1};
    redis_call_put_value_key(call, bucket, other);
    for (size_t i = 0; i < count; i++) {
        const struct delta_key *key = &items[i].key;
        redis_call_put_value_key(call, bucket, declared_key_value(key->bytes, key->length));
    }
}

/* Puts for each day or bucket its name, n, and n pairs of minute, value or time, and count. */
static void put_buckets(struct redis_call *call, struct counted *items, size_t count) {
    const enum declared_every every = aggregate_index_every(call->aggregate);
    qsort(items, count, sizeof *items, compare_minutes);
    for (size_t begin = 0, end; begin < count; begin = end) {
        const int64_t bucket = declared_bucket(every, minute_of(&items[begin]));
        char name[DECLARED_BUCKET_BYTES];
        for (end = begin + 1; end < count; end++) {
            if (declared_bucket(every, minute_of(&items[end])) != bucket) break;
        }
        declared_bucket_name(every, bucket, name);
        redis_call_put_bucket(call, name);
        if (call->aggregate->kind == AGGREGATE_DISTINCT_BY)
            put_value_keys(call, name, items + begin, end - begin);
        redis_command_put_int(&call->section, (int64_t)(end - begin));
        put_pairs(call, items + begin, end - begin);
    }
}

static void put_section(struct redis_call *call, const struct aggregate_settings *settings,
                        const struct store_call *checkpoint, unsigned field,
                        const struct redis_days *needed) {
    size_t count;
    struct counted *items = collect(checkpoint, field, &count);
    if (call->aggregate->kind == AGGREGATE_DAYS) {
        redis_command_put_int(&call->section, setting_now(&settings->threshold));
        redis_command_put_int(&call->section, settings->max_days);
        redis_command_put_int(&call->section,
                              (int64_t)setting_now(&settings->retention_days) * 24 * 3600);
        put_buckets(call, items, count);
        for (size_t i = 0; i < needed->count; i++) {
            redis_call_put_bucket(call, needed->names[i]);
            redis_command_put_int(&call->section, 0);
        }
    } else if (call->aggregate->source == AGGREGATE_DECLARED) {
        const struct declared_settings *declared = call->aggregate->declared.settings;
        redis_command_put_int(&call->section, declared_buckets_max(declared, settings->max_days));
        redis_command_put_int(&call->section, (int64_t)declared->retention_days * 24 * 3600);
        redis_command_put_int(&call->section, declared->max_values);
        put_buckets(call, items, count);
    } else {
        if (call->aggregate->kind == AGGREGATE_VALUES) {
            redis_command_put_int(&call->section, settings->max_values);
        }
        put_pairs(call, items, count);
    }
    free(items);
}

static void put_offset(struct redis_command *command, int64_t offset) {
    if (offset == CURSOR_ABSENT)
        redis_command_put_text(command, "none");
    else if (offset == CURSOR_UNKNOWN)
        redis_command_put_text(command, "unknown");
    else
        redis_command_put_int(command, offset);
}

void redis_call_put_other(struct text *others, const struct store_call *checkpoint) {
    char tip[LINEAGE_TIP_BYTES];
    lineage_tip_format(checkpoint->base_tip, tip);
    text_format(others, " %d %lld %s", (int)checkpoint->partition, (long long)checkpoint->base,
                tip);
}

void redis_call_checkpoint(struct redis_call *call, const struct redis_store_options *options,
                           const struct redis_rules *rules, const struct store_call *checkpoint,
                           const char *others, bool by_text, const struct redis_days *needed) {
    const struct aggregates *aggregates = options->aggregates;
    char lineage[LINEAGE_TEXT_BYTES], base_tip[LINEAGE_TIP_BYTES];
    redis_call_clear(call, options->redis->prefix);
    redis_command_put_key(&call->keys, call->prefix, "offsets", NULL);
    redis_command_put_key(&call->keys, call->prefix, "meta", NULL);
    redis_command_put_key(&call->keys, call->prefix, "lineages", NULL);
    redis_command_put_int(&call->arguments, checkpoint->partition);
    put_offset(&call->arguments, checkpoint->base);
    put_offset(&call->arguments, checkpoint->end);
    redis_command_put_int(&call->arguments, REDIS_STORE_SCHEMA);
    redis_command_put_text(&call->arguments, options->group);
    redis_command_put_text(&call->arguments, options->topic);
    redis_command_put_text(&call->arguments, options->topic_id);
    lineage_tip_format(checkpoint->base_tip, base_tip);
    redis_command_put_text(&call->arguments, base_tip);
    lineage_format(&checkpoint->lineage, lineage);
    redis_command_put_text(&call->arguments, lineage);
    redis_command_put_text(&call->arguments, options->rules == NULL ? "" : options->rules);
    redis_command_put_text(&call->arguments, rules->accepted == NULL ? "" : rules->accepted);
    redis_command_put_int(&call->arguments, rules->is_ours_next);
    redis_command_put_text(&call->arguments, options->instance);
    redis_command_put_text(&call->arguments, others);
    redis_command_put_text(&call->arguments, options->rebuild == NULL ? "" : options->rebuild);
    if (checkpoint->origin >= 0)
        redis_command_put_int(&call->arguments, checkpoint->origin);
    else
        redis_command_put_text(&call->arguments, "");
    for (unsigned field = 0; field < aggregates->count; field++) {
        redis_call_begin(call, &aggregates->items[field]);
        put_section(call, aggregates->settings, checkpoint, field, needed);
        redis_call_end(call);
    }
    redis_call_finish(call, by_text, by_text ? checkpoint_lua : checkpoint_lua_sha);
}
