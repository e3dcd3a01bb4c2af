/* Many seeded schedules, and mutants of them that must be caught.
 *
 *     SIM_SCHEDULES=1 SIM_SEED=185 build/tests/simulation/test_simulation
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "simulation.h"

/* From how many schedules on everything that can befall must have befallen. */
enum { ALL_BEFALLS = 20000 };

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void each_record_is_counted_once_and_published_once_in_order(void **state) {
    (void)state;
    const uint64_t schedules = number_from("SIM_SCHEDULES", 1000000);
    const uint64_t first = number_from("SIM_SEED", 1);
    struct totals totals = {0};
    const char *what = NULL;
    uint64_t seed = 0;
    const clock_t begin = clock();
    if (!simulation_run_all(first, schedules, &totals, &seed, &what)) {
        fail_msg("%s is broken by SIM_SCHEDULES=1 SIM_SEED=%llu", what, (unsigned long long)seed);
    }
    const double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC + 1e-9;
    print_message("simulation: %llu schedules from seed %llu, %.0f a CPU second; %.0f records "
                  "judged in each\n",
                  (unsigned long long)totals.schedules, (unsigned long long)first,
                  (double)totals.schedules / seconds,
                  (double)totals.records / (double)totals.schedules);
    simulation_tell(stdout, "# ", &totals);
    const char *lacking = simulation_lacks(&totals);
    if (schedules >= ALL_BEFALLS && lacking != NULL) fail_msg("no schedule had a %s", lacking);
}

static void must_catch(enum mutant mutant) {
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        if (simulation_run(seed, mutant, NULL) != NULL) return;
    }
    fail_msg("20000 schedules did not notice the missing rule");
}

static void without_the_compare_it_fails(void **state) {
    (void)state;
    must_catch(NO_COMPARE);
}

static void without_the_rewind_it_fails(void **state) {
    (void)state;
    must_catch(NO_REWIND);
}

static void without_the_fence_it_fails(void **state) {
    (void)state;
    must_catch(NO_FENCE);
}

static void with_what_an_expelled_member_holds_it_fails(void **state) {
    (void)state;
    must_catch(NO_MEMBER);
}

static void without_the_gate_it_fails(void **state) {
    (void)state;
    must_catch(NO_GATE);
}

static void judged_by_the_clock_it_fails(void **state) {
    (void)state;
    must_catch(CLOCK_VERDICT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_record_is_counted_once_and_published_once_in_order),
        cmocka_unit_test(without_the_compare_it_fails),
        cmocka_unit_test(without_the_rewind_it_fails),
        cmocka_unit_test(without_the_fence_it_fails),
        cmocka_unit_test(with_what_an_expelled_member_holds_it_fails),
        cmocka_unit_test(without_the_gate_it_fails),
        cmocka_unit_test(judged_by_the_clock_it_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
