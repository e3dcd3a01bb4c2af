/* checkpoint.lua and snapshot.lua in a real Redis: what they write, and above all what they do
 * not. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "admin.h"
#include "base/clock.h"
#include "edge/redis_fault.h"
#include "core/tree.h"
#include "edge/redis_snapshot.h"
#include "edge/redis_store.h"

enum { SEED = 42, THRESHOLD = 10 };
enum { DEVICE_TYPE, LOCALE, MINUTE, REASON }; /* the table of aggregates here */

/* 2024-07-10 00:00 in minutes since 1970. */
#define DAY INT64_C(28676160)

static char prefix[] = "{p}";
static const char *instance = "instance";
static char *const url = server.url;
static struct aggregates aggregates;
static struct aggregate_settings settings;

/* All keys with all they hold, as one text; times of expiry are left out. */
static void dump(char *out, size_t bytes) {
    static const char script[] =
        "local all = redis.call('KEYS', '*') table.sort(all) local out = {} "
        "for _, key in ipairs(all) do out[#out + 1] = key .. '=' .. redis.call('DUMP', key) end "
        "return redis.sha1hex(table.concat(out, ';'))";
    snprintf(out, bytes, "%s", run("EVAL %s 0", script));
}

/* --- calls ------------------------------------------------------------------------------------ */

static const char *store_rules;   /* of the stores that are opened; NULL: not compared */
static const char *store_rebuild; /* the same; NULL: the keys are the live ones */

/* An empty Redis, small bounds, and no counts yet. */
static int begin(void **state) {
    (void)state;
    static char device_type[] = "device_type", locale[] = "locale";
    settings = (struct aggregate_settings){.dimensions = {{device_type, locale}, 2},
                                           .max_values = 3,
                                           .max_days = 2,
                                           .retention_days = 1,
                                           .threshold = THRESHOLD};
    aggregates_init(&aggregates, &settings);
    store_rules = store_rebuild = NULL;
    run("FLUSHALL");
    return 0;
}

static struct redis_store *open_store(const char *store_url) {
    static struct redis_settings redis_settings;
    static char text[128];
    struct error error = {""};
    snprintf(text, sizeof text, "%s", store_url);
    redis_settings =
        (struct redis_settings){.url = text, .prefix = prefix, .timeout_ms = TIMEOUT_MS};
    const struct redis_store_options options = {.redis = &redis_settings,
                                                .aggregates = &aggregates,
                                                .group = "group",
                                                .topic = "topic",
                                                .topic_id = "id",
                                                .instance = instance,
                                                .rebuild = store_rebuild,
                                                .rules = store_rules};
    struct redis_store *store = redis_store_create(&options, &error);
    if (store == NULL) fail_msg("%s", error.text);
    return store;
}

static void add_value(struct delta *delta, unsigned field, const char *value, int64_t n) {
    delta_add(delta, delta_value_key(SEED, field, (struct slice){value, strlen(value)}), n);
}

static void add_number(struct delta *delta, unsigned field, int64_t number, int64_t n) {
    delta_add(delta, delta_number_key(SEED, field, &number), n);
}

/* Applies one call of partition 0. */
static struct store_call apply_as(const char *store_url, int64_t base, int64_t end,
                                  const struct delta *delta, struct error *error) {
    const struct delta *const deltas[] = {delta};
    struct store_call call = {.base = base, .end = end, .deltas = deltas, .delta_count = 1};
    struct redis_store *store = open_store(store_url);
    redis_store_apply(store, &call, 1, error);
    redis_store_destroy(&store);
    return call;
}

static struct store_call apply_kept(int64_t base, int64_t end, const struct delta *delta) {
    struct error error = {""};
    const struct store_call call = apply_as(url, base, end, delta, &error);
    if (call.verdict != STORE_OK) fail_msg("%s", error.text);
    return call;
}

/* The same, and empties the delta. */
static struct store_call apply(int64_t base, int64_t end, struct delta *delta) {
    const struct store_call call = apply_kept(base, end, delta);
    delta_release(delta);
    return call;
}

/* One of each kind. */
static struct delta some(int64_t day, int64_t logins) {
    struct delta delta;
    delta_init(&delta);
    add_value(&delta, DEVICE_TYPE, "android", logins);
    add_value(&delta, LOCALE, "PA", logins);
    add_number(&delta, MINUTE, DAY + day * AGGREGATE_MINUTES_A_DAY + 14 * 60 + 36, logins);
    add_number(&delta, REASON, LOGIN_BAD_VALUE, 2);
    return delta;
}

/* Three days are counted, of which the oldest has gone, and an anomaly. */
static void count_some(void) {
    struct delta delta = some(0, 3);
    apply(CURSOR_ABSENT, 10, &delta);
    delta = some(1, 11);
    apply(10, 20, &delta);
    delta = some(2, 4);
    apply(20, 30, &delta);
}

/* --- tests ------------------------------------------------------------------------------------ */

static bool is_stored(struct store_call call) {
    return store_call_is_stored(&call);
}

/* A rebuild whose keys another one has, or --forget is deleting, must add nothing to them. */
static void a_rebuild_stores_only_under_its_own_name(void **state) {
    (void)state;
    static const char *const taken[] = {"redis.call('HSET', '{p}:meta', 'rebuild', 'other')",
                                        "redis.call('HDEL', '{p}:meta', 'rebuild')",
                                        "redis.call('DEL', '{p}:meta')",
                                        "redis.call('DEL', '{p}:meta', '{p}:offsets')"};
    char before[64], after[64];
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        begin(NULL);
        store_rebuild = "mine";
        run("HSET {p}:meta rebuild mine");
        struct delta delta = some(0, 3);
        assert_true(is_stored(apply(CURSOR_ABSENT, 10, &delta)));
        delta = some(0, 3);
        assert_true(is_stored(apply(10, 20, &delta)));
        assert_true(is_stored(apply(10, 20, &delta))); /* the same again */
        run("EVAL %s 0", taken[i]);
        dump(before, sizeof before);
        delta = some(0, 3);
        assert_false(is_stored(apply_kept(CURSOR_ABSENT, 30, &delta)));
        assert_false(is_stored(apply_kept(20, 30, &delta)));
        assert_false(is_stored(apply_kept(10, 20, &delta)));
        delta_release(&delta);
        dump(after, sizeof after);
        assert_string_equal(after, before);
    }
    begin(NULL);
    run("HSET {p}:meta rebuild other"); /* a rebuild made the live counts */
    struct delta delta = some(0, 3);
    assert_true(is_stored(apply(CURSOR_ABSENT, 10, &delta)));
}

static void a_call_counts_all_kinds_and_moves_the_offset(void **state) {
    (void)state;
    struct delta delta = some(0, 11);
    const struct store_call call = apply(CURSOR_ABSENT, 10, &delta);
    assert_int_equal(call.stored, 10);
    assert_int_equal(call.anomaly_count, 1);
    assert_string_equal(call.anomalies[0].minute, "2024-07-10 14:36");
    assert_int_equal(call.anomalies[0].count, 11);
    assert_redis("10", "HGET {p}:offsets 0");
    assert_redis("1 group topic id 1 1",
                 "HMGET {p}:meta schema group topic topic_id checkpoints seal");
    assert_redis("android 11", "ZRANGE {p}:device_type_counts 0 -1 WITHSCORES");
    assert_redis("PA 11", "ZRANGE {p}:locale_counts 0 -1 WITHSCORES");
    assert_redis("14:36 11", "HGETALL {p}:login_counts:2024-07-10");
    assert_redis("bad_value 2", "HGETALL {p}:rejected_counts");
    assert_redis("2024-07-10", "ZRANGE {p}:login_days 0 -1");
    assert_int_equal(atoi(run("XLEN {p}:anomalies")), 1);
    const int ttl_s = atoi(run("TTL {p}:login_counts:2024-07-10"));
    assert_in_range(ttl_s, 24 * 3600 - 60, 24 * 3600);
}

static void a_repeated_call_changes_nothing(void **state) {
    (void)state;
    char before[64], after[64];
    count_some();
    dump(before, sizeof before);
    struct delta delta = some(2, 4);
    const struct store_call call = apply(20, 31, &delta);
    assert_int_equal(call.stored, 30);
    dump(after, sizeof after);
    assert_string_equal(before, after);
}

