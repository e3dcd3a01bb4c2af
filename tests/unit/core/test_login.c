/* The verdict on a record, case by case; then what no single record can show. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/login.h"

enum { NO_KAFKA_TIME = -1, MAX_FUTURE_S = 3600 };

static const struct login_rules rules = {
    .dimensions = {{"device_type"}, {"locale"}},
    .dimension_count = 2,
    .max_future_s = MAX_FUTURE_S,
};

struct verdict_case {
    const char *name;
    const char *bytes;
    size_t length;
    enum login_reason reason;
    const char *detail; /* that it begins with; NULL: any */
    int64_t timestamp_s;
    int64_t kafka_timestamp_ms;
};

#define BYTES(literal) (literal), sizeof(literal) - 1
#define NULL_VALUE(length) NULL, (length)
/* A whole record around the bytes that matter. */
#define LOCALE(json) BYTES("{\"device_type\":\"ios\",\"locale\":" json ",\"timestamp\":60}")
#define TIME(json) BYTES("{\"device_type\":\"ios\",\"locale\":\"PA\",\"timestamp\":" json "}")
#define EXTRA(json) BYTES("{\"device_type\":\"ios\",\"locale\":\"PA\",\"timestamp\":60," json "}")

#define X16 "0123456789abcdef"
#define X112 X16 X16 X16 X16 X16 X16 X16
#define X128 X112 X16
#define E_ACUTE_16 "éééééééé"
#define E_ACUTE_128                                                                                \
    E_ACUTE_16 E_ACUTE_16 E_ACUTE_16 E_ACUTE_16 E_ACUTE_16 E_ACUTE_16 E_ACUTE_16 E_ACUTE_16
#define LAST_SECOND 253402300799

#define OK(name, json, timestamp_s)                                                                \
    { name, json, LOGIN_ACCEPTED, "", timestamp_s, NO_KAFKA_TIME }
#define NO(name, json, reason, detail)                                                             \
    { name, json, reason, detail, 0, NO_KAFKA_TIME }
#define OK_AT(name, json, timestamp_s, kafka_ms)                                                   \
    { name, json, LOGIN_ACCEPTED, "", timestamp_s, kafka_ms }
#define NO_AT(name, json, detail, kafka_ms)                                                        \
    { name, json, LOGIN_BAD_TIMESTAMP, detail, 0, kafka_ms }

