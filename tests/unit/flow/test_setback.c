/* Each failure costs twice as much time as the one before, and a long series is reported. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "flow/setback.h"
#include "locks.h"
#include "logged.h"

static bool is_reported(struct setback *setback, int64_t now_ms, const char *part) {
    char buffer[256] = "";
    struct text why = text_within(buffer, sizeof buffer);
    const bool is_reported = trouble_show(&setback->trouble, now_ms, 0, &why);
    assert_true(!is_reported || strstr(text_string(&why), part) != NULL);
    return is_reported;
}

static void the_wait_doubles_and_only_an_end_starts_afresh(void **state) {
    (void)state;
    struct setback setback = {0};
    setback_init(&setback);
    int64_t now_ms = 1000, expected_ms = 0;
    for (int i = 0; i < 20; i++) {
        const int64_t until_ms = setback_add(&setback, now_ms, "no topic");
        assert_int_equal(until_ms - now_ms, expected_ms);
        expected_ms = expected_ms == 0 ? SETBACK_PAUSE_MS_MIN : expected_ms * 2;
        if (expected_ms > SETBACK_PAUSE_MS_MAX) expected_ms = SETBACK_PAUSE_MS_MAX;
        now_ms = until_ms + 100000; /* time alone ends nothing */
    }
    setback_end(&setback);
    assert_int_equal(setback_add(&setback, now_ms, "no topic"), now_ms);
    setback_fini(&setback);
}

static void a_long_series_is_reported_until_its_end(void **state) {
    (void)state;
    struct setback setback = {0};
    setback_init(&setback);
    int64_t now_ms = 5, first_ms = now_ms;
    while (now_ms < first_ms + SETBACK_REPORT_MS) {
        now_ms = setback_add(&setback, now_ms, "early");
        assert_false(is_reported(&setback, now_ms, ""));
    }
    static const char message[] = "Publishing fails each time it is tried";
    setback_add(&setback, now_ms, "first");
    assert_int_equal(logged_count(message, "reason=first"), 1);
    assert_true(is_reported(&setback, now_ms, "publishing fails: first"));
    setback_add(&setback, now_ms + 1, "second");
    assert_true(is_reported(&setback, now_ms + 1, "publishing fails: second"));
    setback_end(&setback);
    assert_false(is_reported(&setback, now_ms + 2, ""));
    setback_fini(&setback);
}

/* Not one failure less, and not one millisecond. */
static void a_series_is_reported_at_its_bounds(void **state) {
    (void)state;
    struct setback setback = {0};
    setback_init(&setback);
    for (int64_t last_ms = SETBACK_REPORT_MS - 1; last_ms <= SETBACK_REPORT_MS; last_ms++) {
        for (int i = 1; i < SETBACK_REPORT_COUNT; i++)
            setback_add(&setback, 5 + i - 1, "slow");
        setback_add(&setback, 5 + last_ms, "slow");
        assert_int_equal(is_reported(&setback, 5 + last_ms, "slow"), last_ms == SETBACK_REPORT_MS);
        assert_int_equal(logged_count("Publishing fails each time", "reason=slow times=4 for_s=10"),
                         last_ms == SETBACK_REPORT_MS);
        setback_end(&setback);
    }
    setback_fini(&setback);
}

static void a_few_failures_far_apart_are_not_reported(void **state) {
    (void)state;
    struct setback setback = {0};
    setback_init(&setback);
    for (int i = 0; i < SETBACK_REPORT_COUNT - 1; i++) {
        setback_add(&setback, i * (int64_t)SETBACK_REPORT_MS, "a rebalance");
        assert_false(is_reported(&setback, i * (int64_t)SETBACK_REPORT_MS, ""));
    }
    setback_fini(&setback);
}

/* A quarter for each failure, to a bound; each success brings half of it back. */
static void what_fails_is_tried_in_smaller_pieces(void **state) {
    (void)state;
    static const int after_failures[] = {2, 4, 6, 8, 8};
    struct setback setback = {0};
    setback_init(&setback);
    for (int i = 0; i < 5; i++) {
        setback_add(&setback, i, "slow");
        assert_int_equal(setback.halves, after_failures[i]);
    }
    setback_end(&setback); /* that ends the waits alone */
    for (int halves = 7; halves >= 0; halves--) {
        setback_passed(&setback);
        assert_int_equal(setback.halves, halves);
    }
    setback_passed(&setback);
    assert_int_equal(setback.halves, 0);
    setback_fini(&setback);
}

static void what_a_call_waits_for_is_said_while_the_producer_is_not_ready(void **state) {
    (void)state;
    struct setback setback = {0};
    char buffer[256] = "";
    struct text why = text_within(buffer, sizeof buffer);
    memset(&setback.trouble, 1, sizeof setback.trouble);
    memset(&setback.waits, 1, sizeof setback.waits);
    setback_init(&setback);
    assert_false(setback_is_ready(&setback, false, 5, &why));
    assert_string_equal(text_string(&why), "the producer is not ready");
    trouble_set(&setback.waits, 5, "no coordinator");
    text_clear(&why);
    assert_true(setback_is_ready(&setback, true, 5, &why)); /* such is a call of another kind */
    assert_string_equal(text_string(&why), "");
    assert_false(setback_is_ready(&setback, false, 5, &why));
    assert_string_equal(text_string(&why), "the producer is not ready: no coordinator");
    setback_fini(&setback);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        /* First: they look at the log, which leaves out lines of one text. */
        cmocka_unit_test(a_long_series_is_reported_until_its_end),
        cmocka_unit_test(a_series_is_reported_at_its_bounds),
        cmocka_unit_test(the_wait_doubles_and_only_an_end_starts_afresh),
        cmocka_unit_test(what_fails_is_tried_in_smaller_pieces),
        cmocka_unit_test(what_a_call_waits_for_is_said_while_the_producer_is_not_ready),
        cmocka_unit_test(a_few_failures_far_apart_are_not_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