static void a_call_that_is_repeated_is_told_what_it_found(void **state) {
    (void)state;
    struct delta delta = some(0, THRESHOLD + 3);
    for (int i = 1; i < 100; i++)
        add_number(&delta, MINUTE, DAY + i, THRESHOLD + 4);
    const struct store_call first = apply_kept(CURSOR_ABSENT, 7, &delta);
    assert_int_equal(first.anomaly_count, 100);
    for (int i = 0; i < 2; i++) {
        const struct store_call again = apply_kept(CURSOR_ABSENT, 7, &delta);
        assert_int_equal(again.verdict, STORE_OK);
        assert_int_equal(again.stored, 7);
        assert_int_equal(again.anomaly_count, 100);
        assert_memory_equal(again.anomalies, first.anomalies, sizeof first.anomalies);
    }
    assert_redis("100", "XLEN {p}:anomalies");
    assert_redis("1", "HGET {p}:meta checkpoints");

    /* Others are not told, nor is it once the offset has moved on. */
    instance = "another";
    assert_int_equal(apply_kept(CURSOR_ABSENT, 7, &delta).anomaly_count, 0);
    instance = "instance";
    assert_int_equal(apply_kept(3, 7, &delta).anomaly_count, 0);
    delta_clear(&delta);
    assert_int_equal(apply_kept(7, 8, &delta).anomaly_count, 0);
    assert_int_equal(apply_kept(7, 8, &delta).anomaly_count, 0);
    assert_int_equal(apply_kept(CURSOR_ABSENT, 7, &delta).stored, 8);
    delta_release(&delta);
}

static void what_a_call_found_is_not_read_from_what_others_wrote(void **state) {
    (void)state;
    static const char *const odd[] = {"x", ",", "1,2,3", "{}"};
    struct delta delta = some(0, THRESHOLD + 1);
    assert_int_equal(apply_kept(CURSOR_ABSENT, 7, &delta).anomaly_count, 1);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        run("HSET {p}:meta anomalies:0 %s", odd[i]);
        const struct store_call again = apply_kept(CURSOR_ABSENT, 7, &delta);
        assert_int_equal(again.verdict, STORE_OK);
        assert_int_equal(again.anomaly_count, 0);
    }
    delta_release(&delta);
}

static void an_anomaly_is_the_call_that_lifts_a_minute_over_the_threshold(void **state) {
    (void)state;
    static const struct {
        int64_t logins;
        size_t anomalies;
    } steps[] = {{THRESHOLD, 0}, {1, 1}, {1, 0}, {THRESHOLD, 0}};
    for (int64_t i = 0; i < 4; i++) {
        struct delta delta = some(0, steps[i].logins);
        const struct store_call call = apply(i == 0 ? CURSOR_ABSENT : i, i + 1, &delta);
        assert_int_equal(call.anomaly_count, steps[i].anomalies);
    }
    assert_redis("1", "XLEN {p}:anomalies");
}

static void values_past_the_bound_are_one_sum(void **state) {
    (void)state;
    struct delta delta;
    delta_init(&delta);
    for (int i = 0; i < 6; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        add_value(&delta, LOCALE, name, i + 1);
    }
    add_value(&delta, LOCALE, AGGREGATE_OTHER, 100); /* a user may send it, too */
    apply(CURSOR_ABSENT, 1, &delta);
    assert_redis("a 1 b 2 c 3 __other__ 115", "ZRANGE {p}:locale_counts 0 -1 WITHSCORES");
    delta_init(&delta);
    add_value(&delta, LOCALE, "a", 10);
    add_value(&delta, LOCALE, "f", 1);
    apply(1, 2, &delta);
    assert_redis("b 2 c 3 a 11 __other__ 116", "ZRANGE {p}:locale_counts 0 -1 WITHSCORES");
}

/* The sum takes the place of no value. */
static void the_sum_of_others_is_one_more(void **state) {
    (void)state;
    struct delta delta;
    delta_init(&delta);
    add_value(&delta, LOCALE, "a", 1);
    add_value(&delta, LOCALE, AGGREGATE_OTHER, 9);
    apply(CURSOR_ABSENT, 1, &delta);
    delta_init(&delta);
    add_value(&delta, LOCALE, "b", 2);
    add_value(&delta, LOCALE, "c", 3);
    add_value(&delta, LOCALE, "d", 4);
    apply(1, 2, &delta);
    assert_redis("a 1 b 2 c 3 __other__ 13", "ZRANGE {p}:locale_counts 0 -1 WITHSCORES");
}

/* The script is called again with the keys of the days that go. */
static void days_past_the_bound_are_one_sum(void **state) {
    (void)state;
    count_some();
    assert_redis("2024-07-11 2024-07-12", "ZRANGE {p}:login_days 0 -1");
    assert_redis("0", "EXISTS {p}:login_counts:2024-07-10");
    assert_redis("__other__ 3", "HGETALL {p}:login_counts:__other__");
    assert_redis("2024-07-11", "HGET {p}:meta horizon");
    struct delta delta = some(0, 5); /* it does not come back */
    add_number(&delta, MINUTE, DAY + 30 * AGGREGATE_MINUTES_A_DAY, 1);
    add_number(&delta, MINUTE, DAY + 31 * AGGREGATE_MINUTES_A_DAY, 1);
    apply(30, 40, &delta);
    assert_redis("2024-08-09 2024-08-10", "ZRANGE {p}:login_days 0 -1");
    assert_redis("__other__ 23", "HGETALL {p}:login_counts:__other__"); /* 3 + 5 + 11 + 4 */
}

static void a_day_that_expired_leaves_the_list(void **state) {
    (void)state;
    run("ZADD {p}:login_days 1 1999-12-31");
    struct delta delta = some(0, 1);
    apply(CURSOR_ABSENT, 1, &delta);
    assert_redis("2024-07-10", "ZRANGE {p}:login_days 0 -1");
}

/* More than Lua's stack has room for at once, in one round trip with a script that is not known. */
static void a_large_call_is_counted_whole(void **state) {
    (void)state;
    enum { VALUES = 10000 };
    struct delta delta;
    settings.max_values = VALUES;
    settings.threshold = 1;
    delta_init(&delta);
    for (int i = 0; i < VALUES; i++) {
        char name[24];
        snprintf(name, sizeof name, "value-%d", i);
        add_value(&delta, LOCALE, name, i + 1);
    }
    for (int i = 0; i < 2 * AGGREGATE_MINUTES_A_DAY; i++)
        add_number(&delta, MINUTE, DAY + i, 2);
    run("SCRIPT FLUSH");
    const struct store_call call = apply(CURSOR_ABSENT, 1, &delta);
    assert_int_equal(call.anomaly_count, 2 * AGGREGATE_MINUTES_A_DAY);
    assert_int_equal(call.anomalies[REDIS_STORE_ANOMALIES_MAX - 1].count, 2);
    assert_redis("10000", "ZCARD {p}:locale_counts");
    assert_redis("10000", "ZSCORE {p}:locale_counts value-9999");
    assert_redis("1440", "HLEN {p}:login_counts:2024-07-11");
    assert_redis("2", "HGET {p}:login_counts:2024-07-11 23:59");
    assert_redis("2880", "XLEN {p}:anomalies");
}

/* All calls of a round trip, when none of them finds the script. */
static void redis_that_forgot_the_script_gets_it_again(void **state) {
    (void)state;
    enum { CALLS = 3 };
    struct error error = {""};
    struct store_call calls[CALLS];
    struct redis_store *store = open_store(url);
    struct delta delta = some(0, 1);
    const struct delta *const deltas[] = {&delta};
    for (int i = 0; i < CALLS; i++) {
        calls[i] = (struct store_call){
            .partition = i, .base = CURSOR_ABSENT, .end = 5, .deltas = deltas, .delta_count = 1};
    }
    run("SCRIPT FLUSH");
    redis_store_apply(store, calls, CALLS, &error);
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(calls[i].verdict, STORE_OK);
    assert_redis("3", "ZSCORE {p}:locale_counts PA");
    assert_redis("5 5 5", "HMGET {p}:offsets 0 1 2");
    for (int i = 0; i < CALLS; i++) { /* no answer of that round was left for this one */
        calls[i].base = 5;
        calls[i].end = 6 + i;
    }
    redis_store_apply(store, calls, CALLS, &error);
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(calls[i].verdict, STORE_OK);
        assert_int_equal(calls[i].stored, 6 + i);
    }
    assert_redis("6 7 8", "HMGET {p}:offsets 0 1 2");
    delta_release(&delta);
    redis_store_destroy(&store);
}

/* --- what is stored is not what rollcall writes ----------------------------------------------- */

#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* cases are commands */
#pragma GCC diagnostic ignored "-Wformat-security"   /* and have no arguments */