static const struct verdict_case cases[] = {
    /* Accepted as a whole. */
    OK("the example of the interface",
       BYTES("{\"user_id\": \"5ec2d697\", \"app_version\": \"2.3.0\", \"ip\": \"149.144.3.2\", "
             "\"locale\": \"PA\", \"device_id\": \"70d46930\", \"timestamp\": 1720622216, "
             "\"device_type\": \"android\"}"),
       1720622216),
    OK("white space of all four kinds",
       BYTES(" \t\r\n{\"device_type\" :\t\"a\" ,\r\n\"locale\"\n: "
             "\"b\",\"timestamp\":7 } \n"),
       7),
    OK("names may be escaped",
       BYTES("{\"device\\u005ftype\":\"a\",\"local\\u0065\":\"b\","
             "\"\\u0074imestamp\":7}"),
       7),

    /* empty */
    NO("null value", NULL_VALUE(0), LOGIN_EMPTY, "the record has no value"),
    NO("null value of some length", NULL_VALUE(5), LOGIN_EMPTY, NULL),
    NO("no bytes", BYTES(""), LOGIN_EMPTY, NULL),

    /* not_json */
    NO("white space only", BYTES(" \n\t "), LOGIN_NOT_JSON, NULL),
    NO("one NUL", BYTES("\0"), LOGIN_NOT_JSON, "NUL at byte 0"),
    NO("text", BYTES("hello"), LOGIN_NOT_JSON, "invalid token near 'hello' at byte 5"),
    NO("object cut short", BYTES("{\"device_type\":\"ios\""), LOGIN_NOT_JSON, NULL),
    NO("string cut short", BYTES("{\"device_type\":\"ios"), LOGIN_NOT_JSON, NULL),
    NO("opening brace alone", BYTES("{"), LOGIN_NOT_JSON, NULL),
    NO("bytes after the object", EXTRA("\"a\":1} x {\"b\":1"), LOGIN_NOT_JSON, NULL),
    NO("a second object", BYTES("{}{}"), LOGIN_NOT_JSON, NULL),
    NO("a second line", BYTES("{}\n{}"), LOGIN_NOT_JSON, NULL),
    NO("comma before the brace", EXTRA("\"a\":1,"), LOGIN_NOT_JSON, NULL),
    NO("two commas", EXTRA(",\"a\":1"), LOGIN_NOT_JSON, NULL),
    NO("comment", EXTRA("/* x */\"a\":1"), LOGIN_NOT_JSON, NULL),
    NO("single quotes", EXTRA("'a':1"), LOGIN_NOT_JSON, NULL),
    NO("name without quotes", EXTRA("a:1"), LOGIN_NOT_JSON, NULL),
    NO("name that is a number", EXTRA("1:1"), LOGIN_NOT_JSON, NULL),
    NO("name without value", EXTRA("\"a\""), LOGIN_NOT_JSON, NULL),
    NO("a byte order mark and nothing else", BYTES("\xef\xbb\xbf"), LOGIN_NOT_JSON, NULL),
    NO("two byte order marks", BYTES("\xef\xbb\xbf\xef\xbb\xbf{}"), LOGIN_NOT_JSON, NULL),
    NO("a byte order mark behind white space", BYTES(" \xef\xbb\xbf{}"), LOGIN_NOT_JSON, NULL),
    NO("a byte order mark cut short", BYTES("\xef\xbb{}"), LOGIN_NOT_JSON, NULL),
    NO("a byte order mark of UTF-16", BYTES("\xFF\xFE{\0}\0"), LOGIN_NOT_JSON,
       "a byte order mark (BOM) of UTF-16"),
    NO("Confluent framing", BYTES("\0\0\0\1\2{\"locale\":\"PA\",\"timestamp\":60}"), LOGIN_NOT_JSON,
       "Confluent framing, as it seems: byte 0 and schema id 258 before the value; set "
       "input.framing = confluent"),
    NO("five bytes of framing", BYTES("\0\0\0\0\1"), LOGIN_NOT_JSON, "Confluent framing"),
    NO("four bytes of framing", BYTES("\0\0\0\1"), LOGIN_NOT_JSON, "NUL at byte 0"),
    NO("UTF-16", BYTES("{\0}\0"), LOGIN_NOT_JSON, "NUL at byte 1"),
    NO("NUL after the object", EXTRA("\"a\":1}\0"), LOGIN_NOT_JSON, NULL),
    NO("NUL after a number", TIME("60\0"), LOGIN_NOT_JSON, NULL),
    NO("NUL after a literal", EXTRA("\"a\":true\0"), LOGIN_NOT_JSON, NULL),
    NO("NUL within a string", LOCALE("\"P\0A\""), LOGIN_NOT_JSON, NULL),
    NO("line feed within a string", LOCALE("\"P\nA\""), LOGIN_NOT_JSON, NULL),
    NO("tab within a string", LOCALE("\"P\tA\""), LOGIN_NOT_JSON, NULL),
    NO("control character 0x1f within a string", LOCALE("\"\x1f\""), LOGIN_NOT_JSON, NULL),
    NO("vertical tab between", EXTRA("\v\"a\":1"), LOGIN_NOT_JSON, NULL),
    NO("no-break space between", EXTRA("\xc2\xa0\"a\":1"), LOGIN_NOT_JSON, NULL),
    NO("unknown escape", LOCALE("\"\\x41\""), LOGIN_NOT_JSON, NULL),
    NO("escape of three digits", LOCALE("\"\\u004\""), LOGIN_NOT_JSON, NULL),
    NO("UTF-8: stray continuation", LOCALE("\"\x80\""), LOGIN_NOT_JSON, NULL),
    NO("UTF-8: cut by the quote", LOCALE("\"\xe2\x82\""), LOGIN_NOT_JSON, NULL),
    NO("UTF-8: cut by the end", BYTES("{\"a\":\"\xe2\x82"), LOGIN_NOT_JSON, NULL),
    NO("UTF-8: overlong slash", LOCALE("\"\xc0\xaf\""), LOGIN_NOT_JSON, NULL),
    NO("UTF-8: overlong NUL", LOCALE("\"\xc0\x80\""), LOGIN_NOT_JSON, NULL),
    NO("UTF-8: overlong of three bytes", LOCALE("\"\xe0\x80\xaf\""), LOGIN_NOT_JSON, NULL),
    NO("UTF-8: surrogate", LOCALE("\"\xed\xa0\x80\""), LOGIN_NOT_JSON, NULL),
    NO("UTF-8: past U+10FFFF", LOCALE("\"\xf4\x90\x80\x80\""), LOGIN_NOT_JSON, NULL),
    NO("UTF-8: 0xff", LOCALE("\"\xff\""), LOGIN_NOT_JSON, NULL),
    NO("Latin-1", LOCALE("\"\xe9t\xe9\""), LOGIN_NOT_JSON, NULL),
    NO("invalid UTF-8 in a field nobody reads", EXTRA("\"a\":\"\xff\""), LOGIN_NOT_JSON, NULL),
    NO("leading zero", TIME("060"), LOGIN_NOT_JSON, NULL),
    NO("leading plus", TIME("+60"), LOGIN_NOT_JSON, NULL),
    NO("hexadecimal", TIME("0x3c"), LOGIN_NOT_JSON, NULL),
    NO("point without digits after", TIME("60."), LOGIN_NOT_JSON, NULL),
    NO("point without digits before", TIME(".5"), LOGIN_NOT_JSON, NULL),
    NO("exponent without digits", TIME("6e"), LOGIN_NOT_JSON, NULL),
    NO("minus alone", TIME("-"), LOGIN_NOT_JSON, NULL),
    NO("NaN", TIME("NaN"), LOGIN_NOT_JSON, NULL),
    NO("infinity", TIME("Infinity"), LOGIN_NOT_JSON, NULL),
    NO("literal in capitals", EXTRA("\"a\":True"), LOGIN_NOT_JSON, NULL),
    NO("literal too long", EXTRA("\"a\":nullx"), LOGIN_NOT_JSON, NULL),
    NO("what is not printable is not repeated", BYTES("\x1b[31m"), LOGIN_NOT_JSON,
       "invalid token near '?' at byte 1"),

    /* not_object */
    NO("array", BYTES("[{\"device_type\":\"ios\"}]"), LOGIN_NOT_OBJECT, "valid JSON, but"),
    NO("string", BYTES("\"PA\""), LOGIN_NOT_OBJECT, NULL),
    NO("number", BYTES("1720622216"), LOGIN_NOT_OBJECT, NULL),
    NO("true", BYTES("true"), LOGIN_NOT_OBJECT, NULL),
    NO("null", BYTES(" null "), LOGIN_NOT_OBJECT, NULL),

    /* missing_field */
    NO("no field at all", BYTES("{}"), LOGIN_MISSING_FIELD, "device_type: missing"),
    NO("second dimension missing", BYTES("{\"device_type\":\"ios\",\"timestamp\":60}"),
       LOGIN_MISSING_FIELD, "locale: missing"),
    NO("timestamp missing", BYTES("{\"device_type\":\"ios\",\"locale\":\"PA\"}"),
       LOGIN_MISSING_FIELD, "timestamp: missing"),
    NO("names are case-sensitive", BYTES("{\"device_type\":\"\",\"Locale\":\"\",\"timestamp\":6}"),
       LOGIN_MISSING_FIELD, "locale: missing"),
    NO("fields of a nested object do not count",
       BYTES("{\"a\":{\"device_type\":\"ios\",\"locale\":\"PA\",\"timestamp\":60}}"),
       LOGIN_MISSING_FIELD, "device_type: missing"),
    NO("missing goes before a bad value", BYTES("{\"device_type\":5,\"timestamp\":60}"),
       LOGIN_MISSING_FIELD, "locale: missing"),
    NO("missing timestamp goes before a bad value", BYTES("{\"device_type\":5,\"locale\":\"\"}"),
       LOGIN_MISSING_FIELD, "timestamp: missing"),

    /* bad_value */
    NO("value null", LOCALE("null"), LOGIN_BAD_VALUE, "locale: not a string"),
    NO("value a number", LOCALE("5"), LOGIN_BAD_VALUE, "locale: not a string"),
    NO("value true", LOCALE("true"), LOGIN_BAD_VALUE, "locale: not a string"),
    NO("value an array", LOCALE("[\"PA\"]"), LOGIN_BAD_VALUE, "locale: not a string"),
    NO("value an object", LOCALE("{}"), LOGIN_BAD_VALUE, "locale: not a string"),
    NO("value empty", LOCALE("\"\""), LOGIN_BAD_VALUE, "locale: empty"),
    NO("value of 129 bytes", LOCALE("\"" X128 "x\""), LOGIN_BAD_VALUE,
       "locale: 129 bytes, more than 128"),
    NO("value of 65 characters, 130 bytes", LOCALE("\"" E_ACUTE_128 "é\""), LOGIN_BAD_VALUE,
       "locale: 130 bytes, more than 128"),
    NO("value of 129 bytes, the last an escaped NUL", LOCALE("\"" X128 "\\u0000\""),
       LOGIN_BAD_VALUE, "locale: 129 bytes"),
    NO("first dimension is named first", BYTES("{\"locale\":5,\"device_type\":5,\"timestamp\":6}"),
       LOGIN_BAD_VALUE, "device_type: not a string"),
    NO("bad value goes before a bad timestamp",
       BYTES("{\"timestamp\":null,\"device_type\":\"a\",\"locale\":\"\"}"), LOGIN_BAD_VALUE,
       "locale: empty"),
    NO("last of a repeated key counts: bad",
       BYTES("{\"device_type\":\"a\",\"locale\":\"PA\","
             "\"timestamp\":6,\"locale\":7}"),
       LOGIN_BAD_VALUE, "locale: not a string"),
    OK("last of a repeated key counts: good",
       BYTES("{\"device_type\":\"a\",\"locale\":7,"
             "\"timestamp\":6,\"loc\\u0061le\":\"PA\"}"),
       6),
    OK("value of 128 bytes", LOCALE("\"" X128 "\""), 60),
    OK("value of 64 characters, 128 bytes", LOCALE("\"" E_ACUTE_128 "\""), 60),
    OK("128 bytes are counted after escapes",
       LOCALE("\"" X112 "\\u0061\\u0062\\u0063\\u0064\\u0065"
              "\\u0066\\u0067\\u0068\\u0069\\u006a\\u006b"
              "\\u006c\\u006d\\u006e\\u006f\\u0070\""),
       60),
    OK("value of one blank", LOCALE("\" \""), 60),
    OK("value of one escaped NUL", LOCALE("\"\\u0000\""), 60),
    OK("value with DEL and U+FFFF", LOCALE("\"\x7f\xef\xbf\xbf\""), 60),

    NO("first half of a pair alone", LOCALE("\"\\ud83d\""), LOGIN_BAD_VALUE,
       "locale: half of a surrogate pair"),
    NO("second half of a pair alone", LOCALE("\"\\ude00\""), LOGIN_BAD_VALUE, "locale: half"),
    NO("halves of a pair the wrong way", LOCALE("\"\\ude00\\ud83d\""), LOGIN_BAD_VALUE,
       "locale: half"),
    NO("first half before another escape", LOCALE("\"\\ud83d\\u0041\""), LOGIN_BAD_VALUE,
       "locale: half"),
    NO("half a pair in the key", EXTRA("\"user_id\":\"\\udead\""), LOGIN_BAD_VALUE,
       "user_id: half of a surrogate pair, or a number beyond a double"),
    NO("a key beyond a double", EXTRA("\"user_id\":-1e400"), LOGIN_BAD_VALUE, "user_id: half"),
    NO("a dimension comes before the key",
       BYTES("{\"user_id\":1e999,\"device_type\":\"a\",\"locale\":5,\"timestamp\":-1}"),
       LOGIN_BAD_VALUE, "locale: not a string"),
    NO("the key comes before the timestamp",
       BYTES("{\"user_id\":1e999,\"device_type\":\"a\",\"locale\":\"b\",\"timestamp\":-1}"),
       LOGIN_BAD_VALUE, "user_id: half"),
    OK("the last of a repeated key is no half pair",
       BYTES("{\"locale\":\"\\ud800\",\"device_type\":\"a\",\"locale\":\"b\",\"timestamp\":6}"), 6),

    /* bad_timestamp */
    NO("no double holds it", TIME("1e400"), LOGIN_BAD_TIMESTAMP, "timestamp: half"),
    NO("half a pair in the timestamp", TIME("\"\\ud800\""), LOGIN_BAD_TIMESTAMP, "timestamp: half"),
    NO("timestamp just not whole, beyond a double's precision", TIME("60.00000000000000000000001"),
       LOGIN_BAD_TIMESTAMP, "timestamp: not a whole"),
    NO("timestamp just below 253402300800", TIME("253402300799.9999999999999999"),
       LOGIN_BAD_TIMESTAMP, "timestamp: not a whole"),
    OK("a zero with an exponent", TIME("0e999999999999999999999"), 0),
    OK("a whole number in an odd form", TIME("0.000172062221600E13"), 1720622216),
    NO("timestamp in ms", TIME("1720622216000"), LOGIN_BAD_TIMESTAMP,
       "timestamp: not within 1970 to 9999, in seconds; it looks like milliseconds"),
    NO("timestamp a string of ms", TIME("\"1720622216000\""), LOGIN_BAD_TIMESTAMP,
       "timestamp: not within 1970 to 9999, in seconds; it looks like milliseconds"),
    NO("timestamp in us", TIME("1720622216000000"), LOGIN_BAD_TIMESTAMP,
       "timestamp: not within 1970 to 9999, in seconds; it looks like microseconds"),
    NO("timestamp in ns", TIME("1720622216000000000"), LOGIN_BAD_TIMESTAMP,
       "timestamp: not within 1970 to 9999, in seconds; it looks like nanoseconds"),
    NO("timestamp a string of ns", TIME("\"1720622216000000000\""), LOGIN_BAD_TIMESTAMP,
       "timestamp: not within 1970 to 9999, in seconds; it looks like nanoseconds"),
    NO("timestamp null", TIME("null"), LOGIN_BAD_TIMESTAMP, "timestamp: neither"),
    NO("timestamp true", TIME("true"), LOGIN_BAD_TIMESTAMP, "timestamp: neither"),
    NO("timestamp an array", TIME("[60]"), LOGIN_BAD_TIMESTAMP, "timestamp: neither"),
    NO("timestamp an empty string", TIME("\"\""), LOGIN_BAD_TIMESTAMP, "timestamp: a string"),
    NO("timestamp with a blank", TIME("\"60 \""), LOGIN_BAD_TIMESTAMP, "timestamp: a string"),
    NO("timestamp with a sign", TIME("\"+60\""), LOGIN_BAD_TIMESTAMP, "timestamp: a string"),
    NO("timestamp a string below 0", TIME("\"-60\""), LOGIN_BAD_TIMESTAMP, "timestamp: a string"),
    NO("timestamp a string with a point", TIME("\"60.0\""), LOGIN_BAD_TIMESTAMP, NULL),
    NO("timestamp a string with an exponent", TIME("\"6e1\""), LOGIN_BAD_TIMESTAMP, NULL),
    NO("timestamp a string that ends in NUL", TIME("\"60\\u0000\""), LOGIN_BAD_TIMESTAMP, NULL),
    NO("timestamp of Arabic digits", TIME("\"٦٠\""), LOGIN_BAD_TIMESTAMP, NULL),
    NO("timestamp a date", TIME("\"2024-07-10T14:36:56Z\""), LOGIN_BAD_TIMESTAMP,
       "timestamp: a string, but not of digits; it is RFC 3339: set input.timestamp_format"),
    NO("timestamp below 0", TIME("-1"), LOGIN_BAD_TIMESTAMP, "timestamp: not within"),
    NO("timestamp just below 0", TIME("-0.5"), LOGIN_BAD_TIMESTAMP, "timestamp: not within"),
    NO("timestamp with a half", TIME("60.5"), LOGIN_BAD_TIMESTAMP, "timestamp: not a whole"),
    NO("timestamp with a tiny part", TIME("1720622216.000001"), LOGIN_BAD_TIMESTAMP,
       "timestamp: not a whole"),
    NO("timestamp of the year 10000", TIME("253402300800"), LOGIN_BAD_TIMESTAMP,
       "timestamp: not within"),
    NO("timestamp of the year 10000 in digits", TIME("\"253402300800\""), LOGIN_BAD_TIMESTAMP,
       "timestamp: not within"),
    NO("timestamp in milliseconds", TIME("1720622216000"), LOGIN_BAD_TIMESTAMP,
       "timestamp: not within"),
    NO("timestamp past 64 bits", TIME("18446744073709551676"), LOGIN_BAD_TIMESTAMP,
       "timestamp: not within"),
    NO("timestamp past 64 bits in digits, 60 modulo 2^64", TIME("\"18446744073709551676\""),
       LOGIN_BAD_TIMESTAMP, "timestamp: not within"),
    NO("timestamp huge", TIME("1e300"), LOGIN_BAD_TIMESTAMP, "timestamp: not within"),
    OK("timestamp 0", TIME("0"), 0),
    OK("timestamp -0", TIME("-0"), 0),
    OK("timestamp 59", TIME("59"), 59),
    OK("timestamp with a zero part", TIME("1720622216.0"), 1720622216),
    OK("timestamp with an exponent", TIME("1.720622216e9"), 1720622216),
    OK("timestamp with a negative exponent", TIME("17206222160E-1"), 1720622216),
    OK("timestamp in digits", TIME("\"1720622216\""), 1720622216),
    OK("timestamp in digits after zeros", TIME("\"0000000000000000000000001720622216\""),
       1720622216),
    OK("timestamp in escaped digits", TIME("\"\\u00360\""), 60),
    OK("the last second", TIME("253402300799"), LAST_SECOND),
    OK("the last second in digits", TIME("\"253402300799\""), LAST_SECOND),

    /* Against the record's own timestamp: at most 3600 s ahead, to the millisecond. */
    OK_AT("ahead by just what is allowed", TIME("4600"), 4600, 1000000),
    NO_AT("ahead by a millisecond more", TIME("4600"), "timestamp: 3601 s ahead", 999999),
    NO_AT("ahead by a second more, in digits", TIME("\"4601\""),
          "timestamp: 3601 s ahead of the record's own, more than 3600", 1000000),
    OK_AT("long ago is no offence", TIME("0"), 0, INT64_C(1720622216000)),
    OK_AT("a record's timestamp may be 0", TIME("3600"), 3600, 0),
    NO_AT("a record's timestamp of 0 counts", TIME("3601"), "timestamp: 3601 s ahead", 0),
    OK_AT("the end of time does not overflow", TIME("253402300799"), LAST_SECOND, INT64_MAX),
    OK_AT("any negative timestamp is none", TIME("253402300799"), LAST_SECOND, INT64_MIN),

    /* Other fields may be anything. */
    OK("other fields of all kinds", EXTRA("\"a\":[1,-2.5e-3,true,false,null,{\"b\":[]}],\"\":\"\""),
       60),
    OK("integer past 64 bits elsewhere", EXTRA("\"a\":123456789012345678901234567890"), 60),
    OK("number too small for a double elsewhere", EXTRA("\"a\":1e-400"), 60),
    OK("a number beyond a double elsewhere", EXTRA("\"a\":1e400,\"b\":[-1E+999,{\"c\":9e9999}]"),
       60),
    OK("half a surrogate pair elsewhere",
       EXTRA("\"a\":\"\\ud800\",\"\\uDFFF\":[\"\\udc00\\ud800\\ud800\\udc00\",\"\\\\ud800\"]"), 60),
    NO("half a surrogate pair elsewhere, and what is no JSON", EXTRA("\"a\":\"\\ud800\",\"b\":--1"),
       LOGIN_NOT_JSON, "invalid token"),
    NO("no hexadecimal digits", EXTRA("\"a\":\"\\ud8\x10\x10\""), LOGIN_NOT_JSON, NULL),
    NO("a number beyond a double, and one of two points", EXTRA("\"a\":1e400,\"b\":1.5.5"),
       LOGIN_NOT_JSON, NULL),
    NO("a number beyond a double, and a leading zero", EXTRA("\"a\":1e400,\"b\":-01e5"),
       LOGIN_NOT_JSON, NULL),
    OK("a byte order mark of UTF-8 is skipped",
       BYTES("\xEF\xBB\xBF{\"device_type\":\"ios\",\"locale\":\"PA\",\"timestamp\":60}"), 60),
    OK("NUL escaped within a name", EXTRA("\"a\\u0000\":1"), 60),
    OK("NULs escaped within several names, and within values",
       EXTRA("\"\\u0000\" :\"\\u0000\",\"a\\\\\\u0000\\u0000\"\t:[{\"\\u0000b\":1}]"), 60),
    OK("a NUL behind an escaped quote within a name", EXTRA("\"\\\"\\u0000\":1"), 60),
    OK("what only looks like a NUL within a name", EXTRA("\"\\\\u0000\\u0000\":\"\\\":\""), 60),
    NO("a name with a NUL is no name of ours",
       BYTES("{\"device_type\":\"ios\",\"locale\\u0000\":\"PA\",\"timestamp\":60}"),
       LOGIN_MISSING_FIELD, "locale: missing"),
    NO("a name with a NUL, then what is no JSON", EXTRA("\"\\u0000\":1,"), LOGIN_NOT_JSON, NULL),
    NO("a name with a NUL, and one cut short", BYTES("{\"\\u0000\":1,\"\\"), LOGIN_NOT_JSON, NULL),
    OK("slash escaped elsewhere", EXTRA("\"a\":\"\\/\\\"\\\\\\b\\f\\n\\r\\t\""), 60),
};

