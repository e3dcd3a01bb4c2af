/* The table of what is counted. */
#include "core/aggregate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static struct aggregate_settings with(const char *const *names, int count) {
    struct aggregate_settings settings = {0};
    for (int i = 0; i < count; i++)
        settings.dimensions.items[i] = (char *)(uintptr_t)names[i];
    settings.dimensions.count = count;
    return settings;
}

#define WITH(...)                                                                                  \
    with((const char *const[]){__VA_ARGS__},                                                       \
         (int)(sizeof(const char *const[]){__VA_ARGS__} / sizeof(char *)))

static void dimensions_come_first_then_minutes_and_reasons(void **state) {
    (void)state;
    const struct aggregate_settings settings = WITH("device_type", "os.v-1");
    struct aggregates aggregates;
    aggregates_init(&aggregates, &settings);
    static const struct {
        enum aggregate_source source;
        enum aggregate_kind kind;
        const char *key, *title;
    } wanted[] = {
        {AGGREGATE_DIMENSION, AGGREGATE_VALUES, "device_type_counts", "Logins by Device Type"},
        {AGGREGATE_DIMENSION, AGGREGATE_VALUES, "os.v-1_counts", "Logins by Os.v-1"},
        {AGGREGATE_MINUTE, AGGREGATE_DAYS, "login_counts", "Logins Over Time"},
        {AGGREGATE_REASON, AGGREGATE_NAMES, "rejected_counts", "Rejected"},
    };
    assert_int_equal(aggregates.count, 4);
    assert_ptr_equal(aggregates.settings, &settings);
    for (unsigned i = 0; i < aggregates.count; i++) {
        const struct aggregate *aggregate = &aggregates.items[i];
        assert_int_equal(aggregate->source, wanted[i].source);
        assert_int_equal(aggregate->kind, wanted[i].kind);
        assert_string_equal(aggregate->key, wanted[i].key);
        assert_string_equal(aggregate->title, wanted[i].title);
        assert_int_equal(aggregate->index_key[0] != '\0', aggregate->kind == AGGREGATE_DAYS);
        assert_int_equal(aggregate->anomalies_key != NULL, aggregate->kind == AGGREGATE_DAYS);
    }
}

static void as_many_dimensions_of_the_longest_name_have_room(void **state) {
    (void)state;
    char names[LOGIN_DIMENSIONS_MAX][65];
    const char *pointers[LOGIN_DIMENSIONS_MAX];
    for (int i = 0; i < LOGIN_DIMENSIONS_MAX; i++) {
        memset(names[i], 'a' + i, 64);
        names[i][64] = '\0';
        pointers[i] = names[i];
    }
    const struct aggregate_settings settings = with(pointers, LOGIN_DIMENSIONS_MAX);
    struct aggregates aggregates;
    aggregates_init(&aggregates, &settings);
    assert_int_equal(aggregates.count, AGGREGATES_MAX - DECLARED_MAX);
    assert_int_equal(aggregates.first_declared, aggregates.count);
    assert_int_equal(strlen(aggregates.items[7].key), 64 + sizeof "_counts" - 1);
    assert_int_equal(strlen(aggregates.items[7].title), 64 + sizeof "Logins by " - 1);
}

static void each_aggregate_has_keys_of_its_own(void **state) {
    (void)state;
    const struct setting *dimensions = &aggregate_setting_table[0];
    static const char *const right[] = {"a", "rejecte", "rejected2", "login", "anomalies"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        assert_true(dimensions->is_right(right[i]));
    assert_false(dimensions->is_right("rejected"));
    assert_false(dimensions->is_right("a:b"));
}

static void dimensions_whose_titles_read_the_same_are_rejected(void **state) {
    (void)state;
    struct error error = {""};
    static const char *const same[][2] = {
        {"locale", "Locale"}, {"device_type", "device_Type"},
        {"a_b", "A_B"},       {"a_b", "a__b"},
        {"a_", "a__"},        {"_a", "A"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const struct aggregate_settings settings = WITH("x", same[i][0], same[i][1]);
        assert_false(aggregates_check(&settings, &error));
        assert_non_null(strstr(error.text, same[i][0]));
        assert_non_null(strstr(error.text, same[i][1]));
        assert_non_null(strstr(error.text, "\"Logins by "));
    }
    static const char *const other[][2] = {
        {"locale", "locales"}, {"ab", "aB"}, {"a_b", "ab"}, {"a_", "a"}, {"a.b", "a-b"},
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        const struct aggregate_settings settings = WITH(other[i][0], other[i][1], "x");
        if (!aggregates_check(&settings, &error)) fail_msg("%s", error.text);
    }
}

static void a_dimension_named_as_a_member_of_the_status_is_rejected(void **state) {
    (void)state;
    struct error error = {""};
    const struct aggregate_settings taken = WITH("locale", "read_at");
    assert_false(aggregates_check(&taken, &error));
    assert_non_null(strstr(error.text, "read_at, which in /status.json"));
    assert_non_null(strstr(error.text, "set from = read_at in the section [dimension.NAME]"));
    const struct aggregate_settings other = WITH("read_At", "read", "login", "counts", "minutes");
    if (!aggregates_check(&other, &error)) fail_msg("%s", error.text);
}

static void a_record_adds_to_the_numbers_of_its_verdict(void **state) {
    (void)state;
    const struct aggregate_settings settings = WITH("a");
    struct aggregates aggregates;
    aggregates_init(&aggregates, &settings);
    const struct login accepted = {.reason = LOGIN_ACCEPTED, .minute = 28677036};
    const struct login rejected = {.reason = LOGIN_BAD_VALUE};
    int64_t number = -1;
    char name[AGGREGATE_TEXT_BYTES];
    assert_false(aggregate_number(&aggregates.items[0], &accepted, &number));
    assert_false(aggregate_number(&aggregates.items[0], &rejected, &number));
    assert_false(aggregate_number(&aggregates.items[1], &rejected, &number));
    assert_false(aggregate_number(&aggregates.items[2], &accepted, &number));
    assert_true(aggregate_number(&aggregates.items[1], &accepted, &number));
    aggregate_name(&aggregates.items[1], number, name);
    assert_string_equal(name, "14:36");
    assert_true(aggregate_number(&aggregates.items[2], &rejected, &number));
    aggregate_name(&aggregates.items[2], number, name);
    assert_string_equal(name, "bad_value");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dimensions_come_first_then_minutes_and_reasons),
        cmocka_unit_test(as_many_dimensions_of_the_longest_name_have_room),
        cmocka_unit_test(each_aggregate_has_keys_of_its_own),
        cmocka_unit_test(dimensions_whose_titles_read_the_same_are_rejected),
        cmocka_unit_test(a_dimension_named_as_a_member_of_the_status_is_rejected),
        cmocka_unit_test(a_record_adds_to_the_numbers_of_its_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
