/* status: /status.json, and the status page without JavaScript: what one instance knows of itself.
 *
 * Place:    behind expose; the status page and `rollcall top` are made from it.
 * Threads:  status_tick from one thread; status_json and status_html from another one, both while
 *           the pipeline exists.
 * Owns:     its samples, and the JSON that it made last.
 * Limits:   the JSON is made again at most every STATUS_FRESH_MS, however many ask for it.
 * Waits:    never: it reads atomics, and copies of what WATCH read.
 *
 * docs/operation.md describes the JSON.
 */
#ifndef APP_STATUS_H
#define APP_STATUS_H

#include <pthread.h>
#include <stdint.h>

#include "base/text.h"
#include "core/cursor.h"
#include "core/login.h"

struct config;
struct pipeline;

enum {
    STATUS_RATE_MS = 10000, /* rates are over as long */
    STATUS_SAMPLES = 16,    /* about one a second */
    STATUS_FRESH_MS = 1000,
    STATUS_PARTITIONS_SHOWN = 100, /* on the page without JavaScript: those with most lag */
};

/* What is counted since the start. */
struct status_totals {
    int64_t consumed, published, counted, anomalies, lost, truncated;
    int64_t rejected[LOGIN_REASON_COUNT]; /* by reason */
    int64_t rewinds[CURSOR_CAUSE_COUNT];  /* by cause */
};

struct status {       /* all zero before status_init */
    int64_t start_ms; /* of the process, by clock_ms: no clock that is set changes its age */
    struct text json; /* made at made_ms */
    int64_t made_ms;

    pthread_mutex_t lock; /* guards what follows */
    char *settings;       /* JSON: the effective ones, without secrets */
    struct status_sample {
        int64_t at_ms; /* of clock_ms; 0: none */
        struct status_totals totals;
    } samples[STATUS_SAMPLES];
    unsigned next; /* the oldest one */
};

/* Borrows the pipeline, of which only the configuration need be there. */
void status_init(struct status *status, const struct pipeline *pipeline);
void status_fini(struct status *status);

/* The configuration was reloaded: shows the settings that it has now. */
void status_reload(struct status *status, const struct pipeline *pipeline);

/* The effective settings as a JSON object of "section.key": value, without secrets; the caller
 * frees it. */
char *status_settings(const struct config *config);

/* Takes a sample for the rates. To be called about once a second. */
void status_tick(struct pipeline *pipeline, int64_t now_ms);

/* Adds the JSON document. */
void status_json(struct pipeline *pipeline, struct text *out);

#endif