struct harness {
    struct login_judge *judge;
    struct login login;
};

static int set_up(void **state) {
    struct harness *harness = calloc(1, sizeof *harness);
    harness->judge = login_judge_create(&rules);
    *state = harness;
    return harness->judge == NULL;
}

static int tear_down(void **state) {
    struct harness *harness = *state;
    login_judge_destroy(&harness->judge);
    free(harness);
    return 0;
}

static const struct login *judge(struct harness *harness, const char *bytes, size_t length,
                                 int64_t kafka_timestamp_ms) {
    memset(&harness->login, 0xa5, sizeof harness->login);
    const struct login_record record = {{bytes, length}, kafka_timestamp_ms, NULL};
    login_judge_record(harness->judge, &record, &harness->login);
    return &harness->login;
}

static void judge_text(struct login_judge *judge, const char *text, int64_t kafka_timestamp_ms,
                       struct login *login) {
    const struct login_record record = {{text, strlen(text)}, kafka_timestamp_ms, NULL};
    login_judge_record(judge, &record, login);
}

static void assert_text(struct slice text, const char *bytes, size_t length) {
    assert_int_equal(text.length, length);
    assert_memory_equal(text.bytes, bytes, length);
}

static void each_case_has_its_verdict(void **state) {
    size_t wrong_count = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct verdict_case *c = &cases[i];
        const struct login *login = judge(*state, c->bytes, c->length, c->kafka_timestamp_ms);
        const char *detail = c->detail == NULL ? "" : c->detail;
        const int is_right =
            login->reason == c->reason && strncmp(login->detail, detail, strlen(detail)) == 0 &&
            (login->reason == LOGIN_ACCEPTED) == (login->detail[0] == '\0') &&
            (login->reason != LOGIN_ACCEPTED || login->minute == c->timestamp_s / 60);
        if (is_right) continue;
        wrong_count++;
        print_error("%s: %s (%s), expected %s (%s)\n", c->name, login_reason_name(login->reason),
                    login->detail, login_reason_name(c->reason), detail);
    }
    assert_int_equal(wrong_count, 0);
}

