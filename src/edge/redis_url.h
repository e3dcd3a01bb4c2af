/* redis_url: where redis.url leads, taken apart.
 *
 * Place:    under redis_master and redis_link.
 * Threads:  any; a struct redis_url belongs to one at a time.
 * Owns:     its texts, until redis_url_release.
 * Limits:   REDIS_HOSTS_MAX Sentinels or nodes.
 */
#ifndef EDGE_REDIS_URL_H
#define EDGE_REDIS_URL_H

#include <stdbool.h>

#include "base/error.h"

enum { REDIS_HOSTS_MAX = 16, REDIS_HOST_BYTES = 256, REDIS_NAME_BYTES = 300 };

struct redis_address {
    char host[REDIS_HOST_BYTES]; /* a name, or an IP address without brackets */
    int port;
};

enum redis_url_kind {
    REDIS_URL_HOST,     /* hosts[0] is Redis */
    REDIS_URL_PATH,     /* a unix socket */
    REDIS_URL_SENTINEL, /* hosts are Sentinels, which know where `master` is */
    REDIS_URL_CLUSTER,  /* hosts are nodes of a cluster */
};

struct redis_url { /* all zero is empty */
    enum redis_url_kind kind;
    bool is_tls;
    char *user, *password; /* of Redis itself, never of a Sentinel; NULL: none */
    char *path;            /* REDIS_URL_PATH */
    char *master;          /* REDIS_URL_SENTINEL */
    struct redis_address hosts[REDIS_HOSTS_MAX];
    int host_count;
    int database;
    char name[REDIS_NAME_BYTES]; /* for messages: without secrets */
};

/* Fills an empty one. False: the error says how redis.url is written; release it all the same. */
bool redis_url_parse(struct redis_url *url, const char *text, struct error *error);
void redis_url_release(struct redis_url *url);

/* Writes "host:port", with brackets around an IPv6 address. */
void redis_address_show(const struct redis_address *address, char out[REDIS_HOST_BYTES + 16]);

/* Parses what Redis calls an address, "host:port"; the last colon counts, and the host may be
 * empty. Borrows text, which may continue behind `length` bytes. */
bool redis_address_parse(struct redis_address *address, const char *text, int length);

#endif
