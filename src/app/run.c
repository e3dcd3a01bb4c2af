/* `rollcall run`: the pipeline until a signal. The first SIGTERM or SIGINT asks for an orderly end, a
 * second one ends at once, and so does a watchdog if the orderly end takes too long. */
#include <signal.h>
#include <unistd.h>

#include "app/commands.h"
#include "app/config.h"
#include "app/pipeline.h"
#include "base/log.h"

enum { WATCHDOG_SLACK_S = 20 };

static volatile sig_atomic_t stop_signal;
static unsigned watchdog_s;

static void on_signal(int signal_number) {
    static const char hurry[] = "level=error msg=\"second signal: ending at once\"\n";
    if (stop_signal != 0) {
        ssize_t ignored = write(STDERR_FILENO, hurry, sizeof hurry - 1);
        (void)ignored;
        _exit(1);
    }
    stop_signal = signal_number;
    alarm(watchdog_s);
}

static void on_alarm(int signal_number) {
    (void)signal_number;
    static const char late[] = "level=error msg=\"the orderly end took too long: ending at once; what "
                               "was not stored is read again\"\n";
    ssize_t ignored = write(STDERR_FILENO, late, sizeof late - 1);
    (void)ignored;
    _exit(1);
}

int command_run(const struct config *config, const struct options *options) {
    (void)options;
    struct error error = {""};
    struct sigaction action = {.sa_handler = on_signal};
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
    alarm(watchdog_s);
    pipeline_destroy(&pipeline);
    if (!is_good) {
        log_error(error.text);
        return 1;
    }
    log_info("Stopped");
    return 0;
}
