/* `rollcall run`: the pipeline until a signal. The first SIGTERM or SIGINT asks for an orderly end,
 * a second one ends at once, and so does a watchdog if the orderly end takes too long. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/commands.h"
#include "app/config.h"
#include "app/pipeline.h"
#include "base/log.h"

enum { WATCHDOG_SLACK_S = 20 };

static volatile sig_atomic_t stop_signal;
static unsigned watchdog_s;

/* Log lines that are ready, since a signal handler cannot make one. */
static char hurry[128], late[128];

static void prepare(char line[128], enum log_format format, const char *message) {
    snprintf(line, 128,
             format == LOG_JSON ? "{\"level\":\"error\",\"msg\":\"%s\"}\n"
                                : "level=error msg=\"%s\"\n",
             message);
}

static void end_at_once(const char *line) {
    ssize_t ignored = write(STDERR_FILENO, line, strlen(line));
    (void)ignored;
    _exit(1);
}

static void on_signal(int signal_number) {
    if (stop_signal != 0) end_at_once(hurry);
    stop_signal = signal_number;
    alarm(watchdog_s);
}

static void on_alarm(int signal_number) {
    (void)signal_number;
    end_at_once(late);
}

static int run(const struct config *config, const struct options *options) {
    (void)options;
    struct error error = {""};
    struct sigaction action = {.sa_handler = on_signal};
    prepare(hurry, config->log.format, "second signal: ending at once");
    prepare(late, config->log.format,
            "the orderly end took too long: ending at once; what was not stored is read again");
    watchdog_s = (unsigned)(config->drain_ms / 1000) + WATCHDOG_SLACK_S;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);

    struct pipeline *pipeline = pipeline_create(config, &stop_signal, &error);
    if (pipeline == NULL) {
        log_error(error.text);
        return 1;
    }
    bool is_good = pipeline_run(pipeline, &error);
    if (stop_signal == 0) alarm(watchdog_s); /* else it has run since the signal */
    pipeline_destroy(&pipeline);
    if (!is_good) {
        log_error(error.text);
        return 1;
    }
    log_info("Stopped");
    return 0;
}

const struct command command_run = {
    .name = "run",
    .summary = "process until SIGTERM or SIGINT, then drain and leave",
    .help = "Reads logins from input.topic, counts them in Redis and publishes them to\n"
            "output.topic, each exactly once, until SIGTERM or SIGINT; then drains, commits,\n"
            "leaves the group and exits 0. A second signal ends it at once. Start as many as you\n"
            "like: they share the partitions.\n",
    .run = run,
};
