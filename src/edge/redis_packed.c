/* A name may have any byte, blanks too, so its length stands before it. */
#include "redis_packed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "core/declared.h"

struct pair {
    struct slice name;
    double count;
};

/* Takes a pair out of packed counts; false if there is none, or it has not the form. */
static bool take_pair(struct slice *packed, struct pair *pair) {
    char *stop;
    const size_t length = strtoul(packed->bytes, &stop, 10);
    const size_t head = (size_t)(stop - packed->bytes) + 1;
    if (head == 1 || *stop != ' ' || length >= packed->length || head + length >= packed->length)
        return false;
    pair->name = (struct slice){packed->bytes + head, length};
    const char *count = packed->bytes + head + length;
    if (*count != ' ') return false;
    pair->count = strtod(count + 1, &stop);
    const char *end = packed->bytes + packed->length;
    if (stop == count + 1 || stop > end || (stop < end && *stop != ' ')) return false;
    packed->bytes = stop < end ? stop + 1 : end;
    packed->length = (size_t)(end - packed->bytes);
    return true;
}

/* JSON has no infinity; a score may be one, if somebody else wrote it. */
static void add_count(struct text *json, const struct pair *pair) {
    if (isfinite(pair->count))
        text_format(json, "%.0f", pair->count);
    else
        text_add(json, "null");
}

/* Adds a member; its name is made of the style and the pair's. */
static void add_pair(struct text *json, const struct redis_packed_style *style,
                     const struct pair *pair, const char **separator) {
    text_add(json, *separator);
    *separator = ", ";
    if (*style->before == '\0') {
        text_add_json(json, pair->name.bytes, pair->name.length);
    } else {
        char room[64];
        const bool is_short = pair->name.length + LOGIN_DAY_BYTES < sizeof room; /* as ours are */
        struct text name = is_short ? text_within(room, sizeof room) : (struct text){0};
        text_format(&name, "%s%s", style->before, style->between);
        text_add_bytes(&name, pair->name.bytes, pair->name.length);
        text_add_json(json, text_string(&name), name.length);
        json->is_broken |= name.is_broken;
        if (!is_short) text_release(&name);
    }
    text_add(json, ": ");
    add_count(json, pair);
}

static int compare_names(const void *a, const void *b) {
    const struct slice *left = &((const struct pair *)a)->name;
    const struct slice *right = &((const struct pair *)b)->name;
    const size_t shorter = left->length < right->length ? left->length : right->length;
    const int order = memcmp(left->bytes, right->bytes, shorter);
    return order != 0 ? order : (left->length > right->length) - (left->length < right->length);
}

/* Adds packed counts in order of their names; false if they have not the form. */
bool redis_packed_add_sorted(struct text *json, const struct redis_packed_style *style,
                             const struct redis_reply *reply, const char **separator) {
    struct slice packed = redis_reply_text(reply);
    struct pair *pairs = memory_create((packed.length / 5 + 1) * sizeof *pairs); /* "1 a 1" */
    size_t count = 0;
    while (packed.length > 0 && take_pair(&packed, &pairs[count]))
        count++;
    qsort(pairs, count, sizeof *pairs, compare_names);
    for (size_t i = 0; i < count; i++) {
        char day[DECLARED_BUCKET_BYTES];
        snprintf(day, sizeof day, "%.*s", (int)pairs[i].name.length, pairs[i].name.bytes);
        if (style->days == NULL || (day[0] != '_' && days_have(style->days, day)))
            add_pair(json, style, &pairs[i], separator);
    }
    free(pairs);
    return packed.length == 0;
}

const struct redis_packed_style redis_packed_plain = {"", "", NULL};

/* Adds the one number of a bucket. */
bool redis_packed_add_number(struct text *json, const struct redis_reply *reply) {
    struct slice packed = redis_reply_text(reply);
    struct pair pair = {.count = 0};
    if (packed.length > 0 && !take_pair(&packed, &pair)) return false;
    add_count(json, &pair);
    return packed.length == 0;
}

bool redis_packed_add_values(struct text *json, const struct redis_reply *reply) {
    struct slice packed = redis_reply_text(reply);
    const char *separator = "";
    struct pair pair;
    while (packed.length > 0 && take_pair(&packed, &pair))
        add_pair(json, &redis_packed_plain, &pair, &separator);
    return packed.length == 0;
}
