/* setting: values of each type, taken, rejected, shown. */
#include "base/setting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

enum flavour { SWEET, SOUR };

struct things {
    int number;
    char *text, *secret;
    struct setting_names names;
    enum flavour flavour;
};

enum { NUMBER, TEXT, SECRET, NAMES, FLAVOUR, COUNT };

static const struct setting table[] = {
    SETTING_NUMBER(struct things, number, "a", "number", -1, 20, "5", 0, "a number"),
    SETTING_TEXT(struct things, text, "a", "text", 1, 4, "x", setting_is_topic, SETTING_TOPIC_RULE,
                 0, "a text"),
    SETTING_TEXT(struct things, secret, "a", "secret", 0, 9, "", setting_is_printable,
                 SETTING_PRINTABLE_RULE, SETTING_SECRET, "a secret"),
    SETTING_NAMES(struct things, names, "a", "names", 1, 3, "a,b", setting_is_name, "letters", 0,
                  "names"),
    SETTING_CHOICE(struct things, flavour, "a", "flavour", SETTING_WORDS("sweet", "sour"), "sweet",
                   0, "a choice"),
    SETTING_END};

static struct things things;

static void taken(int which, const char *text, const char *shown) {
    struct error error = {""};
    char *printed = NULL;
    size_t bytes = 0;
    if (!setting_set(&table[which], &things, text, &error)) fail_msg("%s: %s", text, error.text);
    FILE *out = open_memstream(&printed, &bytes);
    setting_print(&table[which], &things, out);
    fclose(out);
    assert_string_equal(printed, shown);
    free(printed);
}

static void rejected(int which, const char *text, const char *why) {
    struct error error = {""};
    assert_false(setting_set(&table[which], &things, text, &error));
    if (strstr(error.text, why) == NULL) fail_msg("%s: %s", text, error.text);
}

static void a_number_is_whole_and_in_range(void **state) {
    (void)state;
    static const char *const wrong[] = {"",   "ten", "1.5", "1e3", "0x10",
                                        "+1", "1 2", "1_0", " 1",  "-"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        rejected(NUMBER, wrong[i], "is not a whole number");
    rejected(NUMBER, "21", "21 is out of range; allowed are -1 to 20");
    rejected(NUMBER, "-2", "out of range");
    rejected(NUMBER, "99999999999999999999", "out of range");
    rejected(NUMBER, "-99999999999999999999", "out of range");
    taken(NUMBER, "-1", "-1");
    taken(NUMBER, "020", "20");
    assert_int_equal(things.number, 20);
}

static void a_text_has_a_length_and_a_form(void **state) {
    (void)state;
    taken(TEXT, "a.-_", "a.-_");
    rejected(TEXT, "", "0 bytes are out of range; allowed are 1 to 4");
    rejected(TEXT, "abcde", "5 bytes are out of range");
    rejected(TEXT, "a b", "\"a b\" has the wrong form: a topic's name");
    rejected(TEXT, "..", "wrong form");
    assert_string_equal(things.text, "a.-_"); /* what was there stays */
}

static void an_error_does_not_show_a_secret(void **state) {
    (void)state;
    struct error error = {""};
    assert_false(setting_set(&table[SECRET], &things, "hunter 2", &error));
    assert_string_equal(error.text, "wrong form: no spaces");
    taken(SECRET, "hunter2", "hunter2");
}

static void names_stand_between_commas(void **state) {
    (void)state;
    taken(NAMES, " a ,b,\tc-c ", "a,b,c-c");
    assert_int_equal(things.names.count, 3);
    rejected(NAMES, "a,b,a", "\"a\" is there twice");
    rejected(NAMES, "a,,b", "0 bytes are out of range");
    rejected(NAMES, "", "0 bytes are out of range");
    rejected(NAMES, "abcd", "4 bytes are out of range");
    rejected(NAMES, "a:b", "\"a:b\" has the wrong form: letters");
    rejected(NAMES, "a,b,c,d,e,f,g,h,i", "more than 8 names");
    taken(NAMES, "a,b,c,d,e,f,g,h", "a,b,c,d,e,f,g,h");
}

static void a_choice_is_one_of_its_words(void **state) {
    (void)state;
    taken(FLAVOUR, "sour", "sour");
    assert_int_equal(things.flavour, SOUR);
    rejected(FLAVOUR, "so", "\"so\" is not one of: sweet, sour");
    rejected(FLAVOUR, "", "is not one of");
    rejected(FLAVOUR, "sweet sour", "is not one of");
}

static void a_range_is_in_words(void **state) {
    (void)state;
    static const char *const ranges[COUNT] = {
        "-1 to 20", SETTING_TOPIC_RULE "; 1 to 4 bytes", "no spaces; 0 to 9 bytes",
        "up to 8 names of 1 to 3 bytes, between commas; letters", "sweet, sour"};
    char range[SETTING_RANGE_BYTES];
    for (int i = 0; i < COUNT; i++) {
        setting_range(&table[i], range);
        assert_string_equal(range, ranges[i]);
    }
}

static int release(void **state) {
    (void)state;
    for (const struct setting *setting = table; setting->section != NULL; setting++)
        setting_release(setting, &things);
    return things.text != NULL || things.names.count != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_whole_and_in_range),
        cmocka_unit_test(a_text_has_a_length_and_a_form),
        cmocka_unit_test(an_error_does_not_show_a_secret),
        cmocka_unit_test(names_stand_between_commas),
        cmocka_unit_test(a_choice_is_one_of_its_words),
        cmocka_unit_test(a_range_is_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
