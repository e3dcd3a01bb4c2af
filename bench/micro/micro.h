/* micro: measures how long one operation of a hot module takes.
 *
 * Each other file in this directory has the benchmarks of one module, and micro.c times them. It
 * calibrates the number of operations in a round, interleaves the rounds of all benchmarks so that
 * a slow moment of the machine affects them equally, and prints minimum and median of each.
 */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct micro {
    const char *name;
    const char *operation; /* describes one operation */
    clockid_t clock;       /* CLOCK_PROCESS_CPUTIME_ID, unless another process does the work */
    void *(*set_up)(void); /* exits on failure */
    void (*run)(void *state, int64_t operations);
    void (*tear_down)(void *state);
};

extern const struct micro micro_decode[], micro_delta[], micro_hyperloglog[], micro_inbox[],
    micro_script[], micro_tally[]; /* each ends with an entry without a name */

/* Prints why and exits. */
void micro_fail(const char *why) __attribute__((noreturn));

/* Keeps the compiler from optimizing away the work that produced memory. */
static inline void micro_use(const void *memory) {
    __asm__ volatile("" : : "r"(memory) : "memory");
}

#endif
