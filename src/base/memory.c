#include "base/memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void *never_null(void *memory) {
    if (memory != NULL) return memory;
    log_error("Out of memory: ending at once; lower instance.memory_mb, or give more");
    abort();
}

void memory_keep_freed(int memory_mb) {
    /* 32 MB is the largest that glibc takes; records of 1 MB leave holes in a heap */
    mallopt(M_MMAP_THRESHOLD, memory_mb < 256 ? 512 << 10 : 32 << 20);
    mallopt(M_TRIM_THRESHOLD, memory_mb < 256 ? 8 << 20 : 64 << 20);
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
