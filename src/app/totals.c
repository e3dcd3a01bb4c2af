#include "app/totals.h"

#include <string.h>

#include "edge/redis_snapshot.h"

struct page {
    struct text *json;
    unsigned field;
    bool has_entries;
    int64_t other_total; /* of all shards: each has one of its own */
};

static bool is_other(struct delta_key key) {
    if (key.field >= DELTA_MINUTE) return delta_number(key) < 0;
    return key.length == sizeof TALLY_OTHER - 1 && memcmp(key.bytes, TALLY_OTHER, key.length) == 0;
}

static void visit(void *context, struct delta_key key, int64_t total) {
    struct page *page = context;
    if (key.field != page->field) return;
    if (is_other(key)) {
        page->other_total += total;
        return;
    }
    if (page->has_entries) text_add(page->json, ", ");
    page->has_entries = true;
    if (key.field < DELTA_MINUTE) {
        text_add_json(page->json, key.bytes, key.length);
    } else if (key.field == DELTA_REJECTED) {
        text_format(page->json, "\"%s\"", login_reason_name((enum login_reason)delta_number(key)));
    } else {
        char day[LOGIN_DAY_BYTES], minute[LOGIN_MINUTE_BYTES];
        login_day_format(delta_number(key), day);
        login_minute_format(delta_number(key), minute);
        text_format(page->json, "\"%s %s\"", day, minute);
    }
    text_format(page->json, ": %lld", (long long)total);
}

static void add_field(struct tally *const *tallies, unsigned shard_count, unsigned field,
                      struct text *json) {
    struct page page = {.json = json, .field = field};
    text_add(json, ": {");
    for (unsigned s = 0; s < shard_count; s++)
        tally_visit(tallies[s], visit, &page);
    if (page.other_total > 0) {
        text_format(json, "%s\"" TALLY_OTHER "\": %lld", page.has_entries ? ", " : "",
                    (long long)page.other_total);
    }
    text_add(json, "}");
}

void totals_render(struct tally *const *tallies, unsigned shard_count,
                   const char *const *dimensions, unsigned dimension_count, struct text *json) {
    tally_enter();
    text_add(json, "{");
    for (unsigned d = 0; d < dimension_count; d++) {
        redis_snapshot_title(json, dimensions[d]);
        add_field(tallies, shard_count, d, json);
        text_add(json, ", ");
    }
    text_add(json, "\"Logins Over Time\"");
    add_field(tallies, shard_count, DELTA_MINUTE, json);
    text_add(json, ", \"Rejected\"");
    add_field(tallies, shard_count, DELTA_REJECTED, json);
    text_add(json, "}");
    tally_leave();
}
