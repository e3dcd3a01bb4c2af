/* event_time: the time of an event, from the field that holds it.
 *
 * Place:    core/login asks it, with the field that a decoder found.
 * Threads:  pure; any.
 */
#ifndef CORE_EVENT_TIME_H
#define CORE_EVENT_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "core/fields.h"
#include "core/instant.h"

enum {
    EVENT_TIME_DETAIL_BYTES = 384,
    EVENT_TIME_DAYS_BACK = 400, /* INSTANT_AUTO: how far a number may be before the record */
};

struct event_time_rules {
    enum instant_format format;
    int64_t max_future_s; /* that an event may be ahead of its record's Kafka timestamp */
};

/* Kafka's timestamp is in ms since 1970, below 0 there is none. False: the detail is why, without
 * the field's name. Requires a field that is not FIELD_ABSENT. Borrows all. */
bool event_time_read(const struct event_time_rules *rules, const struct field *field,
                     int64_t kafka_ms, struct instant *instant,
                     char detail[EVENT_TIME_DETAIL_BYTES]);

/* The same where the time is Kafka's own. */
bool event_time_of_kafka(int64_t kafka_ms, struct instant *instant,
                         char detail[EVENT_TIME_DETAIL_BYTES]);

#endif
