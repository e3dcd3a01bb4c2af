/* A line is built left to right in a fixed buffer. A field that does not fit is taken back whole,
 * so a cut line is still well-formed; the room for the words that say so is kept free till then. */
#include "base/log_line.h"

#include <inttypes.h>
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
    else if (utf8_is_control(p, length))
        put_format(w, "\\u%04x", code_point(p, length));
    else
        put(w, (const char *)p, length);
    return length;
}

static void put_quoted(struct writer *w, const char *text) {
    const unsigned char *p = (const unsigned char *)text;
    size_t count = strlen(text);
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

/* Answers whether logfmt can show the text without quotes. */
static bool is_plain(const char *text) {
    const size_t count = strlen(text);
    if (count == 0 || count > LOG_VALUE_BYTES / 2) return false;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p <= ' ' || *p >= 0x7F || strchr("=\"\\", *p) != NULL) return false;
    }
    return true;
}

static void put_string(struct writer *w, const char *text) {
    if (text == NULL)
        put_text(w, "null");
    else if (w->format == LOG_LOGFMT && is_plain(text))
        put_text(w, text);
    else
        put_quoted(w, text);
}

static void put_name(struct writer *w, const char *name) {
    if (w->format == LOG_JSON) {
        put_text(w, w->count == 0 ? "{" : ",");
        put_quoted(w, name);
        put_text(w, ":");
    } else {
        if (w->count > 0) put_text(w, " ");
        put_text(w, name);
        put_text(w, "=");
    }
}

static void put_field(struct writer *w, struct log_field field) {
    put_name(w, field.name);
    switch (field.kind) {
    case LOG_KIND_INT:
        put_format(w, "%" PRId64, field.as_int);
        break;
    case LOG_KIND_UINT:
        put_format(w, "%" PRIu64, field.as_uint);
        break;
    case LOG_KIND_FLOAT:
        put_format(w, "%.6g", field.as_float);
        break;
    case LOG_KIND_TEXT:
        put_string(w, field.as_text);
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
    put_field(&w, log_text("level", levels[line->level]));
    put_field(&w, log_text("msg", line->message));
    for (const struct log_field *f = line->fields; f != NULL && f->name != NULL; f++) {
        const size_t before = w.count;
        put_field(&w, *f);
        if (w.is_full) {
            w.count = before;
            break;
        }
    }
    const bool is_cut = w.is_full;
    w.is_full = false;
    w.limit = LOG_LINE_BYTES;
    if (line->suppressed_count > 0) put_field(&w, log_uint("suppressed", line->suppressed_count));
    if (line->dropped_count > 0) put_field(&w, log_uint("dropped", line->dropped_count));
    if (is_cut) {
        put_name(&w, "cut");
        put_text(&w, "true");
    }
    put_text(&w, line->format == LOG_JSON ? "}\n" : "\n");
    return w.count;
}
