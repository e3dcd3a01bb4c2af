/* http_request: the head of a request, taken apart where it lies.
 *
 * Place:    under http_server, which has the bytes; pages read it.
 * Threads:  a request belongs to one thread at a time.
 * Owns:     nothing: all texts are in the bytes it was parsed from.
 * Limits:   HTTP_FIELDS_MAX, HTTP_ARGUMENTS_MAX.
 * Source:   RFC 9112, without bodies.
 */
#ifndef EDGE_HTTP_REQUEST_H
#define EDGE_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

enum { HTTP_FIELDS_MAX = 64, HTTP_ARGUMENTS_MAX = 16 };

struct http_field {
    const char *name, *value;
};

struct http_request {
    bool is_head;     /* the answer has no body */
    bool is_1_0;      /* the client does not know chunks */
    bool keeps_alive; /* the client may ask again on the same connection */
    const char *path; /* as sent, without the query */
    const char *host; /* of the target, else the field; NULL: none */
    struct http_field fields[HTTP_FIELDS_MAX];
    struct http_field arguments[HTTP_ARGUMENTS_MAX]; /* decoded */
    unsigned field_count, argument_count;
};

/* Takes the head at the beginning of bytes apart, changing it. Returns its length, with the empty
 * line; 0 if it is not complete (and then nothing has changed). *status is 200, or what to answer
 * instead: 400, 405 (neither GET nor HEAD), 431 or 505. Keeps bytes. */
size_t http_request_parse(char *bytes, size_t length, struct http_request *request,
                          unsigned *status);

/* The value of an argument of the query (?name=value); "" if it has none, NULL if the argument is
 * missing. The first of several. */
const char *http_request_argument(const struct http_request *request, const char *name);

/* The value of a header field, whose name is compared without case; NULL if it is missing. The
 * first of several. */
const char *http_request_field(const struct http_request *request, const char *name);

#endif
