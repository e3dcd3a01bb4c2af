/* Pieces lie one after another, each behind a head with its size. Heads are poisoned like
 * everything outside the pieces. Only two functions here access them, without ASan's checks. */
#include "arena.h"

#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define UNWATCHED __attribute__((no_sanitize("address"), noinline))

#if !__has_feature(address_sanitizer)
#define __asan_address_is_poisoned(piece) ((void)(piece), false)
#endif

struct head {
    _Alignas(16) size_t bytes;
};

static struct head memory[ARENA_BYTES / sizeof(struct head)];
static size_t used, piece_count; /* used: in units of struct head */

static void fail(const char *what) {
    fprintf(stderr, "arena: %s\n", what);
    abort();
}

static __attribute__((constructor)) void poison(void) {
    ASAN_POISON_MEMORY_REGION(memory, sizeof memory);
}

UNWATCHED void *arena_take(size_t bytes) {
    const size_t left = sizeof memory / sizeof *memory - used;
    if (bytes >= ARENA_BYTES || left < 2 + bytes / sizeof *memory) fail("out of memory");
    struct head *head = &memory[used];
    head->bytes = bytes;
    used += 1 + (bytes + sizeof *head - 1) / sizeof *head;
    piece_count++;
    ASAN_UNPOISON_MEMORY_REGION(head + 1, bytes);
    return head + 1;
}

UNWATCHED void arena_give(void *piece) {
    if (piece == NULL) return;
    if (__asan_address_is_poisoned(piece)) fail("a piece was freed twice or never allocated");
    struct head *head = (struct head *)piece - 1;
    ASAN_POISON_MEMORY_REGION(piece, head->bytes);
    piece_count--;
}

void arena_reset(void) {
    if (piece_count != 0) fail("a piece was not freed");
    used = 0;
}
