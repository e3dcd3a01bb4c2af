/* A line is built left to right in a fixed buffer. A field that does not fit is taken back whole,
 * so a cut line is still well-formed; the room for the words that say so is kept free till then. */
#include "base/log_line.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

enum { TAIL_BYTES = 128 }; /* ,"suppressed":N,"dropped":N,"cut":true} and the newline */

struct writer {
    char *out;
    size_t count;
    size_t limit;
    bool is_full; /* something did not fit */
    enum log_format format;
};

static void put(struct writer *w, const char *bytes, size_t count) {
    if (w->is_full || count > w->limit - w->count) {
        w->is_full = true;
        return;
    }
    memcpy(w->out + w->count, bytes, count);
    w->count += count;
}

static void put_text(struct writer *w, const char *text) {
    put(w, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void put_format(struct writer *w, const char *format,
                                                             ...) {
    char text[64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put_text(w, text);
}

/* Answers whether a sequence (of valid UTF-8) is a control character, C1 included: none of them
 * may reach a terminal or break a line. U+2028 and U+2029 end lines too, for some readers. */
static bool is_control(const unsigned char *p, size_t length) {
    if (length == 1) return p[0] < 0x20 || p[0] == 0x7F;
    if (length == 2) return p[0] == 0xC2 && p[1] < 0xA0;
    return length == 3 && p[0] == 0xE2 && p[1] == 0x80 && (p[2] == 0xA8 || p[2] == 0xA9);
}

static unsigned code_point(const unsigned char *p, size_t length) {
    if (length == 1) return p[0];
    if (length == 2) return (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    return (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
}

/* Writes one character, escaped where it must be, and answers how many bytes it took. */
static size_t put_character(struct writer *w, const unsigned char *p, size_t count) {
    const size_t length = utf8_length(p, count);
    if (length == 0) {
        if (w->format == LOG_JSON)
            put_text(w, "\\ufffd");
        else
            put_format(w, "\\x%02x", p[0]);
        return 1;
    }
    if (length == 1 && (p[0] == '"' || p[0] == '\\'))
        put_format(w, "\\%c", p[0]);
    else if (p[0] == '\n')
        put_text(w, "\\n");
    else if (p[0] == '\r')
        put_text(w, "\\r");
    else if (p[0] == '\t')
        put_text(w, "\\t");
    else if (is_control(p, length))
        put_format(w, "\\u%04x", code_point(p, length));
    else
        put(w, (const char *)p, length);
    return length;
}

static void put_quoted(struct writer *w, const unsigned char *p, size_t count) {
    put_text(w, "\"");
    const size_t start = w->count;
    while (count > 0) {
        if (w->count - start > LOG_VALUE_BYTES - 16) {
            put_text(w, "...");
            break;
        }
        const size_t taken = put_character(w, p, count);
        p += taken;
        count -= taken;
    }
    put_text(w, "\"");
}

/* Answers whether logfmt can show the bytes without quotes. */
static bool is_plain(const unsigned char *p, size_t count) {
    if (count == 0 || count > LOG_VALUE_BYTES / 2) return false;
    for (size_t i = 0; i < count; i++) {
        if (p[i] <= ' ' || p[i] >= 0x7F || strchr("=\"\\", p[i]) != NULL) return false;
    }
    return true;
}

static void put_bytes(struct writer *w, const void *bytes, size_t count) {
    if (bytes == NULL)
        put_text(w, "null");
    else if (w->format == LOG_LOGFMT && is_plain(bytes, count))
        put(w, bytes, count);
    else
        put_quoted(w, bytes, count);
}

static void put_name(struct writer *w, const char *name) {
    if (w->format == LOG_JSON) {
        put_text(w, w->count == 0 ? "{" : ",");
        put_quoted(w, (const unsigned char *)name, strlen(name));
        put_text(w, ":");
    } else {
        if (w->count > 0) put_text(w, " ");
        put_text(w, name);
        put_text(w, "=");
    }
}

static void put_float(struct writer *w, double value) {
    if (isfinite(value))
        put_format(w, "%.6g", value);
    else
        put_text(w, "null");
}

static void put_field(struct writer *w, const struct log_field *field) {
    put_name(w, field->name);
    switch (field->kind) {
    case LOG_KIND_INT:
        put_format(w, "%" PRId64, field->as_int);
        break;
    case LOG_KIND_UINT:
        put_format(w, "%" PRIu64, field->as_uint);
        break;
    case LOG_KIND_FLOAT:
        put_float(w, field->as_float);
        break;
    case LOG_KIND_BOOL:
        put_text(w, field->as_bool ? "true" : "false");
        break;
    case LOG_KIND_BYTES:
        put_bytes(w, field->as_bytes.bytes, field->as_bytes.count);
        break;
    }
}

/* RFC 3339, UTC, milliseconds. */
static void put_time(struct writer *w, int64_t now_ms) {
    const time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc = {0};
    gmtime_r(&seconds, &utc);
    char day[32];
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
    const char *quote = w->format == LOG_JSON ? "\"" : "";
    put_name(w, "ts");
    put_format(w, "%s%s.%03dZ%s", quote, day, (int)(now_ms % 1000), quote);
}

size_t log_line_render(const struct log_line *line, char out[LOG_LINE_BYTES]) {
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    struct writer w = {.out = out, .limit = LOG_LINE_BYTES - TAIL_BYTES, .format = line->format};
    put_time(&w, line->now_ms);
    put_field(&w, &(struct log_field[]){log_text("level", levels[line->level])}[0]);
    put_field(&w, &(struct log_field[]){log_text("msg", line->message)}[0]);
    for (const struct log_field *f = line->fields; f != NULL && f->name != NULL; f++) {
        const size_t before = w.count;
        put_field(&w, f);
        if (w.is_full) {
            w.count = before;
            break;
        }
    }
    const bool is_cut = w.is_full;
    w.is_full = false;
    w.limit = LOG_LINE_BYTES;
    const struct log_field suppressed = log_uint("suppressed", line->suppressed_count);
    const struct log_field dropped = log_uint("dropped", line->dropped_count);
    const struct log_field cut = log_bool("cut", true);
    if (line->suppressed_count > 0) put_field(&w, &suppressed);
    if (line->dropped_count > 0) put_field(&w, &dropped);
    if (is_cut) put_field(&w, &cut);
    put_text(&w, line->format == LOG_JSON ? "}\n" : "\n");
    return w.count;
}
