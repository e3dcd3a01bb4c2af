#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void an_empty_text_is_an_empty_string(void **state) {
    (void)state;
    struct text text = {0};
    assert_string_equal(text_string(&text), "");
    text_add_bytes(&text, "", 0);
    assert_string_equal(text_string(&text), "");
    text_release(&text);
    text_release(&text);
}

static void pieces_follow_each_other_however_long(void **state) {
    (void)state;
    struct text text = {0};
    char expected[64];
    size_t length = 0;
    for (int i = 0; i < 100000; i++) {
        const int piece = snprintf(expected, sizeof expected, "%d,", i);
        if (i % 2 == 0) {
            text_add(&text, expected);
        } else {
            text_format(&text, "%d,", i);
        }
        length += (size_t)piece;
        assert_int_equal(text.length, length);
        assert_string_equal(text.bytes + length - (size_t)piece, expected);
    }
    assert_false(text.is_broken);
    text_release(&text);
}

static void bytes_may_be_nul(void **state) {
    (void)state;
    struct text text = {0};
    text_add_bytes(&text, "a\0b", 3);
    assert_int_equal(text.length, 3);
    assert_memory_equal(text.bytes, "a\0b", 4);
    text_release(&text);
}

static void json_strings_are_escaped(void **state) {
    (void)state;
    struct text text = {0};
    static const char value[] = "é\"\\/\n\x1f\0\x7f";
    text_add_json(&text, value, sizeof value - 1);
    text_add_json(&text, NULL, 0);
    text_add_json(&text, "plain", 5);
    assert_string_equal(text_string(&text), "\"é\\\"\\\\/\\u000a\\u001f\\u0000\x7f\"\"\"\"plain\"");
    text_release(&text);
}

static void past_the_limit_it_is_broken_until_cleared(void **state) {
    (void)state;
    struct text text = {0};
    text_add(&text, "before");
    text_add_bytes(&text, "x", TEXT_BYTES_MAX); /* refused before a byte is read */
    assert_true(text.is_broken);
    text_add(&text, "after");
    text_format(&text, "%d", 5);
    assert_string_equal(text_string(&text), "before");
    text_clear(&text);
    text_add(&text, "again");
    assert_false(text.is_broken);
    assert_string_equal(text_string(&text), "again");
    text_release(&text);
}

static void trimming_cuts_both_ends(void **state) {
    (void)state;
    char string[] = " \t a b\r\n", blanks[] = "  \t", none[] = "";
    assert_string_equal(text_trim(string), "a b");
    assert_string_equal(text_trim(blanks), "");
    assert_string_equal(text_trim(none), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_text_is_an_empty_string),
        cmocka_unit_test(pieces_follow_each_other_however_long),
        cmocka_unit_test(bytes_may_be_nul),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(past_the_limit_it_is_broken_until_cleared),
        cmocka_unit_test(trimming_cuts_both_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
