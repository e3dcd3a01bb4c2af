/* utf8: where one character ends.
 *
 * Threads:  pure; any thread.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/* Answers the length in bytes (1 to 4) of the well-formed UTF-8 sequence (RFC 3629: no overlong
 * form, no surrogate, nothing above U+10FFFF) that bytes begins with, or 0 if it begins with none.
 * Borrows bytes. */
size_t utf8_length(const void *bytes, size_t count);

#endif
