/* log: one line on stderr for each event, in logfmt or JSON.
 *
 *     log_warn("Redis is unreachable", log_text("host", host), log_int("attempt", attempt));
 *     ts=2024-07-10T15:03:36.120Z level=warn msg="Redis is unreachable" host=10.0.0.7 attempt=3
 *
 * The message is a constant sentence and the key of the rate limit; what varies goes into fields.
 * The reason for exiting must never be rate-limited away: log_flush writes the newest error line
 * that the limit held back.
 *
 * Threads:  any thread, at any time; lines of different threads never mix (one write a line).
 * Limits:   LOG_LINE_BYTES a line (later fields are left out, and the line has cut=true),
 *           LOG_VALUE_BYTES a value, written; LOG_BURST_LINES lines a message in
 *           LOG_WINDOW_MS, after which the next one that is written has suppressed=N.
 * Waits:    LOG_WAIT_MS at most for a reader of stderr that is behind; then the line is dropped,
 *           and the next one has dropped=N.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/setting.h"

enum {
    LOG_LINE_BYTES = 4096, /* PIPE_BUF on Linux: a pipe takes it whole */
    LOG_VALUE_BYTES = 1024,
    LOG_BURST_LINES = 10,
    LOG_WINDOW_MS = 10000,
    LOG_WAIT_MS = 100,
    LOG_MESSAGES_MAX = 128, /* told apart by the limit */
    LOG_RECENT_LINES = 50,
    LOG_RECENT_BYTES = 1024, /* of each; the rest is cut off */
};

/* log.* */
struct log_settings {
    int level;  /* enum log_level */
    int format; /* enum log_format */
};

extern const struct setting log_setting_table[];

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_LOGFMT, LOG_JSON };
enum log_kind { LOG_KIND_INT, LOG_KIND_UINT, LOG_KIND_FLOAT, LOG_KIND_TEXT };

/* One name=value of a line. Borrows name and text until log_write returns. */
struct log_field {
    const char *name; /* NULL ends an array of fields; [a-z0-9_.]+ */
    enum log_kind kind;
    union {
        int64_t as_int;
        uint64_t as_uint;
        double as_float;     /* finite */
        const char *as_text; /* NULL is written as null */
    };
};

/* LOG_INFO and LOG_LOGFMT before the first call. */
void log_configure(enum log_level level, enum log_format format);

bool log_is_enabled(enum log_level level);

/* Writes one line unless its level is off or its message is over the limit. Borrows all. */
void log_write(enum log_level level, const char *message, const struct log_field fields[]);

/* Writes the newest error line that the limit held back, if no error was written since. Call it
 * last before the program ends. */
void log_flush(void);

/* Lends `visit` the last LOG_RECENT_LINES warnings and errors that were written, in their order and
 * without their newlines. It must not log. */
void log_recent(void (*visit)(void *context, const char *line, size_t length), void *context);

/* log_error("message", log_int("name", value), ...): fields are evaluated only if written. */
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_info(...) LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)

#define LOG_AT(level, message, ...)                                                                \
    (log_is_enabled(level)                                                                         \
         ? log_write(level, message, (const struct log_field[]){__VA_OPT__(__VA_ARGS__, ){0}})     \
         : (void)0)

static inline struct log_field log_int(const char *name, int64_t value) {
    return (struct log_field){.name = name, .kind = LOG_KIND_INT, .as_int = value};
}

static inline struct log_field log_uint(const char *name, uint64_t value) {
    return (struct log_field){.name = name, .kind = LOG_KIND_UINT, .as_uint = value};
}

static inline struct log_field log_float(const char *name, double value) {
    return (struct log_field){.name = name, .kind = LOG_KIND_FLOAT, .as_float = value};
}

/* Any bytes up to a NUL: those that are not UTF-8, and control characters, are written escaped. */
static inline struct log_field log_text(const char *name, const char *text) {
    return (struct log_field){.name = name, .kind = LOG_KIND_TEXT, .as_text = text};
}

/* --- the two pure halves of it, for its tests --- */

struct log_line {
    enum log_level level;
    enum log_format format;
    int64_t now_ms; /* since 1970, UTC */
    const char *message;
    const struct log_field *fields;
    uint64_t suppressed_count; /* lines of this message that were held back before it */
    uint64_t dropped_count;    /* lines of any message that stderr did not take in time */
};

/* Writes the line, with its newline, and answers its length. Borrows all. */
size_t log_render(const struct log_line *line, char out[LOG_LINE_BYTES]);

/* All zero is ready for use. When more than LOG_MESSAGES_MAX messages are in use, the one whose
 * window began first is forgotten. */
struct log_limit {
    struct log_message {
        uint64_t hash; /* of the message's text; 0 is a free place */
        int64_t window_start_ms;
        uint32_t line_count; /* written in this window */
        uint64_t suppressed_count;
    } messages[LOG_MESSAGES_MAX];
};

/* Answers whether a line with this message may be written at now_ms (any clock that does not go
 * back); if so, *suppressed_count is how many were held back since the last one. Borrows all. */
bool log_allow(struct log_limit *limit, const char *message, int64_t now_ms,
               uint64_t *suppressed_count);

#endif