static void what_is_odd_is_refused_before_the_first_write(void **state) {
    (void)state;
    static const struct {
        const char *damage[2];
        const char *named; /* in the error */
    } cases[] = {
        {{"HSET {p}:offsets 0 soon"}, "{p}:offsets"},
        {{"HSET {p}:offsets 0 -1"}, "{p}:offsets"},
        {{"HSET {p}:offsets 0 030"}, "holds \"030\" for 0"},
        {{"HSET {p}:lineages 0 %s"}, "holds \"30 00:\" for 0"},
        {{"HSET {p}:meta origin:0 x"}, "holds \"x\" for origin:0"},
        {{"HSET {p}:meta origin:0 07"}, "holds \"07\" for origin:0"},
        {{"HSET {p}:meta origin:0 1234567890123456789"}, "for origin:0"},
        {{"HSET {p}:meta horizon 0"}, "holds \"0\" for horizon"},
        {{"HSET {p}:meta horizon zzz"}, "holds \"zzz\" for horizon"},
        {{"HSET {p}:meta horizon 2024-7-1"}, "holds \"2024-7-1\" for horizon"},
        {{"HSET {p}:meta horizon 9999-12-31"}, "{p}:meta in"}, /* all days would be folded */
        {{"HSET {p}:meta horizon 2024-07-13"}, "holds \"2024-07-13\" for horizon"},
        {{"HSET {p}:meta checkpoints x seal x"}, "holds \"x\" for checkpoints"},
        {{"HSET {p}:meta checkpoints 3.0 seal 3.0"}, "holds \"3.0\" for checkpoints"},
        {{"HSET {p}:meta checkpoints 0x10 seal 0x10"}, "holds \"0x10\" for checkpoints"},
        {{"HSET {p}:meta checkpoints 1e3 seal 1e3"}, "holds \"1e3\" for checkpoints"},
        {{"HSET {p}:meta checkpoints 007 seal 007"}, "holds \"007\" for checkpoints"},
        {{"HSET {p}:meta checkpoints \t3 seal \t3"}, "holds \"\t3\" for checkpoints"},
        {{"HSET {p}:meta checkpoints 9007199254740993 seal 9007199254740993"}, "checkpoints"},
        {{"HINCRBY {p}:meta checkpoints 1"}, "half of a checkpoint"},
        {{"HSET {p}:meta seal 7"}, "half of a checkpoint"},
        {{"HDEL {p}:meta seal"}, "half of a checkpoint"},
        {{"DEL {p}:offsets"}, "lost the key {p}:offsets"},
        {{"DEL {p}:meta"}, "lost the key {p}:meta"},
        {{"HSET {p}:meta schema 2"}, "belongs to schema \"2\", and this is schema \"1\""},
        {{"HSET {p}:meta group other"}, "group \"other\", and this is group \"group\""},
        {{"HSET {p}:meta topic other"}, "topic \"other\", and this is topic \"topic\""},
        {{"HSET {p}:meta topic_id other"}, "and this is topic_id \"id\""},
        {{"HSET {p}:rejected_counts bad_value many"}, "holds \"many\" for bad_value"},
        {{"HSET {p}:rejected_counts bad_value 1.5"}, "holds \"1.5\" for bad_value"},
        {{"HSET {p}:rejected_counts bad_value inf"}, "holds \"inf\" for bad_value"},
        {{"HSET {p}:rejected_counts bad_value 1e3"}, "holds \"1e3\" for bad_value"},
        {{"HSET {p}:rejected_counts bad_value +2"}, "holds \"+2\" for bad_value"},
        {{"HSET {p}:rejected_counts bad_value -0"}, "holds \"-0\" for bad_value"},
        {{"HSET {p}:rejected_counts bad_value 9223372036854775807"}, "for bad_value"},
        {{"HSET {p}:rejected_counts bad_value -9223372036854775808"}, "for bad_value"},
        {{"HSET {p}:login_counts:2024-07-12 14:36 noon"}, "holds \"noon\" for 14:36"},
        {{"HSET {p}:login_counts:2024-07-12 14:36 9223372036854775806"}, "for 14:36"},
        {{"HSET {p}:login_counts:2024-07-12 14:36 0x10"}, "holds \"0x10\" for 14:36"},
        {{"HSET {p}:login_counts:2024-07-12 14:36 1e3"}, "holds \"1e3\" for 14:36"},
        {{"HSET {p}:login_counts:2024-07-12 14:36 \t5\t"}, "holds \"\t5\t\" for 14:36"},
        {{"HSET {p}:login_counts:2024-07-12 14:36 04"}, "holds \"04\" for 14:36"},
        {{"HSET {p}:login_counts:2024-07-11 00:07 1e1"}, "holds \"1e1\" for 00:07"},   /* it goes */
        {{"HSET {p}:login_counts:2024-07-11 00:07 x"}, "{p}:login_counts:2024-07-11"}, /* it goes */
        {{"HSET {p}:login_counts:__other__ __other__ x"}, "for __other__"},
        {{"HSET {p}:login_counts:__other__ __other__ 0x3"}, "holds \"0x3\" for __other__"},
        {{"ZADD {p}:login_days 1e20 noday"}, "for noday"},
        {{"ZADD {p}:locale_counts inf XX"}, "holds \"inf\" for XX"},
        {{"ZADD {p}:locale_counts -inf XX"}, "holds \"-inf\" for XX"},
        {{"ZADD {p}:locale_counts 9007199254740992 PA"}, "for PA"},
        {{"ZADD {p}:device_type_counts 1e300 android"}, "for android"},
        {{"XADD {p}:anomalies 18446744073709551615-18446744073709551615 a b"}, "{p}:anomalies"},
        {{"XADD {p}:anomalies 18446744073709551615-1 a b",
          "XDEL {p}:anomalies 18446744073709551615-1"},
         "last-generated-id"},
        {{"DEL {p}:meta", "SET {p}:meta x"}, "{p}:meta in"},
        {{"DEL {p}:offsets", "SET {p}:offsets x"}, "{p}:offsets in"},
        {{"DEL {p}:lineages", "SET {p}:lineages x"}, "{p}:lineages in"},
        {{"HSET {p}:lineages 0 x"}, "holds \"x\" for 0"},
        {{"DEL {p}:device_type_counts", "SET {p}:device_type_counts x"}, "is a string"},
        {{"DEL {p}:locale_counts", "HSET {p}:locale_counts x 1"}, "is a hash"},
        {{"DEL {p}:rejected_counts", "ZADD {p}:rejected_counts 1 x"}, "is a zset"},
        {{"DEL {p}:login_days", "HSET {p}:login_days x 1"}, "{p}:login_days in"},
        {{"DEL {p}:anomalies", "HSET {p}:anomalies x 1"}, "{p}:anomalies in"},
        {{"DEL {p}:login_counts:__other__", "SET {p}:login_counts:__other__ 1"}, "__other__ in"},
        {{"DEL {p}:login_counts:2024-07-12", "SET {p}:login_counts:2024-07-12 1"}, "07-12 in"},
        {{"DEL {p}:login_counts:2024-07-11", "SET {p}:login_counts:2024-07-11 1"}, "07-11 in"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char before[64], after[64];
        struct error error = {""};
        begin(NULL);
        count_some();
        for (int d = 0; d < 2 && cases[i].damage[d] != NULL; d++)
            run(cases[i].damage[d], "30 00:"); /* words with a blank */
        dump(before, sizeof before);
        struct delta delta = some(2, 20); /* an anomaly; and a new day, which pushes one out */
        add_number(&delta, MINUTE, DAY + 3 * AGGREGATE_MINUTES_A_DAY, 1);
        const struct store_call call = apply_as(url, 30, 40, &delta, &error);
        delta_release(&delta);
        if (call.verdict != STORE_REFUSED || strstr(error.text, cases[i].named) == NULL) {
            fail_msg("%s: %d, %s", cases[i].damage[0], (int)call.verdict, error.text);
        }
        dump(after, sizeof after);
        if (strcmp(before, after) != 0) fail_msg("%s: something was written", cases[i].damage[0]);
    }
}

/* One call that adds logins; lineages as the cursor would have them. */
static struct store_call apply_logins(int64_t base, const char *base_lineage, int64_t end,
                                      const char *lineage, int64_t logins) {
    struct error error = {""};
    struct delta delta = some(0, logins);
    const struct delta *const deltas[] = {&delta};
    struct store_call call = {.base = base, .end = end, .deltas = deltas, .delta_count = 1};
    struct lineage of_base;
    struct redis_store *store = open_store(url);
    assert_true(lineage_parse(base_lineage, &of_base));
    call.base_tip = lineage_tip(&of_base);
    assert_true(lineage_parse(lineage, &call.lineage));
    redis_store_apply(store, &call, 1, &error);
    redis_store_destroy(&store);
    delta_release(&delta);
    if (call.verdict != STORE_OK) fail_msg("%s", error.text);
    return call;
}

static struct store_call apply_lineage(int64_t base, const char *base_lineage, int64_t end,
                                       const char *lineage) {
    return apply_logins(base, base_lineage, end, lineage, 1);
}

static void the_lineage_moves_with_the_offset(void **state) {
    (void)state;
    apply_lineage(CURSOR_ABSENT, "0:", 10, "0:9:3@0,7@8");
    assert_redis("10 0:9:3@0,7@8", "HGET {p}:lineages 0");
    const struct store_call call = apply_lineage(9, "0:8:3@0", 20, "0:19:9@9");
    assert_int_equal(call.stored, 10);
    assert_int_equal(call.stored_lineage.count, 2);
    assert_int_equal(lineage_epoch(&call.stored_lineage), 7);
    assert_redis("10 0:9:3@0,7@8", "HGET {p}:lineages 0");
    assert_redis("14:36 1", "HGETALL {p}:login_counts:2024-07-10");
}

/* Else a call of somebody who slept meanwhile would be applied once more, when the watermark has
 * gone back to where it began. */
static void an_offset_of_another_branch_is_another_one(void **state) {
    (void)state;
    apply_lineage(CURSOR_ABSENT, "0:", 20, "0:19:3@0");
    apply_lineage(20, "0:19:3@0", 10, "1:9:3@0"); /* the log was cut off there */
    assert_redis("10", "HGET {p}:offsets 0");
    const struct store_call late = apply_lineage(10, "0:9:3@0", 20, "0:19:3@0");
    assert_int_equal(late.stored, 10);
    assert_int_equal(late.stored_lineage.branch, 1);
    assert_redis("14:36 2", "HGETALL {p}:login_counts:2024-07-10");
    assert_int_equal(apply_lineage(10, "1:9:3@0", 20, "1:19:3@0,4@10").stored, 20);
    assert_redis("14:36 3", "HGETALL {p}:login_counts:2024-07-10");
}

/* Two began at the same watermark: one read before the log was cut off, and one afterwards. */
static void an_offset_of_another_log_is_another_one(void **state) {
    (void)state;
    apply_lineage(CURSOR_ABSENT, "0:", 10, "0:9:3@0");
    apply_lineage(10, "0:9:3@0", 20, "0:19:3@0,5@15");
    struct store_call late = apply_lineage(10, "0:9:3@0", 20, "0:19:3@0");
    assert_int_equal(late.stored, 20);
    assert_false(store_call_is_stored(&late));
    assert_int_equal(lineage_epoch(&late.stored_lineage), 5);
    late = apply_lineage(20, "0:19:3@0", 20, "1:19:3@0,5@15");
    assert_false(store_call_is_stored(&late));
    assert_redis("14:36 2", "HGETALL {p}:login_counts:2024-07-10");
    /* From where the epochs were read is all the same. */
    late = apply_lineage(20, "0:19:5@17", 30, "0:29:5@17");
    assert_true(store_call_is_stored(&late));
}

/* What was cut off may have been replaced by as many records. */
static void a_call_may_end_where_it_began_on_another_branch(void **state) {
    (void)state;
    apply_lineage(CURSOR_ABSENT, "0:", 20, "0:19:3@0");
    assert_int_equal(apply_lineage(20, "0:19:3@0", 20, "1:19:3@0,4@15").stored, 20);
    assert_redis("14:36 2", "HGETALL {p}:login_counts:2024-07-10");
    assert_redis("20 1:19:3@0,4@15", "HGET {p}:lineages 0");
}

static struct store_call apply_origin(int64_t base, int64_t end, int64_t origin) {
    struct error error = {""};
    struct delta delta = some(0, 1);
    const struct delta *const deltas[] = {&delta};
    struct store_call call = {
        .base = base, .end = end, .origin = origin, .deltas = deltas, .delta_count = 1};
    struct redis_store *store = open_store(url);
    redis_store_apply(store, &call, 1, &error);
    redis_store_destroy(&store);
    delta_release(&delta);
    if (call.verdict != STORE_OK) fail_msg("%s", error.text);
    return call;
}

/* Kept beside the counts, and told to whoever asks for the offset. One that is not known leaves it
 * as it is; one that has changed replaces it. */
static void where_the_group_began_is_kept(void **state) {
    (void)state;
    assert_int_equal(apply_origin(CURSOR_ABSENT, 10, CURSOR_ABSENT).stored_origin, CURSOR_ABSENT);
    assert_redis("0", "HEXISTS {p}:meta origin:0");
    assert_int_equal(apply_origin(CURSOR_UNKNOWN, 99, CURSOR_ABSENT).stored_origin, CURSOR_ABSENT);
    assert_int_equal(apply_origin(10, 20, 7).stored_origin, CURSOR_ABSENT); /* as was to be */
    assert_redis("7", "HGET {p}:meta origin:0");
    apply_origin(20, 30, CURSOR_ABSENT);
    const struct store_call kept = apply_origin(CURSOR_UNKNOWN, 99, 3);
    assert_int_equal(kept.stored, 30);
    assert_int_equal(kept.stored_origin, 7);
    apply_origin(30, 40, 5);
    assert_redis("5", "HGET {p}:meta origin:0");
    assert_int_equal(apply_origin(41, 50, 0).stored_origin, 5); /* another base */
}

/* How many scripts Redis has run. */
static long script_count(void) {
    static const char *const commands[] = {"cmdstat_eval:calls=", "cmdstat_evalsha:calls="};
    const char *text = run("INFO commandstats");
    long count = 0;
    for (int i = 0; i < 2; i++) {
        const char *calls = strstr(text, commands[i]);
        if (calls != NULL) count += strtol(calls + strlen(commands[i]), NULL, 10);
    }
    return count;
}

static struct store_call verification(int32_t partition, int64_t offset, const char *lineage) {
    struct store_call call = {.partition = partition, .base = offset, .end = offset};
    assert_true(lineage_parse(lineage, &call.lineage));
    call.base_tip = lineage_tip(&call.lineage);
    return call;
}

/* Partitions without anything to store are verified by one script, unless one of them differs. */
static void partitions_are_verified_together(void **state) {
    (void)state;
    enum { PARTITIONS = 3 };
    struct error error = {""};
    struct store_call calls[PARTITIONS];
    struct redis_store *store = open_store(url);
    apply_lineage(CURSOR_ABSENT, "0:", 20, "0:19:3@0"); /* partition 0 */
    run("HSET {p}:offsets 1 30 2 40");
    run("HSET {p}:lineages 1 %s", "30 2:29:5@7"); /* of 2 there is none */
    for (int broken = -1; broken < PARTITIONS; broken++) {
        calls[0] = verification(0, 20, "0:19:3@0");
        calls[1] = verification(1, 30, "2:29:5@7");
        calls[2] = verification(2, 40, "0:");
        if (broken == 1) calls[1] = verification(1, 30, "1:29:5@7"); /* another branch */
        if (broken == 2) calls[2] = verification(2, 41, "0:");
        if (broken == 0) calls[0] = verification(0, 19, "0:19:3@0");
        const long before = script_count();
        redis_store_apply(store, calls, PARTITIONS, &error);
        assert_int_equal(script_count() - before, broken < 0 ? 1 : broken == 0 ? 3 : 4);
        for (int p = 0; p < PARTITIONS; p++) {
            assert_int_equal(calls[p].verdict, STORE_OK);
            assert_int_equal(store_call_is_stored(&calls[p]), p != broken);
        }
    }
    redis_store_destroy(&store);
}

/* Not even if it is asked again, and found something that is kept for it. */
static void a_repeated_call_is_not_taken_for_what_came_after_it(void **state) {
    (void)state;
    const int64_t many = THRESHOLD + 1;
    apply_lineage(CURSOR_ABSENT, "0:", 10, "0:9:3@0");
    struct store_call call = apply_logins(10, "0:9:3@0", 20, "0:19:3@0", many);
    assert_int_equal(call.anomaly_count, 1);
    call = apply_logins(10, "0:9:3@0", 20, "0:19:3@0", many);
    assert_true(store_call_is_stored(&call));
    assert_int_equal(call.anomaly_count, 1);
    apply_lineage(20, "0:19:3@0", 20, "1:19:3@0,4@15"); /* another owner, after a cut */
    call = apply_logins(10, "0:9:3@0", 20, "0:19:3@0", many);
    assert_false(store_call_is_stored(&call));
    assert_int_equal(call.stored_lineage.branch, 1);
    assert_int_equal(call.anomaly_count, 0);
}

/* Else it would never be the base of a call. */
static void a_lineage_that_cannot_be_read_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"10 0:9:",        "10 9:3@0",    "10 0:9:3@4,3@6",
                                        "10 4294967296:", "010 0:9:3@0", "10 00:9:3@0",
                                        "10 0:09:3@0",    "10 0:9:03@0", "10 0:9:3@00",
                                        "10 007:",        "10 00:",      "10 0:9:3@0,04@7"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct error error = {""};
        begin(NULL);
        apply_lineage(CURSOR_ABSENT, "0:", 10, "0:9:3@0");
        run("HSET {p}:lineages 0 %s", texts[i]);
        struct delta delta = some(0, 1);
        const struct store_call call = apply_as(url, 10, 20, &delta, &error);
        delta_release(&delta);
        assert_int_equal(call.verdict, STORE_REFUSED);
        if (strstr(error.text, "for 0, which rollcall does not write") == NULL)
            fail_msg("%s: %s", texts[i], error.text);
    }
}

