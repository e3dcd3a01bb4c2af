/* vitals: what the operating system knows of this process, and whether its threads move.
 *
 * Place:    behind /metrics and /status.json.
 * Threads:  any.
 */
#ifndef APP_VITALS_H
#define APP_VITALS_H

#include <stdint.h>

#include "base/metric.h"

struct vitals {
    struct metric_cell *threads_stuck;
    struct metric *reloads; /* of the configuration, by result */
    struct metric_cell *cpu, *start, *resident, *virtual, *open_fds, *max_fds;
};

extern const struct metric_row vitals_metric_table[];

/* Sets the process_* metrics, which nothing else keeps up to date. */
void vitals_refresh(const struct vitals *vitals);

#endif
