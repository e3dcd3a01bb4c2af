/* Which times are accepted: by their format, and against the record's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/event_time.h"

#define NOW_MS INT64_C(1720622216500)
#define DAY_MS INT64_C(86400000)

/* The time in ms, or the detail behind a '!'. */
static void expect(enum instant_format format, enum field_kind kind, const char *text,
                   int64_t kafka_ms, const char *expected) {
    const struct event_time_rules rules = {format, 3600};
    const struct field field = {kind, {text, strlen(text)}};
    struct instant instant;
    char detail[EVENT_TIME_DETAIL_BYTES], found[EVENT_TIME_DETAIL_BYTES + 1];
    if (event_time_read(&rules, &field, kafka_ms, &instant, detail))
        snprintf(found, sizeof found, "%lld", (long long)instant.ms);
    else
        snprintf(found, sizeof found, "!%s", detail);
    const bool is_detail = expected[0] == '!';
    const bool is_right =
        is_detail ? strstr(found, expected) == found : strcmp(found, expected) == 0;
    if (!is_right)
        fail_msg("%s %s: %s, not %s", instant_format_names[format], text, found, expected);
}

#define NUMBER(format, text, expected) expect(format, FIELD_NUMBER, text, NOW_MS, expected)
#define TEXT(format, text, expected) expect(format, FIELD_TEXT, text, NOW_MS, expected)

static void units_are_numbers_or_digits(void **state) {
    (void)state;
    NUMBER(INSTANT_S, "1720622216", "1720622216000");
    TEXT(INSTANT_MS, "1720622216123", "1720622216123");
    NUMBER(INSTANT_US, "1720622216123456", "1720622216123");
    TEXT(INSTANT_NS, "1720622216123456789", "1720622216123");
    NUMBER(INSTANT_NS, "1.720622216123456789e18", "1720622216123");
    NUMBER(INSTANT_MS, "1720622216.5", "!not a whole number");
    TEXT(INSTANT_MS, "2024-07-10T14:36:56Z",
         "!a string, but not of digits; it is RFC 3339: set input.timestamp_format = rfc3339");
    TEXT(INSTANT_MS, "2024-07-10", "!a string, but not of digits");
    NUMBER(INSTANT_MS, "1720622216123456",
           "!not within 1970 to 9999, in milliseconds; it looks like microseconds: set "
           "input.timestamp_format = us");
    NUMBER(INSTANT_S, "1720622216123456789",
           "!not within 1970 to 9999, in seconds; it looks like nanoseconds");
    NUMBER(INSTANT_NS, "1e30", "!not within 1970 to 9999, in nanoseconds");
    expect(INSTANT_S, FIELD_NULL, "", NOW_MS, "!neither a number nor a string of digits");
    expect(INSTANT_RFC3339, FIELD_TRUE, "", NOW_MS, "!not a string");
}

static void rfc_3339_is_a_string_with_an_offset(void **state) {
    (void)state;
    TEXT(INSTANT_RFC3339, "2024-07-10 14:36:56.123+00:00", "1720622216000");
    TEXT(INSTANT_RFC3339, "2024-07-10T14:36:56", "!RFC 3339 without its offset");
    TEXT(INSTANT_RFC3339, "1720622216", "!a string, but not RFC 3339");
    NUMBER(INSTANT_RFC3339, "1720622216", "!a number, and not RFC 3339");
    TEXT(INSTANT_RFC3339, "1969-12-31T23:59:59Z", "!not within 1970 to 9999");
}

/* To the last digit of every format, a fraction of RFC 3339 aside. */
static void the_limit_ahead_is_exact(void **state) {
    (void)state;
    NUMBER(INSTANT_S, "1720625816", "1720625816000");
    NUMBER(INSTANT_S, "1720625817", "!3601 s ahead of the record's own, more than 3600");
    NUMBER(INSTANT_MS, "1720625816500", "1720625816500");
    NUMBER(INSTANT_MS, "1720625816501", "!3600 s ahead");
    NUMBER(INSTANT_US, "1720625816500000", "1720625816500");
    NUMBER(INSTANT_US, "1720625816500001", "!3600 s ahead");
    NUMBER(INSTANT_NS, "1720625816500000000", "1720625816500");
    NUMBER(INSTANT_NS, "1720625816500000001", "!3600 s ahead");
    TEXT(INSTANT_RFC3339, "2024-07-10T15:36:56.9Z", "1720625816000");
    TEXT(INSTANT_RFC3339, "2024-07-10T15:36:57Z", "!3601 s ahead");
    TEXT(INSTANT_AUTO, "2024-07-10T15:36:57Z", "!3601 s ahead");
    expect(INSTANT_NS, FIELD_NUMBER, "1720625816500000001", -1, "1720625816500");
}

