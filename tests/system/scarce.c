/* For LD_PRELOAD: makes one allocation of a process fail, or that one and all later ones. Only
 * calls from the program and the libraries below are counted and can fail. Calls from other
 * libraries always succeed: librdkafka would abort with an assertion, OpenSSL would crash, and
 * hiredis before 1.0 would do either without a message.
 *
 * SCARCE_WORD    affects only a process whose first argument is this ("run")
 * SCARCE_AT      number of the call that fails, from 1; 0: none
 * SCARCE_FOREVER "1": all later calls fail too
 * SCARCE_LATER   "1": calls are counted only from SIGUSR2 on
 * SCARCE_REPORT  file to append to: "failed\n" at the failing call, and the call count at exit
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* glibc's functions behind the names that this file replaces */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static const char *const libraries[] = {"/libc.so", "/libjansson", "/libhiredis.so.1", "/liburcu"};

enum { SPANS_MAX = 64 };

static struct span { uintptr_t begin, end; } spans[SPANS_MAX];
static int span_count;
static atomic_bool is_on;
static bool is_forever;
static long fails_at;
static atomic_long call_count;
static const char *report_path;

static void report(const char *text) {
    const int file = open(report_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0 || write(file, text, strlen(text)) < 0) _exit(99);
    close(file);
}

static int note_object(struct dl_phdr_info *info, size_t bytes, void *unused) {
    (void)bytes;
    (void)unused;
    bool is_wanted = info->dlpi_name[0] == '\0'; /* the program itself */
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++)
        is_wanted |= strstr(info->dlpi_name, libraries[i]) != NULL;
    for (int i = 0; is_wanted && i < info->dlpi_phnum && span_count < SPANS_MAX; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_X) == 0) continue;
        const uintptr_t begin = info->dlpi_addr + segment->p_vaddr;
        spans[span_count++] = (struct span){begin, begin + segment->p_memsz};
    }
    return 0;
}

static void turn_on(int signal_number) {
    (void)signal_number;
    atomic_store(&is_on, true);
}

__attribute__((constructor)) static void begin(int argc, char **argv) {
    const char *word = getenv("SCARCE_WORD");
    const char *at = getenv("SCARCE_AT");
    const char *forever = getenv("SCARCE_FOREVER");
    const char *later = getenv("SCARCE_LATER");
    report_path = getenv("SCARCE_REPORT");
    if (word == NULL || at == NULL || report_path == NULL || argc < 2) return;
    if (strcmp(argv[1], word) != 0) return;
    dl_iterate_phdr(note_object, NULL);
    fails_at = strtol(at, NULL, 10);
    is_forever = forever != NULL && *forever == '1';
    if (later != NULL && *later == '1')
        signal(SIGUSR2, turn_on);
    else
        turn_on(0);
}

__attribute__((destructor)) static void end(void) {
    if (!is_on) return;
    is_on = false;
    char text[32];
    snprintf(text, sizeof text, "%ld\n", atomic_load(&call_count));
    report(text);
}

static bool is_counted(uintptr_t caller) {
    for (int i = 0; i < span_count; i++) {
        if (caller >= spans[i].begin && caller < spans[i].end) return true;
    }
    return false;
}

static bool fails(const void *caller) {
    if (!is_on || !is_counted((uintptr_t)caller)) return false;
    const long call = atomic_fetch_add(&call_count, 1) + 1;
    if (call != fails_at && !(is_forever && fails_at > 0 && call > fails_at)) return false;
    if (call == fails_at) report("failed\n");
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    return fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    if (fails(__builtin_return_address(0))) return ENOMEM;
    *memory = __libc_memalign(alignment, bytes);
    return *memory == NULL ? ENOMEM : 0;
}

/* Replaced too, because the C library's own would allocate with the C library as the caller. */
char *strdup(const char *text) {
    const size_t bytes = strlen(text) + 1;
    char *copy = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(bytes);
    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

char *strndup(const char *text, size_t max) {
    const size_t length = strnlen(text, max);
    char *copy = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(length + 1);
    if (copy == NULL) return NULL;
    copy[length] = '\0';
    return memcpy(copy, text, length);
}
