/* log_limit: which lines are too many. Used by log alone.
 *
 * Threads:  one at a time (log holds its lock).
 * Limits:   LOG_LIMIT_MESSAGES messages are told apart; when more are in use, the one whose window
 *           began first is forgotten.
 */
#ifndef BASE_LOG_LIMIT_H
#define BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

enum { LOG_LIMIT_MESSAGES = 128 };

struct log_limit {
    struct log_limit_message {
        uint64_t hash; /* of the message's text; 0 is a free place */
        int64_t window_start_ms;
        uint32_t line_count; /* written in this window */
        uint64_t suppressed_count;
    } messages[LOG_LIMIT_MESSAGES];
};

/* Answers whether a line with this message may be written at now_ms (any clock that does not go
 * back); if so, *suppressed_count is how many were held back since the last one. An all-zero
 * struct log_limit is ready for use. Borrows all. */
bool log_limit_allow(struct log_limit *limit, const char *message, int64_t now_ms,
                     uint64_t *suppressed_count);

#endif