/* A version that knows of no lineages moves the offset alone. */
static void the_lineage_of_another_offset_is_ignored(void **state) {
    (void)state;
    apply_lineage(CURSOR_ABSENT, "0:", 10, "0:19:3@0");
    run("HSET {p}:offsets 0 15");
    const struct store_call call = apply_lineage(10, "0:9:3@0", 20, "0:19:3@0");
    assert_int_equal(call.stored, 15);
    assert_int_equal(call.stored_lineage.count, 0);
    assert_int_equal(apply_lineage(15, "0:", 20, "0:19:4@15").stored, 20);
    assert_redis("20 0:19:4@15", "HGET {p}:lineages 0");
}

/* They are compared as texts, and one that no call matches would be read again and again. */
static void an_offset_with_zeros_before_it_is_not_read(void **state) {
    (void)state;
    const int32_t partition = 0;
    int64_t offset;
    struct error error = {""};
    struct redis_store *store = open_store(url);
    run("HSET {p}:offsets 0 0");
    assert_int_equal(redis_store_offsets(store, &partition, 1, &offset, &error), STORE_OK);
    assert_int_equal(offset, 0);
    run("HSET {p}:offsets 0 0170");
    assert_int_equal(redis_store_offsets(store, &partition, 1, &offset, &error), STORE_REFUSED);
    if (strstr(error.text, "{p}:offsets in") == NULL) fail_msg("%s", error.text);
    redis_store_destroy(&store);
}

