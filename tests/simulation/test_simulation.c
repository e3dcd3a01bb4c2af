/* Many seeded schedules, shared out to processes; then the outside's mutants, each of which must be
 * caught.
 *
 * A broken schedule is run once more, with its trace on stdout. By hand:
 *
 *     SIM_TRACE=1 SIM_SEED=185 build/tests/simulation/test_simulation
 *
 * SIM_SCHEDULES, SIM_SEED (the first one), SIM_JOBS; SIM_ONLY=1 leaves out all but the schedules.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "simulation.h"

enum {
    SCHEDULES = 1000000,
    ALL_HAPPENS = 200000, /* from so many schedules on, everything that can happen must have */
    MUTANT_SCHEDULES = 20000,
    TWICE = 200, /* schedules that are run twice, and must have the same history */
    JOBS_MAX = 64,
    STUCK_S = 120,
};

/* One process's share of the schedules, in memory that all see. */
struct job {
    pid_t pid;
    uint64_t first, count, seed;
    double seconds;
    struct totals totals;
};

static struct job *jobs;

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run(struct job *job, enum mutant mutant) {
    const struct simulation_options options = {.mutant = mutant};
    simulation_init(&options);
    for (uint64_t i = 0; i < job->count; i++) {
        if (i % 64 == 0) alarm(STUCK_S);
        job->seed = job->first + i;
        simulation_run(job->seed, &job->totals);
    }
    job->seconds = cpu_seconds();
}

/* Runs the job in a process of its own, which ends well unless something is broken. */
static void start(struct job *job, enum mutant mutant) {
    fflush(stdout);
    const pid_t pid = fork();
    if (pid != 0) {
        job->pid = pid;
        return;
    }
    if (mutant != FAITHFUL && freopen("/dev/null", "w", stderr) == NULL) _exit(EXIT_FAILURE);
    run(job, mutant);
    exit(EXIT_SUCCESS);
}

static bool ends_well(const struct job *job) {
    int status;
    return job->pid > 0 && waitpid(job->pid, &status, 0) == job->pid && status == 0;
}

static void trace(uint64_t seed) {
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)seed);
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        setenv("SIM_TRACE", "1", 1);
        setenv("SIM_SEED", number, 1);
        execl("/proc/self/exe", "test_simulation", (char *)NULL);
        _exit(EXIT_FAILURE);
    }
    waitpid(pid, NULL, 0);
}

static void report(const struct totals *totals, uint64_t first, double seconds) {
    const double count = (double)totals->schedules;
    printf(
        "# simulation: %.0f schedules from seed %llu, %.0f a CPU second; in each %.0f turns, %.1f "
        "processes, %.0f records read\n",
        count, (unsigned long long)first, count / (seconds + 1e-9), (double)totals->steps / count,
        (double)totals->processes / count, (double)totals->records / count);
    simulation_print(stdout, "# ", totals);
}

static bool outcome(int number, bool is_good, const char *name) {
    printf("%sok %d - %s\n", is_good ? "" : "not ", number, name);
    return is_good;
}

/* --- tests ------------------------------------------------------------------------------------ */

static bool each_record_is_counted_once_and_published_once_in_order(int job_count) {
    const uint64_t count = number_from("SIM_SCHEDULES", SCHEDULES);
    const uint64_t first = number_from("SIM_SEED", 1);
    struct totals totals = {0};
    double seconds = 0;
    bool is_good = true;
    for (int i = 0; i < job_count; i++) {
        const uint64_t begin = count * (uint64_t)i / (uint64_t)job_count;
        const uint64_t end = count * (uint64_t)(i + 1) / (uint64_t)job_count;
        jobs[i] = (struct job){.first = first + begin, .count = end - begin};
        start(&jobs[i], FAITHFUL);
    }
    for (int i = 0; i < job_count; i++) {
        if (!ends_well(&jobs[i])) {
            if (is_good) trace(jobs[i].seed);
            printf("# broken by SIM_SEED=%llu\n", (unsigned long long)jobs[i].seed);
            is_good = false;
        }
        simulation_add(&totals, &jobs[i].totals);
        seconds += jobs[i].seconds;
    }
    if (is_good) report(&totals, first, seconds);
    const char *lacking = simulation_lacks(&totals, count < ALL_HAPPENS);
    if (is_good && count >= SIMULATION_TALKS && lacking != NULL) {
        printf("# no schedule had: %s\n", lacking);
        is_good = false;
    }
    return is_good;
}

static bool one_seed_gives_one_history(void) {
    const struct simulation_options options = {.mutant = FAITHFUL};
    struct totals totals = {0};
    uint64_t histories[TWICE];
    simulation_init(&options);
    for (uint64_t seed = 0; seed < TWICE; seed++)
        histories[seed] = simulation_run(seed + 1, &totals);
    for (uint64_t seed = TWICE; seed-- > 0;) {
        if (simulation_run(seed + 1, &totals) == histories[seed]) continue;
        printf("# seed %llu had two histories\n", (unsigned long long)seed + 1);
        return false;
    }
    return true;
}

static bool is_caught(enum mutant mutant) {
    jobs[0] = (struct job){.first = 1, .count = MUTANT_SCHEDULES};
    start(&jobs[0], mutant);
    if (ends_well(&jobs[0])) return false;
    printf("# caught by seed %llu\n", (unsigned long long)jobs[0].seed);
    return true;
}

int main(void) {
    static const char *const names[] = {
        [NO_COMPARE] = "redis_without_the_compare_is_caught",
        [NO_MEMBER] = "commits_of_an_expelled_member_are_caught",
        [NO_STABLE] = "offsets_read_past_open_transactions_are_caught",
        [FENCE_FIRST] = "a_fence_that_is_asked_too_early_is_caught",
        [NO_EPOCH] = "a_producer_that_is_not_shut_out_is_caught",
    };
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int job_count = (int)number_from("SIM_JOBS", processors < 1 ? 1 : (uint64_t)processors);
    if (job_count > JOBS_MAX) job_count = JOBS_MAX;
    if (number_from("SIM_TRACE", 0) != 0) {
        const struct simulation_options options = {.is_traced = true};
        struct totals totals = {0};
        simulation_init(&options);
        simulation_run(number_from("SIM_SEED", 1), &totals);
        return EXIT_SUCCESS;
    }
    const bool is_all = number_from("SIM_ONLY", 0) == 0;
    jobs = mmap(NULL, JOBS_MAX * sizeof *jobs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                -1, 0);
    if (jobs == MAP_FAILED) return EXIT_FAILURE;
    printf("1..%d\n", is_all ? NO_EPOCH + 2 : 1);
    bool is_good = outcome(1, each_record_is_counted_once_and_published_once_in_order(job_count),
                           "each_record_is_counted_once_and_published_once_in_order");
    for (int mutant = FAITHFUL + 1; is_all && mutant <= NO_EPOCH; mutant++)
        is_good &= outcome(1 + mutant, is_caught((enum mutant)mutant), names[mutant]);
    if (is_all)
        is_good &=
            outcome(NO_EPOCH + 2, one_seed_gives_one_history(), "one_seed_gives_one_history");
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
