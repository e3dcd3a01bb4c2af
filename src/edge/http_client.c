/* The socket never blocks; every wait is a poll for what is left of the time. Nothing of a reply is
 * used before its head says how long the body is and the body is that long. */
#include "edge/http_client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "edge/http_address.h"

/* False, with errno, when the time is up or a signal came. */
static bool wait_for(int descriptor, short events, int64_t until_ms) {
    struct pollfd ready = {.fd = descriptor, .events = events};
    const int64_t left_ms = until_ms - clock_ms();
    const int count = left_ms > 0 ? poll(&ready, 1, (int)left_ms) : 0;
    if (count == 0) errno = ETIMEDOUT;
    return count > 0;
}

/* A descriptor that is connected, or -1 with errno. Linux takes 0.0.0.0 and [::] for loopback. */
static int connect_to(const struct addrinfo *address, int64_t until_ms) {
    const int descriptor =
        socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -1;
    if (connect(descriptor, address->ai_addr, address->ai_addrlen) == 0) return descriptor;
    int cause = errno;
    if (cause == EINPROGRESS) {
        socklen_t bytes = sizeof cause;
        if (!wait_for(descriptor, POLLOUT, until_ms) ||
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &cause, &bytes) != 0) {
            cause = errno;
        }
    }
    if (cause == 0) return descriptor;
    close(descriptor);
    errno = cause;
    return -1;
}

/* Reads until the server closes; false with errno. */
static bool receive(int descriptor, int64_t until_ms, struct text *reply) {
    char piece[16 * 1024];
    while (wait_for(descriptor, POLLIN, until_ms)) {
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

static bool exchange(const struct addrinfo *addresses, const char *request, int64_t until_ms,
                     struct text *reply) {
    int descriptor = -1;
    for (const struct addrinfo *a = addresses; a != NULL && descriptor < 0; a = a->ai_next)
        descriptor = connect_to(a, until_ms);
    if (descriptor < 0) return false;
    /* A new connection has room for a request that is far smaller than its buffer. */
    const bool is_done = send(descriptor, request, strlen(request), MSG_NOSIGNAL) > 0 &&
                         receive(descriptor, until_ms, reply);
    const int cause = errno;
    close(descriptor);
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
    struct addrinfo *addresses = http_address_find(listen_on, 0, error);
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
