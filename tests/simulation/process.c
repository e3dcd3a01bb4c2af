#include "process.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "broker.h"
#include "client.h"
#include "judge.h"
#include "records.h"

struct process processes[PROCESSES];

bool process_is_paused(const struct process *process) {
    return world.now_us < process->paused_us;
}

/* --- configuration ---------------------------------------------------------------------------- */

static void configure(struct process *process) {
    static char group[] = "rollcall", topic[] = "input", output[] = "output", none[] = "";
    static char rejected[] = "rejected", url[] = "redis://redis", prefix[] = "{user-login}";
    const struct plan *plan = &world.plan;
    /* Twins have the same id, as static members have in each life. */
    const int number = plan->has_twins && process->slot == 1 ? 0 : process->slot;
    const int life = plan->is_static ? 0 : process->life;
    snprintf(process->id, sizeof process->id, "%c%d", 'a' + number, life);
    process->config = (struct config){
        .instance = {.id = process->id, .shards = (int)plan->shard_count, .memory_mb = 1},
        .source = {.group = group, .topic = topic},
        .sink = {.topic = output,
                 .rejected_topic = plan->has_rejected_topic ? rejected : none,
                 .guarantee = KAFKA_SINK_EXACTLY_ONCE},
        .ingest = {.policy = plan->policy, .checkpoint_ms = plan->checkpoint_ms},
        .publish = {.commit_ms = plan->commit_ms},
        .login = {.max_future_s = RECORD_MAX_FUTURE_S},
        .aggregate = {.max_values = 10000,
                      .max_days = 4000,
                      .retention_days = 400,
                      .threshold = 10},
        .redis = {.url = url, .prefix = prefix, .timeout_ms = REDIS_TIMEOUT_MS},
        .expose = {.listen = plan->has_pages ? url : none},
        .is_static = plan->is_static,
        .drain_ms = DRAIN_MS,
    };
    struct setting_names *dimensions = &process->config.aggregate.dimensions;
    dimensions->count = (int)record_dimension_count(plan->is_wide);
    for (int d = 0; d < dimensions->count; d++)
        dimensions->items[d] = (char *)record_dimension(plan->is_wide, (unsigned)d);
    process->config.aggregate.count_count = plan->count_count;
    record_declare(plan->is_wide, plan->count_count, process->config.aggregate.counts);
}

/* --- life ------------------------------------------------------------------------------------- */

static void end(struct process *process) {
    if (process->source != NULL) broken("a process ends, and its consumer stays");
    for (int i = 0; i < WORKERS_MAX; i++) {
        if (process->tasks[i].worker != NULL && process->tasks[i].worker != &process->main)
            broken("a process ends, and %s runs", process->tasks[i].worker->name);
        process->tasks[i].worker = NULL;
    }
    if (process->handle_count != 0) broken("a process ends, and leaves clients open");
    if (process->stored_sum != process->totals_sum)
        broken("the running totals are not what the process has stored");
    process->main.is_running = false;
    process->task_end = 0;
    stop_fini(&process->stop);
    process->is_up = false;
    process->start_us = NEVER_US;
    if (world.stage == STAGE_FAULTS) process->start_us = world.now_us + roll(3000) * (int64_t)MS_US;
}

/* The main thread, as app/run.c has it. */
static int64_t main_step(void *context, int64_t now_ms) {
    struct process *process = context;
    if (process->must_reload) {
        struct text changed = {0};
        process->must_reload = false;
        pipeline_reloaded(process->pipeline, true, &changed);
        text_release(&changed);
    }
    const int64_t until_ms = pipeline_step(process->pipeline, now_ms);
    if (!pipeline_has_ended(process->pipeline) || process->is_killed) return until_ms;
    struct error error;
    const bool has_failed = pipeline_has_failed(process->pipeline, &error);
    pipeline_destroy(&process->pipeline);
    if (has_failed && !process->is_killed) judge_failure(error.text);
    trace("has ended");
    return CLOCK_NEVER_MS;
}