/* The horizon's day, or all days, have expired: it is later than none in the list. */
static void a_horizon_remains_when_its_day_has_expired(void **state) {
    (void)state;
    count_some();
    run("DEL {p}:login_counts:2024-07-11");
    run("ZREM {p}:login_days 2024-07-11");
    struct delta delta = some(0, 1);
    assert_int_equal(apply(30, 40, &delta).stored, 40);
    assert_redis("__other__ 4", "HGETALL {p}:login_counts:__other__");
    run("DEL {p}:login_counts:2024-07-12 {p}:login_days");
    delta = some(0, 1);
    assert_int_equal(apply(40, 50, &delta).stored, 50);
    assert_redis("__other__ 5", "HGETALL {p}:login_counts:__other__");
    assert_redis("2024-07-11", "HGET {p}:meta horizon");
}

/* The same, undamaged: so it is the damage that was refused. */
static void what_is_not_odd_is_counted(void **state) {
    (void)state;
    count_some();
    struct delta delta = some(2, 20);
    add_number(&delta, MINUTE, DAY + 3 * AGGREGATE_MINUTES_A_DAY, 1);
    assert_int_equal(apply(30, 40, &delta).stored, 40);
    assert_redis("24", "HGET {p}:login_counts:2024-07-12 14:36");
    assert_redis("__other__ 14", "HGETALL {p}:login_counts:__other__");
    assert_redis("4 4", "HMGET {p}:meta checkpoints seal");
}

/* --- rights and keys -------------------------------------------------------------------------- */

/* Makes a user of all rights but one; "" is none. */
static void grant_all_but(char user_url[128], const char *lacking) {
    char rights[1024], *rest = NULL;
    const char *port = strrchr(url, ':') + 1;
    snprintf(rights, sizeof rights, "%s", redis_fault_rights());
    run("ACL SETUSER tester reset on >secret ~{p}:*");
    for (char *right = strtok_r(rights, " ", &rest); right != NULL;
         right = strtok_r(NULL, " ", &rest)) {
        if (strcmp(right, lacking) != 0) run("ACL SETUSER tester %s", right);
    }
    snprintf(user_url, 128, "redis://tester:secret@127.0.0.1:%s", port);
}

/* Each right that the scripts use is asked for at start, and named; and while it is missing,
 * nothing is written. With all of them everything works. */
static void a_missing_right_is_named_and_nothing_is_written(void **state) {
    (void)state;
    static const char *const others[] = {"",         "+ping", "+select",    "+eval",
                                         "+evalsha", "+info", "+zrevrange", "+xrevrange"};
    char rights[1024], user_url[128], before[64], after[64], *rest = NULL;
    snprintf(rights, sizeof rights, "%s", redis_fault_rights());
    int tried = 0;
    for (char *right = strtok_r(rights, " ", &rest); right != NULL;
         right = strtok_r(NULL, " ", &rest)) {
        bool is_other = false;
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            is_other |= strcmp(right, others[i]) == 0;
        if (is_other) continue;
        struct error error = {""}, warning = {""};
        begin(NULL);
        static char name[] = "days";
        settings.counts[0] = (struct declared_settings){
            .name = name, .every = DECLARED_DAY, .retention_days = 1, .max_values = 3};
        static char users[] = "users", user[] = "user_id";
        settings.counts[1] = (struct declared_settings){
            .name = users, .retention_days = 1, .max_values = 3, .unique = user};
        settings.count_count = 2;
        aggregates_init(&aggregates, &settings);
        count_some();
        run("PFADD {p}:count:users someone");
        dump(before, sizeof before);
        grant_all_but(user_url, right);
        struct redis_store *store = open_store(user_url);
        if (redis_store_check(store, &warning, &error) != STORE_REFUSED ||
            strstr(error.text, right) == NULL) {
            fail_msg("%s at start: %s", right, error.text);
        }
        redis_store_destroy(&store);
        struct delta delta = some(2, 20);
        add_number(&delta, MINUTE, DAY + 3 * AGGREGATE_MINUTES_A_DAY, 1);
        const int64_t total = 0;
        delta_add_distinct(&delta, delta_number_key(SEED, REASON + 2, &total), 1);
        const struct store_call call = apply_as(user_url, 30, 40, &delta, &error);
        delta_release(&delta);
        if (call.verdict != STORE_RETRY || strstr(error.text, right) == NULL) {
            fail_msg("%s: %d, %s", right, (int)call.verdict, error.text);
        }
        dump(after, sizeof after);
        if (strcmp(before, after) != 0) fail_msg("%s: something was written", right);
        tried++;
    }
    assert_true(tried >= 16);
    struct error error = {""};
    grant_all_but(user_url, "");
    struct delta delta = some(2, 20);
    add_number(&delta, MINUTE, DAY + 3 * AGGREGATE_MINUTES_A_DAY, 1);
    if (apply_as(user_url, 30, 40, &delta, &error).verdict != STORE_OK) fail_msg("%s", error.text);
    delta_release(&delta);
}

/* The next quoted word of a line of MONITOR, cut to bytes; false at its end. */
static bool next_word(const char **line, char *word, size_t bytes) {
    size_t length = 0;
    const char *c = strchr(*line, '"');
    if (c == NULL) return false;
    for (c++; *c != '"' && *c != '\0'; c++) {
        if (*c == '\\') c++;
        if (length + 1 < bytes) word[length++] = *c;
    }
    word[length] = '\0';
    *line = *c == '"' ? c + 1 : c;
    return true;
}

/* The keys of the script that runs. */
static char declared[64][128];
static int declared_count;

static void note_keys(const char *line) {
    char word[128];
    next_word(&line, word, sizeof word); /* the text or its SHA-1 */
    next_word(&line, word, sizeof word);
    declared_count = atoi(word);
    assert_in_range(declared_count, 1, 64);
    for (int i = 0; i < declared_count; i++)
        assert_true(next_word(&line, declared[i], sizeof declared[i]));
}

