/* The connection whose answer is being made is `current`: destroy cuts it, so that no handler waits
 * for its client any more. */
#include "http_lane.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/worker.h"

struct http_lane {
    struct worker worker;
    void *context;
    int piece_ms;
    /* guarded by lock */
    pthread_mutex_t lock;
    struct http_connection *waiting[HTTP_WAITING_MAX];
    unsigned first, count;
    struct http_connection *current;
    bool must_stop;
    /* owned by the worker */
    char piece[HTTP_PIECE_BYTES];
};

enum { GONE_MS = 20 }; /* for the reset to come of a client that has gone */

/* What one answer needs. */
struct stream {
    struct http_connection *connection;
    struct http_reply reply;
    int64_t until_ms;
    int piece_ms;
};

/* False if the client did not take it in time. MSG_MORE: more follows at once. */
static bool send_all(struct stream *stream, const char *bytes, size_t length, int more) {
    const int64_t piece_ms = clock_ms() + stream->piece_ms;
    const int64_t until_ms = piece_ms < stream->until_ms ? piece_ms : stream->until_ms;
    const int descriptor = stream->connection->descriptor;
    while (length > 0) {
        const ssize_t sent = send(descriptor, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT | more);
        if (sent > 0) {
            bytes += sent;
            length -= (size_t)sent;
            continue;
        }
        if (errno == EINTR) continue;
        const int64_t left_ms = until_ms - clock_ms();
        struct pollfd room = {.fd = descriptor, .events = POLLOUT};
        if (errno != EAGAIN || left_ms <= 0) return false;
        worker_call_begins(left_ms);
        const int found = poll(&room, 1, (int)left_ms);
        worker_call_ends();
        if (found == 0) return false; /* although there may be room for a few bytes */
    }
    return true;
}

/* What of the head is not sent yet. */
static bool send_head(struct stream *stream, int more) {
    const struct http_connection *connection = stream->connection;
    const size_t sent = connection->written_bytes;
    return send_all(stream, connection->head + sent, connection->head_bytes - sent, more);
}

/* As text_pass: the first piece is preceded by the head. */
static bool pass(void *context, const char *bytes, size_t length) {
    struct stream *stream = context;
    struct http_connection *connection = stream->connection;
    char size[24];
    if (connection->head_bytes == 0) {
        http_connection_put_head(connection, &stream->reply, -1);
        if (!send_head(stream, MSG_MORE)) return false;
    }
    if (connection->request.is_head) return false;
    if (connection->request.is_1_0) return send_all(stream, bytes, length, 0);
    snprintf(size, sizeof size, "%zx\r\n", length);
    return send_all(stream, size, strlen(size), MSG_MORE) &&
           send_all(stream, bytes, length, MSG_MORE) && send_all(stream, "\r\n", 2, 0);
}

/* Of a client that sends no more: whether it still reads. One that has closed its socket looks the
 * same until something is sent to it, which it answers with a reset: so the begin of the head is
 * sent ahead. Where there is no room for it, there was no reset for what was sent before. */
