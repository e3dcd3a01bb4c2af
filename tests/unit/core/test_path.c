/* Where a field is: which texts are a path, and of which steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/path.h"

/* "[a][b:1]": the steps, with their index. */
static void assert_steps(const char *path, const char *expected) {
    char found[2048] = "";
    struct path_step step;
    const char *at = path;
    assert_true(path_is_member(path));
    while (path_next(&at, &step)) {
        char index[16] = "";
        if (step.index != PATH_NO_INDEX) snprintf(index, sizeof index, ":%u", step.index);
        assert_int_equal(strlen(step.name), step.length);
        snprintf(found + strlen(found), sizeof found - strlen(found), "[%s%s]", step.name, index);
    }
    assert_string_equal(found, expected);
}

static void a_name_is_one_step(void **state) {
    (void)state;
    assert_steps("timestamp", "[timestamp]");
    assert_steps("a/b", "[a/b]");
    assert_steps("a~b", "[a~b]");
    assert_steps("a~0~1", "[a~0~1]");
    assert_steps("0", "[0]");
    assert_steps("a.b c", "[a.b c]");
    assert_steps("kafka", "[kafka]");
}

/* The examples of RFC 6901, section 5, and more. */
static void a_pointer_has_the_steps_of_rfc_6901(void **state) {
    (void)state;
    assert_steps("/foo", "[foo]");
    assert_steps("/foo/0", "[foo][0:0]");
    assert_steps("/", "[]");
    assert_steps("/a~1b", "[a/b]");
    assert_steps("/c%d", "[c%d]");
    assert_steps("/k\"l", "[k\"l]");
    assert_steps("/ ", "[ ]");
    assert_steps("/m~0n", "[m~n]");
    assert_steps("/~01", "[~1]");
    assert_steps("//a/", "[][a][]");
    assert_steps("/a/-", "[a][-]");
    assert_steps("/a/01", "[a][01]");
    assert_steps("/a/00", "[a][00]");
    assert_steps("/1/10/999999999", "[1:1][10:10][999999999:999999999]");
    assert_steps("/1000000000", "[1000000000]");
    assert_steps("/+1/1a/-1", "[+1][1a][-1]");
    assert_steps("/header:x", "[header:x]");
}

static void a_wrong_pointer_is_none(void **state) {
    (void)state;
    assert_false(path_is_member("/a~"));
    assert_false(path_is_member("/a~2b"));
    assert_false(path_is_member("/~/a"));
    assert_false(path_is_member("/\xff"));
    assert_false(path_is_member("a\x01"));
    assert_false(path_is_field("/a~"));
}

static void a_header_is_for_fields_alone(void **state) {
    (void)state;
    assert_true(path_is_field("header:ce_time"));
    assert_false(path_is_member("header:ce_time"));
    assert_false(path_is_field("header:"));
    assert_false(path_is_field("header:\xff"));
    assert_string_equal(path_header("header:ce_time"), "ce_time");
    assert_int_equal(path_kind_of_field("header:x"), PATH_HEADER);
    assert_int_equal(path_kind_of_field("header"), PATH_MEMBER);
    assert_int_equal(path_kind_of_field("kafka"), PATH_MEMBER);
    assert_int_equal(path_kind_of_time("kafka"), PATH_KAFKA);
    assert_int_equal(path_kind_of_time("/kafka"), PATH_MEMBER);
    assert_int_equal(path_kind_of_time("header:kafka"), PATH_HEADER);
}

static void steps_are_bounded(void **state) {
    (void)state;
    char path[2 * PATH_STEPS_MAX + 3] = "";
    for (size_t i = 0; i < 2 * (size_t)PATH_STEPS_MAX; i++)
        path[i] = i % 2 == 0 ? '/' : 'a';
    assert_true(path_is_member(path));
    path[strlen(path)] = '/';
    assert_false(path_is_member(path));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_one_step),
        cmocka_unit_test(a_pointer_has_the_steps_of_rfc_6901),
        cmocka_unit_test(a_wrong_pointer_is_none),
        cmocka_unit_test(a_header_is_for_fields_alone),
        cmocka_unit_test(steps_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
