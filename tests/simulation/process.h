/* process: one instance of the program, from its start to its end or its death; and what runs next.
 *
 * There is one thread. Each worker of each process, its main thread included, is a machine whose
 * steps are called here, in an order that the seed decides. A step that calls the outside may be
 * left waiting in the middle of that call: others then run on another stack (a fiber) until it
 * continues.
 *
 * A process that is killed reaches nothing outside from then on, and its threads take no further
 * step; once those that are in a call have come back, its memory is taken down by pipeline_destroy,
 * as at the end of any process. So each crash tests the order of the shutdown too.
 */
#ifndef TESTS_SIMULATION_PROCESS_H
#define TESTS_SIMULATION_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "app/config.h"
#include "app/pipeline.h"
#include "base/stop.h"
#include "base/worker.h"
#include "world.h"

enum {
    PROCESSES = 3,
    WORKERS_MAX = 13, /* of a process */
    REDIS_TIMEOUT_MS = 5000,
    DRAIN_MS = 5000,
};

struct task { /* a worker that runs */
    struct worker *worker;
    int64_t until_us;
    int64_t rested_us; /* when it had nothing to do at once, or was rung for */
    int rush;          /* steps since then */
    uint32_t slowness; /* one in so many times that it is its turn, it takes it */
    bool is_busy;      /* in a step, perhaps within a call */
};

struct kafka_source;

struct process {
    int slot, life;
    char name[16];
    bool is_up;     /* has a pipeline, or is about to */
    bool is_killed; /* nothing that it does reaches the outside */
    bool is_asked;  /* to end, by a signal */
    bool must_reload;
    bool must_drain;   /* all that it owns is settled: giving it back takes no time */
    int64_t paused_us; /* until then it takes no step */
    int64_t start_us;  /* when its next life begins */
    int64_t cut_us;    /* until then it does not reach Kafka */
    struct config config;
    char id[16];
    struct stop stop;
    struct worker main;
    struct pipeline *pipeline;
    int busy_count;                  /* tasks in a step */
    int task_end;                    /* behind the last task */
    struct task tasks[WORKERS_MAX];  /* no worker: free */
    struct kafka_source *source;     /* that has subscribed */
    uint64_t stored_sum, totals_sum; /* of what Redis said it stored, and of its running totals */
    int handle_count;                /* of edge: made, and not destroyed */
    struct http_server *pages;       /* NULL: serves none */
    int untaken_count;               /* transactions that an output did not take, in a row */
    int64_t untaken_us;              /* when the first of them failed */
    bool has_failed_store;           /* the last checkpoint */
    bool is_redirected, has_told; /* since the last checkpoint: another master; CHECKPOINT knows */
};

extern struct process processes[PROCESSES];
extern struct process *current; /* whose step, or call, is running */
extern const char *current_worker;

/* --- process.c --- */
void processes_begin(void);
void processes_tick(void); /* lives that begin, pauses that end */
int64_t processes_next_us(void);
void process_kill(struct process *process);
void process_ask_to_end(struct process *process);
void process_pause(struct process *process, int64_t until_us);
/* Has it follow a reload, with other certificates. */
void process_reload(struct process *process);
void process_start(struct process *process);
/* Takes down what was killed, as soon as none of its threads is in a call. */
void process_bury(struct process *process);
bool process_is_paused(const struct process *process);

/* --- schedule.c --- */
/* Until the stage is STAGE_OVER. */
void schedule_run(void);

/* Within a call: others run for a while, or not, as the seed says. */
void call_lets_others(void);
/* Within a call: others run until is_over(context), or until_us. True if is_over. A call of a
 * process that was killed comes back soon. */
bool call_waits(bool (*is_over)(const void *context), const void *context, int64_t until_us);

#endif