/* The bytes are copied to where nothing follows them, so that AddressSanitizer sees a byte too
 * many. */
static void every_beginning_of_a_record_is_judged_within_its_bytes(void **state) {
    static const char record[] =
        "{\"device_type\":\"a\\u00e9\\ud83d\\ude00é\",\"locale\":\"PA\",\"timestamp\":1.5e3,"
        "\"x\":[true,false,null,-0]}";
    const size_t length = sizeof record - 1;
    for (size_t bytes = 1; bytes <= length; bytes++) {
        char *copy = malloc(bytes);
        memcpy(copy, record, bytes);
        const struct login *login = judge(*state, copy, bytes, NO_KAFKA_TIME);
        assert_int_equal(login->reason, bytes == length ? LOGIN_ACCEPTED : LOGIN_NOT_JSON);
        free(copy);
    }
}

static void values_are_utf8_byte_for_byte_in_the_order_of_the_rules(void **state) {
    static const char record[] = "{\"locale\":\"\\u0000\\\"\\n\\u00e9\\ud83d\\ude00é\","
                                 "\"timestamp\":1720622216,\"device_type\":\"ios\"}";
    const struct login *login = judge(*state, record, sizeof record - 1, NO_KAFKA_TIME);
    assert_int_equal(login->reason, LOGIN_ACCEPTED);
    assert_text(login->values[0], "ios", 3);
    assert_text(login->values[1], "\0\"\n\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9", 11);
    assert_int_equal(login->minute, 28677036);
}

