/* redis_master: who the master is now, for every form of redis.url.
 *
 * Place:    under redis_link. The links of a process share one (settings.master), so that none goes
 *           back to what another has left.
 * Threads:  create and destroy from the owner's, when no link uses it, and renew; the rest from
 *           any.
 * Owns:     what knows the master: the Sentinels' threads, or the map of a cluster.
 * Waits:    redis_master_find alone: SENTINEL_ASK_MS, or twice CLUSTER_ASK_MS.
 */
#ifndef EDGE_REDIS_MASTER_H
#define EDGE_REDIS_MASTER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "edge/redis_link.h"

struct redis_master;
struct redis_address;
struct redis_tls;
struct redis_url;

/* Parses settings->url and reads the files of TLS; connects to nothing yet. NULL with an error if
 * they cannot be used. Borrows settings; keeps the texts and secrets in it. */
struct redis_master *redis_master_create(const struct redis_settings *settings,
                                         struct error *error);
void redis_master_destroy(struct redis_master **master);

/* Where to connect now; means nothing with a unix socket. User and password (NULL: none) are for
 * the nodes of a cluster. False: that is not known at present, with *is_refused if the user must
 * change something. Borrows all. */
bool redis_master_find(struct redis_master *master, const char *user, const char *password,
                       struct redis_address *address, unsigned *turn, bool *is_refused,
                       struct error *error);

/* A node of the cluster has answered that the keys are at another address: the next one to be
 * found, unless much time passes before. Borrows address. */
void redis_master_moved(struct redis_master *master, const struct redis_address *address);

/* After a reload: passwords and certificates are read again, and if any is another one, links and
 * Sentinels change to new connections. True if it is a certificate. */
bool redis_master_renew(struct redis_master *master);

/* Rises with each time that they were others. */
unsigned redis_master_renewal(const struct redis_master *master);

/* The turn of the present master: it differs from that of redis_master_find once there is another
 * one. NULL: there is never another one. */
const atomic_uint *redis_master_turn(const struct redis_master *master);

/* As parsed. */
const struct redis_url *redis_master_url(const struct redis_master *master);
/* NULL: no TLS. */
struct redis_tls *redis_master_tls(const struct redis_master *master);

#endif
