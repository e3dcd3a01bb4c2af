/* audit_declared: declared counts as they are stored, and as they should be. */
#include "app/audit_declared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 42 };
enum {
    LOCALE,
    MINUTE,
    REASON,
    TOTAL,
    HOURLY,
    HOURS,
    DAYS,
    EACH
}; /* the table of aggregates here */

/* 2024-07-10 14:36 in minutes since 1970, and its day. */
#define AT_1436 (INT64_C(28676160) + 14 * 60 + 36)
#define DAY (AT_1436 / AGGREGATE_MINUTES_A_DAY)
#define HOUR "2024-07-10T14"

static struct aggregate_settings settings;
static struct aggregates aggregates;
static struct audit_declared audit;
static struct delta counted;
static char found[1024];
static int64_t expired_before; /* days before it may have expired */
static bool is_all_expired;

static void differ(void *context, const struct aggregate *aggregate, const char *bucket,
                   struct slice name, int64_t expected, int64_t stored) {
    const size_t used = strlen(found);
    assert_ptr_equal(context, &audit);
    snprintf(found + used, sizeof found - used, "%s:%s '%.*s' %lld %lld\n", aggregate->key, bucket,
             (int)name.length, name.bytes, (long long)expected, (long long)stored);
}

static bool may_be_expired(void *context, int64_t day, int retention_days) {
    assert_ptr_equal(context, &audit);
    assert_int_equal(retention_days, 7);
    return day < 0 ? is_all_expired : day < expired_before;
}

static int begin(void **state) {
    (void)state;
    static char locale[] = "locale", none[] = "", user[] = "user_id";
    static char names[][8] = {"total", "hourly", "hours", "days", "each"};
    static const enum declared_every everies[] = {DECLARED_TOTAL, DECLARED_HOUR, DECLARED_HOUR,
                                                  DECLARED_DAY, DECLARED_HOUR};
    settings =
        (struct aggregate_settings){.dimensions = {{locale}, 1}, .max_days = 9, .count_count = 5};
    for (int i = 0; i < settings.count_count; i++) {
        settings.counts[i] = (struct declared_settings){
            .name = names[i], .every = everies[i], .retention_days = 7, .unique = none};
        if (i < 2 || i == 4) settings.counts[i].by = settings.dimensions;
    }
    settings.counts[4].unique = user;
    aggregates_init(&aggregates, &settings);
    audit = (struct audit_declared){.aggregates = &aggregates,
                                    .seed = SEED,
                                    .context = &audit,
                                    .differ = differ,
                                    .may_be_expired = may_be_expired};
    delta_init(&counted);
    found[0] = '\0';
    expired_before = 0;
    is_all_expired = false;
    return 0;
}

static int end(void **state) {
    (void)state;
    audit_declared_release(&audit);
    delta_release(&counted);
    return 0;
}

static struct slice slice(const char *text) {
    return (struct slice){text, strlen(text)};
}

/* Events as they are counted again. */
static void count(int64_t minute, const char *locale, int64_t n) {
    const struct login login = {.minute = minute, .values = {slice(locale)}};
    for (unsigned field = TOTAL; field <= DAYS; field++) {
        char key[DECLARED_KEY_BYTES];
        const size_t length = declared_key(&aggregates.items[field].declared, &login, key);
        delta_add(&counted, delta_value_key(SEED, field, (struct slice){key, length}), n);
    }
}

static bool bucket(unsigned field, const char *name) {
    return audit_declared_bucket(&audit, field, slice(name));
}

static bool stored(unsigned field, const char *in, const char *name, int64_t n) {
    return audit_declared_count(&audit, field, slice(in), slice(name), n);
}

static const char *compare(void) {
    for (unsigned field = TOTAL; field <= DAYS; field++)
        audit_declared_compare(&audit, &counted, field);
    return found;
}

static void keep_both_hours(void) {
    assert_true(bucket(HOURLY, "2024-07-10T14") && bucket(HOURLY, "2024-07-10T15"));
    assert_true(bucket(HOURS, "2024-07-10") && bucket(DAYS, "2024-07-10"));
}

static void what_is_stored_right_does_not_differ(void **state) {
    (void)state;
    count(AT_1436, "PA", 2);
    count(AT_1436 + 60, "NY", 3);
    keep_both_hours();
    assert_true(stored(TOTAL, "", "PA", 2) && stored(TOTAL, "", "NY", 3));
    assert_true(stored(HOURLY, "2024-07-10T14", "PA", 2));
    assert_true(stored(HOURLY, "2024-07-10T15", "NY", 3));
    assert_true(stored(HOURS, "2024-07-10", "14", 2) && stored(HOURS, "2024-07-10", "15", 3));
    assert_true(stored(DAYS, "", "2024-07-10", 5));
    assert_string_equal(compare(), "");
    assert_int_equal(audit.expired_count, 0);
}

static void what_was_counted_before_is_not_compared(void **state) {
    (void)state;
    count(AT_1436, "DE", 2);
    count(AT_1436, "PA", 4);
    delta_clear(&counted);
    count(AT_1436, "DE", 2);
    keep_both_hours();
    assert_true(stored(TOTAL, "", "DE", 2));
    assert_true(stored(HOURLY, HOUR, "DE", 2));
    assert_true(stored(HOURS, "2024-07-10", "14", 2) && stored(DAYS, "", "2024-07-10", 2));
    assert_string_equal(compare(), "");
}