static bool does_read(struct http_connection *connection) {
    struct pollfd client = {.fd = connection->descriptor};
    const ssize_t sent =
        send(client.fd, HTTP_VERSION, sizeof HTTP_VERSION - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return errno == EAGAIN;
    connection->written_bytes = (size_t)sent;
    return poll(&client, 1, GONE_MS) <= 0;
}

/* A client that has gone gets no answer, and costs none. */
static bool is_there(struct http_connection *connection) {
    char byte;
    const ssize_t got = recv(connection->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got == 0) return does_read(connection);
    return got > 0 || errno == EAGAIN;
}

/* Unread bytes would make the kernel reset the connection, perhaps before the answer is read. */
static void end(struct http_connection *connection) {
    char rest[1024];
    shutdown(connection->descriptor, SHUT_WR);
    for (int i = 0; i < 64; i++) {
        if (recv(connection->descriptor, rest, sizeof rest, MSG_DONTWAIT) <= 0) break;
    }
}

/* The client must not take a part for the whole. */
static void cut(struct http_connection *connection) {
    const struct linger at_once = {.l_onoff = 1};
    setsockopt(connection->descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void answer(struct http_lane *lane, struct http_connection *connection) {
    struct stream stream = {.connection = connection,
                            .until_ms = clock_ms() + HTTP_LANE_MS,
                            .piece_ms = lane->piece_ms};
    struct http_reply *reply = &stream.reply;
    reply->status = 200;
    reply->content_type = connection->content_type;
    reply->body = text_through(lane->piece, sizeof lane->piece, pass, &stream);
    connection->request.keeps_alive = false;
    connection->later(lane->context, &connection->request, reply);
    if (reply->body.passed_bytes == 0) { /* it is small: one piece */
        if (reply->body.is_broken) http_reply_error(reply, 500, "out of memory for the answer");
        http_connection_put_head(connection, reply, (int64_t)reply->body.length);
        const size_t body_bytes = connection->request.is_head ? 0 : reply->body.length;
        const int more = body_bytes > 0 ? MSG_MORE : 0;
        if (send_head(&stream, more)) (void)send_all(&stream, reply->body.bytes, body_bytes, 0);
        end(connection);
        return;
    }
    const bool is_whole = text_flush(&reply->body) &&
                          (connection->request.is_1_0 || send_all(&stream, "0\r\n\r\n", 5, 0));
    if (is_whole || connection->request.is_head)
        end(connection);
    else
        cut(connection);
}

static struct http_connection *take(struct http_lane *lane) {
    pthread_mutex_lock(&lane->lock);
    struct http_connection *connection = NULL;
    if (lane->count > 0 && !lane->must_stop) {
        connection = lane->waiting[lane->first];
        lane->first = (lane->first + 1) % HTTP_WAITING_MAX;
        lane->count--;
    }
    lane->current = connection;
    pthread_mutex_unlock(&lane->lock);
    return connection;
}

static int64_t step(void *context, int64_t now_ms) {
    struct http_lane *lane = context;
    struct http_connection *connection = take(lane);
    if (connection == NULL) return CLOCK_NEVER_MS;
    if (is_there(connection)) answer(lane, connection);
    pthread_mutex_lock(&lane->lock);
    lane->current = NULL;
    pthread_mutex_unlock(&lane->lock);
    http_connection_destroy(&connection);
    return now_ms;
}

struct http_lane *http_lane_create(const char *name, int piece_ms, void *context) {
    struct http_lane *lane = memory_create(sizeof *lane);
    lane->piece_ms = piece_ms;
    lane->context = context;
    pthread_mutex_init(&lane->lock, NULL);
    worker_init(&lane->worker, name, step, lane);
    if (!worker_start(&lane->worker)) http_lane_destroy(&lane);
    return lane;
}

bool http_lane_put(struct http_lane *lane, struct http_connection **connection) {
    pthread_mutex_lock(&lane->lock);
    const bool has_room = lane->count < HTTP_WAITING_MAX;
    if (has_room) {
        lane->waiting[(lane->first + lane->count++) % HTTP_WAITING_MAX] = *connection;
        *connection = NULL;
    }
    pthread_mutex_unlock(&lane->lock);
    if (has_room) alarm_ring(&lane->worker.alarm);
    return has_room;
}

void http_lane_destroy(struct http_lane **lane) {
    if (*lane == NULL) return;
    struct http_lane *l = *lane;
    pthread_mutex_lock(&l->lock);
    l->must_stop = true;
    if (l->current != NULL) shutdown(l->current->descriptor, SHUT_RDWR);
    pthread_mutex_unlock(&l->lock);
    worker_stop(&l->worker);
    for (; l->count > 0; l->count--, l->first = (l->first + 1) % HTTP_WAITING_MAX)
        http_connection_destroy(&l->waiting[l->first]);
    pthread_mutex_destroy(&l->lock);
    free(l);
    *lane = NULL;
}
