/* http_connection: a client's socket, its request, and the answer on its way.
 *
 * Place:    under http_server and http_lane, which owns it after http_server left it to it.
 * Threads:  the owner's.
 * Owns:     the socket, the bytes of the request, the answer.
 * Waits:    never.
 */
#ifndef SRC_EDGE_HTTP_CONNECTION_H
#define SRC_EDGE_HTTP_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "edge/http_server.h"

#define HTTP_VERSION "HTTP/1.1 " /* how the head of every answer begins */

enum { HTTP_HEAD_BYTES = 1024 }; /* of an answer, at most */

struct http_connection {
    int descriptor;
    enum http_state {
        HTTP_READS,   /* a request, or waits for one */
        HTTP_WRITES,  /* an answer */
        HTTP_LINGERS, /* the answer is written; what the client still sends is thrown away */
    } state;
    uint64_t order;   /* when it began to read, or to write: lower is earlier */
    int64_t until_ms; /* it ends by then */
    struct http_request request;
    size_t request_bytes; /* its head's length */
    http_handler *later;  /* of a lane */
    const char *content_type;
    char head[HTTP_HEAD_BYTES]; /* of the answer */
    size_t head_bytes;
    struct text body;
    size_t written_bytes; /* of head and body */
    bool must_go_on;      /* has more to do, though nothing new has come */
    size_t received_bytes;
    char received[HTTP_REQUEST_BYTES_MAX];
};

/* Takes the descriptor. */
struct http_connection *http_connection_create(int descriptor, int64_t now_ms);

/* Takes *connection, which may be NULL, and nulls it; the socket is closed. */
void http_connection_destroy(struct http_connection **connection);

/* Makes the head of an answer from a reply. body_bytes: -1 if the length is not known yet. Borrows
 * all. */
void http_connection_put_head(struct http_connection *connection, const struct http_reply *reply,
                              int64_t body_bytes);

enum http_progress { HTTP_DONE, HTTP_LATER, HTTP_BROKEN };

/* Writes what is left of head and body (of a HEAD, of the head). */
enum http_progress http_connection_write(struct http_connection *connection);

#endif