static void each_difference_is_named(void **state) {
    (void)state;
    count(AT_1436, "PA", 2);
    count(AT_1436 + 60, "NY", 3);
    keep_both_hours();
    assert_true(stored(TOTAL, "", "PA", 2) && stored(TOTAL, "", "XX", 1));
    assert_true(stored(HOURLY, "2024-07-10T14", "PA", 1));
    assert_true(stored(HOURS, "2024-07-10", "14", 3));
    assert_true(stored(DAYS, "", "2024-07-10", 5) && stored(DAYS, "", "__other__", 1));
    assert_string_equal(compare(), "count:total: 'NY' 3 0\ncount:total: 'XX' 0 1\n"
                                   "count:hourly:2024-07-10T14 'PA' 2 1\n"
                                   "count:hourly:2024-07-10T15 'NY' 3 0\n"
                                   "count:hours:2024-07-10 '14' 2 3\n"
                                   "count:hours:2024-07-10 '15' 3 0\n"
                                   "count:days: '__other__' 0 1\n");
}

static void what_has_no_room_is_a_sum(void **state) {
    (void)state;
    count(AT_1436, "PA", 2);
    count(AT_1436, "NY", 3);
    count(AT_1436, "CA", 4);
    count(AT_1436 + 60, "CA", 5);
    assert_true(bucket(HOURLY, "2024-07-10T14"));
    assert_true(stored(TOTAL, "", "PA", 2) && stored(TOTAL, "", "__other__", 12));
    assert_true(stored(HOURLY, "2024-07-10T14", "NY", 3));
    assert_true(stored(HOURLY, "2024-07-10T14", "__other__", 6));
    assert_true(stored(HOURLY, "__other__", "CA", 4) && stored(HOURLY, "__other__", "CD", 2));
    assert_true(stored(HOURS, "__other__", "__other__", 14));
    assert_true(stored(DAYS, "", "__other__", 13));
    assert_string_equal(compare(), "count:hourly:__other__ '__other__' 5 6\n"
                                   "count:days: '__other__' 14 13\n");
}

static void what_may_have_expired_is_not_compared(void **state) {
    (void)state;
    count(AT_1436, "PA", 2);
    count(AT_1436 + AGGREGATE_MINUTES_A_DAY, "PA", 3);
    expired_before = DAY + 1;
    assert_true(bucket(HOURLY, "2024-07-11T14"));
    assert_true(bucket(HOURS, "2024-07-11") && bucket(DAYS, "2024-07-11"));
    assert_true(stored(TOTAL, "", "PA", 5) && stored(HOURLY, "2024-07-11T14", "PA", 3));
    assert_true(stored(HOURLY, "__other__", "PA", 1)); /* and one event had no room */
    assert_true(stored(HOURS, "2024-07-11", "14", 3));
    assert_true(stored(DAYS, "", "2024-07-11", 3));
    assert_true(stored(DAYS, "", "2024-07-10", 2)); /* its field is still there */
    assert_string_equal(compare(), "");
    assert_int_equal(audit.expired_count, 1 + 2 + 2);
    end(NULL);
    begin(NULL);
    is_all_expired = true;
    count(AT_1436, "PA", 2);
    expired_before = DAY + 1;
    assert_string_equal(compare(), "");
    assert_int_equal(audit.expired_count, 4 * 2);
}

