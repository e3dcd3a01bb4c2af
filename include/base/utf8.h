/* utf8: where one character ends, and which must not be shown as they are.
 *
 * Threads:  pure; any thread.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Answers the length in bytes (1 to 4) of the well-formed UTF-8 sequence (RFC 3629: no overlong
 * form, no surrogate, nothing above U+10FFFF) that bytes begins with, or 0 if it begins with none.
 * Borrows bytes. */
size_t utf8_length(const void *bytes, size_t count);

/* The code point of a well-formed sequence. Borrows bytes. */
uint32_t utf8_code(const void *bytes, size_t length);

/* Answers whether a well-formed sequence is a control character, C1 included: none of them may
 * reach a terminal or break a line. U+2028 and U+2029 end lines too, for some readers, and the
 * bidirectional controls (Bidi_Control) show the rest of a line in another order. Borrows bytes. */
bool utf8_is_control(const void *bytes, size_t length);

/* How many columns of a terminal a character takes: 2 for East Asian wide ones and emoji, 0 for
 * what combines with the character before, else 1. After Unicode 15, EastAsianWidth (W, F) and
 * the general categories Mn, Me and Cf; an unknown character counts as 1. */
int utf8_columns(uint32_t code);

#endif
