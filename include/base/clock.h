/* clock: monotonic time, of which deadlines and intervals are made; wall time; and sleep.
 *
 * Everything that reads the time or sleeps does it here, so that a simulation can put a clock of
 * its own in its place.
 *
 * Threads:  any.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Later than any time: for "nothing to do until something happens". */
#define CLOCK_NEVER_MS (INT64_MAX / 2)

int64_t clock_us(void); /* monotonic */
int64_t clock_ms(void); /* the same */

int64_t clock_wall_ms(void); /* since 1970; may be set back or forth at any time */

/* The same, without the error that clock_correct was told of last: for the ages of what others have
 * stamped. */
int64_t clock_common_ms(void);
/* This machine's clock is so much ahead of the one that all instances share; behind, if below 0. */
void clock_correct(int64_t error_ms);

void clock_sleep_ms(int ms); /* shorter when a signal arrives */

#endif
