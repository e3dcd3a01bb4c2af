/* The page without JavaScript: nothing of a document is ever markup. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "app/page.h"

static void assert_tables(const char *json, const char *expected) {
    struct text html = {0};
    page_tables(json, &html);
    assert_string_equal(text_string(&html), expected);
    text_release(&html);
}

static void members_are_rows_and_lists_of_objects_are_tables(void **state) {
    (void)state;
    assert_tables("{\"a\": 1, \"b\": {\"c\": null}}\n",
                  "<table><tr><th scope=\"row\">a</th><td>1</td></tr>"
                  "<tr><th scope=\"row\">b</th><td><table>"
                  "<tr><th scope=\"row\">c</th><td>null</td></tr></table>\n</td></tr></table>\n");
    assert_tables("[{\"p\": 0, \"q\": 1.500}, {\"p\": 1, \"q\": null}]",
                  "<table><tr><th scope=\"col\">p</th><th scope=\"col\">q</th></tr>\n"
                  "<tr><td>0</td><td>1.500</td></tr>\n<tr><td>1</td><td>null</td></tr>\n"
                  "</table>\n");
    assert_tables("[[\"x\", 7],\n [\"y\", 8]]", "<table><tr><td>x</td><td>7</td></tr>\n"
                                                "<tr><td>y</td><td>8</td></tr>\n</table>\n");
    assert_tables("[\"x\", true]", "<ul><li>x</li>\n<li>true</li>\n</ul>\n");
    assert_tables("[]", "<ul></ul>\n");
}

static void values_are_only_text(void **state) {
    (void)state;
    assert_tables("[\"<img src=x onerror=a()>&amp;\"]",
                  "<ul><li>&lt;img src=x onerror=a()>&amp;amp;</li>\n</ul>\n");
    assert_tables("[\"a\\\"><b \\\\ \\n \\u0001z\"]",
                  "<ul><li>a&quot;>&lt;b \\   \xEF\xBF\xBDz</li>\n</ul>\n");
    assert_tables("[\"\\u202eabc\"]", "<ul><li>\xEF\xBF\xBD"
                                      "abc</li>\n</ul>\n");
    assert_tables("{\"<b>\": \"]}\"}",
                  "<table><tr><th scope=\"row\">&lt;b></th><td>]}</td></tr></table>\n");
}

static void long_lists_are_cut_and_counted(void **state) {
    (void)state;
    struct text json = {0}, html = {0};
    for (int i = 0; i < PAGE_ROWS_MAX + 3; i++)
        text_format(&json, "%s[%d]", i == 0 ? "[" : ", ", i);
    text_add(&json, "]");
    page_tables(text_string(&json), &html);
    assert_non_null(strstr(text_string(&html), "<td>99</td>"));
    assert_null(strstr(text_string(&html), "<td>100</td>"));
    assert_non_null(strstr(text_string(&html), "and 3 more"));
    text_release(&json);
    text_release(&html);
}

/* It ends, wherever the document does; a sanitizer watches. */
static void a_document_that_is_cut_off_ends_the_walk(void **state) {
    (void)state;
    static const char whole[] =
        "{\"a\": [{\"b\": \"x\\\"y\\u0001\"}, {\"b\": 2}], \"c\": [[\"d\", 1]], \"e\": [\"f\"]}";
    char part[sizeof whole];
    for (size_t length = 0; length < sizeof whole; length++) {
        struct text html = {0};
        snprintf(part, length + 1, "%s", whole);
        page_tables(part, &html);
        assert_false(html.is_broken);
        text_release(&html);
    }
}

static void the_page_has_the_tables_and_is_small(void **state) {
    (void)state;
    struct text html = {0};
    page_html("{\"version\": \"<0>\"}", &html);
    assert_non_null(strstr(text_string(&html), "<td>&lt;0></td>"));
    assert_non_null(strstr(text_string(&html), "</html>"));
    assert_true(html.length + strlen(page_style()) + strlen(page_script()) < 60000);
    text_release(&html);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_rows_and_lists_of_objects_are_tables),
        cmocka_unit_test(values_are_only_text),
        cmocka_unit_test(long_lists_are_cut_and_counted),
        cmocka_unit_test(a_document_that_is_cut_off_ends_the_walk),
        cmocka_unit_test(the_page_has_the_tables_and_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