static void a_value_keeps_its_nul_beside_a_key_with_one(void **state) {
    static const char record[] = "{\"x\\u0000\":1,\"locale\":\"\\u0000:\",\"timestamp\":60,"
                                 "\"device_type\":\"a\"}";
    const struct login *login = judge(*state, record, sizeof record - 1, NO_KAFKA_TIME);
    assert_int_equal(login->reason, LOGIN_ACCEPTED);
    assert_text(login->values[1], "\0:", 2);
}

static void user_id_is_a_string_or_a_number_as_written(void **state) {
    static const struct {
        const char *bytes;
        size_t length;
        const char *user_id;
    } ids[] = {
        {EXTRA("\"user_id\":\"5ec2d697\""), "5ec2d697"},
        {EXTRA("\"user_id\":\"\""), ""},
        {EXTRA("\"user_id\":5"), "5"},
        {EXTRA("\"user_id\":0"), "0"},
        {EXTRA("\"user_id\":9007199254740993"), "9007199254740993"},
        {EXTRA("\"user_id\":123456789012345678901234567890"), "123456789012345678901234567890"},
        {EXTRA("\"user_id\":-5"), "-5"},
        {EXTRA("\"user_id\":-0"), "-0"},
        {EXTRA("\"user_id\":5.0"), "5.0"},
        {EXTRA("\"user_id\" :\n 1.50E+3 "), "1.50E+3"},
        {EXTRA("\"user_id\":1e5,\"b\":{\"user_id\":2e1},\"c\":[{\"user_id\":3}]"), "1e5"},
        {EXTRA("\"user_id\":1e5,\"us\\u0065r_id\":7e0,\"user_i\":8"), "7e0"},
        {EXTRA("\"user_id\":7,\"us\\u0065r_id\\u0000\":1e5"), "7"},
        {EXTRA("\"user_id\":1e5,\"x\":\"user_id\",\"user_id\":2e5"), "2e5"},
        {EXTRA("\"user_id\":1e5,\"x\":\"\\\",\\\"user_id\\\":9\""), "1e5"},
        {EXTRA("\"user_id\":1e5,\"user_id\":true"), NULL},
        {EXTRA("\"user_id\":\"u1,\",\"user_id\":1e5"), "1e5"},
        {EXTRA("\"user_id\": \"u1\" ,\"user_id\" : -1e5 "), "-1e5"},
        {EXTRA("\"user_id\":{\"a\":1},\"user_id\":1e5"), "1e5"},
        {EXTRA("\"user_id\":[\"]\",2],\"user_id\":1e5"), "1e5"},
        {EXTRA("\"user_id\":[5]"), NULL},
        {EXTRA("\"user_id\":null"), NULL},
        {EXTRA("\"user\":\"5ec2d697\""), NULL},
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        const struct login *login = judge(*state, ids[i].bytes, ids[i].length, NO_KAFKA_TIME);
        assert_int_equal(login->reason, LOGIN_ACCEPTED);
        if (ids[i].user_id == NULL) {
            assert_null(login->key.bytes);
            assert_int_equal(login->key.length, 0);
        } else {
            assert_text(login->key, ids[i].user_id, strlen(ids[i].user_id));
        }
    }
}

