/* declared: counts that the user declares, [count.NAME]: by up to three dimensions, for each day,
 * hour or minute, or both.
 *
 * Place:    rows of core/aggregate's table; flow/batch makes their keys, edge/redis_call reads them
 *           again.
 * Threads:  pure; any.
 * Limits:   DECLARED_MAX counts, DECLARED_BY_MAX dimensions of one; in Redis max_values values of a
 *           bucket, and aggregate.max_days days of buckets.
 *
 * A bucket is a day, hour or minute (UTC), by the minute since 1970 at which it begins. A count
 * without `every` has one bucket, 0, without a name. The key of a count in a delta is its bucket,
 * as an int64_t, and its value behind it: that of one dimension as it is; of several with a |
 * between them, and a \ before each | and \ in them.
 */
#ifndef CORE_DECLARED_H
#define CORE_DECLARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/setting.h"
#include "base/slice.h"
#include "core/login.h"

enum {
    DECLARED_MAX = 16,
    DECLARED_BY_MAX = 3,
    DECLARED_NAME_BYTES_MAX = 64,
    DECLARED_BUCKET_BYTES = sizeof "2024-07-10T14:36",
    DECLARED_TIME_AT = sizeof "2024-07-10T" - 1, /* in the name of an hour or a minute */
    DECLARED_HEAD_BYTES = sizeof(int64_t),       /* of a key, before the value */
    DECLARED_KEY_BYTES =
        DECLARED_HEAD_BYTES + DECLARED_BY_MAX * (2 * LOGIN_VALUE_BYTES_MAX + 1) - 1,
};

enum declared_every { DECLARED_TOTAL, DECLARED_DAY, DECLARED_HOUR, DECLARED_MINUTE };

/* "none", "day", "hour", "minute"; NULL ends them. */
extern const char *const declared_every_names[];

/* [count.NAME] */
struct declared_settings {
    char *name;
    struct setting_names by; /* of aggregate.dimensions */
    enum declared_every every;
    int retention_days; /* from the last write to a bucket */
    int max_values;     /* of a bucket; further ones count under AGGREGATE_OTHER */
    char *unique;       /* a path, whose different values are counted; "": events are counted */
};

extern const struct setting declared_setting_table[];

struct error;

/* Whether a count can be declared so, for these dimensions; the error is why not, and begins with
 * what it is about: "count.NAME". Borrows all. */
bool declared_check(const struct declared_settings *settings,
                    const struct setting_names *dimensions, struct error *error);

/* Whether different values are counted, not events. */
static inline bool declared_is_distinct(const struct declared_settings *settings) {
    return settings->unique != NULL && settings->unique[0] != '\0';
}

/* What of a record a count looks at. */
struct declared {
    const struct declared_settings *settings; /* NULL: not declared, but built in */
    enum declared_every every;
    unsigned by_count;
    unsigned by[DECLARED_BY_MAX]; /* indexes of login.values */
    unsigned unique;              /* of a distinct count: an index of login.uniques */
};

/* Keeps settings, which declared_check has found right for these dimensions. */
void declared_init(struct declared *declared, const struct declared_settings *settings,
                   const struct setting_names *dimensions);

/* Writes the key of an accepted record, and returns its length. */
size_t declared_key(const struct declared *declared, const struct login *login,
                    char key[DECLARED_KEY_BYTES]);

/* The bucket that a minute since 1970 is in. */
int64_t declared_bucket(enum declared_every every, int64_t minute);

/* The bucket of a key, and the value behind it. */
int64_t declared_key_bucket(const char *key);
static inline struct slice declared_key_value(const char *key, size_t length) {
    return (struct slice){key + DECLARED_HEAD_BYTES, length - DECLARED_HEAD_BYTES};
}

/* "2024-07-10", "2024-07-10T14", "2024-07-10T14:36", or "" for DECLARED_TOTAL. */
void declared_bucket_name(enum declared_every every, int64_t bucket,
                          char name[DECLARED_BUCKET_BYTES]);

/* How many buckets, as Redis holds them, max_days days have. */
int64_t declared_buckets_max(const struct declared_settings *settings, int max_days);

/* The bucket of such a name; false if it is none. Borrows name. */
bool declared_bucket_parse(enum declared_every every, struct slice name, int64_t *bucket);

#endif
