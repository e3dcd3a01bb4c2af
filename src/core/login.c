/* A record is judged in two steps: a decoder turns its bytes into struct fields, then the rules are
 * applied to these. The rules never see JSON, so the verdict on a record does not depend on which
 * decoder read it: core/scan, when it is sure, fills the same fields as core/parse does. */
#include "core/login.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "core/fields.h"
#include "core/parse.h"
#include "core/scan.h"

struct login_judge {
    struct login_rules rules;
    struct scan scan;
    bool is_scan_off;
    struct parse parse;
    char detail[PARSE_DETAIL_BYTES];
    char digits[sizeof "9007199254740992"]; /* of a user_id, up to FIELD_WHOLE_MAX */
};

static enum login_reason apply_rules(struct login_judge *judge, const struct fields *fields,
                                     int64_t kafka_timestamp_ms, struct login *login);
static enum login_reason reject(struct login_judge *judge, enum login_reason reason,
                                const char *format, ...) __attribute__((format(printf, 3, 4)));

struct login_judge *login_judge_create(const struct login_rules *rules) {
    assert(rules->dimension_count <= LOGIN_DIMENSIONS_MAX);
    assert(rules->max_future_s >= 0);

    struct login_judge *judge = memory_create(sizeof *judge);
    judge->rules = *rules;
    scan_init(&judge->scan, &judge->rules);
    parse_init(&judge->parse);
    return judge;
}

void login_judge_destroy(struct login_judge **judge) {
    if (*judge == NULL) return;
    parse_release(&(*judge)->parse);
    free(*judge);
    *judge = NULL;
}

void login_judge_distrust_scan(struct login_judge *judge) {
    judge->is_scan_off = true;
}

void login_judge_record(struct login_judge *judge, const void *value, size_t bytes,
                        int64_t kafka_timestamp_ms, struct login *login) {
    enum login_reason reason = LOGIN_ACCEPTED;
    struct fields fields;
    judge->detail[0] = '\0';
    if (value == NULL || bytes == 0) {
        reason = reject(judge, LOGIN_EMPTY, "the record has no value");
    } else if (judge->is_scan_off || !scan_record(&judge->scan, value, bytes, &fields)) {
        reason = parse_record(&judge->parse, &judge->rules, value, bytes, &fields, judge->detail);
    }
    if (reason == LOGIN_ACCEPTED) reason = apply_rules(judge, &fields, kafka_timestamp_ms, login);
    if (reason != LOGIN_ACCEPTED) *login = (struct login){0};
    login->reason = reason;
    login->detail = judge->detail;
}

const struct setting login_setting_table[] = {
    SETTING_NUMBER(struct login_settings, max_future_s, "aggregate", "max_future_s", 0, 315360000,
                   "3600", 0,
                   "how many seconds a login may be ahead of its record's Kafka timestamp"),
    SETTING_END,
};

static const char *const reason_names[LOGIN_REASON_COUNT + 1] = {
    [LOGIN_ACCEPTED] = "accepted",           [LOGIN_EMPTY] = "empty",
    [LOGIN_NOT_JSON] = "not_json",           [LOGIN_NOT_OBJECT] = "not_object",
    [LOGIN_MISSING_FIELD] = "missing_field", [LOGIN_BAD_VALUE] = "bad_value",
    [LOGIN_BAD_TIMESTAMP] = "bad_timestamp",
};

const char *const *const login_rejection_names = &reason_names[LOGIN_ACCEPTED + 1];

const char *login_reason_name(enum login_reason reason) {
    assert((unsigned)reason < LOGIN_REASON_COUNT);
    return reason_names[reason];
}

/* Days to a date of the Gregorian calendar by Howard Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms" (civil_from_days): years begin in March, so that the leap day is the last of its
 * year; an era is 400 years, 146097 days. */
