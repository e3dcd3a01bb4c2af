/* backoff: when to make a call again that failed, with a delay that doubles. All zero: at once. */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include <stdint.h>

#include "base/clamp.h"

struct backoff {
    int64_t pause_ms; /* the last delay; 0: the last attempt was good */
    int64_t until_ms; /* not before */
};

/* An attempt failed. */
static inline void backoff_grow(struct backoff *backoff, int64_t now_ms, int64_t min_ms,
                                int64_t max_ms) {
    backoff->pause_ms = clamp(backoff->pause_ms * 2, min_ms, max_ms);
    backoff->until_ms = now_ms + backoff->pause_ms;
}

/* There is reason to try again at once; if that fails, the delays begin again. */
static inline void backoff_hurry(struct backoff *backoff) {
    *backoff = (struct backoff){.pause_ms = 1};
}

/* An attempt was good, or something else is tried. */
static inline void backoff_end(struct backoff *backoff) {
    *backoff = (struct backoff){0};
}

#endif
