#include "base/trouble.h"

void trouble_init(struct trouble *trouble) {
    *trouble = (struct trouble){0};
    pthread_mutex_init(&trouble->lock, NULL);
}

void trouble_fini(struct trouble *trouble) {
    pthread_mutex_destroy(&trouble->lock);
}

void trouble_set(struct trouble *trouble, int64_t now_ms, const char *what) {
    pthread_mutex_lock(&trouble->lock);
    error_set(&trouble->what, "%s", what);
    if (atomic_load(&trouble->since_ms) == 0)
        atomic_store(&trouble->since_ms, now_ms < 1 ? 1 : now_ms);
    pthread_mutex_unlock(&trouble->lock);
}

void trouble_clear(struct trouble *trouble) {
    if (atomic_load_explicit(&trouble->since_ms, memory_order_relaxed) == 0) return;
    atomic_store(&trouble->since_ms, 0);
}

bool trouble_show(struct trouble *trouble, int64_t now_ms, int64_t age_ms, struct text *why) {
    const int64_t since_ms = atomic_load(&trouble->since_ms);
    if (since_ms == 0 || now_ms - since_ms < age_ms) return false;
    pthread_mutex_lock(&trouble->lock);
    text_add(why, trouble->what.text);
    pthread_mutex_unlock(&trouble->lock);
    return true;
}
