#include "pages.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "edge/http_server.h"
#include "edge/redis_snapshot.h"

struct http_server {
    struct http_options options;
};

struct http_server *http_server_create(const char *listen_on, const struct http_options *options,
                                       struct error *error) {
    (void)listen_on;
    (void)error;
    struct http_server *server = memory_create(sizeof *server);
    server->options = *options;
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

size_t http_server_bytes(const struct http_server *server) {
    (void)server;
    return 0;
}

uint16_t http_server_port(const struct http_server *server) {
    (void)server;
    return 80;
}

const char *http_request_argument(const struct http_request *request, const char *name) {
    for (unsigned i = 0; i < request->argument_count; i++) {
        if (strcmp(request->arguments[i].name, name) == 0) return request->arguments[i].value;
    }
    return NULL;
}

void http_reply_error(struct http_reply *reply, unsigned status, const char *why) {
    reply->status = status;
    text_clear(&reply->body);
    text_add(&reply->body, why);
}

enum store_verdict redis_snapshot_read(struct redis_link *link,
                                       const struct redis_snapshot_options *options,
                                       char replica[REDIS_SNAPSHOT_NAME_BYTES], struct text *json,
                                       struct error *error) {
    (void)link;
    (void)options;
    replica[0] = '\0';
    if (one_in(2)) {
        error_set(error, "Redis does not answer");
        return STORE_RETRY;
    }
    text_add(json, "{}");
    return STORE_OK;
}

void pages_ask(struct process *process) {
    static const char *const paths[] = {"/",       "/metrics", "/healthz",
                                        "/readyz", "/counts",  "/status.json"};
    if (process->pages == NULL) return;
    struct http_request request = {.path = paths[roll(sizeof paths / sizeof *paths)]};
    if (one_in(2)) {
        request.arguments[request.argument_count++] = (struct http_field){"scope", "instance"};
    }
    const struct http_options *options = &process->pages->options;
    const struct http_page *page = options->pages;
    while (page->path != NULL && strcmp(page->path, request.path) != 0)
        page++;
    struct http_reply reply = {.status = 200, .content_type = page->content_type};
    current = process;
    current_worker = "http";
    page->handle(options->context, &request, &reply);
    if (reply.later != NULL) reply.later(options->context, &request, &reply);
    trace("GET %s: %u", request.path, reply.status);
    happens(EVENT_PAGES);
    /* Without ticks a worker that has nothing to do takes no step, and seems to be stuck. */
    if (strcmp(request.path, "/healthz") == 0 && reply.status != 200 && world.plan.has_ticks)
        broken("%s is not healthy: %s", process->name, text_string(&reply.body));
    text_release(&reply.body);
    current = NULL;
}
