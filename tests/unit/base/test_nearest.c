#include "base/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void distance_counts_edits_and_swaps(void **state) {
    (void)state;
    assert_int_equal(nearest_distance("", ""), 0);
    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_int_equal(nearest_distance("abc", ""), 3);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    assert_int_equal(nearest_distance("topci", "topic"), 1);
    assert_int_equal(nearest_distance("BATCH_SIZE", "batch.size"), 0);
    assert_int_equal(nearest_distance("group-id", "group.id"), 0);
}

static void a_name_too_long_is_near_to_nothing(void **state) {
    (void)state;
    char name[NEAREST_NAME_BYTES + 2];
    memset(name, 'x', sizeof name);
    name[NEAREST_NAME_BYTES + 1] = '\0';
    assert_int_equal(nearest_distance(name, name), SIZE_MAX);
    assert_int_equal(nearest_distance(name + 1, name + 1), 0);
    struct nearest nearest = nearest_to(name);
    nearest_offer(&nearest, name);
    assert_null(nearest.name);
}

static void the_nearest_name_wins_and_the_first_of_equals(void **state) {
    (void)state;
    struct nearest nearest = nearest_to("treshold");
    nearest_offer(&nearest, "retention_days");
    assert_null(nearest.name);
    nearest_offer(&nearest, "thresholds");
    nearest_offer(&nearest, "threshold");
    nearest_offer(&nearest, "xthreshold");
    assert_string_equal(nearest.name, "threshold");
    nearest = nearest_to("ab");
    nearest_offer(&nearest, "ax");
    nearest_offer(&nearest, "ay");
    assert_string_equal(nearest.name, "ax");
}

/* A third of what was typed, and one: so far a name may be off. */
static void what_is_too_far_off_is_not_offered(void **state) {
    (void)state;
    struct nearest nearest = nearest_to("abc");
    nearest_offer(&nearest, "abcxyz");
    assert_null(nearest.name);
    nearest_offer(&nearest, "abcxy");
    assert_string_equal(nearest.name, "abcxy");
    nearest = nearest_to("ab");
    nearest_offer(&nearest, "xy");
    assert_null(nearest.name);
}

static void a_hint_ends_an_error(void **state) {
    (void)state;
    struct nearest nearest = nearest_to("cuont");
    assert_string_equal(nearest_hint(&nearest, "--", ""), "");
    nearest_offer(&nearest, "count");
    assert_string_equal(nearest_hint(&nearest, "--", ""), "; did you mean --count?");
    assert_string_equal(nearest_hint(&nearest, "[", "]"), "; did you mean [count]?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distance_counts_edits_and_swaps),
        cmocka_unit_test(a_name_too_long_is_near_to_nothing),
        cmocka_unit_test(the_nearest_name_wins_and_the_first_of_equals),
        cmocka_unit_test(what_is_too_far_off_is_not_offered),
        cmocka_unit_test(a_hint_ends_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
