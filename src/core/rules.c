#include "core/rules.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What a line begins with that is about one of several of a kind. */
static const char dimension_prefix[] = "dimension.", count_prefix[] = "count.";

__attribute__((format(printf, 3, 4))) static void put(char text[RULES_BYTES], size_t *used,
                                                      const char *format, ...) {
    va_list values;
    va_start(values, format);
    *used += (size_t)vsnprintf(text + *used, RULES_BYTES - *used, format, values);
    va_end(values);
    assert(*used < RULES_BYTES);
}

static void print_count(const struct declared_settings *count, char text[RULES_BYTES],
                        size_t *used) {
    put(text, used, "%s%s.by = ", count_prefix, count->name);
    for (int i = 0; i < count->by.count; i++)
        put(text, used, "%s%s", i == 0 ? "" : ",", count->by.items[i]);
    put(text, used, "\n%s%s.every = %s\n", count_prefix, count->name,
        declared_every_names[count->every]);
    put(text, used, "%s%s.max_values = %d\n", count_prefix, count->name, count->max_values);
    put(text, used, "%s%s.unique = %s\n", count_prefix, count->name,
        count->unique == NULL ? "" : count->unique);
}

void rules_print(const struct login_rules *login, const struct aggregate_settings *aggregate,
                 char text[RULES_BYTES]) {
    static const char *const framings[] = {"none", "confluent"}, *const accepts[] = {"string",
                                                                                     "scalar"};
    size_t used = 0;
    put(text, &used, "input.timestamp = %s\n", login->timestamp);
    put(text, &used, "input.timestamp_format = %s\n",
        instant_format_names[login->timestamp_format]);
    put(text, &used, "input.key = %s\n", login->key);
    put(text, &used, "input.framing = %s\n", framings[login->framing]);
    put(text, &used, "aggregate.max_future_s = %lld\n", (long long)login->max_future_s);
    put(text, &used, "aggregate.max_values = %d\n", aggregate->max_values);
    put(text, &used, "aggregate.max_days = %d\n", aggregate->max_days);
    for (size_t d = 0; d < login->dimension_count; d++) {
        const struct login_dimension *dimension = &login->dimensions[d];
        put(text, &used, "%s%s.from = %s\n", dimension_prefix, dimension->name,
            dimension->from == NULL ? dimension->name : dimension->from);
        put(text, &used, "%s%s.default = %s\n", dimension_prefix, dimension->name,
            dimension->fallback == NULL ? "" : dimension->fallback);
        put(text, &used, "%s%s.accept = %s\n", dimension_prefix, dimension->name,
            accepts[dimension->accept]);
    }
    for (int i = 0; i < aggregate->count_count; i++)
        print_count(&aggregate->counts[i], text, &used);
}

void rules_of_settings(const struct login_settings *login,
                       const struct aggregate_settings *aggregate, char text[RULES_BYTES]) {
    struct login_rules rules;
    login_rules_init(&rules, login, &aggregate->dimensions);
    rules_print(&rules, aggregate, text);
}

/* --- comparing -------------------------------------------------------------------------------- */

struct line {
    struct slice key, value;
};

/* The line at *p, which moves behind it; false: no more. */
static bool next_line(const char **p, struct line *line) {
    const char *end = strchrnul(*p, '\n'), *middle = strstr(*p, " = ");
    if (**p == '\0') return false;
    if (middle == NULL || middle > end) middle = end;
    const char *value = middle == end ? end : middle + 3;
    line->key = (struct slice){*p, (size_t)(middle - *p)};
    line->value = (struct slice){value, (size_t)(end - value)};
    *p = end + (*end == '\n');
    return true;
}

static bool is_same(struct slice a, struct slice b) {
    return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

static bool find(const char *text, struct slice key, struct line *line) {
    while (next_line(&text, line)) {
        if (is_same(line->key, key)) return true;
    }
    return false;
}

static bool begins_with(struct slice key, const char *prefix) {
    const size_t length = strlen(prefix);
    return key.length > length && memcmp(key.bytes, prefix, length) == 0;
}

/* Whether what it is about may come and go, and all else is counted as it was. */
static bool is_named(struct slice key) {
    return begins_with(key, dimension_prefix) || begins_with(key, count_prefix);
}

/* "dimension.locale" of "dimension.locale.from". */
static struct slice name_of(struct slice key) {
    const char *dot = memrchr(key.bytes, '.', key.length);
    return (struct slice){key.bytes, (size_t)(dot - key.bytes)};
}

__attribute__((format(printf, 2, 3))) static void say(char difference[RULES_DIFFERENCE_BYTES],
                                                      const char *format, ...) {
    const size_t used = strlen(difference);
    va_list values;
    va_start(values, format);
    if (used > 0) snprintf(difference + used, RULES_DIFFERENCE_BYTES - used, ", and ");
    const size_t begun = strlen(difference);
    vsnprintf(difference + begun, RULES_DIFFERENCE_BYTES - begun, format, values);
    va_end(values);
}

#define SHOWN(slice) (int)((slice).length < 100 ? (slice).length : 100), (slice).bytes

/* Looks for lines of `text` that `other` has not, or with another value. */
static enum rules_verdict look(const char *text, const char *other, bool is_ours,
                               enum rules_verdict verdict,
                               char difference[RULES_DIFFERENCE_BYTES]) {
    struct line line, match;
    struct slice said = {"", 0};
    while (next_line(&text, &line)) {
        const bool is_there = find(other, line.key, &match);
        if (is_there && is_same(line.value, match.value)) continue;
        if (is_there && !is_ours) continue; /* it was said from the other side */
        if (is_there) {
            say(difference, "%.*s is \"%.*s\" there and \"%.*s\" here", SHOWN(line.key),
                SHOWN(match.value), SHOWN(line.value));
            verdict = RULES_OTHER;
        } else if (!is_named(line.key)) {
            say(difference, "%.*s is only %s", SHOWN(line.key), is_ours ? "here" : "there");
            verdict = RULES_OTHER;
        } else if (!is_same(said, name_of(line.key))) {
            said = name_of(line.key);
            say(difference, is_ours ? "%.*s is new" : "%.*s is no longer counted", SHOWN(said));
            if (verdict == RULES_SAME) verdict = RULES_OTHER_COUNTS;
        }
    }
    return verdict;
}

enum rules_verdict rules_compare(const char *theirs, const char *ours,
                                 char difference[RULES_DIFFERENCE_BYTES]) {
    difference[0] = '\0';
    const enum rules_verdict verdict = look(ours, theirs, true, RULES_SAME, difference);
    return look(theirs, ours, false, verdict, difference);
}