/* Looks at one line of MONITOR; returns how many keys the script touched in it. */
static int look_at(const char *line) {
    char command[32], key[128];
    const bool is_script = strstr(line, " lua] ") != NULL;
    if (!next_word(&line, command, sizeof command)) return 0;
    if (!is_script) {
        if (strcmp(command, "EVAL") == 0 || strcmp(command, "EVALSHA") == 0) note_keys(line);
        return 0;
    }
    if (strcasecmp(command, "TIME") == 0 || strcasecmp(command, "INFO") == 0) return 0;
    assert_true(next_word(&line, key, sizeof key));
    if (strcasecmp(command, "XINFO") == 0) next_word(&line, key, sizeof key);
    for (int i = 0; i < declared_count; i++) {
        if (strcmp(key, declared[i]) == 0) return 1;
    }
    fail_msg("%s touches %s, which is not in KEYS", command, key);
    return 0;
}

static void assert_has(const char *text, const char *part) {
    if (strstr(text, part) == NULL) fail_msg("has no %s: %s", part, text);
}

static struct error read_error;
static char replica[REDIS_SNAPSHOT_NAME_BYTES];

static enum store_verdict read_days(const char *from, const char *to, size_t bytes_max,
                                    struct text *json) {
    struct days days;
    assert_true(days_set(&days, from, to, &read_error));
    const struct redis_snapshot_options options = {
        .prefix = prefix, .aggregates = &aggregates, .days = &days, .reply_bytes_max = bytes_max};
    return redis_snapshot_read(admin, &options, replica, json, &read_error);
}

static enum store_verdict read_all(struct text *json) {
    return read_days(NULL, NULL, 1 << 20, json);
}

static struct redis_link *begin_monitor(void) {
    struct error error = {""};
    struct redis_link *monitor =
        redis_link_create(&(struct redis_settings){.url = url, .timeout_ms = TIMEOUT_MS}, &error);
    assert_true(redis_link_open(monitor, &error));
    struct redis_reply *reply = redis_link_call(monitor, &error, "MONITOR");
    assert_non_null(reply);
    redis_reply_destroy(&reply);
    return monitor;
}

/* Returns how many keys scripts have touched since; `declared` are those of the last script. */
static int end_monitor(struct redis_link *monitor) {
    struct error error = {""};
    run("ECHO end");
    int touched = 0;
    for (bool is_end = false; !is_end;) {
        struct redis_reply *reply = redis_link_receive(monitor, &error);
        assert_non_null(reply);
        is_end = strstr(redis_reply_text(reply).bytes, "\"ECHO\"") != NULL;
        touched += look_at(redis_reply_text(reply).bytes);
        redis_reply_destroy(&reply);
    }
    redis_link_destroy(&monitor);
    return touched;
}

/* One declared count of each kind, and with room for one bucket or value less than come. */
static void declare_all_kinds(void) {
    static char names[][8] = {"days", "hours", "hourly", "users", "each"}, user[] = "user_id",
                locale[] = "locale";
    static const enum declared_every every[] = {DECLARED_DAY, DECLARED_HOUR, DECLARED_HOUR,
                                                DECLARED_TOTAL, DECLARED_DAY};
    settings.count_count = 5;
    for (int i = 0; i < settings.count_count; i++) {
        settings.counts[i] = (struct declared_settings){
            .name = names[i], .every = every[i], .retention_days = 1, .max_values = 1};
        if (i >= 3) settings.counts[i].unique = user;
        if (i == 2 || i == 4) settings.counts[i].by = (struct setting_names){{locale}, 1};
    }
    aggregates_init(&aggregates, &settings);
}

/* Logins on each of four days: few users, and on the last day so many that they are one string. */
static void add_declared(struct delta *delta) {
    for (int i = 0; i < 1500; i++) {
        char user[16];
        const int length = snprintf(user, sizeof user, "user-%d", i);
        const char *locale = i % 2 == 0 ? "PA" : "CA";
        const int day = i < 3 ? i : 3;
        struct login login = {.minute = DAY + day * AGGREGATE_MINUTES_A_DAY,
                              .uniques = {{user, (size_t)length}}};
        login.values[LOCALE] = (struct slice){locale, 2};
        for (unsigned field = aggregates.first_declared; field < aggregates.count; field++) {
            char bytes[DECLARED_KEY_BYTES];
            const size_t size = declared_key(&aggregates.items[field].declared, &login, bytes);
            const struct delta_key key = delta_value_key(SEED, field, (struct slice){bytes, size});
            if (aggregate_is_distinct(&aggregates.items[field]))
                delta_add_distinct(delta, key, hyperloglog_hash(login.uniques[0]));
            else
                delta_add(delta, key, 1);
        }
    }
}

/* Makes a user of all rights; but one of them is for all keys of the last script but one. */
static void grant_but(char user_url[128], const char *right, int lacking) {
    char selector[8192];
    grant_all_but(user_url, right);
    int length = snprintf(selector, sizeof selector, "(%s", right);
    for (int i = 0; i < declared_count; i++) {
        if (i == lacking || strcmp(declared[i], declared[lacking]) == 0) continue;
        length +=
            snprintf(selector + length, sizeof selector - (size_t)length, " ~%s", declared[i]);
    }
    snprintf(selector + length, sizeof selector - (size_t)length, ")");
    run("ACL SETUSER tester %s", selector);
}

/* Each command that writes, and each key: either the call does not need it, or it is denied. */
static void a_right_for_some_keys_only_leaves_nothing_half_written(void **state) {
    (void)state;
    static const char *const rights[] = {
        "+del",     "+expire", "+hdel",          "+hincrby",
        "+hset",    "+pfadd",  "+pfcount",       "+pfmerge",
        "+set",     "+xadd",   "+zadd",          "+zincrby",
        "+zmscore", "+zrem",   "+zrangebyscore", "+zremrangebyscore"};
    char user_url[128], before[64], after[64];
    int denied = 0, denied_hset = 0;
    declare_all_kinds();
    struct delta delta = some(2, 20); /* an anomaly, and a new day, which pushes one out */
    add_number(&delta, MINUTE, DAY + 3 * AGGREGATE_MINUTES_A_DAY, 1);
    add_declared(&delta);
    count_some();
    struct redis_link *monitor = begin_monitor();
    apply_kept(30, 40, &delta);
    end_monitor(monitor);
    bool is_new = true;
    for (size_t r = 0; r < sizeof rights / sizeof *rights; r++) {
        for (int k = 0; k < declared_count; k++) {
            struct error error = {""};
            if (is_new) {
                run("FLUSHALL");
                count_some();
                dump(before, sizeof before);
            }
            grant_but(user_url, rights[r], k);
            const struct store_call call = apply_as(user_url, 30, 40, &delta, &error);
            is_new = call.verdict == STORE_OK;
            if (is_new) continue;
            char named[256];
            snprintf(named, sizeof named, "the command %s on the key %s", rights[r] + 1,
                     declared[k]);
            if (strcmp(rights[r], "+pfmerge") == 0) /* the key that it writes to is named */
                snprintf(named, sizeof named, "the command pfmerge on the key");
            if (strcmp(rights[r], "+zrangebyscore") == 0) /* some read, and Redis says so */
                named[0] = '\0';
            if (call.verdict != STORE_RETRY || strstr(error.text, named) == NULL)
                fail_msg("%s %s: %d, %s", rights[r], declared[k], (int)call.verdict, error.text);
            dump(after, sizeof after);
            if (strcmp(before, after) != 0) fail_msg("%s %s: written", rights[r], declared[k]);
            denied++;
            denied_hset += strcmp(rights[r], "+hset") == 0;
        }
    }
    delta_release(&delta);
    assert_in_range(denied_hset, 8, declared_count / 2);
    assert_in_range(denied, 60, 4 * declared_count);
}

static void scripts_touch_declared_keys_alone(void **state) {
    (void)state;
    static char each[] = "each", user[] = "user_id", head[DECLARED_HEAD_BYTES + 2] = {0};
    struct text json = {0};
    settings.counts[0] = (struct declared_settings){.name = each,
                                                    .by = settings.dimensions,
                                                    .retention_days = 1,
                                                    .max_values = 3,
                                                    .unique = user};
    settings.count_count = 1;
    aggregates_init(&aggregates, &settings);
    struct redis_link *monitor = begin_monitor();
    count_some();
    struct delta delta = some(9, 20);
    for (head[DECLARED_HEAD_BYTES] = 'a'; head[DECLARED_HEAD_BYTES] < 'f';
         head[DECLARED_HEAD_BYTES]++)
        delta_add_distinct(&delta,
                           delta_value_key(SEED, REASON + 1, (struct slice){head, sizeof head}),
                           UINT64_C(1) << 20);
    apply(30, 40, &delta);
    assert_redis("4", "ZCARD {p}:count_values:each");
    assert_int_equal(read_all(&json), STORE_OK);
    assert_true(end_monitor(monitor) > 100);
    text_release(&json);
}

