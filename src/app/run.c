/* `rollcall run`: the pipeline until a signal. The first SIGTERM or SIGINT asks for an orderly end,
 * a second one ends at once, and so does a watchdog if the orderly end takes too long. SIGHUP has
 * the configuration read again. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/commands.h"
#include "app/config.h"
#include "app/pipeline.h"
#include "app/reload.h"
#include "base/stop.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/worker.h"
#include "edge/notify.h"

enum { WATCHDOG_SLACK_S = 20 };

/* What a signal handler can reach. */
static struct alarm main_alarm;
static struct stop stop;
static atomic_bool must_reload;
static unsigned watchdog_s;
static volatile sig_atomic_t log_format;

/* By log.format, since a signal handler cannot make a log line. */
#define HURRY "second signal: ending at once"
#define LATE "the orderly end took too long: ending at once; what was not stored is read again"
static const char *const hurry[] = {[LOG_LOGFMT] = "level=error msg=\"" HURRY "\"\n",
                                    [LOG_JSON] = "{\"level\":\"error\",\"msg\":\"" HURRY "\"}\n"};
static const char *const late[] = {[LOG_LOGFMT] = "level=error msg=\"" LATE "\"\n",
                                   [LOG_JSON] = "{\"level\":\"error\",\"msg\":\"" LATE "\"}\n"};

static void end_at_once(const char *line) {
    ssize_t ignored = write(STDERR_FILENO, line, strlen(line));
    (void)ignored;
    _exit(1);
}

static void on_signal(int signal_number) {
    if (atomic_load(&stop.signal) != 0) end_at_once(hurry[log_format]);
    stop_ask(&stop, signal_number);
    alarm(watchdog_s);
}

static void on_hangup(int signal_number) {
    (void)signal_number;
    atomic_store(&must_reload, true);
    alarm_ring(&main_alarm);
}

static void on_alarm(int signal_number) {
    (void)signal_number;
    end_at_once(late[log_format]);
}

static void catch_signals(const struct config *config) {
    struct sigaction action = {.sa_handler = on_signal};
    log_format = config->log.format;
    watchdog_s = (unsigned)(config->drain_ms / 1000) + WATCHDOG_SLACK_S;
    commands_catch(&action);
    action.sa_handler = on_hangup;
    sigaction(SIGHUP, &action, NULL);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

struct running {
    const struct config *config;
    const struct options *options;
    struct pipeline *pipeline;
    struct notify *notify;
};

static void report(struct notify *notify, struct pipeline *pipeline, int64_t now_ms) {
    char why[3 * ERROR_BYTES] = ""; /* a longer one would be lost as a whole */
    struct text status = text_within(why, sizeof why);
    struct notify_state state = {.status = why, .is_stopping = stop_is_asked(&stop)};
    state.is_alive = pipeline_is_alive(pipeline, &status);
    if (state.is_alive) state.is_ready = pipeline_is_ready(pipeline, &status);
    if (state.is_ready)
        text_format(&status, "Running with %lld partitions",
                    (long long)pipeline_partitions(pipeline));
    notify_report(notify, &state, now_ms);
}

/* Between two steps. The configuration was made by main, and is const for everybody else. */
static void reload(struct running *running) {
    struct config *config = (struct config *)running->config;
    struct text changed = {0};
    struct error error;
    notify_reload(running->notify);
    const bool is_taken = reload_apply(config, running->options, environ, &changed, &error);
    pipeline_reloaded(running->pipeline, is_taken, &changed);
    if (!is_taken)
        log_error("The configuration was not reloaded: nothing has changed",
                  log_text("reason", error.text));
    else if (changed.length == 0)
        log_info("The configuration was read again: nothing is new");
    else
        log_info("The configuration was reloaded", log_text("changed", text_string(&changed)));
    log_format = config->log.format;
    text_release(&changed);
}

/* The main thread is a worker too. */
static void take_steps(struct running *running) {
    struct pipeline *pipeline = running->pipeline;
    struct notify *notify = running->notify;
    for (;;) {
        alarm_arm(&main_alarm);
        if (atomic_exchange(&must_reload, false)) reload(running);
        const int64_t now_ms = clock_ms();
        const int64_t until_ms = pipeline_step(pipeline, now_ms);
        const bool has_ended = pipeline_has_ended(pipeline);
        if (has_ended || notify_is_due(notify, now_ms)) report(notify, pipeline, now_ms);
        if (has_ended) return;
        const int64_t tick_ms = now_ms + WORKER_TICK_MS;
        alarm_wait(&main_alarm, until_ms < tick_ms ? until_ms : tick_ms);
    }
}

static int run(const struct config *config, const struct options *options) {
    struct error error = {""};
    stop_init(&stop, &main_alarm);
    catch_signals(config);
    struct pipeline *pipeline = pipeline_create(config, &stop, commands_seed(), &error);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    struct notify *notify = notify_create(getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"));
    bool has_failed = pipeline == NULL;
    if (!has_failed) {
        take_steps(&(struct running){config, options, pipeline, notify});
        if (atomic_load(&stop.signal) == 0) alarm(watchdog_s); /* else it has run since then */
        has_failed = pipeline_has_failed(pipeline, &error);
        pipeline_destroy(&pipeline);
    }
    notify_destroy(&notify);
    if (has_failed)
        log_error(error.text);
    else
        log_info("Stopped");
    return has_failed ? 1 : 0;
}

const struct command command_run = {
    .name = "run",
    .summary = "process until SIGTERM or SIGINT, then drain and leave",
    .help = "Reads logins from input.topic, counts them in Redis and publishes them to\n"
            "output.topic, each exactly once, until SIGTERM or SIGINT; then drains, commits,\n"
            "leaves the group and exits 0. A second SIGTERM or SIGINT ends it at once. SIGHUP\n"
            "has the configuration read again.\n"
            "Start as many as you like: they share the partitions.\n",
    .run = run,
};
