/* stop, trouble and error: what threads tell each other about an end, and what is wrong. */
#include "base/stop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/trouble.h"
#include "locks.h"

static void an_error_holds_what_fits_of_its_text(void **state) {
    (void)state;
    struct error error = {""};
    char expected[sizeof error.text], filler[2 * sizeof error.text];
    memset(filler, 'x', sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    assert_false(error_set(&error, "%s %d", "text", 5));
    assert_string_equal(error.text, "text 5");
    assert_false(error_set(&error, "%s", filler));
    memset(expected, 'x', sizeof expected - 1);
    expected[sizeof expected - 1] = '\0';
    assert_string_equal(error.text, expected);
    assert_false(error_set(NULL, "nobody asked"));
}

static void a_signal_asks_for_the_end_and_rings(void **state) {
    (void)state;
    struct alarm alarm = {0};
    struct stop stop;
    struct error error = {"none"};
    stop_init(&stop, &alarm);
    assert_false(stop_is_asked(&stop));
    assert_false(stop_has_failed(&stop, &error));
    assert_string_equal(error.text, "none");
    alarm_arm(&alarm);
    stop_ask(&stop, 15);
    assert_int_equal(atomic_load(&alarm.word), 0);
    assert_true(stop_is_asked(&stop));
    assert_int_equal(atomic_load(&stop.signal), 15);
    assert_false(stop_has_failed(&stop, &error));
    stop_fini(&stop);
}

static void the_first_failure_is_kept(void **state) {
    (void)state;
    struct alarm alarm = {0};
    struct stop stop;
    struct error error = {""};
    stop_init(&stop, &alarm);
    alarm_arm(&alarm);
    stop_fail(&stop, "first %s");
    assert_int_equal(atomic_load(&alarm.word), 0);
    stop_fail(&stop, "second");
    assert_true(stop_is_asked(&stop));
    for (int i = 0; i < 2; i++) { /* its lock is free again */
        assert_true(stop_has_failed(&stop, &error));
        assert_string_equal(error.text, "first %s");
    }
    assert_int_equal(pthread_mutex_trylock(&stop.lock), 0);
    pthread_mutex_unlock(&stop.lock);
    stop_fini(&stop);
}

static void trouble_is_shown_once_it_has_lasted(void **state) {
    (void)state;
    struct trouble trouble;
    struct text why = {0};
    memset(&trouble, 0xa5, sizeof trouble);
    trouble_init(&trouble);
    assert_false(trouble_show(&trouble, 1000, 0, &why));
    trouble_set(&trouble, 1000, "old %s");
    trouble_set(&trouble, 1500, "new %s"); /* of the same trouble */
    assert_false(trouble_show(&trouble, 1999, 1000, &why));
    assert_int_equal(why.length, 0);
    assert_true(trouble_show(&trouble, 2000, 1000, &why));
    assert_true(trouble_show(&trouble, 1000, 0, &why));
    assert_string_equal(text_string(&why), "new %snew %s");
    trouble_clear(&trouble);
    assert_false(trouble_show(&trouble, 9000, 0, &why));
    trouble_clear(&trouble);
    trouble_set(&trouble, 0, "at the beginning of time");
    assert_true(trouble_show(&trouble, 1, 0, &why));
    assert_false(trouble_show(&trouble, 1, 1, &why));
    assert_int_equal(pthread_mutex_trylock(&trouble.lock), 0);
    pthread_mutex_unlock(&trouble.lock);
    trouble_fini(&trouble);
    text_release(&why);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_holds_what_fits_of_its_text),
        cmocka_unit_test(a_signal_asks_for_the_end_and_rings),
        cmocka_unit_test(the_first_failure_is_kept),
        cmocka_unit_test(trouble_is_shown_once_it_has_lasted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
