#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "base/utf8.h"

static bool has_no_memory;

/* Stands in front of the C library's own. */
void *realloc(void *memory, size_t bytes) {
    static void *(*real)(void *, size_t);
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "realloc");
    return has_no_memory ? NULL : real(memory, bytes);
}

static void an_empty_text_is_an_empty_string(void **state) {
    (void)state;
    struct text text = {0};
    assert_string_equal(text_string(&text), "");
    text_add_bytes(&text, "", 0);
    assert_string_equal(text_string(&text), "");
    text_release(&text);
    text_release(&text);
}

static void a_format_may_come_to_nothing(void **state) {
    (void)state;
    struct text text = {0};
    text_format(&text, "%s", "");
    assert_string_equal(text_string(&text), "");
    assert_int_equal(text.length, 0);
    assert_false(text.is_broken);
    text_add(&text, "ab");
    text_format(&text, "%.0s", "c");
    text_format(&text, "%s", "");
    assert_string_equal(text_string(&text), "ab");
    assert_int_equal(text.length, 2);
    assert_false(text.is_broken);
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
    assert_string_equal(text_string(&text),
                        "\"é\\\"\\\\/\\u000a\\u001f\\u0000\\u007f\"\"\"\"plain\"");
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

static void without_memory_it_is_broken_and_keeps_what_it_has(void **state) {
    (void)state;
    struct text text = {0};
    text_add(&text, "before");
    has_no_memory = true;
    text_format(&text, "%1000d", 7);
    has_no_memory = false;
    assert_true(text.is_broken);
    assert_string_equal(text_string(&text), "before");
    text_release(&text);
}

/* --- passed on --- */

struct taker {
    char all[512];
    size_t length;
    int pieces, pieces_max;
};

static bool take(void *context, const char *bytes, size_t length) {
    struct taker *taker = context;
    if (taker->pieces == taker->pieces_max) return false;
    assert_true(length > 0 && length < 16);
    memcpy(taker->all + taker->length, bytes, length);
    taker->length += length;
    taker->pieces++;
    return true;
}

static void what_is_passed_on_is_the_same_text(void **state) {
    (void)state;
    char buffer[16], whole[512] = "";
    struct taker taker = {.pieces_max = 1000};
    struct text text = text_through(buffer, sizeof buffer, take, &taker);
    struct text plain = text_within(whole, sizeof whole);
    struct text *const both[] = {&text, &plain};
    for (int t = 0; t < 2; t++) {
        for (int i = 0; i < 9; i++)
            text_format(both[t], "%d,", 1 << i);
        text_add(both[t], "more than the buffer ever has room for");
        text_add_json(both[t], "a\"b\n\x01 and more than the buffer has", 34);
        text_add_bytes(both[t], "123456789012345", 15);
        text_add(both[t], "");
    }
    assert_true(text.length + text.passed_bytes == plain.length && text.passed_bytes > 0);
    assert_true(text_flush(&text));
    assert_int_equal(text.length, 0);
    assert_int_equal(text.passed_bytes, plain.length);
    assert_int_equal(taker.length, plain.length);
    assert_memory_equal(taker.all, whole, plain.length);
    assert_true(text_flush(&text)); /* of nothing */
    assert_true(text_flush(&plain));
}

static void a_text_that_nobody_takes_is_broken(void **state) {
    (void)state;
    char buffer[16];
    struct taker taker = {.pieces_max = 1};
    struct text text = text_through(buffer, sizeof buffer, take, &taker);
    text_add(&text, "fits");
    assert_true(text_flush(&text));
    text_add(&text, "this does not fit, and is refused");
    assert_true(text.is_broken);
    text_format(&text, "%d", 7);
    assert_false(text_flush(&text));
    assert_int_equal(taker.length, 4);
    text = text_through(buffer, sizeof buffer, take, &taker);
    text_format(&text, "%s", "one format that is too long"); /* it has to fit */
    assert_true(text.is_broken);
}

static void trimming_cuts_both_ends(void **state) {
    (void)state;
    char string[] = " \t a b\r\n", blanks[] = "  \t", none[] = "";
    assert_string_equal(text_trim(string), "a b");
    assert_string_equal(text_trim(blanks), "");
    assert_string_equal(text_trim(none), "");
}

static void integers_are_as_printf_has_them(void **state) {
    (void)state;
    static const int64_t numbers[] = {0, 7, -1, 10, 1000000, INT64_MAX, INT64_MIN, -90};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct text text = {0};
        char expected[32];
        snprintf(expected, sizeof expected, "x%lld", (long long)numbers[i]);
        text_add(&text, "x");
        text_add_integer(&text, numbers[i]);
        assert_string_equal(text_string(&text), expected);
        text_release(&text);
    }
}

