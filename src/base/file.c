/* A name may lead to a pipe, as the shell's <(...) does. One that nobody writes to would be waited
 * for without an end, so files are opened without blocking, and waited for up to a deadline. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"

static int open_file(const char *path) {
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* Reads to the end, or to max_bytes; -1 with errno. A pipe that nobody has opened to write looks as
 * if it had ended: it has not before something came. */
static ssize_t read_all(int fd, char *bytes, size_t max_bytes) {
    const int64_t until_ms = clock_ms() + FILE_WAIT_MS;
    size_t count = 0;
    while (count < max_bytes) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        const int64_t left_ms = clamp(until_ms - clock_ms(), 0, FILE_WAIT_MS);
        const int found = poll(&ready, 1, (int)left_ms);
        if (found == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (found < 0 && errno == EINTR) continue;
        const ssize_t got = read(fd, bytes + count, max_bytes - count);
        if (got == 0) break;
        if (got < 0 && errno != EAGAIN && errno != EINTR) return -1;
        if (got > 0) count += (size_t)got;
    }
    return (ssize_t)count;
}

static bool is_utf16(const char *bytes) {
    return memcmp(bytes, "\xFF\xFE", 2) == 0 || memcmp(bytes, "\xFE\xFF", 2) == 0;
}

char *file_read(const char *path, size_t max_bytes, struct error *error) {
    const int fd = open_file(path);
    char *bytes = memory_grow(NULL, max_bytes + 2);
    const ssize_t got = fd < 0 ? -1 : read_all(fd, bytes, max_bytes + 1);
    const size_t count = got < 0 ? 0 : (size_t)got;
    bool is_right = got >= 0;
    bytes[count] = '\0';
    if (!is_right && errno == ETIMEDOUT)
        error_set(error, "cannot read %s: it is a pipe, and nothing came within %d s", path,
                  FILE_WAIT_MS / 1000);
    else if (!is_right)
        error_set(error, "cannot read %s: %m", path);
    else if (count > max_bytes)
        is_right = error_set(error, "%s is longer than %zu bytes", path, max_bytes);
    else if (count >= 2 && is_utf16(bytes))
        is_right = error_set(error, "%s is in UTF-16; save it as UTF-8", path);
    else if (strlen(bytes) != count)
        is_right = error_set(error, "%s holds a NUL byte", path);
    if (fd >= 0) close(fd);
    if (is_right) return bytes;
    free(bytes);
    return NULL;
}

void file_clean(char *text) {
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    size_t length = strlen(text);
    if (strncmp(text, byte_order_mark, 3) == 0) memmove(text, text + 3, (length -= 3) + 1);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        text[--length] = '\0';
}

/* FNV-1a. */
static uint64_t mix(uint64_t digest, const char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        digest = (digest ^ (unsigned char)bytes[i]) * 0x100000001b3;
    return (digest ^ count) * 0x100000001b3;
}

uint64_t file_digest(const char *path, uint64_t seed) {
    char block[4096];
    ssize_t count;
    const int fd = open_file(path);
    if (fd < 0) return mix(seed, "", 0);
    while ((count = read(fd, block, sizeof block)) > 0)
        seed = mix(seed, block, (size_t)count);
    close(fd);
    explicit_bzero(block, sizeof block);
    return mix(seed, "", 0);
}

uint64_t file_digest_text(const char *text, uint64_t seed) {
    return mix(seed, text, strlen(text));
}

char *file_read_secret(const char *path, struct error *error) {
    char *secret = file_read(path, FILE_SECRET_BYTES, error);
    if (secret == NULL) return NULL;
    file_clean(secret);
    if (*secret != '\0') return secret;
    free(secret);
    error_set(error, "%s is empty", path);
    return NULL;
}
