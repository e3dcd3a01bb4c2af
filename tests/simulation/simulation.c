/* One schedule: its plan, its run, the report if it breaks. */
#include "simulation.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "process.h"
#include "records.h"
#include "redis.h"
#include "world.h"

struct world world;
struct simulation_options simulation_options;

static const char *const event_texts[EVENT_COUNT] = {
#define SIMULATION_EVENT_(name, text) [EVENT_##name] = (text),
    SIMULATION_REPORTS(SIMULATION_EVENT_) SIMULATION_EVENTS(SIMULATION_EVENT_)
#undef SIMULATION_EVENT_
};

/* --- reports ---------------------------------------------------------------------------------- */

void trace_line(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("%4lld.%03lld ", (long long)(world.now_us / SECOND_US),
           (long long)(world.now_us / MS_US % 1000));
    if (current != NULL)
        printf("%-3s %-10s ", current->name, current_worker);
    else
        printf("%-15s", "");
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

const char *partition_names(unsigned partitions) {
    static char texts[4][4 * PARTITIONS_MAX];
    static unsigned turn;
    char *text = texts[turn++ % 4], *end = text;
    for (int p = 0; p < PARTITIONS_MAX; p++) {
        if (partitions & 1U << p) end += sprintf(end, end == text ? "p%d" : " p%d", p);
    }
    return end == text ? "nothing" : text;
}

void broken(const char *format, ...) {
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    trace("BROKEN: %s", what);
    fflush(stdout);
    fprintf(stderr, "simulation: seed %llu: %s\n", (unsigned long long)world.seed, what);
    _exit(EXIT_FAILURE);
}

bool must_be_fixed(struct error *error) {
    if (!fails(2000)) return false;
    happens(EVENT_REFUSED);
    error_set(error, "only the user can fix it");
    return true;
}

/* --- the plan --------------------------------------------------------------------------------- */

/* In a quarter of the schedules some; the sequence of the schedule is left as it is. */
static int count_count(uint64_t seed) {
    const uint64_t luck = seed * UINT64_C(0x9E3779B97F4A7C15);
    return luck >> 62 == 0 ? 1 + (int)((luck >> 32) % COUNTS_MAX) : 0;
}

static void make_plan(struct plan *plan) {
    static const int steps[] = {300, 600, 1200};
    *plan = (struct plan){
        .partition_count = one_in(2) ? 1 : 1 + (int)roll(PARTITIONS_MAX),
        .shard_count = 1 + roll(2),
        .is_static = one_in(3),
        .is_wide = one_in(24),
        .is_heavy = one_in(6),
        .count_count = count_count(world.seed),
        .has_rejected_topic = !one_in(8),
        .has_ticks = one_in(2),
        .has_pages = one_in(8),
        .has_topics = !one_in(4),
        .loses_records = one_in(8),
        .loses_ends = roll(5) < 2,
        .loses_group = one_in(6),
        .policy = {one_in(4) ? CURSOR_START_LATEST : CURSOR_START_EARLIEST,
                   one_in(2) ? CURSOR_GAP_FAIL : CURSOR_GAP_CONTINUE},
        .commit_ms = 10 + (int)roll(200),
        .checkpoint_ms = 10 + (int)roll(500),
        .calm = 1 + roll(8),
        .wait_odds = 1 + roll(8),
        .steps = steps[roll(3)],
    };
    if (plan->loses_records) plan->loses_ends = false; /* nobody could know where it was cut off */
    /* Nor where the group began, if Redis lost it, too. */
    plan->keeps_origin = plan->loses_records || plan->policy.start == CURSOR_START_LATEST;
    if (plan->is_wide) plan->partition_count = 2; /* with one, an epoch may have more keys */
    if (plan->is_wide) plan->checkpoint_ms += 1000;
    plan->has_twins = plan->is_static && one_in(3);
    for (int p = 0; p < plan->partition_count; p++)
        plan->last_end[p] = plan->is_wide && p == 0 ? LOG_MAX : 4 + (int)roll(16);
    const int late = one_in(4) ? 1 + (int)roll(3) : 0;
    for (int p = 0; p < plan->partition_count; p++)
        plan->log_end[p] = plan->last_end[p] - late;
    if (late > 0) happens(EVENT_BUSY_STOP);
    if (plan->is_wide) happens(EVENT_WIDE);
    if (plan->is_heavy) happens(EVENT_HEAVY);
    if (plan->count_count > 0) happens(EVENT_DECLARED);
    if (plan->count_count > DISTINCT) happens(EVENT_DISTINCT);
    if (plan->has_twins) happens(EVENT_TWINS);
    if (plan->partition_count > 1) happens(EVENT_PARTITIONS);
    if (plan->policy.start == CURSOR_START_LATEST) happens(EVENT_START_LATEST);
}

void simulation_init(const struct simulation_options *options) {
    simulation_options = *options;
    mallopt(M_PERTURB, 0x5A);             /* what is used after it was freed is noticed */
    mallopt(M_TRIM_THRESHOLD, 256 << 20); /* and what was freed is kept for the next schedule */
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    records_init();
}

uint64_t simulation_run(uint64_t seed, struct totals *totals) {
    memset(&world, 0, sizeof world);
    world.seed = world.random = seed;
    make_plan(&world.plan);
    trace("--- seed %llu: %d partitions, %u shards%s%s", (unsigned long long)seed,
          world.plan.partition_count, world.plan.shard_count,
          world.plan.is_static ? ", static ids" : "", world.plan.has_twins ? ", twins" : "");
    broker_begin();
    redis_begin();
    processes_begin();
    schedule_run();
    totals->schedules++;
    totals->steps += (uint64_t)world.step_count;
    totals->records += world.records;
    totals->processes += (uint64_t)world.processes;
    for (int i = 0; i < EVENT_COUNT; i++)
        totals->with[i] += world.has_happened[i];
    return world.history;
}

void simulation_add(struct totals *into, const struct totals *from) {
    into->schedules += from->schedules;
    into->steps += from->steps;
    into->records += from->records;
    into->processes += from->processes;
    for (int i = 0; i < EVENT_COUNT; i++)
        into->with[i] += from->with[i];
}

void simulation_print(FILE *file, const char *prefix, const struct totals *totals) {
    for (int i = 0; i < EVENT_COUNT; i++) {
        fprintf(file, "%s%9llu with %s\n", prefix, (unsigned long long)totals->with[i],
                event_texts[i]);
    }
}

void simulation_hear(const char *message) {
    for (int i = 0; i < EVENT_REPORTS_END; i++) {
        if (strcmp(message, event_texts[i]) == 0) happens((enum event)i);
    }
}

const char *simulation_lacks(const struct totals *totals, bool may_be_rare) {
    for (int i = 0; i < (may_be_rare ? EVENT_REPORTS_END : EVENT_COUNT); i++) {
        if (totals->with[i] == 0) return event_texts[i];
    }
    return NULL;
}
