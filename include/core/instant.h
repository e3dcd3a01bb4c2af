/* instant: a time as events write it.
 *
 * Threads:  pure; any.
 *
 * Units count from 1970-01-01T00:00:00Z; leap seconds are not counted. A number counts by its
 * value, exactly, however many digits it has: 1e5 and 1720622216.0 are whole numbers. Allowed are
 * 1970 to 9999.
 */
#ifndef CORE_INSTANT_H
#define CORE_INSTANT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* How a time is written; the first ones are units, each a thousandth of the one before. */
enum instant_format {
    INSTANT_S,
    INSTANT_MS,
    INSTANT_US,
    INSTANT_NS,
    INSTANT_RFC3339,
    INSTANT_AUTO, /* a number in the one unit that fits, any other text as RFC 3339 */
    INSTANT_FORMAT_COUNT,
    INSTANT_UNIT_COUNT = INSTANT_NS + 1,
};

/* 9999-12-31T23:59:59.999Z in ms since 1970. */
#define INSTANT_MS_MAX INT64_C(253402300799999)

struct instant {
    int64_t ms;    /* since 1970, rounded down */
    bool has_rest; /* something was rounded down */
};

enum instant_verdict {
    INSTANT_OK,
    INSTANT_NO_TIME,      /* not of this form */
    INSTANT_NO_OFFSET,    /* RFC 3339 but for the offset */
    INSTANT_OUT_OF_RANGE, /* before 1970 or after 9999 */
};

/* "s", "ms", ..., "auto"; NULL ends them. */
extern const char *const instant_format_names[];

/* "seconds" for INSTANT_S. */
const char *instant_unit_name(enum instant_format unit);

/* A whole number as JSON writes it, or a text of digits alone. Borrows text. */
enum instant_verdict instant_read_number(struct slice number, enum instant_format unit,
                                         struct instant *instant);
enum instant_verdict instant_read_digits(struct slice text, enum instant_format unit,
                                         struct instant *instant);

/* A day of the calendar as YYYY-MM-DD: its number since 1970, also where it is out of range.
 * Borrows text. */
enum instant_verdict instant_read_day(struct slice text, int64_t *day);

/* RFC 3339 with any offset; a space or t for T, z for Z; fractions of a second are dropped; second
 * 60 is 59. Borrows text. */
enum instant_verdict instant_read_rfc3339(struct slice text, struct instant *instant);

/* Whether it is later than a time in ms. */
static inline bool instant_is_after(struct instant instant, int64_t ms) {
    return instant.ms > ms || (instant.ms == ms && instant.has_rest);
}

#endif
