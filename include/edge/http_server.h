/* http_server: a few pages over HTTP, for machines and people on a trusted network.
 *
 * Place:    next to the flow; flow/expose gives it its pages.
 * Threads:  create, port and destroy from one thread. Pages are made on a thread of the server's
 *           own, one at a time, and must not wait there. A page that may take long is left to a
 *           lane: another thread, with its own queue. All of these take no signals.
 * Owns:     its socket, its connections and its threads.
 * Limits:   GET and HEAD; HTTP_CONNECTIONS_MAX at once: one more ends the oldest that has not asked
 *           for anything yet, or else the oldest of all. HTTP_REQUEST_BYTES_MAX and HTTP_REQUEST_MS
 *           for the head of a request, HTTP_ANSWER_MS for a client to take an answer, HTTP_IDLE_MS
 *           between two requests, HTTP_HELD_BYTES_MAX of answers that are not taken yet (more ends
 *           the oldest of them). Of a lane: HTTP_WAITING_MAX requests that wait (more get a 503),
 *           HTTP_PIECE_MS for a client to take a piece, HTTP_LANE_MS for a whole answer.
 *           No TLS and no password: for loopback, or a network that is trusted. On loopback only
 *           requests whose Host is loopback are answered.
 * Waits:    destroy waits for the pages that are being made.
 */
#ifndef EDGE_HTTP_SERVER_H
#define EDGE_HTTP_SERVER_H

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "edge/http_request.h"

enum {
    HTTP_CONNECTIONS_MAX = 64,
    HTTP_REQUEST_BYTES_MAX = 16 * 1024,
    HTTP_REQUEST_MS = 5000,
    HTTP_ANSWER_MS = 10000,
    HTTP_IDLE_MS = 60000,
    HTTP_HELD_BYTES_MAX = 16 << 20,
    HTTP_LANES_MAX = 2,
    HTTP_WAITING_MAX = 16,
    HTTP_PIECE_BYTES = 32 * 1024,
    HTTP_PIECE_MS = 20000,
    HTTP_LANE_MS = 300000,
    HTTP_FIELD_BYTES = 320,
};

#define HTTP_PLAIN "text/plain; charset=utf-8"
#define HTTP_JSON "application/json"

struct http_reply;

/* Fills the reply; borrows all. */
typedef void http_handler(void *context, const struct http_request *request,
                          struct http_reply *reply);

/* In a lane the body goes to the client in pieces, as it grows; what a handler adds to it may wait
 * for the client. Once passed_bytes is above 0, status and type can no longer change. */
struct http_reply {
    unsigned status;                    /* 200, unless the handler sets another */
    const char *content_type;           /* the page's, unless the handler sets another; static */
    unsigned retry_after_s;             /* 0: does not say */
    const char *field;                  /* the name of one more header field; NULL: none */
    char field_value[HTTP_FIELD_BYTES]; /* without line breaks; "" when the head is sent: none */
    struct text body;    /* empty at first. If it is_broken in the end, the status is 500, or
                                 the connection ends in the middle of the answer */
    http_handler *later; /* set by a page that leaves the answer to a lane: called there */
    unsigned lane;       /* which */
};

/* Makes it a reply with this status and nothing but this text, which it borrows; as {"error": why}
 * where content_type is HTTP_JSON. */
void http_reply_error(struct http_reply *reply, unsigned status, const char *why);

/* A row of a table that ends with one whose path is NULL: that one answers for all other paths. */
struct http_page {
    const char *path;         /* "/metrics" */
    const char *content_type; /* with 200, and others unless the handler sets one */
    http_handler *handle;
};

struct http_options {
    const struct http_page *pages;
    const char *lanes[HTTP_LANES_MAX]; /* the names of their threads; NULL: none */
    void *context;                     /* of the handlers */
    int piece_ms;                      /* 0: HTTP_PIECE_MS */
};

struct http_server;

/* Listens on HOST:PORT, as http_listen_open has it, and begins to answer. Borrows listen_on and
 * options, keeps what options point to. NULL with an error. */
struct http_server *http_server_create(const char *listen_on, const struct http_options *options,
                                       struct error *error);

/* Takes *server, which may be NULL, and nulls it. No handler runs after it. */
void http_server_destroy(struct http_server **server);

/* From any thread: what it holds for requests and answers, in bytes. */
size_t http_server_bytes(const struct http_server *server);

/* The port that it listens on. */
uint16_t http_server_port(const struct http_server *server);

#endif