/* The days that one call needs are not those of the next. */
static void a_call_declares_its_own_keys_alone(void **state) {
    (void)state;
    static const char *const own[] = {"{p}:offsets",
                                      "{p}:meta",
                                      "{p}:lineages",
                                      "{p}:device_type_counts",
                                      "{p}:locale_counts",
                                      "{p}:login_days",
                                      "{p}:login_counts:__other__",
                                      "{p}:anomalies",
                                      "{p}:login_counts:2024-07-12",
                                      "{p}:rejected_counts"};
    struct error error = {""};
    struct redis_store *store = open_store(url);
    for (int day = 0; day < 4; day++) {
        struct redis_link *monitor = begin_monitor();
        struct delta delta = some(day < 3 ? day : 2, 1); /* the third pushes the first out */
        const struct delta *const deltas[] = {&delta};
        struct store_call call = {.base = day == 0 ? CURSOR_ABSENT : day,
                                  .end = day + 1,
                                  .deltas = deltas,
                                  .delta_count = 1};
        redis_store_apply(store, &call, 1, &error);
        assert_int_equal(call.verdict, STORE_OK);
        delta_release(&delta);
        end_monitor(monitor);
        if (day == 2) assert_int_equal(declared_count, sizeof own / sizeof *own + 1);
    }
    assert_int_equal(declared_count, sizeof own / sizeof *own);
    for (int i = 0; i < declared_count; i++)
        assert_string_equal(declared[i], own[i]);
    redis_store_destroy(&store);
}

/* --- the snapshot ----------------------------------------------------------------------------- */

static void a_snapshot_shows_all_in_order(void **state) {
    (void)state;
    struct text json = {0};
    count_some();
    struct delta delta;
    delta_init(&delta);
    add_value(&delta, LOCALE, "quote\"d", 30);
    add_number(&delta, MINUTE, DAY + 2 * AGGREGATE_MINUTES_A_DAY, 1);
    add_number(&delta, REASON, LOGIN_EMPTY, 1);
    apply(30, 40, &delta);
    assert_int_equal(read_all(&json), STORE_OK);
    assert_string_equal(text_string(&json),
                        "{\"Logins by Device Type\": {\"android\": 18},\n"
                        " \"Logins by Locale\": {\"quote\\\"d\": 30, \"PA\": 18},\n"
                        " \"Logins Over Time\": {\"2024-07-12 00:00\": 1, \"2024-07-12 14:36\": 4, "
                        "\"2024-07-11 14:36\": 11, \"__other__\": 3},\n"
                        " \"Rejected\": {\"bad_value\": 6, \"empty\": 1}}");
    assert_string_equal(replica, "");
    text_clear(&json);
    assert_int_equal(read_days("2024-07-11", "2024-07-11", 1 << 20, &json), STORE_OK);
    assert_has(text_string(&json), "\"Logins Over Time\": {\"2024-07-11 14:36\": 11},\n");
    assert_has(text_string(&json), "\"Logins by Device Type\": {\"android\": 18},\n");
    text_clear(&json);
    assert_int_equal(read_days("2024-07-13", NULL, 1 << 20, &json), STORE_OK);
    assert_has(text_string(&json), "\"Logins Over Time\": {},\n");
    text_clear(&json);
    run("FLUSHALL");
    assert_int_equal(read_all(&json), STORE_OK);
    assert_string_equal(text_string(&json),
                        "{\"Logins by Device Type\": {},\n \"Logins by Locale\": {},\n "
                        "\"Logins Over Time\": {},\n \"Rejected\": {}}");
    text_release(&json);
}

/* What others have stored: no UTF-8, alike once replaced, too long, infinite. */
static void a_snapshot_is_json_whatever_is_stored(void **state) {
    (void)state;
    static const char name[] =
        "12345678901234567890123456789012345678901234567890123456789012345678901234567890";
    struct text json = {0};
    count_some();
    run("ZADD {p}:locale_counts 50 \xff\xfe 40 \xff 30 \xfe 20 \xEF\xBF\xBD inf x");
    run("HSET {p}:login_counts:2024-07-12 %s 2 \xff 3", name);
    run("HSET {p}:login_counts:2024-07-11 %s 4", name);
    assert_int_equal(read_all(&json), STORE_OK);
    struct tree_value *document = tree_read(text_string(&json)); /* takes no member twice */
    if (document == NULL) fail_msg("%s", text_string(&json));
    tree_destroy(&document);
#define NO_CHARACTER "\xEF\xBF\xBD"
    assert_has(text_string(&json),
               "\"Logins by Locale\": {\"x\": null, "
               "\"" NO_CHARACTER "\\\\xff" NO_CHARACTER "\\\\xfe\": 50, "
               "\"" NO_CHARACTER "\\\\xff\": 40, \"" NO_CHARACTER "\\\\xfe\": 30, "
               "\"" NO_CHARACTER "\": 20, \"PA\": 18},\n");
    text_release(&json);
}

#define RULES_A "input.key = a\ndimension.x.from = x\n"
#define RULES_B "input.key = b\ndimension.x.from = x\n"
#define RULES_A_AND_Y RULES_A "dimension.y.from = y\n"

static void check_rules(const char *rules, enum store_verdict verdict, const char *words) {
    struct error warning = {""}, error = {""};
    store_rules = rules;
    struct redis_store *store = open_store(url);
    assert_int_equal(redis_store_check(store, &warning, &error), verdict);
    const char *said = verdict == STORE_OK ? warning.text : error.text;
    if (strstr(said, words) == NULL) fail_msg("\"%s\" does not say: %s", said, words);
    if (words[0] == '\0') assert_string_equal(said, "");
    redis_store_destroy(&store);
}

static void counts_are_continued_only_under_their_rules(void **state) {
    (void)state;
    char before[64], after[64];
    struct error error = {""};
    store_rules = RULES_A;
    struct delta delta = some(0, 1);
    apply(CURSOR_ABSENT, 10, &delta);
    assert_redis(RULES_A, "HGET {p}:meta rules");
    check_rules(RULES_A, STORE_OK, "");
    dump(before, sizeof before);
    check_rules(RULES_B, STORE_REFUSED, "input.key is \"a\" there and \"b\" here");
    delta = some(0, 1);
    const struct store_call call = apply_as(url, 10, 20, &delta, &error);
    delta_release(&delta);
    assert_int_equal(call.verdict, STORE_REFUSED);
    check_rules(RULES_A_AND_Y, STORE_OK, "dimension.y is new");
    dump(after, sizeof after);
    assert_string_equal(after, before); /* nothing was written so far */
}

static void rules_of_other_dimensions_replace_those_that_are_stored_once(void **state) {
    (void)state;
    store_rules = RULES_A;
    struct delta delta = some(0, 1);
    apply(CURSOR_ABSENT, 10, &delta);
    store_rules = RULES_A_AND_Y;
    delta = some(0, 1);
    assert_int_equal(apply(10, 20, &delta).stored, 20);
    assert_redis(RULES_A_AND_Y, "HGET {p}:meta rules");

    /* An older instance goes on, and leaves what the newer one has stored. */
    struct error error = {""};
    struct redis_store *newer = open_store(url);
    store_rules = RULES_A;
    struct redis_store *older = open_store(url);
    struct redis_store *turns[4] = {older, newer, older, newer};
    int64_t offset = 20;
    for (int i = 0; i < 4; i++, offset += 10) {
        struct store_call call = {.base = offset, .end = offset + 10};
        redis_store_apply(turns[i], &call, 1, &error);
        assert_int_equal(call.verdict, STORE_OK);
        assert_int_equal(call.stored, offset + 10);
        assert_redis(i == 0 ? RULES_A : RULES_A_AND_Y, "HGET {p}:meta rules");
    }
    redis_store_destroy(&older);
    redis_store_destroy(&newer);
}

static void counts_without_rules_get_those_that_continue_them(void **state) {
    (void)state;
    struct delta delta = some(0, 1);
    apply(CURSOR_ABSENT, 10, &delta);
    assert_redis("0", "HEXISTS {p}:meta rules");
    check_rules(RULES_B, STORE_OK, "");
    assert_redis("0", "HEXISTS {p}:meta rules");
    delta_init(&delta);
    apply(10, 10, &delta); /* an idle partition's */
    assert_redis(RULES_B, "HGET {p}:meta rules");
    check_rules(RULES_A, STORE_REFUSED, "input.key");
    check_rules(NULL, STORE_OK, "");
}

