/* aggregate: the table of everything that rollcall counts; each count is described here once.
 *
 * Place:    whatever depends on what is counted follows from this table: which keys a record adds to
 *           (flow/batch), the sections of a checkpoint and the keys of its script, snapshot and totals,
 *           the checks before the first write, and the rights that the Redis user needs.
 * Threads:  fixed after aggregates_init; any.
 * Owns:     its texts. Keeps the settings.
 * Limits:   AGGREGATES_MAX.
 */
#ifndef CORE_AGGREGATE_H
#define CORE_AGGREGATE_H

#include <stdint.h>

#include "base/setting.h"
#include "core/login.h"

enum { AGGREGATES_MAX = LOGIN_DIMENSIONS_MAX + 2, AGGREGATE_TEXT_BYTES = 96 };

/* aggregate.* and anomaly.* */
struct aggregate_settings {
    struct setting_names dimensions; /* at least one */
    int max_values;                  /* of a dimension; further ones count under AGGREGATE_OTHER */
    int max_days;                    /* that have minutes of their own; older ones are one sum */
    int retention_days;              /* of minutes, from the last write to their day */
    int threshold;                   /* logins in a minute, above which it is an anomaly */
};

extern const struct setting aggregate_setting_table[];

/* What of a record is counted. */
enum aggregate_source {
    AGGREGATE_DIMENSION, /* the value of a dimension, if it is accepted */
    AGGREGATE_MINUTE,    /* its minute, if it is accepted */
    AGGREGATE_REASON,    /* why it was rejected, if it was */
};

/* How Redis holds it, and with that what bounds it. */
enum aggregate_kind {
    AGGREGATE_VALUES, /* a sorted set: value, count; bounded by max_values */
    AGGREGATE_DAYS,   /* a hash for each UTC day: minute, count; bounded by max_days and retention_days */
    AGGREGATE_NAMES,  /* a hash: name, count; there are only so many names */
};

/* Where counts beyond a bound go. */
#define AGGREGATE_OTHER "__other__"

struct aggregate {
    enum aggregate_source source;
    enum aggregate_kind kind;
    unsigned dimension;               /* AGGREGATE_DIMENSION: its place in login.values */
    char key[AGGREGATE_TEXT_BYTES];   /* in Redis, behind the prefix and a colon; AGGREGATE_DAYS: and
                                         before another colon and the day */
    char title[AGGREGATE_TEXT_BYTES]; /* as a member of a snapshot: "Logins by Device Type" */
};

struct aggregates {
    struct aggregate items[AGGREGATES_MAX]; /* an index here is a delta's field */
    unsigned count;
    const struct aggregate_settings *settings;
};

/* Fills the table. Keeps settings. */
void aggregates_init(struct aggregates *aggregates, const struct aggregate_settings *settings);

#endif
