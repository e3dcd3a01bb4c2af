/* number: numbers of JSON, byte by byte and eight at once.
 *
 * Threads:  pure; any.
 */
#ifndef CORE_NUMBER_H
#define CORE_NUMBER_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool number_is_digit(char c) {
    return c >= '0' && c <= '9';
}

#define NUMBER_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Eight bytes as a word, the first one the lowest. */
static inline uint64_t number_word(const char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return le64toh(word);
}

static inline bool number_is_8_digits(uint64_t word) {
    const uint64_t high = NUMBER_EACH(0xF0);
    return (word & high) == NUMBER_EACH(0x30) &&
           ((word + NUMBER_EACH(6)) & high) == NUMBER_EACH(0x30);
}

/* What eight digits say: pairs, then fours, then all of them become numbers side by side in the
 * word. */
static inline uint64_t number_of_8_digits(uint64_t word) {
    word = (word & NUMBER_EACH(0x0F)) * (1 + (10 << 8)) >> 8;
    word = (word & UINT64_C(0x00FF00FF00FF00FF)) * (1 + (100 << 16)) >> 16;
    return (word & UINT64_C(0x0000FFFF0000FFFF)) * (1 + (UINT64_C(10000) << 32)) >> 32;
}

/* What follows the number at p by the grammar of RFC 8259 (section 6), or NULL if there is none at
 * p. Reads up to the first byte that is no part of it: somewhere behind p stands one that cannot
 * be. */
static inline const char *number_end(const char *p, bool *has_exponent) {
    p += *p == '-';
    if (!number_is_digit(*p)) return NULL;
    if (*p++ != '0') {
        while (number_is_digit(*p))
            p++;
    }
    if (*p == '.') {
        if (!number_is_digit(*++p)) return NULL;
        while (number_is_digit(*p))
            p++;
    }
    *has_exponent = *p == 'e' || *p == 'E';
    if (!*has_exponent) return p;
    p++;
    p += *p == '+' || *p == '-';
    if (!number_is_digit(*p)) return NULL;
    while (number_is_digit(*p))
        p++;
    return p;
}

#endif
