/* file: small files as text: settings and secrets.
 *
 * Threads:  any.
 * Owns:     nothing: what is read is the caller's.
 * Limits:   FILE_SECRET_BYTES a secret.
 * Waits:    FILE_WAIT_MS, if it is a pipe.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

struct error;

enum { FILE_SECRET_BYTES = 64 * 1024, FILE_WAIT_MS = 5000 };

/* A whole file as a C string, which the caller frees. NULL with an error. Borrows path. */
char *file_read(const char *path, size_t max_bytes, struct error *error);

/* The secret that is all a file holds, as file_clean leaves it; the caller frees it. NULL with an
 * error, also if nothing is left. Borrows path. */
char *file_read_secret(const char *path, struct error *error);

/* A number that is another one, almost certainly, once the file's content is; that of an empty file
 * if it cannot be read. `seed` goes into it: the number of what comes before. Borrows path. */
uint64_t file_digest(const char *path, uint64_t seed);

/* The same of a text. Borrows it. */
uint64_t file_digest_text(const char *text, uint64_t seed);

/* Cuts off a text, in place, what editors, shells and mounted secrets add to a value: a byte order
 * mark of UTF-8 in front, line breaks at the end. */
void file_clean(char *text);

#endif