static int compare_strings(const void *a, const void *b) {
    const char(*left)[96] = a, (*right)[96] = b;
    return strcmp(left[1], right[1]);
}

#define NO_CHARACTER "\xEF\xBF\xBD"

static void bytes_that_are_not_utf8_are_replaced_and_named(void **state) {
    (void)state;
    struct text text = {0};
    text_add_json(&text, "a\xff\"\xc3\xa9\0z", 7);
    assert_string_equal(text_string(&text), "\"a" NO_CHARACTER "\\\\xff\\\"\xc3\xa9\\u0000z\"");
    text_clear(&text);
    text_add_json(&text, "abcd\xc3\xa9", 5); /* cut within a character */
    assert_string_equal(text_string(&text), "\"abcd" NO_CHARACTER "\\\\xc3\"");
    text_clear(&text);
    text_add_json(&text, NO_CHARACTER " " NO_CHARACTER, 7);
    assert_string_equal(text_string(&text), "\"" NO_CHARACTER " " NO_CHARACTER "\"");
    text_release(&text);
}

/* All texts of up to four of these pieces: also those that look like what another one becomes. */
static void different_bytes_are_different_strings(void **state) {
    (void)state;
    static const char *const pieces[] = {"",           "\xff", "\xEF", "\xBF\xBD", "\xBD",  "\\",
                                         NO_CHARACTER, "xff",  "xef",  "\xc3\xa9", "\\xff", "\xBF"};
    enum { PIECES = sizeof pieces / sizeof *pieces, TEXTS = PIECES * PIECES * PIECES * PIECES };
    static char texts[TEXTS][2][96];
    struct text json = {0};
    for (size_t i = 0; i < TEXTS; i++) {
        snprintf(texts[i][0], sizeof texts[i][0], "%s%s%s%s", pieces[i % PIECES],
                 pieces[i / PIECES % PIECES], pieces[i / PIECES / PIECES % PIECES],
                 pieces[i / PIECES / PIECES / PIECES]);
        text_clear(&json);
        text_add_json(&json, texts[i][0], strlen(texts[i][0]));
        assert_true(json.length < sizeof texts[i][1]);
        memcpy(texts[i][1], text_string(&json), json.length + 1);
        for (size_t at = 0, length; at < json.length; at += length) {
            length = utf8_length(json.bytes + at, json.length - at);
            assert_int_not_equal(length, 0);
        }
    }
    qsort(texts, TEXTS, sizeof *texts, compare_strings);
    for (size_t i = 1; i < TEXTS; i++) {
        if (strcmp(texts[i - 1][1], texts[i][1]) == 0)
            assert_string_equal(texts[i - 1][0], texts[i][0]);
    }
    text_release(&json);
}

static void what_steers_a_terminal_is_escaped(void **state) {
    (void)state;
    struct text text = {0};
    static const char value[] = "\xc2\x9b"
                                "2J\u202e\u2066\u200f\u061c\u2028 \u200d\u4e2d";
    text_add_json(&text, value, sizeof value - 1);
    assert_string_equal(text_string(&text), "\"\\u009b2J\\u202e\\u2066\\u200f\\u061c\\u2028 "
                                            "\u200d\u4e2d\"");
    text_release(&text);
}

static void what_is_shown_to_people_is_all_visible(void **state) {
    (void)state;
    struct text text = {0};
    text_add_shown(&text, "a\033[2J\n\xff\u202e\xc2\x9b \"\\ \u4e2d\xc3");
    text_add_shown(&text, "");
    assert_string_equal(text_string(&text), "a\\x1b[2J\\x0a\\xff\\xe2\\x80\\xae\\xc2\\x9b \"\\ "
                                            "\u4e2d\\xc3");
    text_release(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_text_is_an_empty_string),
        cmocka_unit_test(a_format_may_come_to_nothing),
        cmocka_unit_test(pieces_follow_each_other_however_long),
        cmocka_unit_test(bytes_may_be_nul),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(integers_are_as_printf_has_them),
        cmocka_unit_test(bytes_that_are_not_utf8_are_replaced_and_named),
        cmocka_unit_test(different_bytes_are_different_strings),
        cmocka_unit_test(what_steers_a_terminal_is_escaped),
        cmocka_unit_test(what_is_shown_to_people_is_all_visible),
        cmocka_unit_test(past_the_limit_it_is_broken_until_cleared),
        cmocka_unit_test(without_memory_it_is_broken_and_keeps_what_it_has),
        cmocka_unit_test(what_is_passed_on_is_the_same_text),
        cmocka_unit_test(a_text_that_nobody_takes_is_broken),
        cmocka_unit_test(trimming_cuts_both_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
