/* The verdict under other settings: fields by path and in headers, defaults, scalars, framing.
 * Every case is judged with the fast decoder, without it, and with what the fast one remembers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/login.h"

enum { VERDICT_BYTES = 1024 };

/* "ACCEPTED d1|d2 key=K minute=M", and " unique=U" for each; or "REASON: DETAIL". */
static void describe(const struct login_rules *rules, const struct login *login,
                     char text[VERDICT_BYTES]) {
    if (login->reason != LOGIN_ACCEPTED) {
        snprintf(text, VERDICT_BYTES, "%s: %s", login_reason_name(login->reason), login->detail);
        return;
    }
    int used = snprintf(text, VERDICT_BYTES, "ACCEPTED ");
    for (size_t i = 0; i < rules->dimension_count; i++)
        used += snprintf(text + used, (size_t)(VERDICT_BYTES - used), "%s%.*s", i == 0 ? "" : "|",
                         (int)login->values[i].length, login->values[i].bytes);
    used +=
        snprintf(text + used, (size_t)(VERDICT_BYTES - used), " key=%.*s minute=%lld",
                 login->key.bytes == NULL ? 4 : (int)login->key.length,
                 login->key.bytes == NULL ? "none" : login->key.bytes, (long long)login->minute);
    for (size_t i = 0; i < rules->unique_count; i++) {
        const struct slice unique = login->uniques[i];
        used += snprintf(text + used, (size_t)(VERDICT_BYTES - used), " unique=%.*s",
                         unique.bytes == NULL ? 4 : (int)unique.length,
                         unique.bytes == NULL ? "none" : unique.bytes);
    }
}

static void check(const struct login_rules *rules, const struct login_record *record,
                  const char *expected) {
    struct login_judge *fast = login_judge_create(rules), *slow = login_judge_create(rules);
    login_judge_distrust_scan(slow);
    struct login_judge *judges[3] = {fast, slow, fast};
    for (size_t i = 0; i < 3; i++) {
        char text[VERDICT_BYTES];
        struct login login;
        memset(&login, 0xa5, sizeof login);
        login_judge_record(judges[i], record, &login);
        describe(rules, &login, text);
        const bool is_right = login.reason == LOGIN_ACCEPTED
                                  ? strcmp(text, expected) == 0
                                  : strncmp(text, expected, strlen(expected)) == 0;
        if (!is_right) {
            fail_msg("%.*s\n  is: %s\n  not: %s (judge %zu)", (int)record->value.length,
                     record->value.bytes, text, expected, i);
        }
    }
    login_judge_destroy(&fast);
    login_judge_destroy(&slow);
}

static void verdict(const struct login_rules *rules, const char *json, const char *expected) {
    const struct login_record record = {{json, strlen(json)}, -1, NULL};
    check(rules, &record, expected);
}

#define ACCEPTED(values, key, minute) "ACCEPTED " values " key=" key " minute=" minute

