#include "pages.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "edge/http_server.h"
#include "edge/redis_snapshot.h"

struct http_server {
    http_handler *handle;
    void *context;
};

struct http_request {
    const char *scope; /* NULL: not given */
};

struct http_server *http_server_create(const char *listen_on, http_handler *handle, void *context,
                                       struct error *error) {
    (void)listen_on;
    (void)error;
    struct http_server *server = memory_create(sizeof *server);
    *server = (struct http_server){handle, context};
    current->pages = server;
    current->handle_count++;
    return server;
}

void http_server_destroy(struct http_server **server) {
    if (*server == NULL) return;
    current->pages = NULL;
    current->handle_count--;
    free(*server);
    *server = NULL;
}

uint16_t http_server_port(const struct http_server *server) {
    (void)server;
    return 80;
}

const char *http_request_argument(const struct http_request *request, const char *name) {
    return strcmp(name, "scope") == 0 ? request->scope : NULL;
}

enum store_verdict redis_snapshot_read(struct redis_link *link, const char *prefix,
                                       const struct aggregates *aggregates, struct text *json,
                                       struct error *error) {
    (void)link;
    (void)prefix;
    (void)aggregates;
    if (one_in(2)) {
        error_set(error, "Redis does not answer");
        return STORE_RETRY;
    }
    text_add(json, "{}");
    return STORE_OK;
}

void pages_ask(struct process *process) {
    static const char *const paths[] = {"/", "/metrics", "/healthz", "/readyz", "/counts"};
    if (process->pages == NULL) return;
    struct http_reply reply = {.status = 200};
    const struct http_request request = {one_in(2) ? "instance" : NULL};
    const char *path = paths[roll(sizeof paths / sizeof *paths)];
    current = process;
    current_worker = "http";
    process->pages->handle(process->pages->context, path, &request, &reply);
    trace("GET %s: %u", path, reply.status);
    happens(EVENT_PAGES);
    /* Without ticks a worker that has nothing to do takes no step, and seems to be stuck. */
    if (strcmp(path, "/healthz") == 0 && reply.status != 200 && world.plan.has_ticks)
        broken("%s is not healthy: %s", process->name, text_string(&reply.body));
    text_release(&reply.body);
    current = NULL;
}
