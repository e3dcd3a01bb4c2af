/* declared.lua, the part of checkpoint.lua about declared counts, in a real Redis. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoints.h"

enum { LOCALE, MINUTE, REASON, TOTAL, HOURLY, HOURS, DAYS }; /* the table of aggregates here */

/* An empty Redis, small bounds, and a count of each form. */
static int begin(void **state) {
    (void)state;
    static char locale[] = "locale", none[] = "", names[][8] = {"total", "hourly", "hours", "days"};
    settings = (struct aggregate_settings){.dimensions = {{locale}, 1},
                                           .max_values = 3,
                                           .max_days = 2,
                                           .retention_days = 9,
                                           .threshold = 1000,
                                           .count_count = 4};
    static const enum declared_every everies[] = {DECLARED_TOTAL, DECLARED_HOUR, DECLARED_HOUR,
                                                  DECLARED_DAY};
    for (int i = 0; i < settings.count_count; i++) {
        settings.counts[i] = (struct declared_settings){.name = names[i],
                                                        .every = everies[i],
                                                        .retention_days = 1,
                                                        .max_values = 2,
                                                        .unique = none};
        if (i < 2) settings.counts[i].by = settings.dimensions;
    }
    aggregates_init(&aggregates, &settings);
    delta_release(&delta);
    offset = 0;
    run("FLUSHALL");
    return 0;
}

/* Events at a minute of one locale, as flow/batch counts them. */
static void add(int64_t minute, const char *locale, int64_t n) {
    const struct login login = {.minute = minute, .values = {{locale, strlen(locale)}}};
    for (unsigned field = aggregates.first_declared; field < aggregates.count; field++) {
        char key[DECLARED_KEY_BYTES];
        const size_t length = declared_key(&aggregates.items[field].declared, &login, key);
        delta_add(&delta, delta_value_key(SEED, field, (struct slice){key, length}), n);
    }
}

/* --- tests ------------------------------------------------------------------------------------ */

static void each_form_has_its_keys(void **state) {
    (void)state;
    add(AT_1436, "PA", 2);
    add(AT_1436 + 60, "PA", 3);
    add(AT_1436 + 60, "NY", 1);
    stored();
    add(AT_1436 + 24 * 60, "NY", 4);
    stored();
    assert_redis("NY 5 PA 5", "ZRANGE {p}:count:total 0 -1 WITHSCORES");
    assert_redis("PA 2", "ZRANGE {p}:count:hourly:2024-07-10T14 0 -1 WITHSCORES");
    assert_redis("NY 1 PA 3", "ZRANGE {p}:count:hourly:2024-07-10T15 0 -1 WITHSCORES");
    assert_redis("NY 4", "ZRANGE {p}:count:hourly:2024-07-11T14 0 -1 WITHSCORES");
    assert_redis("2 4", "HMGET {p}:count:hours:2024-07-10 14 15");
    assert_redis("14 4", "HGETALL {p}:count:hours:2024-07-11");
    assert_redis("6 4", "HMGET {p}:count:days 2024-07-10 2024-07-11");
    assert_redis("2024-07-10T14 2024-07-10T15 2024-07-11T14",
                 "ZRANGE {p}:count_buckets:hourly 0 -1");
    assert_redis("2024-07-10 2024-07-11", "ZRANGE {p}:count_buckets:hours 0 -1");
    assert_redis("2024-07-10 2024-07-11", "ZRANGE {p}:count_days:days 0 -1");
    assert_redis("0", "EXISTS {p}:count_buckets:total");
    static const char *const expire[] = {"total", "hourly:2024-07-10T14", "hours:2024-07-10",
                                         "days"};
    for (size_t i = 0; i < sizeof expire / sizeof *expire; i++) {
        const int left_s = atoi(run("TTL {p}:count:%s", expire[i]));
        assert_in_range(left_s, DAY_S - 60, DAY_S);
    }
}

static void values_past_the_bound_are_one_sum_in_each_bucket(void **state) {
    (void)state;
    add(AT_1436, "a", 1);
    add(AT_1436, "b", 2);
    stored();
    add(AT_1436, "a", 1);
    add(AT_1436, "c", 4);
    add(AT_1436 + 60, "c", 8);
    stored();
    assert_redis("a 2 b 2 __other__ 12", "ZRANGE {p}:count:total 0 -1 WITHSCORES");
    assert_redis("a 2 b 2 __other__ 4", "ZRANGE {p}:count:hourly:2024-07-10T14 0 -1 WITHSCORES");
    assert_redis("c 8", "ZRANGE {p}:count:hourly:2024-07-10T15 0 -1 WITHSCORES");
}

/* Two days have room: 48 hours. */
static void buckets_past_the_bound_are_one(void **state) {
    (void)state;
    for (int hour = 0; hour < 48; hour++)
        add(AT_1436 + hour * 60, "a", 1);
    stored();
    assert_redis("48", "ZCARD {p}:count_buckets:hourly");
    add(AT_1436 + 100 * 24 * 60, "a", 5);
    add(AT_1436 + 200 * 24 * 60, "b", 7);
    add(AT_1436 + 300 * 24 * 60, "c", 9);
    add(AT_1436 + 300 * 24 * 60, "a", 2);
    add(AT_1436, "a", 1);
    stored();
    assert_redis("48", "ZCARD {p}:count_buckets:hourly");
    assert_redis("__other__ 9 b 7 a 7", "ZREVRANGE {p}:count:hourly:__other__ 0 -1 WITHSCORES");
    assert_redis("a 2", "ZRANGE {p}:count:hourly:2024-07-10T14 0 -1 WITHSCORES");
    assert_redis("2", "ZCARD {p}:count_buckets:hours");
    assert_redis("0", "EXISTS {p}:count:hours:2025-05-06");
    const int other = atoi(run("HGET {p}:count:hours:__other__ __other__"));
    const int other_day = atoi(run("HGET {p}:count:days __other__"));
    const int days = atoi(run("HGET {p}:count:days 2024-07-10"));
    const int more_days = atoi(run("HGET {p}:count:days 2024-07-11"));
    assert_int_equal(other_day, other);
    assert_int_equal(other_day + days + more_days, 48 + 5 + 7 + 9 + 2 + 1);
    assert_redis("3", "HLEN {p}:count:days");
}

