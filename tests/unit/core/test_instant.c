/* Times in every format, against two other implementations: Python's numbers and dates, in
 * instants.txt, and here glibc's dates and 128-bit arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/instant.h"

enum { TIMES = 200000 };

static uint64_t random_state = 3339;

static uint64_t below(uint64_t limit) {
    uint64_t z = random_state += UINT64_C(0x9E3779B97F4A7C15); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (z ^ (z >> 31)) % limit;
}

static struct slice text_of(const char *text) {
    return (struct slice){text, strlen(text)};
}

static enum instant_format format_of(const char *name) {
    int i = 0;
    while (strcmp(instant_format_names[i], name) != 0)
        i++;
    return (enum instant_format)i;
}

static const char *answer(enum instant_verdict verdict, struct instant instant, char out[32]) {
    static const char *const words[] = {
        [INSTANT_NO_TIME] = "no", [INSTANT_NO_OFFSET] = "offset", [INSTANT_OUT_OF_RANGE] = "range"};
    if (verdict != INSTANT_OK) return words[verdict];
    snprintf(out, 32, "%lld", (long long)instant.ms);
    return out;
}

/* From a copy of just its bytes, so that AddressSanitizer sees one too many. */
static enum instant_verdict read_copy(enum instant_format format, const char *text,
                                      struct instant *instant) {
    const size_t length = strlen(text);
    char *copy = malloc(length > 0 ? length : 1);
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): so it is meant */
    memcpy(copy, text, length);
    const struct slice slice = {copy, length};
    const enum instant_verdict verdict = format == INSTANT_RFC3339
                                             ? instant_read_rfc3339(slice, instant)
                                             : instant_read_number(slice, format, instant);
    free(copy);
    return verdict;
}

static void each_time_is_what_python_makes_of_it(void **state) {
    (void)state;
    FILE *file = fopen("core/instants.txt", "r");
    assert_non_null(file);
    char line[512], name[16], text[256], expected[32], found[32];
    int count = 0, wrong = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        assert_int_equal(sscanf(line, "%15s\t%255s\t%31s", name, text, expected), 3);
        for (char *blank = text; (blank = strchr(blank, '_')) != NULL;)
            *blank = ' ';
        struct instant instant;
        const enum instant_verdict verdict = read_copy(format_of(name), text, &instant);
        count++;
        const char *got = answer(verdict, instant, found);
        if (strcmp(got, expected) == 0) continue;
        wrong++;
        print_error("%s %s: %s, not %s\n", name, text, got, expected);
    }
    fclose(file);
    assert_in_range(count, 5000, 10000);
    assert_int_equal(wrong, 0);
}

static void dates_are_those_of_glibc(void **state) {
    (void)state;
    for (int i = 0; i < TIMES; i++) {
        const time_t second = (time_t)below(253402300800);
        const int offset = (int)below(2 * 1439 + 1) - 1439;
        const time_t local = second + offset * 60;
        struct tm parts;
        char text[64];
        struct instant instant;
        assert_non_null(gmtime_r(&local, &parts));
        if (parts.tm_year < 0 || parts.tm_year + 1900 > 9999) continue;
        const size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
        snprintf(text + length, sizeof text - length, ".%0*u%c%02d:%02d", 1 + (int)below(9),
                 (unsigned)below(10), offset < 0 ? '-' : '+', abs(offset) / 60, abs(offset) % 60);
        if (instant_read_rfc3339(text_of(text), &instant) != INSTANT_OK ||
            instant.ms != second * 1000 || instant.has_rest)
            fail_msg("%s is not %lld", text, (long long)second);
    }
}

/* In decimal; a __int128 has no printf. */
static char *print(unsigned __int128 number, char text[48]) {
    char *at = text + 47;
    *at = '\0';
    do {
        *--at = (char)('0' + (int)(number % 10));
        number /= 10;
    } while (number > 0);
    return at;
}

static void numbers_are_those_of_128_bits(void **state) {
    (void)state;
    static const uint64_t a_second[] = {1, 1000, 1000000, 1000000000};
    for (int i = 0; i < TIMES; i++) {
        const enum instant_format unit = (enum instant_format)below(4);
        const unsigned __int128 limit = (unsigned __int128)253402300800 * a_second[unit];
        unsigned __int128 number = (unsigned __int128)below(UINT64_MAX) * below(UINT64_MAX);
        number = below(4) == 0 ? number >> below(128) : number % (limit + limit / 8);
        if (below(16) == 0) number = limit - 1 + below(2);
        char buffer[48], *text = print(number, buffer);
        struct instant instant, same;
        const enum instant_verdict verdict = instant_read_number(text_of(text), unit, &instant);
        assert_int_equal(instant_read_digits(text_of(text), unit, &same), verdict);
        if (number >= limit) {
            assert_int_equal(verdict, INSTANT_OUT_OF_RANGE);
            continue;
        }
        const unsigned __int128 exact = number * 1000;
        if (verdict != INSTANT_OK || instant.ms != (int64_t)(exact / a_second[unit]) ||
            instant.has_rest != (exact % a_second[unit] != 0))
            fail_msg("%s %s", text, instant_format_names[unit]);
        assert_int_equal(same.ms, instant.ms);
        assert_int_equal(same.has_rest, instant.has_rest);
    }
}

static void digits_are_digits_and_nothing_else(void **state) {
    (void)state;
    static const char *const none[] = {"",   "-1", "+1", "1.0", "1e3", " 1",
                                       "1 ", "1a", "0x", "١",   "-0",  "123456789x"};
    struct instant instant;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(instant_read_digits(text_of(none[i]), INSTANT_S, &instant),
                         INSTANT_NO_TIME);
    assert_int_equal(instant_read_digits((struct slice){"1\0", 2}, INSTANT_S, &instant),
                     INSTANT_NO_TIME);
    assert_int_equal(
        instant_read_digits(text_of("000000000000000000000000000000060"), INSTANT_S, &instant),
        INSTANT_OK);
    assert_int_equal(instant.ms, 60000);
}

static void a_number_of_any_length_is_exact(void **state) {
    (void)state;
    static char text[5000];
    struct instant instant;
    memset(text, '0', sizeof text - 1);
    text[0] = '7';
    text[1] = '.';
    assert_int_equal(instant_read_number(text_of(text), INSTANT_S, &instant), INSTANT_OK);
    assert_int_equal(instant.ms, 7000);
    text[sizeof text - 2] = '1';
    assert_int_equal(instant_read_number(text_of(text), INSTANT_S, &instant), INSTANT_NO_TIME);
    memcpy(text + sizeof text - 8, "e-4990", 7);
    text[1] = '0';
    assert_int_equal(instant_read_number(text_of(text), INSTANT_S, &instant), INSTANT_OK);
    assert_int_equal(instant.ms, 70000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_time_is_what_python_makes_of_it),
        cmocka_unit_test(dates_are_those_of_glibc),
        cmocka_unit_test(numbers_are_those_of_128_bits),
        cmocka_unit_test(digits_are_digits_and_nothing_else),
        cmocka_unit_test(a_number_of_any_length_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
