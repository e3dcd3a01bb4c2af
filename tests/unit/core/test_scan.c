/* The fast decoder: what it is sure of, that it doubts all else, and that it finds what core/parse
 * finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../decoders.h"
#include "core/parse.h"
#include "core/scan.h"

static const struct login_rules rules = {
    .dimensions = {"device_type", "locale"},
    .dimension_count = 2,
};

enum { DEVICE_TYPE = FIELD_DIMENSION, LOCALE };

struct text_case {
    const char *name;
    const char *bytes;
    size_t length;
};

#define CASE(name, literal)                                                                        \
    { name, literal, sizeof(literal) - 1 }
/* A whole record around the bytes that matter. */
#define LOCALE_IS(name, json)                                                                      \
    CASE(name, "{\"device_type\":\"ios\",\"locale\":" json ",\"timestamp\":60}")
#define TIME_IS(name, json)                                                                        \
    CASE(name, "{\"device_type\":\"ios\",\"locale\":\"PA\",\"timestamp\":" json "}")
#define EXTRA_IS(name, json)                                                                       \
    CASE(name, "{\"device_type\":\"ios\",\"locale\":\"PA\",\"timestamp\":60,\"x\":" json "}")
#define E_ACUTE "\xc3\xa9"

static const struct text_case sure[] = {
    LOCALE_IS("compact", "\"PA\""),
    CASE("as Python writes it",
         "{\"locale\": \"PA\", \"timestamp\": 1720622216, \"device_type\": \"android\"}"),
    CASE("white space of all four kinds", " \t\r\n{ \"locale\" :\t\"PA\"\n,\r\"timestamp\":7 } \n"),
    CASE("no wanted name", "{\"a\":\"b\",\"c\":\"d\"}"),
    CASE("names of no and of one byte", "{\"\":\"b\",\"c\":\"\",\"locale\":\"\"}"),
    CASE("longest string", "{\"locale\":\""
                           "0123456789abcdef0123456789abcdef0123456789abcdef\"}"),
    CASE("names longer than a gap",
         "{\"0123456789abcdef0123456789abcdef\":1,\"0123456789abcdef0123456789abcdef\":2}"),
    CASE("a repeated key", "{\"locale\":7,\"locale\":\"PA\",\"locale\":\"PB\"}"),
    CASE("white space that changes", "{\"locale\": 7, \"locale\":\"PA\",  \"locale\" :\"PB\"}"),
    CASE("names that begin alike", "{\"local\":\"a\",\"locale\":\"b\",\"localed\":\"c\"}"),
    LOCALE_IS("DEL", "\"\x7f\""),
    LOCALE_IS("letters that are not ASCII", "\"" E_ACUTE "\""),
    LOCALE_IS("all lengths of UTF-8", "\"" E_ACUTE "\xe2\x82\xac\xf0\x9f\x98\x80\""),
    LOCALE_IS("a wanted text that is true", "true"),
    LOCALE_IS("a wanted text that is a number", "17"),
    TIME_IS("timestamp 0", "0"),
    TIME_IS("timestamp of 7 digits", "1234567"),
    TIME_IS("timestamp of 8 digits", "12345678"),
    TIME_IS("timestamp of 9 digits", "123456789"),
    TIME_IS("timestamp of 15 digits", "123456789012345"),
    TIME_IS("timestamp in digits", "\"1720622216\""),
    EXTRA_IS("true", "true"),
    EXTRA_IS("false", "false"),
    EXTRA_IS("null", "null"),
    EXTRA_IS("a negative number", "-12"),
    EXTRA_IS("a number with a point", "0.5"),
    EXTRA_IS("a negative number with a point", "-122.4194155"),
    EXTRA_IS("a long fraction", "0.1234567890123456789012345678901234567890"),
};