static void a_rejected_record_gives_no_values(void **state) {
    static const char record[] = "{\"device_type\":\"ios\",\"locale\":\"PA\",\"timestamp\":-1,"
                                 "\"user_id\":\"u\"}";
    const struct login *login = judge(*state, record, sizeof record - 1, NO_KAFKA_TIME);
    assert_int_equal(login->reason, LOGIN_BAD_TIMESTAMP);
    assert_null(login->values[0].bytes);
    assert_null(login->key.bytes);
    assert_int_equal(login->minute, 0);
}

static enum login_reason judge_nested(struct harness *harness, size_t levels) {
    static const char head[] = "{\"device_type\":\"i\",\"locale\":\"P\",\"timestamp\":1,\"a\":";
    char *record = malloc(sizeof head + 2 * levels);
    size_t length = sizeof head - 1;
    memcpy(record, head, length);
    memset(record + length, '[', levels);
    memset(record + length + levels, ']', levels);
    length += 2 * levels;
    record[length++] = '}';
    const enum login_reason reason = judge(harness, record, length, NO_KAFKA_TIME)->reason;
    free(record);
    return reason;
}

static void nesting_ends_at_2048_levels(void **state) {
    assert_int_equal(judge_nested(*state, 2047), LOGIN_ACCEPTED);
    assert_int_equal(judge_nested(*state, 2048), LOGIN_NOT_JSON);
    assert_int_equal(judge_nested(*state, 1000000), LOGIN_NOT_JSON);
}

