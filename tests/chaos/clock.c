/* For LD_PRELOAD: a process whose wall clock is CLOCK_SHIFT_S seconds fast, or slow if negative.
 *
 * Waits until a point of wall time are shifted back, so that they last as long as they should: only
 * what the process reads is wrong, as if the machine's clock had been wrong since it started. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

enum { WALL_S = 1000000000 }; /* a monotonic clock is far below this */

static long shift_s;
static int (*real_cond_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*real_cnd_timedwait)(cnd_t *, mtx_t *, const struct timespec *);
static int (*real_mutex_timedlock)(pthread_mutex_t *, const struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("CLOCK_SHIFT_S");
    shift_s = text == NULL ? 0 : strtol(text, NULL, 10);
    *(void **)&real_cond_timedwait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    *(void **)&real_cnd_timedwait = dlsym(RTLD_NEXT, "cnd_timedwait");
    *(void **)&real_mutex_timedlock = dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    const long status = syscall(SYS_clock_gettime, clock, now);
    if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift_s;
    return (int)status;
}

int timespec_get(struct timespec *now, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &found) != 0) return -1;
    *now = (struct timeval){found.tv_sec, found.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into != NULL) *into = now.tv_sec;
    return now.tv_sec;
}

static struct timespec shifted_back(const struct timespec *until) {
    struct timespec real = *until;
    if (real.tv_sec > WALL_S) real.tv_sec -= shift_s;
    return real;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                           const struct timespec *until) {
    const struct timespec real = shifted_back(until);
    return real_cond_timedwait(condition, mutex, &real);
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until) {
    const struct timespec real = shifted_back(until);
    return real_mutex_timedlock(mutex, &real);
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    const struct timespec real = shifted_back(until);
    return real_cnd_timedwait(condition, mutex, &real);
}
