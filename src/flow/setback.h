/* setback: how long to wait after each failure of a series, and when to report the series. Used by
 * publish alone.
 *
 * Threads:  the troubles and setback_is_ready are for any, everything else for one.
 *
 * The first failure costs no time, since most are over by then; each further one doubles the wait,
 * and only setback_end starts afresh. A broker, or a quota of Kafka's, may be too slow for what is
 * tried at once: so each failure quarters the size of what is tried, and each success doubles it.
 */
#ifndef FLOW_SETBACK_H
#define FLOW_SETBACK_H

#include "base/trouble.h"

enum {
    SETBACK_PAUSE_MS_MIN = 20,
    SETBACK_PAUSE_MS_MAX = 2000,
    SETBACK_REPORT_MS = 10000, /* a series as long, */
    SETBACK_REPORT_COUNT = 4,  /* and of as many failures, is reported */
    SETBACK_HALVES_MAX = 8,
};

struct setback {
    int64_t count, first_ms, pause_ms;
    int halves;             /* how often the size is halved at present */
    struct trouble trouble; /* set while the series is to be reported */
    struct trouble waits;   /* why a call is made again, up to the next of another kind */
};

/* In place, of one that is all zero. */
void setback_init(struct setback *setback);
void setback_fini(struct setback *setback);

/* False, with the reason in `why`, while the series is to be reported or !is_ready. */
bool setback_is_ready(struct setback *setback, bool is_ready, int64_t now_ms, struct text *why);

/* One more failure. Returns the time until which to wait. Borrows why. */
int64_t setback_add(struct setback *setback, int64_t now_ms, const char *why);

/* What was tried has passed. */
void setback_passed(struct setback *setback);

/* The series is over. */
void setback_end(struct setback *setback);

#endif
