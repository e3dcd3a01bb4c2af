#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

enum { FIRST_CAPACITY = 256, REPLACEMENT_BYTES = sizeof REPLACEMENT - 1 };

struct text text_within(char *buffer, size_t capacity) {
    return (struct text){.bytes = buffer, .capacity = capacity, .is_fixed = true};
}

struct text text_through(char *buffer, size_t capacity, text_pass *pass, void *context) {
    struct text text = text_within(buffer, capacity);
    text.pass = pass;
    text.context = context;
    return text;
}

bool text_flush(struct text *text) {
    if (text->pass == NULL || text->is_broken || text->length == 0) return !text->is_broken;
    text->passed_bytes += text->length;
    text->is_broken = !text->pass(text->context, text->bytes, text->length);
    text->length = 0;
    text->bytes[0] = '\0';
    return !text->is_broken;
}

/* Makes room for length bytes more and the NUL after them. */
static bool reserve(struct text *text, size_t length) {
    if (text->is_broken) return false;
    if (text->pass != NULL && length >= text->capacity - text->length && !text_flush(text))
        return false;
    const size_t max = text->is_fixed ? text->capacity : TEXT_BYTES_MAX;
    size_t capacity = text->capacity == 0 ? FIRST_CAPACITY : text->capacity;
    text->is_broken = length >= max - text->length;
    while (!text->is_broken && capacity <= text->length + length)
        capacity *= 2;
    if (text->is_broken || capacity == text->capacity) return !text->is_broken;
    char *bytes = realloc(text->bytes, capacity);
    text->is_broken = bytes == NULL;
    if (text->is_broken) return false;
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

void text_add_bytes(struct text *text, const void *bytes, size_t length) {
    while (text->pass != NULL && length >= text->capacity) { /* more than it ever has room for */
        const size_t part = text->capacity / 2;
        text_add_bytes(text, bytes, part);
        bytes = (const char *)bytes + part;
        length -= part;
    }
    if (!reserve(text, length)) return;
    if (length > 0) memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void text_add(struct text *text, const char *string) {
    text_add_bytes(text, string, strlen(string));
}

void text_format(struct text *text, const char *format, ...) {
    if (!reserve(text, 0)) return;
    size_t room = text->capacity - text->length;
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(text->bytes + text->length, room, format, args);
    va_end(args);
    text->is_broken = length < 0;
    if (length > 0 && (size_t)length >= room && reserve(text, (size_t)length)) {
        va_start(args, format);
        vsnprintf(text->bytes + text->length, (size_t)length + 1, format, args);
        va_end(args);
    }
    if (!text->is_broken) text->length += (size_t)length;
    text->bytes[text->length] = '\0';
}

/* How many of the bytes are one character that stands as it is in a JSON string; 0: none. */
static size_t plain_bytes(const char *bytes, size_t count) {
    const unsigned char c = (unsigned char)*bytes;
    if (c < 0x7F) return c >= ' ' && c != '"' && c != '\\';
    const size_t length = utf8_length(bytes, count);
    if (length == 0 || utf8_is_control(bytes, length)) return 0;
    const bool is_taken = length == REPLACEMENT_BYTES && count > length && bytes[length] == '\\' &&
                          memcmp(bytes, REPLACEMENT, length) == 0;
    return is_taken ? 0 : length;
}

/* Adds the escape of what is not plain, and answers how many bytes it took. */
static size_t escape(struct text *text, const char *bytes, size_t count) {
    const unsigned char c = (unsigned char)*bytes;
    const size_t length = utf8_length(bytes, count);
    if (length > 0 && utf8_is_control(bytes, length)) {
        text_format(text, "\\u%04x", utf8_code(bytes, length));
        return length;
    }
    if (length == 1)
        text_format(text, "\\%c", c);
    else
        text_format(text, REPLACEMENT "\\\\x%02x", c);
    return 1;
}

void text_add_json(struct text *text, const char *bytes, size_t length) {
    text_add_bytes(text, "\"", 1);
    size_t plain = 0; /* where the bytes begin that are not yet added */
    for (size_t i = 0; i < length;) {
        const size_t taken = plain_bytes(bytes + i, length - i);
        i += taken;
        if (taken > 0) continue;
        text_add_bytes(text, bytes + plain, i - plain);
        i += escape(text, bytes + i, length - i);
        plain = i;
    }
    if (length > plain) text_add_bytes(text, bytes + plain, length - plain);
    text_add_bytes(text, "\"", 1);
}

void text_add_shown(struct text *text, const char *string) {
    const char *end = string + strlen(string);
    while (string < end) {
        const size_t length = utf8_length(string, (size_t)(end - string));
        const bool is_shown = length > 0 && !utf8_is_control(string, length);
        if (is_shown)
            text_add_bytes(text, string, length);
        else
            text_format(text, "\\x%02x", (unsigned)(unsigned char)*string);
        string += is_shown ? length : 1;
    }
}

void text_add_integer(struct text *text, int64_t number) {
    char digits[20]; /* of 2^63, and its sign */
    char *at = digits + sizeof digits;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0) *--at = '-';
    text_add_bytes(text, at, (size_t)(digits + sizeof digits - at));
}

const char *text_string(const struct text *text) {
    return text->bytes == NULL ? "" : text->bytes;
}

void text_clear(struct text *text) {
    text->length = 0;
    text->is_broken = false;
    if (text->bytes != NULL) text->bytes[0] = '\0';
}

char *text_trim(char *string) {
    string += strspn(string, " \t\r\n");
    for (size_t count = strlen(string); count > 0; count--) {
        if (strchr(" \t\r\n", string[count - 1]) == NULL) break;
        string[count - 1] = '\0';
    }
    return string;
}

void text_release(struct text *text) {
    free(text->bytes);
    *text = (struct text){0};
}
