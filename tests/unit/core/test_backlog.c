/* What the oldest unfinished record's time is, whatever becomes of the watermark. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/backlog.h"

/* Records up to 10, 20 and 30, whose first are of 1001, 1002 and 1003 ms; the watermark is at 5. */
static struct backlog of_three(void) {
    struct backlog backlog;
    backlog_clear(&backlog);
    backlog_finish(&backlog, 5);
    for (int i = 1; i <= 3; i++)
        backlog_add(&backlog, 10 * i, 1000 + i);
    return backlog;
}

static int64_t oldest_after(int64_t stored) {
    struct backlog backlog = of_three();
    backlog_finish(&backlog, stored);
    return backlog_oldest_ms(&backlog);
}

static void the_oldest_is_the_first_above_the_watermark(void **state) {
    (void)state;
    struct backlog none;
    backlog_clear(&none);
    assert_int_equal(backlog_oldest_ms(&none), BACKLOG_NONE);
    assert_int_equal(oldest_after(5), 1001);
    assert_int_equal(oldest_after(9), 1001);
    assert_int_equal(oldest_after(10), 1002);
    assert_int_equal(oldest_after(29), 1003);
    assert_int_equal(oldest_after(30), BACKLOG_NONE);
    assert_int_equal(oldest_after(1000), BACKLOG_NONE);
}

static void what_goes_back_to_the_watermark_keeps_its_time(void **state) {
    (void)state;
    struct backlog backlog = of_three();
    backlog_finish(&backlog, 10);
    backlog_rewind(&backlog, 10);
    assert_int_equal(backlog_oldest_ms(&backlog), 1002);
    backlog_add(&backlog, 11, 1002); /* read again, in another batch */
    backlog_add(&backlog, 40, 1003);
    backlog_finish(&backlog, 11);
    assert_int_equal(backlog_oldest_ms(&backlog), 1003);
    backlog_finish(&backlog, 40);
    assert_int_equal(backlog_oldest_ms(&backlog), BACKLOG_NONE);
}

static void what_goes_elsewhere_is_not_known_until_it_is_read(void **state) {
    (void)state;
    for (int64_t stored = 0; stored < 30;
         stored += 15) { /* behind the watermark, and ahead of it */
        struct backlog backlog = of_three();
        backlog_rewind(&backlog, stored);
        assert_int_equal(backlog_oldest_ms(&backlog), BACKLOG_NONE);
        backlog_add(&backlog, stored + 1, 7);
        assert_int_equal(backlog_oldest_ms(&backlog), 7);
    }
}

static void beyond_the_limit_the_answer_is_never_too_young(void **state) {
    (void)state;
    enum { RUNS = 10 * BACKLOG_RUNS_MAX + 3 };
    struct backlog backlog;
    backlog_clear(&backlog);
    for (int64_t i = 0; i < RUNS; i++)
        backlog_add(&backlog, i + 1, 1000 + i);
    int64_t before = 0;
    for (int64_t stored = 0; stored < RUNS; stored++) {
        backlog_finish(&backlog, stored);
        const int64_t oldest_ms = backlog_oldest_ms(&backlog);
        assert_true(oldest_ms <= 1000 + stored && oldest_ms >= before);
        assert_true(stored > 0 || oldest_ms == 1000);
        before = oldest_ms;
    }
    backlog_finish(&backlog, RUNS);
    assert_int_equal(backlog_oldest_ms(&backlog), BACKLOG_NONE);
}

static void each_offset_is_passed_once(void **state) {
    (void)state;
    for (int64_t step = 1; step <= 30; step++) {
        struct backlog backlog = of_three();
        int64_t passed[3] = {0};
        for (int64_t stored = 5; stored < 30 + step; stored += step) {
            int64_t at_once = 0;
            for (unsigned i = 0; i < backlog.count; i++) {
                const int64_t count = backlog_passes(&backlog, i, stored);
                passed[backlog.runs[i].written_at_ms - 1001] += count;
                at_once += count;
            }
            assert_true(at_once <= step);
            backlog_finish(&backlog, stored);
        }
        assert_int_equal(passed[0], 5);
        assert_int_equal(passed[1], 10);
        assert_int_equal(passed[2], 10);
    }
}

static void nothing_is_passed_before_the_watermark_is_known(void **state) {
    (void)state;
    struct backlog backlog;
    backlog_clear(&backlog);
    backlog_add(&backlog, 10, 1000);
    assert_int_equal(backlog_passes(&backlog, 0, 10), 0);
    backlog_finish(&backlog, 0);
    assert_int_equal(backlog_passes(&backlog, 0, 10), 10);
    backlog_rewind(&backlog, 7);
    backlog_add(&backlog, 10, 1000);
    assert_int_equal(backlog_passes(&backlog, 0, 10), 3);
}

static void a_time_of_1970_is_not_none(void **state) {
    (void)state;
    struct backlog backlog;
    backlog_clear(&backlog);
    backlog_add(&backlog, 1, 0);
    assert_int_equal(backlog_oldest_ms(&backlog), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_is_the_first_above_the_watermark),
        cmocka_unit_test(what_goes_back_to_the_watermark_keeps_its_time),
        cmocka_unit_test(what_goes_elsewhere_is_not_known_until_it_is_read),
        cmocka_unit_test(beyond_the_limit_the_answer_is_never_too_young),
        cmocka_unit_test(each_offset_is_passed_once),
        cmocka_unit_test(nothing_is_passed_before_the_watermark_is_known),
        cmocka_unit_test(a_time_of_1970_is_not_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
