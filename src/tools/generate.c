/* rollcall generate */
#include <signal.h>
#include <stddef.h>

#include "app/config.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "tools/commands.h"
#include "tools/generator.h"

static volatile sig_atomic_t is_stopping;

static void stop(int signal_number) {
    (void)signal_number;
    is_stopping = 1;
}

/* The first signal ends the run well; the second, whose action is the default again, at once. */
static void catch_signals(void) {
    struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

static bool may_go_on(void *user, int64_t sent_count) {
    (void)user;
    (void)sent_count;
    return !is_stopping;
}

static int run(const struct config *config, const struct options *options) {
    const struct generator_hooks hooks = {.may_go_on = may_go_on};
    const struct generator_plan plan =
        generator_plan_of((const void *)options->own, clock_wall_ms());
    struct generator_result result;
    struct error error = {""};
    catch_signals();
    const int64_t start_ms = clock_ms();
    const bool is_right = generator_run(&plan, config, &hooks, &result, &error);
    const double seconds = (double)(clock_ms() - start_ms) / 1000;
    log_info("generated", log_text("topic", config->source.topic),
             log_int("sent", result.sent_count), log_int("delivered", result.delivered_count),
             log_float("seconds", seconds),
             log_float("per_second", seconds > 0 ? (double)result.delivered_count / seconds : 0));
    if (!is_right) log_error("not every event was delivered", log_text("reason", error.text));
    return is_right ? 0 : 1;
}

static const struct option_row own_options[] =
    GENERATOR_OPTIONS(0, "0", "events; 0: forever", "100");

const struct command command_generate = {
    .name = "generate",
    .summary = "write login events to the input topic",
    .help = "Writes made-up login events to input.topic, which must exist, until --count, SIGTERM\n"
            "or SIGINT. The Kafka timestamp of a record is its event's time; records have no key,\n"
            "and go to each partition in turn.\n",
    .options = own_options,
    .run = run,
};
