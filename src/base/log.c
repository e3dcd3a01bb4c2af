/* Three short locks. `recent_lock` is held for a copy, or for as long as a page is made of the
 * lines. `limit_lock` guards the rate limit and the held-back error line, and is held for a
 * table look-up and at most one copy. `write_lock` keeps the look whether stderr takes a line
 * and the write of it together, and is only ever waited for with a deadline, so a reader of
 * stderr that has stopped costs a thread LOG_WAIT_MS a line, and never stops it. */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/utf8.h"

enum { TAIL_BYTES = 128 }; /* ,"suppressed":N,"dropped":N,"cut":true} and the newline */

/* shared: set by log_configure, read by all; relaxed, since nothing else depends on them */
static atomic_int enabled_level = LOG_INFO;
static atomic_int line_format = LOG_LOGFMT;
static atomic_uint_fast64_t dropped_count; /* not yet reported */

/* guarded by limit_lock */
static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_limit messages;
static char held_line[LOG_LINE_BYTES]; /* the newest error that was held back */
static size_t held_bytes;              /* 0: none, or a newer error was written */

/* guarded by recent_lock */
static pthread_mutex_t recent_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char bytes[LOG_RECENT_BYTES];
    size_t length;
} recent[LOG_RECENT_LINES];
static size_t recent_count; /* so far; the oldest ones are overwritten */

static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;

const struct setting log_setting_table[] = {
    SETTING_CHOICE(struct log_settings, level, "log", "level",
                   SETTING_WORDS("error", "warn", "info", "debug"), "info", SETTING_RELOADABLE,
                   "which lines are written: those of this level and above"),
    SETTING_CHOICE(struct log_settings, format, "log", "format", SETTING_WORDS("logfmt", "json"),
                   "logfmt", SETTING_RELOADABLE,
                   "one line for each event: key=value pairs, or JSON"),
    SETTING_END};
static_assert(LOG_ERROR == 0 && LOG_WARN == 1 && LOG_INFO == 2 && LOG_DEBUG == 3, "log.level");
static_assert(LOG_LOGFMT == 0 && LOG_JSON == 1, "log.format");

void log_configure(enum log_level level, enum log_format format) {
    atomic_store_explicit(&enabled_level, (int)level, memory_order_relaxed);
    atomic_store_explicit(&line_format, (int)format, memory_order_relaxed);
}

bool log_is_enabled(enum log_level level) {
    return (int)level <= atomic_load_explicit(&enabled_level, memory_order_relaxed);
}

/* --- how many lines --------------------------------------------------------------------------- */

/* FNV-1a, as published by Fowler, Noll and Vo. */
static uint64_t hash_of(const char *message) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *p = message; *p != '\0'; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
    return hash == 0 ? 1 : hash;
}

/* The message's own place, else a free one, else the one whose window began first. */
static struct log_message *place_of(struct log_limit *limit, uint64_t hash) {
    struct log_message *oldest = &limit->messages[0];
    for (int i = 0; i < LOG_MESSAGES_MAX && oldest->hash != 0; i++) {
        struct log_message *place = &limit->messages[i];
        if (place->hash == hash) return place;
        if (place->hash == 0 || place->window_start_ms < oldest->window_start_ms) oldest = place;
    }
    *oldest = (struct log_message){.hash = hash, .window_start_ms = INT64_MIN};
    return oldest;
}

bool log_allow(struct log_limit *limit, const char *message, int64_t now_ms,
               uint64_t *suppressed_count) {
    struct log_message *place = place_of(limit, hash_of(message));
    const bool is_new = place->window_start_ms == INT64_MIN;
    if (is_new || now_ms - place->window_start_ms >= LOG_WINDOW_MS) {
        place->window_start_ms = now_ms;
        place->line_count = 0;
    }
    if (place->line_count >= LOG_BURST_LINES) {
        place->suppressed_count++;
        return false;
    }
    place->line_count++;
    *suppressed_count = place->suppressed_count;
    place->suppressed_count = 0;
    return true;
}

/* --- how a line looks ------------------------------------------------------------------------- */

