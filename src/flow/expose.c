#include "flow/expose.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "edge/http_server.h"

struct expose {
    struct expose_view view;
    struct http_server *server;
};

enum { LANE_COUNTS, LANE_TOTALS };

static_assert((int)EXPOSE_REPLICA_BYTES == HTTP_FIELD_BYTES, "it is a field's value");

static bool is_address(const char *text) {
    if (text[0] == '\0') return true;
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || !setting_is_printable(text)) return false;
    const size_t digits = strspn(colon + 1, "0123456789");
    return digits > 0 && digits <= 5 && colon[1 + digits] == '\0' &&
           strtol(colon + 1, NULL, 10) <= 65535;
}

const struct setting expose_setting_table[] = {
    SETTING_TEXT(struct expose_settings, listen, "http", "listen", 0, 255, "127.0.0.1:9464",
                 is_address, "host:port, or nothing at all", 0,
                 "address that serves /metrics, /healthz, /readyz and /counts; empty: none"),
    SETTING_END,
};

/* --- pages --- */

static http_handler list_pages;

/* "ok", or 503 and what `is_fine` wrote. */
static void reply_state(bool (*is_fine)(void *context, struct text *why), void *context,
                        struct http_reply *reply) {
    struct text why = {0};
    if (is_fine(context, &why)) {
        text_add(&reply->body, "ok");
    } else {
        reply->status = 503;
        text_add_shown(&reply->body, text_string(&why));
    }
    text_add(&reply->body, "\n");
    reply->body.is_broken |= why.is_broken;
    text_release(&why);
}

static void give_metrics(void *context, const struct http_request *request,
                         struct http_reply *reply) {
    const struct expose_view *view = context;
    (void)request;
    if (view->refresh != NULL) view->refresh(view->context);
    metrics_render(view->metrics, &reply->body);
}

static void give_status(void *context, const struct http_request *request,
                        struct http_reply *reply) {
    const struct expose_view *view = context;
    (void)request;
    view->status(view->context, &reply->body);
}

static void give_page(void *context, const struct http_request *request, struct http_reply *reply) {
    const struct expose_view *view = context;
    (void)request;
    view->page(view->context, &reply->body);
}

static void give_style(void *context, const struct http_request *request,
                       struct http_reply *reply) {
    const struct expose_view *view = context;
    (void)request;
    text_add(&reply->body, view->style);
}

static void give_script(void *context, const struct http_request *request,
                        struct http_reply *reply) {
    const struct expose_view *view = context;
    (void)request;
    text_add(&reply->body, view->script);
}

static void give_health(void *context, const struct http_request *request,
                        struct http_reply *reply) {
    const struct expose_view *view = context;
    (void)request;
    reply_state(view->is_alive, view->context, reply);
}

static void give_readiness(void *context, const struct http_request *request,
                           struct http_reply *reply) {
    const struct expose_view *view = context;
    (void)request;
    reply_state(view->is_ready, view->context, reply);
}

/* False if an argument does not exist, or is given twice. */
static bool check_arguments(const struct http_request *request, struct error *error) {
    static const char *const names[] = {"from", "to", "scope"};
    enum { NAME_COUNT = sizeof names / sizeof *names };
    bool is_given[NAME_COUNT] = {false};
    for (unsigned i = 0; i < request->argument_count; i++) {
        const char *name = request->arguments[i].name;
        unsigned n = 0;
        while (n < NAME_COUNT && strcmp(names[n], name) != 0)
            n++;
        if (n == NAME_COUNT) {
            return error_set(error, "\"%.40s\" is not a parameter; there are: from, to, scope",
                             name);
        }
        if (is_given[n])
            return error_set(error, "%s is given twice; the parameters are: from, to, scope", name);
        is_given[n] = true;
    }
    return true;
}

/* What is asked for; false if it is nothing that there is. */
static bool read_question(const struct http_request *request, struct expose_counts *counts,
                          struct error *error) {
    if (!check_arguments(request, error)) return false;
    const char *scope = http_request_argument(request, "scope");
    if (scope != NULL && strcmp(scope, "instance") != 0)
        return error_set(error, "the only scope to ask for is \"instance\"");
    counts->scope = scope == NULL ? EXPOSE_GROUP : EXPOSE_INSTANCE;
    return days_set(&counts->days, http_request_argument(request, "from"),
                    http_request_argument(request, "to"), error);
}

/* In a lane. */
static void stream_counts(void *context, const struct http_request *request,
                          struct http_reply *reply) {
    const struct expose_view *view = context;
    struct expose_counts counts = {.json = &reply->body, .replica = reply->field_value};
    struct error error;
    (void)read_question(request, &counts, &error); /* it was right before */
    reply->field = "Rollcall-Replica";
    if (!view->counts(view->context, &counts)) {
        if (reply->body.passed_bytes == 0)
            http_reply_error(reply, 503, text_string(&counts.why));
        else
            reply->body.is_broken = true; /* a part must not be taken for the whole */
    }
    text_release(&counts.why);
}

/* Those of the group wait for Redis, those of the instance never do. */
static void give_counts(void *context, const struct http_request *request,
                        struct http_reply *reply) {
    struct expose_counts counts = {0};
    struct error error;
    (void)context;
    if (!read_question(request, &counts, &error)) {
        http_reply_error(reply, 400, error.text);
        return;
    }
    reply->lane = counts.scope == EXPOSE_GROUP ? LANE_COUNTS : LANE_TOTALS;
    reply->later = stream_counts;
}

static const struct http_page pages[] = {
    {"/", "text/html; charset=utf-8", give_page},
    {"/status.css", "text/css; charset=utf-8", give_style},
    {"/status.js", "text/javascript; charset=utf-8", give_script},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", give_metrics},
    {"/healthz", HTTP_PLAIN, give_health},
    {"/readyz", HTTP_PLAIN, give_readiness},
    {"/counts", HTTP_JSON, give_counts},
    {"/status.json", HTTP_JSON, give_status},
    {NULL, HTTP_PLAIN, list_pages},
};

/* For all other paths. */
static void list_pages(void *context, const struct http_request *request,
                       struct http_reply *reply) {
    (void)context;
    (void)request;
    reply->status = 404;
    text_add(&reply->body, "there is no such page; there are:\n");
    for (const struct http_page *page = pages; page->path != NULL; page++)
        text_format(&reply->body, "%s\n", page->path);
}

/* --- the server --- */

struct expose *expose_create(const char *listen_on, const struct expose_view *view,
                             struct error *error) {
    struct expose *expose = memory_create(sizeof *expose);
    expose->view = *view;
    const struct http_options options = {
        .pages = pages, .lanes = {"counts", "totals"}, .context = &expose->view};
    expose->server = http_server_create(listen_on, &options, error);
    if (expose->server == NULL) expose_destroy(&expose);
    return expose;
}

void expose_destroy(struct expose **expose) {
    if (*expose == NULL) return;
    http_server_destroy(&(*expose)->server);
    free(*expose);
    *expose = NULL;
}

size_t expose_bytes(const struct expose *expose) {
    return http_server_bytes(expose->server);
}

uint16_t expose_port(const struct expose *expose) {
    return http_server_port(expose->server);
}
