/* The socket is bound before there is a thread: so a failure has an errno, and a fix. */
#include "edge/http_listen.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 512, HOST_BYTES = 256, PORT_BYTES = 6 };

/* Splits HOST:PORT or [HOST]:PORT; false if it is neither. */
static bool split(const char *listen_on, char host[HOST_BYTES], char port[PORT_BYTES]) {
    int length = 0;
    if (sscanf(listen_on, "[%255[^]]]:%5[0-9]%n", host, port, &length) < 2 &&
        sscanf(listen_on, "%255[^][:]:%5[0-9]%n", host, port, &length) < 2) {
        return false;
    }
    return listen_on[length] == '\0' && strtol(port, NULL, 10) <= UINT16_MAX;
}

struct addrinfo *http_listen_find(const char *listen_on, int flags, struct error *error) {
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

/* A name like localhost may have several addresses; the
 * first that can be had is taken, those of IPv4 first. */
int http_listen_open(const char *listen_on, struct error *error) {
    struct addrinfo *found = http_listen_find(listen_on, AI_PASSIVE, error);
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

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* The address that a socket is bound to; all zero if there is none. */
static union address address_of(int descriptor) {
    union address address = {0};
    socklen_t bytes = sizeof address;
    if (getsockname(descriptor, &address.any, &bytes) != 0) return (union address){0};
    return address;
}

uint16_t http_listen_port(int descriptor) {
    const union address address = address_of(descriptor);
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static bool is_loopback_v4(struct in_addr address) {
    return ntohl(address.s_addr) >> 24 == 127;
}

bool http_listen_is_loopback(int descriptor) {
    const union address address = address_of(descriptor);
    if (address.any.sa_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&address.v6.sin6_addr);
    return address.any.sa_family == AF_INET && is_loopback_v4(address.v4.sin_addr);
}

/* Copies a host without its port; false if it is not of that form. */
static bool take_name(const char *host, char name[HOST_BYTES]) {
    const char *end = host + strcspn(host, *host == '[' ? "]" : ":");
    if (*end == ']') end++;
    const size_t length = (size_t)(end - host);
    if (length >= HOST_BYTES) return false;
    memcpy(name, host, length);
    name[length] = '\0';
    return *end == '\0' || (*end == ':' && end[1 + strspn(end + 1, "0123456789")] == '\0');
}

bool http_listen_is_host(const char *listen_on, const char *host) {
    char name[HOST_BYTES], own[HOST_BYTES];
    struct in_addr v4;
    if (!take_name(host, name)) return false;
    return strcasecmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0 ||
           (inet_pton(AF_INET, name, &v4) == 1 && is_loopback_v4(v4)) ||
           (take_name(listen_on, own) && strcasecmp(name, own) == 0);
}
