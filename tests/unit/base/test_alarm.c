/* A ring is never lost, whether the sleeper is asleep, about to sleep, or still at work. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alarm.h"
#include "base/clock.h"

enum { LONG_MS = 60000, SHORT_MS = 30, ROUNDS = 200 };

static void an_armed_alarm_sleeps_until_its_time(void **state) {
    (void)state;
    struct alarm alarm = {0};
    const int64_t begin_ms = clock_ms();
    alarm_arm(&alarm);
    while (clock_ms() < begin_ms + SHORT_MS) { /* a signal may end a wait early */
        alarm_arm(&alarm);
        alarm_wait(&alarm, begin_ms + SHORT_MS);
    }
    alarm_arm(&alarm);
    alarm_wait(&alarm, begin_ms); /* is past */
    assert_true(clock_ms() < begin_ms + LONG_MS);
}

static void a_ring_between_arming_and_waiting_is_kept(void **state) {
    (void)state;
    struct alarm alarm = {0};
    const int64_t begin_ms = clock_ms();
    alarm_arm(&alarm);
    alarm_ring(&alarm);
    alarm_ring(&alarm);
    alarm_wait(&alarm, begin_ms + LONG_MS);
    alarm_wait(&alarm, begin_ms + LONG_MS); /* not armed again: does not sleep */
    assert_true(clock_ms() < begin_ms + LONG_MS);
}

static void arming_forgets_an_earlier_ring(void **state) {
    (void)state;
    struct alarm alarm = {0};
    alarm_arm(&alarm);
    alarm_ring(&alarm);
    alarm_arm(&alarm);
    const int64_t begin_ms = clock_ms();
    while (clock_ms() < begin_ms + SHORT_MS) {
        alarm_arm(&alarm);
        alarm_wait(&alarm, begin_ms + SHORT_MS);
    }
    assert_true(clock_ms() >= begin_ms + SHORT_MS);
}

/* True if this thread of the process is asleep, by what the kernel says of it. */
static bool is_asleep(int thread_id) {
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread_id);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    const size_t count = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    assert_true(count > 0);
    const char *after_name = strrchr(text, ')');
    return after_name != NULL && after_name[2] == 'S';
}

struct sleeper {
    struct alarm alarm;
    atomic_int thread_id, round;
    pthread_t thread;
};

static void *sleep_again_and_again(void *context) {
    struct sleeper *sleeper = context;
    atomic_store(&sleeper->thread_id, gettid());
    for (int round = 1; round <= ROUNDS; round++) {
        alarm_arm(&sleeper->alarm);
        atomic_store(&sleeper->round, round);
        alarm_wait(&sleeper->alarm, clock_ms() + LONG_MS);
    }
    return NULL;
}

static void one_ring_wakes_a_thread_that_is_certainly_asleep(void **state) {
    (void)state;
    static struct sleeper sleeper;
    const int64_t begin_ms = clock_ms();
    assert_int_equal(pthread_create(&sleeper.thread, NULL, sleep_again_and_again, &sleeper), 0);
    for (int round = 1; round <= ROUNDS; round++) {
        while (atomic_load(&sleeper.round) < round || !is_asleep(atomic_load(&sleeper.thread_id))) {
        }
        alarm_ring(&sleeper.alarm); /* one: if it were lost, a minute would pass */
    }
    pthread_join(sleeper.thread, NULL);
    assert_true(clock_ms() < begin_ms + LONG_MS);
}

static struct alarm in_handler;

static void ring_it(int signal_number) {
    (void)signal_number;
    alarm_ring(&in_handler);
}

static void a_signal_handler_may_ring(void **state) {
    (void)state;
    const struct sigaction action = {.sa_handler = ring_it};
    const int64_t begin_ms = clock_ms();
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    alarm_arm(&in_handler);
    assert_int_equal(raise(SIGUSR1), 0);
    alarm_wait(&in_handler, begin_ms + LONG_MS);
    assert_true(clock_ms() < begin_ms + LONG_MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_armed_alarm_sleeps_until_its_time),
        cmocka_unit_test(a_ring_between_arming_and_waiting_is_kept),
        cmocka_unit_test(arming_forgets_an_earlier_ring),
        cmocka_unit_test(one_ring_wakes_a_thread_that_is_certainly_asleep),
        cmocka_unit_test(a_signal_handler_may_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
