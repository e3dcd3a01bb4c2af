/* demo_counts: the demo's own check must see every difference. */
#include "tools/demo_counts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tools/event.h"

static const struct event accepted = {
    .reason = LOGIN_ACCEPTED, .device_type = "iOS", .locale = "CA", .minute = 28677036};

static int difference_count(const struct event *left, size_t left_count, const struct event *right,
                            size_t right_count) {
    struct delta expected = {0}, found = {0};
    delta_init(&expected);
    delta_init(&found);
    for (size_t i = 0; i < left_count; i++)
        demo_counts_expect(&expected, &left[i]);
    for (size_t i = 0; i < right_count; i++)
        demo_counts_expect(&found, &right[i]);
    const int differences = demo_counts_compare(&expected, &found);
    delta_release(&expected);
    delta_release(&found);
    return differences;
}

static void equal_counts_do_not_differ(void **state) {
    (void)state;
    struct event other = accepted, refused = {.reason = LOGIN_NOT_JSON};
    other.locale = "TX";
    const struct event forth[] = {accepted, other, refused}, back[] = {refused, other, accepted};
    assert_int_equal(difference_count(NULL, 0, NULL, 0), 0);
    assert_int_equal(difference_count(forth, 3, back, 3), 0);
}

static void what_is_missing_or_too_many_differs(void **state) {
    (void)state;
    const struct event two[] = {accepted, accepted};
    assert_int_equal(difference_count(two, 1, NULL, 0), 3); /* device type, locale, minute */
    assert_int_equal(difference_count(NULL, 0, two, 1), 3);
    assert_int_equal(difference_count(two, 2, two, 1), 3);
}

static void each_kind_is_compared(void **state) {
    (void)state;
    struct event device = accepted, locale = accepted, minute = accepted;
    const struct event not_json = {.reason = LOGIN_NOT_JSON}, empty = {.reason = LOGIN_EMPTY};
    device.device_type = "web";
    locale.locale = "C";
    minute.minute++;
    assert_int_equal(difference_count(&accepted, 1, &device, 1), 2);
    assert_int_equal(difference_count(&accepted, 1, &locale, 1), 2);
    assert_int_equal(difference_count(&accepted, 1, &minute, 1), 2);
    assert_int_equal(difference_count(&not_json, 1, &empty, 1), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_counts_do_not_differ),
        cmocka_unit_test(what_is_missing_or_too_many_differs),
        cmocka_unit_test(each_kind_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