static void a_record_of_a_million_keys_is_judged(void **state) {
    enum { KEYS = 1000000, BYTES_A_KEY = 13 };
    char *record = malloc(128 + (size_t)KEYS * BYTES_A_KEY);
    size_t length = (size_t)sprintf(record, "{\"device_type\":\"i\",\"locale\":\"P\"");
    for (int i = 0; i < KEYS; i++) {
        length += (size_t)sprintf(record + length, ",\"%d\":1", i);
    }
    length += (size_t)sprintf(record + length, ",\"timestamp\":1}");
    assert_int_equal(judge(*state, record, length, NO_KAFKA_TIME)->reason, LOGIN_ACCEPTED);
    free(record);
}

static void a_dotted_dimension_is_explained_when_it_is_missing(void **state) {
    (void)state;
    const struct login_rules dotted = {.dimensions = {{"a"}, {"b.c"}}, .dimension_count = 2};
    struct login_judge *judge = login_judge_create(&dotted);
    struct login login;
    static const char nested[] = "{\"a\":\"x\",\"b\":{\"c\":\"y\"},\"timestamp\":60}";
    judge_text(judge, nested, NO_KAFKA_TIME, &login);
    assert_int_equal(login.reason, LOGIN_MISSING_FIELD);
    assert_string_equal(login.detail,
                        "b.c: missing; it is looked for as one name, its dots do not "
                        "lead into objects: dimension.NAME.from takes a path such as /a/b");
    judge_text(judge, "{}", NO_KAFKA_TIME, &login);
    assert_string_equal(login.detail, "a: missing");
    static const char flat[] = "{\"a\":\"x\",\"b.c\":\"y\",\"timestamp\":60}";
    judge_text(judge, flat, NO_KAFKA_TIME, &login);
    assert_int_equal(login.reason, LOGIN_ACCEPTED);
    login_judge_destroy(&judge);
}

