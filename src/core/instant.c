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

/* Exactly `count` digits, and none of another kind. */
static bool take_digits(const char **p, const char *end, int count, int *number) {
    *number = 0;
    for (; count > 0; count--, (*p)++) {
        if (*p == end || !number_is_digit(**p)) return false;
        *number = *number * 10 + (**p - '0');
    }
    return true;
}

static bool take_letter(const char **p, const char *end, const char *letters) {
    if (*p == end || **p == '\0' || strchr(letters, **p) == NULL) return false;
    (*p)++;
    return true;
}

static int days_of(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && is_leap);
}

/* Days since 1970 of a date of the Gregorian calendar, by Howard Hinnant, "chrono-Compatible
 * Low-Level Date Algorithms" (days_from_civil): years begin in March; an era is 400 years. */
static int64_t days_since_1970(int year, int month, int day) {
    const int from_march = (month + 9) % 12;
    const int shifted = year - (month <= 2) + 400; /* so that year 0 is not negative */
    const int era = shifted / 400, year_of_era = shifted % 400;
    const int day_of_year = (153 * from_march + 2) / 5 + day - 1;
    const int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)(era - 1) * 146097 + day_of_era - 719468;
}

/* The offset in minutes. */
static enum instant_verdict take_offset(const char **p, const char *end, int *offset) {
    int hour, minute;
    *offset = 0;
    if (*p == end) return INSTANT_NO_OFFSET;
    if (take_letter(p, end, "Zz")) return INSTANT_OK;
    const bool is_west = **p == '-';
    if (!take_letter(p, end, "+-") || !take_digits(p, end, 2, &hour) || !take_letter(p, end, ":") ||
        !take_digits(p, end, 2, &minute) || hour > 23 || minute > 59)
        return INSTANT_NO_TIME;
    *offset = is_west ? -(hour * 60 + minute) : hour * 60 + minute;
    return INSTANT_OK;
}

/* A date of the calendar: its days since 1970. */
static bool take_date(const char **p, const char *end, int64_t *days) {
    int year, month, day;
    if (!take_digits(p, end, 4, &year) || !take_letter(p, end, "-") ||
        !take_digits(p, end, 2, &month) || !take_letter(p, end, "-") ||
        !take_digits(p, end, 2, &day) || month < 1 || month > 12 || day < 1 ||
        day > days_of(year, month))
        return false;
    *days = days_since_1970(year, month, day);
    return true;
}

enum instant_verdict instant_read_day(struct slice text, int64_t *day) {
    const char *p = text.bytes, *const end = p + text.length;
    if (!take_date(&p, end, day) || p != end) return INSTANT_NO_TIME;
    return *day < 0 ? INSTANT_OUT_OF_RANGE : INSTANT_OK;
}

enum instant_verdict instant_read_rfc3339(struct slice text, struct instant *instant) {
    const char *p = text.bytes, *const end = p + text.length;
    int64_t days;
    int hour, minute, second, digit, offset;
    if (!take_date(&p, end, &days) || !take_letter(&p, end, "Tt ") ||
        !take_digits(&p, end, 2, &hour) || !take_letter(&p, end, ":") ||
        !take_digits(&p, end, 2, &minute) || !take_letter(&p, end, ":") ||
        !take_digits(&p, end, 2, &second))
        return INSTANT_NO_TIME;
    if (hour > 23 || minute > 59 || second > 60) return INSTANT_NO_TIME;
    if (take_letter(&p, end, ".")) {
        if (!take_digits(&p, end, 1, &digit)) return INSTANT_NO_TIME;
        while (take_digits(&p, end, 1, &digit)) {
        }
    }
    const enum instant_verdict verdict = take_offset(&p, end, &offset);
    if (verdict != INSTANT_OK) return verdict;
    if (p != end) return INSTANT_NO_TIME;
    if (second == 60) second = 59;
    const int64_t minutes = (days * 24 + hour) * 60 + minute - offset;
    *instant = (struct instant){(minutes * 60 + second) * 1000, false};
    return instant->ms < 0 || instant->ms > INSTANT_MS_MAX ? INSTANT_OUT_OF_RANGE : INSTANT_OK;
}
