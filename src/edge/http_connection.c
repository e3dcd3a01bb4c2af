#include "http_connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

struct http_connection *http_connection_create(int descriptor, int64_t now_ms) {
    struct http_connection *connection = memory_create(sizeof *connection);
    connection->descriptor = descriptor;
    connection->until_ms = now_ms + HTTP_REQUEST_MS;
    return connection;
}

void http_connection_destroy(struct http_connection **connection) {
    if (*connection == NULL) return;
    close((*connection)->descriptor);
    text_release(&(*connection)->body);
    free(*connection);
    *connection = NULL;
}

static const char *reason_of(unsigned status) {
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Internal Server Error";
    }
}

static void add_date(struct text *head) {
    const time_t now_s = (time_t)(clock_wall_ms() / 1000);
    struct tm utc;
    char date[64];
    if (gmtime_r(&now_s, &utc) != NULL &&
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc) > 0) {
        text_format(head, "Date: %s\r\n", date);
    }
}

/* A page loads nothing but this server's own script and style, and no other page shows it. */
static const char always[] =
    "Cache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n";

void http_connection_put_head(struct http_connection *connection, const struct http_reply *reply,
                              int64_t body_bytes) {
    struct text head = text_within(connection->head, sizeof connection->head);
    text_format(&head, HTTP_VERSION "%u %s\r\n", reply->status, reason_of(reply->status));
    add_date(&head);
    text_format(&head, "Content-Type: %s\r\n", reply->content_type);
    if (body_bytes >= 0)
        text_format(&head, "Content-Length: %lld\r\n", (long long)body_bytes);
    else if (!connection->request.is_1_0)
        text_add(&head, "Transfer-Encoding: chunked\r\n");
    text_add(&head, always);
    if (reply->status == 405) text_add(&head, "Allow: GET, HEAD\r\n");
    if (reply->retry_after_s > 0) text_format(&head, "Retry-After: %u\r\n", reply->retry_after_s);
    if (reply->field_value[0] != '\0')
        text_format(&head, "%s: %s\r\n", reply->field, reply->field_value);
    if (!connection->request.keeps_alive) text_add(&head, "Connection: close\r\n");
    text_add(&head, "\r\n");
    connection->head_bytes = head.length;
}

void http_reply_error(struct http_reply *reply, unsigned status, const char *why) {
    const bool is_json = strcmp(reply->content_type, HTTP_JSON) == 0;
    reply->status = status;
    text_clear(&reply->body);
    if (is_json) {
        text_add(&reply->body, "{\"error\": ");
        text_add_json(&reply->body, why, strlen(why));
        text_add(&reply->body, "}\n");
    } else {
        text_add_shown(&reply->body, why);
        text_add(&reply->body, "\n");
    }
}

enum http_progress http_connection_write(struct http_connection *connection) {
    const struct text *body = &connection->body;
    const size_t body_bytes = connection->request.is_head ? 0 : body->length;
    while (connection->written_bytes < connection->head_bytes + body_bytes) {
        const size_t written = connection->written_bytes;
        const size_t of_head = written < connection->head_bytes ? written : connection->head_bytes;
        const size_t of_body = written - of_head;
        struct iovec parts[] = {
            {connection->head + of_head, connection->head_bytes - of_head},
            {body_bytes == 0 ? NULL : body->bytes + of_body, body_bytes - of_body}};
        const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        const ssize_t sent = sendmsg(connection->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return errno == EAGAIN ? HTTP_LATER : HTTP_BROKEN;
        connection->written_bytes += (size_t)sent;
    }
    return HTTP_DONE;
}
