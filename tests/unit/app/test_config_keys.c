/* config: what each key of every module's table takes and rejects, and that it is documented. */
#include "app/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "core/path.h"

static struct config config;

static void taken(struct config_key key, const char *value) {
    struct error error = {""};
    if (!setting_set(key.setting, (char *)&config + key.offset, value, &error)) {
        fail_msg("%s: %s", key.setting->name, error.text);
    }
}

static void refused(struct config_key key, const char *value, const char *why) {
    struct error error = {""};
    if (setting_set(key.setting, (char *)&config + key.offset, value, &error) ||
        strstr(error.text, why) == NULL) {
        fail_msg("%s = \"%s\" should be rejected: %s, not: %s", key.setting->name, value, why,
                 error.text);
    }
}

static void check_number(struct config_key key) {
    char value[32];
    const int64_t min = key.setting->min, max = key.setting->max;
    const int64_t outside[] = {min - 1, max + 1}, ends[] = {min, max};
    refused(key, "", "not a whole number");
    for (int i = 0; i < 2; i++) {
        snprintf(value, sizeof value, "%lld", (long long)outside[i]);
        refused(key, value, "out of range");
        snprintf(value, sizeof value, "%lld", (long long)ends[i]);
        taken(key, value);
    }
}

static void check_text(struct config_key key) {
    static char value[8192];
    memset(value, 'x', (size_t)key.setting->max + 1);
    value[key.setting->max + 1] = '\0';
    refused(key, value, "allowed are");
    const bool is_path =
        key.setting->is_right == path_is_member || key.setting->is_right == path_is_field;
    if (!is_path) refused(key, "a b", "wrong form");
    refused(key, "\x01", "wrong form");
    if (key.setting->min > 0) refused(key, "", "allowed are");
}

static void check_choice(struct config_key key) {
    char range[SETTING_RANGE_BYTES];
    setting_range(key.setting, range);
    refused(key, "", "is not one of");
    refused(key, "no-such-choice", range);
    char *rest = range;
    for (char *word; (word = strsep(&rest, ",")) != NULL;)
        taken(key, word + strspn(word, " "));
}

static void each_key_rejects_what_is_bad_and_takes_its_extremes(void **state) {
    (void)state;
    struct config_key key;
    for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++) {
        const enum setting_type type = key.setting->type;
        if (type == SETTING_TYPE_NUMBER) check_number(key);
        if (type == SETTING_TYPE_CHOICE) check_choice(key);
        if (type == SETTING_TYPE_TEXT || type == SETTING_TYPE_NAMES) check_text(key);
    }
}

static void wrong_dimensions_are_rejected(void **state) {
    (void)state;
    const struct config_key key = config_key_find("aggregate", "dimensions");
    refused(key, "a,rejected", "called rejected");
    refused(key, "a:b", "wrong form");
    taken(key, "a,b,c,d,e,f,g,h");
    assert_int_equal(config.aggregate.dimensions.count, 8);
}

static void no_key_is_there_twice_and_each_has_a_line_of_help(void **state) {
    (void)state;
    struct config_key key;
    size_t i = 0;
    for (; (key = config_key_at(i)).setting != NULL; i++) {
        const struct setting *setting = key.setting;
        assert_ptr_equal(config_key_find(setting->section, setting->name).setting, setting);
        assert_true(config_has_section(setting->section));
        assert_true(strlen(setting->help) > 3);
        assert_null(strchr(setting->help, '\n'));
        if (setting->help[strlen(setting->help) - 1] == '.') fail_msg("%s", setting->help);
        if (strchr(setting->name, '.') != NULL) /* or a variable could not name it */
            assert_true(config_role(setting->section) >= 0);
    }
    assert_in_range(i, 20, 200);
}

static void sections_are_found_once_each(void **state) {
    (void)state;
    const char *section, *other;
    for (size_t i = 0; (section = config_sections[i]) != NULL; i++) {
        assert_true(config_has_section(section));
        for (size_t j = 0; j < i && (other = config_sections[j]) != NULL; j++)
            assert_string_not_equal(section, other);
    }
    assert_false(config_has_section("kafak"));
    assert_int_equal(config_role("producer"), KAFKA_PRODUCER);
    assert_int_equal(config_role("log"), -1);
}

/* Made by `./dev docs`. */
static void the_documentation_is_that_of_the_tables(void **state) {
    (void)state;
    static char documented[1 << 20];
    char *made = NULL;
    size_t made_bytes = 0;
    FILE *file = fopen("../../docs/configuration.md", "r");
    assert_non_null(file);
    documented[fread(documented, 1, sizeof documented - 1, file)] = '\0';
    fclose(file);
    FILE *stream = open_memstream(&made, &made_bytes);
    config_markdown(stream);
    fclose(stream);
    const char *part = strstr(documented, "\n" CONFIG_HEADING);
    assert_non_null(part);
    if (strcmp(made, part + 1) != 0) fail_msg("docs/configuration.md: run ./dev docs");
    free(made);
}

static int release(void **state) {
    (void)state;
    struct config_key key;
    for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++)
        setting_release(key.setting, (char *)&config + key.offset);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_rejects_what_is_bad_and_takes_its_extremes),
        cmocka_unit_test(wrong_dimensions_are_rejected),
        cmocka_unit_test(no_key_is_there_twice_and_each_has_a_line_of_help),
        cmocka_unit_test(sections_are_found_once_each),
        cmocka_unit_test(the_documentation_is_that_of_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
