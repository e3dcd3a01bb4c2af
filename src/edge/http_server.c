/* The socket is bound here and given to libmicrohttpd, which does the rest on one thread: so a
 * failure to bind has an errno and a name. libmicrohttpd calls `answer` for a request twice or
 * more: first with the head alone, when a reply would cost the connection, and again when it is
 * complete. */
#include "edge/http_server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/memory.h"

enum { BACKLOG = 64, HOST_BYTES = 256, PORT_BYTES = 6 };

static const char plain_text[] = "text/plain; charset=utf-8";

struct http_request {
    struct MHD_Connection *connection;
};

struct http_server {
    http_handler *handle;
    void *context;
    struct MHD_Daemon *daemon;
    uint16_t port;
};

/* Splits HOST:PORT or [HOST]:PORT; false if it is neither. */
static bool split(const char *listen_on, char host[HOST_BYTES], char port[PORT_BYTES]) {
    int length = 0;
    if (sscanf(listen_on, "[%255[^]]]:%5[0-9]%n", host, port, &length) < 2 &&
        sscanf(listen_on, "%255[^][:]:%5[0-9]%n", host, port, &length) < 2) {
        return false;
    }
    return listen_on[length] == '\0' && strtol(port, NULL, 10) <= UINT16_MAX;
}

struct addrinfo *http_server_find(const char *listen_on, int flags, struct error *error) {
    char host[HOST_BYTES], port[PORT_BYTES];
    if (!split(listen_on, host, port)) {
        error_set(error,
                  "http.listen: \"%s\" is not HOST:PORT; for example 127.0.0.1:9464 (this machine "
                  "alone), 0.0.0.0:9464 or [::]:9464 (all its addresses), or nothing (no HTTP)",
                  listen_on);
        return NULL;
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const int failure = getaddrinfo(host, port, &hints, &found);
    if (failure == 0) return found;
    error_set(error, "http.listen %s: no address for \"%s\" (%s); choose an address", listen_on,
              host, gai_strerror(failure));
    return NULL;
}

/* A descriptor that listens, or -1 with errno. */
static int listen_at(const struct addrinfo *address) {
    const int descriptor =
        socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -1;
    const int yes = 1; /* after a restart, connections from before it do no harm */
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(descriptor, address->ai_addr, address->ai_addrlen) == 0 &&
        listen(descriptor, BACKLOG) == 0) {
        return descriptor;
    }
    const int cause = errno;
    close(descriptor);
    errno = cause;
    return -1;
}

static const char *fix_for(int cause) {
    switch (cause) {
    case EADDRINUSE:
        return "stop the program that listens there, or choose another port; port 0 takes a free "
               "one";
    case EADDRNOTAVAIL:
        return "choose an address of this machine: 127.0.0.1, or 0.0.0.0 for all of them";
    case EACCES:
        return "choose a port above 1023";
    default:
        return "choose another address; an empty one turns HTTP off";
    }
}

/* A descriptor, or -1 with an error. A name like localhost may have several addresses; the
 * first that can be had is taken, those of IPv4 first. */
static int open_socket(const char *listen_on, struct error *error) {
    struct addrinfo *found = http_server_find(listen_on, AI_PASSIVE, error);
    if (found == NULL) return -1;

    int descriptor = -1;
    int cause = EADDRNOTAVAIL;
    const int families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; i < 2 && descriptor < 0; i++) {
        for (const struct addrinfo *a = found; a != NULL && descriptor < 0; a = a->ai_next) {
            if (a->ai_family != families[i]) continue;
            descriptor = listen_at(a);
            /* Without IPv6 its addresses fail too; what prevented IPv4 is the more useful error. */
            if (descriptor < 0 && (i == 0 || cause == EADDRNOTAVAIL)) cause = errno;
        }
    }
    freeaddrinfo(found);
    if (descriptor < 0) {
        errno = cause;
        error_set(error, "http.listen %s: %m; %s", listen_on, fix_for(cause));
    }
    return descriptor;
}

static uint16_t port_of(int descriptor) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {0};
    socklen_t bytes = sizeof address;
    if (getsockname(descriptor, &address.any, &bytes) != 0) return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

/* Sends the reply and takes its body. */
static enum MHD_Result send_reply(struct MHD_Connection *connection, struct http_reply *reply) {
    if (reply->body.is_broken) {
        text_release(&reply->body);
        reply->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
        reply->content_type = plain_text;
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(
        reply->body.length, reply->body.bytes, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        text_release(&reply->body);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (reply->status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    const enum MHD_Result result = MHD_queue_response(connection, reply->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload,
                              /* cppcheck-suppress constParameter ; a callback's type */
                              size_t *upload_bytes, void **request_state) {
    static char head_was_seen;
    struct http_server *server = context;
    struct http_reply reply = {.status = MHD_HTTP_OK, .content_type = plain_text};
    (void)version;
    (void)upload;

    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        reply.status = MHD_HTTP_METHOD_NOT_ALLOWED; /* at once: the upload is not wanted */
        text_add(&reply.body, "only GET and HEAD are answered here\n");
        return send_reply(connection, &reply);
    }
    if (*request_state == NULL) {
        *request_state = &head_was_seen;
        return MHD_YES;
    }
    if (*upload_bytes > 0) return MHD_NO; /* a GET with a body: end the connection */

    const struct http_request request = {.connection = connection};
    server->handle(server->context, path, &request, &reply);
    return send_reply(connection, &reply);
}

/* The daemon's thread inherits a mask in which all signals are blocked: they are for others. */
static struct MHD_Daemon *start_daemon(struct http_server *server, int descriptor) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer, server,
        MHD_OPTION_LISTEN_SOCKET, descriptor, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_REQUEST_BYTES_MAX, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

struct http_server *http_server_create(const char *listen_on, http_handler *handle, void *context,
                                       struct error *error) {
    struct http_server *server = memory_create(sizeof *server);
    server->handle = handle;
    server->context = context;

    const int descriptor = open_socket(listen_on, error);
    if (descriptor < 0) goto fail;
    server->port = port_of(descriptor);

    /* From here on the socket is the daemon's. Whether it closes it when it can not start depends
     * on how far it came, so it is not closed a second time here. */
    server->daemon = start_daemon(server, descriptor);
    if (server->daemon == NULL) {
        error_set(error, "http.listen %s: the HTTP server cannot start: no memory, or no thread",
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
    if ((*server)->daemon != NULL) MHD_stop_daemon((*server)->daemon);
    free(*server);
    *server = NULL;
}

uint16_t http_server_port(const struct http_server *server) {
    return server->port;
}

const char *http_request_argument(const struct http_request *request, const char *name) {
    const char *value = NULL;
    size_t bytes = 0;
    if (MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, name,
                                      strlen(name), &value, &bytes) == MHD_NO) {
        return NULL;
    }
    return value == NULL ? "" : value;
}

const char *http_server_library_version(void) {
    return MHD_get_version();
}
