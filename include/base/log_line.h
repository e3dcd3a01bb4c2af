/* log_line: how one line of the log looks. Used by log alone.
 *
 * Threads:  pure; any thread.
 * Limits:   as log.h says.
 */
#ifndef BASE_LOG_LINE_H
#define BASE_LOG_LINE_H

#include "base/log.h"

struct log_line {
    enum log_level level;
    enum log_format format;
    int64_t now_ms; /* since 1970, UTC */
    const char *message;
    const struct log_field *fields; /* ended by a field without a name; NULL is none */
    uint64_t suppressed_count;      /* lines of this message that were held back before it */
    uint64_t dropped_count;         /* lines of any message that stderr did not take in time */
};

/* Writes the line, with its newline and without a NUL, and answers its length. Borrows all. */
size_t log_line_render(const struct log_line *line, char out[LOG_LINE_BYTES]);

#endif
