#include "core/path.h"

#include <string.h>

#include "base/utf8.h"

static const char header_prefix[] = "header:";

/* Text that a name in JSON can be, and that a message can show. */
static bool is_printable(const char *text) {
    size_t length = 0;
    for (const char *p = text; *p != '\0'; p += length) {
        length = utf8_length(p, strlen(p));
        if (length == 0 || (*p >= 0 && *p < ' ')) return false;
    }
    return true;
}

/* RFC 6901, section 3: after a ~ there is a 0 or a 1. */
static bool is_pointer(const char *text) {
    int steps = 0;
    for (const char *p = text; *p != '\0'; p++) {
        steps += *p == '/';
        if (*p == '~' && p[1] != '0' && p[1] != '1') return false;
    }
    return steps <= PATH_STEPS_MAX;
}

bool path_is_member(const char *text) {
    if (path_kind_of_field(text) == PATH_HEADER || !is_printable(text)) return false;
    return text[0] != '/' || is_pointer(text);
}

bool path_is_field(const char *text) {
    if (path_kind_of_field(text) != PATH_HEADER) return path_is_member(text);
    return path_header(text)[0] != '\0' && is_printable(text);
}

enum path_kind path_kind_of_field(const char *text) {
    const bool is_header = strncmp(text, header_prefix, strlen(header_prefix)) == 0;
    return is_header ? PATH_HEADER : PATH_MEMBER;
}

enum path_kind path_kind_of_time(const char *text) {
    return strcmp(text, "kafka") == 0 ? PATH_KAFKA : path_kind_of_field(text);
}

const char *path_header(const char *text) {
    return text + strlen(header_prefix);
}

/* RFC 6901, section 4: digits without a leading zero. */
static uint32_t index_of(const char *name, size_t length) {
    enum { DIGITS_MAX = 9 };
    uint32_t index = 0;
    if (length == 0 || length > DIGITS_MAX || (name[0] == '0' && length > 1)) return PATH_NO_INDEX;
    for (size_t i = 0; i < length; i++) {
        if (name[i] < '0' || name[i] > '9') return PATH_NO_INDEX;
        index = index * 10 + (uint32_t)(name[i] - '0');
    }
    return index;
}

bool path_next(const char **at, struct path_step *step) {
    const char *p = *at;
    if (p == NULL) return false;
    const bool is_pointer_step = *p == '/';
    p += is_pointer_step;
    step->length = 0;
    for (; *p != '\0' && !(is_pointer_step && *p == '/'); p++) {
        char c = *p;
        if (is_pointer_step && c == '~') c = *++p == '0' ? '~' : '/';
        step->name[step->length++] = c;
    }
    step->name[step->length] = '\0';
    step->index = is_pointer_step ? index_of(step->name, step->length) : PATH_NO_INDEX;
    *at = *p == '\0' ? NULL : p;
    return true;
}