void login_day_format(int64_t minute, char day[LOGIN_DAY_BYTES]) {
    assert(minute >= 0 && minute <= LOGIN_MINUTE_MAX);
    const unsigned days = (unsigned)(minute / (24 * 60)) + 719468; /* since 0000-03-01 */
    const unsigned era = days / 146097;
    const unsigned day_of_era = days % 146097;
    const unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const unsigned day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const unsigned month_from_march = (5 * day_of_year + 2) / 153;
    const unsigned day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    const unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    const unsigned year = era * 400 + year_of_era + (month <= 2 ? 1 : 0);

    char text[40]; /* as long as the compiler believes that three numbers could be */
    snprintf(text, sizeof text, "%04u-%02u-%02u", year, month, day_of_month);
    memcpy(day, text, LOGIN_DAY_BYTES);
}

void login_minute_format(int64_t minute, char time[LOGIN_MINUTE_BYTES]) {
    assert(minute >= 0 && minute <= LOGIN_MINUTE_MAX);
    const int of_day = (int)(minute % (24 * 60));
    const int hour = of_day / 60;
    time[0] = (char)('0' + hour / 10);
    time[1] = (char)('0' + hour % 10);
    time[2] = ':';
    time[3] = (char)('0' + of_day % 60 / 10);
    time[4] = (char)('0' + of_day % 10);
    time[5] = '\0';
}

/* --- rules --- */

static enum login_reason check_dimension(struct login_judge *judge, const char *name,
                                         const struct field *field) {
    if (field->kind != FIELD_TEXT) {
        return reject(judge, LOGIN_BAD_VALUE, "%s: not a string", name);
    }
    if (field->text.length == 0) {
        return reject(judge, LOGIN_BAD_VALUE, "%s: empty", name);
    }
    if (field->text.length > LOGIN_VALUE_BYTES_MAX) {
        return reject(judge, LOGIN_BAD_VALUE, "%s: %zu bytes, more than %d", name,
                      field->text.length, LOGIN_VALUE_BYTES_MAX);
    }
    return LOGIN_ACCEPTED;
}

/* Decimal digits and nothing else. Too many come out as INT64_MAX. */
static bool parse_digits(struct slice text, int64_t *number) {
    int64_t sum = 0;
    for (size_t i = 0; i < text.length; i++) {
        const char c = text.bytes[i];
        if (c < '0' || c > '9') return false;
        sum = sum < INT64_MAX / 10 ? sum * 10 + (c - '0') : INT64_MAX;
    }
    *number = sum;
    return text.length > 0;
}

/* The unit that makes a time of too many seconds one of our age, or NULL. */
static const char *likely_unit(double seconds) {
    return seconds < 1e11 || seconds >= 9e18 ? NULL
           : seconds < 1e14                  ? "milliseconds"
           : seconds < 1e17                  ? "microseconds"
                                             : "nanoseconds";
}

static enum login_reason reject_range(struct login_judge *judge, double seconds) {
    const char *unit = likely_unit(seconds);
    return reject(judge, LOGIN_BAD_TIMESTAMP, "timestamp: not within 1970 to 9999, in seconds%s%s",
                  unit == NULL ? "" : "; it looks like ", unit == NULL ? "" : unit);
}

/* True when the login is more than max_future_s ahead of the record; exact to the millisecond. */
static bool is_too_far_ahead(int64_t timestamp_s, int64_t kafka_timestamp_ms,
                             int64_t max_future_s) {
    int64_t max_future_ms = 0;
    int64_t limit_ms = 0;
    if (kafka_timestamp_ms < 0) return false;
    if (__builtin_mul_overflow(max_future_s, INT64_C(1000), &max_future_ms)) return false;
    if (__builtin_add_overflow(kafka_timestamp_ms, max_future_ms, &limit_ms)) return false;
    return timestamp_s * 1000 > limit_ms;
}

