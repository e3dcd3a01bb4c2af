#include "base/memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/log.h"

static void *never_null(void *memory) {
    if (memory != NULL) return memory;
    log_error("Out of memory: ending at once; lower instance.memory_mb, or give more");
    abort();
}

void memory_keep_freed(void) {
    /* NOLINTBEGIN(concurrency-mt-unsafe): main calls this before there is a second thread */
    mallopt(M_MMAP_THRESHOLD, 32 << 20); /* the largest that glibc takes */
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    /* NOLINTEND(concurrency-mt-unsafe) */
}

void memory_keep_private(void) {
    prctl(PR_SET_DUMPABLE, 0);
}

void *memory_create(size_t bytes) {
    const size_t rounded = (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    return memset(never_null(aligned_alloc(CACHE_LINE_BYTES, rounded)), 0, rounded);
}

void *memory_grow(void *memory, size_t bytes) {
    return never_null(realloc(memory, bytes));
}

char *memory_text(const char *text) {
    return never_null(strdup(text));
}
