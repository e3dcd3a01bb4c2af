/* The fast decoder: what it is sure of, that it doubts all else, and that it finds what core/parse
 * finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../decoders.h"
#include "core/parse.h"
#include "core/scan.h"

enum { PATHS_MAX = 16 };

static const char *const usual_paths[] = {"device_type", "locale",    "timestamp",
                                          "user_id",     "/a/b",      "/a/b/c",
                                          "/a/list/1",   "/list/2/x", NULL};
static struct wanted usual;

static struct wanted make(const char *const *paths, uint16_t nodes[PATHS_MAX]) {
    struct wanted wanted;
    wanted_init(&wanted);
    for (size_t i = 0; paths[i] != NULL; i++)
        nodes[i] = wanted_add(&wanted, paths[i]);
    wanted_number(&wanted);
    return wanted;
}

static const struct field *field_at(const struct fields *fields, const char *path) {
    struct wanted same;
    uint16_t nodes[PATHS_MAX];
    size_t i = 0;
    same = make(usual_paths, nodes);
    while (strcmp(usual_paths[i], path) != 0)
        i++;
    const uint16_t slot = same.nodes[nodes[i]].slot;
    wanted_release(&same);
    return &fields->at[slot];
}

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
    EXTRA_IS("an object", "{\"a\":1}"),
    EXTRA_IS("an array", "[]"),
    EXTRA_IS("16 digits", "1234567890123456"),
    EXTRA_IS("16 digits before the point", "1234567890123456.5"),
    EXTRA_IS("an exponent", "1e5"),
    EXTRA_IS("an exponent behind a fraction", "1.5e5"),
    TIME_IS("timestamp of 16 digits", "1234567890123456"),
    TIME_IS("timestamp of 20 digits", "18446744073709551676"),
    TIME_IS("timestamp below 0", "-60"),
    TIME_IS("timestamp minus 0", "-0"),
    TIME_IS("timestamp with a point", "60.0"),
    LOCALE_IS("a wanted text that is a negative number", "-17"),
    EXTRA_IS("an exponent beyond a double", "-1.5E+999"),
    EXTRA_IS("escapes of all kinds", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\""),
    EXTRA_IS("half a surrogate pair", "\"0123456789abcdef\\ud800 0123456789abcdef\""),
    EXTRA_IS("an empty object", "{ }"),
    EXTRA_IS("empty arrays", "[[],[ ],[\n[\t] ]]"),
    EXTRA_IS("arrays and objects in each other", "[1,{\"x\":[true,{\"y\":{}}]},\"]}\",null]"),
    CASE("what is wanted, nested",
         "{\"a\":{\"x\":1,\"b\":\"B\",\"list\":[1,2,3]},\"list\":[0,1,{\"x\":\"X\"}]}"),
    CASE("a step into a scalar", "{\"a\":{\"b\":\"B\"},\"list\":[1,2,3]}"),
    CASE("a step deeper", "{\"a\":{\"b\":{\"c\":\"C\",\"d\":{\"c\":1}}}}"),
    CASE("a repeated key above takes all back",
         "{\"a\":{\"b\":\"B\",\"list\":[1,2]},\"a\":{\"x\":7},\"locale\":\"PA\"}"),
    CASE("a repeated key that is a scalar takes all back", "{\"a\":{\"b\":{\"c\":1}},\"a\":null}"),
    CASE("a repeated key below", "{\"a\":{\"b\":\"B\",\"b\":{\"c\":\"C\"},\"b\":2},\"x\":1}"),
    CASE("members of an array are not elements",
         "{\"list\":{\"2\":{\"x\":1}},\"a\":{\"list\":{\"1\":5}}}"),
    CASE("elements behind the one that is wanted",
         "{\"a\":{\"list\":[[1],[2],[3]]},\"list\":[1,2,{\"x\":1},4]}"),
    CASE("an element that is there twice over",
         "{\"a\":{\"list\":[1,{\"list\":[5,6]},{\"b\":1}]},\"list\":[[0,1,{\"x\":9}],1]}"),
    CASE("white space everywhere",
         "{ \"a\" : { \"b\" : { \"c\" : [ 1 , { } ] } , \"list\" : [ 1 , 2 ] } }"),
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
    TIME_IS("timestamp with a leading zero", "060"),
    TIME_IS("timestamp of two zeros", "00"),
    TIME_IS("timestamp with an exponent", "6e1"),
    TIME_IS("timestamp of 33 bytes", "0.1234567890123456789012345678901"),
    CASE("brackets the wrong way", "{\"x\":[1,2,{\"a\":3]}}"),
    CASE("a bracket for a brace", "{\"x\":1234567890123]"),
    CASE("a bracket too many", "{\"x\":[1,2,3,4,5,6]]}"),
    CASE("a brace too many", "{\"x\":{\"y\":1234567}}}"),
    CASE("a bracket too few", "{\"x\":[1,2,3,[4,5,6]}"),
    CASE("a brace too few", "{\"x\":{\"y\":{\"z\":123}}"),
    CASE("a comma before a bracket", "{\"x\":[1,2,3,4,5,6,]}"),
    CASE("a comma behind a bracket", "{\"x\":[,1,2,3,4,5,6]}"),
    CASE("a comma within empty brackets", "{\"x1234567890\":[,]}"),
    CASE("a comma within an empty object", "{\"x1234567890\":{,}}"),
    CASE("a name within an array", "{\"x\":[\"a12345\":1,2]}"),
    CASE("a value without a name", "{\"x\":{\"a1234567890\"}}"),
    CASE("a value alone behind a comma", "{\"x\":{\"a\":1,\"bcdef\"}}"),
    CASE("no comma between elements", "{\"x\":[1234567890 1]}"),
    EXTRA_IS("an escape of three digits", "\"\\u123\""),
    EXTRA_IS("an escape of no hexadecimal digit", "\"\\u123g\""),
    EXTRA_IS("an escape of none", "\"\\x41\""),
    EXTRA_IS("an escape that is cut", "\"\\"),
    EXTRA_IS("an escaped NUL byte", "\"\\\0\""),
    CASE("an escape in a wanted text below", "{\"a\":{\"b\":\"\\u0041\"}}"),
    CASE("an escape in a name below", "{\"x\":{\"\\u0041\":123}}"),
    TIME_IS("timestamp with a plus", "+60"),
    TIME_IS("timestamp with a letter", "60x"),
    EXTRA_IS("a leading zero", "01"),
    EXTRA_IS("minus and a leading zero", "-01"),
    EXTRA_IS("minus alone", "-"),
    EXTRA_IS("two signs", "--1"),
    EXTRA_IS("no digit before the point", ".5"),
    EXTRA_IS("no digit behind the point", "5."),
    EXTRA_IS("two points", "1.2.3"),
    EXTRA_IS("a word in capitals", "True"),
    EXTRA_IS("a word cut short", "nul"),
    EXTRA_IS("a word of one letter", "f"),
    EXTRA_IS("a word too long", "nullx"),
    EXTRA_IS("NaN", "NaN"),
};

enum { ROOM_PAGES = 64 };

/* The record, copied to where nothing follows it that may be read: a byte too many is noticed. */
static char *copy_of(const char *bytes, size_t length) {
#ifdef __SANITIZE_ADDRESS__
    char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
#else
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = ROOM_PAGES * page;
    static char *begin;
    if (begin == NULL) {
        begin = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(begin, MAP_FAILED);
        assert_int_equal(mprotect(begin + room, page, PROT_NONE), 0);
    }
    assert_true(length <= room);
    char *copy = begin + room - length;
#endif
    if (length > 0) memcpy(copy, bytes, length);
    return copy;
}

