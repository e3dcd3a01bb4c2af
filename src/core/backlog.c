#include "core/backlog.h"

#include <string.h>

void backlog_clear(struct backlog *backlog) {
    backlog->done = -1;
    backlog->count = 0;
}

static void halve(struct backlog *backlog) {
    for (unsigned i = 0; i < BACKLOG_RUNS_MAX / 2; i++) {
        backlog->runs[i].written_at_ms = backlog->runs[2 * i].written_at_ms;
        backlog->runs[i].end = backlog->runs[2 * i + 1].end;
    }
    backlog->count = BACKLOG_RUNS_MAX / 2;
}

void backlog_add(struct backlog *backlog, int64_t end, int64_t written_at_ms) {
    if (backlog->count > 0 && end <= backlog->runs[backlog->count - 1].end) return;
    if (backlog->count == BACKLOG_RUNS_MAX) halve(backlog);
    if (written_at_ms < 1) written_at_ms = 1;
    backlog->runs[backlog->count++] = (struct backlog_run){end, written_at_ms};
}

int64_t backlog_passes(const struct backlog *backlog, unsigned run, int64_t stored) {
    const int64_t before = run == 0 ? 0 : backlog->runs[run - 1].end;
    const int64_t begin = before > backlog->done ? before : backlog->done;
    const int64_t end = backlog->runs[run].end < stored ? backlog->runs[run].end : stored;
    return backlog->done >= 0 && end > begin ? end - begin : 0;
}

void backlog_finish(struct backlog *backlog, int64_t stored) {
    unsigned finished = 0;
    while (finished < backlog->count && backlog->runs[finished].end <= stored)
        finished++;
    backlog->count -= finished;
    if (finished > 0)
        memmove(backlog->runs, backlog->runs + finished, backlog->count * sizeof *backlog->runs);
    backlog->done = stored;
}

void backlog_rewind(struct backlog *backlog, int64_t stored) {
    const int64_t oldest_ms = stored == backlog->done ? backlog_oldest_ms(backlog) : BACKLOG_NONE;
    backlog->done = stored;
    backlog->count = 0;
    if (oldest_ms != BACKLOG_NONE) /* ends where it can end at the earliest */
        backlog_add(backlog, stored + 1, oldest_ms);
}

int64_t backlog_oldest_ms(const struct backlog *backlog) {
    return backlog->count == 0 ? BACKLOG_NONE : backlog->runs[0].written_at_ms;
}
