/* progress: how far a command has come, for whoever waits for it.
 *
 * Threads:  the main thread.
 *
 * On a terminal a line that is written over and over, elsewhere a log line now and then.
 */
#ifndef APP_PROGRESS_H
#define APP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress { /* all zero before the first call */
    int64_t begun_ms;
    int64_t next_ms;
    bool is_terminal;
};

/* Shows `done` of `total` records, if it is time to, or the last time. */
void progress_show(struct progress *progress, int64_t done, int64_t total, bool is_last);

#endif