static const struct text_case doubted[] = {
    CASE("nothing", ""),
    CASE("white space", "                    "),
    CASE("less than 16 bytes", "{\"locale\":\"PA\"}"),
    CASE("an empty object", "{                  }"),
    CASE("a brace", "                   }"),
    CASE("an array", "[\"0123456789abcdef\"]"),
    CASE("a string", "\"0123456789abcdef}\"}"),
    CASE("two objects", "{\"a\":\"0123456789\"}{}"),
    CASE("an object and a brace", "{\"a\":\"0123456789\"}}"),
    CASE("an object and a NUL", "{\"a\":\"0123456789\"}\0"),
    CASE("an object and a comma", "{\"a\":\"0123456789\"},"),
    CASE("an object cut short", "{\"a\":\"0123456789\",\"b\":2"),
    CASE("a string cut short", "{\"a\":\"0123456789abcdef }"),
    CASE("a string cut short in its last block", "{\"a\":\"0123456789abcdef\",\"b\":\"}"),
    CASE("a byte order mark", "\xef\xbb\xbf{\"a\":\"0123456789\"}"),
    CASE("a comma before the brace", "{\"a\":\"0123456789\",}"),
    CASE("a comma behind the brace", "{,\"a\":\"0123456789\"}"),
    CASE("two commas", "{\"a\":\"0123456789\",,\"b\":1}"),
    CASE("no comma", "{\"a\":\"0123456789\" \"b\":1}"),
    CASE("no colon", "{\"a\" \"0123456789\",\"b\":1}"),
    CASE("two colons", "{\"a\"::\"0123456789\",\"b\":1}"),
    CASE("no value", "{\"a\":,\"b\":\"0123456789\"}"),
    CASE("no name", "{:\"0123456789\",\"b\":1}"),
    CASE("a name without quotes", "{a:\"0123456789\",\"b\":1}"),
    CASE("a name that is a number", "{1:\"0123456789\",\"b\":1}"),
    CASE("single quotes", "{'a':\"0123456789\",\"b\":1}"),
    CASE("a vertical tab between", "{\v\"a\":\"0123456789\"}"),
    CASE("an escaped name", "{\"local\\u0065\":\"PA\"}"),
    CASE("a control character in a name", "{\"lo\ncale\":\"PA\",\"b\":1}"),
    LOCALE_IS("an escape", "\"\\u0041\""),
    LOCALE_IS("an escape far behind", "\"0123456789abcdef0123456789abcdef\\n\""),
    LOCALE_IS("an escape far ahead of the quote", "\"\\n0123456789abcdef0123456789abcdef\""),
    LOCALE_IS("invalid UTF-8 far ahead of the quote", "\"\xff"
                                                      "0123456789abcdef0123456789abcdef\""),
    LOCALE_IS("an escaped quote", "\"\\\"\""),
    LOCALE_IS("a backslash before the quote", "\"a\\\\\""),
    LOCALE_IS("a NUL", "\"a\0b\""),
    LOCALE_IS("a line feed", "\"a\nb\""),
    LOCALE_IS("the last control character", "\"\x1f\""),
    LOCALE_IS("an escape behind a letter that is not ASCII", "\"" E_ACUTE "\\n\""),
    LOCALE_IS("a line feed behind a letter that is not ASCII", "\"" E_ACUTE "\n\""),
    LOCALE_IS("a stray continuation", "\"\x80\""),
    LOCALE_IS("UTF-8 cut by the quote", "\"\xe2\x82\""),
    LOCALE_IS("an overlong slash", "\"\xc0\xaf\""),
    LOCALE_IS("a surrogate", "\"\xed\xa0\x80\""),
    LOCALE_IS("past U+10FFFF", "\"\xf4\x90\x80\x80\""),
    LOCALE_IS("Latin-1", "\"\xe9t\xe9\""),
    EXTRA_IS("an object", "{\"a\":1}"),
    EXTRA_IS("an array", "[]"),
    TIME_IS("timestamp of 16 digits", "1234567890123456"),
    TIME_IS("timestamp of 20 digits", "18446744073709551676"),
    TIME_IS("timestamp with a leading zero", "060"),
    TIME_IS("timestamp of two zeros", "00"),
    TIME_IS("timestamp below 0", "-60"),
    TIME_IS("timestamp minus 0", "-0"),
    TIME_IS("timestamp with a point", "60.0"),
    TIME_IS("timestamp with an exponent", "6e1"),
    TIME_IS("timestamp with a plus", "+60"),
    TIME_IS("timestamp with a letter", "60x"),
    LOCALE_IS("a wanted text that is a negative number", "-17"),
    EXTRA_IS("16 digits", "1234567890123456"),
    EXTRA_IS("16 digits before the point", "1234567890123456.5"),
    EXTRA_IS("a leading zero", "01"),
    EXTRA_IS("minus and a leading zero", "-01"),
    EXTRA_IS("minus alone", "-"),
    EXTRA_IS("two signs", "--1"),
    EXTRA_IS("no digit before the point", ".5"),
    EXTRA_IS("no digit behind the point", "5."),
    EXTRA_IS("two points", "1.2.3"),
    EXTRA_IS("an exponent", "1e5"),
    EXTRA_IS("an exponent behind a fraction", "1.5e5"),
    EXTRA_IS("a word in capitals", "True"),
    EXTRA_IS("a word cut short", "nul"),
    EXTRA_IS("a word of one letter", "f"),
    EXTRA_IS("a word too long", "nullx"),
    EXTRA_IS("NaN", "NaN"),
};

