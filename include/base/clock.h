/* clock: monotonic time, of which deadlines and intervals are made; wall time; and sleep. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_us_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline int64_t clock_us(void) {
    return clock_us_of(CLOCK_MONOTONIC);
}

static inline int64_t clock_ms(void) {
    return clock_us() / 1000;
}

/* Since 1970; may be set back or forth at any time. */
static inline int64_t clock_wall_ms(void) {
    return clock_us_of(CLOCK_REALTIME) / 1000;
}

/* Shorter when a signal arrives. */
static inline void clock_sleep_ms(int ms) {
    const struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&time, NULL);
}

#endif
