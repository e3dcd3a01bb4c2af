/* redis_link: one connection to Redis that comes back by itself.
 *
 * Place:    under redis_store.
 * Threads:  one owner.
 * Owns:     the connection; a broken one is freed at once and never used again (hiredis keeps its
 *           error for good).
 * Limits:   REDIS_LINK_REPLY_BYTES a reply.
 * Waits:    each call at most timeout_ms for connecting, sending and each whole reply.
 */
#ifndef EDGE_REDIS_LINK_H
#define EDGE_REDIS_LINK_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/setting.h"
#include "edge/redis_command.h"

/* [redis], but for what other modules have there */
struct redis_settings {
    char *url;    /* holds a password, perhaps: show redis_link_name of it */
    char *prefix; /* of all keys */
    int timeout_ms;
};

extern const struct setting redis_setting_table[];

enum { REDIS_LINK_REPLY_BYTES = 1 << 29 };

struct redis_link;

/* Parses redis://[user[:password]@]host[:port][/db], rediss:// (TLS) or unix:///path[?db=N]; user and
 * password may be percent-encoded. Connects to nothing yet. NULL and error if the URL is not one of
 * these. Borrows url. */
struct redis_link *redis_link_create(const char *url, int timeout_ms, struct error *error);
void redis_link_destroy(struct redis_link **link);

/* Closes the connection: the next call connects anew, perhaps to another server. */
void redis_link_close(struct redis_link *link);

/* Where it leads, without secrets: for messages. Lives as long as the link. */
const char *redis_link_name(const struct redis_link *link);

/* True if connected, authenticated and in the right database, now or after trying once. */
bool redis_link_open(struct redis_link *link, struct error *error);

/* True if the last attempt to open it came to nothing because Redis wants another user, password or
 * right (REDIS_FAULT_SETUP), or its certificate is not the right one. */
bool redis_link_is_refused(const struct redis_link *link);

/* Sends a command without waiting for its reply; out of memory, the connection is closed. Borrows
 * command. */
bool redis_link_send(struct redis_link *link, struct redis_command *command, struct error *error);

/* The next reply in the order of sending, which the caller frees with freeReplyObject; NULL and error
 * if the connection broke (it is closed then). */
redisReply *redis_link_receive(struct redis_link *link, struct error *error);

/* One command and its reply, as above. A space of the format ends a word, one that is put in does
 * not. */
redisReply *redis_link_call(struct redis_link *link, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes what INFO says of a field, named with its colon, cut to out_bytes. False if it does not. */
bool redis_link_info(struct redis_link *link, const char *field, char *out, size_t out_bytes,
                     struct error *error);

#endif
