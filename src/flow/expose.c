#include "flow/expose.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "edge/http_server.h"

static const char json_type[] = "application/json";

enum { ROUTE_COUNT = 5 };

struct expose {
    struct expose_view view;
    struct http_route routes[ROUTE_COUNT];
    struct http_server *server;
};

static void list_pages(void *context, const struct http_request *request, struct http_reply *reply);
static void give_metrics(void *context, const struct http_request *request,
                         struct http_reply *reply);
static void tell_alive(void *context, const struct http_request *request, struct http_reply *reply);
static void tell_ready(void *context, const struct http_request *request, struct http_reply *reply);
static void give_counts(void *context, const struct http_request *request,
                        struct http_reply *reply);

struct expose *expose_create(const char *listen_on, const struct expose_view *view,
                             struct error *error) {
    struct expose *expose = memory_create(sizeof *expose);
    expose->view = *view;
    const struct http_route routes[ROUTE_COUNT] = {
        {"/", list_pages, expose},        {"/metrics", give_metrics, expose},
        {"/healthz", tell_alive, expose}, {"/readyz", tell_ready, expose},
        {"/counts", give_counts, expose},
    };
    memcpy(expose->routes, routes, sizeof routes);
    expose->server = http_server_create(listen_on, expose->routes, ROUTE_COUNT, error);
    if (expose->server == NULL) expose_destroy(&expose);
    return expose;
}

void expose_destroy(struct expose **expose) {
    if (*expose == NULL) return;
    http_server_destroy(&(*expose)->server);
    free(*expose);
    *expose = NULL;
}

uint16_t expose_port(const struct expose *expose) {
    return http_server_port(expose->server);
}

/* --- pages --- */

static void list_pages(void *context, const struct http_request *request,
                       struct http_reply *reply) {
    const struct expose *expose = context;
    (void)request;
    http_routes_list(expose->routes, ROUTE_COUNT, &reply->body);
}

static void give_metrics(void *context, const struct http_request *request,
                         struct http_reply *reply) {
    const struct expose_view *view = &((const struct expose *)context)->view;
    (void)request;
    if (view->refresh != NULL) view->refresh(view->context);
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_render(view->metrics, &reply->body);
}

/* "ok", or 503 and what `is_fine` wrote. */
static void tell(bool (*is_fine)(void *context, struct text *why), void *context,
                 struct http_reply *reply) {
    if (is_fine(context, &reply->body)) {
        text_clear(&reply->body);
        text_add(&reply->body, "ok\n");
    } else {
        reply->status = 503;
        text_add(&reply->body, "\n");
    }
}

static void tell_alive(void *context, const struct http_request *request,
                       struct http_reply *reply) {
    const struct expose_view *view = &((const struct expose *)context)->view;
    (void)request;
    tell(view->is_alive, view->context, reply);
}

static void tell_ready(void *context, const struct http_request *request,
                       struct http_reply *reply) {
    const struct expose_view *view = &((const struct expose *)context)->view;
    (void)request;
    tell(view->is_ready, view->context, reply);
}

static void reply_error(struct http_reply *reply, unsigned status, const char *why, size_t length) {
    reply->status = status;
    text_clear(&reply->body);
    text_add(&reply->body, "{\"error\": ");
    text_add_json(&reply->body, why, length);
    text_add(&reply->body, "}\n");
}

static void give_counts(void *context, const struct http_request *request,
                        struct http_reply *reply) {
    static const char unknown_scope[] = "the only scope to ask for is \"instance\"";
    const struct expose_view *view = &((const struct expose *)context)->view;
    const char *asked = http_request_argument(request, "scope");
    reply->content_type = json_type;
    if (asked != NULL && strcmp(asked, "instance") != 0) {
        reply_error(reply, 400, unknown_scope, sizeof unknown_scope - 1);
        return;
    }
    struct text why = {0};
    if (!view->counts(view->context, asked == NULL ? EXPOSE_GROUP : EXPOSE_INSTANCE, &reply->body,
                      &why)) {
        reply_error(reply, 503, text_string(&why), why.length);
    }
    text_release(&why);
}
