/* declared: which counts may be declared, and the keys that their records have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "core/aggregate.h"
#include "core/declared.h"

static char device[] = "device", locale[] = "locale", os[] = "os", version[] = "version";
static char none[] = "", unique[] = "user_id";
static const struct setting_names dimensions = {{device, locale, os, version}, 4};

/* 2024-07-10 14:36 in minutes since 1970. */
#define MINUTE (INT64_C(28676160) + 14 * 60 + 36)

static struct declared_settings count(const char *name, enum declared_every every) {
    return (struct declared_settings){.name = (char *)(uintptr_t)name,
                                      .every = every,
                                      .retention_days = 400,
                                      .max_values = 10000,
                                      .unique = none};
}

static void allowed(const struct declared_settings *settings) {
    struct error error = {""};
    if (!declared_check(settings, &dimensions, &error)) fail_msg("%s", error.text);
}

static void rejected(const struct declared_settings *settings, const char *why) {
    struct error error = {""};
    assert_false(declared_check(settings, &dimensions, &error));
    if (strstr(error.text, why) == NULL) fail_msg("\"%s\" is not in: %s", why, error.text);
}

static void a_count_has_something_to_count(void **state) {
    (void)state;
    struct declared_settings settings = count("c", DECLARED_TOTAL);
    rejected(&settings, "count.c has nothing to count: set by, every or unique");
    settings.every = DECLARED_DAY;
    allowed(&settings);
    settings = count("c", DECLARED_TOTAL);
    settings.by = (struct setting_names){{locale}, 1};
    allowed(&settings);
    settings.unique = unique;
    allowed(&settings);
    settings.by.count = 0;
    allowed(&settings);
}

static void it_is_by_known_dimensions(void **state) {
    (void)state;
    static char unknown[] = "locales", strange[] = "something_else";
    struct declared_settings settings = count("c", DECLARED_HOUR);
    settings.by = (struct setting_names){{device, locale, os}, 3};
    allowed(&settings);
    settings.by = (struct setting_names){{device, unknown}, 2};
    rejected(&settings, "count.c.by: locales is not in aggregate.dimensions; did you mean locale?");
    settings.by = (struct setting_names){{strange}, 1};
    rejected(&settings, "something_else is not in aggregate.dimensions; add it there");
}

static void its_name_is_part_of_a_key(void **state) {
    (void)state;
    char longest[DECLARED_NAME_BYTES_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    struct declared_settings settings = count(longest, DECLARED_DAY);
    rejected(&settings, "at most 64");
    longest[DECLARED_NAME_BYTES_MAX] = '\0';
    allowed(&settings);
    static const char *const wrong[] = {"a b", "a:b", "a/b", "\xC3\xBC"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        settings = count(wrong[i], DECLARED_DAY);
        rejected(&settings, "the name of a count has");
    }
}

/* --- keys ------------------------------------------------------------------------------------- */

static struct slice slice(const char *text) {
    return (struct slice){text, strlen(text)};
}

/* Checks the value of the key of a login with these values of device, locale and os. */
static void counted_as(const char *expected, const struct setting_names *by, const char *a,
                       const char *b, const char *c) {
    struct declared_settings settings = count("c", DECLARED_HOUR);
    struct declared declared;
    char key[DECLARED_KEY_BYTES];
    const struct login login = {.minute = MINUTE, .values = {slice(a), slice(b), slice(c)}};
    settings.by = *by;
    declared_init(&declared, &settings, &dimensions);
    const size_t length = declared_key(&declared, &login, key);
    const struct slice value = declared_key_value(key, length);
    assert_int_equal(declared_key_bucket(key), MINUTE - 36);
    assert_int_equal(value.length, strlen(expected));
    assert_memory_equal(value.bytes, expected, value.length);
}

static void values_of_several_dimensions_are_joined_and_escaped(void **state) {
    (void)state;
    const struct setting_names no = {.count = 0}, one = {{locale}, 1}, two = {{locale, device}, 2},
                               three = {{device, locale, os}, 3};
    counted_as("", &no, "tv", "PA", "x");
    counted_as("PA", &one, "tv", "PA", "x");
    counted_as("a|b\\c", &one, "tv", "a|b\\c", "x");
    counted_as("PA|tv", &two, "tv", "PA", "x");
    counted_as("a\\|b|\\\\", &two, "\\", "a|b", "x");
    counted_as("a|b|c", &three, "a", "b", "c");
    counted_as("a\\|b|c|d", &three, "a|b", "c", "d");
    counted_as("a|b\\|c|d", &three, "a", "b|c", "d");
}

static void the_longest_values_have_room(void **state) {
    (void)state;
    static char longest[LOGIN_VALUE_BYTES_MAX];
    char key[DECLARED_KEY_BYTES];
    struct declared_settings settings = count("c", DECLARED_MINUTE);
    struct declared declared;
    memset(longest, '|', sizeof longest);
    const struct slice value = {longest, sizeof longest};
    const struct login login = {.minute = MINUTE, .values = {value, value, value}};
    settings.by = (struct setting_names){{device, locale, os}, 3};
    declared_init(&declared, &settings, &dimensions);
    assert_int_equal(declared_key(&declared, &login, key), DECLARED_KEY_BYTES);
    assert_int_equal(key[DECLARED_KEY_BYTES - 1], '|');
}

/* --- buckets ---------------------------------------------------------------------------------- */

static void buckets_have_names_that_can_be_read(void **state) {
    (void)state;
    static const struct {
        enum declared_every every;
        const char *first, *now, *last;
    } cases[] = {
        {DECLARED_TOTAL, "", "", ""},
        {DECLARED_DAY, "1970-01-01", "2024-07-10", "9999-12-31"},
        {DECLARED_HOUR, "1970-01-01T00", "2024-07-10T14", "9999-12-31T23"},
        {DECLARED_MINUTE, "1970-01-01T00:00", "2024-07-10T14:36", "9999-12-31T23:59"},
    };
    const int64_t minutes[] = {0, MINUTE, LOGIN_MINUTE_MAX};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const names[] = {cases[i].first, cases[i].now, cases[i].last};
        for (int m = 0; m < 3; m++) {
            char name[DECLARED_BUCKET_BYTES];
            int64_t back = -1;
            const int64_t bucket = declared_bucket(cases[i].every, minutes[m]);
            declared_bucket_name(cases[i].every, bucket, name);
            assert_string_equal(name, names[m]);
            assert_true(declared_bucket_parse(cases[i].every, slice(name), &back));
            assert_int_equal(back, bucket);
        }
    }
}

