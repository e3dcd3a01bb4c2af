/* getaddrinfo knows no deadline, so a thread of its own waits for it. Whichever of the two is last
 * to let go of the lookup frees it. An IP address needs no lookup. */
#include "redis_dial.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

enum { DIAL_ADDRESSES_MAX = 16, STAGGER_MS = 250 };

struct lookup {
    char *host; /* fixed */
    char port[8];
    pthread_mutex_t lock;
    pthread_cond_t is_over_changed;
    int holders; /* guarded by lock, as the rest */
    bool is_over;
    int result; /* of getaddrinfo */
    struct addrinfo *found;
};

static int resolve(const char *host, const char *port, int flags, struct addrinfo **found) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    return getaddrinfo(host, port, &hints, found);
}

static void release(struct lookup *lookup) {
    const bool is_last = --lookup->holders == 0;
    pthread_mutex_unlock(&lookup->lock);
    if (!is_last) return;
    if (lookup->found != NULL) freeaddrinfo(lookup->found);
    pthread_cond_destroy(&lookup->is_over_changed);
    pthread_mutex_destroy(&lookup->lock);
    free(lookup->host);
    free(lookup);
}

static void *look_up(void *context) {
    struct lookup *lookup = context;
    struct addrinfo *found = NULL;
    int result = resolve(lookup->host, lookup->port, 0, &found);
    const size_t length = strlen(lookup->host);
    if (result != 0 && length > 1 && lookup->host[length - 1] == '.') {
        lookup->host[length - 1] = '\0'; /* /etc/hosts has names without it */
        result = resolve(lookup->host, lookup->port, 0, &found);
    }
    pthread_mutex_lock(&lookup->lock);
    lookup->is_over = true;
    lookup->result = result;
    lookup->found = result == 0 ? found : NULL;
    pthread_cond_signal(&lookup->is_over_changed);
    release(lookup);
    return NULL;
}

static struct lookup *lookup_create(const char *host, const char *port) {
    pthread_condattr_t attributes;
    struct lookup *lookup = memory_create(sizeof *lookup);
    lookup->host = memory_text(host);
    lookup->holders = 1;
    snprintf(lookup->port, sizeof lookup->port, "%s", port);
    pthread_mutex_init(&lookup->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&lookup->is_over_changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return lookup;
}

/* NULL with the reason; else the caller's, to freeaddrinfo. */
static struct addrinfo *find(const char *host, const char *port, int64_t until_ms,
                             struct error *error) {
    struct addrinfo *found = NULL;
    pthread_t thread;
    if (resolve(host, port, AI_NUMERICHOST | AI_NUMERICSERV, &found) == 0) return found;
    struct lookup *lookup = lookup_create(host, port);
    lookup->holders = 2;
    if (pthread_create(&thread, NULL, look_up, lookup) == 0) {
        pthread_detach(thread);
        pthread_mutex_lock(&lookup->lock);
    } else {
        pthread_mutex_lock(&lookup->lock);
        lookup->holders = 1;
        lookup->is_over = true;
        lookup->result = EAI_AGAIN;
    }
    const struct timespec until = {until_ms / 1000, (long)(until_ms % 1000) * 1000000L};
    int waited = 0;
    while (!lookup->is_over && waited == 0)
        waited = pthread_cond_timedwait(&lookup->is_over_changed, &lookup->lock, &until);
    if (!lookup->is_over) {
        error_set(error, "the name %s was not resolved in time", host);
    } else if (lookup->result != 0) {
        error_set(error, "the name %s is not resolved: %s", host, gai_strerror(lookup->result));
    }
    found = lookup->found;
    lookup->found = NULL;
    release(lookup);
    return found;
}

/* A socket that is connecting, or -1. */
static int start(const struct addrinfo *address) {
    const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS) return fd;
    const int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

/* Waits until one has connected, and takes it out. 0: all that have answered failed, and are taken
 * out; *reason is why the last one did. */
static int take_connected(struct pollfd *fds, int *count, int64_t until_ms, int *reason) {
    const int64_t left_ms = until_ms - clock_ms();
    if (poll(fds, (nfds_t)*count, left_ms < 0 ? 0 : (int)left_ms) <= 0) return -1;
    for (int i = 0; i < *count;) {
        int failed = 0;
        socklen_t length = sizeof failed;
        const int fd = fds[i].fd;
        if (fds[i].revents == 0) {
            i++;
            continue;
        }
        fds[i] = fds[--*count];
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &length);
        if (failed == 0) return fd;
        *reason = failed;
        close(fd);
    }
    return -1;
}

static int connect_any(const struct addrinfo *found, int64_t until_ms, struct error *error) {
    struct pollfd fds[DIAL_ADDRESSES_MAX];
    int count = 0, reason = ETIMEDOUT, fd = -1;
    int64_t next_ms = 0;
    while (fd < 0 && clock_ms() < until_ms && (found != NULL || count > 0)) {
        if (found != NULL && (count == 0 || clock_ms() >= next_ms) && count < DIAL_ADDRESSES_MAX) {
            const int begun = start(found);
            if (begun < 0) reason = errno;
            if (begun >= 0) fds[count++] = (struct pollfd){.fd = begun, .events = POLLOUT};
            found = found->ai_next;
            next_ms = clock_ms() + STAGGER_MS;
        }
        if (count == 0) continue;
        const bool is_last = found == NULL || count == DIAL_ADDRESSES_MAX;
        fd = take_connected(fds, &count, is_last || next_ms > until_ms ? until_ms : next_ms,
                            &reason);
    }
    if (fd < 0) {
        errno = count > 0 ? ETIMEDOUT : reason;
        error_set(error, "%m");
    }
    while (count > 0)
        close(fds[--count].fd);
    return fd;
}

int redis_dial(const char *host, int port, int64_t until_ms, struct error *error) {
    char digits[8];
    const int on = 1;
    snprintf(digits, sizeof digits, "%d", port);
    struct addrinfo *found = find(host, digits, until_ms, error);
    if (found == NULL) return -1;
    const int fd = connect_any(found, until_ms, error);
    freeaddrinfo(found);
    if (fd < 0) return -1;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}
