/* parse_visit: which scalars of a record are visited, under which paths. What parse_record makes
 * of a record is in test_login.c and test_conformance.c. */
#include "core/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/path.h"

static char visited[8192], detail[PARSE_DETAIL_BYTES];

static void note(void *context, const char *path, const struct field *field) {
    static const char kinds[] = {[FIELD_NULL] = '0',   [FIELD_TRUE] = 't', [FIELD_FALSE] = 'f',
                                 [FIELD_NUMBER] = 'n', [FIELD_TEXT] = '"', [FIELD_BROKEN] = '!'};
    const size_t length = strlen(visited);
    assert_ptr_equal(context, visited);
    snprintf(visited + length, sizeof visited - length, "%s%s %c%.*s", length == 0 ? "" : ", ",
             path, kinds[field->kind], (int)field->text.length,
             field->text.bytes == NULL ? "" : field->text.bytes);
}

static enum login_reason visit(const char *value) {
    detail[0] = visited[0] = '\0';
    return parse_visit(value, strlen(value), note, visited, detail);
}

static void visits(const char *value, const char *expected) {
    assert_int_equal(visit(value), LOGIN_ACCEPTED);
    assert_string_equal(visited, expected);
}

static void each_scalar_is_visited_under_its_path(void **state) {
    (void)state;
    visits("{}", "");
    visits(" { \"a\" : \"x\" , \"b\":-1.5e3,\"c\":true,\"d\":false,\"e\":null}\n",
           "/a \"x, /b n-1.5e3, /c t, /d f, /e 0");
    visits("{\"a\":{\"b\":{\"c\":1}},\"d\":{},\"e\":[],\"f\":2}", "/a/b/c n1, /f n2");
    visits("{\"a\":1,\"a\":2}", "/a n1, /a n2");
    visits("{\"a\":\"\\u0041\\n\"}", "/a \"A\n");
}

static void of_an_array_the_first_elements_are_visited(void **state) {
    (void)state;
    visits("{\"a\":[1,[2,3,4],5],\"b\":6}", "/a/0 n1, /a/1/0 n2, /a/1/1 n3, /b n6");
    visits("{\"a\":[{\"b\":1},{\"b\":2},{\"b\":3}]}", "/a/0/b n1, /a/1/b n2");
}

static void names_are_escaped_as_in_a_pointer(void **state) {
    (void)state;
    visits("{\"a/b~c\":1,\"\":2,\"\\u0064\\/\":3}", "/a~1b~0c n1, / n2, /d~1 n3");
    visits("{\"a\\u0000b\":1,\"c\":2}", "/c n2"); /* no path can have a NUL */
}

static void what_is_deep_is_passed_over(void **state) {
    (void)state;
    visits("{\"1\":{\"2\":{\"3\":{\"4\":{\"5\":{\"6\":{\"7\":{\"8\":8}}}}}}},\"b\":0}",
           "/1/2/3/4/5/6/7/8 n8, /b n0");
    visits("{\"1\":{\"2\":{\"3\":{\"4\":{\"5\":{\"6\":{\"7\":{\"8\":{\"9\":9}}}}}}}},\"b\":0}",
           "/b n0");
}

/* A path of the longest kind, and one that would be longer. */
static void what_has_too_long_a_path_is_passed_over(void **state) {
    (void)state;
    char value[PATH_BYTES_MAX + 64], expected[PATH_BYTES_MAX + 64];
    for (int length = PATH_BYTES_MAX - 4; length <= PATH_BYTES_MAX; length++) {
        const bool fits = length < PATH_BYTES_MAX - 2;
        snprintf(value, sizeof value, "{\"%0*d\":1,\"b\":{\"c\":2}}", length, 0);
        snprintf(expected, sizeof expected, "/%0*d n1, /b/c n2", length, 0);
        visits(value, fits ? expected : "/b/c n2");
    }
}

/* jansson rejects half surrogates, so they are replaced before it looks once more. */
static void a_half_surrogate_is_json_and_letters_alone_are_none(void **state) {
    (void)state;
    visits("{\"a\":\"\\ud800\",\"b\":1}", "/a !, /b n1");
    visits("{\"a\":\"\\ud800\",\"b\":\"\xC3\xA9ud800\"}", "/a !, /b \"\xC3\xA9ud800");
}

/* What is wrong is reported in the words of the record, but for what jansson rejects there. */
static void only_half_surrogates_are_replaced_in_a_report(void **state) {
    (void)state;
    static const struct {
        const char *text, *reported;
    } cases[] = {
        {"\\ud800\\udc00", "\\ud800\\udc00"},
        {"\\ud800\\udfff", "\\ud800\\udfff"},
        {"\\udbff\\udc00", "\\udbff\\udc00"},
        {"\\uDBFF\\uDFFF", "\\uDBFF\\uDFFF"},
        {"\\uD83d\\uDe00", "\\uD83d\\uDe00"},
        {"\\ud7ff", "\\ud7ff"},
        {"\\ue000", "\\ue000"},
        {"\\u0000", "\\u0000"},
        {"\\\\ud800", "\\\\ud800"},
        {"\\ud800", "\\uffff"},
        {"\\udbff", "\\uffff"},
        {"\\udc00", "\\uffff"},
        {"\\udfff", "\\uffff"},
        {"\\ud800\\udbff", "\\uffff\\uffff"},
        {"\\ud800\\ue000", "\\uffff\\ue000"},
        {"\\ud800\\n", "\\uffff\\n"},
        {"\\udc00\\ud800\\udc00", "\\uffff\\ud800\\udc00"},
        {"\\ud800\\udc00\\udc00", "\\ud800\\udc00\\uffff"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char value[128], expected[128];
        snprintf(value, sizeof value, "{\"a\":\"\\ud800\",\"b\" \"%s\"}", cases[i].text);
        snprintf(expected, sizeof expected, "':' expected near '\"%s\"'", cases[i].reported);
        assert_int_equal(visit(value), LOGIN_NOT_JSON);
        if (strstr(detail, expected) == NULL) fail_msg("%s: %s", value, detail);
    }
}

static void what_is_no_record_is_not_visited(void **state) {
    (void)state;
    assert_int_equal(visit("[1]"), LOGIN_NOT_OBJECT);
    assert_string_equal(visited, "");
    assert_int_equal(visit("{\"a\":1,}"), LOGIN_NOT_JSON);
    assert_string_equal(visited, "");
}

static int set_up(void **state) {
    static const struct wanted none = {0};
    static struct parse parse;
    (void)state;
    parse_init(&parse, &none);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_scalar_is_visited_under_its_path),
        cmocka_unit_test(of_an_array_the_first_elements_are_visited),
        cmocka_unit_test(names_are_escaped_as_in_a_pointer),
        cmocka_unit_test(what_is_deep_is_passed_over),
        cmocka_unit_test(what_has_too_long_a_path_is_passed_over),
        cmocka_unit_test(a_half_surrogate_is_json_and_letters_alone_are_none),
        cmocka_unit_test(only_half_surrogates_are_replaced_in_a_report),
        cmocka_unit_test(what_is_no_record_is_not_visited),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
