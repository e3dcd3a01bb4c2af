/* The totals of several shards as one object. */
#include "app/totals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 42, SHARDS = 2 };
enum { LOCALE, MINUTE, REASON }; /* the table of aggregates here */

static void shards_are_one_object(void **state) {
    (void)state;
    char locale[] = "locale";
    const struct aggregate_settings settings = {.dimensions = {{locale}, 1}, .max_values = 1};
    struct aggregates aggregates;
    struct tally *tallies[SHARDS];
    struct delta delta;
    struct text json = {0};
    const int64_t minute = 28677036, later = 28677037, reason = LOGIN_BAD_VALUE;
    aggregates_init(&aggregates, &settings);
    for (int s = 0; s < SHARDS; s++)
        tallies[s] = tally_create(&aggregates, SEED);
    totals_render(tallies, SHARDS, &aggregates, &json);
    assert_string_equal(text_string(&json),
                        "{\"Logins by Locale\": {}, \"Logins Over Time\": {}, \"Rejected\": {}}");

    delta_init(&delta);
    delta_add(&delta, delta_value_key(SEED, LOCALE, (struct slice){"P\"A", 3}), 5);
    delta_add(&delta, delta_value_key(SEED, LOCALE, (struct slice){"CA", 2}), 2);
    delta_add(&delta, delta_number_key(SEED, MINUTE, &minute), 5);
    delta_add(&delta, delta_number_key(SEED, MINUTE, &later), 2);
    tally_add(tallies[0], &delta);
    delta_clear(&delta);
    delta_add(&delta, delta_value_key(SEED, LOCALE, (struct slice){"__other__", 9}), 10);
    delta_add(&delta, delta_number_key(SEED, REASON, &reason), 3);
    tally_add(tallies[1], &delta);
    text_clear(&json);
    totals_render(tallies, SHARDS, &aggregates, &json);
    assert_string_equal(text_string(&json),
                        "{\"Logins by Locale\": {\"P\\\"A\": 5, \"__other__\": 12}, "
                        "\"Logins Over Time\": {\"2024-07-10 14:36\": 5, \"__other__\": 2}, "
                        "\"Rejected\": {\"bad_value\": 3}}");
    delta_release(&delta);
    text_release(&json);
    for (int s = 0; s < SHARDS; s++)
        tally_destroy(&tallies[s]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_are_one_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
