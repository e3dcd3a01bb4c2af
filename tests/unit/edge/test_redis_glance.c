/* A glance of what a real Redis holds. */
#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

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
    assert_int_equal(glance->text_capacity,
                     GLANCE_VALUES * (LOGIN_VALUE_BYTES_MAX + 3 * DECLARED_KEY_BYTES));
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
    run("ZADD {p}:locale_counts inf endless 1e300 large 9223372036854775808 first 7.5 some -inf "
        "none");
    look();
    static const int64_t expected[] = {0, 0, 0, 7, 0};
    assert_int_equal(glance->dimensions[0].count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(glance->dimensions[0].items[i].count, expected[i]);
}

/* "minute count/threshold, ..." */
static const char *minutes_of(const struct glance_minute *minutes, unsigned count) {
    static char text[8192];
    text[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        const size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "%s%s %lld/%lld", i > 0 ? ", " : "",
                 minutes[i].minute, (long long)minutes[i].count, (long long)minutes[i].threshold);
    }
    return text;
}

/* The days expire in another order, and the last hash is of none of them. */
static void the_newest_minutes_come_first(void **state) {
    (void)state;
    run("ZADD {p}:login_days 70 2024-07-09 40 2024-07-11 50 2024-07-10 60 2024-07-08");
    run("HSET {p}:login_counts:2024-07-10 14:36 1 09:59 8 14:37 6");
    run("HSET {p}:login_counts:2024-07-11 00:01 3");
    run("HSET {p}:login_counts:2024-07-09 23:59 4");
    run("HSET {p}:login_counts:__other__ __other__ 5");
    look();
    assert_string_equal(minutes_of(glance->minutes, glance->minute_count),
                        "2024-07-11 00:01 3/0, 2024-07-10 14:37 6/0, 2024-07-10 14:36 1/0, "
                        "2024-07-10 09:59 8/0, 2024-07-09 23:59 4/0");
}

/* 100 minutes of each of two days: all of the newer one, and the newest of the other. */
static void of_many_minutes_the_newest_are_read(void **state) {
    (void)state;
    run("ZADD {p}:login_days 40 2024-07-10 50 2024-07-11");
    for (int i = 0; i < 100; i++) {
        run("HSET {p}:login_counts:2024-07-10 %s%d:%s%d %d", i < 600 ? "0" : "", i / 60,
            i % 60 < 10 ? "0" : "", i % 60, i);
        run("HSET {p}:login_counts:2024-07-11 %s%d:%s%d %d", i < 600 ? "0" : "", i / 60,
            i % 60 < 10 ? "0" : "", i % 60, 1000 + i);
    }
    look();
    assert_int_equal(glance->minute_count, GLANCE_MINUTES);
    for (int i = 0; i < GLANCE_MINUTES; i++) {
        assert_int_equal(glance->minutes[i].count, i < 100 ? 1099 - i : 199 - i);
        assert_memory_equal(glance->minutes[i].minute, i < 100 ? "2024-07-11" : "2024-07-10", 10);
    }
}

static void the_newest_anomalies_come_first(void **state) {
    (void)state;
    static const char add[] = "XADD {p}:anomalies %d minute %s count %d threshold %d";
    run(add, 1, "2024-07-10T14:30:00Z", 11, 10);
    run("XADD {p}:anomalies 2 threshold 8 color red count 9");
    run(add, 3, "2024-07-10_14:36", 13, 12);
    look();
    assert_string_equal(minutes_of(glance->anomalies, glance->anomaly_count),
                        "2024-07-10_14:36 13/12,  9/8, 2024-07-10T14:30 11/10");
    for (int i = 0; i < GLANCE_ANOMALIES; i++)
        run(add, 100 + i, "x", i, 1);
    look();
    assert_int_equal(glance->anomaly_count, GLANCE_ANOMALIES);
    for (int i = 0; i < GLANCE_ANOMALIES; i++)
        assert_int_equal(glance->anomalies[i].count, GLANCE_ANOMALIES - 1 - i);
}

/* An index may outlive what it names, and hold names that are none. */
static void a_bucket_that_is_gone_has_no_time(void **state) {
    (void)state;
    run("ZADD {p}:count_buckets:minutes 50 2024-07-10");
    run("ZADD {p}:count_days:days 50 2024-07-10");
    look();
    assert_string_equal(glance->counts[MINUTES].bucket, "2024-07-10");
    assert_int_equal(glance->counts[MINUTES].number, 0);
    assert_string_equal(glance->counts[DAYS].bucket, "2024-07-10");
    assert_int_equal(glance->counts[DAYS].number, 0);
    run("HSET {p}:count:minutes:2024-07-10 14:365 9 14:35 14");
    look();
    assert_string_equal(glance->counts[MINUTES].bucket, "2024-07-10T14:35");
    assert_int_equal(glance->counts[MINUTES].number, 14);
}