static void no_dimension_leaves_the_timestamp_to_judge(void **state) {
    (void)state;
    const struct login_rules none = {.max_future_s = INT64_MAX};
    struct login_judge *judge = login_judge_create(&none);
    struct login login;
    judge_text(judge, "{\"timestamp\":120}", 0, &login);
    assert_int_equal(login.reason, LOGIN_ACCEPTED);
    assert_int_equal(login.minute, 2);
    judge_text(judge, "{}", 0, &login);
    assert_int_equal(login.reason, LOGIN_MISSING_FIELD);
    login_judge_destroy(&judge);
    assert_null(judge);
    login_judge_destroy(&judge);
}

static void reasons_have_the_names_of_the_interface(void **state) {
    (void)state;
    static const char *const names[] = {"accepted",      "empty",     "not_json",     "not_object",
                                        "missing_field", "bad_value", "bad_timestamp"};
    for (int i = 0; i < LOGIN_REASON_COUNT; i++) {
        assert_string_equal(login_reason_name((enum login_reason)i), names[i]);
    }
}

/* Every day up to the year 9999, against the C library. */
static void days_and_minutes_are_those_of_the_calendar(void **state) {
    (void)state;
    char day[LOGIN_DAY_BYTES];
    char minute[LOGIN_MINUTE_BYTES];
    char expected[64];
    for (int64_t at = 0; at <= LOGIN_MINUTE_MAX; at += 24 * 60 - 1) {
        const time_t seconds = (time_t)(at * 60);
        struct tm parts;
        gmtime_r(&seconds, &parts);
        login_day_format(at, day);
        login_minute_format(at, minute);
        strftime(expected, sizeof expected, "%Y-%m-%d", &parts);
        assert_string_equal(day, expected);
        strftime(expected, sizeof expected, "%H:%M", &parts);
        assert_string_equal(minute, expected);
    }
    login_day_format(LOGIN_MINUTE_MAX, day);
    login_minute_format(LOGIN_MINUTE_MAX, minute);
    assert_string_equal(day, "9999-12-31");
    assert_string_equal(minute, "23:59");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_case_has_its_verdict, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_beginning_of_a_record_is_judged_within_its_bytes,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_are_utf8_byte_for_byte_in_the_order_of_the_rules,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_value_keeps_its_nul_beside_a_key_with_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(user_id_is_a_string_or_a_number_as_written, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_rejected_record_gives_no_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nesting_ends_at_2048_levels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_record_of_a_million_keys_is_judged, set_up, tear_down),
        cmocka_unit_test(a_dotted_dimension_is_explained_when_it_is_missing),
        cmocka_unit_test(no_dimension_leaves_the_timestamp_to_judge),
        cmocka_unit_test(reasons_have_the_names_of_the_interface),
        cmocka_unit_test(days_and_minutes_are_those_of_the_calendar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
