/* rejections: when a line is due, and what it says. */
#include "flow/rejections.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "locks.h"
#include "logged.h"

static struct rejections rejections;

static int set_up(void **state) {
    (void)state;
    rejections_init(&rejections);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    rejections_fini(&rejections);
    return 0;
}

/* So many accepted and so many rejected records, from this offset. */
static void add(int accepted, int rejected, enum login_reason reason, int64_t offset) {
    static struct rejections_noted noted;
    const struct login login = {.reason = reason, .detail = "why"};
    noted.judged = accepted + rejected;
    for (int i = 0; i < rejected; i++)
        rejections_note(&noted, &login, 3, offset + i);
    rejections_add(&rejections, &noted);
    assert_int_equal(noted.judged, 0);
}

static bool is_due(int64_t now_ms, struct rejections_noted *sum) {
    return rejections_due(&rejections, now_ms, sum);
}

static void one_line_a_minute_names_the_worst_reason_and_an_example(void **state) {
    (void)state;
    struct rejections_noted sum;
    assert_false(is_due(1, &sum));
    add(1, 9, LOGIN_NOT_JSON, 70);
    add(0, 8, LOGIN_BAD_TIMESTAMP, 80);
    assert_false(is_due(2, &sum));
    add(0, 10, LOGIN_BAD_TIMESTAMP, 88);
    assert_false(is_due(1001, &sum));
    assert_true(is_due(1002, &sum));
    assert_int_equal(sum.judged, 28);
    assert_int_equal(rejections_worst(&sum), LOGIN_BAD_TIMESTAMP);
    assert_int_equal(sum.reasons[LOGIN_BAD_TIMESTAMP].count, 18);
    assert_int_equal(sum.reasons[LOGIN_BAD_TIMESTAMP].offset, 80);
    assert_int_equal(sum.reasons[LOGIN_BAD_TIMESTAMP].partition, 3);
    assert_string_equal(sum.reasons[LOGIN_BAD_TIMESTAMP].detail, "why");
    assert_int_equal(sum.reasons[LOGIN_NOT_JSON].count, 9);
    assert_int_equal(sum.reasons[LOGIN_NOT_JSON].offset, 70);
    add(0, 100, LOGIN_EMPTY, 100);
    assert_false(is_due(61001, &sum));
    assert_true(is_due(61002, &sum));
    assert_int_equal(sum.judged, 100);
    assert_int_equal(rejections_worst(&sum), LOGIN_EMPTY);
    assert_false(is_due(200000, &sum)); /* nothing since then */
}

static void a_tenth_accepted_is_the_limit(void **state) {
    (void)state;
    struct rejections_noted sum;
    add(11, 89, LOGIN_EMPTY, 0);
    assert_false(is_due(1, &sum));
    assert_false(is_due(1001, &sum));
    add(10, 90, LOGIN_EMPTY, 0); /* looked at again after the span */
    assert_false(is_due(11000, &sum));
    assert_true(is_due(11001, &sum));
    assert_int_equal(sum.judged, 100);
}

static void a_few_records_are_gathered_for_a_minute(void **state) {
    (void)state;
    struct rejections_noted sum;
    add(0, 1, LOGIN_EMPTY, 5);
    assert_false(is_due(1, &sum));
    assert_false(is_due(60000, &sum));
    assert_true(is_due(60001, &sum));
    assert_int_equal(sum.reasons[LOGIN_EMPTY].offset, 5);
}

static void the_line_has_the_example(void **state) {
    (void)state;
    const char *words = "Nearly all records are rejected; an example of the most frequent reason";
    const char *fields = "rejected=27 of=28 reason=bad_timestamp for_this_reason=18 detail=why "
                         "partition=3 offset=80";
    add(1, 9, LOGIN_NOT_JSON, 70);
    add(0, 18, LOGIN_BAD_TIMESTAMP, 80);
    rejections_report(&rejections, 1);
    assert_int_equal(logged_count(words, ""), 0);
    rejections_report(&rejections, 1001);
    assert_int_equal(logged_count(words, fields), 1);
    rejections_report(&rejections, 1002);
    assert_int_equal(logged_count(words, ""), 1);
}

static void of_each_reason_the_newest_is_kept(void **state) {
    (void)state;
    struct rejections_example last[LOGIN_REASON_COUNT];
    add(1, 9, LOGIN_NOT_JSON, 70);
    add(0, 1, LOGIN_BAD_TIMESTAMP, 80);
    add(0, 1, LOGIN_NOT_JSON, 90);
    rejections_last(&rejections, last);
    assert_int_equal(last[LOGIN_NOT_JSON].offset, 90);
    assert_int_equal(last[LOGIN_BAD_TIMESTAMP].offset, 80);
    assert_int_equal(last[LOGIN_BAD_TIMESTAMP].partition, 3);
    assert_string_equal(last[LOGIN_BAD_TIMESTAMP].detail, "why");
    assert_int_equal(last[LOGIN_EMPTY].count, 0);
}

static void the_line_has_all_that_were_rejected_and_those_of_its_reason(void **state) {
    (void)state;
    add(0, 20, LOGIN_EMPTY, 0);
    add(1, 240, LOGIN_NOT_JSON, 20);
    rejections_report(&rejections, 1);
    rejections_report(&rejections, 60001);
    assert_int_equal(logged_count("Nearly all records are rejected",
                                  "rejected=260 of=261 reason=not_json for_this_reason=240 "),
                     1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_line_a_minute_names_the_worst_reason_and_an_example,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_line_has_the_example, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_each_reason_the_newest_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tenth_accepted_is_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_few_records_are_gathered_for_a_minute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_line_has_all_that_were_rejected_and_those_of_its_reason,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