static void what_rollcall_does_not_store_is_not_taken(void **state) {
    (void)state;
    static const struct {
        unsigned field;
        const char *bucket, *name;
    } cases[] = {
        {TOTAL, "", ""},         {TOTAL, "2024-07-10", "PA"},        {HOURLY, "2024-07-10", "PA"},
        {HOURLY, "", "PA"},      {HOURLY, "2024-07-10T14", ""},      {HOURS, "2024-07-10", "24"},
        {HOURS, "", "14"},       {HOURS, "2024-07-10", "14:36"},     {HOURS, "__other__", "14"},
        {DAYS, "", "yesterday"}, {DAYS, "2024-07-10", "2024-07-10"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (stored(cases[i].field, cases[i].bucket, cases[i].name, 1))
            fail_msg("%u '%s' '%s' was taken", cases[i].field, cases[i].bucket, cases[i].name);
    }
    assert_false(bucket(HOURLY, "2024-07-10"));
    assert_false(bucket(DAYS, "2024-07-10T14"));
}

/* Users begin to end-1. */
static struct hyperloglog users(int begin_at, int end_at) {
    struct hyperloglog some = {0};
    for (int i = begin_at; i < end_at; i++)
        hyperloglog_add(&some, hyperloglog_hash((struct slice){(const char *)&i, sizeof i}));
    return some;
}

static void count_users(const char *locale, int begin_at, int end_at) {
    const struct login login = {.minute = AT_1436, .values = {slice(locale)}};
    struct hyperloglog some = users(begin_at, end_at);
    char key[DECLARED_KEY_BYTES];
    const size_t length = declared_key(&aggregates.items[EACH].declared, &login, key);
    delta_merge_distinct(&counted, delta_value_key(SEED, EACH, (struct slice){key, length}), &some);
    hyperloglog_release(&some);
}

/* So many that they are stored as they are told. */
static void store_users(const char *in, const char *name, int begin_at, int end_at) {
    struct hyperloglog some = users(begin_at, end_at);
    char bytes[HYPERLOGLOG_DENSE_BYTES];
    const struct slice text = {bytes, hyperloglog_write(&some, bytes)};
    assert_int_equal(text.length, begin_at == end_at ? 0 : sizeof bytes);
    assert_true(audit_declared_distinct(&audit, EACH, slice(in), slice(name), text));
    hyperloglog_release(&some);
}

/* Three locales in one hour, of which two are stored as one. */
static void begin_users(void) {
    end(NULL);
    begin(NULL);
    count_users("PA", 0, 2000);
    count_users("NY", 1500, 4000);
    count_users("WA", 1000, 5000);
    assert_true(bucket(EACH, HOUR));
}

/* The one line of differences begins with this; "": there is none. */
static void users_differ(const char *words) {
    audit_declared_compare(&audit, &counted, EACH);
    if (*words == '\0') assert_string_equal(found, "");
    if (strncmp(found, words, strlen(words)) != 0) fail_msg("\"%s\" is not: %s", words, found);
    if (*words != '\0') assert_ptr_equal(strchr(found, '\n'), strrchr(found, '\n'));
}

static void users_of_each_value_are_compared(void **state) {
    (void)state;
    begin_users();
    store_users(HOUR, "PA", 0, 2000);
    store_users(HOUR, "__other__", 1000, 5000);
    users_differ("");
    begin_users();
    store_users(HOUR, "PA", 0, 1999); /* one is missing */
    store_users(HOUR, "__other__", 1000, 5000);
    users_differ("count:each:2024-07-10T14 'PA' ");
    begin_users();
    store_users(HOUR, "PA", 0, 2000);
    store_users(HOUR, "__other__", 0, 5000); /* one too many */
    users_differ("count:each:2024-07-10T14 '__other__' ");
    begin_users();
    store_users(HOUR, "PA", 0, 2000);
    store_users(HOUR, "__other__", 1000, 5000);
    store_users(HOUR, "XX", 0, 1000);
    users_differ("count:each:2024-07-10T14 'XX' 0 ");
    begin_users();
    store_users(HOUR, "PA", 0, 0); /* it is gone */
    store_users(HOUR, "__other__", 1000, 5000);
    users_differ("count:each:2024-07-10T14 'PA' ");
}

/* Buckets that had no room are one, whatever their values. */
static void users_of_all_other_buckets_are_one(void **state) {
    (void)state;
    begin_users();
    delta_release(&audit.kept);
    store_users("__other__", "", 0, 5000);
    users_differ("");
    begin_users();
    delta_release(&audit.kept);
    store_users("__other__", "", 0, 4999);
    users_differ("count:each:__other__ '__other__' ");
}

/* Of a value that expires for itself, and may begin again. */
static void users_that_may_have_expired_are_not_compared(void **state) {
    (void)state;
    begin_users();
    expired_before = DAY + 1;
    store_users(HOUR, "NY", 1500, 4000);
    store_users(HOUR, "WA", 4000, 5000);
    users_differ("");
    begin_users();
    expired_before = DAY + 1;
    store_users(HOUR, "NY", 1500, 4000);
    store_users(HOUR, "WA", 4000, 6000); /* who are those? */
    users_differ("count:each:2024-07-10T14 'WA' ");
    begin_users();
    expired_before = DAY + 1;
    store_users(HOUR, "NY", 1500, 4000);
    store_users(HOUR, "WA", 0, 0); /* has not expired, and is gone */
    users_differ("count:each:2024-07-10T14 'WA' ");
}

static void what_is_no_hyperloglog_is_not_taken(void **state) {
    (void)state;
    assert_false(audit_declared_distinct(&audit, EACH, slice(HOUR), slice("PA"), slice("HYLL")));
    assert_false(audit_declared_distinct(&audit, EACH, slice("soon"), slice("PA"), slice("")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_stored_right_does_not_differ, begin, end),
        cmocka_unit_test_setup_teardown(what_was_counted_before_is_not_compared, begin, end),
        cmocka_unit_test_setup_teardown(each_difference_is_named, begin, end),
        cmocka_unit_test_setup_teardown(what_has_no_room_is_a_sum, begin, end),
        cmocka_unit_test_setup_teardown(what_may_have_expired_is_not_compared, begin, end),
        cmocka_unit_test_setup_teardown(users_of_each_value_are_compared, begin, end),
        cmocka_unit_test_setup_teardown(users_of_all_other_buckets_are_one, begin, end),
        cmocka_unit_test_setup_teardown(users_that_may_have_expired_are_not_compared, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_hyperloglog_is_not_taken, begin, end),
        cmocka_unit_test_setup_teardown(what_rollcall_does_not_store_is_not_taken, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
