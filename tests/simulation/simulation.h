/* simulation: complete instances of the real program in a simulated world, by seeded schedules.
 *
 * app/pipeline and all below it is the program's own; of edge there is an implementation that talks
 * to a simulated broker and Redis, and of base only the clock, the threads and the log are
 * replaced. When the faults of a schedule stop, each record from where the group began must be
 * counted once, as what it is (P1), be published once, as what it is, in order (P2), what is
 * missing must have been reported (P3), and all processes must end in order.
 */
#ifndef TESTS_SIMULATION_SIMULATION_H
#define TESTS_SIMULATION_SIMULATION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Rules of the outside, one of which a mutant leaves out. Mutants of the program: mutants.py. */
enum mutant {
    FAITHFUL,
    NO_COMPARE,  /* Redis applies every call */
    NO_MEMBER,   /* kafka_sink commits what was given to an expelled member, under its next id */
    NO_STABLE,   /* committed offsets are read past open transactions */
    FENCE_FIRST, /* the fence is asked before the group's metadata is fetched, not after */
    NO_EPOCH,    /* an older producer of the same transactional id is not shut out */
};

struct simulation_options {
    enum mutant mutant;
    bool is_traced;
};

/* Lines of the log that every SIMULATION_TALKS schedules have, and more. */
enum { SIMULATION_TALKS = 2000 };
#define SIMULATION_REPORTS(X)                                                                      \
    X(SAYS_ASSIGNED, "Partitions assigned")                                                        \
    X(SAYS_READING, "Reading")                                                                     \
    X(SAYS_RUNNING, "Running")                                                                     \
    X(SAYS_STOPPING, "Stopping: giving back what is in hand; a second signal ends at once")        \
    X(SAYS_READING_AGAIN, "Reading again")                                                         \
    X(SAYS_REJECTED, "Record rejected")                                                            \
    X(SAYS_ABORTED, "Transaction aborted: its records are read again")                             \
    X(SAYS_LOST, "Partitions lost: another instance may own them already")                         \
    X(SAYS_NOT_STORED, "Checkpoint not stored: it will be repeated")                               \
    X(SAYS_CREATED, "Topic created")                                                               \
    X(SAYS_WAITING_FOR_KAFKA, "Waiting for Kafka")                                                 \
    X(SAYS_GIVEN_AWAY, "Partitions given away")                                                    \
    X(SAYS_REACHABLE, "Redis is reachable again")                                                  \
    X(SAYS_WAITING_FOR_REDIS, "Waiting for Redis")                                                 \
    X(SAYS_EMPTY, "Redis holds nothing for this partition: counting again from "                   \
                  "the earliest record")                                                           \
    X(SAYS_NO_HEADROOM, "The retention headroom is not shown")                                     \
    X(SAYS_UNANSWERED, "Redis has not answered yet: publishing goes on, and "                      \
                       "counting begins when it does")                                             \
    X(SAYS_DRAIN_ENDED, "Partitions given away before all was stored: the next owner "             \
                        "reads it again")                                                          \
    X(SAYS_UNCOMMITTED, "The group has no committed offset for this partition: "                   \
                        "publishing continues from the counted one")

