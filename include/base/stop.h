/* stop: whether the program is to end, and why.
 *
 * Threads:  stop_init and stop_fini from the main thread; everything else from any, stop_ask from a
 *           signal handler too.
 * Owns:     the first reason that a thread gave.
 * Waits:    never.
 */
#ifndef BASE_STOP_H
#define BASE_STOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/alarm.h"
#include "base/error.h"

struct stop {
    atomic_int signal;    /* that asked for the end; 0: none has */
    struct alarm *alarm;  /* fixed; rung with each reason to end */
    pthread_mutex_t lock; /* guards failure */
    struct error failure;
    atomic_bool has_failed;
};

/* Keeps the alarm, on which the main thread sleeps. */
void stop_init(struct stop *stop, struct alarm *alarm);
void stop_fini(struct stop *stop);

/* A signal asks for the end. */
void stop_ask(struct stop *stop, int signal);

/* A thread cannot continue. The first reason is kept; borrows why. */
void stop_fail(struct stop *stop, const char *why);

/* True after a signal or a failure. */
bool stop_is_asked(const struct stop *stop);

/* True after a failure, and copies its reason. Borrows error. */
bool stop_has_failed(struct stop *stop, struct error *error);

#endif
