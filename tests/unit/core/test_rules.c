/* The rules as a text: all of them are in it, and a difference is found and put into words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/path.h"
#include "core/rules.h"

static const struct aggregate_settings aggregate = {.max_values = 10000, .max_days = 4000};

static struct login_rules usual(void) {
    return (struct login_rules){
        .dimensions = {{"device_type"}, {"locale", "/context/locale", "unknown"}},
        .dimension_count = 2,
        .timestamp = "timestamp",
        .key = "user_id",
        .max_future_s = 3600,
    };
}

static enum rules_verdict compare(const struct login_rules *theirs, const struct login_rules *ours,
                                  const char *words) {
    char a[RULES_BYTES], b[RULES_BYTES], difference[RULES_DIFFERENCE_BYTES];
    rules_print(theirs, &aggregate, a);
    rules_print(ours, &aggregate, b);
    const enum rules_verdict verdict = rules_compare(a, b, difference);
    assert_string_equal(difference, words);
    return verdict;
}

static void the_text_has_every_rule(void **state) {
    (void)state;
    char text[RULES_BYTES];
    const struct login_rules rules = usual();
    rules_print(&rules, &aggregate, text);
    assert_string_equal(text, "input.timestamp = timestamp\ninput.timestamp_format = s\n"
                              "input.key = user_id\ninput.framing = none\n"
                              "aggregate.max_future_s = 3600\naggregate.max_values = 10000\n"
                              "aggregate.max_days = 4000\n"
                              "dimension.device_type.from = device_type\n"
                              "dimension.device_type.default = \n"
                              "dimension.device_type.accept = string\n"
                              "dimension.locale.from = /context/locale\n"
                              "dimension.locale.default = unknown\n"
                              "dimension.locale.accept = string\n");
}

static void the_order_of_dimensions_is_no_difference(void **state) {
    (void)state;
    const struct login_rules rules = usual();
    struct login_rules other = usual();
    other.dimensions[0] = rules.dimensions[1];
    other.dimensions[1] = rules.dimensions[0];
    assert_int_equal(compare(&rules, &rules, ""), RULES_SAME);
    assert_int_equal(compare(&rules, &other, ""), RULES_SAME);
}

static void each_other_rule_is_named_with_both_values(void **state) {
    (void)state;
    const struct login_rules rules = usual();
    struct login_rules other = usual();
    other.timestamp_format = INSTANT_MS;
    assert_int_equal(
        compare(&rules, &other, "input.timestamp_format is \"s\" there and \"ms\" here"),
        RULES_OTHER);
    other.dimensions[1].fallback = NULL;
    assert_int_equal(compare(&rules, &other,
                             "input.timestamp_format is \"s\" there and \"ms\" here, and "
                             "dimension.locale.default is \"unknown\" there and \"\" here"),
                     RULES_OTHER);
    other = usual();
    other.timestamp = "/ts";
    other.key = "/id";
    other.framing = LOGIN_FRAMING_CONFLUENT;
    other.max_future_s = 1;
    other.dimensions[0].accept = LOGIN_ACCEPT_SCALAR;
    assert_int_equal(
        compare(&rules, &other,
                "input.timestamp is \"timestamp\" there and \"/ts\" here, and "
                "input.key is \"user_id\" there and \"/id\" here, and input.framing is "
                "\"none\" there and \"confluent\" here, and aggregate.max_future_s is "
                "\"3600\" there and \"1\" here, and dimension.device_type.accept is "
                "\"string\" there and \"scalar\" here"),
        RULES_OTHER);
}

/* As an older or newer version may have stored them. */
static void lines_that_one_side_lacks_are_named(void **state) {
    (void)state;
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    static const struct {
        const char *theirs, *ours, *words;
        enum rules_verdict verdict;
    } rows[] = {
        {"", "", "", RULES_SAME},
        {"a = 1\n", "a = 1", "", RULES_SAME},
        {"a = 1\nb = 2\n", "b = 2\na = 1\n", "", RULES_SAME},
        {"a = 1\nb = 2\n", "a = 1\n", "b is only there", RULES_OTHER},
        {"a = 1\n", "a = 1\nb = 2\n", "b is only here", RULES_OTHER},
        {"a = 1\nb\n", "c = 3\na = 1\n", "c is only here, and b is only there", RULES_OTHER},
        {"a\nb = 2\n", "a = \nb = 2\n", "", RULES_SAME},
        {"a = 1\nb\n", "a = 1\nb = 2\n", "b is \"\" there and \"2\" here", RULES_OTHER},
        {"a = 1\n", "aa = 1\n", "aa is only here, and a is only there", RULES_OTHER},
        {"dimension. = 1\n", "", "dimension. is only there", RULES_OTHER},
        {"dimension.a.from = 1\n", "", "dimension.a is no longer counted", RULES_OTHER_COUNTS},
        {"", "count.a.by = b\ncount.a.every = hour\n", "count.a is new", RULES_OTHER_COUNTS},
        {"a = 1\n", "count.a.by = b\n", "count.a is new, and a is only there", RULES_OTHER},
        {X50 X50 " = 1\n", "", X50 X50 " is only there", RULES_OTHER},
        {X50 X50 "x = 1\n", "", X50 X50 " is only there", RULES_OTHER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char difference[RULES_DIFFERENCE_BYTES] = "";
        const enum rules_verdict verdict = rules_compare(rows[i].theirs, rows[i].ours, difference);
        if (verdict != rows[i].verdict || strcmp(difference, rows[i].words) != 0)
            fail_msg("%zu: %d, %s", i, (int)verdict, difference);
    }
}

static void dimensions_may_come_and_go(void **state) {
    (void)state;
    const struct login_rules rules = usual();
    struct login_rules other = usual();
    other.dimensions[2] = (struct login_dimension){.name = "country"};
    other.dimension_count = 3;
    assert_int_equal(compare(&rules, &other, "dimension.country is new"), RULES_OTHER_COUNTS);
    assert_int_equal(compare(&other, &rules, "dimension.country is no longer counted"),
                     RULES_OTHER_COUNTS);
    other.dimensions[0] = (struct login_dimension){.name = "a.b"};
    assert_int_equal(compare(&rules, &other,
                             "dimension.a.b is new, and dimension.country is new, and "
                             "dimension.device_type is no longer counted"),
                     RULES_OTHER_COUNTS);
    other.max_future_s = 1;
    assert_int_equal(compare(&rules, &other,
                             "aggregate.max_future_s is \"3600\" there and \"1\" here, and "
                             "dimension.a.b is new, and dimension.country is new, and "
                             "dimension.device_type is no longer counted"),
                     RULES_OTHER);
}

static void compare_counts(const struct aggregate_settings *theirs,
                           const struct aggregate_settings *ours, enum rules_verdict expected,
                           const char *words) {
    char a[RULES_BYTES], b[RULES_BYTES], difference[RULES_DIFFERENCE_BYTES];
    const struct login_rules rules = usual();
    rules_print(&rules, theirs, a);
    rules_print(&rules, ours, b);
    assert_int_equal(rules_compare(a, b, difference), expected);
    assert_string_equal(difference, words);
}

static void declared_counts_may_come_and_go_but_not_change(void **state) {
    (void)state;
    static char name[] = "hours", locale[] = "locale", device[] = "device_type", path[] = "user_id";
    const struct declared_settings hours = {.name = name,
                                            .by = {{locale}, 1},
                                            .every = DECLARED_HOUR,
                                            .retention_days = 400,
                                            .max_values = 10000};
    struct aggregate_settings one = aggregate;
    one.counts[one.count_count++] = hours;
    compare_counts(&aggregate, &one, RULES_OTHER_COUNTS, "count.hours is new");
    compare_counts(&one, &aggregate, RULES_OTHER_COUNTS, "count.hours is no longer counted");
    struct aggregate_settings other = one;
    other.counts[0].retention_days = 1; /* how long it is kept is no rule */
    compare_counts(&one, &other, RULES_SAME, "");
    other.counts[0].by = (struct setting_names){{locale, device}, 2};
    compare_counts(&one, &other, RULES_OTHER,
                   "count.hours.by is \"locale\" there and \"locale,device_type\" here");
    other = one;
    other.counts[0].every = DECLARED_DAY;
    other.counts[0].max_values = 5;
    compare_counts(&one, &other, RULES_OTHER,
                   "count.hours.every is \"hour\" there and \"day\" here, and "
                   "count.hours.max_values is \"10000\" there and \"5\" here");
    other = one;
    other.counts[0].unique = path;
    compare_counts(&one, &other, RULES_OTHER,
                   "count.hours.unique is \"\" there and \"user_id\" here");
}

static void any_stored_text_is_compared(void **state) {
    (void)state;
    static const char *const texts[] = {"",     "\n",   "x",          " = ",
                                        "a =b", "a = ", "dimension.", "dimension.x = 1\n"};
    char text[RULES_BYTES], difference[RULES_DIFFERENCE_BYTES];
    const struct login_rules rules = usual();
    rules_print(&rules, &aggregate, text);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(rules_compare(texts[i], text, difference), RULES_OTHER);
}

static void the_longest_rules_have_room(void **state) {
    (void)state;
    static char path[PATH_BYTES_MAX + 1], value[LOGIN_VALUE_BYTES_MAX + 1], names[8][65];
    char text[RULES_BYTES];
    struct login_rules rules = {.timestamp = path, .key = path, .max_future_s = INT64_MAX};
    struct aggregate_settings largest = {.max_values = INT32_MAX, .max_days = INT32_MAX};
    memset(path, 'p', PATH_BYTES_MAX);
    memset(value, 'v', LOGIN_VALUE_BYTES_MAX);
    for (; rules.dimension_count < LOGIN_DIMENSIONS_MAX; rules.dimension_count++) {
        char *name = names[rules.dimension_count];
        memset(name, 'a' + (int)rules.dimension_count, 64);
        rules.dimensions[rules.dimension_count] =
            (struct login_dimension){name, path, value, LOGIN_ACCEPT_SCALAR};
    }
    for (; largest.count_count < DECLARED_MAX; largest.count_count++) {
        largest.counts[largest.count_count] =
            (struct declared_settings){.name = names[largest.count_count / 2],
                                       .by = {{names[0], names[1], names[2]}, DECLARED_BY_MAX},
                                       .every = DECLARED_MINUTE,
                                       .max_values = INT32_MAX,
                                       .unique = path};
    }
    rules_print(&rules, &largest, text);
    assert_true(strlen(text) > 6000 + DECLARED_MAX * (PATH_BYTES_MAX + 6 * 64));
}

/* Long paths and names are cut, and so is the whole. */
static void a_long_difference_is_cut(void **state) {
    (void)state;
    char a[RULES_BYTES], b[RULES_BYTES], difference[RULES_DIFFERENCE_BYTES], paths[4][200];
    struct login_rules theirs = usual(), ours = usual();
    for (int i = 0; i < 4; i++)
        snprintf(paths[i], sizeof paths[0], "/%0150d%d", 0, i);
    theirs.timestamp = paths[0];
    theirs.key = paths[1];
    theirs.dimensions[0].from = paths[2];
    theirs.dimensions[1].from = theirs.dimensions[1].fallback = paths[3];
    rules_print(&theirs, &aggregate, a);
    rules_print(&ours, &aggregate, b);
    assert_int_equal(rules_compare(a, b, difference), RULES_OTHER);
    assert_int_equal(strlen(difference), RULES_DIFFERENCE_BYTES - 1);
    assert_memory_equal(difference, "input.timestamp is \"/0000", 25);
    assert_null(strstr(difference, paths[0])); /* of which it has the first 100 bytes */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_difference_is_cut),
        cmocka_unit_test(the_text_has_every_rule),
        cmocka_unit_test(the_order_of_dimensions_is_no_difference),
        cmocka_unit_test(each_other_rule_is_named_with_both_values),
        cmocka_unit_test(lines_that_one_side_lacks_are_named),
        cmocka_unit_test(dimensions_may_come_and_go),
        cmocka_unit_test(declared_counts_may_come_and_go_but_not_change),
        cmocka_unit_test(any_stored_text_is_compared),
        cmocka_unit_test(the_longest_rules_have_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