static void free_copy(char *copy) {
#ifdef __SANITIZE_ADDRESS__
    free(copy);
#else
    (void)copy;
#endif
}

/* True if scan is sure; then it must agree with parse. Its memory must make no difference. */
static bool is_sure(struct scan *scan, const struct wanted *with, const char *bytes,
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
        parse_init(&parse, with);
        if (parse_record(&parse, copy, length, &parsed, detail) != LOGIN_ACCEPTED) {
            fail_msg("scan is sure of %.*s, but: %s", (int)length, bytes, detail);
        }
        if (!fields_are_same(with, &scanned, &parsed)) {
            fail_msg("scan and parse find other fields in %.*s", (int)length, bytes);
        }
        parse_release(&parse);
    }
    free_copy(copy);
    return sure_of_it;
}

static void plain_records_are_decoded_as_parse_does(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof sure / sizeof *sure; i++) {
        struct scan scan;
        scan_init(&scan, &usual);
        for (int turn = 0; turn < 2; turn++) { /* new, and remembered */
            if (!is_sure(&scan, &usual, sure[i].bytes, sure[i].length)) {
                fail_msg("%s: doubted, turn %d", sure[i].name, turn);
            }
        }
    }
}

static void each_oddity_is_doubted(void **state) {
    (void)state;
    struct scan remembering;
    scan_init(&remembering, &usual);
    for (size_t i = 0; i < sizeof doubted / sizeof *doubted; i++) {
        struct scan scan;
        scan_init(&scan, &usual);
        assert_true(is_sure(&remembering, &usual, sure[0].bytes, sure[0].length));
        if (is_sure(&scan, &usual, doubted[i].bytes, doubted[i].length) ||
            is_sure(&remembering, &usual, doubted[i].bytes, doubted[i].length)) {
            fail_msg("%s: not doubted", doubted[i].name);
        }
    }
}

