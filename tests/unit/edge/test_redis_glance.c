/* A glance of what a real Redis holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "admin.h"
#include "edge/redis_glance.h"

enum { BY_HOUR, PAIRS, DAYS, MINUTES, USERS, USERS_BY, COUNT };

static struct aggregate_settings settings;
static struct aggregates aggregates;
static struct redis_glance *glance;

/* An empty Redis, one dimension, and a declared count of each form. */
static int begin(void **state) {
    (void)state;
    static char locale[] = "locale", user[] = "user_id", none[] = "";
    static char names[][12] = {"by_hour", "pairs", "days", "minutes", "users", "users_by"};
    static const enum declared_every every[] = {DECLARED_HOUR,   DECLARED_TOTAL, DECLARED_DAY,
                                                DECLARED_MINUTE, DECLARED_TOTAL, DECLARED_DAY};
    settings = (struct aggregate_settings){
        .dimensions = {{locale}, 1}, .max_values = 10, .max_days = 9, .count_count = COUNT};
    for (int i = 0; i < COUNT; i++) {
        settings.counts[i] = (struct declared_settings){
            .name = names[i], .every = every[i], .unique = i >= USERS ? user : none};
        if (i != DAYS && i != MINUTES && i != USERS) settings.counts[i].by = settings.dimensions;
    }
    aggregates_init(&aggregates, &settings);
    glance = redis_glance_create(&aggregates);
    run("FLUSHALL");
    return 0;
}

static int end(void **state) {
    (void)state;
    free(glance);
    return 0;
}

static void look(void) {
    struct error error = {""};
    if (!redis_glance_read(admin, "{p}", &aggregates, glance, &error)) fail_msg("%s", error.text);
}

/* "value count, value count" */
static const char *values_of(const struct glance_values *values) {
    static char text[4096];
    text[0] = '\0';
    for (unsigned i = 0; i < values->count; i++) {
        const struct slice value = glance_text(glance, &values->items[i]);
        const size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "%s%.*s %lld", i > 0 ? ", " : "",
                 (int)value.length, value.bytes, (long long)values->items[i].count);
    }
    return text;
}

static void nothing_is_counted_yet(void **state) {
    (void)state;
    look();
    assert_int_equal(glance->count_count, COUNT);
    assert_int_equal(glance->dimensions[0].count, 0);
    for (int i = 0; i < COUNT; i++) {
        assert_string_equal(glance->counts[i].bucket, "");
        assert_int_equal(glance->counts[i].number, 0);
        assert_int_equal(glance->counts[i].value_count, 0);
        assert_int_equal(glance->counts[i].values.count, 0);
    }
}

static void of_each_count_the_newest_bucket_is_read(void **state) {
    (void)state;
    run("ZADD {p}:locale_counts 3 PA 5 US");
    /* the order in which buckets expire is not that of time; a foreign name is none */
    run("ZADD {p}:count_buckets:by_hour 40 2024-07-10T13 50 2024-07-10T14 70 2024-07-10T09 "
        "90 zebra");
    run("ZADD {p}:count:by_hour:2024-07-10T14 1 PA 2 US");
    run("ZADD {p}:count:by_hour:2024-07-10T09 7 PA");
    run("ZADD {p}:count:pairs 4 PA");
    run("ZADD {p}:count_days:days 50 2024-07-10 70 2024-07-09");
    run("HSET {p}:count:days 2024-07-10 11 2024-07-09 12");
    run("ZADD {p}:count_buckets:minutes 50 2024-07-10 70 2024-07-09");
    run("HSET {p}:count:minutes:2024-07-10 14:36 1 14:37 6 09:59 8");
    run("PFADD {p}:count:users a b c");
    run("ZADD {p}:count_buckets:users_by 50 2024-07-10");
    run("ZADD {p}:count_values:users_by:2024-07-10 2 PA 1 US");
    look();
    assert_string_equal(values_of(&glance->dimensions[0]), "US 5, PA 3");
    const struct glance_count *counts = glance->counts;
    assert_string_equal(counts[BY_HOUR].bucket, "2024-07-10T14");
    assert_string_equal(values_of(&counts[BY_HOUR].values), "US 2, PA 1");
    assert_int_equal(counts[BY_HOUR].value_count, 2);
    assert_string_equal(counts[PAIRS].bucket, "");
    assert_string_equal(values_of(&counts[PAIRS].values), "PA 4");
    assert_string_equal(counts[DAYS].bucket, "2024-07-10");
    assert_int_equal(counts[DAYS].number, 11);
    assert_string_equal(counts[MINUTES].bucket, "2024-07-10T14:37");
    assert_int_equal(counts[MINUTES].number, 6);
    assert_string_equal(counts[USERS].bucket, "");
    assert_int_equal(counts[USERS].number, 3);
    assert_string_equal(counts[USERS_BY].bucket, "2024-07-10");
    assert_string_equal(values_of(&counts[USERS_BY].values), "PA 2, US 1");
    assert_int_equal(counts[USERS_BY].value_count, 2);
    struct redis_glance *copy = redis_glance_create(&aggregates);
    redis_glance_copy(copy, glance);
    assert_memory_equal(copy, glance, sizeof *glance + glance->text_bytes);
    free(copy);
}

