/* text: bytes that grow at their end, for pages and answers that are built piece by piece.
 *
 * Threads:  a struct text belongs to one thread at a time.
 * Owns:     its bytes, until text_release.
 * Limits:   TEXT_BYTES_MAX.
 *
 * I1  When memory runs out, or the limit is met, is_broken is set and nothing is added any more:
 *     one look at the end is enough.
 * I2  bytes is NULL, or ends in a NUL that length does not count.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum { TEXT_BYTES_MAX = 256 * 1024 * 1024 };

struct text { /* all zero is an empty text */
    char *bytes;
    size_t length;
    size_t capacity;
    bool is_fixed; /* bytes are the caller's, and do not grow */
    bool is_broken;
};

/* An empty text in a buffer of the caller, which it keeps; it needs no text_release. */
struct text text_within(char *buffer, size_t capacity);

/* They add at the end, and borrow what they add, which is not the text itself. */
void text_add_bytes(struct text *text, const void *bytes, size_t length);
void text_add(struct text *text, const char *string);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds a JSON string, in its quotes and escaped. Borrows bytes, which are UTF-8; if they are not,
 * neither is what is added. */
void text_add_json(struct text *text, const char *bytes, size_t length);

/* The text as a C string, "" when there is none. Good until the text changes. */
const char *text_string(const struct text *text);

/* Empties it, clears is_broken, keeps the memory. */
void text_clear(struct text *text);

/* Cuts white space off both ends of a C string, in place. */
char *text_trim(char *string);

/* Frees its memory; an empty text is left. */
void text_release(struct text *text);

#endif
