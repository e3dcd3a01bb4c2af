/* config_keys: what each key of the table takes and refuses. */
#include "app/config_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static struct config config;

static void taken(const struct config_key *key, const char *value) {
    struct error error = {""};
    if (!config_keys_set(key, &config, value, &error)) fail_msg("%s: %s", key->name, error.text);
}

static void refused(const struct config_key *key, const char *value, const char *why) {
    struct error error = {""};
    if (config_keys_set(key, &config, value, &error) || strstr(error.text, why) == NULL) {
        fail_msg("%s = \"%s\" should be refused: %s, not: %s", key->name, value, why, error.text);
    }
}

static void check_number(const struct config_key *key) {
    static const char *const wrong[] = {"", "ten", "1.5", "1e3", "0x10", "+1", "1 2", "1_000"};
    char value[32];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused(key, wrong[i], "no whole number");
    refused(key, "99999999999999999999", "out of range");
    refused(key, "-99999999999999999999", "out of range");
    const int64_t outside[] = {(int64_t)key->min - 1, (int64_t)key->max + 1};
    const int64_t ends[] = {key->min, key->max};
    for (int i = 0; i < 2; i++) {
        snprintf(value, sizeof value, "%lld", (long long)outside[i]);
        refused(key, value, "out of range");
        snprintf(value, sizeof value, "%lld", (long long)ends[i]);
        taken(key, value);
    }
}

static void check_text(const struct config_key *key) {
    static char value[8192];
    memset(value, 'x', (size_t)key->max + 1);
    value[key->max + 1] = '\0';
    refused(key, value, key->type == CONFIG_NAMES ? "longer than" : "allowed are");
    refused(key, "a b", "wrong form");
    refused(key, "\x01", "wrong form");
    if (key->min > 0) refused(key, "", key->type == CONFIG_NAMES ? "has no name" : "allowed are");
}

static void each_key_refuses_what_is_bad_and_takes_its_extremes(void **state) {
    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        switch (key->type) {
        case CONFIG_NUMBER:
            check_number(key);
            break;
        case CONFIG_TEXT:
        case CONFIG_NAMES:
            check_text(key);
            break;
        case CONFIG_CHOICE:
            refused(key, "", "is not one of");
            refused(key, "no-such-choice", "is not one of");
            for (int c = 0; c < CONFIG_CHOICES_MAX && key->choices[c] != NULL; c++)
                taken(key, key->choices[c]);
            break;
        }
    }
}

static void wrong_dimensions_are_refused(void **state) {
    (void)state;
    const struct config_key *key = config_keys_find("aggregate", "dimensions");
    refused(key, "a,b,a", "\"a\" is there twice");
    refused(key, "a,rejected", "cannot be called rejected");
    refused(key, "a:b", "wrong form");
    refused(key, "a,,b", "has no name");
    refused(key, "a,b,c,d,e,f,g,h,i", "at most 8");
    taken(key, "a,b,c,d,e,f,g,h");
    assert_int_equal(config.aggregate.dimension_count, 8);
}

static void each_key_is_in_the_readme(void **state) {
    (void)state;
    static char readme[1 << 20];
    FILE *file = fopen("../../README.md", "r");
    assert_non_null(file);
    readme[fread(readme, 1, sizeof readme - 1, file)] = '\0';
    fclose(file);
    for (size_t i = 0; i < config_key_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "`%s`", config_keys[i].name);
        if (strstr(readme, name) == NULL) fail_msg("%s is not in README.md", name);
    }
}

static int release(void **state) {
    (void)state;
    config_keys_release(&config);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_refuses_what_is_bad_and_takes_its_extremes),
        cmocka_unit_test(wrong_dimensions_are_refused),
        cmocka_unit_test(each_key_is_in_the_readme),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
