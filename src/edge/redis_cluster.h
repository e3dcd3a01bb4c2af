/* redis_cluster: which node of a cluster owns the slot of the keys under a prefix.
 *
 * Place:    under redis_master.
 * Threads:  create, destroy from the owner's; find from any number at once.
 * Owns:     the nodes that it has heard of. Keeps what is passed to create.
 * Limits:   CLUSTER_NODES_MAX nodes, those of redis.url first.
 * Waits:    find: CLUSTER_ASK_MS for a node, twice as long in all.
 */
#ifndef EDGE_REDIS_CLUSTER_H
#define EDGE_REDIS_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "redis_tls.h"
#include "redis_url.h"

enum { CLUSTER_NODES_MAX = 64, CLUSTER_ASK_MS = 1000 };

struct redis_cluster;
struct redis_reply;

/* Of a key, or of any key under a prefix that has braces: CRC16 of the text in the first braces, if
 * there is any, else of all. */
unsigned redis_cluster_slot(const char *key);

/* For the nodes in url. tls may be NULL. Connects to nothing yet. Keeps all. */
struct redis_cluster *redis_cluster_create(const struct redis_url *url, const char *prefix,
                                           struct redis_tls *tls, int timeout_ms);
void redis_cluster_destroy(struct redis_cluster **cluster);

/* Asks one node after the other (CLUSTER SLOTS), another one first each time, since the map of one
 * that is cut off may be old. A node whose user may not ask is taken for the owner: it redirects.
 * False: no node knows an owner, with *is_refused if the user must change something. Borrows
 * all. */
bool redis_cluster_find(struct redis_cluster *cluster, const char *user, const char *password,
                        struct redis_address *owner, bool *is_refused, struct error *error);

/* Reads the owner of a slot from a reply to CLUSTER SLOTS of `asked`, and up to `max` nodes; the
 * return is whether the slot has an owner with a known address. Borrows all. */
bool redis_cluster_read(const struct redis_reply *slots, unsigned slot,
                        const struct redis_address *asked, struct redis_address *owner,
                        struct redis_address *nodes, int max, int *count);

/* Parses "MOVED slot host:port" or "ASK slot host:port", said by `from`: an empty host is its own.
 * False if the address is unknown ("?"). */
bool redis_cluster_redirect(const char *text, const struct redis_address *from,
                            struct redis_address *to);

#endif
