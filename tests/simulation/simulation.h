/* simulation: the real cursor and the real judge in a made-up world, by seeded random schedules.
 *
 * One partition, three instances, Kafka, Redis, and everything that can go wrong between them. When
 * the faults of a schedule stop, each record from where the group began must be counted once, as
 * what it is (P1), and be published once, as what it is, in order (P2).
 */
#ifndef TESTS_SIMULATION_SIMULATION_H
#define TESTS_SIMULATION_SIMULATION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Each leaves out one rule, and must be noticed. */
enum mutant {
    FAITHFUL,
    NO_COMPARE,    /* Redis applies every call */
    NO_REWIND,     /* Redis compares, and the instance goes on where it is */
    NO_FENCE,      /* what was of an earlier assignment is committed */
    NO_MEMBER,     /* what was given to an expelled member is committed under its next id */
    NO_GATE,       /* what is read again is counted again */
    CLOCK_VERDICT, /* a record is judged by the time of the reading */
};

/* What can befall in a schedule. */
#define SIMULATION_EVENTS(X)                                                                       \
    X(HOLE, "log with holes")                                                                      \
    X(BORDER, "record at the border of the future")                                                \
    X(START_LATEST, "start=latest")                                                                \
    X(CRASH, "crash")                                                                              \
    X(PAUSE, "pause")                                                                              \
    X(REVOKED, "revoked and drained")                                                              \
    X(LOST, "lost without a drain")                                                                \
    X(REPLACED, "taken back as another member")                                                    \
    X(REDIS_AWAY, "Redis away at assignment")                                                      \
    X(REDIS_EMPTY, "Redis empty")                                                                  \
    X(REDIS_OLDER, "Redis as of an earlier time")                                                  \
    X(REPLY_LOST, "reply lost")                                                                    \
    X(LATE_CALL, "late call")                                                                      \
    X(LATE_APPLIED, "late call applied")                                                           \
    X(ABORTED, "transaction aborted")                                                              \
    X(UNCLEAR, "commit not heard of")                                                              \
    X(REFUSED_GENERATION, "offsets of an old generation refused")                                  \
    X(REFUSED_FENCE, "offsets stopped by the fence")                                               \
    X(REFUSED_MEMBER, "offsets of an expelled member stopped")                                     \
    X(VOID_BATCH, "void batch dropped")                                                            \
    X(OVERTAKEN, "rewound: overtaken")                                                             \
    X(ROLLED_BACK, "rewound: rolled_back")                                                         \
    X(VANISHED, "rewound: vanished")                                                               \
    X(FIRST_READ, "rewound: first_read")                                                           \
    X(UNPUBLISHED, "rewound: aborted")                                                             \
    X(REBUILDS, "rebuilds")                                                                        \
    X(ADOPTS, "adopts")                                                                            \
    X(WAITS, "waits for Redis")

enum event {
#define SIMULATION_EVENT_(name, text) EVENT_##name,
    SIMULATION_EVENTS(SIMULATION_EVENT_)
#undef SIMULATION_EVENT_
        EVENT_COUNT
};

struct totals {
    uint64_t schedules;
    uint64_t records;           /* read and judged, those read again too */
    uint64_t with[EVENT_COUNT]; /* schedules in which it befell */
};

/* Runs one schedule. NULL if P1 and P2 hold at its end, else what does not. Adds to totals, which
 * may be NULL. */
const char *simulation_run(uint64_t seed, enum mutant mutant, struct totals *totals);

/* Runs the schedules of `count` seeds from `first` on. False at the first that breaks something,
 * which is then told in *seed and *what. */
bool simulation_run_all(uint64_t first, uint64_t count, struct totals *totals, uint64_t *seed,
                        const char **what);

/* In how many schedules each thing befell, a line each, after `prefix`. */
void simulation_tell(FILE *file, const char *prefix, const struct totals *totals);

/* A thing that never befell, or NULL. */
const char *simulation_lacks(const struct totals *totals);

#endif
