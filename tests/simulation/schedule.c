/* How a step can be left in the middle of a call. The loop that chooses what runs next (run) calls
 * steps as functions, on whichever stack it is on. A call that waits passes the loop to another
 * stack and leaves its own as it is. When the loop there chooses to continue the call, it switches
 * back; the stack that it leaves is in its loop and in no step, so it is free for the next call
 * that waits. Thus every stack that was left is either in exactly one call or free, and calls come
 * back in any order. */
#include "process.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "client.h"
#include "faults.h"
#include "fiber.h"
#include "judge.h"
#include "redis.h"

enum { STACKS = 48, STEPS_MAX = 200000 };

struct stack {
    struct fiber fiber;
    bool is_made;
    enum { FREE, ACTIVE, WAITING } state;
    /* WAITING: the call */
    struct process *process;
    struct task *task;
    const char *worker;
    bool (*is_over)(const void *context);
    const void *call;
    int64_t until_us;
};

static struct stack stacks[STACKS];   /* the first is the program's own */
static struct stack *waiting[STACKS]; /* those in a call */
static int waiting_count;
static struct stack *active = &stacks[0];
static struct task *current_task;

struct process *current;
const char *current_worker;

/* --- stacks ----------------------------------------------------------------------------------- */

static void run(void);

static void switch_to(struct stack *to) {
    struct stack *from = active;
    assert(to != from && to->state != ACTIVE);
    to->state = ACTIVE;
    active = to;
    fiber_switch(&from->fiber, &to->fiber);
}

/* The loop, on any stack but the first; when the schedule is over, the first continues. */
static void run_always(void) {
    for (;;) {
        run();
        active->state = FREE;
        switch_to(&stacks[0]);
    }
}

static struct stack *free_stack(void) {
    for (struct stack *stack = stacks; stack < stacks + STACKS; stack++) {
        if (stack->state != FREE) continue;
        if (stack != stacks && !stack->is_made) fiber_make(&stack->fiber, run_always);
        stack->is_made = true;
        return stack;
    }
    broken("more calls wait than there are stacks");
}

/* --- calls ------------------------------------------------------------------------------------ */

static void wait_in_call(bool (*is_over)(const void *context), const void *context,
                         int64_t until_us) {
    struct stack *me = active, *next = free_stack();
    me->process = current;
    me->task = current_task;
    me->worker = current_worker;
    me->is_over = is_over;
    me->call = context;
    me->until_us = until_us;
    me->state = WAITING;
    waiting[waiting_count++] = me;
    current = NULL;
    current_task = NULL;
    switch_to(next);
    current = me->process;
    current_task = me->task;
    current_worker = me->worker;
}

void call_lets_others(void) {
    if (current == NULL || current->is_killed || world.stage == STAGE_OVER) return;
    if (!one_in(world.plan.wait_odds)) return;
    static const int most_ms[] = {0, 0, 5, 100, 1000};
    const int64_t wait_us =
        (int64_t)roll((uint32_t)most_ms[roll(world.stage < STAGE_BUSY ? 5 : 3)] + 1) * MS_US;
    wait_in_call(NULL, NULL, world.now_us + wait_us);
}

bool call_waits(bool (*is_over)(const void *context), const void *context, int64_t until_us) {
    if (is_over != NULL && is_over(context)) return true;
    if (current == NULL) return false;
    wait_in_call(is_over, context, until_us);
    return is_over != NULL && is_over(context);
}

/* --- workers: base/worker.h ------------------------------------------------------------------- */

void worker_init(struct worker *worker, const char *name, worker_step *step, void *context) {
    *worker = (struct worker){.step = step, .context = context};
    strncpy(worker->name, name, sizeof worker->name - 1);
}

/* Some are slow, and a few very slow. */
static uint32_t slowness(void) {
    if (one_in(12)) return 1 + roll(300);
    return one_in(3) ? 1 + roll(8) : 1;
}

