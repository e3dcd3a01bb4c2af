/* secret: what is shown of texts that hold one. */
#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *text, *shown;
} texts[] = {
    {"", ""},
    {"a@b", "a@b"},
    {"https://x/y", "https://x/y"},
    {"https://u:p@x/y", "https://***@x/y"},
    {"https://p@x", "https://***@x"},
    {"https://u:a/b?c#d@e@x/y", "https://***@x/y"},
    {"https://", "https://"},
    {"https://@x", "https://***@x"},
    {"from \"http://u:p@x/t\": a@b", "from \"http://***@x/t\": a@b"},
    {"ssl://h:1/2: user a@b, http://u:p@x http://v:q@y",
     "ssl://h:1/2: user a@b, http://***@x http://***@y"},
};

static void users_of_urls_are_hidden(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *shown = secret_hide_users(texts[i].text);
        assert_string_equal(shown, texts[i].shown);
        free(shown);
    }
}

static void a_copy_is_of_what_was_set_last(void **state) {
    (void)state;
    struct secret *secret = secret_create("old");
    secret_set(secret, "new");
    char *copy = secret_copy(secret);
    assert_string_equal(copy, "new");
    secret_forget(copy);
    assert_null(secret_copy(NULL));
    secret_destroy(&secret);
    assert_null(secret);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_of_urls_are_hidden),
        cmocka_unit_test(a_copy_is_of_what_was_set_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
