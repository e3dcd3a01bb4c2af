/* event: login events made up from a seed, each with the verdict that it must get.
 *
 * Place:    generate and demo send them; demo compares the counts with what it sent.
 * Threads:  a source belongs to one thread.
 * Limits:   EVENT_VALUE_BYTES a value, EVENT_USERS_MAX users.
 *
 * I1  The same plan gives the same bytes (on machines whose pow(3) rounds alike).
 * I2  reason and the fields after it are what core/login must find, with the dimensions device_type
 *     and locale and a max_future_s of less than ten years.
 *
 * Sources:  splitmix64 and xoshiro256** by Blackman and Vigna; Zipf by the inversion of a table.
 */
#ifndef TOOLS_EVENT_H
#define TOOLS_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/login.h"

enum { EVENT_VALUE_BYTES = 512, EVENT_USERS_MAX = 1000000 };

struct event_plan {
    uint64_t seed;
    int64_t users;          /* 1 .. EVENT_USERS_MAX */
    double skew;            /* 0 .. 4: the n-th user logs in 1 / n^skew times as often */
    double invalid_percent; /* 0 .. 100: share of events that must be rejected */
    int64_t start_ms;       /* event time of the first event, since 1970 */
    int64_t rate;           /* events in a second of event time; at least 1 */
};

struct event {
    const char *value; /* in the source, until its next event; NULL for a null value */
    size_t value_bytes;
    int64_t timestamp_ms; /* for the Kafka record */

    enum login_reason reason; /* LOGIN_ACCEPTED, or why it must be rejected */
    const char *device_type;  /* the rest is set only when accepted */
    const char *locale;
    int64_t minute; /* since 1970 */
};

struct event_source;

struct event_source *event_source_create(const struct event_plan *plan);
void event_source_destroy(struct event_source **source);

void event_next(struct event_source *source, struct event *event);

/* Moves event time to now_ms, if that is later than the next event's: for a source that is to
 * follow a clock. */
void event_source_advance(struct event_source *source, int64_t now_ms);

#endif
