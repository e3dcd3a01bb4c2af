/* judge: what must be true, and when the schedule goes into its next stage. */
#ifndef TESTS_SIMULATION_JUDGE_H
#define TESTS_SIMULATION_JUDGE_H

#include "world.h"

/* P1 for what Redis holds of a partition now. */
void judge_counts(int partition);

/* A process could not continue, and why. */
void judge_failure(const char *why);

/* Each turn. */
void judge_tick(void);

#endif
