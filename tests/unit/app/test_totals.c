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

/* Adds a key of a declared count; NULL: the user is counted, not an event. */
static void add_declared(struct delta *delta, unsigned field, int64_t bucket, const char *value,
                         const char *user) {
    char bytes[DECLARED_KEY_BYTES];
    const size_t length = strlen(value);
    memcpy(bytes, &bucket, sizeof bucket);
    memcpy(bytes + sizeof bucket, value, length);
    const struct delta_key key =
        delta_value_key(SEED, field, (struct slice){bytes, sizeof bucket + length});
    if (user == NULL)
        delta_add(delta, key, 2);
    else
        delta_add_distinct(delta, key, hyperloglog_hash((struct slice){user, strlen(user)}));
}

static void declared_counts_are_a_member(void **state) {
    (void)state;
    enum { FIRST = 3, BY_HOUR = FIRST, TOTAL, DAYS, USERS, USERS_BY, COUNTS = 5 };
    char locale[] = "locale", none[] = "", user[] = "user";
    char names[COUNTS][8] = {"hour", "all", "days", "u", "u_by"};
    struct aggregate_settings settings = {
        .dimensions = {{locale}, 1}, .max_values = 10, .max_days = 2, .count_count = COUNTS};
    struct aggregates aggregates;
    struct delta delta;
    const int64_t minute = 28677036, hour = minute / 60 * 60, day = minute / 1440 * 1440;
    for (int i = 0; i < COUNTS; i++) {
        settings.counts[i] = (struct declared_settings){
            .name = names[i], .max_values = 10, .unique = i + FIRST >= USERS ? user : none};
        if (i + FIRST == DAYS || i + FIRST == USERS) continue;
        settings.counts[i].by = (struct setting_names){{locale}, 1};
    }
    settings.counts[0].every = DECLARED_HOUR;
    settings.counts[2].every = settings.counts[4].every = DECLARED_DAY;
    aggregates_init(&aggregates, &settings);
    struct tally_options options = {.aggregates = &aggregates,
                                    .seed = SEED,
                                    .values_bytes = 1 << 20,
                                    .minutes_bytes = 1 << 20,
                                    .declared_bytes = 1 << 20};
    struct tally *tally = tally_create(&options);
#define BEFORE                                                                                     \
    "{\"Logins by Locale\": {}, \"Logins Over Time\": {}, \"Rejected\": {}, \"Counts\": {"
    assert_string_equal(render(tally, &aggregates, NULL, NULL),
                        BEFORE "\"hour\": {}, \"all\": {}, \"days\": {}, \"u\": 0, "
                               "\"u_by\": {}}}");
    delta_init(&delta);
    add_declared(&delta, BY_HOUR, hour - 1440, "PA", NULL);
    add_declared(&delta, BY_HOUR, hour, "P\"A", NULL);
    add_declared(&delta, BY_HOUR, hour, "P\"A", NULL);
    add_declared(&delta, BY_HOUR, hour, "US", NULL);
    add_declared(&delta, TOTAL, 0, "PA", NULL);
    add_declared(&delta, DAYS, day, "", NULL);
    add_declared(&delta, USERS, 0, "", "a");
    add_declared(&delta, USERS, 0, "", "b");
    add_declared(&delta, USERS_BY, day, "PA", "a");
    tally_add(tally, &delta);
    tally_add(tally, &delta);
    assert_string_equal(
        render(tally, &aggregates, NULL, NULL), BEFORE
        "\"hour\": {\"2024-07-10T14\": {\"P\\\"A\": 8, \"US\": 4}, "
        "\"2024-07-09T14\": {\"PA\": 4}}, \"all\": {\"PA\": 4}, "
        "\"days\": {\"2024-07-10\": 4}, \"u\": 2, \"u_by\": {\"2024-07-10\": {\"PA\": 1}}}}");
    assert_string_equal(render(tally, &aggregates, "2024-07-09", "2024-07-09"),
                        BEFORE "\"hour\": {\"2024-07-09T14\": {\"PA\": 4}}, \"all\": {\"PA\": 4}, "
                               "\"days\": {}, \"u\": 2, \"u_by\": {}}}");
    tally_destroy(&tally);
    options.declared_bytes = 0;
    tally = tally_create(&options);
    tally_add(tally, &delta);
    tally_add(tally, &delta);
    assert_string_equal(
        render(tally, &aggregates, NULL, NULL),
        BEFORE "\"hour\": {\"__other__\": {\"__other__\": 16}}, \"all\": {\"__other__\": 4}, "
               "\"days\": {\"__other__\": 4}, \"u\": 2, "
               "\"u_by\": {\"__other__\": {\"__other__\": 1}}}}");
    assert_string_equal(render(tally, &aggregates, "2024-07-09", "2024-07-09"),
                        BEFORE "\"hour\": {}, \"all\": {\"__other__\": 4}, \"days\": {}, "
                               "\"u\": 2, \"u_by\": {}}}");
    delta_release(&delta);
    tally_destroy(&tally);
#undef BEFORE
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_are_one_object),
        cmocka_unit_test(declared_counts_are_a_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
