/* notify: reports to a service manager how this process is.
 *
 * Place:    around the main thread's loop.
 * Threads:  one.
 * Owns:     a socket.
 * Waits:    never: what cannot be sent at once is sent with the next report.
 * Source:   sd_notify(3). Datagrams to the socket that NOTIFY_SOCKET names: no library is needed.
 */
#ifndef EDGE_NOTIFY_H
#define EDGE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

enum { NOTIFY_EVERY_MS = 1000 };

struct notify;

/* `socket` is the value of NOTIFY_SOCKET, a path or "@" and an abstract name; `watchdog_usec` that
 * of WATCHDOG_USEC, or NULL. Borrows both. NULL if there is nobody to report to: socket is NULL,
 * empty, or no address of a Unix socket. */
struct notify *notify_create(const char *socket, const char *watchdog_usec);

/* Takes *notify, which may be NULL, and nulls it. */
void notify_destroy(struct notify **notify);

/* Whether it is time for the next report. False if notify is NULL. */
bool notify_is_due(const struct notify *notify, int64_t now_ms);

struct notify_state {
    bool is_ready;      /* READY=1, once */
    bool is_alive;      /* WATCHDOG=1, each time */
    bool is_stopping;   /* STOPPING=1, once */
    const char *status; /* STATUS=, when it changes; one line */
};

/* Sends what is new. Borrows state. Does nothing if notify is NULL. */
void notify_report(struct notify *notify, const struct notify_state *state, int64_t now_ms);

/* The configuration is being read again: RELOADING=1. The next report ends that by READY=1 in any
 * state. Does nothing before the first READY=1. */
void notify_reload(struct notify *notify);

#endif
