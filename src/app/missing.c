/* Stands in for commands whose file is not there yet; each real one outweighs its weak one here. */
#include "app/commands.h"

#include "base/log.h"

static int refuse(const char *command) {
    log_error("this program was built without the command", log_text("command", command));
    return 1;
}

#define MISSING(name)                                                                              \
    __attribute__((weak)) int command_##name(const struct config *config,                          \
                                             const struct options *options) {                      \
        (void)config;                                                                              \
        (void)options;                                                                             \
        return refuse(#name);                                                                      \
    }

MISSING(run)
