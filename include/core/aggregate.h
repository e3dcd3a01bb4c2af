/* aggregate: the table of everything that rollcall counts; each count is described here once.
 *
 * Place:    whatever depends on what is counted follows from this table: which keys a record adds
 *           to (flow/batch), the sections of a checkpoint and the keys of its script, snapshot and
 *           totals. What follows from the kind alone (types in Redis, checks before the first
 *           write, the rights that the Redis user needs) is in src/edge/checkpoint.lua, one set of
 *           functions for each kind.
 * Threads:  fixed after aggregates_init; any.
 * Owns:     its texts. Keeps the settings.
 * Limits:   AGGREGATES_MAX.
 *
 * To count something else: a row in aggregate.c, and if it is a number that no other row counts, a
 * source of it here and its text in aggregate_name.
 */
#ifndef CORE_AGGREGATE_H
#define CORE_AGGREGATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/setting.h"
#include "core/declared.h"
#include "core/login.h"

enum {
    AGGREGATES_MAX = LOGIN_DIMENSIONS_MAX + 2 + DECLARED_MAX,
    AGGREGATE_TEXT_BYTES = 96,
    AGGREGATE_MINUTES_A_DAY = 24 * 60,
};

/* aggregate.*, anomaly.* and [count.NAME] */
struct aggregate_settings {
    struct setting_names dimensions; /* at least one */
    int max_values;                  /* of a dimension; further ones count under AGGREGATE_OTHER */
    int max_days;                    /* that have minutes of their own; older ones are one sum */
    int retention_days;              /* of minutes, from the last write to their day */
    int threshold;                   /* logins in a minute, above which it is an anomaly */
    struct declared_settings counts[DECLARED_MAX];
    int count_count;
};

extern const struct setting aggregate_setting_table[];

/* What of a record is counted. All but dimensions are numbers. */
enum aggregate_source {
    AGGREGATE_DIMENSION, /* the value of a dimension, if it is accepted: its place in the table is
                            that in login.values */
    AGGREGATE_MINUTE,    /* its minute since 1970, if it is accepted */
    AGGREGATE_REASON,    /* why it was rejected, if it was */
    AGGREGATE_DECLARED,  /* its bucket and values, if it is accepted: as core/declared has them */
};

/* How Redis holds it, and with that what bounds it. */
enum aggregate_kind {
    AGGREGATE_VALUES,   /* a sorted set: value, count; bounded by max_values */
    AGGREGATE_DAYS,     /* minutes: for each UTC day a hash: HH:MM, count; bounded by max_days and
                         retention_days; a minute above the threshold is an anomaly */
    AGGREGATE_NAMES,    /* a hash: name, count; there are only so many names */
    AGGREGATE_BUCKETS,  /* of a declared count: for each bucket a sorted set: value, count */
    AGGREGATE_TIMES,    /* of one by no dimension: for each UTC day a hash: 14 or 14:36, count */
    AGGREGATE_DATES,    /* the same for each day: a hash: day, count */
    AGGREGATE_DISTINCT, /* of a declared count of distinct values: for each bucket a HyperLogLog */
    AGGREGATE_DISTINCT_BY, /* the same by dimensions: for each bucket and value a HyperLogLog, and
                              for each bucket a sorted set: value, what PFCOUNT says of it */
};

/* Where counts beyond a bound go. */
#define AGGREGATE_OTHER "__other__"

/* A member next to the dimensions in /status.json: when their counts were read. */
#define AGGREGATE_READ_AT "read_at"

/* What the keys of declared counts begin with: of the counts themselves, and of the sorted sets of
 * their buckets and days, and of AGGREGATE_DISTINCT_BY of the values of a bucket, and of when they
 * expire. The name of the count follows. */
#define AGGREGATE_COUNT_KEY "count:"
#define AGGREGATE_BUCKETS_KEY "count_buckets:"
#define AGGREGATE_VALUES_KEY "count_values:"
#define AGGREGATE_ENDS_KEY "count_ends:"
#define AGGREGATE_PIECE_KEY "count_piece"
#define AGGREGATE_DATES_KEY "count_days:"

struct aggregate {
    enum aggregate_source source;
    enum aggregate_kind kind;
    char key[AGGREGATE_TEXT_BYTES];   /* in Redis, after the prefix and a colon; where days or
                                         buckets have a key: and before another colon and those */
    char title[AGGREGATE_TEXT_BYTES]; /* as a member of a snapshot: "Logins by Device Type"; of a
                                         declared count its name */
    char index_key[AGGREGATE_TEXT_BYTES]; /* the sorted set of days or buckets that there are, by
                                             when they expire; "": it has none */
    const char *anomalies_key;            /* AGGREGATE_DAYS: the stream of anomalies */
    struct declared declared;             /* AGGREGATE_DECLARED */
};

struct error;

struct aggregates {
    struct aggregate items[AGGREGATES_MAX]; /* an index here is a delta's field */
    unsigned count;
    unsigned first_declared; /* those from here on are AGGREGATE_DECLARED, all before are not */
    const struct aggregate_settings *settings;
};

/* False if two dimensions would have one title, or one the name of a fixed member of /status.json;
 * the error is why, without the setting's name.
 * Borrows both. */
bool aggregates_check(const struct aggregate_settings *settings, struct error *error);

/* Fills the table: the dimensions, then the others, then what is declared. Keeps settings. */
void aggregates_init(struct aggregates *aggregates, const struct aggregate_settings *settings);

/* Adds to the rules what distinct counts look at. Keeps the paths. */
void aggregates_add_uniques(const struct aggregate_settings *settings, struct login_rules *rules);

/* The number that a record adds one to. False if it adds to none, or to a text. */
static inline bool aggregate_number(const struct aggregate *aggregate, const struct login *login,
                                    int64_t *number) {
    const bool is_accepted = login->reason == LOGIN_ACCEPTED;
    switch (aggregate->source) {
    case AGGREGATE_MINUTE:
        *number = login->minute;
        return is_accepted;
    case AGGREGATE_REASON:
        *number = login->reason;
        return !is_accepted;
    case AGGREGATE_DIMENSION:
    case AGGREGATE_DECLARED:
        break;
    }
    return false;
}

/* Whether HyperLogLogs are counted, not events. */
static inline bool aggregate_is_distinct(const struct aggregate *aggregate) {
    return aggregate->kind == AGGREGATE_DISTINCT || aggregate->kind == AGGREGATE_DISTINCT_BY;
}

/* Whether each bucket of a declared count, be it an hour or a minute, has keys of its own. */
static inline bool aggregate_is_by_bucket(const struct aggregate *aggregate) {
    return aggregate->kind == AGGREGATE_BUCKETS || aggregate_is_distinct(aggregate);
}

/* Whether each day or bucket has a key of its own. */
static inline bool aggregate_has_buckets(const struct aggregate *aggregate) {
    return aggregate->kind == AGGREGATE_DAYS || aggregate->kind == AGGREGATE_TIMES ||
           aggregate_is_by_bucket(aggregate);
}

/* What the names in index_key are. */
static inline enum declared_every aggregate_index_every(const struct aggregate *aggregate) {
    return aggregate_is_by_bucket(aggregate) ? aggregate->declared.every : DECLARED_DAY;
}

/* The text of a number, as it is a field in Redis: "14:36", "bad_value". */
void aggregate_name(const struct aggregate *aggregate, int64_t number,
                    char name[AGGREGATE_TEXT_BYTES]);

#endif
