#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Encodes any number below 2^21 in a given length, right or wrong for UTF-8. */
static void encode(uint32_t point, size_t length, unsigned char out[4]) {
    static const unsigned char leads[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (unsigned char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    out[0] = (unsigned char)(leads[length] | point);
}

static size_t shortest(uint32_t point) {
    return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

static void exactly_the_shortest_form_of_each_character_is_valid(void **state) {
    (void)state;
    static const uint32_t ends[] = {0, 0x80, 0x800, 0x10000, 0x200000};
    for (size_t length = 1; length <= 4; length++) {
        for (uint32_t point = 0; point < ends[length]; point++) {
            unsigned char bytes[4];
            encode(point, length, bytes);
            const int is_valid = shortest(point) == length && point <= 0x10FFFF &&
                                 !(point >= 0xD800 && point <= 0xDFFF);
            if (utf8_length(bytes, length) != (is_valid ? length : 0)) {
                fail_msg("U+%04X in %zu bytes", (unsigned)point, length);
            }
            if (length > 1 && utf8_length(bytes, length - 1) != 0) {
                fail_msg("U+%04X cut to %zu bytes", (unsigned)point, length - 1);
            }
        }
    }
}

static void a_broken_continuation_is_no_character(void **state) {
    (void)state;
    assert_int_equal(utf8_length("\x80", 1), 0);
    assert_int_equal(utf8_length("\xFF", 1), 0);
    assert_int_equal(utf8_length("\xC3(", 2), 0);
    assert_int_equal(utf8_length("\xE2\x82(", 3), 0);
    assert_int_equal(utf8_length("\xF0\x9F\x98(", 4), 0);
    assert_int_equal(utf8_length("", 0), 0);
    assert_int_equal(utf8_length("\xC3\xA9tude", 7), 2);
}

static void control_characters_and_line_ends_are_known(void **state) {
    (void)state;
    for (uint32_t point = 0; point < 0x3000; point++) {
        unsigned char bytes[4];
        const size_t length = shortest(point);
        encode(point, length, bytes);
        const int expected =
            point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029;
        if (utf8_is_control(bytes, length) != expected) fail_msg("U+%04X", (unsigned)point);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_the_shortest_form_of_each_character_is_valid),
        cmocka_unit_test(a_broken_continuation_is_no_character),
        cmocka_unit_test(control_characters_and_line_ends_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