/* What can happen in a schedule. */
#define SIMULATION_EVENTS(X)                                                                       \
    X(HOLE, "a log with holes")                                                                    \
    X(BORDER, "a record at the border of the future")                                              \
    X(START_LATEST, "start=latest")                                                                \
    X(WIDE, "records with many keys")                                                              \
    X(HEAVY, "records that fill the memory for them")                                              \
    X(DECLARED, "declared counts")                                                                 \
    X(DISTINCT, "distinct counts")                                                                 \
    X(PAGES, "pages asked for over HTTP")                                                          \
    X(TOPICS_CREATED, "output topics created")                                                     \
    X(PARTITIONS, "several partitions")                                                            \
    X(CRASH, "a crash")                                                                            \
    X(CRASH_IN_CALL, "a crash within a call")                                                      \
    X(CRASH_IN_STOP, "a crash while stopping")                                                     \
    X(PAUSE, "a pause")                                                                            \
    X(PAUSE_IN_CALL, "a pause within a call")                                                      \
    X(STOP, "a stop at any step")                                                                  \
    X(STOP_IN_START, "a stop before it runs")                                                      \
    X(BUSY_STOP, "a stop while records come")                                                      \
    X(STOP_IN_DRAIN, "a stop while partitions drain")                                              \
    X(FAILURE, "an instance that cannot continue")                                                 \
    X(REFUSED, "an error that only the user can fix")                                              \
    X(NO_THREAD, "a thread that cannot be made")                                                   \
    X(TWINS, "two processes with the same id")                                                     \
    X(FENCED_TWIN, "an instance ended by its twin")                                                \
    X(REVOKED, "partitions revoked and drained")                                                   \
    X(DRAIN_LATE, "a drain past its deadline")                                                     \
    X(GIVEN_IN_DRAIN, "an assignment during a drain")                                              \
    X(FORGOTTEN, "a group that lost its committed offsets")                                        \
    X(ORIGIN_KEPT, "a group whose origin Redis kept")                                              \
    X(LOST, "partitions lost without a drain")                                                     \
    X(REPLACED, "an expelled member taken back")                                                   \
    X(ORPHANS, "partitions that nobody owns")                                                      \
    X(KAFKA_AWAY, "Kafka away")                                                                    \
    X(EXPIRED, "a call past its deadline")                                                         \
    X(REDIS_AWAY, "Redis away")                                                                    \
    X(REDIS_AWAY_AT_ASSIGNMENT, "Redis away at assignment")                                        \
    X(REDIS_EMPTY, "Redis empty")                                                                  \
    X(REDIS_OLDER, "Redis as of an earlier time")                                                  \
    X(REDIS_FULL, "Redis out of memory")                                                           \
    X(PARTLY_STORED, "a round trip that failed in part")                                           \
    X(REPLY_LOST, "a reply lost")                                                                  \
    X(REDIRECTED, "another master of Redis")                                                       \
    X(LATE_CALL, "a late call")                                                                    \
    X(LATE_APPLIED, "a late call applied")                                                         \
    X(CHECKPOINT_FULL, "a checkpoint at its size limit")                                           \
    X(QUEUE_FULL, "a full producer queue")                                                         \
    X(RECOUNT, "partitions counted again")                                                         \
    X(UNTAKEN, "an output that takes nothing for a while")                                         \
    X(UNDELIVERED, "a record not delivered")                                                       \
    X(ABORTED, "a transaction aborted")                                                            \
    X(TIMED_OUT, "a transaction aborted by its timeout")                                           \
    X(REPLACED_PRODUCER, "a producer replaced")                                                    \
    X(RENEWED_PRODUCER, "a producer with new certificates")                                        \
    X(UNCLEAR, "a commit whose outcome is not known")                                              \
    X(LATE_COMMIT, "a commit that takes effect after a crash")                                     \
    X(UNSTABLE, "committed offsets waited for")                                                    \
    X(REFUSED_GENERATION, "offsets of an old generation rejected")                                 \
    X(REFUSED_FENCE, "offsets stopped by the fence")                                               \
    X(REFUSED_MEMBER, "offsets of an expelled member stopped")                                     \
    X(REFUSED_EPOCH, "an old producer shut out")                                                   \
    X(UNREADABLE, "a record that cannot be read at once")                                          \
    X(STRANDED, "a position that is no longer in the log")                                         \
    X(DEAF, "a partition that is no longer fetched")                                               \
    X(REPLACED_CONSUMER, "a consumer replaced")                                                    \
    X(RENEWED_CONSUMER, "a consumer with new certificates")                                        \
    X(GAP, "records deleted before they were counted")                                             \
    X(GAP_STOP, "an instance stopped by a gap")                                                    \
    X(CUT, "a log that lost its end")                                                              \
    X(CUT_FOUND, "continued where a log was cut off")                                              \
    X(CUT_STOP, "an instance stopped by a log that lost its end")                                  \
    X(ADOPTED_CUT, "a group without offsets that began where its log was cut off")                 \
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
    SIMULATION_REPORTS(SIMULATION_EVENT_) SIMULATION_EVENTS(SIMULATION_EVENT_)
#undef SIMULATION_EVENT_
        EVENT_COUNT,
    EVENT_REPORTS_END = EVENT_SAYS_UNCOMMITTED + 1
};

struct totals {
    uint64_t schedules, steps, records, processes;
    uint64_t with[EVENT_COUNT]; /* schedules in which it happened */
};

/* To be called once, before the first schedule. */
void simulation_init(const struct simulation_options *options);

/* Runs one schedule, adds to totals, and returns a hash of its history. Where something is broken
 * it reports that and ends the process. */
uint64_t simulation_run(uint64_t seed, struct totals *totals);

void simulation_add(struct totals *into, const struct totals *from);

/* In how many schedules each thing happened, a line each, after `prefix`. */
void simulation_print(FILE *file, const char *prefix, const struct totals *totals);

/* A thing that never happened, or, with may_be_rare, a line of the log that was never written; NULL
 * if none lacks. */
const char *simulation_lacks(const struct totals *totals, bool may_be_rare);

#endif
