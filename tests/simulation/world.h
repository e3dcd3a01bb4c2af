/* world: one schedule: what it is made of, what its seed decides, what has happened in it.
 *
 * Everything that the program's instances share lives here: time, the broker (broker.h), Redis
 * (redis.h) and the processes (process.h). The simulation has one thread and one world at a time,
 * so it is a global.
 */
#ifndef TESTS_SIMULATION_WORLD_H
#define TESTS_SIMULATION_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "base/error.h"
#include "core/cursor.h"
#include "simulation.h"

enum {
    PARTITIONS_MAX = 3,
    LOG_MAX = 48,   /* offsets of one partition's log */
    EDITIONS = 3,   /* of an offset: it may be cut off and written again */
    COUNTS_MAX = 5, /* declared ones */
    DISTINCT = 3,   /* and from this one on of distinct values */
    SECOND_US = 1000000,
    MS_US = 1000,
};

#define NEVER_US (INT64_MAX / 2)

/* What the seed decides before the schedule begins. */
struct plan {
    int partition_count;
    int log_end[PARTITIONS_MAX];  /* when everything has to settle */
    int last_end[PARTITIONS_MAX]; /* when the last instance is asked to end */
    unsigned shard_count;
    bool is_static;  /* instances have ids that stay the same */
    bool has_twins;  /* the first two have the same one */
    bool is_wide;    /* records with so many keys that an epoch can reach its limit */
    bool is_heavy;   /* records so large that batches and the memory for them fill up */
    int count_count; /* counts that are declared */
    bool has_rejected_topic;
    bool has_pages;     /* served over HTTP */
    bool has_topics;    /* the output topics are there already */
    bool has_ticks;     /* a worker wakes up at least every WORKER_TICK_MS, as in production */
    bool loses_records; /* Kafka may delete what is still needed */
    bool loses_ends;    /* and its logs may be cut off at their ends */
    bool loses_group;   /* the group may lose its committed offsets */
    bool keeps_origin;  /* but then Redis keeps where it began */
    struct cursor_policy policy;
    int commit_ms, checkpoint_ms;
    uint32_t calm;      /* one in so many faults happens */
    uint32_t wait_odds; /* one in so many calls lets others run meanwhile */
    int steps;          /* before the faults stop */
};

enum stage {
    STAGE_FAULTS,   /* anything may happen */
    STAGE_SETTLING, /* no more faults: everything must settle */
    STAGE_RESTING,  /* everything has settled, and must stay so */
    STAGE_BUSY,     /* only one instance is left, and more records come */
    STAGE_STOPPING, /* all processes were asked to end */
    STAGE_OVER,
};

struct world {
    uint64_t seed, random;
    struct plan plan;
    enum stage stage;
    int64_t now_us, stage_us; /* now; when the stage began */
    int step_count, stage_steps;
    uint64_t history;                 /* hash of all that was chosen: one seed, one history */
    uint64_t records;                 /* lent to instances */
    int processes;                    /* that were started */
    int64_t lost_records;             /* as reported by instances */
    int64_t cut_records;              /* the same; that had been counted or published */
    int64_t lent_end[PARTITIONS_MAX]; /* behind the last record lent while busy */
    bool is_drain_aborted;            /* what was read must be read again: the next owner does */
    int header_count;                 /* taken, and not destroyed */
    bool is_gap_reported;             /* an instance ended because of lost records */
    bool has_happened[EVENT_COUNT];
};

extern struct world world;
extern struct simulation_options simulation_options;

/* A number below `sides`, of the schedule's own sequence. */
static inline uint32_t roll(uint32_t sides) { /* splitmix64 */
    uint64_t z = (world.random += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)(((z ^ (z >> 31)) >> 32) * sides >> 32);
}

static inline bool one_in(uint32_t sides) {
    return roll(sides) == 0;
}

/* True once in so many times (and as often as the schedule is calm), and never when the faults have
 * stopped. */
static inline bool fails(uint32_t sides) {
    return world.stage == STAGE_FAULTS && roll(sides * world.plan.calm) == 0;
}

/* True if a call meets something that only the user can fix: the program must report it and end. */
bool must_be_fixed(struct error *error);

static inline void happens(enum event event) {
    world.has_happened[event] = true;
}

/* Notes a line of the log among what happens. */
void simulation_hear(const char *message);

/* One line of the trace: when, who, what. Costs nothing unless the schedule is traced. */
#define trace(...) (simulation_options.is_traced ? trace_line(__VA_ARGS__) : (void)0)
void trace_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "p0 p2" for a set of partitions; good for one line. */
const char *partition_names(unsigned partitions);

/* Something does not hold: reports it, and ends the process. */
noreturn void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
