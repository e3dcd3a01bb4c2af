/* thread: starts a thread that debuggers, perf and `top -H` know by name.
 *
 * Threads:  any.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

enum { THREAD_NAME_BYTES = 16 }; /* Linux keeps no more */

/* Runs run(context) in a new thread, to be joined. The name is a help and no need. False: the system
 * gives no thread. */
static inline bool thread_start(pthread_t *thread, const char name[], void *(*run)(void *context),
                                void *context) {
    if (pthread_create(thread, NULL, run, context) != 0) return false;
    pthread_setname_np(*thread, name);
    return true;
}

#endif
