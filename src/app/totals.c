#include "app/totals.h"

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
    text_add(json, "}");
}