static void a_key_of_another_type_is_an_error(void **state) {
    (void)state;
    static const struct {
        const char *key, *command, *index, *bucket; /* of the index that leads to the key */
    } rows[] = {
        {"locale_counts", "ZREVRANGE", "", ""},
        {"login_days", "ZRANGE", "", ""},
        {"login_counts:2024-07-10", "HGETALL", "login_days", "2024-07-10"},
        {"anomalies", "XREVRANGE", "", ""},
        {"count:pairs", "ZCARD", "", ""},
        {"count:users", "PFCOUNT", "", ""},
        {"count_buckets:by_hour", "ZREVRANGE", "", ""},
        {"count:by_hour:2024-07-10T14", "ZCARD", "count_buckets:by_hour", "2024-07-10T14"},
        {"count_days:days", "ZREVRANGE", "", ""},
        {"count:days", "HGET", "count_days:days", "2024-07-10"},
        {"count_buckets:minutes", "ZREVRANGE", "", ""},
        {"count:minutes:2024-07-10", "HGETALL", "count_buckets:minutes", "2024-07-10"},
        {"count_buckets:users_by", "ZREVRANGE", "", ""},
        {"count_values:users_by:2024-07-10", "ZCARD", "count_buckets:users_by", "2024-07-10"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char odd[64];
        struct error error = {""};
        run("FLUSHALL");
        if (*rows[i].index != '\0') run("ZADD {p}:%s 50 %s", rows[i].index, rows[i].bucket);
        run("SET {p}:%s x", rows[i].key);
        snprintf(odd, sizeof odd, "gave an odd answer to %s: ", rows[i].command);
        if (redis_glance_read(admin, "{p}", &aggregates, glance, &error) ||
            strstr(error.text, odd) == NULL || strstr(error.text, "WRONGTYPE") == NULL)
            fail_msg("%s: %s", rows[i].key, error.text);
    }
}

static int left = -1; /* commands until the connection breaks; -1: it does not */

/* Stands in front of hiredis's own. */
int redisvAppendCommand(redisContext *context, const char *format, va_list words) {
    int (*real)(redisContext *, const char *, va_list);
    *(void **)&real = dlsym(RTLD_NEXT, "redisvAppendCommand");
    if (left > 0) left--;
    if (left == 0) shutdown(context->fd, SHUT_RDWR); /* and each that is opened after it */
    return real(context, format, words);
}

static void a_connection_that_breaks_is_an_error_wherever(void **state) {
    (void)state;
    struct error error;
    int breaks = 0;
    run("ZADD {p}:login_days 50 2024-07-10");
    run("ZADD {p}:count_buckets:by_hour 50 2024-07-10T14");
    run("ZADD {p}:count_days:days 50 2024-07-10");
    run("ZADD {p}:count_buckets:minutes 50 2024-07-10");
    run("ZADD {p}:count_buckets:users_by 50 2024-07-10");
    for (left = 1; !redis_glance_read(admin, "{p}", &aggregates, glance, &error); left = breaks + 1)
        if (++breaks > 40 || strstr(error.text, "broke: ") == NULL) fail_msg("%s", error.text);
    left = -1;
    assert_in_range(breaks, 17, 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_counted_yet, begin, end),
        cmocka_unit_test_setup_teardown(of_each_count_the_newest_bucket_is_read, begin, end),
        cmocka_unit_test_setup_teardown(a_look_writes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(many_and_long_values_are_cut_off, begin, end),
        cmocka_unit_test_setup_teardown(a_count_that_is_no_integer_is_0, begin, end),
        cmocka_unit_test_setup_teardown(the_newest_minutes_come_first, begin, end),
        cmocka_unit_test_setup_teardown(of_many_minutes_the_newest_are_read, begin, end),
        cmocka_unit_test_setup_teardown(the_newest_anomalies_come_first, begin, end),
        cmocka_unit_test_setup_teardown(a_bucket_that_is_gone_has_no_time, begin, end),
        cmocka_unit_test_setup_teardown(a_connection_that_breaks_is_an_error_wherever, begin, end),
        cmocka_unit_test_setup_teardown(a_key_of_another_type_is_an_error, begin, end),
    };
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