static void auto_takes_the_one_unit_that_fits(void **state) {
    (void)state;
    NUMBER(INSTANT_AUTO, "1720622216", "1720622216000");
    TEXT(INSTANT_AUTO, "1720622216123", "1720622216123");
    NUMBER(INSTANT_AUTO, "1720622216123456", "1720622216123");
    TEXT(INSTANT_AUTO, "1720622216123456789", "1720622216123");
    NUMBER(INSTANT_AUTO, "1720622216.0", "1720622216000");
    NUMBER(INSTANT_AUTO, "17206222160e-1", "1720622216000");
    TEXT(INSTANT_AUTO, "2024-07-10t14:36:60z", "1720622219000");
    TEXT(INSTANT_AUTO, "1971-01-01T00:00:00Z", "31536000000"); /* the window is for numbers */
    NUMBER(INSTANT_AUTO, "1720622216.5", "!not a whole number");
    TEXT(INSTANT_AUTO, "2024-07-10T14:36:56", "!RFC 3339 without its offset");
    TEXT(INSTANT_AUTO, "soon", "!a string, but not RFC 3339");
    TEXT(INSTANT_AUTO, "", "!a string, but not RFC 3339");
    expect(INSTANT_AUTO, FIELD_TEXT, "2024-07-10T14:36:56Z", -1, "1720622216000");
}

static void auto_has_a_window_of_400_days(void **state) {
    (void)state;
    char text[32], expected[32];
    const int64_t first = NOW_MS - 400 * DAY_MS, last = NOW_MS + 3600000;
    snprintf(text, sizeof text, "%lld", (long long)first);
    NUMBER(INSTANT_AUTO, text, text);
    snprintf(text, sizeof text, "%lld", (long long)last);
    NUMBER(INSTANT_AUTO, text, text);
    snprintf(text, sizeof text, "%lld", (long long)first - 1);
    NUMBER(INSTANT_AUTO, text,
           "!no unit puts it at most 400 days before and 3600 s after the "
           "record's Kafka timestamp; as s it is not within 1970 to 9999, as ms "
           "it is 2023-06-06T14:36:56Z, as us it is 1970-01-20T12:21:02Z");
    snprintf(text, sizeof text, "%lld", (long long)last + 1);
    NUMBER(INSTANT_AUTO, text, "!no unit puts it");
    snprintf(text, sizeof text, "%lld999999", (long long)first - 1);
    NUMBER(INSTANT_AUTO, text, "!no unit puts it");
    snprintf(text, sizeof text, "%lld000001", (long long)last);
    NUMBER(INSTANT_AUTO, text, "!no unit puts it");
    snprintf(text, sizeof text, "%lld000001", (long long)first);
    snprintf(expected, sizeof expected, "%lld", (long long)first);
    NUMBER(INSTANT_AUTO, text, expected);
}

static void auto_never_guesses(void **state) {
    (void)state;
    expect(INSTANT_AUTO, FIELD_NUMBER, "1720622216", -1,
           "!the record has no Kafka timestamp, so no unit fits; as s it is 2024-07-10T14:36:56Z, "
           "as ms it is 1970-01-20T21:57:02Z, as us it is 1970-01-01T00:28:40Z, as ns it is "
           "1970-01-01T00:00:01Z");
    expect(INSTANT_AUTO, FIELD_NUMBER, "0", 0, "!more than one unit puts it");
    expect(INSTANT_AUTO, FIELD_NUMBER, "3600000", 0, "!more than one unit puts it");
    expect(INSTANT_AUTO, FIELD_NUMBER, "3600", 0, "!more than one unit puts it");
    expect(INSTANT_AUTO, FIELD_NUMBER, "3600000000001", 0, "!no unit puts it");
    expect(INSTANT_AUTO, FIELD_NUMBER, "3600000000000", 0, "3600000");
    expect(INSTANT_AUTO, FIELD_NUMBER, "-1", 0, "!no unit puts it");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_numbers_or_digits),
        cmocka_unit_test(rfc_3339_is_a_string_with_an_offset),
        cmocka_unit_test(the_limit_ahead_is_exact),
        cmocka_unit_test(auto_takes_the_one_unit_that_fits),
        cmocka_unit_test(auto_has_a_window_of_400_days),
        cmocka_unit_test(auto_never_guesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