/* Adds one character, escaped where it must be, and answers how many bytes it took. */
static size_t put_character(struct text *out, enum log_format format, const char *bytes,
                            size_t count) {
    static const char escaped[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
    const unsigned char *p = (const unsigned char *)bytes;
    const size_t length = utf8_length(p, count);
    const char *special = strchr(escaped, *bytes);
    if (length == 0 && format == LOG_JSON)
        text_add(out, "\\ufffd");
    else if (length == 0)
        text_format(out, "\\x%02x", p[0]);
    else if (special != NULL)
        text_format(out, "\\%c", letters[special - escaped]);
    else if (utf8_is_control(p, length))
        text_format(out, "\\u%04x", utf8_code(p, length));
    else
        text_add_bytes(out, bytes, length);
    return length == 0 ? 1 : length;
}

static void put_quoted(struct text *out, enum log_format format, const char *text) {
    size_t left = strlen(text);
    text_add(out, "\"");
    const size_t start = out->length;
    while (left > 0 && out->length - start <= LOG_VALUE_BYTES - 16) {
        const size_t taken = put_character(out, format, text, left);
        text += taken;
        left -= taken;
    }
    text_add(out, left > 0 ? "...\"" : "\"");
}

/* Whether logfmt can show the text without quotes. */
static bool is_plain(const char *text) {
    const size_t count = strlen(text);
    if (count == 0 || count > LOG_VALUE_BYTES / 2) return false;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p <= ' ' || *p >= 0x7F || strchr("=\"\\", *p) != NULL) return false;
    }
    return true;
}

static void put_name(struct text *out, enum log_format format, const char *name) {
    if (format == LOG_JSON)
        text_format(out, "%s\"%s\":", out->length == 0 ? "{" : ",", name);
    else
        text_format(out, "%s%s=", out->length == 0 ? "" : " ", name);
}

static void put_field(struct text *out, enum log_format format, struct log_field field) {
    put_name(out, format, field.name);
    switch (field.kind) {
    case LOG_KIND_INT:
        text_format(out, "%" PRId64, field.as_int);
        break;
    case LOG_KIND_UINT:
        text_format(out, "%" PRIu64, field.as_uint);
        break;
    case LOG_KIND_FLOAT:
        text_format(out, "%.6g", field.as_float);
        break;
    case LOG_KIND_TEXT:
        if (field.as_text == NULL)
            text_add(out, "null");
        else if (format == LOG_LOGFMT && is_plain(field.as_text))
            text_add(out, field.as_text);
        else
            put_quoted(out, format, field.as_text);
        break;
    }
}

/* RFC 3339, UTC, milliseconds. */
static void put_time(struct text *out, enum log_format format, int64_t now_ms) {
    const time_t seconds = (time_t)(now_ms / 1000);
    const char *quote = format == LOG_JSON ? "\"" : "";
    struct tm utc = {0};
    char day[32];
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &utc));
    put_name(out, format, "ts");
    text_format(out, "%s%s.%03dZ%s", quote, day, (int)(now_ms % 1000), quote);
}

/* From left to right. A field that does not fit is taken back whole, so a cut line is still
 * well-formed; the room for the words that report it is kept free until then. */
size_t log_render(const struct log_line *line, char out[LOG_LINE_BYTES]) {
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    const enum log_format format = line->format;
    struct text text = text_within(out, LOG_LINE_BYTES - TAIL_BYTES);
    put_time(&text, format, line->now_ms);
    put_field(&text, format, log_text("level", levels[line->level]));
    put_field(&text, format, log_text("msg", line->message));
    size_t whole = text.length;
    for (const struct log_field *field = line->fields; field != NULL && field->name != NULL;
         field++) {
        put_field(&text, format, *field);
        if (text.is_broken) break;
        whole = text.length;
    }
    const bool is_cut = text.is_broken;
    text = text_within(out, LOG_LINE_BYTES);
    text.length = whole;
    if (line->suppressed_count > 0)
        put_field(&text, format, log_uint("suppressed", line->suppressed_count));
    if (line->dropped_count > 0) put_field(&text, format, log_uint("dropped", line->dropped_count));
    if (is_cut) {
        put_name(&text, format, "cut");
        text_add(&text, "true");
    }
    text_add(&text, format == LOG_JSON ? "}\n" : "\n");
    return text.length;
}

