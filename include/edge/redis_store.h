/* redis_store: the counts in Redis, and the counted watermark that moves with them.
 *
 * Place:    the end of the flow: CHECKPOINT applies calls here; start-up and assignment read
 *           through a store of their own.
 * Threads:  one owner for each store.
 * Owns:     one connection; borrows the calls' deltas during redis_store_apply.
 * Limits:   a call names REDIS_STORE_ANOMALIES_MAX anomalies at most; it counts all of them, and
 *           all are in Redis.
 * Waits:    redis.timeout_ms for each reply, one after the other.
 *
 * I1  A call moves the offset and adds its counts in one step of Redis, or does neither
 *     (src/edge/checkpoint.lua).
 * I2  A call may be repeated at will: only the first can find base, and until another one has found
 *     anomalies in its partition, all are told those that the first found.
 * I3  Nothing is written on a connection before its server has been found fit (redis_fitness).
 */
#ifndef EDGE_REDIS_STORE_H
#define EDGE_REDIS_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/aggregate.h"
#include "core/cursor.h"
#include "core/delta.h"
#include "edge/redis_link.h"

enum { REDIS_STORE_ANOMALIES_MAX = 64, REDIS_STORE_SCHEMA = 1 };

enum store_verdict {
    STORE_OK,
    STORE_RETRY,   /* Redis is unreachable or busy: the same again, later */
    STORE_REFUSED, /* only the user can fix it; the error describes how */
};

struct redis_store_options {
    const struct redis_settings *redis;
    const struct aggregates *aggregates;
    const char *group;
    const char *topic;
    const char *topic_id; /* "" if not known */
    const char *rules;    /* of core/rules; NULL: not compared */
    const char *instance; /* instance.id: a call that is repeated is known by it */
    const char *rebuild;  /* whose the keys must be, or a call is not stored: see redis_swap_claim;
                             NULL: they are the live ones */
};

struct redis_store;

/* Parses the URL; connects to nothing yet. Keeps what options point to. */
struct redis_store *redis_store_create(const struct redis_store_options *options,
                                       struct error *error);
void redis_store_destroy(struct redis_store **store);

/* For messages, without secrets. */
const char *redis_store_name(const struct redis_store *store);

/* Whether a call that failed should be made again at once: another server than the one it was made
 * on has become known to be the one (a redirection, a new master). */
bool redis_store_is_redirected(const struct redis_store *store);

/* Whether the last call failed by what somebody must set up differently: a right, a password. */
bool redis_store_must_be_set_up(const struct redis_store *store);

/* Checks all that could make counting wrong: reach, login, eviction policy, types of the keys,
 * rights, owner of the prefix, and the rules that its counts were made under. `warning` names what
 * could not be checked, and dimensions that come or go; or it is "". */
enum store_verdict redis_store_check(struct redis_store *store, struct error *warning,
                                     struct error *error);

/* The counted offset of each partition, or CURSOR_ABSENT. */
enum store_verdict redis_store_offsets(struct redis_store *store, const int32_t *partitions,
                                       size_t count, int64_t *offsets, struct error *error);

/* One checkpoint; see cursor_cut for base and end. */
struct store_call {
    int32_t partition;
    int64_t base;
    int64_t end;
    struct lineage_tip base_tip;
    struct lineage lineage;            /* of end */
    int64_t origin;                    /* where the group began, or CURSOR_ABSENT if not known */
    const struct delta *const *deltas; /* no key is in two of them */
    size_t delta_count;

    /* the answer */
    enum store_verdict verdict;
    int64_t stored;                /* STORE_OK: the offset that is stored now, */
    struct lineage stored_lineage; /* and its lineage */
    int64_t stored_origin; /* if it is not what was to be stored: where the group began, as kept
                              beside it, or CURSOR_ABSENT */
    size_t anomaly_count;  /* all; the first REDIS_STORE_ANOMALIES_MAX of them are in `anomalies`;
                             with STORE_RETRY too, if nothing but replicas is missing */
    struct store_anomaly {
        char minute[24]; /* YYYY-MM-DD HH:MM */
        int64_t count;
    } anomalies[REDIS_STORE_ANOMALIES_MAX];
};

/* Whether what is stored now is what the call was to store, then or by an earlier attempt. */
static inline bool store_call_is_stored(const struct store_call *call) {
    return call->verdict == STORE_OK && call->stored == call->end &&
           lineage_tip_equals(lineage_tip(&call->stored_lineage), lineage_tip(&call->lineage));
}

/* Sends all calls, then reads all answers: one round trip, and a few more for a call whose script
 * Redis does not know, or that pushes days out. Each call has its own verdict; `error` is about the
 * first that is STORE_REFUSED, or else the first that is STORE_RETRY. */
void redis_store_apply(struct redis_store *store, struct store_call *calls, size_t count,
                       struct error *error);

#endif