static void what_is_no_bucket_is_not_read(void **state) {
    (void)state;
    static const struct {
        enum declared_every every;
        const char *name;
    } cases[] = {
        {DECLARED_TOTAL, "x"},
        {DECLARED_DAY, ""},
        {DECLARED_DAY, "2024-07-1"},
        {DECLARED_DAY, "2024-02-30"},
        {DECLARED_DAY, "2024-07-10T1"},
        {DECLARED_HOUR, "2024-07-10"},
        {DECLARED_HOUR, "2024-07-10T24"},
        {DECLARED_HOUR, "2024-07-10 14"},
        {DECLARED_HOUR, "2024-07-10T1"},
        {DECLARED_HOUR, "2024-07-10T14:36"},
        {DECLARED_MINUTE, "2024-07-10T14"},
        {DECLARED_MINUTE, "2024-07-10T14:60"},
        {DECLARED_MINUTE, "2024-07-10T14:3"},
        {DECLARED_MINUTE, "__other__"},
        {DECLARED_MINUTE, "2024-07-10T14:36:00 and more"},
        {DECLARED_MINUTE, "2024-07-10T-4:36"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t bucket;
        if (declared_bucket_parse(cases[i].every, slice(cases[i].name), &bucket))
            fail_msg("\"%s\" was read", cases[i].name);
    }
}

/* --- the table -------------------------------------------------------------------------------- */

static void each_is_a_row_behind_the_others(void **state) {
    (void)state;
    struct aggregate_settings settings = {.dimensions = dimensions, .max_days = 10};
    struct aggregates aggregates;
    static const struct {
        const char *name;
        enum declared_every every;
        int by_count;
        enum aggregate_kind kind;
        const char *index_key;
        int64_t buckets_max;
        bool is_distinct;
    } wanted[] = {
        {"total", DECLARED_TOTAL, 1, AGGREGATE_BUCKETS, "count_buckets:total", 10},
        {"daily", DECLARED_DAY, 1, AGGREGATE_BUCKETS, "count_buckets:daily", 10},
        {"hourly", DECLARED_HOUR, 2, AGGREGATE_BUCKETS, "count_buckets:hourly", 10 * 24},
        {"fine", DECLARED_MINUTE, 3, AGGREGATE_BUCKETS, "count_buckets:fine", 10 * 1440},
        {"days", DECLARED_DAY, 0, AGGREGATE_DATES, "count_days:days", 10},
        {"hours", DECLARED_HOUR, 0, AGGREGATE_TIMES, "count_buckets:hours", 10},
        {"minutes", DECLARED_MINUTE, 0, AGGREGATE_TIMES, "count_buckets:minutes", 10},
        {"users", DECLARED_HOUR, 0, AGGREGATE_DISTINCT, "count_buckets:users", 10 * 24, true},
        {"each", DECLARED_TOTAL, 1, AGGREGATE_DISTINCT_BY, "count_buckets:each", 10, true},
        {"each_hour", DECLARED_HOUR, 2, AGGREGATE_DISTINCT_BY, "count_buckets:each_hour", 10 * 24,
         true},
    };
    settings.count_count = sizeof wanted / sizeof *wanted;
    for (int i = 0; i < settings.count_count; i++) {
        settings.counts[i] = count(wanted[i].name, wanted[i].every);
        settings.counts[i].by = dimensions;
        settings.counts[i].by.count = wanted[i].by_count;
        if (wanted[i].is_distinct) settings.counts[i].unique = unique;
    }
    aggregates_init(&aggregates, &settings);
    assert_int_equal(aggregates.count, aggregates.first_declared + 10);
    for (unsigned i = 0; i < aggregates.count; i++) {
        const bool is_declared = i >= aggregates.first_declared;
        assert_int_equal(aggregates.items[i].source == AGGREGATE_DECLARED, is_declared);
    }
    for (int i = 0; i < settings.count_count; i++) {
        const struct aggregate *row = &aggregates.items[(int)aggregates.first_declared + i];
        assert_int_equal(row->kind, wanted[i].kind);
        assert_string_equal(row->title, wanted[i].name);
        assert_string_equal(row->key + strlen("count:"), wanted[i].name);
        assert_string_equal(row->index_key, wanted[i].index_key);
        assert_int_equal(declared_buckets_max(&settings.counts[i], settings.max_days),
                         wanted[i].buckets_max);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_count_has_something_to_count),
        cmocka_unit_test(it_is_by_known_dimensions),
        cmocka_unit_test(its_name_is_part_of_a_key),
        cmocka_unit_test(values_of_several_dimensions_are_joined_and_escaped),
        cmocka_unit_test(the_longest_values_have_room),
        cmocka_unit_test(buckets_have_names_that_can_be_read),
        cmocka_unit_test(what_is_no_bucket_is_not_read),
        cmocka_unit_test(each_is_a_row_behind_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
