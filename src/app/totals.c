#include "app/totals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* One member that is being added. */
struct member {
    struct text *json;
    const struct aggregate *aggregate;
    const char *separator;
};

static bool visit(void *context, struct delta_key key, int64_t total) {
    struct member *member = context;
    text_add(member->json, member->separator);
    member->separator = ", ";
    if (member->aggregate->source == AGGREGATE_DIMENSION) {
        text_add_json(member->json, key.bytes, key.length);
    } else {
        char name[AGGREGATE_TEXT_BYTES];
        aggregate_name(member->aggregate, delta_number(key), name);
        text_add_json(member->json, name, strlen(name));
    }
    text_format(member->json, ": %lld", (long long)total);
    return !member->json->is_broken;
}

static void add_day(struct member *member, const struct tally_day *day, const char *name) {
    for (int m = 0; m < AGGREGATE_MINUTES_A_DAY; m++) {
        char minute[LOGIN_MINUTE_BYTES];
        if (day->totals[m] == 0) continue;
        login_minute_format(m, minute);
        text_format(member->json, "%s\"%s %s\": %lld", member->separator, name, minute,
                    (long long)day->totals[m]);
        member->separator = ", ";
    }
}

static void add_days(struct member *member, struct tally *tally, const struct days *days) {
    struct tally_day *day = memory_create(sizeof *day);
    for (int64_t before = INT64_MAX; !member->json->is_broken && tally_copy_day(tally, before, day);
         before = day->day) {
        char name[LOGIN_DAY_BYTES];
        login_day_format(day->day * AGGREGATE_MINUTES_A_DAY, name);
        if (days_have(days, name)) add_day(member, day, name);
    }
    free(day);
    const int64_t older = tally_older(tally);
    if (older > 0 && days_are_all(days))
        text_format(member->json, "%s\"" AGGREGATE_OTHER "\": %lld", member->separator,
                    (long long)older);
}

/* --- declared counts -------------------------------------------------------------------------- */

/* A declared count while it is added. */
struct shown {
    struct text *json;
    const struct aggregate *aggregate;
    const struct days *days;
    const struct delta *counts;
};

/* By bucket, the newest first and what has none of its own last. */
static int newest_first(const void *a, const void *b, void *context) {
    const struct delta *counts = context;
    const struct delta_entry *const *left = a, *const *right = b;
    const int64_t first = declared_key_bucket(delta_key(counts, *left).bytes);
    const int64_t second = declared_key_bucket(delta_key(counts, *right).bytes);
    if (first == second) return 0;
    if (first == TALLY_OTHER_BUCKET || second == TALLY_OTHER_BUCKET)
        return first == TALLY_OTHER_BUCKET ? 1 : -1;
    return first > second ? -1 : 1;
}

static void add_total(const struct shown *shown, const struct delta_entry *entry) {
    const int64_t total =
        entry->is_distinct ? (int64_t)hyperloglog_estimate(&shown->counts->distinct[entry->count])
                           : entry->count;
    text_format(shown->json, "%lld", (long long)total);
}

/* The name of a bucket; false if its day is not asked for. */
static bool is_shown(const struct shown *shown, int64_t bucket, char name[AGGREGATE_TEXT_BYTES]) {
    char day[LOGIN_DAY_BYTES];
    snprintf(name, AGGREGATE_TEXT_BYTES, "%s", AGGREGATE_OTHER);
    if (bucket == TALLY_OTHER_BUCKET) return days_are_all(shown->days);
    declared_bucket_name(shown->aggregate->declared.every, bucket, name);
    snprintf(day, sizeof day, "%.*s", (int)sizeof day - 1, name);
    return shown->aggregate->declared.every == DECLARED_TOTAL || days_have(shown->days, day);
}

/* Adds the entries of one bucket, `count` of them from `entries` on, as members. */
static void add_values(const struct shown *shown, const struct delta_entry *const *entries,
                       size_t count) {
    for (size_t i = 0; i < count && !shown->json->is_broken; i++) {
        const struct delta_key key = delta_key(shown->counts, entries[i]);
        const struct slice value = declared_key_value(key.bytes, key.length);
        if (i > 0) text_add(shown->json, ", ");
        text_add_json(shown->json, value.bytes, value.length);
        text_add(shown->json, ": ");
        add_total(shown, entries[i]);
    }
}

