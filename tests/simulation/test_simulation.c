#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "simulation.h"

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

int main(void) {
    const uint64_t schedules = number_from("SIM_SCHEDULES", 1000);
    const uint64_t first = number_from("SIM_SEED", 1);
    struct totals totals = {0};
    struct simulation_options options = {.is_traced = number_from("SIM_TRACE", 0) != 0, .mutant=(enum mutant)number_from("SIM_MUTANT",0)};
    simulation_init(&options);
    const clock_t begin = clock();
    for (uint64_t i = 0; i < schedules; i++) simulation_run(first + i, &totals);
    const double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC + 1e-9;
    printf("simulation: %llu schedules, %.0f a CPU second, %.1f us; %.0f turns, %.1f records, %.2f processes each\n",
           (unsigned long long)totals.schedules, (double)totals.schedules / seconds, seconds * 1e6 / (double)totals.schedules,
           (double)totals.steps / (double)totals.schedules, (double)totals.records / (double)totals.schedules, (double)totals.processes/(double)totals.schedules);
    simulation_print(stdout, "# ", &totals);
    return 0;
}
