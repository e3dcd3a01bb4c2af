/* micro: how long one operation of a hot module takes.
 *
 * Each file beside this one holds the benchmarks of one module; micro.c times them: it calibrates
 * how many operations make a round, interleaves the rounds of all benchmarks, so that a slow moment
 * of the machine hits them alike, and prints the least and the median of each.
 */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct micro {
    const char *name;
    const char *operation; /* what one operation is */
    clockid_t clock;       /* CLOCK_PROCESS_CPUTIME_ID, unless the work is in another process */
    void *(*set_up)(void); /* ends the process if it cannot */
    void (*run)(void *state, int64_t operations);
    void (*tear_down)(void *state);
};

extern const struct micro micro_decode[], micro_delta[], micro_inbox[], micro_script[],
    micro_tally[]; /* each ends with one that has no name */

/* Ends the process. */
void micro_fail(const char *why) __attribute__((noreturn));

/* Keeps the compiler from leaving out the work that made this. */
static inline void micro_use(const void *memory) {
    __asm__ volatile("" : : "r"(memory) : "memory");
}

#endif
