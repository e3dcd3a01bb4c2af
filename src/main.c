/* rollcall: from words to a command, and from its answer to the exit status. */
#include <stdio.h>
#include <unistd.h>

#include "app/commands.h"
#include "app/config.h"
#include "app/options.h"
#include "app/version.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

enum { EXIT_FINE = 0, EXIT_STOPPED = 1, EXIT_WRONG = 2 };

static int (*const commands[])(const struct config *, const struct options *) = {
    [OPTIONS_RUN] = command_run,           [OPTIONS_DEMO] = command_demo,
    [OPTIONS_GENERATE] = command_generate, [OPTIONS_SNAPSHOT] = command_snapshot,
    [OPTIONS_CHECK] = command_check,       [OPTIONS_TOP] = command_top,
};

/* What was printed must have arrived: a full disk or a closed pipe is no success. */
static int check_output(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    fputs("rollcall: cannot write to the standard output\n", stderr);
    return status == EXIT_FINE ? EXIT_STOPPED : status;
}

int main(int argc, char **argv) {
    static struct options options;
    struct error error = {""};
    memory_keep_private();
    switch (options_parse(argc, argv, &options, &error)) {
    case OPTIONS_HELP:
        options_help(&options);
        return check_output(EXIT_FINE);
    case OPTIONS_VERSION:
        version_print(stdout);
        return check_output(EXIT_FINE);
    case OPTIONS_WRONG:
        fprintf(stderr, "rollcall: %s\n", error.text);
        return EXIT_WRONG;
    case OPTIONS_GO_ON:
        break;
    }
    struct config *config = config_create(&options, environ, &error);
    if (config == NULL) {
        fprintf(stderr, "rollcall: %s\n", error.text);
        return EXIT_WRONG;
    }
    memory_keep_freed(config->instance.memory_mb);
    log_configure(config->log.level, config->log.format);
    const int status = check_output(commands[options.command](config, &options));
    config_destroy(&config);
    log_flush();
    return status;
}
