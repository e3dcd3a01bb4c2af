#include "twins.h"

enum {
    FENCED_MAX = 3,
    FENCED_MS = 600000,     /* between two times, at most */
    FENCED_SOON_MS = 10000, /* after its begin Kafka itself ends no transaction, for its timeout */
};

bool twins_note(struct twins *twins, const char *instance, int64_t since_ms, int64_t now_ms,
                struct error *error) {
    if (now_ms >= since_ms + FENCED_SOON_MS) return false;
    if (now_ms >= twins->last_ms + FENCED_MS) twins->count = 0;
    twins->last_ms = now_ms;
    if (++twins->count < FENCED_MAX) return false;
    error_set(error,
              "another process runs with the same instance.id \"%s\", and both take the "
              "transactional id from each other: give each instance its own instance.id",
              instance);
    return true;
}
