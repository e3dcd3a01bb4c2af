/* redis_link: one connection to the master of Redis that comes back by itself, perhaps to another
 * server.
 *
 * Place:    under redis_store.
 * Threads:  one owner.
 * Owns:     the connection. Replies are the caller's.
 * Limits:   512 MB a reply.
 * Waits:    each call at most timeout_ms for connecting, sending and each whole reply, and 1 s to
 *           find the master.
 */
#ifndef EDGE_REDIS_LINK_H
#define EDGE_REDIS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/setting.h"
#include "edge/redis_reply.h"

struct secret;

/* [redis], except what other modules have there */
struct redis_settings {
    char *url;             /* may hold a password: show redis_link_name instead */
    char *prefix;          /* of all keys */
    char *url_file;        /* that holds the url, NULL: none; read again at each connection */
    struct secret *latest; /* the url as last reloaded, for when it has no file; NULL: it has not */
    int timeout_ms;
    int min_replicas;                        /* that must have a checkpoint (WAIT); 0: none */
    char *sentinel_user, *sentinel_password; /* these and the following: "" or NULL is none */
    char *sentinel_password_file;            /* as url_file */
    struct secret *sentinel_latest;          /* as latest */
    char *ca_file, *cert_file, *key_file;
    struct redis_master *master; /* that the links of a process share; NULL: each has its own */
};

extern const struct setting redis_setting_table[];

struct redis_link;
struct redis_master;
struct redis_command;

/* Parses redis.url, whose forms redis_setting_table has; user and password may be percent-encoded.
 * A user without a password logs in with an empty one. Connects to nothing yet. NULL with an error
 * if the URL is none of these, or the settings contradict each other. Borrows settings; keeps
 * settings->master.
 *
 * With a url_file, each new connection takes the user and password that the file holds by then;
 * else those of `latest`, which it keeps. After redis_master_renew such a new connection takes the
 * place of an open one, if it can be opened. */
struct redis_link *redis_link_create(const struct redis_settings *settings, struct error *error);
void redis_link_destroy(struct redis_link **link);

/* Closes the connection: the next redis_link_open connects again, perhaps to another server. */
void redis_link_close(struct redis_link *link);

/* Where it leads, without secrets: for messages. Lives as long as the link; another master changes
 * what it says. */
const char *redis_link_name(const struct redis_link *link);

/* Whether both URLs lead to one place, whatever their user and password. Borrows both. */
bool redis_link_is_same_place(const struct redis_link *one, const struct redis_link *other);

/* True if connected to the master, authenticated and in the right database, now or after trying
 * once. Leaves a server that has answered that it is not the one to talk to (READONLY, MASTERDOWN,
 * MOVED, ASK, CLUSTERDOWN), or that the Sentinels or the cluster no longer name. */
bool redis_link_open(struct redis_link *link, struct error *error);

/* Whether redis.url leads to a cluster, in which keys may move. */
bool redis_link_is_cluster(const struct redis_link *link);

/* What finds the server for it; lives as long as the link. */
struct redis_master *redis_link_master(const struct redis_link *link);

/* Whether another server than the one of the last attempt is known to be the one to talk to. */
bool redis_link_is_redirected(const struct redis_link *link);

/* Which connection it is; rises with each that was opened. */
unsigned redis_link_serial(const struct redis_link *link);

/* True if the last attempt to open it failed for the user, password, rights (REDIS_FAULT_SETUP) or
 * certificate. */
bool redis_link_is_refused(const struct redis_link *link);

/* Sends a command without waiting for its reply; out of memory, the connection is closed. Borrows
 * command. */
bool redis_link_send(struct redis_link *link, const struct redis_command *command,
                     struct error *error);

/* The next reply in the order of sending; NULL and error if the connection broke, and is closed. */
struct redis_reply *redis_link_receive(struct redis_link *link, struct error *error);

/* Sends a command and receives its reply; NULL and error as above. */
struct redis_reply *redis_link_exchange(struct redis_link *link,
                                        const struct redis_command *command, struct error *error);

/* One command and its reply, as above. A space of the format ends a word; one in a %s does not. */
struct redis_reply *redis_link_call(struct redis_link *link, struct error *error,
                                    const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Writes what INFO has of a field, named with its colon, cut to out_bytes. False if it has not. */
bool redis_link_info(struct redis_link *link, const char *field, char *out, size_t out_bytes,
                     struct error *error);

/* The wall time by the clock of Redis; -1 if it answers, and does not tell. False: no answer. */
bool redis_link_clock(struct redis_link *link, int64_t *now_ms, struct error *error);

#endif