/* --- where lines go --------------------------------------------------------------------------- */

/* True if stderr took the whole line within LOG_WAIT_MS. */
static bool write_line(const char *line, size_t count) {
    const int64_t until_ms = clock_wall_ms() + LOG_WAIT_MS;
    const struct timespec deadline = {until_ms / 1000, (long)(until_ms % 1000) * 1000000L};
    if (pthread_mutex_timedlock(&write_lock, &deadline) != 0) return false;
    struct pollfd target = {.fd = STDERR_FILENO, .events = POLLOUT};
    bool is_written = poll(&target, 1, LOG_WAIT_MS) == 1 && (target.revents & POLLOUT) != 0;
    if (is_written) {
        ssize_t written;
        do {
            written = write(STDERR_FILENO, line, count);
        } while (written < 0 && errno == EINTR);
        is_written = written == (ssize_t)count;
    }
    pthread_mutex_unlock(&write_lock);
    return is_written;
}

/* Whole characters of the line, without its newline. */
static size_t cut_line(const char *line, size_t count) {
    size_t length = 0;
    if (count > 0 && line[count - 1] == '\n') count--;
    while (length < count) {
        const size_t next = utf8_length(line + length, count - length);
        if (length + (next == 0 ? 1 : next) > LOG_RECENT_BYTES) break;
        length += next == 0 ? 1 : next;
    }
    return length;
}

static void remember(const char *line, size_t count) {
    pthread_mutex_lock(&recent_lock);
    const size_t at = recent_count++ % LOG_RECENT_LINES;
    recent[at].length = cut_line(line, count);
    memcpy(recent[at].bytes, line, recent[at].length);
    pthread_mutex_unlock(&recent_lock);
}

void log_recent(void (*visit)(void *context, const char *line, size_t length), void *context) {
    pthread_mutex_lock(&recent_lock);
    size_t at = recent_count > LOG_RECENT_LINES ? recent_count - LOG_RECENT_LINES : 0;
    for (; at < recent_count; at++) {
        const size_t place = at % LOG_RECENT_LINES;
        visit(context, recent[place].bytes, recent[place].length);
    }
    pthread_mutex_unlock(&recent_lock);
}

/* Writes a line that reports the dropped ones before it, or is itself dropped. */
static void emit(struct log_line *line) {
    char text[LOG_LINE_BYTES];
    line->dropped_count = atomic_exchange_explicit(&dropped_count, 0, memory_order_relaxed);
    const size_t count = log_render(line, text);
    if (line->level <= LOG_WARN) remember(text, count);
    if (write_line(text, count)) return;
    atomic_fetch_add_explicit(&dropped_count, line->dropped_count + 1, memory_order_relaxed);
}

void log_write(enum log_level level, const char *message, const struct log_field fields[]) {
    assert(message != NULL);
    if (!log_is_enabled(level)) return;
    const int saved_errno = errno;
    struct log_line line = {
        .level = level,
        .format = (enum log_format)atomic_load_explicit(&line_format, memory_order_relaxed),
        .now_ms = clock_wall_ms(),
        .message = message,
        .fields = fields,
    };
    pthread_mutex_lock(&limit_lock);
    const bool is_allowed = log_allow(&messages, message, clock_ms(), &line.suppressed_count);
    if (level == LOG_ERROR) held_bytes = is_allowed ? 0 : log_render(&line, held_line);
    pthread_mutex_unlock(&limit_lock);
    if (is_allowed) emit(&line);
    errno = saved_errno;
}

void log_flush(void) {
    char text[LOG_LINE_BYTES];
    pthread_mutex_lock(&limit_lock);
    const size_t count = held_bytes;
    memcpy(text, held_line, count);
    held_bytes = 0;
    pthread_mutex_unlock(&limit_lock);
    if (count > 0) write_line(text, count);
}
