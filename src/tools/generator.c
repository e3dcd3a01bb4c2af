#include "tools/generator.h"

#include <assert.h>
#include <inttypes.h>

#include "app/config.h"
#include "app/options.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "edge/kafka_feed.h"

enum { STEP_EVENTS = 1000, STEP_MS = 100, PACE_MS = 5, PROGRESS_MS = 5000, LOOK_MS = 1000 };

struct run {
    const struct generator_plan *plan;
    const struct generator_hooks *hooks;
    struct kafka_feed *feed;
    struct event_source *source;
    int64_t start_ms; /* by clock_ms */
    int64_t next_step_ms;
    int64_t next_progress_ms;
    int64_t sent_count;
};

struct generator_plan generator_plan_of(const struct options *options, int64_t now_ms) {
    struct generator_plan plan = {
        .event = options->event, .count = options->count, .rate = options->rate};
    if (options->has_start) return plan;
    plan.event.start_ms = now_ms;
    if (plan.rate > 0) return plan;
    if (plan.count > 0)
        plan.event.start_ms -= plan.count * 1000 / plan.event.rate;
    else
        plan.follows_clock = true;
    return plan;
}

static bool may_go_on(const struct run *run) {
    return run->hooks->may_go_on == NULL ||
           run->hooks->may_go_on(run->hooks->user, run->sent_count);
}

/* Waits for Kafka and the topic. *is_ended says that the hook did not want to wait any longer. */
static bool find_topic(struct run *run, bool *is_ended, struct error *error) {
    const int64_t deadline_ms = clock_ms() + GENERATOR_TOPIC_WAIT_MS;
    while (kafka_feed_look(run->feed, LOOK_MS, error) != KAFKA_FEED_GO_ON) {
        *is_ended = !may_go_on(run);
        if (*is_ended) return true;
        if (clock_ms() >= deadline_ms) return false;
        log_warn("waiting for the topic", log_text("reason", error->text));
        kafka_feed_poll(run->feed, LOOK_MS);
    }
    return true;
}

/* Sends one event, and waits while there is no room for it. */
static bool send_next(struct run *run, struct error *error) {
    struct event event;
    event_next(run->source, &event);
    for (;;) {
        switch (
            kafka_feed_send(run->feed, event.value, event.value_bytes, event.timestamp_ms, error)) {
        case KAFKA_FEED_GO_ON:
            run->sent_count++;
            if (run->hooks->sent != NULL) run->hooks->sent(run->hooks->user, &event);
            return true;
        case KAFKA_FEED_WAIT:
            kafka_feed_poll(run->feed, STEP_MS);
            if (kafka_feed_failed(run->feed, error) > 0) return false;
            break;
        case KAFKA_FEED_STOP:
            return false;
        }
    }
}

/* Unless somebody follows every event, and tells it in their own way. */
static void tell_progress(struct run *run, int64_t now_ms) {
    if (run->hooks->sent != NULL || now_ms < run->next_progress_ms) return;
    run->next_progress_ms = now_ms + PROGRESS_MS;
    log_info("generating", log_int("sent", run->sent_count),
             log_int("delivered", kafka_feed_delivered(run->feed)),
             log_float("seconds", (double)(now_ms - run->start_ms) / 1000));
}

/* Answers how many events are due by now. */
static int64_t due_count(const struct run *run, int64_t now_ms) {
    const struct generator_plan *plan = run->plan;
    int64_t due = plan->rate > 0 ? (now_ms - run->start_ms) * plan->rate / 1000 + 1 : INT64_MAX;
    if (plan->count > 0 && due > plan->count) due = plan->count;
    return due;
}

static bool send_all(struct run *run, struct error *error) {
    const struct generator_plan *plan = run->plan;
    run->start_ms = clock_ms();
    run->next_progress_ms = run->start_ms + PROGRESS_MS;
    while (plan->count == 0 || run->sent_count < plan->count) {
        const int64_t now_ms = clock_ms();
        if (run->sent_count % STEP_EVENTS == 0 || now_ms >= run->next_step_ms) {
            run->next_step_ms = now_ms + STEP_MS;
            if (!may_go_on(run)) return true;
        }
        if (plan->follows_clock) event_source_advance(run->source, clock_wall_ms());
        tell_progress(run, now_ms);
        const int64_t due = due_count(run, now_ms);
        for (int i = 0; i < STEP_EVENTS && run->sent_count < due; i++) {
            if (!send_next(run, error)) return false;
        }
        kafka_feed_poll(run->feed, run->sent_count < due ? 0 : PACE_MS);
        if (kafka_feed_failed(run->feed, error) > 0) return false;
    }
    return true;
}

static bool run_with_feed(struct run *run, struct error *error) {
    bool is_ended = false;
    if (!find_topic(run, &is_ended, error)) return false;
    if (is_ended) return true;
    if (!send_all(run, error)) return false;
    const int left = kafka_feed_flush(run->feed, GENERATOR_FLUSH_MS);
    if (kafka_feed_failed(run->feed, error) > 0) return false;
    if (left == 0) return true;
    return error_set(error, "%d records were not acknowledged within %d s", left,
                     GENERATOR_FLUSH_MS / 1000);
}

bool generator_run(const struct generator_plan *plan, const struct config *config,
                   const struct generator_hooks *hooks, struct generator_result *result,
                   struct error *error) {
    assert(error != NULL);
    struct run run = {.plan = plan, .hooks = hooks};
    *result = (struct generator_result){0};
    run.source = event_source_create(&plan->event);
    run.feed = kafka_feed_create(&config->kafka, &config->producer, config->input.topic, error);
    const bool is_right = run.feed != NULL && run_with_feed(&run, error);
    result->sent_count = run.sent_count;
    if (run.feed != NULL) result->delivered_count = kafka_feed_delivered(run.feed);
    kafka_feed_destroy(&run.feed);
    event_source_destroy(&run.source);
    return is_right;
}