static void fields_are_found_by_their_paths(void **state) {
    (void)state;
    const struct login_rules rules = {
        .dimensions = {{"type", "/context/device/type"},
                       {"second", "/tags/1"},
                       {"odd", "/a~1b/m~0n"}},
        .dimension_count = 3,
        .timestamp = "/context/ts",
        .key = "/users/0/id",
    };
    verdict(&rules,
            "{\"context\":{\"device\":{\"type\":\"tv\"},\"ts\":120},\"tags\":[\"x\",\"y\"],"
            "\"a/b\":{\"m~n\":\"z\"},\"users\":[{\"id\":7e0}]}",
            ACCEPTED("tv|y|z", "7e0", "2"));
    verdict(&rules,
            "{ \"users\" : [ { \"id\" : \"u\\u0031\" } ] , \"\\u0061/b\" : { \"m~n\" : \"z\" } , "
            "\"tags\" : [ "
            "{\"type\":[1]} , \"y\\n\" , [ ] ] , \"context\" : { \"ts\" : \"120\" , \"device\" : { "
            "\"type\" "
            ": \"tv\" , \"x\" : {} } } }",
            ACCEPTED("tv|y\n|z", "u1", "2"));
    verdict(&rules,
            "{\"context\":{\"device\":\"tv\",\"ts\":120},\"tags\":[1,2],\"a/b\":{\"m~n\":\"z\"}}",
            "missing_field: type (/context/device/type): missing");
    verdict(&rules,
            "{\"context\":{\"device\":{\"type\":\"tv\"}},\"tags\":[\"x\",\"y\"],\"a/"
            "b\":{\"m~n\":\"z\"}}",
            "missing_field: timestamp (/context/ts): missing");
    verdict(&rules,
            "{\"context\":{\"device\":{\"type\":\"tv\"},\"ts\":1},\"tags\":[\"x\"],\"a/"
            "b\":{\"m~n\":\"z\"}}",
            "missing_field: second (/tags/1): missing");
    verdict(&rules,
            "{\"context\":{\"device\":{\"type\":\"tv\"},\"ts\":1},\"tags\":[\"x\",7],\"a/"
            "b\":{\"m~n\":\"z\"}}",
            "bad_value: second (/tags/1): not a string");
}

static void an_index_is_only_what_rfc_6901_calls_one(void **state) {
    (void)state;
    static const char *const none[] = {"/l/-",  "/l/01",  "/l/00", "/l/3",
                                       "/l/+1", "/l/1/x", "/l/",   "/l/4294967297"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        const struct login_rules rules = {.dimensions = {{"d", none[i]}}, .dimension_count = 1};
        verdict(&rules, "{\"l\":[\"a\",\"b\",\"c\"],\"timestamp\":60}", "missing_field: d (");
    }
    const struct login_rules last = {.dimensions = {{"d", "/l/2"}}, .dimension_count = 1};
    verdict(&last, "{\"l\":[\"a\",\"b\",\"c\"],\"timestamp\":60}", ACCEPTED("c", "none", "1"));
    verdict(&last, "{\"l\":{\"2\":\"x\"},\"timestamp\":60}", ACCEPTED("x", "none", "1"));
    const struct login_rules dash = {.dimensions = {{"d", "/l/-"}, {"e", "/l/01"}},
                                     .dimension_count = 2};
    verdict(&dash, "{\"l\":{\"-\":\"x\",\"01\":\"y\"},\"timestamp\":60}",
            ACCEPTED("x|y", "none", "1"));
}

static void the_last_of_repeated_keys_counts_at_every_level(void **state) {
    (void)state;
    const struct login_rules rules = {
        .dimensions = {{"d", "/a/b/c"}, {"e", "/a/e"}}, .dimension_count = 2, .timestamp = "/t"};
    verdict(&rules,
            "{\"t\":1,\"t\":60,\"a\":{\"b\":{\"c\":\"1\",\"c\":\"2\"},\"e\":\"x\",\"e\":\"y\"}}",
            ACCEPTED("2|y", "none", "1"));
    verdict(&rules, "{\"t\":60,\"a\":{\"b\":{\"c\":\"1\"},\"e\":\"x\",\"b\":{\"c\":\"2\"}}}",
            ACCEPTED("2|x", "none", "1"));
    verdict(&rules, "{\"t\":60,\"a\":{\"b\":{\"c\":\"1\"},\"e\":\"x\",\"b\":{}}}",
            "missing_field: d (/a/b/c): missing");
    verdict(&rules,
            "{\"t\":60,\"a\":{\"b\":{\"c\":\"1\"},\"e\":\"x\"},\"a\":{\"b\":{\"c\":\"2\"}}}",
            "missing_field: e (/a/e): missing");
    verdict(&rules, "{\"t\":60,\"a\":{\"b\":{\"c\":\"1\"},\"e\":\"x\"},\"\\u0061\":null}",
            "missing_field: d (/a/b/c): missing");
    verdict(&rules, "{\"t\":60,\"a\":7,\"a\":{\"b\":{\"c\":\"1\"},\"e\":\"x\"}}",
            ACCEPTED("1|x", "none", "1"));
}