/* The record, copied to where nothing follows it, so that AddressSanitizer sees a byte too many. */
static char *copy_of(const char *bytes, size_t length) {
    char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    if (length > 0) memcpy(copy, bytes, length);
    return copy;
}

/* True if scan is sure; then it must agree with parse. Its memory must make no difference. */
static bool is_sure(struct scan *scan, const struct login_rules *with, const char *bytes,
                    size_t length) {
    char *copy = copy_of(bytes, length);
    struct fields scanned, parsed;
    struct scan fresh;
    memset(&scanned, 0xa5, sizeof scanned);
    memset(&parsed, 0xa5, sizeof parsed);
    scan_init(&fresh, with);
    const bool sure_of_it = scan_record(scan, copy, length, &scanned);
    assert_int_equal(scan_record(&fresh, copy, length, &parsed), sure_of_it);
    if (sure_of_it) {
        struct parse parse;
        char detail[PARSE_DETAIL_BYTES];
        parse_init(&parse);
        if (parse_record(&parse, with, copy, length, &parsed, detail) != LOGIN_ACCEPTED) {
            fail_msg("scan is sure of %.*s, but: %s", (int)length, bytes, detail);
        }
        if (!fields_are_same(with, &scanned, &parsed)) {
            fail_msg("scan and parse find other fields in %.*s", (int)length, bytes);
        }
        parse_release(&parse);
    }
    free(copy);
    return sure_of_it;
}

static void plain_records_are_decoded_as_parse_does(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof sure / sizeof *sure; i++) {
        struct scan scan;
        scan_init(&scan, &rules);
        for (int turn = 0; turn < 2; turn++) { /* new, and remembered */
            if (!is_sure(&scan, &rules, sure[i].bytes, sure[i].length)) {
                fail_msg("%s: doubted, turn %d", sure[i].name, turn);
            }
        }
    }
}

static void each_oddity_is_doubted(void **state) {
    (void)state;
    struct scan remembering;
    scan_init(&remembering, &rules);
    for (size_t i = 0; i < sizeof doubted / sizeof *doubted; i++) {
        struct scan scan;
        scan_init(&scan, &rules);
        assert_true(is_sure(&remembering, &rules, sure[0].bytes, sure[0].length));
        if (is_sure(&scan, &rules, doubted[i].bytes, doubted[i].length) ||
            is_sure(&remembering, &rules, doubted[i].bytes, doubted[i].length)) {
            fail_msg("%s: not doubted", doubted[i].name);
        }
    }
}

static void texts_are_slices_of_the_record(void **state) {
    (void)state;
    static const char record[] = "{\"user_id\": \"u1\", \"locale\": \"PA\", \"timestamp\": 60}";
    struct scan scan;
    struct fields fields;
    scan_init(&scan, &rules);
    assert_true(scan_record(&scan, record, sizeof record - 1, &fields));
    assert_ptr_equal(fields.at[LOCALE].text.bytes, strstr(record, "PA"));
    assert_int_equal(fields.at[LOCALE].text.length, 2);
    assert_ptr_equal(fields.at[FIELD_USER_ID].text.bytes, strstr(record, "u1"));
    assert_int_equal(fields.at[FIELD_TIMESTAMP].kind, FIELD_WHOLE);
    assert_int_equal(fields.at[FIELD_TIMESTAMP].whole, 60);
    assert_int_equal(fields.at[DEVICE_TYPE].kind, FIELD_ABSENT);
}

/* A gap that was read only in part must leave no name behind for the bytes that are remembered. */
static void what_is_remembered_changes_no_answer(void **state) {
    (void)state;
    static const char *const records[] = {
        "{\"locale\": \"PA\", \"timestamp\": 60}", "{\"device_type\" \"PA\", \"timestamp\": 60}",
        "{\"locale\": \"PA\", \"timestamp\": 60}", "{\"locald\": \"PA\", \"timestamp\": 60}",
        "{\"locale\": \"PA\", \"timestamq\": 60}", "{\"timestamp\": 60, \"locale\": \"PA\"}",
        "{\"locale\": \"PA\",\"timestamp\" : 60}", "{\"device_type\":\"PA\", \"timestamp\": 60}",
    };
    struct scan scan;
    scan_init(&scan, &rules);
    for (size_t first = 0; first < sizeof records / sizeof *records; first++) {
        for (size_t second = 0; second < sizeof records / sizeof *records; second++) {
            const bool is_broken[] = {first == 1, second == 1};
            assert_true(is_sure(&scan, &rules, records[first], strlen(records[first])) !=
                        is_broken[0]);
            assert_true(is_sure(&scan, &rules, records[second], strlen(records[second])) !=
                        is_broken[1]);
        }
    }
}

