/* redis_link: one connection to Redis that comes back by itself, and the replies it receives.
 *
 * Place:    under redis_store.
 * Threads:  one owner.
 * Owns:     the connection; a broken one is freed at once and never used again (hiredis never
 *           clears its error). Replies are the caller's.
 * Limits:   REDIS_LINK_REPLY_BYTES a reply.
 * Waits:    each call at most timeout_ms for connecting, sending and each whole reply.
 */
#ifndef EDGE_REDIS_LINK_H
#define EDGE_REDIS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/setting.h"
#include "base/slice.h"

/* [redis], except what other modules have there */
struct redis_settings {
    char *url;      /* may hold a password: show redis_link_name instead */
    char *prefix;   /* of all keys */
    char *url_file; /* that holds the url, NULL: none; read again at each connection */
    int timeout_ms;
};

extern const struct setting redis_setting_table[];

enum { REDIS_LINK_REPLY_BYTES = 1 << 29 };

struct redis_link;
struct redis_command;

/* Parses redis://[user[:password]@]host[:port][/db], rediss:// (TLS) or
 * unix://[user[:password]@]/path[?db=N]; user and password may be percent-encoded. A user without a
 * password logs in with an empty one. Connects to nothing yet. NULL with an error if the URL is
 * not one of these. Borrows settings.
 *
 * With a url_file, each new connection takes the user and password that the file holds by then. */
struct redis_link *redis_link_create(const struct redis_settings *settings, struct error *error);
void redis_link_destroy(struct redis_link **link);

/* Closes the connection: the next call connects again, perhaps to another server. */
void redis_link_close(struct redis_link *link);

/* Where it leads, without secrets: for messages. Lives as long as the link. */
const char *redis_link_name(const struct redis_link *link);

/* True if connected, authenticated and in the right database, now or after trying once. */
bool redis_link_open(struct redis_link *link, struct error *error);

/* True if the last attempt to open it failed for the user, password, rights (REDIS_FAULT_SETUP) or
 * certificate. */
bool redis_link_is_refused(const struct redis_link *link);

/* Sends a command without waiting for its reply; out of memory, the connection is closed. Borrows
 * command. */
bool redis_link_send(struct redis_link *link, const struct redis_command *command,
                     struct error *error);

/* What Redis answered. A struct redis_reply is never defined: it is hiredis' own. */
struct redis_reply;

enum redis_reply_kind { /* with hiredis' values; others are nothing that rollcall asks for */
                        REDIS_TEXT = 1,
                        REDIS_LIST,
                        REDIS_INTEGER,
                        REDIS_NIL,
                        REDIS_STATUS, /* "OK" */
                        REDIS_ERROR,
};

/* The next reply in the order of sending; NULL and error if the connection broke, and is closed. */
struct redis_reply *redis_link_receive(struct redis_link *link, struct error *error);

/* One command and its reply, as above. A space of the format ends a word; one in a %s does not. */
struct redis_reply *redis_link_call(struct redis_link *link, struct error *error,
                                    const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Takes *reply, which may be NULL, and nulls it. */
void redis_reply_destroy(struct redis_reply **reply);

enum redis_reply_kind redis_reply_kind(const struct redis_reply *reply);

/* Of a text, status or error: its bytes, followed by a NUL; else "". Live as long as the reply. */
struct slice redis_reply_text(const struct redis_reply *reply);

/* Of an integer; else 0. */
int64_t redis_reply_integer(const struct redis_reply *reply);

/* Of a list: how many elements it has; else 0. Each lives as long as the list. */
size_t redis_reply_count(const struct redis_reply *reply);
const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t index);

/* Whether it is a list of nothing but texts, whose count is a multiple of this. */
bool redis_reply_is_texts(const struct redis_reply *reply, size_t multiple);

/* Writes what INFO has of a field, named with its colon, cut to out_bytes. False if it has not. */
bool redis_link_info(struct redis_link *link, const char *field, char *out, size_t out_bytes,
                     struct error *error);

#endif