static void two_dimensions_may_be_one_field(void **state) {
    (void)state;
    const struct login_rules rules = {
        .dimensions = {{"a"}, {"b", "/a"}, {"c", "/x/y"}, {"d", "/x/y"}, {"timestamp"}},
        .dimension_count = 5,
        .key = "/x/y",
    };
    verdict(&rules, "{\"a\":\"A\",\"x\":{\"y\":\"Y\"},\"timestamp\":\"60\"}",
            ACCEPTED("A|A|Y|Y|60", "Y", "1"));
}

static void a_default_counts_where_there_is_nothing(void **state) {
    (void)state;
    const struct login_rules rules = {
        .dimensions = {{"d", "/a/d", "unknown", LOGIN_ACCEPT_STRING}, {"e"}}, .dimension_count = 2};
    verdict(&rules, "{\"e\":\"E\",\"timestamp\":60}", ACCEPTED("unknown|E", "none", "1"));
    verdict(&rules, "{\"a\":{\"d\":null},\"e\":\"E\",\"timestamp\":60}",
            ACCEPTED("unknown|E", "none", "1"));
    verdict(&rules, "{\"a\":{\"d\":\"\"},\"e\":\"E\",\"timestamp\":60}",
            ACCEPTED("unknown|E", "none", "1"));
    verdict(&rules, "{\"a\":5,\"e\":\"E\",\"timestamp\":60}", ACCEPTED("unknown|E", "none", "1"));
    verdict(&rules, "{\"a\":{\"d\":\"x\"},\"e\":\"E\",\"timestamp\":60}",
            ACCEPTED("x|E", "none", "1"));
    verdict(&rules, "{\"a\":{\"d\":7},\"e\":\"E\",\"timestamp\":60}",
            "bad_value: d (/a/d): not a string");
    verdict(&rules, "{\"a\":{\"d\":{}},\"e\":\"E\",\"timestamp\":60}",
            "bad_value: d (/a/d): not a string");
    verdict(&rules, "{\"a\":{\"d\":\"\\ud800\"},\"e\":\"E\",\"timestamp\":60}",
            "bad_value: d (/a/d): half");
    verdict(&rules, "{\"a\":{\"d\":\"x\"},\"timestamp\":60}", "missing_field: e: missing");
    verdict(&rules, "{\"e\":null,\"timestamp\":60}", "bad_value: e: not a string");
}

static void a_scalar_counts_as_it_is_written(void **state) {
    (void)state;
    const struct login_rules rules = {.dimensions = {{"d", NULL, NULL, LOGIN_ACCEPT_SCALAR}},
                                      .dimension_count = 1};
    static const char *const same[] = {"5",     "-0",     "1.50",
                                       "1E+2",  "1e-400", "true",
                                       "false", "0.10",   "12345678901234567890123456789012345"};
    char json[512], expected[512];
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        snprintf(json, sizeof json, "{\"d\": %s ,\"timestamp\":60}", same[i]);
        snprintf(expected, sizeof expected, "ACCEPTED %s key=none minute=1", same[i]);
        verdict(&rules, json, expected);
    }
    verdict(&rules, "{\"d\":\"5\",\"timestamp\":60}", ACCEPTED("5", "none", "1"));
    verdict(&rules, "{\"d\":null,\"timestamp\":60}",
            "bad_value: d: not a string, a number, true or false");
    verdict(&rules, "{\"d\":[1],\"timestamp\":60}", "bad_value: d: not a string, a number");
    verdict(&rules, "{\"d\":1e400,\"timestamp\":60}",
            "bad_value: d: half of a surrogate pair, or a number");
    snprintf(json, sizeof json, "{\"d\":0.%0126d,\"timestamp\":60}", 7);
    snprintf(expected, sizeof expected, "ACCEPTED 0.%0126d key=none minute=1", 7);
    verdict(&rules, json, expected);
    snprintf(json, sizeof json, "{\"d\":0.%0127d,\"timestamp\":60}", 7);
    verdict(&rules, json, "bad_value: d: 129 bytes, more than 128");
    const struct login_rules strict = {.dimensions = {{"d", NULL, "x", LOGIN_ACCEPT_STRING}},
                                       .dimension_count = 1};
    verdict(&strict, "{\"d\":true,\"timestamp\":60}", "bad_value: d: not a string");
}

