#include "tools/generator.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/commands.h"
#include "app/config.h"
#include "base/clamp.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/setting.h"
#include "edge/kafka_feed.h"

enum { STEP_EVENTS = 1000, STEP_MS = 100, PACE_MS = 5, PROGRESS_MS = 5000, LOOK_MS = 1000 };

/* --- options ---------------------------------------------------------------------------------- */

static bool parse_share(const struct option_row *row, const char *text, void *member,
                        struct error *error) {
    char *end = NULL;
    double *const number = member;
    const bool has_digits = text[0] != '\0' && strspn(text, "0123456789.") == strlen(text);
    *number = strtod(text, &end);
    if (!has_digits || *end != '\0') return error_set(error, "\"%s\" is not a number", text);
    return *number <= (double)row->max ||
           error_set(error, "%s is out of range; allowed are 0 to %lld", text, (long long)row->max);
}

/* A time by ISO 8601 in seconds since 1970, or -1. Parts at its end may be missing; without a zone
 * it is UTC. */
static int64_t parse_iso(const char *text) {
    static const char *const forms[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"};
    char copy[40];
    if ((size_t)snprintf(copy, sizeof copy, "%s", text) >= sizeof copy) return -1;
    char *const separator = strchr(copy, 'T');
    if (separator != NULL) *separator = ' ';
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm local = {0}, zone = {0};
        const char *end = strptime(copy, forms[i], &local);
        if (end != NULL && *end == '.') end += 1 + strspn(end + 1, "0123456789");
        if (end != NULL && *end != '\0') end = strptime(end, "%z", &zone);
        if (end == NULL || *end != '\0') continue;
        const int day = local.tm_mday;
        const time_t seconds = timegm(&local);
        return local.tm_mday == day ? seconds - zone.tm_gmtoff : -1; /* else: 31 February */
    }
    return -1;
}

static bool parse_start(const struct option_row *row, const char *text, void *member,
                        struct error *error) {
    (void)row;
    const int64_t latest_s = INT64_C(4102444799); /* 2099-12-31T23:59:59Z */
    int64_t *const start_ms = member;
    int64_t start_s = -1;
    if (strcmp(text, "now") == 0) {
        *start_ms = GENERATOR_NOW;
        return true;
    }
    if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text)) {
        if (!setting_parse_number(text, 0, latest_s, &start_s, error)) return false;
    } else {
        start_s = parse_iso(text);
    }
    *start_ms = start_s * 1000;
    return (start_s >= 0 && start_s <= latest_s) ||
           error_set(error,
                     "\"%s\" is neither seconds since 1970 nor a time such as "
                     "2024-07-10T14:36:56Z, up to the year 2099",
                     text);
}

#define OPTIONS(count_min_, count_default_, count_help_, rate_default_)                            \
    {                                                                                              \
        OPTION_NUMBER(struct generator_plan, count, "count", "N", count_min_, 1000000000000,       \
                      count_default_, count_help_),                                                \
            OPTION_NUMBER(struct generator_plan, rate, "rate", "N", 0, 10000000, rate_default_,    \
                          "events a second; 0: as fast as possible"),                              \
            OPTION_NUMBER(struct generator_plan, event.users, "users", "N", 1, EVENT_USERS_MAX,    \
                          "10000", "how many users log in"),                                       \
            OPTION_OTHER(struct generator_plan, event.skew, "skew", "S", 0, 4, parse_share, "1.0", \
                         "how uneven: user n logs in 1/n^S times as often; 0: all alike"),         \
            OPTION_OTHER(struct generator_plan, event.invalid_percent, "invalid", "PERCENT", 0,    \
                         100, parse_share, "1",                                                    \
                         "share of records that must be rejected, of every kind"),                 \
            OPTION_NUMBER(struct generator_plan, event.seed, "seed", "N", 0, INT64_MAX, "1",       \
                          "the same seed makes the same events"),                                  \
            OPTION_OTHER(struct generator_plan, event.start_ms, "start", "TIMESTAMP", 0, 0,        \
                         parse_start, "now",                                                       \
                         "event time of the first one; the next follow at the rate:\n"             \
                         "seconds since 1970, or ISO 8601 (2024-07-10T14:36:56Z; UTC unless\n"     \
                         "it has a zone)"),                                                        \
            OPTION_END                                                                             \
    }

static const struct option_row generate_options[] = OPTIONS(0, "0", "events; 0: forever", "100");
const struct option_row generator_demo_options[] = OPTIONS(1, "100000", "events", "0");

void generator_complete(struct generator_plan *plan, int64_t now_ms) {
    plan->event.rate = plan->rate > 0 ? plan->rate : 1000;
    if (plan->event.start_ms != GENERATOR_NOW) return;
    plan->event.start_ms = now_ms;
    if (plan->rate > 0) return;
    plan->event.start_ms -= plan->count * 1000 / plan->event.rate;
    plan->follows_clock = plan->count == 0;
}

/* --- running ---------------------------------------------------------------------------------- */

static bool may_go_on(const struct generator *run) {
    return run->may_go_on(run->user, run->sent_count);
}

