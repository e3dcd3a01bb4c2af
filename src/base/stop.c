#include "base/stop.h"

void stop_init(struct stop *stop, struct alarm *alarm) {
    *stop = (struct stop){.alarm = alarm};
    pthread_mutex_init(&stop->lock, NULL);
}

void stop_fini(struct stop *stop) {
    pthread_mutex_destroy(&stop->lock);
}

void stop_ask(struct stop *stop, int signal) {
    atomic_store(&stop->signal, signal);
    alarm_ring(stop->alarm);
}

void stop_fail(struct stop *stop, const char *why) {
    pthread_mutex_lock(&stop->lock);
    if (!atomic_load(&stop->has_failed)) error_set(&stop->failure, "%s", why);
    atomic_store(&stop->has_failed, true);
    pthread_mutex_unlock(&stop->lock);
    alarm_ring(stop->alarm);
}

bool stop_is_asked(const struct stop *stop) {
    return atomic_load(&stop->signal) != 0 || atomic_load(&stop->has_failed);
}

bool stop_has_failed(struct stop *stop, struct error *error) {
    pthread_mutex_lock(&stop->lock);
    const bool has_failed = atomic_load(&stop->has_failed);
    if (has_failed) *error = stop->failure;
    pthread_mutex_unlock(&stop->lock);
    return has_failed;
}