static void texts_are_slices_of_the_record(void **state) {
    (void)state;
    static const char record[] = "{\"user_id\": \"u1\", \"locale\": \"PA\", \"timestamp\": 60}";
    struct scan scan;
    struct fields fields;
    scan_init(&scan, &usual);
    assert_true(scan_record(&scan, record, sizeof record - 1, &fields));
    assert_ptr_equal(field_at(&fields, "locale")->text.bytes, strstr(record, "PA"));
    assert_int_equal(field_at(&fields, "locale")->text.length, 2);
    assert_ptr_equal(field_at(&fields, "user_id")->text.bytes, strstr(record, "u1"));
    assert_int_equal(field_at(&fields, "timestamp")->kind, FIELD_NUMBER);
    assert_ptr_equal(field_at(&fields, "timestamp")->text.bytes, strstr(record, "60"));
    assert_int_equal(field_at(&fields, "timestamp")->text.length, 2);
    assert_int_equal(field_at(&fields, "device_type")->kind, FIELD_ABSENT);
    assert_int_equal(field_at(&fields, "/a/b")->kind, FIELD_ABSENT);
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
    scan_init(&scan, &usual);
    for (size_t first = 0; first < sizeof records / sizeof *records; first++) {
        for (size_t second = 0; second < sizeof records / sizeof *records; second++) {
            const bool is_broken[] = {first == 1, second == 1};
            assert_true(is_sure(&scan, &usual, records[first], strlen(records[first])) !=
                        is_broken[0]);
            assert_true(is_sure(&scan, &usual, records[second], strlen(records[second])) !=
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
        uint16_t nodes[PATHS_MAX];
        struct wanted wants_it = make((const char *const[]){name, "timestamp", NULL}, nodes);
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
        wanted_release(&wants_it);
    }
}

static void more_members_than_are_remembered_are_decoded(void **state) {
    (void)state;
    char record[8192];
    size_t length = (size_t)snprintf(record, sizeof record, "{\"locale\":\"PA\"");
    for (int i = 0; i < 3 * SCAN_GAPS; i++) {
        length += (size_t)snprintf(record + length, sizeof record - length, ",\"n%d\":%d", i, i);
    }
    length += (size_t)snprintf(record + length, sizeof record - length, ",\"timestamp\":7}");
    struct scan scan;
    scan_init(&scan, &usual);
    for (int turn = 0; turn < 3; turn++)
        assert_true(is_sure(&scan, &usual, record, length));
}

/* The same bytes mean something else in another object. */
static void a_gap_is_that_of_its_object(void **state) {
    (void)state;
    static const char *const records[] = {
        "{\"x\":{\"b\":\"X\",\"locale\":1},\"locale\":\"PA\"}",
        "{\"a\":{\"b\":\"B\",\"locale\":1},\"locale\":\"PA\"}",
        "{\"a\":[{\"b\":\"B\",\"locale\":1}],\"locale\":2}",
        "{\"a\":{\"x\":{\"b\":1,\"locale\":1},\"b\":3},\"c\":2}",
        "{\"a\":{\"b\":1},\"locale\":{\"b\":2,\"locale\":3}}",
    };
    enum { RECORDS = sizeof records / sizeof *records };
    for (size_t first = 0; first < RECORDS; first++) {
        for (size_t second = 0; second < RECORDS; second++) {
            struct scan scan;
            scan_init(&scan, &usual);
            assert_true(is_sure(&scan, &usual, records[first], strlen(records[first])));
            assert_true(is_sure(&scan, &usual, records[second], strlen(records[second])));
        }
    }
}

static void levels_end_where_the_limit_is(void **state) {
    (void)state;
    char record[4 * SCAN_LEVELS_MAX];
    for (int levels = 1; levels <= SCAN_LEVELS_MAX + 1; levels++) {
        struct scan scan;
        scan_init(&scan, &usual);
        int length = snprintf(record, sizeof record, "{\"timestamp\":1234567,\"a\":");
        for (int i = 1; i < levels; i++)
            record[length++] = '[';
        record[length++] = '1';
        for (int i = 1; i < levels; i++)
            record[length++] = ']';
        record[length++] = '}';
        assert_int_equal(is_sure(&scan, &usual, record, (size_t)length), levels <= SCAN_LEVELS_MAX);
    }
}

static void two_paths_that_are_the_same_have_one_slot(void **state) {
    (void)state;
    static const char *const paths[] = {"locale", "/locale", "/a/b", "/a/b", "/a", "/a/b/c", NULL};
    uint16_t nodes[PATHS_MAX];
    struct wanted wanted = make(paths, nodes);
    assert_int_equal(wanted.slot_count, 4);
    assert_int_equal(nodes[0], nodes[1]);
    assert_int_equal(nodes[2], nodes[3]);
    struct scan scan;
    scan_init(&scan, &wanted);
    static const char record[] = "{\"locale\":\"PA\",\"a\":{\"b\":{\"c\":true}}}";
    assert_true(is_sure(&scan, &wanted, record, sizeof record - 1));
    wanted_release(&wanted);
}

/* Every record at the distance of one byte from a plain one: replaced, left out, put in. */
static void every_change_of_one_byte_is_decoded_as_parse_does(void **state) {
    (void)state;
    static const char plain[] = "{\"locale\": \"P" E_ACUTE "\",\"timestamp\":1720622216, "
                                "\"device_type\":\"ios\",\"a\":{\"b\":[{\"x\":-1.5},[]],"
                                "\"list\":[1,{\"y\":null}]}}";
    const size_t length = sizeof plain - 1;
    struct scan scan;
    int sure_count = 0;
    scan_init(&scan, &usual);
    for (size_t at = 0; at <= length; at++) {
        char changed[sizeof plain + 1];
        memcpy(changed, plain, at);
        for (int byte = 0; byte < 256; byte++) {
            changed[at] = (char)byte;
            memcpy(changed + at + 1, plain + at, length - at);
            sure_count += is_sure(&scan, &usual, changed, length + 1);
            if (at == length) continue;
            memcpy(changed + at + 1, plain + at + 1, length - at - 1);
            sure_count += is_sure(&scan, &usual, changed, length);
        }
        if (at == length) continue;
        memcpy(changed + at, plain + at + 1, length - at - 1);
        sure_count += is_sure(&scan, &usual, changed, length - 1);
    }
    assert_in_range(sure_count, 8000, 40000); /* else this test looks at doubts alone */
}

static void every_beginning_and_every_length_stay_within_the_record(void **state) {
    (void)state;
    static const char *const characters[] = {"", E_ACUTE, "\xe2\x82\xac", "\xf0\x9d\x84\x9e"};
    char record[256];
    struct scan scan;
    scan_init(&scan, &usual);
    for (int width = 0; width < 4 * 80; width++) { /* of one byte to four, at each place */
        const char *c = characters[width % 4];
        const int length =
            snprintf(record, sizeof record, "{\"timestamp\": 17, \"locale\": \"%0*d%s%s%s\"}",
                     width / 4, 7, c, c, c);
        assert_true(is_sure(&scan, &usual, record, (size_t)length));
        for (int bytes = 0; bytes < length; bytes++) {
            assert_false(is_sure(&scan, &usual, record, (size_t)bytes));
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
        cmocka_unit_test(a_gap_is_that_of_its_object),
        cmocka_unit_test(levels_end_where_the_limit_is),
        cmocka_unit_test(two_paths_that_are_the_same_have_one_slot),
        cmocka_unit_test(every_change_of_one_byte_is_decoded_as_parse_does),
        cmocka_unit_test(every_beginning_and_every_length_stay_within_the_record),
    };
    uint16_t nodes[PATHS_MAX];
    usual = make(usual_paths, nodes);
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    wanted_release(&usual);
    return failures;
}
