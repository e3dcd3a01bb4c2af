/* flow/tally: the cost of adding one stored key to the running totals that readers walk. */
#include "flow/tally.h"

#include <stdlib.h>

#include "micro.h"

enum { SEED = 42, KEYS = 1024, MINUTE = 0 };

static const struct aggregate_settings settings = {.max_values = 10000, .max_days = 4000};

struct totals {
    struct aggregates aggregates;
    struct tally *tally;
    struct delta delta;
};

static void *set_up(void) {
    struct totals *totals = calloc(1, sizeof *totals);
    if (totals == NULL) micro_fail("out of memory");
    aggregates_init(&totals->aggregates, &settings);
    const struct tally_options options = {.aggregates = &totals->aggregates,
                                          .seed = SEED,
                                          .values_bytes = 1 << 24,
                                          .minutes_bytes = 1 << 24};
    totals->tally = tally_create(&options);
    if (totals->tally == NULL) micro_fail("out of memory");
    for (int64_t i = 0; i < KEYS; i++) {
        delta_add(&totals->delta, delta_number_key(SEED, MINUTE, &i), 1);
    }
    return totals;
}

static void run(void *state, int64_t operations) {
    struct totals *totals = state;
    for (int64_t i = 0; i < operations; i += KEYS)
        tally_add(totals->tally, &totals->delta);
}

static void tear_down(void *state) {
    struct totals *totals = state;
    delta_release(&totals->delta);
    tally_destroy(&totals->tally);
    free(totals);
}

const struct micro micro_tally[] = {
    {"tally", "one of 1,024 keys added", CLOCK_PROCESS_CPUTIME_ID, set_up, run, tear_down},
    {0},
};