/* Nothing that is read changes what is stored: not even the number that PFCOUNT keeps. */
static void a_look_writes_nothing(void **state) {
    (void)state;
    run("PFADD {p}:count:users a b c");
    const long before = strtol(strstr(run("INFO persistence"), "rdb_changes_since_last_save:") +
                                   strlen("rdb_changes_since_last_save:"),
                               NULL, 10);
    look();
    const long after = strtol(strstr(run("INFO persistence"), "rdb_changes_since_last_save:") +
                                  strlen("rdb_changes_since_last_save:"),
                              NULL, 10);
    assert_int_equal(glance->counts[USERS].number, 3);
    assert_int_equal(before, after);
}

static void many_and_long_values_are_cut_off(void **state) {
    (void)state;
    char value[2 * DECLARED_KEY_BYTES] = "";
    memset(value, 'x', sizeof value - 1);
    for (int i = 0; i < 2 * GLANCE_VALUES; i++) {
        value[0] = (char)('a' + i);
        run("ZADD {p}:count:pairs %d %s", i, value);
        run("ZADD {p}:locale_counts %d %s", i, value);
    }
    look();
    const struct glance_count *pairs = &glance->counts[PAIRS];
    assert_int_equal(pairs->value_count, 2 * GLANCE_VALUES);
    assert_int_equal(pairs->values.count, GLANCE_VALUES);
    assert_int_equal(glance->dimensions[0].count, GLANCE_VALUES);
    for (int i = 0; i < GLANCE_VALUES; i++) {
        const int number = 2 * GLANCE_VALUES - 1 - i;
        const struct slice text = glance_text(glance, &pairs->values.items[i]);
        assert_int_equal(pairs->values.items[i].count, number);
        assert_int_equal(text.length, DECLARED_KEY_BYTES);
        assert_int_equal(text.bytes[0], 'a' + number);
        assert_int_equal(glance->dimensions[0].items[i].text_length, LOGIN_VALUE_BYTES_MAX);
    }
}

static void a_count_that_is_no_integer_is_0(void **state) {
    (void)state;
    run("ZADD {p}:locale_counts inf endless 1e300 large 7.5 some -inf none");
    look();
    static const int64_t expected[] = {0, 0, 7, 0};
    assert_int_equal(glance->dimensions[0].count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(glance->dimensions[0].items[i].count, expected[i]);
}

static void a_key_of_another_type_is_an_error(void **state) {
    (void)state;
    static const char *const keys[] = {"locale_counts", "count:pairs", "count:users",
                                       "count_buckets:by_hour"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct error error = {""};
        run("FLUSHALL");
        run("SET {p}:%s x", keys[i]);
        assert_false(redis_glance_read(admin, "{p}", &aggregates, glance, &error));
        assert_non_null(strstr(error.text, "gave an odd answer to "));
        assert_non_null(strstr(error.text, "WRONGTYPE"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_counted_yet, begin, end),
        cmocka_unit_test_setup_teardown(of_each_count_the_newest_bucket_is_read, begin, end),
        cmocka_unit_test_setup_teardown(a_look_writes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(many_and_long_values_are_cut_off, begin, end),
        cmocka_unit_test_setup_teardown(a_count_that_is_no_integer_is_0, begin, end),
        cmocka_unit_test_setup_teardown(a_key_of_another_type_is_an_error, begin, end),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
