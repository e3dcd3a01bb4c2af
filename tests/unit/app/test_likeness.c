/* likeness: which names are like which. */
#include "app/likeness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void names_are_compared_word_by_word(void **state) {
    (void)state;
    static const struct {
        const char *path, *name;
        size_t percent;
    } cases[] = {
        {"device_type", "device_type", 100},     {"/context/deviceType", "device_type", 100},
        {"/device/type", "device_type", 100},    {"header:X-Device-Type", "device_type", 100},
        {"/device/category", "device_type", 75}, {"/platform/kind", "device_type", 0},
        {"/device/id", "device_type", 0},        {"language", "locale", 50},
        {"/locale/country", "locale", 100},      {"region", "locale", 0},
        {"dvce_type", "device_type", 75},        {"x", "x", 100},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(likeness_of(cases[i].path, cases[i].name), cases[i].percent);
}

#define TEN(text) text text text text text text text text text text

/* What is too long is cut off, and only the last of too many words is spoiled. */
static void long_words_and_many_words_are_cut_off(void **state) {
    (void)state;
    const char thirty_one[] = TEN("abc") "d";
    assert_int_equal(likeness_of(TEN("abc") "defg_x", thirty_one), 100);
    assert_int_equal(likeness_of(thirty_one, TEN("abc") "e"), 0);
    assert_int_equal(likeness_of("x_" TEN("a_") TEN("b_") "c_d_locale", "locale"), 100); /* 24 */
    assert_int_equal(likeness_of("x_" TEN("a_") TEN("b_") "c_d_e_locale", "locale"), 0);
    assert_int_equal(likeness_of(TEN("a_b_c_") TEN("d_e_f_"), "a"), 100);
}

static void a_time_is_one_more_or_less(void **state) {
    (void)state;
    static const char *const paths[][4] = {
        {"duration", "sum", "/time/zone", "/x_time/zone"}, /* 1 */
        {"created_at", "/meta/birth-date", "occurredAt", "/a/date_of_birth"},
        {"sent_time", "collector_tstamp", "/a/client_ts", "/a/b/last_time"},
        {"ts", "/event_time/timestamp", "eventTime", "/a/event_time"},
    };
    for (size_t points = 1; points <= 4; points++) {
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(likeness_to_time(paths[points - 1][i]), points);
    }
}

static void a_user_is_the_last_step_or_has_an_id(void **state) {
    (void)state;
    static const char *const paths[][6] = {
        {"user_agent", "/user/name", "/users", "customer_id", "", "/"}, /* 0 */
        {"user", "/data/user", "userid", "UID", "/a/username", "/user"},
        {"user_id", "userId", "/user/id", "UserID", "/a/id_of_user", "/payload/after/user_id"},
    };
    for (size_t points = 0; points <= 2; points++) {
        for (size_t i = 0; i < 6; i++)
            assert_int_equal(likeness_to_user(paths[points][i]), points);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_compared_word_by_word),
        cmocka_unit_test(long_words_and_many_words_are_cut_off),
        cmocka_unit_test(a_time_is_one_more_or_less),
        cmocka_unit_test(a_user_is_the_last_step_or_has_an_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