/* Waits for Kafka and the topic; as long as the hook wants. */
static bool find_topic(struct generator *run, struct error *error) {
    const int64_t deadline_ms = clock_ms() + GENERATOR_TOPIC_WAIT_MS;
    while (kafka_feed_look(run->feed, LOOK_MS, error) != KAFKA_FEED_GO_ON) {
        if (!may_go_on(run)) return true;
        if (clock_ms() >= deadline_ms) return false;
        log_warn("waiting for the topic", log_text("reason", error->text));
        kafka_feed_poll(run->feed, LOOK_MS);
    }
    return true;
}

/* Sends one event, and waits while there is no room for it. */
static bool send_next(struct generator *run, struct error *error) {
    struct event event;
    event_next(run->source, &event);
    for (;;) {
        switch (
            kafka_feed_send(run->feed, event.value, event.value_bytes, event.timestamp_ms, error)) {
        case KAFKA_FEED_GO_ON:
            run->sent_count++;
            if (run->sent != NULL) run->sent(run->user, &event);
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

/* Unless the caller follows every event and reports progress itself. */
static void report_progress(struct generator *run, int64_t now_ms) {
    if (run->sent != NULL || now_ms < run->next_progress_ms) return;
    run->next_progress_ms = now_ms + PROGRESS_MS;
    log_info("generating", log_int("sent", run->sent_count),
             log_int("delivered", kafka_feed_delivered(run->feed)),
             log_float("seconds", (double)(now_ms - run->start_ms) / 1000));
}

/* How many events are due by now. */
static int64_t due_count(const struct generator *run, int64_t now_ms) {
    const struct generator_plan *plan = &run->plan;
    const int64_t end = plan->count > 0 ? plan->count : INT64_MAX;
    if (plan->rate == 0) return end;
    return clamp((now_ms - run->start_ms) * plan->rate / 1000 + 1, 0, end);
}

static bool send_all(struct generator *run, struct error *error) {
    const struct generator_plan *plan = &run->plan;
    run->start_ms = clock_ms();
    run->next_progress_ms = run->start_ms + PROGRESS_MS;
    while (plan->count == 0 || run->sent_count < plan->count) {
        const int64_t now_ms = clock_ms();
        if (run->sent_count % STEP_EVENTS == 0 || now_ms >= run->next_step_ms) {
            run->next_step_ms = now_ms + STEP_MS;
            if (!may_go_on(run)) return true;
        }
        if (plan->follows_clock) event_source_advance(run->source, clock_wall_ms());
        report_progress(run, now_ms);
        const int64_t due = due_count(run, now_ms);
        for (int i = 0; i < STEP_EVENTS && run->sent_count < due; i++) {
            if (!send_next(run, error)) return false;
        }
        kafka_feed_poll(run->feed, run->sent_count < due ? 0 : PACE_MS);
        if (kafka_feed_failed(run->feed, error) > 0) return false;
    }
    return true;
}

static bool run_with_feed(struct generator *run, struct error *error) {
    if (!find_topic(run, error) || !send_all(run, error)) return false;
    const int left = kafka_feed_flush(run->feed, GENERATOR_FLUSH_MS);
    if (kafka_feed_failed(run->feed, error) > 0) return false;
    return left == 0 || error_set(error, "%d records were not acknowledged within %d s", left,
                                  GENERATOR_FLUSH_MS / 1000);
}

bool generator_run(struct generator *run, struct error *error) {
    const struct config *config = run->config;
    assert(error != NULL);
    run->source = event_source_create(&run->plan.event);
    run->feed = kafka_feed_create(&config->kafka, &config->producer, config->source.topic, error);
    const bool is_right = run->feed != NULL && run_with_feed(run, error);
    if (run->feed != NULL) run->delivered_count = kafka_feed_delivered(run->feed);
    kafka_feed_destroy(&run->feed);
    event_source_destroy(&run->source);
    return is_right;
}

/* --- rollcall generate ------------------------------------------------------------------------ */

static bool is_wanted(void *user, int64_t sent_count) {
    (void)user;
    (void)sent_count;
    return !commands_are_stopped();
}

static int generate(const struct config *config, const struct options *options) {
    struct generator run = {.plan = *(const struct generator_plan *)(const void *)options->own,
                            .config = config,
                            .may_go_on = is_wanted};
    struct error error = {""};
    generator_complete(&run.plan, clock_wall_ms());
    commands_catch_signals(true);
    const int64_t start_ms = clock_ms();
    const bool is_right = generator_run(&run, &error);
    const double seconds = (double)(clock_ms() - start_ms) / 1000;
    log_info("generated", log_text("topic", config->source.topic), log_int("sent", run.sent_count),
             log_int("delivered", run.delivered_count), log_float("seconds", seconds),
             log_float("per_second", seconds > 0 ? (double)run.delivered_count / seconds : 0));
    if (!is_right) log_error("not every event was delivered", log_text("reason", error.text));
    return is_right ? 0 : 1;
}

const struct command command_generate = {
    .name = "generate",
    .summary = "write login events to the input topic",
    .help = "Writes made-up login events to input.topic, which must exist, until --count, SIGTERM\n"
            "or SIGINT. The Kafka timestamp of a record is its event's time; records have no key,\n"
            "and go to each partition in turn.\n",
    .options = generate_options,
    .run = generate,
};