/* Adds one bucket: its number, or its values; of a total without its name. */
static void add_bucket(const struct shown *shown, const struct delta_entry *const *entries,
                       size_t count, const char **separator) {
    char name[AGGREGATE_TEXT_BYTES];
    const struct declared *declared = &shown->aggregate->declared;
    const bool is_total = declared->every == DECLARED_TOTAL;
    const int64_t bucket = declared_key_bucket(delta_key(shown->counts, entries[0]).bytes);
    if (!is_shown(shown, bucket, name)) return;
    text_add(shown->json, *separator);
    *separator = ", ";
    if (!is_total) {
        text_add_json(shown->json, name, strlen(name));
        text_add(shown->json, ": ");
    }
    if (declared->by_count > 0) {
        if (!is_total) text_add(shown->json, "{");
        add_values(shown, entries, count);
        if (!is_total) text_add(shown->json, "}");
    } else {
        add_total(shown, entries[0]);
    }
}

static void add_declared(const struct shown *shown) {
    const uint32_t count = shown->counts->entry_count;
    /* NOLINTBEGIN(bugprone-sizeof-expression): an array of pointers */
    const struct delta_entry **entries = memory_create((count + 1) * sizeof *entries);
    const char *separator = "";
    for (uint32_t i = 0; i < count; i++)
        entries[i] = &shown->counts->entries[i];
    qsort_r(entries, count, sizeof *entries, newest_first, (void *)shown->counts);
    /* NOLINTEND(bugprone-sizeof-expression) */
    size_t end;
    for (size_t begin = 0; begin < count && !shown->json->is_broken; begin = end) {
        for (end = begin + 1; end < count && newest_first(&entries[begin], &entries[end],
                                                          (void *)shown->counts) == 0;)
            end++;
        add_bucket(shown, entries + begin, end - begin, &separator);
    }
    free(entries);
}

/* One count; it is copied, since whoever takes the text may be slow. */
static void add_count(struct tally *tally, const struct aggregates *aggregates, unsigned field,
                      const struct days *days, struct text *json) {
    struct delta counts;
    const struct shown shown = {json, &aggregates->items[field], days, &counts};
    const struct declared *declared = &shown.aggregate->declared;
    const bool is_number = declared->every == DECLARED_TOTAL && declared->by_count == 0;
    delta_init(&counts);
    tally_copy_declared(tally, field, &counts);
    text_add_json(json, shown.aggregate->title, strlen(shown.aggregate->title));
    text_add(json, is_number ? ": " : ": {");
    if (is_number && counts.entry_count == 0) text_add(json, "0");
    add_declared(&shown);
    if (!is_number) text_add(json, "}");
    delta_release(&counts);
}

static void add_counts(struct tally *tally, const struct aggregates *aggregates,
                       const struct days *days, struct text *json) {
    if (aggregates->first_declared == aggregates->count) return;
    text_add(json, ", \"Counts\": {");
    for (unsigned i = aggregates->first_declared; i < aggregates->count && !json->is_broken; i++) {
        if (i > aggregates->first_declared) text_add(json, ", ");
        add_count(tally, aggregates, i, days, json);
    }
    text_add(json, "}");
}

/* --- the whole -------------------------------------------------------------------------------- */

void totals_render(struct tally *tally, const struct aggregates *aggregates,
                   const struct days *days, struct text *json) {
    text_add(json, "{");
    for (unsigned i = 0; i < aggregates->first_declared && !json->is_broken; i++) {
        const struct aggregate *aggregate = &aggregates->items[i];
        struct member member = {.json = json, .aggregate = aggregate, .separator = ""};
        if (i > 0) text_add(json, ", ");
        text_add_json(json, aggregate->title, strlen(aggregate->title));
        text_add(json, ": {");
        if (aggregate->kind == AGGREGATE_DAYS)
            add_days(&member, tally, days);
        else
            tally_visit(tally, i, visit, &member);
        text_add(json, "}");
    }
    add_counts(tally, aggregates, days, json);
    text_add(json, "}");
}
