/* A number is never made a double: the digits up to where the milliseconds end are the answer, and
 * of those behind it only matters whether one of them is no zero. */
#include "core/instant.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/number.h"

const char *const instant_format_names[] = {"s", "ms", "us", "ns", "rfc3339", "auto", NULL};

const char *instant_unit_name(enum instant_format unit) {
    static const char *const names[INSTANT_UNIT_COUNT] = {"seconds", "milliseconds", "microseconds",
                                                          "nanoseconds"};
    assert((unsigned)unit < INSTANT_UNIT_COUNT);
    return names[unit];
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* How many decimal places ms are to the right of the unit. */
static int shift_of(enum instant_format unit) {
    return 3 - 3 * (int)unit;
}

/* Digits without a point: the first `places` of them, zeros behind the last one, as a number. */
static int64_t head_of(struct slice digits, int64_t places) {
    int64_t sum = 0;
    for (int64_t i = 0; i < places && sum <= INSTANT_MS_MAX; i++) {
        if (i >= (int64_t)digits.length && sum == 0) break;
        sum = sum * 10 + (i < (int64_t)digits.length ? digits.bytes[i] - '0' : 0);
    }
    return sum;
}

/* Whether one of the digits from there on is no zero. */
static bool has_tail(struct slice digits, int64_t from) {
    for (size_t i = from < 0 ? 0 : (size_t)from; i < digits.length; i++) {
        if (digits.bytes[i] != '0') return true;
    }
    return false;
}

static enum instant_verdict finish(struct slice digits, int64_t point, int shift, bool is_negative,
                                   struct instant *instant) {
    if (is_negative && has_tail(digits, 0)) return INSTANT_OUT_OF_RANGE;
    *instant = (struct instant){head_of(digits, point + shift), has_tail(digits, point + shift)};
    if (instant->ms > INSTANT_MS_MAX) return INSTANT_OUT_OF_RANGE;
    return has_tail(digits, point) ? INSTANT_NO_TIME : INSTANT_OK;
}

/* A fraction or an exponent: the digits are brought together, and the point is where it comes to
 * be. What is behind DIGITS_MAX digits is one digit more. */
static enum instant_verdict read_odd_number(struct slice number, enum instant_format unit,
                                            struct instant *instant) {
    enum { DIGITS_MAX = 400 };
    char digits[DIGITS_MAX + 1];
    struct slice gathered = {digits, 0};
    const char *p = number.bytes, *end = p + number.length;
    const bool is_negative = *p == '-';
    int64_t point = 0, exponent = 0;
    bool is_behind_point = false;
    for (p += is_negative; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            is_behind_point = true;
            continue;
        }
        const bool is_leading = gathered.length == 0 && *p == '0';
        point += is_leading ? -is_behind_point : !is_behind_point;
        if (is_leading) continue;
        if (gathered.length < DIGITS_MAX) {
            digits[gathered.length++] = *p;
        } else if (*p != '0') {
            digits[DIGITS_MAX] = '1';
            gathered.length = DIGITS_MAX + 1;
        }
    }
    const bool is_exponent_negative = p < end && p[1] == '-';
    for (p++; p < end; p++) {
        if (number_is_digit(*p) && exponent < INT32_MAX) exponent = exponent * 10 + (*p - '0');
    }
    point += is_exponent_negative ? -exponent : exponent;
    return finish(gathered, point, shift_of(unit), is_negative, instant);
}

/* Of digits alone, and not too many; false: it is something else. */
static inline bool read_plain(struct slice digits, enum instant_format unit,
                              struct instant *instant) {
    enum { DIGITS_MAX = 18 };
    static const uint64_t a_ms[INSTANT_UNIT_COUNT] = {0, 1, 1000, 1000000};
    uint64_t sum = 0;
    size_t i = 0;
    const uint64_t word = digits.length < 8 ? 0 : number_word(digits.bytes);
    if (digits.length - 1 >= DIGITS_MAX) return false;
    if (number_is_8_digits(word)) {
        sum = number_of_8_digits(word);
        i = 8;
    }
    for (; i < digits.length; i++) {
        if (!number_is_digit(digits.bytes[i])) return false;
        sum = sum * 10 + (uint64_t)(digits.bytes[i] - '0');
    }
    if (unit == INSTANT_S && sum > INSTANT_MS_MAX / 1000) return false;
    *instant = unit == INSTANT_S
                   ? (struct instant){(int64_t)sum * 1000, false}
                   : (struct instant){(int64_t)(sum / a_ms[unit]), sum % a_ms[unit] != 0};
    return instant->ms <= INSTANT_MS_MAX;
}

enum instant_verdict instant_read_number(struct slice number, enum instant_format unit,
                                         struct instant *instant) {
    return read_plain(number, unit, instant) ? INSTANT_OK : read_odd_number(number, unit, instant);
}

