/* Who is refused is called when there is something to take: in turn, none forgotten. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/budget.h"
#include "base/clock.h"
#include "base/memory.h"
#include "locks.h"

enum { MAX_BYTES = 100, WORKERS = 8, TURNS = 200000, LONG_MS = 60000, SHORT_MS = 20 };

struct asker {
    struct alarm alarm;
    struct budget_waiter waiter;
};

static struct asker *asker_create(void) {
    struct asker *asker = memory_create(sizeof *asker);
    alarm_arm(&asker->alarm);
    asker->waiter.alarm = &asker->alarm;
    return asker;
}

static void asker_destroy(struct asker *asker) {
    free(asker);
}

/* A call is remembered: a wait after it does not sleep. */
static bool was_called(struct asker *asker) {
    const int64_t begin_ms = clock_ms();
    alarm_wait(&asker->alarm, begin_ms + SHORT_MS);
    alarm_arm(&asker->alarm);
    return clock_ms() - begin_ms < SHORT_MS / 2;
}

static void what_is_left_is_granted_and_what_is_taken_is_not(void **state) {
    (void)state;
    struct budget budget;
    struct asker *asker = asker_create();
    budget_init(&budget, MAX_BYTES);
    assert_true(budget_ask(&budget, &asker->waiter));
    budget_take(&budget, MAX_BYTES - 1);
    assert_true(budget_ask(&budget, &asker->waiter));
    budget_take(&budget, 50); /* one taking may go beyond */
    assert_false(budget_ask(&budget, &asker->waiter));
    budget_give_back(&budget, 49);
    assert_false(was_called(asker));
    budget_give_back(&budget, 1);
    assert_true(was_called(asker));
    assert_true(budget_ask(&budget, &asker->waiter));
    budget_fini(&budget);
    asker_destroy(asker);
}

static void who_was_refused_first_goes_first(void **state) {
    (void)state;
    struct budget budget;
    struct asker *first = asker_create(), *second = asker_create(), *third = asker_create();
    budget_init(&budget, MAX_BYTES);
    budget_take(&budget, MAX_BYTES);
    assert_false(budget_ask(&budget, &first->waiter));
    assert_false(budget_ask(&budget, &second->waiter));
    assert_false(budget_ask(&budget, &first->waiter)); /* keeps its place */
    budget_give_back(&budget, MAX_BYTES);
    assert_true(was_called(first));
    assert_false(was_called(second));
    assert_false(budget_ask(&budget, &third->waiter)); /* does not overtake */
    assert_false(budget_ask(&budget, &second->waiter));
    assert_true(budget_ask(&budget, &first->waiter));
    assert_true(was_called(second)); /* before anything was taken */
    budget_give_up(&budget, &second->waiter);
    assert_true(was_called(third));
    budget_take(&budget, MAX_BYTES);
    assert_false(budget_ask(&budget, &third->waiter));
    budget_give_back(&budget, MAX_BYTES);
    assert_true(was_called(third));
    assert_true(budget_ask(&budget, &third->waiter));
    budget_fini(&budget);
    asker_destroy(first);
    asker_destroy(second);
    asker_destroy(third);
}

static void who_gives_up_is_not_called(void **state) {
    (void)state;
    struct budget budget;
    struct asker *first = asker_create(), *second = asker_create();
    budget_init(&budget, MAX_BYTES);
    budget_take(&budget, MAX_BYTES);
    assert_false(budget_ask(&budget, &first->waiter));
    assert_false(budget_ask(&budget, &second->waiter));
    budget_give_up(&budget, &first->waiter);
    budget_give_back(&budget, 1);
    assert_false(was_called(first));
    assert_true(was_called(second));
    budget_give_up(&budget, &second->waiter);
    budget_fini(&budget);
    asker_destroy(first);
    asker_destroy(second);
}

struct worker {
    struct budget *budget;
    struct asker *asker;
    atomic_int_fast64_t *most_bytes;
    pthread_t thread;
};

static void *take_turns(void *context) {
    const struct worker *worker = context;
    for (int turn = 0; turn < TURNS;) {
        alarm_arm(&worker->asker->alarm);
        if (!budget_ask(worker->budget, &worker->asker->waiter)) {
            /* a lost call would be seen as a minute lost */
            alarm_wait(&worker->asker->alarm, clock_ms() + LONG_MS);
            continue;
        }
        budget_take(worker->budget, MAX_BYTES);
        const int64_t taken = atomic_load(&worker->budget->taken_bytes);
        int_fast64_t most = atomic_load(worker->most_bytes);
        while (most < taken && !atomic_compare_exchange_weak(worker->most_bytes, &most, taken)) {
        }
        budget_give_back(worker->budget, MAX_BYTES);
        turn++;
    }
    return NULL;
}

static void many_threads_take_turns_and_no_call_is_lost(void **state) {
    (void)state;
    struct budget budget;
    struct worker workers[WORKERS];
    atomic_int_fast64_t most_bytes = 0;
    const int64_t begin_ms = clock_ms();
    budget_init(&budget, MAX_BYTES);
    for (int w = 0; w < WORKERS; w++) {
        workers[w] = (struct worker){&budget, asker_create(), &most_bytes, 0};
        assert_int_equal(pthread_create(&workers[w].thread, NULL, take_turns, &workers[w]), 0);
    }
    for (int w = 0; w < WORKERS; w++) {
        pthread_join(workers[w].thread, NULL);
        asker_destroy(workers[w].asker);
    }
    assert_true(clock_ms() - begin_ms < LONG_MS);
    assert_int_equal(atomic_load(&budget.taken_bytes), 0);
    assert_in_range(atomic_load(&most_bytes), MAX_BYTES, MAX_BYTES * WORKERS);
    budget_fini(&budget);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_is_granted_and_what_is_taken_is_not),
        cmocka_unit_test(who_was_refused_first_goes_first),
        cmocka_unit_test(who_gives_up_is_not_called),
        cmocka_unit_test(many_threads_take_turns_and_no_call_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
