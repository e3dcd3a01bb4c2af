#include "core/event_time.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/login.h"

static const int64_t a_day_ms = INT64_C(24) * 60 * 60 * 1000;

__attribute__((format(printf, 2, 3))) static bool explain(char detail[EVENT_TIME_DETAIL_BYTES],
                                                          const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(detail, EVENT_TIME_DETAIL_BYTES, format, values);
    va_end(values);
    return false;
}

static enum instant_verdict read_unit(const struct field *field, enum instant_format unit,
                                      struct instant *instant) {
    return field->kind == FIELD_NUMBER ? instant_read_number(field->text, unit, instant)
                                       : instant_read_digits(field->text, unit, instant);
}

/* Not beyond the range of int64_t. */
static int64_t limit_ms(int64_t kafka_ms, int64_t max_future_s) {
    int64_t ahead_ms, limit;
    if (__builtin_mul_overflow(max_future_s, INT64_C(1000), &ahead_ms) ||
        __builtin_add_overflow(kafka_ms, ahead_ms, &limit))
        return INT64_MAX;
    return limit;
}

/* --- in words --------------------------------------------------------------------------------- */

static bool explain_ahead(struct instant instant, int64_t kafka_ms, int64_t max_future_s,
                          char detail[EVENT_TIME_DETAIL_BYTES]) {
    return explain(detail, "%lld s ahead of the record's own, more than %lld",
                   (long long)(instant.ms / 1000 - kafka_ms / 1000), (long long)max_future_s);
}

/* The smaller unit in which a number of too many is a time of our age, or -1. */
static int likely_unit(const struct field *field, enum instant_format unit) {
    const struct instant begin = {a_day_ms * 365, false}; /* 1971 */
    struct instant instant;
    for (unsigned u = unit + 1; u < INSTANT_UNIT_COUNT; u++) {
        if (read_unit(field, u, &instant) == INSTANT_OK && instant.ms >= begin.ms) return (int)u;
    }
    return -1;
}

static bool explain_range(const struct field *field, enum instant_format format,
                          char detail[EVENT_TIME_DETAIL_BYTES]) {
    if (format >= INSTANT_UNIT_COUNT) return explain(detail, "not within 1970 to 9999");
    const int likely = likely_unit(field, format);
    if (likely < 0)
        return explain(detail, "not within 1970 to 9999, in %s", instant_unit_name(format));
    return explain(detail,
                   "not within 1970 to 9999, in %s; it looks like %s: set "
                   "input.timestamp_format = %s",
                   instant_unit_name(format), instant_unit_name((enum instant_format)likely),
                   instant_format_names[likely]);
}

static bool looks_like_rfc3339(const struct field *field) {
    struct instant instant;
    const enum instant_verdict verdict = instant_read_rfc3339(field->text, &instant);
    return verdict == INSTANT_OK || verdict == INSTANT_OUT_OF_RANGE;
}

static bool explain_no_number(const struct field *field, char detail[EVENT_TIME_DETAIL_BYTES]) {
    if (field->kind == FIELD_NUMBER) return explain(detail, "not a whole number");
    return explain(
        detail, "a string, but not of digits%s",
        looks_like_rfc3339(field) ? "; it is RFC 3339: set input.timestamp_format = rfc3339" : "");
}

/* What the number would be in each unit. */
static bool explain_readings(const struct field *field, const char *problem,
                             char detail[EVENT_TIME_DETAIL_BYTES]) {
    int used = snprintf(detail, EVENT_TIME_DETAIL_BYTES, "%s;", problem);
    for (unsigned unit = 0; unit < INSTANT_UNIT_COUNT; unit++) {
        struct instant instant;
        char day[LOGIN_DAY_BYTES], minute[LOGIN_MINUTE_BYTES];
        used += snprintf(detail + used, (size_t)(EVENT_TIME_DETAIL_BYTES - used), "%s as %s it is ",
                         unit == 0 ? "" : ",", instant_format_names[unit]);
        if (read_unit(field, unit, &instant) != INSTANT_OK) {
            used += snprintf(detail + used, (size_t)(EVENT_TIME_DETAIL_BYTES - used),
                             "not within 1970 to 9999");
            continue;
        }
        login_day_format(instant.ms / 60000, day);
        login_minute_format(instant.ms / 60000, minute);
        used += snprintf(detail + used, (size_t)(EVENT_TIME_DETAIL_BYTES - used), "%sT%s:%02dZ",
                         day, minute, (int)(instant.ms / 1000 % 60));
    }
    return false;
}

/* --- formats ---------------------------------------------------------------------------------- */

