#include "base/memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/log.h"

void memory_none(void) {
    log_error("Out of memory: ending at once; lower instance.memory_mb, or give more");
    abort();
}

static void *never_null(void *memory) {
    if (memory == NULL) memory_none();
    return memory;
}

void memory_keep_freed(int memory_mb) {
    const bool is_small = memory_mb < 256; /* records of 1 MB leave holes in a heap */
    /* NOLINTBEGIN(concurrency-mt-unsafe): called before there is a second thread */
    mallopt(M_MMAP_THRESHOLD, is_small ? 512 << 10 : 32 << 20); /* glibc takes no more */
    mallopt(M_TRIM_THRESHOLD, is_small ? 8 << 20 : 64 << 20);
    mallopt(M_MXFAST, 0);
    /* NOLINTEND(concurrency-mt-unsafe) */
}

void memory_give_back(void) {
    malloc_trim(0);
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