bool worker_start(struct worker *worker) {
    assert(current != NULL && !worker->is_running);
    if (worker != &current->main && fails(1000)) {
        happens(EVENT_NO_THREAD);
        return false;
    }
    struct task *task = current->tasks;
    while (task->worker != NULL)
        if (++task == current->tasks + WORKERS_MAX) broken("a process has too many workers");
    *task = (struct task){.worker = worker, .slowness = slowness()};
    if (task - current->tasks >= current->task_end)
        current->task_end = (int)(task - current->tasks) + 1;
    atomic_store(&worker->must_stop, false);
    atomic_store(&worker->heartbeat_ms, world.now_us / MS_US);
    worker->is_running = true;
    return true;
}

static struct task *task_of(const struct worker *worker) {
    for (int i = 0; i < WORKERS_MAX; i++) {
        if (current->tasks[i].worker == worker) return &current->tasks[i];
    }
    broken("%s does not run", worker->name);
}

static bool is_idle(const void *context) {
    const struct task *task = context;
    return !task->is_busy;
}

void worker_stop(struct worker *worker) {
    if (!worker->is_running) return;
    struct task *task = task_of(worker);
    if (task == current_task) broken("%s stops itself", worker->name);
    atomic_store(&worker->must_stop, true);
    while (!is_idle(task))
        call_waits(is_idle, task, NEVER_US);
    task->worker = NULL;
    worker->is_running = false;
}

bool worker_is_stuck(const struct worker *worker, int64_t now_ms) {
    return now_ms - atomic_load(&worker->heartbeat_ms) >= WORKER_STUCK_MS;
}

int64_t worker_waits_ms(const struct worker *worker, int64_t now_ms) {
    const int64_t since_ms = atomic_load(&worker->call_since_ms);
    return since_ms == 0 ? 0 : now_ms - since_ms;
}

void worker_call_begins(int64_t limit_ms) {
    if (current_task == NULL) return;
    struct worker *worker = current_task->worker;
    atomic_store(&worker->heartbeat_ms, world.now_us / MS_US + limit_ms);
    atomic_store(&worker->call_since_ms, world.now_us / MS_US);
}

void worker_call_ends(void) {
    if (current_task == NULL) return;
    atomic_store(&current_task->worker->heartbeat_ms, world.now_us / MS_US);
    atomic_store(&current_task->worker->call_since_ms, 0);
}

/* --- the loop --------------------------------------------------------------------------------- */

/* Something that can happen now: a task's next step, a call that comes back, or what a client of
 * Kafka does by itself. */
struct choice {
    struct process *process;
    struct task *task;
    struct stack *call;
    struct kafka_source *client;
};

static bool is_rung(const struct worker *worker) {
    return atomic_load(&((struct worker *)worker)->alarm.word) == 0;
}

static bool can_step(const struct process *process, const struct task *task) {
    return task->worker != NULL && !task->is_busy && !process->is_killed &&
           (world.now_us >= task->until_us || is_rung(task->worker));
}

static bool can_come_back(const struct stack *stack) {
    if (stack->process->is_killed) return true;
    if (process_is_paused(stack->process)) return false;
    return world.now_us >= stack->until_us ||
           (stack->is_over != NULL && stack->is_over(stack->call));
}

static int collect(struct choice choices[]) {
    int count = 0;
    for (struct process *process = processes; process < processes + PROCESSES; process++) {
        if (!process->is_up || process_is_paused(process)) continue;
        for (int i = 0; i < process->task_end; i++) {
            struct task *task = &process->tasks[i];
            if (can_step(process, task)) choices[count++] = (struct choice){process, .task = task};
        }
        if (process->source != NULL && client_is_due(process->source)) {
            choices[count++] = (struct choice){process, .client = process->source};
        }
    }
    for (int i = 0; i < waiting_count; i++) {
        if (can_come_back(waiting[i])) choices[count++] = (struct choice){.call = waiting[i]};
    }
    return count;
}

/* A worker that always has more to do at once takes a core for itself. */
static void watch_rush(struct task *task, bool was_rung, bool is_at_once) {
    enum { RUSH_MAX = 100, RUSH_MS = 4000 };
    if (was_rung || !is_at_once) {
        task->rested_us = world.now_us;
        task->rush = 0;
    } else if (++task->rush > RUSH_MAX && world.now_us > task->rested_us + RUSH_MS * MS_US) {
        broken("%s of %s does not rest", task->worker->name, current->name);
    }
}

