/* redis_server: a real Redis of the test's own, empty, in memory alone.
 *
 * Which program it is: redis-server, or with RC_REDIS=newer in the environment that of
 * RC_REDIS_NEWER, which ./dev sets where it has one. */
#ifndef TESTS_REDIS_SERVER_H
#define TESTS_REDIS_SERVER_H

#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "edge/redis_link.h"

enum { SERVER_SKIPPED = 77, SERVER_START_MS = 10000 };

struct redis_server {
    pid_t pid;
    char folder[40], url[64];
};

static inline const char *redis_server_program(void) {
    const char *which = getenv("RC_REDIS"), *newer = getenv("RC_REDIS_NEWER");
    return which == NULL || strcmp(which, "newer") != 0 ? "redis-server" : newer;
}

/* Ends the test program as skipped if there is no newer Redis to run. */
static inline void redis_server_need(void) {
    const char *program = redis_server_program();
    if (program != NULL && (strchr(program, '/') == NULL || access(program, X_OK) == 0)) return;
    puts("1..0 # SKIP no newer redis-server: RC_REDIS_NEWER names none; ./dev setup fetches one");
    exit(SERVER_SKIPPED);
}

static inline int redis_server_free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &bytes) != 0)
        abort();
    close(listener);
    return ntohs(address.sin_port);
}

static inline bool redis_server_start(struct redis_server *server) {
    char port[16], pid[16] = "";
    struct error error = {""};
    snprintf(server->folder, sizeof server->folder, "/tmp/rollcall-redis-XXXXXX");
    if (mkdtemp(server->folder) == NULL) return false;
    snprintf(port, sizeof port, "%d", redis_server_free_port());
    snprintf(server->url, sizeof server->url, "redis://127.0.0.1:%s", port);
    server->pid = fork();
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp(redis_server_program(), "redis-server", "--port", port, "--bind", "127.0.0.1",
               "--save", "", "--dir", server->folder, "--logfile", "/dev/null", NULL);
        _exit(127);
    }
    struct redis_link *link =
        redis_link_create(&(struct redis_settings){.url = server->url, .timeout_ms = 5000}, &error);
    const int64_t until_ms = clock_ms() + SERVER_START_MS;
    while (!redis_link_open(link, &error) && clock_ms() < until_ms)
        clock_sleep_ms(10);
    /* another program may have been quicker to take the port */
    const bool is_ours = redis_link_open(link, &error) &&
                         redis_link_info(link, "process_id:", pid, sizeof pid, &error) &&
                         atoi(pid) == server->pid;
    if (!is_ours) fprintf(stderr, "no redis-server on port %s (%s): %s\n", port, pid, error.text);
    redis_link_destroy(&link);
    return is_ours;
}

static inline int redis_server_stop(struct redis_server *server) {
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    return rmdir(server->folder);
}

#endif
