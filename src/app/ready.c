/* rollcall ready: what an orchestrator's health check calls, with the configuration of `run`. */
#include <stdio.h>
#include <string.h>

#include "app/commands.h"
#include "app/config.h"
#include "base/error.h"
#include "base/text.h"
#include "edge/http_client.h"

enum { TIMEOUT_MS = 3000 };

struct ready_options {
    bool is_alive;
};

static int run(const struct config *config, const struct options *options) {
    struct ready_options own;
    struct error error = {""};
    struct text reply = {0};
    const char *listen_on = config->expose.listen;
    memcpy(&own, options->own, sizeof own);
    if (*listen_on == '\0') {
        puts("http.listen is empty, so there is nothing to ask: taken for ready");
        return 0;
    }
    const char *body = http_client_get(listen_on, own.is_alive ? "/healthz" : "/readyz", TIMEOUT_MS,
                                       &reply, &error);
    if (body != NULL) {
        fputs(body, stdout);
    } else {
        const char *reason = strstr(text_string(&reply), "\r\n\r\n");
        fprintf(stderr, "rollcall: %s%s%s\n", error.text, reason != NULL ? ": " : "",
                reason != NULL ? reason + 4 : "");
    }
    text_release(&reply);
    return body == NULL ? 1 : 0;
}

static const struct option_row option_table[] = {
    OPTION_FLAG(struct ready_options, is_alive, "alive", "ask only whether it is alive (/healthz)"),
    OPTION_END};

const struct command command_ready = {
    .name = "ready",
    .summary = "exit with status 0 if the instance at http.listen is ready",
    .help = "Asks the instance with this configuration, on this machine, for /readyz: whether it\n"
            "has joined its group and reaches Redis. For the health checks of containers. Exits\n"
            "with status 0 if it is ready, else with 1 and the reason. Without http.listen there\n"
            "is nothing to ask, and it exits with status 0.\n",
    .options = option_table,
    .run = run,
};
