/* core/hyperloglog: the cost of a distinct count, for a record and for a batch. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "core/hyperloglog.h"
#include "micro.h"

enum { BATCH = 1024, UUID_BYTES = 36 };

struct distinct {
    struct hyperloglog from, into;
    char users[BATCH][UUID_BYTES + 1];
};

static void add(struct distinct *distinct, int64_t user) {
    char *text = distinct->users[user % BATCH];
    memcpy(text + UUID_BYTES - sizeof user, &user, sizeof user);
    hyperloglog_add(&distinct->from, hyperloglog_hash((struct slice){text, UUID_BYTES}));
}

static void *set_up(void) {
    struct distinct *distinct = memory_create(sizeof *distinct);
    for (int64_t i = 0; i < BATCH; i++) {
        memcpy(distinct->users[i], "5ec2d697-1b7a-4e0c-9d52-0f6e3a8b7c11", UUID_BYTES);
        add(distinct, i);
    }
    return distinct;
}

/* As in the flow: a batch adds 1,024 records, then a shard merges it. */
static void run_add(void *state, int64_t operations) {
    struct distinct *distinct = state;
    for (int64_t i = 0; i < operations; i++) {
        add(distinct, i);
        if (i % BATCH != BATCH - 1) continue;
        hyperloglog_merge(&distinct->into, &distinct->from);
        hyperloglog_release(&distinct->from);
    }
}

static void run_merge(void *state, int64_t operations) {
    struct distinct *distinct = state;
    for (int64_t i = 0; i < operations; i++) {
        hyperloglog_merge(&distinct->into, &distinct->from);
        micro_use(&distinct->into);
    }
}

static void tear_down(void *state) {
    struct distinct *distinct = state;
    hyperloglog_release(&distinct->from);
    hyperloglog_release(&distinct->into);
    free(distinct);
}

const struct micro micro_hyperloglog[] = {
    {"distinct", "record's user added to a distinct count and merged there",
     CLOCK_PROCESS_CPUTIME_ID, set_up, run_add, tear_down},
    {"distinct-merge", "batch of 1,024 users merged", CLOCK_PROCESS_CPUTIME_ID, set_up, run_merge,
     tear_down},
    {0},
};
