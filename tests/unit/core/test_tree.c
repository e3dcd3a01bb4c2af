/* Documents, and values that are missing or of another kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "core/tree.h"

static void a_document_is_read_by_names_and_places(void **state) {
    (void)state;
    struct tree_value *root = tree_read("{\"a\": [1, 2.5, \"x\", true], \"b\": {\"c\": -7}}");
    const struct tree_value *a = tree_member(root, "a");
    assert_int_equal(tree_count(root), 2);
    assert_int_equal(tree_count(a), 4);
    assert_int_equal(tree_integer(tree_at(a, 0)), 1);
    assert_true(tree_real(tree_at(a, 1)) == 2.5);
    assert_true(tree_real(tree_at(a, 0)) == 1);
    assert_string_equal(tree_text(tree_at(a, 2)), "x");
    assert_true(tree_is_true(tree_at(a, 3)));
    assert_true(tree_is_number(tree_at(a, 1)));
    assert_int_equal(tree_integer(tree_member(tree_member(root, "b"), "c")), -7);
    tree_destroy(&root);
    assert_null(root);
    tree_destroy(&root);
}

static void a_string_may_have_a_nul(void **state) {
    (void)state;
    struct tree_value *root = tree_read("{\"a\": \"x\\u0000y\"}");
    const struct slice bytes = tree_bytes(tree_member(root, "a"));
    assert_int_equal(bytes.length, 3);
    assert_memory_equal(bytes.bytes, "x\0y", 4);
    assert_string_equal(tree_text(tree_member(root, "a")), "x");
    tree_destroy(&root);
}

static void what_is_missing_or_another_kind_is_nothing(void **state) {
    (void)state;
    struct tree_value *root = tree_read("{\"a\": \"x\", \"n\": null}");
    const struct tree_value *values[] = {NULL, root, tree_member(root, "a"), tree_member(root, "n"),
                                         tree_member(root, "none")};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_null(tree_member(values[i], "b"));
        assert_null(tree_at(values[i], 0));
        assert_int_equal(tree_count(values[i]), i == 1 ? 2 : 0);
        assert_int_equal(tree_integer(values[i]), 0);
        assert_true(tree_real(values[i]) == 0);
        assert_string_equal(tree_text(values[i]), i == 2 ? "x" : "");
        assert_int_equal(tree_bytes(values[i]).length, i == 2 ? 1 : 0);
        assert_false(tree_is_true(values[i]));
        assert_false(tree_is_number(values[i]));
    }
    tree_destroy(&root);
    static const char *const wrong[] = {"", "[]", "1", "{", "{\"a\": 1, \"a\": 2}", "{} x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_null(tree_read(wrong[i]));
}

static void add_name(void *context, const char *name, const struct tree_value *value) {
    text_format(context, "%s=%d ", name, (int)tree_integer(value));
}

static void members_are_visited_in_their_order(void **state) {
    (void)state;
    struct text names = {0};
    struct tree_value *root = tree_read("{\"z\": 1, \"a\": 2, \"m\": 3}");
    tree_visit(root, add_name, &names);
    tree_visit(tree_member(root, "z"), add_name, &names);
    tree_visit(NULL, add_name, &names);
    assert_string_equal(text_string(&names), "z=1 a=2 m=3 ");
    text_release(&names);
    tree_destroy(&root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_read_by_names_and_places),
        cmocka_unit_test(a_string_may_have_a_nul),
        cmocka_unit_test(what_is_missing_or_another_kind_is_nothing),
        cmocka_unit_test(members_are_visited_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
