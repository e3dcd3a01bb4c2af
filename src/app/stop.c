#include "app/stop.h"

#include "base/clamp.h"
#include "base/clock.h"

enum { NAP_MS = 50 };

void stop_init(struct stop *stop, const volatile sig_atomic_t *signal) {
    stop->signal = signal;
    atomic_init(&stop->has_failed, false);
    pthread_mutex_init(&stop->lock, NULL);
}

void stop_fini(struct stop *stop) {
    pthread_mutex_destroy(&stop->lock);
}

void stop_fail(void *context, const char *why) {
    struct stop *stop = context;
    pthread_mutex_lock(&stop->lock);
    if (!atomic_load(&stop->has_failed)) error_set(&stop->failure, "%s", why);
    atomic_store(&stop->has_failed, true);
    pthread_mutex_unlock(&stop->lock);
}

bool stop_is_asked(const struct stop *stop) {
    return *stop->signal != 0 || atomic_load(&stop->has_failed);
}

bool stop_has_failed(struct stop *stop, struct error *error) {
    pthread_mutex_lock(&stop->lock);
    bool has_failed = atomic_load(&stop->has_failed);
    if (has_failed) *error = stop->failure;
    pthread_mutex_unlock(&stop->lock);
    return has_failed;
}

bool stop_back_off(const struct stop *stop, int *delay_ms) {
    for (int slept_ms = 0; slept_ms < *delay_ms && !stop_is_asked(stop); slept_ms += NAP_MS) {
        clock_sleep_ms(NAP_MS);
    }
    *delay_ms = (int)clamp(*delay_ms * 2, 0, STOP_RETRY_MS_MAX);
    return !stop_is_asked(stop);
}