/* For names of every length, in what was remembered a byte is changed: it is another name. */
static void every_byte_of_a_gap_counts(void **state) {
    (void)state;
    for (size_t length = 0; length < SCAN_GAP_BYTES + 4; length++) {
        char name[SCAN_GAP_BYTES + 4] = "", record[128];
        memset(name, 'a', length);
        const struct login_rules wants_it = {.dimensions = {name}, .dimension_count = 1};
        const size_t bytes =
            (size_t)snprintf(record, sizeof record, "{\"timestamp\":60,\"%s\":\"PA\"}", name);
        struct scan scan;
        scan_init(&scan, &wants_it);
        for (size_t at = 0; at < length; at++) {
            char *byte = strrchr(record, ':') - 2 - at;
            assert_true(is_sure(&scan, &wants_it, record, bytes));
            *byte = 'b';
            assert_true(is_sure(&scan, &wants_it, record, bytes));
            *byte = 'a';
        }
    }
}

static void more_members_than_are_remembered_are_decoded(void **state) {
    (void)state;
    char record[1024];
    size_t length = (size_t)snprintf(record, sizeof record, "{\"locale\":\"PA\"");
    for (int i = 0; i < 3 * SCAN_GAPS; i++) {
        length += (size_t)snprintf(record + length, sizeof record - length, ",\"n%d\":%d", i, i);
    }
    length += (size_t)snprintf(record + length, sizeof record - length, ",\"timestamp\":7}");
    struct scan scan;
    scan_init(&scan, &rules);
    for (int turn = 0; turn < 3; turn++)
        assert_true(is_sure(&scan, &rules, record, length));
}

static void one_name_may_be_wanted_in_two_places(void **state) {
    (void)state;
    static const struct login_rules twins = {
        .dimensions = {"user_id", "locale", "timestamp", "locale", ""},
        .dimension_count = 5,
    };
    static const char *const records[] = {
        "{\"user_id\":\"u1\",\"locale\":\"PA\",\"timestamp\":\"60\",\"\":\"e\"}",
        "{\"locale\":\"PA\",\"timestamp\":60}",
        "{\"locale\":\"PA\",\"locale\":true}",
    };
    struct scan scan;
    scan_init(&scan, &twins);
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        assert_true(is_sure(&scan, &twins, records[i], strlen(records[i])));
    }
}

/* Every record at the distance of one byte from a plain one: replaced, left out, put in. */
static void every_change_of_one_byte_is_decoded_as_parse_does(void **state) {
    (void)state;
    static const char plain[] = "{\"locale\": \"P" E_ACUTE "\",\"timestamp\":1720622216, "
                                "\"device_type\":\"ios\",\"x\":-1.5,\"y\":null}";
    const size_t length = sizeof plain - 1;
    struct scan scan;
    int sure_count = 0;
    scan_init(&scan, &rules);
    for (size_t at = 0; at <= length; at++) {
        char changed[sizeof plain + 1];
        memcpy(changed, plain, at);
        for (int byte = 0; byte < 256; byte++) {
            changed[at] = (char)byte;
            memcpy(changed + at + 1, plain + at, length - at);
            sure_count += is_sure(&scan, &rules, changed, length + 1);
            if (at == length) continue;
            memcpy(changed + at + 1, plain + at + 1, length - at - 1);
            sure_count += is_sure(&scan, &rules, changed, length);
        }
        if (at == length) continue;
        memcpy(changed + at, plain + at + 1, length - at - 1);
        sure_count += is_sure(&scan, &rules, changed, length - 1);
    }
    assert_in_range(sure_count, 4000, 20000); /* else this test looks at doubts alone */
}

static void every_beginning_and_every_length_stay_within_the_record(void **state) {
    (void)state;
    char record[256];
    struct scan scan;
    scan_init(&scan, &rules);
    for (int width = 0; width < 80; width++) {
        const int length =
            snprintf(record, sizeof record, "{\"timestamp\": 17, \"locale\": \"%0*d\"}", width, 7);
        assert_true(is_sure(&scan, &rules, record, (size_t)length));
        for (int bytes = 0; bytes < length; bytes++) {
            assert_false(is_sure(&scan, &rules, record, (size_t)bytes));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_records_are_decoded_as_parse_does),
        cmocka_unit_test(each_oddity_is_doubted),
        cmocka_unit_test(texts_are_slices_of_the_record),
        cmocka_unit_test(what_is_remembered_changes_no_answer),
        cmocka_unit_test(every_byte_of_a_gap_counts),
        cmocka_unit_test(more_members_than_are_remembered_are_decoded),
        cmocka_unit_test(one_name_may_be_wanted_in_two_places),
        cmocka_unit_test(every_change_of_one_byte_is_decoded_as_parse_does),
        cmocka_unit_test(every_beginning_and_every_length_stay_within_the_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
