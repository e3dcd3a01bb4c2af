/* faults: what goes wrong by itself, as the seed says, as long as the stage lets it. */
#ifndef TESTS_SIMULATION_FAULTS_H
#define TESTS_SIMULATION_FAULTS_H

/* Each turn. */
void faults_tick(void);

#endif
