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
        const int is_bidi = point == 0x61C || point == 0x200E || point == 0x200F ||
                            (point >= 0x202A && point <= 0x202E) ||
                            (point >= 0x2066 && point <= 0x2069);
        const int expected = point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 ||
                             point == 0x2029 || is_bidi;
        if (utf8_is_control(bytes, length) != expected) fail_msg("U+%04X", (unsigned)point);
    }
}

static void characters_have_the_columns_of_a_terminal(void **state) {
    (void)state;
    static const struct {
        uint32_t code;
        int columns;
    } cases[] = {{'a', 1},    {0xE9, 1},   {0x2FF, 1},   {0x300, 0},   {0x36F, 0},   {0x370, 1},
                 {0x200B, 0}, {0x4E2D, 2}, {0xAC00, 2},  {0xFF21, 2},  {0xFF61, 1},  {0x1F600, 2},
                 {0xFE0F, 0}, {0x203C, 1}, {0x1F1E6, 1}, {0x3FFFD, 2}, {0x3FFFE, 1}, {0x10FFFF, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(utf8_columns(cases[i].code), cases[i].columns);
}

/* A hash (FNV-1a) of the columns of all characters. Two have those that are W or F in Unicode
 * 14 (East_Asian_Width), and what is not assigned between them; none have the combining ones of the
 * common scripts. */
static void no_character_has_changed_its_columns(void **state) {
    (void)state;
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (uint32_t code = 0; code <= 0x10FFFF; code++)
        hash = (hash ^ (uint64_t)utf8_columns(code)) * UINT64_C(0x100000001B3);
    assert_int_equal(hash, UINT64_C(0xD86FCAC953360E8B));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_the_shortest_form_of_each_character_is_valid),
        cmocka_unit_test(a_broken_continuation_is_no_character),
        cmocka_unit_test(control_characters_and_line_ends_are_known),
        cmocka_unit_test(characters_have_the_columns_of_a_terminal),
        cmocka_unit_test(no_character_has_changed_its_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
