#include "base/log_limit.h"

#include "base/log.h"

/* FNV-1a, as published by Fowler, Noll and Vo. */
static uint64_t hash_of(const char *message) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *p = message; *p != '\0'; p++) {
        hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
    }
    return hash == 0 ? 1 : hash;
}

/* Answers the message's place: its own, a free one, or the one whose window began first. */
static struct log_limit_message *place_of(struct log_limit *limit, uint64_t hash) {
    struct log_limit_message *oldest = &limit->messages[0];
    for (int i = 0; i < LOG_LIMIT_MESSAGES; i++) {
        struct log_limit_message *place = &limit->messages[i];
        if (place->hash == hash) return place;
        if (place->hash == 0) {
            oldest = place;
            break;
        }
        if (place->window_start_ms < oldest->window_start_ms) oldest = place;
    }
    *oldest = (struct log_limit_message){.hash = hash, .window_start_ms = INT64_MIN};
    return oldest;
}

bool log_limit_allow(struct log_limit *limit, const char *message, int64_t now_ms,
                     uint64_t *suppressed_count) {
    struct log_limit_message *place = place_of(limit, hash_of(message));
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
