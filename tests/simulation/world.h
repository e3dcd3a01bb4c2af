/* world: what a simulated schedule is made of, and the steps that an instance can take in it.
 *
 * An instance's steps are those of flow/: INGEST reads, judges, gates and cuts; CHECKPOINT has one
 * call out; PUBLISH takes what was handed to it, and has one transaction. The cursor and the judge
 * are the program's own. A call that nobody waits for any more, and a dead process's transaction,
 * go on without it.
 */
#ifndef TESTS_SIMULATION_WORLD_H
#define TESTS_SIMULATION_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/cursor.h"
#include "core/login.h"
#include "input.h"
#include "simulation.h"

enum {
    LOG_END = 24,
    INSTANCES = 3,
    STEPS = 220,
    SNAPSHOTS = 2,
    LATE_CALLS = 4,
    QUEUE = 2 * LOG_END,
    OUTPUT_MAX = 4 * LOG_END,
    ROUNDS = 12 * LOG_END,
};

/* How often each record was counted as what: four bits for each outcome, so that sums are sums. */
struct counts {
    uint32_t at[LOG_END];
};

struct redis {
    int64_t stored;
    struct counts counts;
};

struct call {
    bool is_out;
    struct cursor_cut cut;
    struct counts counts;
};

/* A record that INGEST handed to PUBLISH, or (offset -1) the first commit. */
struct handed {
    uint64_t generation;
    int64_t end, origin;
    int8_t offset, outcome;
};

/* What PUBLISH holds; it outlives the instance's ownership. */
struct transaction {
    enum { TXN_NONE, TXN_OPEN, TXN_SENDING, TXN_SENT, TXN_GONE } state;
    int metadata; /* the group's generation, of TXN_SENDING */
    uint64_t generation;
    int64_t end, origin;
    int record_count;
    int8_t offsets[LOG_END], outcomes[LOG_END];
};

struct instance {
    bool is_paused;
    enum { OWNS_NOT, OWNS_FINDING, OWNS } owns; /* finding: Kafka was asked, Redis not yet */
    bool is_placed, is_begin_sent;
    bool is_same;           /* still the member that the partition was given to */
    int member_generation;  /* of the group, as this member knows it */
    uint64_t fence, lowest; /* generations below are shut out; were told to be unpublished */
    int64_t found_committed, found_origin;
    struct cursor cursor;
    struct login_judge *judge;
    struct counts pending; /* since the last cut */
    struct call call;
    struct transaction transaction;
    struct handed queue[QUEUE];
    int queue_begin, queue_count;
};

struct world {
    uint64_t random;
    enum mutant mutant;
    enum cursor_start start;
    bool has_befallen[EVENT_COUNT];
    uint32_t calm; /* one in so many faults happens */
    uint64_t reads;
    int8_t log[LOG_END]; /* the kind of input, or -1: a hole */
    int64_t log_end;
    struct redis redis, snapshots[SNAPSHOTS];
    struct call late[LATE_CALLS];
    int64_t committed, origin;
    int group_generation, owner;
    int owner_since; /* the group's generation from which on the owner has been the same */
    int8_t output[OUTPUT_MAX], output_outcomes[OUTPUT_MAX];
    int output_count;
    uint64_t next_generation;
    struct instance instances[INSTANCES];
};

static inline uint32_t roll(struct world *world, uint32_t sides) { /* splitmix64 */
    uint64_t z = (world->random += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)((z ^ (z >> 31)) % sides);
}

static inline void befalls(struct world *world, enum event event) {
    world->has_befallen[event] = true;
}

static inline void clear_counts(struct counts *counts) {
    memset(counts, 0, sizeof *counts);
}

/* INGEST: finds its place after an assignment or a rewind; reads one record. */
void place(struct world *world, struct instance *instance);
void read_one(struct world *world, struct instance *instance);

/* CHECKPOINT, and Redis. leave_call: nobody waits for the answer any more. */
void cut(struct world *world, struct instance *instance);
void deliver(struct world *world, struct instance *instance, bool is_reply_lost);
void leave_call(struct world *world, struct instance *instance);
void land_late(struct world *world, struct call *call);

/* PUBLISH, and Kafka's transactions. wait_stable: whoever asks for the committed offset waits for
 * the transactions that have sent theirs. */
void publish_one(struct world *world, struct instance *instance);
void send_offsets(struct world *world, struct instance *instance);
void receive_offsets(struct world *world, struct instance *instance);
void commit(struct world *world, struct instance *instance, uint32_t luck);
void end_transaction(struct world *world, struct transaction *transaction, bool commits);
void wait_stable(struct world *world);

#endif