static enum login_reason check_timestamp(struct login_judge *judge, const struct field *field,
                                         int64_t kafka_timestamp_ms, int64_t *timestamp_s) {
    switch (field->kind) {
    case FIELD_WHOLE:
        *timestamp_s = field->whole;
        break;
    case FIELD_NUMBER:
        if (field->number < 0 || field->number > (double)LOGIN_TIMESTAMP_MAX) {
            return reject_range(judge, field->number);
        }
        return reject(judge, LOGIN_BAD_TIMESTAMP, "timestamp: not a whole number");
    case FIELD_TEXT:
        if (!parse_digits(field->text, timestamp_s)) {
            return reject(judge, LOGIN_BAD_TIMESTAMP, "timestamp: a string, but not of digits");
        }
        break;
    case FIELD_OTHER:
    case FIELD_ABSENT:
        return reject(judge, LOGIN_BAD_TIMESTAMP,
                      "timestamp: neither a number nor a string of digits");
    }
    if (*timestamp_s > LOGIN_TIMESTAMP_MAX) return reject_range(judge, (double)*timestamp_s);
    if (is_too_far_ahead(*timestamp_s, kafka_timestamp_ms, judge->rules.max_future_s)) {
        return reject(judge, LOGIN_BAD_TIMESTAMP,
                      "timestamp: %lld s ahead of the record's own, more than %lld",
                      (long long)(*timestamp_s - kafka_timestamp_ms / 1000),
                      (long long)judge->rules.max_future_s);
    }
    return LOGIN_ACCEPTED;
}

static enum login_reason reject_missing(struct login_judge *judge, const char *name) {
    return reject(judge, LOGIN_MISSING_FIELD, "%s: missing%s", name,
                  strchr(name, '.') == NULL
                      ? ""
                      : "; it is looked for as one name, its dots do not lead into objects");
}

/* The key for a record without one; whole numbers of core/scan are in their only plain form. */
static struct slice find_user_id(struct login_judge *judge, const struct fields *fields) {
    const struct field *field = &fields->at[FIELD_USER_ID];
    if (field->kind == FIELD_TEXT) return field->text;
    if (field->kind != FIELD_WHOLE && field->kind != FIELD_NUMBER) return (struct slice){0};
    if (fields->user_number.bytes != NULL) return fields->user_number;
    const int length =
        snprintf(judge->digits, sizeof judge->digits, "%lld", (long long)field->whole);
    return (struct slice){judge->digits, (size_t)length};
}

/* Sets the rest of login if the answer is LOGIN_ACCEPTED. */
static enum login_reason apply_rules(struct login_judge *judge, const struct fields *fields,
                                     int64_t kafka_timestamp_ms, struct login *login) {
    const struct login_rules *rules = &judge->rules;

    /* NOLINTBEGIN(clang-analyzer-core.UndefinedBinaryOperatorResult): a decoder that has decoded
     * has set every field that the rules name (I2 of scan.h, parse.h) */
    for (size_t i = 0; i < rules->dimension_count; i++) {
        if (fields->at[FIELD_DIMENSION + i].kind == FIELD_ABSENT) {
            return reject_missing(judge, rules->dimensions[i]);
        }
    }
    if (fields->at[FIELD_TIMESTAMP].kind == FIELD_ABSENT) {
        return reject(judge, LOGIN_MISSING_FIELD, "timestamp: missing");
    }
    /* NOLINTEND(clang-analyzer-core.UndefinedBinaryOperatorResult) */
    for (size_t i = 0; i < rules->dimension_count; i++) {
        const enum login_reason reason =
            check_dimension(judge, rules->dimensions[i], &fields->at[FIELD_DIMENSION + i]);
        if (reason != LOGIN_ACCEPTED) return reason;
    }
    int64_t timestamp_s = 0;
    const enum login_reason reason =
        check_timestamp(judge, &fields->at[FIELD_TIMESTAMP], kafka_timestamp_ms, &timestamp_s);
    if (reason != LOGIN_ACCEPTED) return reason;

    for (size_t i = 0; i < rules->dimension_count; i++) {
        login->values[i] = fields->at[FIELD_DIMENSION + i].text;
    }
    login->minute = timestamp_s / 60;
    login->user_id = find_user_id(judge, fields);
    return LOGIN_ACCEPTED;
}

static enum login_reason reject(struct login_judge *judge, enum login_reason reason,
                                const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(judge->detail, sizeof judge->detail, format, args);
    va_end(args);
    return reason;
}