void process_start(struct process *process) {
    struct error error;
    process->life++;
    snprintf(process->name, sizeof process->name, "%c%d", 'a' + process->slot, process->life);
    process->is_up = true;
    process->is_killed = process->is_asked = process->must_drain = process->must_reload = false;
    process->has_failed_store = false;
    process->is_redirected = process->has_told = false;
    process->untaken_count = 0;
    process->paused_us = process->cut_us = 0;
    process->stored_sum = process->totals_sum = 0;
    process->start_us = NEVER_US;
    configure(process);
    current = process;
    current_worker = "main";
    trace("starts, as %s", process->id);
    worker_init(&process->main, "main", main_step, process);
    stop_init(&process->stop, &process->main.alarm);
    process->pipeline = pipeline_create(&process->config, &process->stop, roll(UINT32_MAX), &error);
    world.processes++;
    if (process->pipeline != NULL) {
        worker_start(&process->main);
    } else { /* for want of a thread, then: run ends with this error */
        judge_failure(error.text);
        end(process);
    }
    current = NULL;
}

void process_kill(struct process *process) {
    current = process;
    current_worker = "main";
    trace("is killed");
    happens(EVENT_CRASH);
    if (process->busy_count > 0) happens(EVENT_CRASH_IN_CALL);
    if (process->is_asked) happens(EVENT_CRASH_IN_STOP);
    process->is_killed = true;
    if (process->source != NULL) process->source->is_subscribed = false;
    process->source = NULL;
    process_bury(process);
    current = NULL;
}

void process_bury(struct process *process) {
    if (process->busy_count > 0 || !process->is_up) return;
    if (process->is_killed && process->pipeline != NULL) pipeline_destroy(&process->pipeline);
    if (process->pipeline == NULL) end(process);
}

void process_ask_to_end(struct process *process) {
    if (process->is_asked) return;
    current = process;
    current_worker = "main";
    trace("gets SIGTERM");
    process->is_asked = true;
    happens(EVENT_STOP);
    if (process->source == NULL) {
        happens(EVENT_STOP_IN_START);
    } else if (process->source->open_event == SOURCE_TAKEN) {
        happens(EVENT_STOP_IN_DRAIN);
    }
    stop_ask(&process->stop, SIGTERM);
    current = NULL;
}

void process_reload(struct process *process) {
    current = process;
    current_worker = "main";
    trace("gets SIGHUP");
    process->must_reload = true;
    alarm_ring(&process->main.alarm);
    current = NULL;
}

void process_pause(struct process *process, int64_t until_us) {
    process->paused_us = until_us;
    happens(EVENT_PAUSE);
    if (process->busy_count > 0) happens(EVENT_PAUSE_IN_CALL);
    current = process;
    current_worker = "main";
    trace("is stopped for %lld ms", (long long)((until_us - world.now_us) / MS_US));
    current = NULL;
}

void processes_begin(void) {
    for (int i = 0; i < PROCESSES; i++) {
        processes[i] = (struct process){.slot = i, .start_us = NEVER_US};
        if (i == 0 || !one_in(3)) processes[i].start_us = roll(one_in(2) ? 100 : 3000) * MS_US;
    }
}

void processes_tick(void) {
    for (struct process *process = processes; process < processes + PROCESSES; process++) {
        if (!process->is_up && world.now_us >= process->start_us) process_start(process);
    }
}

int64_t processes_next_us(void) {
    int64_t next_us = NEVER_US;
    for (const struct process *process = processes; process < processes + PROCESSES; process++) {
        if (process->start_us < next_us) next_us = process->start_us;
        if (process_is_paused(process) && process->paused_us < next_us)
            next_us = process->paused_us;
        if (process->cut_us > world.now_us && process->cut_us < next_us) next_us = process->cut_us;
    }
    return next_us;
}
