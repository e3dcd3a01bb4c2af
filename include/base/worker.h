/* worker: a thread that takes one step after the other, and sleeps in between.
 *
 * A module that works on a thread of its own is a machine with one entry point, its step: it takes
 * what has arrived, does a bounded amount of work, and returns the time until which it may sleep.
 * All the rest of a thread is here. A simulation puts workers of its own in their place and calls
 * the steps of many modules, in any order, on one thread.
 *
 * A step may call the outside and wait there until a deadline. That is no step forward, but the
 * worker is not stuck either: what makes the call marks its begin and its end, and each answer is
 * progress.
 *
 * Threads:  init, start, stop from one thread, the owner's; worker_is_stuck, worker_waits_ms and
 *           ringing the alarm from any; the step runs on the worker's own; worker_call_begins and
 *           _ends on any.
 * Owns:     the thread, from start to stop.
 * Waits:    stop, for the present step.
 */
#ifndef BASE_WORKER_H
#define BASE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/alarm.h"

enum {
    WORKER_NAME_BYTES = 16,  /* Linux keeps no more */
    WORKER_TICK_MS = 1000,   /* longest sleep between two steps */
    WORKER_STUCK_MS = 60000, /* without progress that was possible */
};

/* One step. now_ms is clock_ms() at its beginning. Returns the time until which there is nothing to
 * do unless the alarm rings; now_ms or less asks for the next step at once. */
typedef int64_t worker_step(void *context, int64_t now_ms);

struct worker {
    /* fixed after worker_init */
    char name[WORKER_NAME_BYTES]; /* for debuggers, perf and `top -H` */
    worker_step *step;
    void *context;
    /* owned by the thread that starts and stops it */
    pthread_t thread;
    bool is_running;
    /* shared: written by the owner */
    atomic_bool must_stop;
    /* shared: written by the thread, read by anybody */
    atomic_int_fast64_t heartbeat_ms;  /* begin of the step, end of a call, deadline of a call */
    atomic_int_fast64_t call_since_ms; /* when the present call began; 0: in none */
    /* rung by every thread that brings work */
    struct alarm alarm;
};

/* Prepares it in place. Keeps context; copies the name, cut to WORKER_NAME_BYTES. */
void worker_init(struct worker *worker, const char *name, worker_step *step, void *context);

/* Takes the first step as soon as it can. False: the system has no thread to give. */
bool worker_start(struct worker *worker);

/* No step runs after it. */
void worker_stop(struct worker *worker);

/* This thread's step calls the outside, for at most limit_ms. Calls do not nest. On a thread that
 * is not a worker's they do nothing. */
void worker_call_begins(int64_t limit_ms);
void worker_call_ends(void);

/* True if it made no progress for WORKER_STUCK_MS, not counting a call before its deadline. */
bool worker_is_stuck(const struct worker *worker, int64_t now_ms);

/* For how long it has been waiting in a call; 0: in none. */
int64_t worker_waits_ms(const struct worker *worker, int64_t now_ms);

#endif
