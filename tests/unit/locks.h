/* locks: a mutex that is unlocked must have been locked: include once, to have a test end where one
 * is not. Stands in front of the system's own. */
#ifndef TESTS_UNIT_LOCKS_H
#define TESTS_UNIT_LOCKS_H

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int pthread_mutex_unlock(pthread_mutex_t *mutex) {
    static _Atomic(void *) found; /* by whichever thread comes first */
    int (*real)(pthread_mutex_t *);
    if (found == NULL) found = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    *(void **)&real = found;
    if (pthread_mutex_trylock(mutex) == 0) {
        fputs("a mutex is unlocked that nobody has locked\n", stderr);
        abort();
    }
    return real(mutex);
}

#endif
