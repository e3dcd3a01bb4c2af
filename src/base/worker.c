#include "base/worker.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"

void worker_init(struct worker *worker, const char *name, worker_step *step, void *context) {
    *worker = (struct worker){.step = step, .context = context};
    snprintf(worker->name, sizeof worker->name, "%s", name);
}

static _Thread_local struct worker *self; /* NULL on a thread that is no worker's */

static void progress(struct worker *worker, int64_t heartbeat_ms, int64_t call_since_ms) {
    atomic_store_explicit(&worker->heartbeat_ms, heartbeat_ms, memory_order_relaxed);
    atomic_store_explicit(&worker->call_since_ms, call_since_ms, memory_order_relaxed);
}

void worker_call_begins(int64_t limit_ms) {
    const int64_t now_ms = clock_ms();
    if (self != NULL) progress(self, now_ms + limit_ms, now_ms);
}

void worker_call_ends(void) {
    if (self != NULL) progress(self, clock_ms(), 0);
}

static void *run(void *context) {
    struct worker *worker = self = context;
    for (;;) {
        alarm_arm(&worker->alarm);
        if (atomic_load(&worker->must_stop)) return NULL;
        const int64_t now_ms = clock_ms();
        atomic_store_explicit(&worker->heartbeat_ms, now_ms, memory_order_relaxed);
        const int64_t until_ms = worker->step(worker->context, now_ms);
        if (until_ms <= now_ms) continue;
        const int64_t tick_ms = now_ms + WORKER_TICK_MS;
        alarm_wait(&worker->alarm, until_ms < tick_ms ? until_ms : tick_ms);
    }
}

bool worker_start(struct worker *worker) {
    assert(!worker->is_running);
    atomic_store(&worker->must_stop, false);
    atomic_store(&worker->heartbeat_ms, clock_ms());
    worker->is_running = pthread_create(&worker->thread, NULL, run, worker) == 0;
    if (worker->is_running) pthread_setname_np(worker->thread, worker->name);
    return worker->is_running;
}

void worker_stop(struct worker *worker) {
    if (!worker->is_running) return;
    atomic_store(&worker->must_stop, true);
    alarm_ring(&worker->alarm);
    pthread_join(worker->thread, NULL);
    worker->is_running = false;
}

bool worker_is_stuck(const struct worker *worker, int64_t now_ms) {
    return now_ms - atomic_load_explicit(&worker->heartbeat_ms, memory_order_relaxed) >=
           WORKER_STUCK_MS;
}

int64_t worker_waits_ms(const struct worker *worker, int64_t now_ms) {
    const int64_t since_ms = atomic_load_explicit(&worker->call_since_ms, memory_order_relaxed);
    return since_ms == 0 ? 0 : now_ms - since_ms;
}