static void headers_are_fields(void **state) {
    (void)state;
    const struct login_rules rules = {
        .dimensions = {{"d", "header:d"},
                       {"e", "header:e", "none given", LOGIN_ACCEPT_STRING},
                       {"f", "header:d"}},
        .dimension_count = 3,
        .timestamp = "header:ce_time",
        .timestamp_format = INSTANT_RFC3339,
    };
    const struct login_header time = {true, {"2024-07-10T14:36:56.5+02:00", 27}};
    static const struct {
        struct login_header d, e;
        const char *expected;
    } cases[] = {
        {{true, {"D", 1}}, {true, {"E", 1}}, ACCEPTED("D|E|D", "none", "28676916")},
        {{true, {"D", 1}}, {false, {NULL, 0}}, ACCEPTED("D|none given|D", "none", "28676916")},
        {{true, {"D", 1}}, {true, {NULL, 0}}, ACCEPTED("D|none given|D", "none", "28676916")},
        {{true, {"D", 1}}, {true, {"", 0}}, ACCEPTED("D|none given|D", "none", "28676916")},
        {{true, {"D", 1}},
         {true, {"\xc3", 1}},
         "bad_value: e (header:e): a header that is not in UTF-8"},
        {{false, {NULL, 0}}, {true, {"E", 1}}, "missing_field: d (header:d): missing"},
        {{true, {NULL, 0}}, {true, {"E", 1}}, "bad_value: d (header:d): a null header"},
        {{true, {"", 0}}, {true, {"E", 1}}, "bad_value: d (header:d): empty"},
        {{true, {"\xff", 1}},
         {true, {"E", 1}},
         "bad_value: d (header:d): a header that is not in UTF-8"},
    };
    static const char json[] = "{\"d\":\"no\",\"e\":1,\"ce_time\":2}";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct login_header headers[] = {cases[i].d, cases[i].e, time};
        const struct login_record record = {{json, sizeof json - 1}, -1, headers};
        check(&rules, &record, cases[i].expected);
    }
    static const struct login_header bad_times[] = {
        {true, {NULL, 0}}, {true, {"", 0}}, {true, {"\xff", 1}}, {true, {"1720622216", 10}}};
    for (size_t i = 0; i < sizeof bad_times / sizeof *bad_times; i++) {
        const struct login_header headers[] = {{true, {"D", 1}}, {true, {"E", 1}}, bad_times[i]};
        const struct login_record record = {{json, sizeof json - 1}, -1, headers};
        check(&rules, &record, "bad_timestamp: timestamp (header:ce_time): ");
    }
    const struct login_header no_time[] = {{true, {"D", 1}}, {true, {"E", 1}}, {false, {NULL, 0}}};
    const struct login_record record = {{json, sizeof json - 1}, -1, no_time};
    check(&rules, &record, "missing_field: timestamp (header:ce_time): missing");
}

static void a_judge_asks_for_each_header_once(void **state) {
    (void)state;
    const struct login_rules rules = {
        .dimensions = {{"d", "header:x"}, {"e", "header:y"}, {"f", "header:x"}},
        .dimension_count = 3,
        .timestamp = "header:y",
    };
    struct login_judge *judge = login_judge_create(&rules);
    const char *const *names;
    assert_int_equal(login_judge_headers(judge, &names), 2);
    assert_string_equal(names[0], "x");
    assert_string_equal(names[1], "y");
    login_judge_destroy(&judge);
}