static bool read_rfc3339(const struct field *field, struct instant *instant,
                         char detail[EVENT_TIME_DETAIL_BYTES]) {
    if (field->kind == FIELD_NUMBER) {
        return explain(detail, "a number, and not RFC 3339: see input.timestamp_format");
    }
    switch (instant_read_rfc3339(field->text, instant)) {
    case INSTANT_OK:
        return true;
    case INSTANT_NO_OFFSET:
        return explain(detail, "RFC 3339 without its offset, such as Z or +02:00");
    case INSTANT_OUT_OF_RANGE:
        return explain_range(field, INSTANT_RFC3339, detail);
    case INSTANT_NO_TIME:
        break;
    }
    return explain(detail, "a string, but not RFC 3339 such as 2024-07-10T14:36:56Z");
}

/* A number that is sure to be whole. */
static bool read_fitting_unit(const struct event_time_rules *rules, const struct field *field,
                              int64_t kafka_ms, struct instant *instant,
                              char detail[EVENT_TIME_DETAIL_BYTES]) {
    const int64_t first_ms = kafka_ms - EVENT_TIME_DAYS_BACK * a_day_ms;
    const int64_t last_ms = limit_ms(kafka_ms, rules->max_future_s);
    char problem[160];
    int fits = 0;
    if (kafka_ms < 0) {
        return explain_readings(field, "the record has no Kafka timestamp, so no unit fits",
                                detail);
    }
    for (unsigned unit = 0; unit < INSTANT_UNIT_COUNT; unit++) {
        struct instant found;
        if (read_unit(field, unit, &found) != INSTANT_OK) continue;
        if (found.ms < first_ms || instant_is_after(found, last_ms)) continue;
        *instant = found;
        fits++;
    }
    if (fits == 1) return true;
    snprintf(problem, sizeof problem,
             "%s puts it at most %d days before and %lld s after the record's Kafka timestamp",
             fits == 0 ? "no unit" : "more than one unit", EVENT_TIME_DAYS_BACK,
             (long long)rules->max_future_s);
    return explain_readings(field, problem, detail);
}

static bool read_auto(const struct event_time_rules *rules, const struct field *field,
                      int64_t kafka_ms, struct instant *instant,
                      char detail[EVENT_TIME_DETAIL_BYTES]) {
    struct instant any;
    if (read_unit(field, INSTANT_NS, &any) != INSTANT_NO_TIME)
        return read_fitting_unit(rules, field, kafka_ms, instant, detail);
    if (field->kind == FIELD_NUMBER) return explain_no_number(field, detail);
    return read_rfc3339(field, instant, detail);
}

static bool read_text(const struct event_time_rules *rules, const struct field *field,
                      int64_t kafka_ms, struct instant *instant,
                      char detail[EVENT_TIME_DETAIL_BYTES]) {
    if (rules->format == INSTANT_AUTO) return read_auto(rules, field, kafka_ms, instant, detail);
    if (rules->format == INSTANT_RFC3339) return read_rfc3339(field, instant, detail);
    switch (read_unit(field, rules->format, instant)) {
    case INSTANT_OK:
        return true;
    case INSTANT_OUT_OF_RANGE:
        return explain_range(field, rules->format, detail);
    case INSTANT_NO_TIME:
    case INSTANT_NO_OFFSET:
        break;
    }
    return explain_no_number(field, detail);
}

bool event_time_read(const struct event_time_rules *rules, const struct field *field,
                     int64_t kafka_ms, struct instant *instant,
                     char detail[EVENT_TIME_DETAIL_BYTES]) {
    if (field->kind != FIELD_NUMBER && field->kind != FIELD_TEXT) {
        return explain(detail, rules->format == INSTANT_RFC3339 ? "not a string"
                               : field->kind == FIELD_BROKEN
                                   ? "half of a surrogate pair, a number beyond a double, or a "
                                     "header that is not in UTF-8"
                                   : "neither a number nor a string of digits");
    }
    if (!read_text(rules, field, kafka_ms, instant, detail)) return false;
    const int64_t last_ms = limit_ms(kafka_ms, rules->max_future_s);
    if (kafka_ms < 0 || !instant_is_after(*instant, last_ms)) return true;
    return explain_ahead(*instant, kafka_ms, rules->max_future_s, detail);
}

bool event_time_of_kafka(int64_t kafka_ms, struct instant *instant,
                         char detail[EVENT_TIME_DETAIL_BYTES]) {
    *instant = (struct instant){kafka_ms, false};
    if (kafka_ms < 0) return explain(detail, "the record has no Kafka timestamp");
    if (kafka_ms > INSTANT_MS_MAX) return explain_range(NULL, INSTANT_RFC3339, detail);
    return true;
}
