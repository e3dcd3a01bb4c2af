/* One thread, which waits in poll(2) for all sockets and never anywhere else: reading, writing and
 * accepting do not block, and pages that may are left to the lanes. A new connection is served at
 * once if its request has come with it, so that a flood of others does not push it out. */
#include "edge/http_server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "edge/http_listen.h"
#include "http_connection.h"
#include "http_lane.h"

enum {
    LINGER_MS = 1000,
    ACCEPTS_A_ROUND = 64,  /* before those that are connected get their turn */
    ACCEPT_PAUSE_MS = 100, /* when the process has no descriptor left */
    REQUESTS_A_TURN = 16,  /* of one connection that sends them without waiting */
    RETRY_AFTER_S = 5,
};

struct http_server {
    /* fixed after http_server_create */
    struct http_options options;
    struct http_lane *lanes[HTTP_LANES_MAX];
    pthread_t thread;
    bool is_running;
    int listener;
    int wake; /* an eventfd: readable when the thread must stop */
    char *listen_on;
    uint16_t port;
    bool is_loopback;
    /* owned by the thread */
    struct http_connection *connections[HTTP_CONNECTIONS_MAX];
    int64_t accept_ms; /* not before */
    uint64_t order;    /* the last one given */
    /* shared: written by the thread, read by any */
    atomic_size_t bytes; /* of the connections, when the thread went to sleep */
};

/* --- places ----------------------------------------------------------------------------------- */

/* The one that has been in this state for the longest, besides `besides`; NULL: none is. */
static struct http_connection **oldest(struct http_server *server, bool writes,
                                       const struct http_connection *besides) {
    struct http_connection **found = NULL;
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        struct http_connection **place = &server->connections[i];
        if (*place == NULL || *place == besides || ((*place)->state == HTTP_WRITES) != writes)
            continue;
        if (found == NULL || (*place)->order < (*found)->order) found = place;
    }
    return found;
}

/* A free place, if need be that of one that is ended. */
static struct http_connection **find_place(struct http_server *server) {
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        if (server->connections[i] == NULL) return &server->connections[i];
    }
    struct http_connection **place = oldest(server, false, NULL);
    if (place == NULL) place = oldest(server, true, NULL);
    http_connection_destroy(place);
    return place;
}

/* Ends the oldest of those that hold answers until all others fit in the limit. */
static void bound_held(struct http_server *server, const struct http_connection *newest) {
    size_t held_bytes = 0;
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        const struct http_connection *connection = server->connections[i];
        if (connection != NULL) held_bytes += connection->body.capacity;
    }
    while (held_bytes > HTTP_HELD_BYTES_MAX) {
        struct http_connection **place = oldest(server, true, newest);
        if (place == NULL) return;
        held_bytes -= (*place)->body.capacity;
        http_connection_destroy(place);
    }
}

/* --- one connection --------------------------------------------------------------------------- */

static const struct http_page *find_page(const struct http_server *server, const char *path) {
    const struct http_page *page = server->options.pages;
    while (page->path != NULL && strcmp(page->path, path) != 0)
        page++;
    return page;
}

static const char *text_for(unsigned status) {
    switch (status) {
    case 403:
        return "on loopback only requests for localhost, 127.0.0.1 or [::1] are answered; a proxy "
               "must send one of these as Host";
    case 405:
        return "only GET and HEAD are answered here";
    case 431:
        return "the head of the request is too long";
    case 505:
        return "HTTP/1.0 and HTTP/1.1 are spoken here";
    default:
        return "this is not a request that is understood here";
    }
}

/* Answers the request, or leaves it to a lane; then *place is NULL. `status` is its parser's. */
static void answer(struct http_server *server, struct http_connection **place, unsigned status,
                   int64_t now_ms) {
    struct http_connection *connection = *place;
    struct http_request *request = &connection->request;
    struct http_reply reply = {.status = 200, .content_type = HTTP_PLAIN};
    if (status == 200 && server->is_loopback && request->host != NULL &&
        !http_listen_is_host(server->listen_on, request->host)) {
        status = 403;
    }
    if (status == 200) {
        const struct http_page *page = find_page(server, request->path);
        reply.content_type = page->content_type;
        page->handle(server->options.context, request, &reply);
        if (reply.later != NULL) {
            connection->later = reply.later;
            connection->content_type = reply.content_type;
            if (http_lane_put(server->lanes[reply.lane], place)) return;
            http_reply_error(&reply, 503, "too many requests are waiting already; try again");
            reply.retry_after_s = RETRY_AFTER_S;
        }
        if (reply.body.is_broken) {
            text_release(&reply.body);
            http_reply_error(&reply, 500, "out of memory for the answer");
        }
    } else {
        http_reply_error(&reply, status, text_for(status));
        request->keeps_alive = false;
        request->is_head &= status != 405;
    }
    connection->state = HTTP_WRITES;
    connection->order = ++server->order;
    connection->until_ms = now_ms + HTTP_ANSWER_MS;
    connection->body = reply.body;
    http_connection_put_head(connection, &reply, (int64_t)reply.body.length);
    bound_held(server, connection);
}

