#include "app/totals.h"

#include <string.h>

/* One member that is being added. */
struct member {
    struct text *json;
    const struct aggregate *aggregate;
    struct tally *tally; /* the one that is visited */
    unsigned field;
    bool has_entries;
    int64_t other_total; /* of all shards: each has one of its own */
};

static void add_name(const struct member *member, struct delta_key key) {
    char name[AGGREGATE_TEXT_BYTES];
    if (member->aggregate->source == AGGREGATE_DIMENSION) {
        text_add_json(member->json, key.bytes, key.length);
        return;
    }
    const int64_t number = delta_number(key);
    aggregate_name(member->aggregate, number, name);
    if (member->aggregate->kind == AGGREGATE_DAYS) {
        char day[LOGIN_DAY_BYTES];
        login_day_format(number, day);
        text_format(member->json, "\"%s %s\"", day, name);
    } else {
        text_format(member->json, "\"%s\"", name);
    }
}

static void visit(void *context, struct delta_key key, int64_t total) {
    struct member *member = context;
    if (key.field != member->field) return;
    if (tally_is_other(member->tally, key)) {
        member->other_total += total;
        return;
    }
    if (member->has_entries) text_add(member->json, ", ");
    member->has_entries = true;
    add_name(member, key);
    text_format(member->json, ": %lld", (long long)total);
}

void totals_render(struct tally *const *tallies, unsigned shard_count,
                   const struct aggregates *aggregates, struct text *json) {
    text_add(json, "{");
    for (unsigned i = 0; i < aggregates->count; i++) {
        const struct aggregate *aggregate = &aggregates->items[i];
        struct member member = {.json = json, .aggregate = aggregate, .field = i};
        if (i > 0) text_add(json, ", ");
        text_add_json(json, aggregate->title, strlen(aggregate->title));
        text_add(json, ": {");
        for (unsigned s = 0; s < shard_count; s++) {
            member.tally = tallies[s];
            tally_visit(tallies[s], visit, &member);
        }
        if (member.other_total > 0) {
            text_format(json, "%s\"" AGGREGATE_OTHER "\": %lld", member.has_entries ? ", " : "",
                        (long long)member.other_total);
        }
        text_add(json, "}");
    }
    text_add(json, "}");
}