static void the_time_may_be_kafkas(void **state) {
    (void)state;
    const struct login_rules rules = {
        .timestamp = "kafka", .timestamp_format = INSTANT_RFC3339, .max_future_s = 3600};
    static const char json[] = "{\"kafka\":\"no\", \"timestamp\":false}";
    struct login_record record = {{json, sizeof json - 1}, INT64_C(1720622216999), NULL};
    check(&rules, &record, ACCEPTED("", "none", "28677036"));
    record.timestamp_ms = 0;
    check(&rules, &record, ACCEPTED("", "none", "0"));
    record.timestamp_ms = -1;
    check(&rules, &record, "bad_timestamp: timestamp (kafka): the record has no Kafka timestamp");
    record.timestamp_ms = INT64_MAX;
    check(&rules, &record, "bad_timestamp: timestamp (kafka): not within 1970 to 9999");
}

static void what_nobody_asks_for_is_json_by_its_grammar(void **state) {
    (void)state;
    const struct login_rules rules = {.dimensions = {{"d", "/a/d"}}, .dimension_count = 1};
    verdict(
        &rules,
        "{\"a\":{\"x\":\"\\udc00\",\"d\":\"D\",\"\\ud800\":1e999},\"timestamp\":60,\"y\":[-1e400]}",
        ACCEPTED("D", "none", "1"));
    verdict(&rules, "{\"a\":{\"d\":\"D\"},\"timestamp\":60,\"user_id\":{\"x\":\"\\udc00\"}}",
            ACCEPTED("D", "none", "1"));
    verdict(&rules, "{\"a\":{\"x\":\"\\udc0\",\"d\":\"D\"},\"timestamp\":60}", "not_json: ");
    verdict(&rules, "{\"a\":{\"x\":1e,\"d\":\"D\"},\"timestamp\":60}", "not_json: ");
    verdict(&rules, "{\"a\":{\"x\":\"\xff\",\"d\":\"D\"},\"timestamp\":60}", "not_json: ");
}

static void a_frame_is_skipped_where_framing_says_so(void **state) {
    (void)state;
    const struct login_rules rules = {
        .dimensions = {{"d"}}, .dimension_count = 1, .framing = LOGIN_FRAMING_CONFLUENT};
    const struct login_rules none = {.dimensions = {{"d"}}, .dimension_count = 1};
#define RECORD(literal) ((struct login_record){{literal, sizeof(literal) - 1}, -1, NULL})
#define EVENT "{\"d\":\"D\",\"timestamp\":60}"
    static const char good[] = ACCEPTED("D", "none", "1");
    check(&rules, &RECORD("\0\0\0\1\2" EVENT), good);
    check(&rules, &RECORD("\0\xff\xff\xff\xff" EVENT), good);
    check(&rules, &RECORD(EVENT), good);
    check(&rules, &RECORD("\0\0\0\1\2\xEF\xBB\xBF" EVENT), good);
    check(&rules, &RECORD("\xEF\xBB\xBF" EVENT), good);
    check(&rules, &RECORD("\0\0\0\1\2"), "empty: ");
    check(&rules, &RECORD("\0\0\0\1"), "not_json: Confluent framing cut short: 4 bytes");
    check(&rules, &RECORD("\0"), "not_json: ");
    check(&rules, &RECORD(""), "empty: ");
    check(&rules, &RECORD("\0\0\0\1\2x"), "not_json: ");
    check(&rules, &RECORD("\0\0\0\1\2\0\0\0\0\1" EVENT), "not_json: ");
    check(&rules, &RECORD("\xEF\xBB\xBF\0\0\0\1\2" EVENT), "not_json: ");
    check(&rules, &RECORD("\1\0\0\1\2" EVENT), "not_json: ");
    check(
        &none, &RECORD("\0\0\0\1\2" EVENT),
        "not_json: Confluent framing, as it seems: byte 0 and schema id 258 before the value; set "
        "input.framing = confluent");
    check(&none, &RECORD("\xEF\xBB\xBF" EVENT), good);
    check(&none, &RECORD("\xEF\xBB\xBF"), "not_json: unexpected token near end of file");
}

