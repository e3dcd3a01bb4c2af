/* memory: zeroed memory on cache-line boundaries, for structs that two threads share.
 *
 * Owns:     what memory_create answers belongs to the caller, who frees it with free(3).
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdlib.h>
#include <string.h>

#include "base/inbox.h"

/* NULL if there is no memory. */
static inline void *memory_create(size_t bytes) {
    size_t rounded = (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    void *memory = aligned_alloc(CACHE_LINE_BYTES, rounded);
    if (memory != NULL) memset(memory, 0, rounded);
    return memory;
}

#endif
