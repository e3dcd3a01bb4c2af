/* Nothing of a reply is used before its head says how long the body is and the body is that
 * long. */
#include "edge/http_client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "edge/http_listen.h"

/* Limits the next call to what is left of the time; false, with errno, if that is none. */
static bool limit(int descriptor, int64_t until_ms) {
    const int64_t left_ms = until_ms - clock_ms();
    const struct timeval left = {left_ms / 1000, left_ms % 1000 * 1000};
    errno = ETIMEDOUT;
    return left_ms > 0 &&
           setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof left) == 0 &&
           setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left) == 0;
}

/* Reads until the server closes; false with errno. */
static bool receive(int descriptor, int64_t until_ms, struct text *reply) {
    char piece[16 * 1024];
    while (limit(descriptor, until_ms)) {
        const ssize_t got = recv(descriptor, piece, sizeof piece, 0);
        if (got == 0) return true;
        if (got < 0) return false;
        text_add_bytes(reply, piece, (size_t)got);
        if (reply->length > HTTP_CLIENT_BYTES_MAX || reply->is_broken) {
            errno = EMSGSIZE;
            return false;
        }
    }
    return false;
}

/* Linux takes 0.0.0.0 and [::] for loopback. A new connection has room for a request that is far
 * smaller than its buffer. False with errno. */
static bool exchange(const struct addrinfo *addresses, const char *request, int64_t until_ms,
                     struct text *reply) {
    int descriptor = -1;
    bool is_connected = false;
    for (const struct addrinfo *a = addresses; a != NULL && !is_connected; a = a->ai_next) {
        if (descriptor >= 0) close(descriptor);
        descriptor = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
        is_connected = descriptor >= 0 && limit(descriptor, until_ms) &&
                       connect(descriptor, a->ai_addr, a->ai_addrlen) == 0;
    }
    const bool is_done = is_connected &&
                         send(descriptor, request, strlen(request), MSG_NOSIGNAL) > 0 &&
                         receive(descriptor, until_ms, reply);
    const bool is_late = errno == EAGAIN || errno == EINPROGRESS; /* a timeout of the socket */
    const int cause = is_late ? ETIMEDOUT : errno;
    if (descriptor >= 0) close(descriptor);
    errno = cause;
    return is_done;
}

/* The body of a whole reply with status 200, else NULL. */
static const char *body_of(const struct text *reply, const char *listen_on, struct error *error) {
    static const char good[] = "HTTP/1.1 200 ", length_name[] = "\r\nContent-Length:";
    const char *head = text_string(reply);
    const char *end = strstr(head, "\r\n\r\n");
    if (strncmp(head, good, sizeof good - 1) != 0 || end == NULL) {
        error_set(error, "%s answers \"%.*s\"", listen_on, (int)strcspn(head, "\r\n"), head);
        return NULL;
    }
    const char *length = strcasestr(head, length_name);
    const char *body = end + 4;
    if (length == NULL || length > end ||
        strtoull(length + sizeof length_name - 1, NULL, 10) !=
            reply->length - (size_t)(body - head)) {
        error_set(error, "%s sent only part of the page", listen_on);
        return NULL;
    }
    return body;
}

const char *http_client_get(const char *listen_on, const char *path, int timeout_ms,
                            struct text *reply, struct error *error) {
    const int64_t until_ms = clock_ms() + timeout_ms;
    struct addrinfo *addresses = http_listen_find(listen_on, 0, error);
    if (addresses == NULL) return NULL;
    struct text request = {0};
    text_format(&request, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path,
                listen_on);
    text_clear(reply);
    const bool is_done = exchange(addresses, text_string(&request), until_ms, reply);
    if (!is_done) error_set(error, "%s does not answer: %m", listen_on);
    freeaddrinfo(addresses);
    text_release(&request);
    return is_done ? body_of(reply, listen_on, error) : NULL;
}
