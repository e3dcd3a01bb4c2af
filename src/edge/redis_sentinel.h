/* redis_sentinel: where the Sentinels say that the master is.
 *
 * Place:    under redis_master.
 * Threads:  create, destroy from the owner's; find from any number at once. Each Sentinel has a
 *           thread ("sentinel-N"), which starts with the first find.
 * Owns:     its threads, and two connections to each Sentinel: one that asks, one that listens for
 *           +switch-master. Keeps what is passed to create.
 * Limits:   REDIS_HOSTS_MAX Sentinels; each is asked at each find, at +switch-master, and every
 *           SENTINEL_POLL_MS.
 * Waits:    find, until all have answered or failed, SENTINEL_ASK_MS at most; the threads, for each
 *           step of a connection as long.
 *
 * I1  The configuration epoch of the master that is followed never falls: an answer below the
 *     highest one ever seen counts for nothing, even if it is the only one.
 * I2  `turn` changes when the master does.
 */
#ifndef EDGE_REDIS_SENTINEL_H
#define EDGE_REDIS_SENTINEL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "edge/redis_link.h"
#include "redis_tls.h"
#include "redis_url.h"

enum { SENTINEL_POLL_MS = 10000, SENTINEL_ASK_MS = 1000 };

struct redis_sentinel;

/* For the Sentinels and the master's name in url, with the settings' user and password of the
 * Sentinels; the password is read again for each connection. tls may be NULL. Connects to nothing
 * yet. Keeps all. */
struct redis_sentinel *redis_sentinel_create(const struct redis_url *url,
                                             const struct redis_settings *settings,
                                             struct redis_tls *tls);
void redis_sentinel_destroy(struct redis_sentinel **sentinel);

/* Asks all. The master, as the answer of the highest epoch has it, and the turn in which it is.
 * False if none is known, with *is_refused if the Sentinels reject the user or know no such
 * master. */
bool redis_sentinel_find(struct redis_sentinel *sentinel, struct redis_address *master,
                         unsigned *turn, bool *is_refused, struct error *error);

/* All connections are closed and opened again. */
void redis_sentinel_renew(struct redis_sentinel *sentinel);

const atomic_uint *redis_sentinel_turn(const struct redis_sentinel *sentinel);

#endif