static void take_step(struct process *process, struct task *task) {
    struct worker *worker = task->worker;
    const int64_t now_ms = world.now_us / MS_US;
    const bool was_rung = is_rung(worker);
    current = process;
    current_task = task;
    current_worker = worker->name;
    task->is_busy = true;
    process->busy_count++;
    alarm_arm(&worker->alarm);
    atomic_store(&worker->heartbeat_ms, now_ms);
    int64_t until_ms = worker->step(worker->context, now_ms);
    watch_rush(task, was_rung, until_ms <= now_ms);
    if (world.plan.has_ticks && until_ms > now_ms + WORKER_TICK_MS)
        until_ms = now_ms + WORKER_TICK_MS;
    task->until_us = until_ms >= NEVER_US / MS_US ? NEVER_US : until_ms * MS_US;
    task->is_busy = false;
    process->busy_count--;
    current_task = NULL;
    process_bury(process);
    current = NULL;
    current_worker = NULL;
}

static void come_back(struct stack *call) {
    int place = 0;
    while (waiting[place] != call)
        place++;
    waiting[place] = waiting[--waiting_count];
    active->state = FREE;
    switch_to(call);
}

static void proceed(const struct choice *choice) {
    if (choice->task != NULL) {
        take_step(choice->process, choice->task);
    } else if (choice->client != NULL) {
        current = choice->process;
        current_worker = "client";
        client_tick(choice->client);
        current = NULL;
    } else {
        come_back(choice->call);
    }
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* When the next thing can happen that cannot happen now. */
static int64_t next_us(void) {
    int64_t next_us = earlier(broker_next_us(), redis_next_us());
    next_us = earlier(next_us, processes_next_us());
    for (const struct process *process = processes; process < processes + PROCESSES; process++) {
        if (!process->is_up || process_is_paused(process)) continue;
        for (int i = 0; i < process->task_end; i++) {
            const struct task *task = &process->tasks[i];
            if (task->worker != NULL && !task->is_busy) next_us = earlier(next_us, task->until_us);
        }
        if (process->source != NULL) next_us = earlier(next_us, client_next_us(process->source));
    }
    for (int i = 0; i < waiting_count; i++) {
        if (!process_is_paused(waiting[i]->process))
            next_us = earlier(next_us, waiting[i]->until_us);
    }
    return next_us;
}

static void pass_time(int64_t to_us) {
    if (to_us >= NEVER_US) broken("nothing can happen any more");
    if (to_us > world.now_us) world.now_us = to_us;
    broker_tick();
    redis_tick();
    processes_tick();
}

/* Any of them, those of slow tasks seldom; NULL: none this time. */
static const struct choice *choose(const struct choice choices[], uint32_t count) {
    for (int i = 0; i < 4; i++) {
        const uint32_t number = roll(count);
        const struct choice *choice = &choices[number];
        world.history = (world.history ^ number ^ (uint64_t)world.now_us) * UINT64_C(1099511628211);
        if (choice->task == NULL || one_in(choice->task->slowness)) return choice;
    }
    return NULL;
}

static void run(void) {
    struct choice choices[PROCESSES * (WORKERS_MAX + 1) + STACKS];
    while (world.stage != STAGE_OVER) {
        if (++world.step_count > STEPS_MAX) broken("it does not come to an end");
        faults_tick();
        if (one_in(3)) pass_time(world.now_us + roll(3 * MS_US));
        judge_tick();
        if (world.stage == STAGE_OVER) return;
        const int count = collect(choices);
        if (count == 0) {
            pass_time(next_us());
            continue;
        }
        const struct choice *choice = choose(choices, (uint32_t)count);
        if (choice != NULL) proceed(choice);
        /* Nothing may follow here: a stack that was left in proceed must enter the loop as a new
         * one. */
    }
}

void schedule_run(void) {
    stacks[0].state = ACTIVE;
    run();
    assert(active == &stacks[0] && waiting_count == 0);
}
