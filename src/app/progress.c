#include "app/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum { TERMINAL_MS = 500, LOG_MS = 10000 };

void progress_show(struct progress *progress, int64_t done, int64_t total, bool is_last) {
    const int64_t now_ms = clock_ms();
    if (progress->begun_ms == 0) {
        progress->begun_ms = now_ms;
        progress->is_terminal = isatty(STDERR_FILENO) == 1;
        progress->next_ms = now_ms + (progress->is_terminal ? TERMINAL_MS : LOG_MS);
    }
    if (now_ms < progress->next_ms && !(is_last && progress->is_terminal)) return;
    const int64_t elapsed_ms = now_ms - progress->begun_ms;
    const int64_t rate = elapsed_ms > 0 ? done * 1000 / elapsed_ms : 0;
    const int percent = total <= 0 ? 100 : done >= total ? 100 : (int)(done * 100 / total);
    progress->next_ms = now_ms + (progress->is_terminal ? TERMINAL_MS : LOG_MS);
    if (progress->is_terminal) {
        fprintf(stderr, "\r%lld of about %lld records (%d %%), %lld/s \033[K%s", (long long)done,
                (long long)total, percent, (long long)rate, is_last ? "\n" : "");
    } else {
        log_info("Counting again", log_int("records", done), log_int("of", total),
                 log_int("percent", percent), log_int("records_a_second", rate));
    }
}
