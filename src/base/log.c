/* Two short locks. `limit_lock` guards the rate limit and the held-back error line, and is held for
 * a table look-up and at most one copy. `write_lock` keeps the look whether stderr takes a line and
 * the write of it together, and is only ever waited for with a deadline, so a reader of stderr
 * that has stopped costs a thread LOG_WAIT_MS a line, and never stops it. */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_limit.h"
#include "base/log_line.h"

/* shared: set by log_configure, read by all; relaxed, since nothing else depends on them */
static atomic_int enabled_level = LOG_INFO;
static atomic_int line_format = LOG_LOGFMT;
static atomic_uint_fast64_t dropped_count; /* not yet reported */

/* guarded by limit_lock */
static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_limit limit;
static char held_line[LOG_LINE_BYTES]; /* the newest error that was held back */
static size_t held_bytes;              /* 0: none, or a newer error was written */

static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;

const struct setting log_setting_table[] = {
    SETTING_CHOICE(struct log_settings, level, "log", "level", "error warn info debug", "info",
                   SETTING_RELOADABLE, "which lines are written: those of this level and above"),
    SETTING_CHOICE(struct log_settings, format, "log", "format", "logfmt json", "logfmt",
                   SETTING_RELOADABLE, "one line for each event: key=value pairs, or JSON"),
    SETTING_END};
static_assert(LOG_ERROR == 0 && LOG_WARN == 1 && LOG_INFO == 2 && LOG_DEBUG == 3, "log.level");
static_assert(LOG_LOGFMT == 0 && LOG_JSON == 1, "log.format");

void log_configure(enum log_level level, enum log_format format) {
    atomic_store_explicit(&enabled_level, (int)level, memory_order_relaxed);
    atomic_store_explicit(&line_format, (int)format, memory_order_relaxed);
}

bool log_is_enabled(enum log_level level) {
    return (int)level <= atomic_load_explicit(&enabled_level, memory_order_relaxed);
}

/* True if stderr took the whole line within LOG_WAIT_MS. */
static bool write_line(const char *line, size_t count) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_nsec += LOG_WAIT_MS * 1000000L;
    if (deadline.tv_nsec >= 1000000000L) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000L;
    }
    if (pthread_mutex_timedlock(&write_lock, &deadline) != 0) return false;
    struct pollfd target = {.fd = STDERR_FILENO, .events = POLLOUT};
    bool is_written = poll(&target, 1, LOG_WAIT_MS) == 1 && (target.revents & POLLOUT) != 0;
    if (is_written) {
        ssize_t written;
        do {
            written = write(STDERR_FILENO, line, count);
        } while (written < 0 && errno == EINTR);
        is_written = written == (ssize_t)count;
    }
    pthread_mutex_unlock(&write_lock);
    return is_written;
}

/* Writes a line that reports the dropped ones before it, or is itself dropped. */
static void emit(struct log_line *line) {
    char text[LOG_LINE_BYTES];
    line->dropped_count = atomic_exchange_explicit(&dropped_count, 0, memory_order_relaxed);
    const size_t count = log_line_render(line, text);
    if (write_line(text, count)) return;
    atomic_fetch_add_explicit(&dropped_count, line->dropped_count + 1, memory_order_relaxed);
}

void log_write(enum log_level level, const char *message, const struct log_field fields[]) {
    assert(message != NULL);
    if (!log_is_enabled(level)) return;
    const int saved_errno = errno;
    struct log_line line = {
        .level = level,
        .format = (enum log_format)atomic_load_explicit(&line_format, memory_order_relaxed),
        .now_ms = clock_wall_ms(),
        .message = message,
        .fields = fields,
    };
    pthread_mutex_lock(&limit_lock);
    const bool is_allowed = log_limit_allow(&limit, message, clock_ms(), &line.suppressed_count);
    if (level == LOG_ERROR) held_bytes = is_allowed ? 0 : log_line_render(&line, held_line);
    pthread_mutex_unlock(&limit_lock);
    if (is_allowed) emit(&line);
    errno = saved_errno;
}

void log_flush(void) {
    char text[LOG_LINE_BYTES];
    pthread_mutex_lock(&limit_lock);
    const size_t count = held_bytes;
    memcpy(text, held_line, count);
    held_bytes = 0;
    pthread_mutex_unlock(&limit_lock);
    if (count > 0) write_line(text, count);
}
