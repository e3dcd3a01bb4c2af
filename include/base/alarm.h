/* alarm: what a thread sleeps on, so that others can wake it.
 *
 * The sleeper arms the alarm, looks at everything it may be woken for, and only then waits:
 *
 *     alarm_arm(&alarm);
 *     if (!there_is_work()) alarm_wait(&alarm, until_ms);
 *
 * Whoever brings work makes it visible first and rings second. In that order no wake-up is lost: a
 * ring between alarm_arm and alarm_wait makes the wait return at once.
 *
 * Threads:  arm and wait from the one thread that sleeps on it; ring from any thread, and from a
 *           signal handler.
 * Waits:    alarm_wait alone.
 * Source:   futex(2).
 */
#ifndef BASE_ALARM_H
#define BASE_ALARM_H

#include <stdatomic.h>
#include <stdint.h>

struct alarm { /* all zero is ready for use */
    atomic_uint word;
};

/* From now on a ring ends the next wait. */
void alarm_arm(struct alarm *alarm);

/* Sleeps until somebody rings, or until clock_ms() has reached until_ms. Returns at once if the
 * alarm was rung since it was armed, or was never armed. A signal may end it early. */
void alarm_wait(struct alarm *alarm, int64_t until_ms);

void alarm_wake(struct alarm *alarm); /* the slow half of alarm_ring */

/* Ends a present or, after alarm_arm, the next wait. One atomic load where the sleeper was rung
 * already. */
static inline void alarm_ring(struct alarm *alarm) {
    if (atomic_load(&alarm->word) != 0) alarm_wake(alarm);
}

#endif
