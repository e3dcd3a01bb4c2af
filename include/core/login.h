/* login: the verdict on one record of the input topic.
 *
 * Place:    ingest asks, first thing, for every record; nothing behind it looks at JSON again.
 * Threads:  one judge a thread; judges share nothing.
 * Owns:     what a struct login points to lies in the record itself, or in the judge until its
 *           next record.
 * Limits:   LOGIN_DIMENSIONS_MAX, LOGIN_VALUE_BYTES_MAX, LOGIN_TIMESTAMP_MAX. RFC 8259 (section 9)
 *           lets a parser set its own: more than 2048 levels of nesting are not_json. A number that
 *           no double can hold (1e400) and half of a surrogate pair ("\ud800") are bad_value, or
 *           bad_timestamp, in what the rules look at, and nothing elsewhere.
 * Waits:    never. When memory runs out it ends the process (abort): nothing is lost by a crash,
 *           but much by a verdict that would be another one on the next machine.
 *
 * I1  The verdict is a pure function of the record's bytes, its Kafka timestamp and the rules: no
 *     clock, no locale, no memory of earlier records.
 * I2  Of several reasons the first in the order of enum login_reason is given; within one, the
 *     first dimension in the order of the rules, then the key, then what is counted distinctly,
 *     the timestamp last.
 */
#ifndef CORE_LOGIN_H
#define CORE_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/setting.h"
#include "base/slice.h"
#include "core/instant.h"

enum {
    LOGIN_DIMENSIONS_MAX = 8,
    LOGIN_UNIQUES_MAX = 16,
    LOGIN_HEADERS_MAX = LOGIN_DIMENSIONS_MAX + LOGIN_UNIQUES_MAX + 1, /* that rules may look at */
    LOGIN_VALUE_BYTES_MAX = 128,                                      /* of UTF-8 */
    LOGIN_DAY_BYTES = sizeof "2024-07-10",
    LOGIN_MINUTE_BYTES = sizeof "14:36",
};

/* 9999-12-31T23:59:59Z in seconds since 1970. */
#define LOGIN_TIMESTAMP_MAX INT64_C(253402300799)
#define LOGIN_MINUTE_MAX (LOGIN_TIMESTAMP_MAX / 60)

enum login_reason {
    LOGIN_ACCEPTED = 0,
    LOGIN_EMPTY,
    LOGIN_NOT_JSON,
    LOGIN_NOT_OBJECT,
    LOGIN_MISSING_FIELD,
    LOGIN_BAD_VALUE,
    LOGIN_BAD_TIMESTAMP,
    LOGIN_REASON_COUNT
};

enum login_framing {
    LOGIN_FRAMING_NONE,
    LOGIN_FRAMING_CONFLUENT, /* byte 0 and four of a schema id stand before some values */
};

enum login_accept {
    LOGIN_ACCEPT_STRING,
    LOGIN_ACCEPT_SCALAR, /* numbers as they are written, true and false too */
};

/* [dimension.NAME] */
struct login_dimension_settings {
    char *name;     /* as aggregate.dimensions has it */
    char *from;     /* a path; NULL: the name */
    char *fallback; /* its default; "": none */
    enum login_accept accept;
};

/* input.timestamp, .timestamp_format, .key, .framing; aggregate.max_future_s */
struct login_settings {
    char *timestamp, *key; /* paths */
    enum instant_format timestamp_format;
    enum login_framing framing;
    int max_future_s; /* how far a login may be ahead of its record's Kafka timestamp */
    struct login_dimension_settings dimensions[LOGIN_DIMENSIONS_MAX]; /* in any order */
    int dimension_count;
};

extern const struct setting login_setting_table[];
extern const struct setting login_dimension_setting_table[];

/* A dimension as the rules have it. */
struct login_dimension {
    const char *name;
    const char *from;     /* a path; NULL: the name */
    const char *fallback; /* NULL: none */
    enum login_accept accept;
};

/* All zero but the dimensions: what the settings have by default, and no limit ahead. */
struct login_rules {
    struct login_dimension dimensions[LOGIN_DIMENSIONS_MAX]; /* in the order of login.values */
    size_t dimension_count;
    const char *uniques[LOGIN_UNIQUES_MAX]; /* paths, in the order of login.uniques */
    size_t unique_count;
    const char *timestamp; /* a path; NULL: "timestamp" */
    const char *key;       /* a path; NULL: "user_id" */
    enum instant_format timestamp_format;
    enum login_framing framing;
    int64_t max_future_s; /* how far a login may be ahead of its record's Kafka timestamp; >= 0 */
};

/* The rules that follow from the settings, for the dimensions of these names. Keeps all texts. */
void login_rules_init(struct login_rules *rules, const struct login_settings *settings,
                      const struct setting_names *dimensions);

/* A header of a record. */
struct login_header {
    bool is_there;
    struct slice value; /* bytes NULL: null */
};

/* What is judged. */
struct login_record {
    struct slice value;
    int64_t timestamp_ms;               /* Kafka's, below 0: it has none */
    const struct login_header *headers; /* in the order of login_judge_headers */
};

struct login {
    enum login_reason reason;
    const char *detail; /* rejected: what is wrong, printable ASCII but for names; accepted: "" */

    /* The rest is set only when accepted. */
    struct slice values[LOGIN_DIMENSIONS_MAX]; /* of each dimension, 1 .. 128 bytes */
    int64_t minute;                            /* since 1970, 0 .. LOGIN_MINUTE_MAX */
    struct slice key; /* for a record without one: a string, or a number as it is written; else
                         {NULL, 0} */
    struct slice uniques[LOGIN_UNIQUES_MAX]; /* a string, or a number, true or false as written; or
                                                {NULL, 0}: missing, empty or something else */
};

struct login_judge;

/* Keeps the strings that the rules point to. */
struct login_judge *login_judge_create(const struct login_rules *rules);

/* Takes *judge, which may be NULL, and nulls it. */
void login_judge_destroy(struct login_judge **judge);

/* The headers that a judgement depends on: how many, and names[] of each. */
size_t login_judge_headers(const struct login_judge *judge, const char *const **names);

/* Judges one record. Borrows it; without a Kafka timestamp nothing can be too far ahead. Fills
 * login, whose pointers are good until the next call on this judge, and no longer than the bytes of
 * the record. */
void login_judge_record(struct login_judge *judge, const struct login_record *record,
                        struct login *login);

/* From now on core/parse decodes every record, also those that core/scan is sure of: for tests that
 * compare the two. */
void login_judge_distrust_scan(struct login_judge *judge);

/* "empty", "not_json", ...: as in Redis, metrics and headers; "accepted" for LOGIN_ACCEPTED. */
const char *login_reason_name(enum login_reason reason);

/* The names of all reasons to reject, in the order of the enum; NULL ends them. */
extern const char *const *const login_rejection_names;

/* The UTC day of a minute since 1970, 0 .. LOGIN_MINUTE_MAX, as YYYY-MM-DD. */
void login_day_format(int64_t minute, char day[LOGIN_DAY_BYTES]);

/* The same minute within its day, as HH:MM. */
void login_minute_format(int64_t minute, char time[LOGIN_MINUTE_BYTES]);

#endif
