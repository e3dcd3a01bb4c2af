#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

static atomic_int_fast64_t error_ms;

static int64_t us_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_us(void) {
    return us_of(CLOCK_MONOTONIC);
}

int64_t clock_ms(void) {
    return clock_us() / 1000;
}

int64_t clock_wall_ms(void) {
    return us_of(CLOCK_REALTIME) / 1000;
}

int64_t clock_common_ms(void) {
    return clock_wall_ms() - atomic_load_explicit(&error_ms, memory_order_relaxed);
}

void clock_correct(int64_t new_error_ms) {
    atomic_store_explicit(&error_ms, new_error_ms, memory_order_relaxed);
}

void clock_sleep_ms(int ms) {
    const struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000L};
    nanosleep(&time, NULL);
}
