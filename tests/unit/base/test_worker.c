/* Steps follow each other, sleep as they ask to, and end when they are asked to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/worker.h"

enum { LONG_MS = 60000 };

struct machine {
    struct worker worker;
    atomic_int step_count;
    int busy_steps;   /* that ask for the next one at once */
    int64_t sleep_ms; /* that the others ask for */
    atomic_bool is_inside;
};

static int64_t step(void *context, int64_t now_ms) {
    struct machine *machine = context;
    atomic_store(&machine->is_inside, true);
    const int count = atomic_fetch_add(&machine->step_count, 1) + 1;
    atomic_store(&machine->is_inside, false);
    return count < machine->busy_steps ? now_ms : now_ms + machine->sleep_ms;
}

static void wait_for_steps(struct machine *machine, int count) {
    const int64_t until_ms = clock_ms() + LONG_MS;
    while (atomic_load(&machine->step_count) < count)
        assert_true(clock_ms() < until_ms);
}

static void a_step_that_asks_for_the_next_one_gets_it_at_once(void **state) {
    (void)state;
    struct machine machine = {.busy_steps = 1000, .sleep_ms = CLOCK_NEVER_MS / 2};
    const int64_t begin_ms = clock_ms();
    worker_init(&machine.worker, "machine", step, &machine);
    assert_true(worker_start(&machine.worker));
    wait_for_steps(&machine, 1000);
    worker_stop(&machine.worker);
    assert_false(atomic_load(&machine.is_inside));
    assert_true(clock_ms() < begin_ms + LONG_MS);
    assert_false(worker_is_stuck(&machine.worker, begin_ms + WORKER_STUCK_MS - 1));
}

/* A step that calls the outside, as long as it is told to. */
struct caller {
    struct worker worker;
    atomic_bool is_in_call, may_return, is_back, may_end;
};

static void wait_until(atomic_bool *is_true) {
    const int64_t until_ms = clock_ms() + LONG_MS;
    while (!atomic_load(is_true))
        assert_true(clock_ms() < until_ms);
}

static int64_t call(void *context, int64_t now_ms) {
    struct caller *caller = context;
    worker_call_begins(10 * LONG_MS);
    atomic_store(&caller->is_in_call, true);
    while (!atomic_load(&caller->may_return))
        continue;
    worker_call_ends();
    atomic_store(&caller->is_back, true);
    while (!atomic_load(&caller->may_end))
        continue;
    return now_ms + WORKER_TICK_MS;
}

static void a_call_before_its_deadline_is_not_being_stuck(void **state) {
    (void)state;
    struct caller caller = {.is_in_call = false};
    worker_init(&caller.worker, "caller", call, &caller);
    const int64_t begin_ms = clock_ms();
    assert_true(worker_start(&caller.worker));
    wait_until(&caller.is_in_call);
    const int64_t called_ms = clock_ms();
    assert_false(worker_is_stuck(&caller.worker, begin_ms + 10 * LONG_MS + WORKER_STUCK_MS - 1));
    assert_true(worker_is_stuck(&caller.worker, called_ms + 10 * LONG_MS + WORKER_STUCK_MS));
    assert_in_range(worker_waits_ms(&caller.worker, called_ms + 5000), 5000, 5000 + LONG_MS);
    atomic_store(&caller.may_return, true);
    wait_until(&caller.is_back);
    assert_int_equal(worker_waits_ms(&caller.worker, clock_ms()), 0);
    assert_true(worker_is_stuck(&caller.worker, clock_ms() + WORKER_STUCK_MS)); /* in its step */
    assert_false(worker_is_stuck(&caller.worker, called_ms + WORKER_STUCK_MS - 1));
    atomic_store(&caller.may_end, true);
    worker_stop(&caller.worker);
}

static void the_alarm_brings_the_next_step(void **state) {
    (void)state;
    struct machine machine = {.sleep_ms = CLOCK_NEVER_MS / 2};
    worker_init(&machine.worker, "machine", step, &machine);
    assert_true(worker_start(&machine.worker));
    for (int count = 1; count <= 100; count++) {
        wait_for_steps(&machine, count);
        alarm_ring(&machine.worker.alarm);
    }
    worker_stop(&machine.worker);
}

static void none_sleeps_longer_than_a_tick(void **state) {
    (void)state;
    struct machine machine = {.sleep_ms = CLOCK_NEVER_MS / 2};
    worker_init(&machine.worker, "machine", step, &machine);
    assert_true(worker_start(&machine.worker));
    wait_for_steps(&machine, 2);
    worker_stop(&machine.worker);
}

static void it_can_start_again_and_stopping_twice_is_fine(void **state) {
    (void)state;
    struct machine machine = {.sleep_ms = 1};
    worker_init(&machine.worker, "a name that is too long for Linux", step, &machine);
    assert_int_equal(strlen(machine.worker.name), WORKER_NAME_BYTES - 1);
    worker_stop(&machine.worker);
    for (int turn = 0; turn < 3; turn++) {
        const int before = atomic_load(&machine.step_count);
        assert_true(worker_start(&machine.worker));
        wait_for_steps(&machine, before + 3);
        worker_stop(&machine.worker);
        worker_stop(&machine.worker);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_before_its_deadline_is_not_being_stuck),
        cmocka_unit_test(a_step_that_asks_for_the_next_one_gets_it_at_once),
        cmocka_unit_test(the_alarm_brings_the_next_step),
        cmocka_unit_test(none_sleeps_longer_than_a_tick),
        cmocka_unit_test(it_can_start_again_and_stopping_twice_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
