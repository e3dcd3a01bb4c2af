/* text: bytes that grow at their end, for pages and answers that are built piece by piece.
 *
 * Threads:  a struct text belongs to one thread at a time.
 * Owns:     its bytes, until text_release.
 * Limits:   TEXT_BYTES_MAX; none for a text that passes its bytes on.
 * Waits:    as long as text_pass does.
 *
 * I1  When memory runs out, or the limit is met, is_broken is set and nothing is added any more:
 *     one look at the end is enough.
 * I2  bytes is NULL, or ends in a NUL that length does not count.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_BYTES_MAX = 256 * 1024 * 1024 };

/* Takes the bytes that a text passes on, and borrows them; false: nobody wants any more. */
typedef bool text_pass(void *context, const char *bytes, size_t length);

struct text { /* all zero is an empty text */
    char *bytes;
    size_t length;
    size_t capacity;
    bool is_fixed; /* bytes are the caller's, and do not grow */
    bool is_broken;
    text_pass *pass;       /* NULL: the bytes stay here */
    void *context;         /* of pass */
    uint64_t passed_bytes; /* so far */
};

/* An empty text in a buffer of the caller, which it keeps; it needs no text_release. */
struct text text_within(char *buffer, size_t capacity);

/* The same, but with no end: whenever the buffer is full, its bytes are passed on, and it is empty
 * again. One text_format, or one text_add_json's escape, must fit in the buffer. Where pass answers
 * false, the text is broken. Keeps context. */
struct text text_through(char *buffer, size_t capacity, text_pass *pass, void *context);

/* Passes on what is in the buffer now; false if the text is broken. Of other texts, nothing. */
bool text_flush(struct text *text);

/* They add at the end, and borrow what they add, which is not the text itself. */
void text_add_bytes(struct text *text, const void *bytes, size_t length);
void text_add(struct text *text, const char *string);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same as text_format(text, "%lld", ...), several times faster. */
void text_add_integer(struct text *text, int64_t number);

/* Adds a JSON string, in its quotes and escaped, which is valid UTF-8 whatever the bytes are, and
 * steers no terminal. A byte that is not UTF-8 becomes U+FFFD and its number: U+FFFD "\xff". So do
 * the bytes of a U+FFFD before a backslash, which nobody else writes: different bytes never become
 * the same string, and can be names in one object. Borrows bytes. */
void text_add_json(struct text *text, const char *bytes, size_t length);

/* Adds a string for people: valid UTF-8 that steers no terminal. Control characters and invalid
 * UTF-8 become \xNN. Borrows string. */
void text_add_shown(struct text *text, const char *string);

/* The text as a C string, "" when there is none. Good until the text changes. */
const char *text_string(const struct text *text);

/* Empties it, clears is_broken, keeps the memory. What was passed on is gone. */
void text_clear(struct text *text);

/* Cuts white space off both ends of a C string, in place. */
char *text_trim(char *string);

/* Frees its memory; an empty text is left. */
void text_release(struct text *text);

#endif
