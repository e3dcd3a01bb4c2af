#include "base/file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

static bool is_utf16(const char *bytes) {
    return memcmp(bytes, "\xFF\xFE", 2) == 0 || memcmp(bytes, "\xFE\xFF", 2) == 0;
}

char *file_read(const char *path, size_t max_bytes, struct error *error) {
    FILE *file = fopen(path, "re");
    char *bytes = memory_grow(NULL, max_bytes + 2);
    const size_t count = file == NULL ? 0 : fread(bytes, 1, max_bytes + 1, file);
    bool is_right = file != NULL && !ferror(file);
    bytes[count] = '\0';
    if (!is_right)
        error_set(error, "cannot read %s: %m", path);
    else if (count > max_bytes)
        is_right = error_set(error, "%s is longer than %zu bytes", path, max_bytes);
    else if (count >= 2 && is_utf16(bytes))
        is_right = error_set(error, "%s is in UTF-16; save it as UTF-8", path);
    else if (strlen(bytes) != count)
        is_right = error_set(error, "%s holds a NUL byte", path);
    if (file != NULL) fclose(file);
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
    size_t count;
    FILE *file = fopen(path, "re");
    if (file == NULL) return mix(seed, "", 0);
    while ((count = fread(block, 1, sizeof block, file)) > 0)
        seed = mix(seed, block, count);
    fclose(file);
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
