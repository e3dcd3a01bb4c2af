/* redis_fitness: whether a server may hold the counts, as far as a look at it shows.
 *
 * Place:    under redis_store, for each new connection: a promoted replica has settings of its own.
 * Threads:  the link's owner.
 */
#ifndef EDGE_REDIS_FITNESS_H
#define EDGE_REDIS_FITNESS_H

#include "base/error.h"
#include "edge/redis_link.h"

enum redis_fitness {
    REDIS_FIT,
    REDIS_FIT_UNKNOWN, /* it does not say; `error` names what nobody has looked at */
    REDIS_UNFIT,       /* `error` names the setting and the fix */
    REDIS_UNREACHED,   /* the connection broke */
};

/* Looks at an open link: its maxmemory-policy and version. Borrows all. */
enum redis_fitness redis_fitness_look(struct redis_link *link, struct error *error);

#endif