static void what_expired_makes_room(void **state) {
    (void)state;
    add(AT_1436, "a", 1);
    add(AT_1436 + 24 * 60, "a", 2);
    stored();
    run("ZADD {p}:count_days:days 1 2024-07-10");
    run("ZADD {p}:count_buckets:hourly 1 2024-07-10T14");
    run("DEL {p}:count:hourly:2024-07-10T14");
    add(AT_1436 + 24 * 60, "a", 3);
    stored();
    assert_redis("2024-07-11 5", "HGETALL {p}:count:days");
    assert_redis("2024-07-11", "ZRANGE {p}:count_days:days 0 -1");
    assert_redis("2024-07-11T14", "ZRANGE {p}:count_buckets:hourly 0 -1");
}

static void a_call_without_counts_changes_nothing(void **state) {
    (void)state;
    add(AT_1436, "a", 1);
    stored();
    run("ZADD {p}:count_days:days 1 2024-07-10");
    stored();
    assert_redis("2024-07-10 1", "HGETALL {p}:count:days");
    assert_redis("a 1", "ZRANGE {p}:count:total 0 -1 WITHSCORES");
}

/* Runs a command of up to four words. */
static void run_words(const char *command) {
    char words[4][64] = {"", "", "", ""};
    const int count =
        sscanf(command, "%63s %63s %63s %63s", words[0], words[1], words[2], words[3]);
    if (count == 3)
        run("%s %s %s", words[0], words[1], words[2]);
    else
        run("%s %s %s %s", words[0], words[1], words[2], words[3]);
}

/* Each is refused before the first write: the built-in counts have not moved either. */
static void what_is_odd_is_refused_before_the_first_write(void **state) {
    (void)state;
    static const struct {
        const char *command, *key;
    } cases[] = {
        {"SET {p}:count:total x", "{p}:count:total"},
        {"SET {p}:count_buckets:hourly x", "{p}:count_buckets:hourly"},
        {"RPUSH {p}:count:hourly:2024-07-10T14 x", "{p}:count:hourly:2024-07-10T14"},
        {"SET {p}:count:hourly:__other__ x", "{p}:count:hourly:__other__"},
        {"ZADD {p}:count:hours:2024-07-10 1 x", "{p}:count:hours:2024-07-10"},
        {"SADD {p}:count:days x", "{p}:count:days"},
        {"ZADD {p}:count:total 0.5 a", "{p}:count:total"},
        {"ZADD {p}:count:total 4503599627370496 a", "{p}:count:total"},
        {"ZADD {p}:count:hourly:2024-07-10T14 +inf a", "{p}:count:hourly:2024-07-10T14"},
        {"HSET {p}:count:hours:2024-07-10 14 x", "{p}:count:hours:2024-07-10"},
        {"HSET {p}:count:days 2024-07-10 4503599627370496", "{p}:count:days"},
        {"HSET {p}:count:hours:2024-07-10 14 0x1", "{p}:count:hours:2024-07-10"},
        {"HSET {p}:count:days 2024-07-10 1e3", "{p}:count:days"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {""};
        begin(NULL);
        run_words(cases[i].command);
        add(AT_1436, "a", 1);
        const struct store_call call = store(&error);
        if (call.verdict != STORE_REFUSED || strstr(error.text, cases[i].key) == NULL)
            fail_msg("%s: %d, %s", cases[i].command, (int)call.verdict, error.text);
        assert_redis("1", "DBSIZE");
    }
}

static void a_full_bucket_of_others_is_refused_before_the_first_write(void **state) {
    (void)state;
    struct error error = {""};
    for (int hour = 0; hour < 48; hour++)
        add(AT_1436 + hour * 60, "a", 1);
    stored();
    run("ZADD {p}:count:hourly:__other__ 4503599627370495 a");
    add(AT_1436 + 100 * 24 * 60, "a", 1);
    add(AT_1436 + 101 * 24 * 60, "a", 1);
    assert_int_equal(store(&error).verdict, STORE_REFUSED);
    assert_redis("a 48", "ZRANGE {p}:count:total 0 -1 WITHSCORES");
    run("DEL {p}:count:hourly:__other__");
    run("HSET {p}:count:hours:__other__ __other__ 4503599627370495");
    add(AT_1436 + 100 * 24 * 60, "a", 1);
    add(AT_1436 + 101 * 24 * 60, "a", 1);
    assert_int_equal(store(&error).verdict, STORE_REFUSED);
    assert_redis("a 48", "ZRANGE {p}:count:total 0 -1 WITHSCORES");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_form_has_its_keys, begin),
        cmocka_unit_test_setup(values_past_the_bound_are_one_sum_in_each_bucket, begin),
        cmocka_unit_test_setup(buckets_past_the_bound_are_one, begin),
        cmocka_unit_test_setup(what_expired_makes_room, begin),
        cmocka_unit_test_setup(a_call_without_counts_changes_nothing, begin),
        cmocka_unit_test_setup(what_is_odd_is_refused_before_the_first_write, begin),
        cmocka_unit_test_setup(a_full_bucket_of_others_is_refused_before_the_first_write, begin),
    };
    redis_server_need();
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
