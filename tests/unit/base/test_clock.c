/* clock: the system's own, in other units. */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>

enum { LONG_MS = 10000 };

static int64_t ns_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void times_are_the_systems(void **state) {
    (void)state;
    for (int i = 0; i < 1000; i++) {
        const int64_t before = ns_of(CLOCK_MONOTONIC), us = clock_us(), ms = clock_ms(),
                      after = ns_of(CLOCK_MONOTONIC);
        assert_in_range(us, before / 1000, after / 1000);
        assert_in_range(ms, before / 1000000, after / 1000000);
        const int64_t wall_before = ns_of(CLOCK_REALTIME), wall_ms = clock_wall_ms(),
                      wall_after = ns_of(CLOCK_REALTIME);
        assert_in_range(wall_ms, wall_before / 1000000, wall_after / 1000000);
    }
}

static void sleep_lasts_as_long_as_it_is_to(void **state) {
    (void)state;
    static const int times_ms[] = {1, 30, 1005};
    for (size_t i = 0; i < sizeof times_ms / sizeof *times_ms; i++) {
        const int64_t begin_us = clock_us();
        clock_sleep_ms(times_ms[i]);
        const int64_t took_ms = (clock_us() - begin_us) / 1000;
        assert_in_range(took_ms, times_ms[i], times_ms[i] + LONG_MS);
        if (i == 0) assert_true(took_ms < 900); /* not a second for a millisecond */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_the_systems),
        cmocka_unit_test(sleep_lasts_as_long_as_it_is_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
