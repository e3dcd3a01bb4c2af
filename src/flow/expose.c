#include "flow/expose.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "edge/http_server.h"

struct expose {
    struct expose_view view;
    struct http_server *server;
};

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

static http_handler answer;

struct expose *expose_create(const char *listen_on, const struct expose_view *view,
                             struct error *error) {
    struct expose *expose = memory_create(sizeof *expose);
    expose->view = *view;
    expose->server = http_server_create(listen_on, answer, &expose->view, error);
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

/* "ok", or 503 and what `is_fine` wrote. */
static void reply_state(bool (*is_fine)(void *context, struct text *why), void *context,
                        struct http_reply *reply) {
    if (is_fine(context, &reply->body)) {
        text_clear(&reply->body);
        text_add(&reply->body, "ok\n");
    } else {
        reply->status = 503;
        text_add(&reply->body, "\n");
    }
}

static void reply_error(struct http_reply *reply, unsigned status, const char *why, size_t length) {
    reply->status = status;
    text_clear(&reply->body);
    text_add(&reply->body, "{\"error\": ");
    text_add_json(&reply->body, why, length);
    text_add(&reply->body, "}\n");
}

static void give_counts(const struct expose_view *view, const struct http_request *request,
                        struct http_reply *reply) {
    static const char unknown_scope[] = "the only scope to ask for is \"instance\"";
    const char *asked = http_request_argument(request, "scope");
    reply->content_type = "application/json";
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

static void answer(void *context, const char *path, const struct http_request *request,
                   struct http_reply *reply) {
    const struct expose_view *view = context;
    if (strcmp(path, "/metrics") == 0) {
        if (view->refresh != NULL) view->refresh(view->context);
        reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
        metrics_render(view->metrics, &reply->body);
    } else if (strcmp(path, "/healthz") == 0) {
        reply_state(view->is_alive, view->context, reply);
    } else if (strcmp(path, "/readyz") == 0) {
        reply_state(view->is_ready, view->context, reply);
    } else if (strcmp(path, "/counts") == 0) {
        give_counts(view, request, reply);
    } else {
        if (strcmp(path, "/") != 0) {
            reply->status = 404;
            text_add(&reply->body, "there is no such page; there are:\n");
        }
        text_add(&reply->body, "/\n/metrics\n/healthz\n/readyz\n/counts\n");
    }
}
