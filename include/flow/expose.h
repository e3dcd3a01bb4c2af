/* expose: what one instance shows over HTTP.
 *
 * Place:    next to the flow: looks at all stages through a view, changes nothing.
 * Threads:  create, port and destroy from one thread. The view's functions are called on the HTTP
 *           server's thread, one at a time, and must not wait; `counts` on a thread for each scope,
 *           where it may.
 * Owns:     the HTTP server. Copies the view, keeps what it points to.
 * Waits:    destroy, for the functions of the view that are running.
 *
 *     /metrics   Prometheus text
 *     /healthz   200 "ok", or 503 and why: a thread is stuck
 *     /readyz    200 "ok", or 503 and why: not joined, Redis unreachable
 *     /counts    the snapshot as JSON, or 503 and {"error": why}; ?scope=instance: this instance's
 *                own totals since its start; ?from=YYYY-MM-DD, ?to=YYYY-MM-DD: only the minutes of
 *                these days, and all other totals. The header Rollcall-Replica names the replica
 *                that they come from, if any.
 *                400 and {"error": why} for another argument, or one given twice
 *     /status.json  what this instance knows of itself (app/status)
 *     /          the status page; /status.css and /status.js belong to it
 */
#ifndef FLOW_EXPOSE_H
#define FLOW_EXPOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/metric.h"
#include "base/setting.h"
#include "base/text.h"
#include "core/days.h"

/* http.listen */
struct expose_settings {
    char *listen; /* HOST:PORT; "" is none */
};

extern const struct setting expose_setting_table[];

enum expose_scope {
    EXPOSE_GROUP,    /* all that is counted, in Redis */
    EXPOSE_INSTANCE, /* what this instance counted since its start */
};

enum { EXPOSE_REPLICA_BYTES = 320 };

/* A request for counts. */
struct expose_counts {
    enum expose_scope scope;
    struct days days; /* of the minutes that are asked for */

    /* the answer */
    struct text *json; /* one JSON object, which is passed on to the client as it grows. When it is
                          broken the client has gone: no need to go on */
    char *replica;   /* EXPOSE_REPLICA_BYTES, "" at first: the name of a replica that they are read
                          from. Set before anything is added to json */
    struct text why; /* they cannot be had */
};

struct expose_view {
    struct metrics *metrics;
    void *context; /* of the functions */

    /* Sets gauges that nothing else keeps up to date, before each scrape. May be NULL. */
    void (*refresh)(void *context);

    /* Answer true, or false and add to `why` a sentence for people. */
    bool (*is_alive)(void *context, struct text *why);
    bool (*is_ready)(void *context, struct text *why);

    /* Answers true and the counts, or false and why. */
    bool (*counts)(void *context, struct expose_counts *counts);

    /* Adds the status, one JSON object. */
    void (*status)(void *context, struct text *json);

    /* Adds the status page; and what it loads. */
    void (*page)(void *context, struct text *html);
    const char *style, *script;
};

struct expose;

/* Serves the view on listen_on (HOST:PORT, as http_listen_open has it). Borrows listen_on and
 * view. Returns NULL with an error that names the address and the fix. */
struct expose *expose_create(const char *listen_on, const struct expose_view *view,
                             struct error *error);

/* Takes *expose, which may be NULL, and nulls it. The view is not called after it. */
void expose_destroy(struct expose **expose);

/* What requests and answers take now. From any thread. */
size_t expose_bytes(const struct expose *expose);

/* The port that it listens on; of interest where port 0 was asked for. */
uint16_t expose_port(const struct expose *expose);

#endif
