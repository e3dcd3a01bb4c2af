/* error: one sentence for the user, passed up to the place that prints it.
 *
 * Threads:  a struct error belongs to the caller; no sharing.
 * Limits:   ERROR_BYTES a message; a longer one is cut.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

enum { ERROR_BYTES = 1024 };

struct error {
    char text[ERROR_BYTES];
};

/* Formats the message (%m is errno in words): what failed, with which value, and the fix. Always
 * returns false, so that a failing function can `return error_set(error, ...)`. Borrows error,
 * which may be NULL. */
bool error_set(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
