/* http_server: a few pages over HTTP, for machines and people on a trusted network.
 *
 * Place:    next to the flow; flow/expose gives it its pages.
 * Threads:  create, port and destroy from one thread. The handler runs on a thread of the server's
 *           own, for one request at a time; it takes no signals.
 * Owns:     its socket and its thread.
 * Limits:   GET and HEAD; HTTP_CONNECTIONS_MAX at once (more wait to be accepted),
 *           HTTP_TIMEOUT_S without a byte ends one, HTTP_REQUEST_BYTES_MAX for a request's head.
 *           No TLS and no password: for loopback, or a network that is trusted.
 * Waits:    destroy waits for the handler that is running. A slow handler holds back the others.
 */
#ifndef EDGE_HTTP_SERVER_H
#define EDGE_HTTP_SERVER_H

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum {
    HTTP_CONNECTIONS_MAX = 32,
    HTTP_TIMEOUT_S = 10,
    HTTP_REQUEST_BYTES_MAX = 16 * 1024,
};

struct addrinfo;
struct http_request;

struct http_reply {
    unsigned status;          /* 200, unless the handler sets another */
    const char *content_type; /* plain text in UTF-8, unless the handler sets another; static */
    struct text body;         /* empty at first; if it is_broken in the end, the status is 500 */
};

/* Fills the reply for a path such as "/metrics". */
typedef void http_handler(void *context, const char *path, const struct http_request *request,
                          struct http_reply *reply);

struct http_server;

/* Listens on HOST:PORT and begins to answer. HOST is an address ([::1]:9464 with brackets) or a
 * name that has one; port 0 takes a free one. Keeps context, borrows listen_on. NULL, with an error
 * that names the address and the fix, if it is not of that form, cannot be bound, or memory or
 * threads run out. */
struct http_server *http_server_create(const char *listen_on, http_handler *handle, void *context,
                                       struct error *error);

/* Takes *server, which may be NULL, and nulls it. The handler runs no more after it. */
void http_server_destroy(struct http_server **server);

/* The port that it listens on. */
uint16_t http_server_port(const struct http_server *server);

/* From any thread: the addresses of HOST:PORT, for TCP, to be freed with freeaddrinfo(3), whose
 * flags these are. NULL with an error. Waits for the resolver where HOST is a name. Borrows all. */
struct addrinfo *http_server_find(const char *listen_on, int flags, struct error *error);

/* The value of an argument of the query (?name=value), decoded; "" if it has none, NULL if the
 * argument is missing. Good until the handler returns. */
const char *http_request_argument(const struct http_request *request, const char *name);

/* The version of the HTTP library that is in use. */
const char *http_server_library_version(void);

#endif
