/* What is a day, and which are in a range. */
#include "core/days.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct days days;
static struct error error;

static void days_of_the_calendar_are_days(void **state) {
    (void)state;
    static const char *const good[] = {"2024-02-29", "2000-02-29", "1970-01-01",
                                       "9999-12-31", "2023-02-28", "2024-04-30"};
    static const char *const bad[] = {"",           "2024-7-10",  "2024-07-1",   "2024-07-100",
                                      "2023-02-29", "1900-02-29", "2024-04-31",  "2024-00-01",
                                      "2024-13-01", "2024-01-00", "2024-01-32",  "20240710",
                                      "2024/07/10", "+024-07-10", " 2024-07-10", "2024-07-10 ",
                                      "2024--7-10", "-024-07-10", "yesterday"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!days_set(&days, good[i], good[i], &error)) fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (days_set(&days, bad[i], NULL, &error)) fail_msg("from %s", bad[i]);
        assert_non_null(strstr(error.text, "is not a day; write it as YYYY-MM-DD"));
        if (days_set(&days, NULL, bad[i], &error)) fail_msg("to %s", bad[i]);
        assert_true(days_are_all(&days));
    }
}

static void both_bounds_are_in_the_range(void **state) {
    (void)state;
    assert_true(days_set(&days, "2024-07-10", "2024-07-11", &error));
    assert_false(days_are_all(&days));
    assert_false(days_have(&days, "2024-07-09"));
    assert_true(days_have(&days, "2024-07-10"));
    assert_true(days_have(&days, "2024-07-11"));
    assert_false(days_have(&days, "2024-07-12"));
    assert_true(days_set(&days, "2024-07-10", NULL, &error));
    assert_false(days_are_all(&days) || days_have(&days, "2024-07-09"));
    assert_true(days_have(&days, "9999-12-31"));
    assert_true(days_set(&days, NULL, "2024-07-10", &error));
    assert_false(days_are_all(&days) || days_have(&days, "2024-07-11"));
    assert_true(days_have(&days, "1970-01-01"));
    assert_true(days_set(&days, NULL, NULL, &error));
    assert_true(days_are_all(&days) && days_have(&days, "1970-01-01"));
    assert_false(days_set(&days, "2024-07-11", "2024-07-10", &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_of_the_calendar_are_days),
        cmocka_unit_test(both_bounds_are_in_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
