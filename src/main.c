/* The way in: stacks the commands, and exits. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "app/commands.h"
#include "app/config.h"
#include "app/document.h"
#include "app/options.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "tools/generator.h"

enum { EXIT_FINE = 0, EXIT_STOPPED = 1, EXIT_WRONG = 2 };

static const struct command *const commands[] = {
    &command_run, &command_demo,  &command_generate, &command_snapshot, &command_check,
    &command_top, &command_audit, &command_rebuild,  &command_ready,    NULL,
};

/* The next file or socket would get the number of a closed standard descriptor, and output would go
 * there. So /dev/null takes its place: an input that ends at once, an output that fails
 * (it is opened for reading), and a log that goes nowhere. */
static bool hold_descriptors(void) {
    static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd) return false;
    }
    return true;
}

static int reject(const struct error *error) {
    fprintf(stderr, "rollcall: %s\n", error->text);
    return EXIT_WRONG;
}

static int run(const struct options *options) {
    struct error error = {""};
    struct config *config = config_create(options, environ, &error);
    if (config == NULL) return reject(&error);
    memory_keep_freed(config->instance.memory_mb);
    log_configure(config->log.level, config->log.format);
    const int status = options->command->run(config, options);
    config_destroy(&config);
    return status;
}

/* What was printed must have arrived: a full disk or a closed pipe is not a success. */
static int check_output(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    fputs("rollcall: cannot write to the standard output\n", stderr);
    return status == EXIT_FINE ? EXIT_STOPPED : status;
}

int main(int argc, char **argv) {
    static struct options options;
    struct error error = {""};
    int status = EXIT_FINE;
    if (!hold_descriptors()) {
        fputs("rollcall: a standard descriptor is closed, and /dev/null cannot be opened in its "
              "place\n",
              stderr);
        return EXIT_STOPPED;
    }
    memory_keep_private();
    switch (options_parse(argc, argv, commands, &options, &error)) {
    case OPTIONS_HELP:
        options_help(commands, options.command, stdout);
        break;
    case OPTIONS_DOCUMENT:
        document_write(options.document, commands, stdout);
        break;
    case OPTIONS_VERSION:
        commands_print_version(stdout);
        break;
    case OPTIONS_WRONG:
        status = reject(&error);
        break;
    case OPTIONS_GO_ON:
        status = run(&options);
        break;
    }
    status = check_output(status);
    log_flush();
    return status;
}
