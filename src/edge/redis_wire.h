/* redis_wire: one connection to one server, and the commands and replies on it.
 *
 * Place:    under redis_link, redis_sentinel and redis_cluster, which know where to connect.
 * Threads:  one owner.
 * Owns:     the connection; a broken one is freed at once and never used again (hiredis never
 *           clears its error). Replies are the caller's.
 * Limits:   REDIS_WIRE_REPLY_BYTES a reply.
 * Waits:    redis_wire_open until its deadline; each reply timeout_ms.
 */
#ifndef EDGE_REDIS_WIRE_H
#define EDGE_REDIS_WIRE_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "edge/redis_reply.h"
#include "redis_tls.h"
#include "redis_url.h"

enum { REDIS_WIRE_REPLY_BYTES = 1 << 29 };

struct redisContext;
struct redis_command;

struct redis_wire { /* all zero is closed */
    struct redisContext *context;
    int timeout_ms;
    char name[REDIS_NAME_BYTES]; /* for messages */
    bool is_refused;             /* the last attempt to open it failed for the user, password,
                                    rights (REDIS_FAULT_SETUP) or certificate */
    /* A wait for a reply ends when *turn is not `seen` any more. NULL: it does not. */
    const atomic_uint *turn;
    unsigned seen;
};

/* Where, and as whom. Borrowed. */
struct redis_wire_target {
    const struct redis_address *address; /* NULL: path */
    const char *path;
    const char *user, *password; /* NULL: none; a user without a password has an empty one */
    struct redis_tls *tls;       /* NULL: none */
};

/* Connects and logs in, on a closed wire whose timeout_ms and name are set. False, and closed, if
 * that fails. */
bool redis_wire_open(struct redis_wire *wire, const struct redis_wire_target *target,
                     int64_t until_ms, struct error *error);
void redis_wire_close(struct redis_wire *wire);

/* Sends a command without waiting for its reply; out of memory, it is closed. Borrows command. */
bool redis_wire_send(struct redis_wire *wire, const struct redis_command *command,
                     struct error *error);

/* The same, for printf's words; a space of the format ends a word, one in a %s does not. */
bool redis_wire_put(struct redis_wire *wire, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool redis_wire_vput(struct redis_wire *wire, struct error *error, const char *format,
                     va_list args);

/* The next reply in the order of sending; NULL and error if the connection broke, and is closed. */
struct redis_reply *redis_wire_receive(struct redis_wire *wire, struct error *error);

/* The file descriptor to poll, -1 if closed. What it has sent before is on its way by then. */
int redis_wire_fd(struct redis_wire *wire);

/* Reads what has arrived, once, and returns the first reply of it, or NULL; closed if it broke. */
struct redis_reply *redis_wire_hear(struct redis_wire *wire, bool must_read);

/* Takes a reply of which only a status is good. False, and closed, for any other. */
bool redis_wire_is_status(struct redis_wire *wire, struct redis_reply *reply, struct error *error);

#endif
