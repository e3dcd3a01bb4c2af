#include "base/utf8.h"

uint32_t utf8_code(const void *bytes, size_t length) {
    const unsigned char *p = bytes;
    uint32_t code = length == 1 ? p[0] : p[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++)
        code = code << 6 | (p[i] & 0x3Fu);
    return code;
}

static size_t announced_length(unsigned char lead) {
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

size_t utf8_length(const void *bytes, size_t count) {
    const unsigned char *p = bytes;
    const size_t length = count == 0 ? 0 : announced_length(p[0]);
    if (length > count) return 0;
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
    }
    if (length <= 2) return length;
    const uint32_t code = utf8_code(bytes, length);
    const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    const uint32_t lowest = length == 3 ? 0x800 : 0x10000;
    return code < lowest || code > 0x10FFFF || is_surrogate ? 0 : length;
}

bool utf8_is_control(const void *bytes, size_t length) {
    const uint32_t code = utf8_code(bytes, length);
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029;
}