/* Strings, numbers as written, true and false are values; all else is none, and no reason to
 * reject, but for what stands for nothing. */
static void unique_values_are_read_where_they_are(void **state) {
    (void)state;
    const struct login_rules rules = {.dimensions = {{"d"}},
                                      .dimension_count = 1,
                                      .uniques = {"/u/id", "user_id", "header:h"},
                                      .unique_count = 3};
    static const struct {
        const char *id, *unique;
    } cases[] = {
        {"\"a\"", "a"},     {"1.50", "1.50"}, {"true", "true"},
        {"false", "false"}, {"\"\"", "none"}, {"null", "none"},
        {"[1]", "none"},    {"{}", "none"},   {"\"\\u0031\"", "1"},
    };
    const struct login_header there = {true, {"x", 1}}, null = {true, {NULL, 0}}, none = {0};
    const struct login_header broken = {true, {"\xff", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[128], expected[128];
        snprintf(json, sizeof json, "{\"d\":\"v\",\"timestamp\":60,\"u\":{\"id\":%s}}",
                 cases[i].id);
        snprintf(expected, sizeof expected,
                 "ACCEPTED v key=none minute=1 unique=%s unique=none unique=%s", cases[i].unique,
                 i % 3 == 0 ? "x" : "none");
        const struct login_header *header = i % 3 == 0 ? &there : i % 3 == 1 ? &null : &none;
        check(&rules, &(struct login_record){{json, strlen(json)}, -1, header}, expected);
    }
    static const char json[] = "{\"d\":\"v\",\"timestamp\":60,\"user_id\":\"u\"}";
    const struct slice value = {json, sizeof json - 1};
    check(&rules, &(struct login_record){value, -1, &none},
          "ACCEPTED v key=u minute=1 unique=none unique=u unique=none");
    check(&rules, &(struct login_record){value, -1, &broken},
          "bad_value: header:h: a header that is not in UTF-8");
    static const char half[] = "{\"d\":\"v\",\"timestamp\":60,\"u\":{\"id\":\"\\ud800\"}}";
    check(&rules, &(struct login_record){{half, sizeof half - 1}, -1, &none},
          "bad_value: /u/id: half of a surrogate pair");
}

static void a_null_header_is_the_default_and_no_unique_value(void **state) {
    (void)state;
    const struct login_rules rules = {
        .dimensions = {{"d", "header:h", "none given", LOGIN_ACCEPT_STRING}},
        .dimension_count = 1,
        .uniques = {"header:h"},
        .unique_count = 1};
    static const struct {
        struct login_header header;
        const char *expected;
    } cases[] = {
        {{true, {NULL, 0}}, "ACCEPTED none given key=none minute=1 unique=none"},
        {{true, {"x", 1}}, "ACCEPTED x key=none minute=1 unique=x"},
        {{true, {"\xff", 1}}, "bad_value: d (header:h): a header that is not in UTF-8"},
    };
    static const char json[] = "{\"timestamp\":60}";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct login_record record = {{json, sizeof json - 1}, -1, &cases[i].header};
        check(&rules, &record, cases[i].expected);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_found_by_their_paths),
        cmocka_unit_test(an_index_is_only_what_rfc_6901_calls_one),
        cmocka_unit_test(the_last_of_repeated_keys_counts_at_every_level),
        cmocka_unit_test(two_dimensions_may_be_one_field),
        cmocka_unit_test(a_default_counts_where_there_is_nothing),
        cmocka_unit_test(a_scalar_counts_as_it_is_written),
        cmocka_unit_test(headers_are_fields),
        cmocka_unit_test(a_judge_asks_for_each_header_once),
        cmocka_unit_test(the_time_may_be_kafkas),
        cmocka_unit_test(what_nobody_asks_for_is_json_by_its_grammar),
        cmocka_unit_test(a_frame_is_skipped_where_framing_says_so),
        cmocka_unit_test(unique_values_are_read_where_they_are),
        cmocka_unit_test(a_null_header_is_the_default_and_no_unique_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