/* A value with blanks, that looks like packed counts, or is a number. */
static void names_may_be_anything(void **state) {
    (void)state;
    struct text json = {0};
    redis_reply_destroy(&(struct redis_reply *){redis_link_call(
        admin, &read_error, "ZADD %s:locale_counts 9 %s 8 %s 7 %s", prefix, "5 a b 5", "12", " ")});
    redis_reply_destroy(&(struct redis_reply *){redis_link_call(
        admin, &read_error, "HSET %s:rejected_counts %s 4 %s 5", prefix, "b c", "")});
    assert_int_equal(read_all(&json), STORE_OK);
    assert_has(text_string(&json),
               "\"Logins by Locale\": {\"5 a b 5\": 9, \"12\": 8, \" \": 7},\n");
    assert_has(text_string(&json), "\"Rejected\": {\"\": 5, \"b c\": 4}}");
    text_release(&json);
}

struct pieces {
    size_t bytes;
    struct text whole;
};

static bool take_piece(void *context, const char *bytes, size_t length) {
    struct pieces *pieces = context;
    pieces->bytes += length;
    text_add_bytes(&pieces->whole, bytes, length);
    return true;
}

/* More minutes than the first call, and than each further one, has room for. */
static void many_days_come_in_pieces_newest_first(void **state) {
    (void)state;
    enum { DAYS = 150 };
    char buffer[4096];
    struct pieces pieces = {0};
    struct text json = text_through(buffer, sizeof buffer, take_piece, &pieces);
    struct redis_reply *reply = redis_link_call(
        admin, &read_error, "EVAL %s 0 %s",
        "for d = 0, 149 do "
        "  local day = string.format('2024-%02d-%02d', 1 + math.floor(d / 28), 1 + d % 28) "
        "  redis.call('ZADD', ARGV[1] .. ':login_days', 9999999999, day) "
        "  local words = {} "
        "  for m = 0, 1439 do "
        "    words[2 * m + 1] = string.format('%02d:%02d', math.floor(m / 60), m % 60) "
        "    words[2 * m + 2] = d + 1 end "
        "  redis.call('HSET', ARGV[1] .. ':login_counts:' .. day, unpack(words)) end",
        prefix);
    assert_non_null(reply);
    redis_reply_destroy(&reply);
    assert_int_equal(read_days(NULL, NULL, 4 << 20, &json), STORE_OK);
    assert_true(text_flush(&json));
    assert_true((uint64_t)DAYS * AGGREGATE_MINUTES_A_DAY >
                REDIS_SNAPSHOT_FIRST_MINUTES + 2 * REDIS_SNAPSHOT_MINUTES);
    const char *at = strstr(text_string(&pieces.whole), "Over Time");
    assert_non_null(at);
    char before[24] = "9999";
    int count = 0;
    for (; *at != '\0'; at++) { /* strstr looks for the text's end, too */
        if (strncmp(at, "\"2024-", 6) != 0) continue;
        count++;
        char name[24] = "";
        int day, minute;
        memcpy(name, at + 1, 16);
        const int d = (int)strtol(at + 1 + 16 + 3, NULL, 10); /* sscanf looks for its end */
        assert_int_equal(sscanf(name, "2024-%2d-%2d", &minute, &day), 2);
        assert_int_equal(d, (minute - 1) * 28 + day);
        const int order = strncmp(name, before, 10);
        if (order > 0 || (order == 0 && strcmp(name, before) <= 0))
            fail_msg("%s comes after %s", name, before);
        memcpy(before, name, sizeof before);
    }
    assert_int_equal(count, DAYS * AGGREGATE_MINUTES_A_DAY);
    text_release(&pieces.whole);
}

static void counts_that_are_too_many_at_once_are_refused(void **state) {
    (void)state;
    struct text json = {0};
    count_some();
    assert_int_equal(read_days(NULL, NULL, 10, &json), STORE_REFUSED);
    assert_has(read_error.text, "raise instance.memory_mb");
    assert_int_equal(json.length, 0);
    text_release(&json);
}

/* As after `timeout` seconds in Redis' configuration. */
static void a_connection_that_was_closed_is_renewed(void **state) {
    (void)state;
    struct text json = {0};
    struct error error = {""};
    count_some();
    struct redis_link *other =
        redis_link_create(&(struct redis_settings){.url = url, .timeout_ms = TIMEOUT_MS}, &error);
    assert_int_equal(read_all(&json), STORE_OK);
    assert_true(redis_link_open(other, &error));
    struct redis_reply *reply = redis_link_call(other, &error, "CLIENT KILL TYPE normal");
    assert_non_null(reply);
    redis_reply_destroy(&reply);
    redis_link_destroy(&other);
    assert_int_equal(read_all(&json), STORE_OK);
    text_release(&json);
}

static void a_replica_is_named(void **state) {
    (void)state;
    struct text json = {0};
    run("REPLICAOF 127.0.0.1 1");
    const enum store_verdict verdict = read_all(&json);
    run("REPLICAOF NO ONE");
    assert_int_equal(verdict, STORE_OK);
    assert_string_equal(replica, redis_link_name(admin));
    text_release(&json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(counts_without_rules_get_those_that_continue_them, begin),
        cmocka_unit_test_setup(rules_of_other_dimensions_replace_those_that_are_stored_once, begin),
        cmocka_unit_test_setup(counts_are_continued_only_under_their_rules, begin),
        cmocka_unit_test_setup(a_rebuild_stores_only_under_its_own_name, begin),
        cmocka_unit_test_setup(a_call_counts_all_kinds_and_moves_the_offset, begin),
        cmocka_unit_test_setup(a_repeated_call_changes_nothing, begin),
        cmocka_unit_test_setup(a_call_that_is_repeated_is_told_what_it_found, begin),
        cmocka_unit_test_setup(what_a_call_found_is_not_read_from_what_others_wrote, begin),
        cmocka_unit_test_setup(an_anomaly_is_the_call_that_lifts_a_minute_over_the_threshold,
                               begin),
        cmocka_unit_test_setup(values_past_the_bound_are_one_sum, begin),
        cmocka_unit_test_setup(the_sum_of_others_is_one_more, begin),
        cmocka_unit_test_setup(days_past_the_bound_are_one_sum, begin),
        cmocka_unit_test_setup(a_day_that_expired_leaves_the_list, begin),
        cmocka_unit_test_setup(a_large_call_is_counted_whole, begin),
        cmocka_unit_test_setup(redis_that_forgot_the_script_gets_it_again, begin),
        cmocka_unit_test_setup(what_is_odd_is_refused_before_the_first_write, begin),
        cmocka_unit_test_setup(what_is_not_odd_is_counted, begin),
        cmocka_unit_test_setup(an_offset_with_zeros_before_it_is_not_read, begin),
        cmocka_unit_test_setup(a_horizon_remains_when_its_day_has_expired, begin),
        cmocka_unit_test_setup(the_lineage_moves_with_the_offset, begin),
        cmocka_unit_test_setup(where_the_group_began_is_kept, begin),
        cmocka_unit_test_setup(an_offset_of_another_branch_is_another_one, begin),
        cmocka_unit_test_setup(an_offset_of_another_log_is_another_one, begin),
        cmocka_unit_test_setup(a_repeated_call_is_not_taken_for_what_came_after_it, begin),
        cmocka_unit_test_setup(a_lineage_that_cannot_be_read_is_refused, begin),
        cmocka_unit_test_setup(a_call_may_end_where_it_began_on_another_branch, begin),
        cmocka_unit_test_setup(partitions_are_verified_together, begin),
        cmocka_unit_test_setup(the_lineage_of_another_offset_is_ignored, begin),
        cmocka_unit_test_setup(a_missing_right_is_named_and_nothing_is_written, begin),
        cmocka_unit_test_setup(a_right_for_some_keys_only_leaves_nothing_half_written, begin),
        cmocka_unit_test_setup(scripts_touch_declared_keys_alone, begin),
        cmocka_unit_test_setup(a_call_declares_its_own_keys_alone, begin),
        cmocka_unit_test_setup(a_snapshot_shows_all_in_order, begin),
        cmocka_unit_test_setup(a_snapshot_is_json_whatever_is_stored, begin),
        cmocka_unit_test_setup(names_may_be_anything, begin),
        cmocka_unit_test_setup(many_days_come_in_pieces_newest_first, begin),
        cmocka_unit_test_setup(counts_that_are_too_many_at_once_are_refused, begin),
        cmocka_unit_test_setup(a_connection_that_was_closed_is_renewed, begin),
        cmocka_unit_test_setup(a_replica_is_named, begin),
    };
    redis_server_need();
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
