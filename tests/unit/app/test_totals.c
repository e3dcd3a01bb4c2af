/* The totals of an instance as one object. */
#include "app/totals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 42 };
enum { LOCALE, MINUTE, REASON }; /* the table of aggregates here */

static const char *render(struct tally *tally, const struct aggregates *aggregates,
                          const char *from, const char *to) {
    static char buffer[1024];
    struct text json = text_within(buffer, sizeof buffer);
    struct days days;
    struct error error;
    assert_true(days_set(&days, from, to, &error));
    text_clear(&json);
    totals_render(tally, aggregates, &days, &json);
    return buffer;
}

static void totals_are_one_object(void **state) {
    (void)state;
    char locale[] = "locale";
    const struct aggregate_settings settings = {
        .dimensions = {{locale}, 1}, .max_values = 1, .max_days = 2};
    struct aggregates aggregates;
    struct delta delta;
    const int64_t minute = 28677036, day = AGGREGATE_MINUTES_A_DAY, reason = LOGIN_BAD_VALUE;
    const int64_t minutes[] = {minute + 1, minute, minute - day, minute - 2 * day, minute + 2};
    aggregates_init(&aggregates, &settings);
    const struct tally_options options = {
        .aggregates = &aggregates, .seed = SEED, .values_bytes = 1 << 20, .minutes_bytes = 1 << 20};
    struct tally *tally = tally_create(&options);
    assert_string_equal(render(tally, &aggregates, NULL, NULL),
                        "{\"Logins by Locale\": {}, \"Logins Over Time\": {}, \"Rejected\": {}}");

    delta_init(&delta);
    delta_add(&delta, delta_value_key(SEED, LOCALE, (struct slice){"P\"A", 3}), 5);
    delta_add(&delta, delta_value_key(SEED, LOCALE, (struct slice){"CA", 2}), 2);
    delta_add(&delta, delta_value_key(SEED, LOCALE, (struct slice){"__other__", 9}), 10);
    for (int64_t i = 0; i < 5; i++)
        delta_add(&delta, delta_number_key(SEED, MINUTE, &minutes[i]), i + 1);
    delta_add(&delta, delta_number_key(SEED, REASON, &reason), 3);
    tally_add(tally, &delta);
    assert_string_equal(render(tally, &aggregates, NULL, NULL),
                        "{\"Logins by Locale\": {\"P\\\"A\": 5, \"__other__\": 12}, "
                        "\"Logins Over Time\": {\"2024-07-10 14:36\": 2, \"2024-07-10 14:37\": 1, "
                        "\"2024-07-10 14:38\": 5, \"2024-07-09 14:36\": 3, \"__other__\": 4}, "
                        "\"Rejected\": {\"bad_value\": 3}}");
    assert_string_equal(render(tally, &aggregates, "2024-07-09", "2024-07-09"),
                        "{\"Logins by Locale\": {\"P\\\"A\": 5, \"__other__\": 12}, "
                        "\"Logins Over Time\": {\"2024-07-09 14:36\": 3}, "
                        "\"Rejected\": {\"bad_value\": 3}}");
    delta_release(&delta);
    tally_destroy(&tally);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_are_one_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
