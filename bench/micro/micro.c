/* usage: micro [-r ROUNDS] [NAME ...]: runs the benchmarks with these names, or all. */
#include "micro.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BENCHES_MAX = 32, ROUNDS_MAX = 1000, ROUND_NS = 20 * 1000 * 1000 };

struct timed {
    const struct micro *micro;
    void *state;
    int64_t operations;    /* per round */
    double ns[ROUNDS_MAX]; /* per operation, by round */
};

void micro_fail(const char *why) {
    fprintf(stderr, "micro: %s\n", why);
    exit(1);
}

static int64_t run_ns(const struct timed *timed, int64_t operations) {
    struct timespec begin, end;
    clock_gettime(timed->micro->clock, &begin);
    timed->micro->run(timed->state, operations);
    clock_gettime(timed->micro->clock, &end);
    return (end.tv_sec - begin.tv_sec) * INT64_C(1000000000) + end.tv_nsec - begin.tv_nsec;
}

static void set_up(struct timed *timed, const struct micro *micro) {
    timed->micro = micro;
    timed->state = micro->set_up();
    timed->operations = 1;
    while (run_ns(timed, timed->operations) < ROUND_NS)
        timed->operations *= 2;
}

static bool is_wanted(const char *name, char *const names[], int name_count) {
    for (int i = 0; i < name_count; i++) {
        if (strcmp(name, names[i]) == 0) return true;
    }
    return name_count == 0;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char *argv[]) {
    static const struct micro *const modules[] = {micro_decode,      micro_delta, micro_inbox,
                                                  micro_hyperloglog, micro_tally, micro_script};
    static struct timed timed[BENCHES_MAX];
    int count = 0, rounds = 30, option;
    while ((option = getopt(argc, argv, "r:")) != -1) {
        if (option != 'r') return 2;
        rounds = atoi(optarg);
    }
    if (rounds < 1 || rounds > ROUNDS_MAX) micro_fail("-r must be from 1 to 1000 rounds");
    for (size_t m = 0; m < sizeof modules / sizeof *modules; m++) {
        for (const struct micro *micro = modules[m]; micro->name != NULL; micro++) {
            if (!is_wanted(micro->name, argv + optind, argc - optind)) continue;
            if (count == BENCHES_MAX) micro_fail("there are more benchmarks than BENCHES_MAX");
            set_up(&timed[count++], micro);
        }
    }
    if (count == 0) micro_fail("no benchmark has this name");
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < count; i++) {
            timed[i].ns[round] =
                (double)run_ns(&timed[i], timed[i].operations) / (double)timed[i].operations;
        }
    }
    printf("%-18s %10s %10s   ns per operation\n", "", "minimum", "median");
    for (int i = 0; i < count; i++) {
        qsort(timed[i].ns, (size_t)rounds, sizeof timed[i].ns[0], compare);
        printf("%-18s %10.1f %10.1f   %s\n", timed[i].micro->name, timed[i].ns[0],
               timed[i].ns[rounds / 2], timed[i].micro->operation);
        timed[i].micro->tear_down(timed[i].state);
    }
    return 0;
}