/* The answer is written: the next request may have come already. */
static void go_on(struct http_server *server, struct http_connection *connection, int64_t now_ms) {
    text_release(&connection->body);
    connection->head_bytes = connection->written_bytes = 0;
    connection->order = ++server->order;
    if (!connection->request.keeps_alive) {
        shutdown(connection->descriptor, SHUT_WR);
        connection->state = HTTP_LINGERS;
        connection->until_ms = now_ms + LINGER_MS;
        return;
    }
    connection->state = HTTP_READS;
    connection->received_bytes -= connection->request_bytes;
    memmove(connection->received, connection->received + connection->request_bytes,
            connection->received_bytes);
    connection->until_ms =
        now_ms + (connection->received_bytes > 0 ? HTTP_REQUEST_MS : HTTP_IDLE_MS);
}

/* Reads what has come. */
static enum http_progress receive(struct http_connection *connection, int64_t now_ms) {
    char rest[4096];
    const bool is_read = connection->state == HTTP_READS;
    char *into = is_read ? connection->received + connection->received_bytes : rest;
    const size_t room =
        is_read ? sizeof connection->received - connection->received_bytes : sizeof rest;
    const ssize_t got = recv(connection->descriptor, into, room, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR ? HTTP_LATER : HTTP_BROKEN;
    if (got == 0) return HTTP_BROKEN;
    if (!is_read) return HTTP_DONE;
    if (connection->received_bytes == 0) connection->until_ms = now_ms + HTTP_REQUEST_MS;
    connection->received_bytes += (size_t)got;
    return HTTP_DONE;
}

/* Takes the next request out of what was received, and answers it. False: it is not complete. */
static bool take_request(struct http_server *server, struct http_connection **place,
                         int64_t now_ms) {
    struct http_connection *connection = *place;
    unsigned status = 431;
    if (connection->received_bytes == 0) return false;
    connection->request_bytes = http_request_parse(connection->received, connection->received_bytes,
                                                   &connection->request, &status);
    if (connection->request_bytes == 0) {
        if (connection->received_bytes < sizeof connection->received) return false;
        connection->request = (struct http_request){0};
        status = 431;
    }
    answer(server, place, status, now_ms);
    return true;
}

/* Goes on as far as it can without waiting. *place is NULL if the connection has left it. */
static void serve(struct http_server *server, struct http_connection **place, int64_t now_ms) {
    enum http_progress progress = HTTP_DONE;
    int turn = 0;
    while (*place != NULL && progress == HTTP_DONE && turn < REQUESTS_A_TURN) {
        struct http_connection *connection = *place;
        if (connection->state == HTTP_WRITES) {
            progress = http_connection_write(connection);
            if (progress == HTTP_DONE) go_on(server, connection, now_ms);
            turn++;
        } else if (connection->state == HTTP_LINGERS || !take_request(server, place, now_ms)) {
            progress = receive(connection, now_ms);
            turn += connection->state == HTTP_LINGERS;
        }
        if (progress == HTTP_BROKEN) http_connection_destroy(place);
    }
    if (*place != NULL) (*place)->must_go_on = progress == HTTP_DONE;
}

/* --- the thread ------------------------------------------------------------------------------- */

static void accept_some(struct http_server *server, int64_t now_ms) {
    for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
        const int descriptor = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (descriptor < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            if (errno == EAGAIN) return;
            struct http_connection **place = oldest(server, false, NULL);
            if (place != NULL) http_connection_destroy(place); /* its descriptor is of use */
            server->accept_ms = now_ms + ACCEPT_PAUSE_MS;
            return;
        }
        struct http_connection **place = find_place(server);
        *place = http_connection_create(descriptor, now_ms);
        (*place)->order = ++server->order;
        serve(server, place, now_ms);
    }
}

/* Fills the table for poll: the eventfd, the listener, then the connections; answers how many.
 * Lowers *until_ms to the first deadline. */
