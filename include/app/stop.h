/* stop: whether the program is to end, and why.
 *
 * Threads:  stop_init and stop_fini from the main thread; everything else from any.
 * Owns:     the first reason that a thread gave.
 * Waits:    stop_back_off alone.
 */
#ifndef APP_STOP_H
#define APP_STOP_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"

enum { STOP_RETRY_MS = 250, STOP_RETRY_MS_MAX = 2000 };

struct stop {
    const volatile sig_atomic_t *signal; /* fixed; set by a signal handler */
    pthread_mutex_t lock;                /* guards failure */
    struct error failure;
    atomic_bool has_failed;
};

/* Keeps signal. */
void stop_init(struct stop *stop, const volatile sig_atomic_t *signal);
void stop_fini(struct stop *stop);

/* A thread cannot go on; `context` is a struct stop. The first reason is kept; borrows why. */
void stop_fail(void *context, const char *why);

/* True after a signal or a failure. */
bool stop_is_asked(const struct stop *stop);

/* True after a failure, and copies its reason. Borrows error. */
bool stop_has_failed(struct stop *stop, struct error *error);

/* Sleeps between attempts: *delay_ms, which begins as STOP_RETRY_MS and doubles with each call.
 * Ends early, and answers false, when it is time to stop. */
bool stop_back_off(const struct stop *stop, int *delay_ms);

#endif
