/* fence: which generations of a partition may still act on the outside.
 *
 * Place:    raised by the pipeline when a partition is given or taken, looked at by PUBLISH between
 *           fetching the group's metadata and committing with it. That order closes the gap that
 *           Kafka leaves open: it fences a commit by the group's generation, not by ownership.
 * Threads:  any.
 * Limits:   FENCE_PARTITIONS_MAX; a topic with more partitions is rejected at start.
 */
#ifndef BASE_FENCE_H
#define BASE_FENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef FENCE_PARTITIONS_MAX /* the simulation needs only a few, and is faster so */
#define FENCE_PARTITIONS_MAX 4096
#endif

enum { FENCE_STEP_BITS = 32 };

struct fence {
    atomic_uint_fast64_t lowest[FENCE_PARTITIONS_MAX];
};

/* Shuts out all generations handed out so far; answers the first of the next ones. */
static inline uint64_t fence_raise(struct fence *fence, int32_t partition) {
    return (atomic_fetch_add(&fence->lowest[partition], UINT64_C(1) << FENCE_STEP_BITS)) +
           (UINT64_C(1) << FENCE_STEP_BITS);
}

static inline bool fence_lets(const struct fence *fence, int32_t partition, uint64_t generation) {
    return generation >= atomic_load(&fence->lowest[partition]);
}

#endif
