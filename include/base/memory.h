/* memory: zeroed structs, grown arrays, copied texts. Where there is no memory the process ends,
 * with a line in the log: that costs reading again, while continuing with half of something could
 * cost a count.
 *
 * Owns:     what these return belongs to the caller, who frees it with free(3).
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

enum { CACHE_LINE_BYTES = 64 };

/* Before the first thread: glibc keeps what is freed, up to 64 MB a heap, instead of giving each
 * batch back to the kernel and faulting it in again for the next. Where there is less than 256 MB
 * it keeps 8 MB, and nothing that is larger than 512 KB: that costs time, and holds the limit. Fast
 * bins are off, so small frees coalesce at once. */
void memory_keep_freed(int memory_mb);

/* Gives what is free back to the kernel, after much was freed that is not needed again. */
void memory_give_back(void);

/* For the start of main: no core dump and no debugger of the same user sees the memory, which holds
 * passwords, also in what librdkafka, hiredis and OpenSSL allocate. (RLIMIT_CORE would not do: it
 * is ignored where cores go to a program.) */
void memory_keep_private(void);

/* Zeroed, and on a cache line of its own, for structs that two threads share. */
void *memory_create(size_t bytes);

/* realloc(3); what is new is not zeroed. */
void *memory_grow(void *memory, size_t bytes);

/* A copy of a C string. */
char *memory_text(const char *text);

/* Ends the process as those above do: for where a library has no memory. */
_Noreturn void memory_none(void);

#endif