enum instant_verdict instant_read_digits(struct slice text, enum instant_format unit,
                                         struct instant *instant) {
    if (read_plain(text, unit, instant)) return INSTANT_OK;
    for (size_t i = 0; i < text.length; i++) {
        if (!number_is_digit(text.bytes[i])) return INSTANT_NO_TIME;
    }
    if (text.length == 0) return INSTANT_NO_TIME;
    return finish(text, (int64_t)text.length, shift_of(unit), false, instant);
}

/* --- RFC 3339 --------------------------------------------------------------------------------- */

/* Every part but the fraction has a fixed place, so nothing is searched. */
enum { DATE_BYTES = sizeof "2024-07-10" - 1, CLOCK_BYTES = sizeof "14:36:56" - 1 };

/* What two digits say; others say more than any part of a time may be. */
static inline unsigned two_digits(const char *p) {
    const unsigned tens = (unsigned)p[0] - '0', ones = (unsigned)p[1] - '0';
    return tens > 9 || ones > 9 ? 100 : tens * 10 + ones;
}

static unsigned days_of(unsigned year, unsigned month) {
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && is_leap);
}

/* Days since 1970 of a date of the Gregorian calendar, by Howard Hinnant, "chrono-Compatible
 * Low-Level Date Algorithms" (days_from_civil): years begin in March; an era is 400 years. */
static int64_t days_since_1970(unsigned year, unsigned month, unsigned day) {
    const unsigned from_march = (month + 9) % 12;
    const unsigned shifted = year - (month <= 2) + 400; /* so that year 0 is not negative */
    const unsigned era = shifted / 400, year_of_era = shifted % 400;
    const unsigned day_of_year = (153 * from_march + 2) / 5 + day - 1;
    const unsigned day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return ((int64_t)era - 1) * 146097 + day_of_era - 719468;
}

/* A date of the calendar, which has DATE_BYTES: its days since 1970. */
static bool read_date(const char *p, int64_t *days) {
    const unsigned century = two_digits(p), of_century = two_digits(p + 2);
    const unsigned year = century * 100 + of_century;
    const unsigned month = two_digits(p + 5), day = two_digits(p + 8);
    if (century > 99 || of_century > 99 || p[4] != '-' || p[7] != '-' || month - 1 > 11 ||
        day - 1 >= days_of(year, month))
        return false;
    *days = days_since_1970(year, month, day);
    return true;
}

/* A time of the day, which has CLOCK_BYTES: its seconds. */
static bool read_clock(const char *p, int64_t *seconds) {
    const unsigned hour = two_digits(p), minute = two_digits(p + 3), second = two_digits(p + 6);
    if (hour > 23 || minute > 59 || second > 60 || p[2] != ':' || p[5] != ':') return false;
    *seconds = (hour * 60 + minute) * 60 + (second == 60 ? 59 : second);
    return true;
}

/* What ends a time, an offset in seconds. */
static enum instant_verdict read_offset(struct slice text, int64_t *seconds) {
    enum { OFFSET_BYTES = sizeof "+02:00" - 1 };
    const char *p = text.bytes;
    *seconds = 0;
    if (text.length == 0) return INSTANT_NO_OFFSET;
    if (text.length == 1 && (*p | 0x20) == 'z') return INSTANT_OK;
    if (text.length != OFFSET_BYTES || (*p != '+' && *p != '-') || p[3] != ':')
        return INSTANT_NO_TIME;
    const unsigned hour = two_digits(p + 1), minute = two_digits(p + 4);
    if (hour > 23 || minute > 59) return INSTANT_NO_TIME;
    *seconds = (hour * 60 + minute) * 60;
    if (*p == '-') *seconds = -*seconds;
    return INSTANT_OK;
}

enum instant_verdict instant_read_day(struct slice text, int64_t *day) {
    if (text.length != DATE_BYTES || !read_date(text.bytes, day)) return INSTANT_NO_TIME;
    return *day < 0 ? INSTANT_OUT_OF_RANGE : INSTANT_OK;
}

enum instant_verdict instant_read_rfc3339(struct slice text, struct instant *instant) {
    int64_t days, seconds, offset;
    if (text.length < DATE_BYTES + 1 + CLOCK_BYTES) return INSTANT_NO_TIME;
    const char *p = text.bytes + DATE_BYTES, *const end = text.bytes + text.length;
    if (!read_date(text.bytes, &days) || ((*p | 0x20) != 't' && *p != ' ') ||
        !read_clock(p + 1, &seconds))
        return INSTANT_NO_TIME;
    p += 1 + CLOCK_BYTES;
    if (p < end && *p == '.') {
        const char *fraction = ++p;
        while (p < end && number_is_digit(*p))
            p++;
        if (p == fraction) return INSTANT_NO_TIME;
    }
    const enum instant_verdict verdict = read_offset((struct slice){p, (size_t)(end - p)}, &offset);
    if (verdict != INSTANT_OK) return verdict;
    *instant = (struct instant){(days * 24 * 60 * 60 + seconds - offset) * 1000, false};
    return instant->ms < 0 || instant->ms > INSTANT_MS_MAX ? INSTANT_OUT_OF_RANGE : INSTANT_OK;
}
