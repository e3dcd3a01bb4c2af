#include "base/utf8.h"

/* Answers the sequence length that the lead byte announces, and the range of its second byte,
 * which is where overlong forms, surrogates and too large code points show. */
static size_t announced_length(unsigned char lead, unsigned char *low, unsigned char *high) {
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80) return 1;
    if (lead < 0xC2) return 0;
    if (lead < 0xE0) return 2;
    if (lead < 0xF0) {
        if (lead == 0xE0) *low = 0xA0;
        if (lead == 0xED) *high = 0x9F;
        return 3;
    }
    if (lead > 0xF4) return 0;
    if (lead == 0xF0) *low = 0x90;
    if (lead == 0xF4) *high = 0x8F;
    return 4;
}

size_t utf8_length(const void *bytes, size_t count) {
    const unsigned char *p = bytes;
    if (count == 0) return 0;
    unsigned char low;
    unsigned char high;
    const size_t length = announced_length(p[0], &low, &high);
    if (length <= 1) return length;
    if (length > count || p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < length; i++) {
        if (p[i] < 0x80 || p[i] > 0xBF) return 0;
    }
    return length;
}

bool utf8_is_control(const void *bytes, size_t length) {
    const unsigned char *p = bytes;
    if (length == 1) return p[0] < 0x20 || p[0] == 0x7F;
    if (length == 2) return p[0] == 0xC2 && p[1] < 0xA0;
    return length == 3 && p[0] == 0xE2 && p[1] == 0x80 && (p[2] == 0xA8 || p[2] == 0xA9);
}