static nfds_t gather(struct http_server *server, struct pollfd *polled,
                     struct http_connection ***places, int64_t now_ms, int64_t *until_ms) {
    nfds_t count = 2;
    size_t bytes = 0;
    const bool accepts = now_ms >= server->accept_ms;
    polled[0] = (struct pollfd){.fd = server->wake, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = accepts ? server->listener : -1, .events = POLLIN};
    if (!accepts && server->accept_ms < *until_ms) *until_ms = server->accept_ms;
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        const struct http_connection *connection = server->connections[i];
        if (connection == NULL) continue;
        const short events = connection->state == HTTP_WRITES ? POLLOUT : POLLIN;
        bytes += sizeof *connection + connection->body.capacity;
        places[count] = &server->connections[i];
        polled[count++] = (struct pollfd){.fd = connection->descriptor, .events = events};
        const int64_t connection_ms = connection->must_go_on ? now_ms : connection->until_ms;
        if (connection_ms < *until_ms) *until_ms = connection_ms;
    }
    atomic_store_explicit(&server->bytes, bytes, memory_order_relaxed);
    return count;
}

static void *run(void *context) {
    struct http_server *server = context;
    struct pollfd polled[2 + HTTP_CONNECTIONS_MAX];
    struct http_connection **places[2 + HTTP_CONNECTIONS_MAX];
    for (;;) {
        int64_t now_ms = clock_ms();
        int64_t until_ms = now_ms + 60 * 1000;
        const nfds_t count = gather(server, polled, places, now_ms, &until_ms);
        const int64_t wait_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        if (poll(polled, count, (int)wait_ms) < 0) {
            if (errno != EINTR && errno != ENOMEM) return NULL;
            continue;
        }
        if (polled[0].revents != 0) return NULL;
        now_ms = clock_ms();
        for (nfds_t i = 2; i < count; i++) {
            struct http_connection **place = places[i];
            /* One that was ended to make room is gone; nobody has taken its place yet. */
            if (*place == NULL || (*place)->descriptor != polled[i].fd) continue;
            if (polled[i].revents != 0 || (*place)->must_go_on) serve(server, place, now_ms);
            if (*place != NULL && now_ms >= (*place)->until_ms) http_connection_destroy(place);
        }
        if (polled[1].revents != 0) accept_some(server, now_ms);
    }
}

/* The thread inherits a mask in which all signals are blocked: they are for others. */
static bool start(struct http_server *server) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int piece_ms = server->options.piece_ms > 0 ? server->options.piece_ms : HTTP_PIECE_MS;
    bool is_good = true;
    for (int i = 0; is_good && i < HTTP_LANES_MAX && server->options.lanes[i] != NULL; i++) {
        server->lanes[i] =
            http_lane_create(server->options.lanes[i], piece_ms, server->options.context);
        is_good = server->lanes[i] != NULL;
    }
    server->is_running = is_good && pthread_create(&server->thread, NULL, run, server) == 0;
    if (server->is_running) pthread_setname_np(server->thread, "http");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return server->is_running;
}

struct http_server *http_server_create(const char *listen_on, const struct http_options *options,
                                       struct error *error) {
    struct http_server *server = memory_create(sizeof *server);
    server->options = *options;
    server->listen_on = memory_text(listen_on);
    server->wake = -1;
    server->listener = http_listen_open(listen_on, error);
    if (server->listener < 0) goto fail;
    server->port = http_listen_port(server->listener);
    server->is_loopback = http_listen_is_loopback(server->listener);
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->wake < 0 || !start(server)) {
        error_set(error,
                  "http.listen %s: the HTTP server cannot start: no descriptor, no memory, "
                  "or no thread",
                  listen_on);
        goto fail;
    }
    return server;

fail:
    http_server_destroy(&server);
    return NULL;
}

void http_server_destroy(struct http_server **server) {
    if (*server == NULL) return;
    struct http_server *s = *server;
    if (s->is_running) {
        (void)!eventfd_write(s->wake, 1);
        pthread_join(s->thread, NULL);
    }
    for (int i = 0; i < HTTP_LANES_MAX; i++)
        http_lane_destroy(&s->lanes[i]);
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        http_connection_destroy(&s->connections[i]);
    if (s->listener >= 0) close(s->listener);
    if (s->wake >= 0) close(s->wake);
    free(s->listen_on);
    free(s);
    *server = NULL;
}

size_t http_server_bytes(const struct http_server *server) {
    return sizeof *server + atomic_load_explicit(&server->bytes, memory_order_relaxed);
}

uint16_t http_server_port(const struct http_server *server) {
    return server->port;
}
