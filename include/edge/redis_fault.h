/* redis_fault: what an error reply of Redis means, and how to fix it.
 *
 * Place:    under redis_store and redis_snapshot.
 * Threads:  any.
 */
#ifndef EDGE_REDIS_FAULT_H
#define EDGE_REDIS_FAULT_H

#include "base/error.h"

enum redis_fault {
    REDIS_FAULT_PASSING, /* may end by itself: the same again, later */
    REDIS_FAULT_REPLICA, /* not the one to talk to: the same again, on a new connection */
    REDIS_FAULT_SETUP,   /* Redis or redis.url must be set up differently: a reason not to start */
    REDIS_FAULT_DATA,    /* what is stored is not what rollcall writes */
};

/* "+ping +select ...": the commands that rollcall's Redis user needs, as ACL SETUSER has them. */
const char *redis_fault_rights(void);

/* Judges the text of an error reply and describes it, with the fix. `where` is the connection's
 * name, `prefix` redis.prefix. Borrows all. */
enum redis_fault redis_fault_judge(const char *text, const char *where, const char *prefix,
                                   struct error *error);

#endif
