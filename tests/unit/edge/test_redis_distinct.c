/* distinct.lua, the part of checkpoint.lua about distinct counts, in a real Redis. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoints.h"
#include "edge/redis_image.h"
#include "edge/redis_snapshot.h"

enum { LOCALE, MINUTE, REASON, USERS, DAILY, EACH, EACH_DAILY }; /* the table of aggregates here */

/* An empty Redis, room for two days, and distinct counts: in all, by day, and the same for each of
 * two locales. */
static int begin(void **state) {
    (void)state;
    static char locale[] = "locale", user[] = "user_id";
    static char names[][12] = {"users", "daily", "each", "each_daily"};
    settings = (struct aggregate_settings){.dimensions = {{locale}, 1},
                                           .max_values = 3,
                                           .max_days = 2,
                                           .retention_days = 9,
                                           .threshold = 1000,
                                           .count_count = 4};
    for (int i = 0; i < settings.count_count; i++) {
        settings.counts[i] =
            (struct declared_settings){.name = names[i],
                                       .every = i % 2 == 0 ? DECLARED_TOTAL : DECLARED_DAY,
                                       .retention_days = 1,
                                       .max_values = 2,
                                       .unique = user};
        if (i >= 2) settings.counts[i].by = settings.dimensions;
    }
    aggregates_init(&aggregates, &settings);
    delta_release(&delta);
    offset = 0;
    run("FLUSHALL");
    return 0;
}

/* Users begin to end-1 of a locale at a minute, for us and, by PFADD, under "oracle:" and the key's
 * name; shown: what the locale is in there. */
static void add_in(const char *locale, const char *shown, int64_t minute, int begin_at, int end_at,
                   const char *day) {
    for (int i = begin_at; i < end_at; i++) {
        char user[16];
        const int length = snprintf(user, sizeof user, "user-%d", i);
        const struct login login = {.minute = minute,
                                    .values = {{locale, strlen(locale)}},
                                    .uniques = {{user, (size_t)length}}};
        for (unsigned field = aggregates.first_declared; field < aggregates.count; field++) {
            char key[DECLARED_KEY_BYTES];
            const size_t bytes = declared_key(&aggregates.items[field].declared, &login, key);
            delta_add_distinct(&delta, delta_value_key(SEED, field, (struct slice){key, bytes}),
                               hyperloglog_hash(login.uniques[0]));
        }
        run("PFADD oracle:users %s", user);
        run("PFADD oracle:daily:%s %s", day, user);
        run("PFADD oracle:each:%s %s", shown, user);
        run("PFADD oracle:each_daily:%s:%s %s", day, shown, user);
    }
}

static void add(int64_t minute, int begin_at, int end_at, const char *day) {
    add_in("PA", "PA", minute, begin_at, end_at, day);
}

/* Both keys have the same registers: else their union has more. */
static void assert_same(const char *name) {
    const int one = atoi(run("PFCOUNT {p}:count:%s {p}:count:%s", name, name));
    const int other = atoi(run("PFCOUNT oracle:%s oracle:%s", name, name));
    const int both = atoi(run("PFCOUNT {p}:count:%s oracle:%s", name, name));
    if (one != other || other != both || one == 0)
        fail_msg("%s: %d, %d, together %d", name, one, other, both);
}

/* The same of a value, whose number is in the sorted set of its bucket: "NAME" or "NAME:BUCKET". */
static void assert_value(const char *bucket, const char *value) {
    char name[128];
    snprintf(name, sizeof name, "%s:%s", bucket, value);
    assert_same(name);
    const int number = atoi(run("PFCOUNT {p}:count:%s", name));
    assert_int_equal(atoi(run("ZSCORE {p}:count_values:%s %s", bucket, value)), number);
    assert_in_range(atoi(run("TTL {p}:count:%s", name)), DAY_S - 60, DAY_S);
    assert_in_range(atoi(run("TTL {p}:count_values:%s", bucket)), DAY_S - 60, DAY_S);
    assert_in_range(atoi(run("TTL {p}:count_ends:%s", bucket)), DAY_S - 60, DAY_S);
}

/* --- tests ------------------------------------------------------------------------------------ */

/* As elements, as a string, and each into what the other has left. */
static void few_and_many_are_merged(void **state) {
    (void)state;
    static const int users[] = {1, 3, 200, 2000, 2001, 6000};
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        add(AT_1436, i == 0 ? 0 : users[i - 1] / 2, users[i], "2024-07-10");
        stored();
        assert_same("users");
        assert_same("daily:2024-07-10");
        assert_value("each", "PA");
        assert_value("each_daily:2024-07-10", "PA");
        assert_redis("0", "EXISTS {p}:count_piece");
    }
    assert_redis("2024-07-10", "ZRANGE {p}:count_buckets:daily 0 -1");
    assert_redis("0", "EXISTS {p}:count_buckets:users");
    assert_in_range(atoi(run("TTL {p}:count:users")), DAY_S - 60, DAY_S);
    assert_in_range(atoi(run("TTL {p}:count:daily:2024-07-10")), DAY_S - 60, DAY_S);
}

static void a_call_for_another_offset_changes_nothing(void **state) {
    (void)state;
    struct error error = {""};
    add(AT_1436, 0, 5, "2024-07-10");
    stored();
    add(AT_1436, 5, 2000, "2024-07-10");
    offset = 3;
    assert_int_equal(store(&error).stored, 10);
    assert_redis("5", "PFCOUNT {p}:count:users");
    assert_redis("5", "PFCOUNT {p}:count:daily:2024-07-10");
}

/* Two days have room; the users of all others are one count. */
static void buckets_past_the_bound_are_one(void **state) {
    (void)state;
    for (int day = 0; day < 2; day++)
        add(AT_1436 + day * 24 * 60, day * 10, day * 10 + 10, "any");
    stored();
    for (int day = 2; day < 5; day++)
        add(AT_1436 + day * 24 * 60, day * 10, day * 10 + 10, "__other__");
    stored();
    assert_redis("2024-07-10 2024-07-11", "ZRANGE {p}:count_buckets:daily 0 -1");
    assert_same("users");
    assert_same("daily:__other__");
    assert_redis("30", "PFCOUNT {p}:count:daily:__other__");
    assert_redis("2024-07-10 2024-07-11", "ZRANGE {p}:count_buckets:each_daily 0 -1");
    assert_redis("30", "PFCOUNT {p}:count:each_daily:__other__ {p}:count:each_daily:__other__");
    assert_redis("0", "EXISTS {p}:count_values:each_daily:__other__ "
                      "{p}:count:each_daily:2024-07-12:PA {p}:count_values:each_daily:2024-07-12");
    assert_in_range(atoi(run("TTL {p}:count:each_daily:__other__")), DAY_S - 60, DAY_S);
}

/* Two values of each bucket have room, also beside a value that is called like all others. */
static void values_past_the_bound_are_one(void **state) {
    (void)state;
    add_in("PA", "PA", AT_1436, 0, 30, "2024-07-10");
    add_in("__other__", "__other__", AT_1436, 10, 50, "2024-07-10");
    stored();
    assert_value("each", "PA");
    assert_value("each", "__other__");
    add_in("NY", "NY", AT_1436, 20, 40, "2024-07-10");
    add_in("PA", "PA", AT_1436, 0, 2000, "2024-07-10");
    stored();
    assert_value("each", "NY");
    add_in("CA", "__other__", AT_1436, 100, 200, "2024-07-10");
    add_in("WA", "__other__", AT_1436, 150, 1000, "2024-07-10");
    add_in("NY", "NY", AT_1436, 1000, 1010, "2024-07-10");
    stored();
    add_in("CA", "CA", AT_1436 + 24 * 60, 0, 10, "2024-07-11"); /* a total has no room for it */
    stored();
    static const char *const values[] = {"PA", "NY", "__other__"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_value("each_daily:2024-07-10", values[i]);
    assert_value("each", "PA");
    assert_value("each", "NY");
    assert_value("each_daily:2024-07-11", "CA");
    run("PFMERGE oracle:each:__other__ oracle:each:CA");
    assert_value("each", "__other__");
    assert_redis("3", "ZCARD {p}:count_values:each");
    assert_redis("3", "ZCARD {p}:count_values:each_daily:2024-07-10");
    assert_redis("0", "EXISTS {p}:count:each:CA {p}:count:each_daily:2024-07-10:CA "
                      "{p}:count:each_daily:__other__");
}

static void skip_offset(void *context, struct slice partition, int64_t value) {
    (void)context, (void)partition, (void)value;
}

static void skip_moment(void *context, int64_t now_s, struct slice horizon) {
    (void)context, (void)now_s, (void)horizon;
}

static void skip_bucket(void *context, unsigned field, struct slice name, int64_t expires_s) {
    (void)context, (void)field, (void)name, (void)expires_s;
}

/* Adds "FIELD bucket/name " for what holds a HyperLogLog, and "FIELD bucket/name! " for what holds
 * none. */
static void note_count(void *context, unsigned field, struct slice bucket, struct slice name,
                       struct slice count) {
    char *text = context;
    const size_t length = strlen(text);
    const bool is_right = count.length > 4 && memcmp(count.bytes, "HYLL", 4) == 0;
    if (field >= USERS)
        snprintf(text + length, 512 - length, "%u %s/%s%s ", field, bucket.bytes, name.bytes,
                 is_right ? "" : "!");
}

static void an_image_has_all_values_together_past_the_bound(void **state) {
    (void)state;
    static const char *const locales[] = {"PA", "NY", "CA"};
    const struct redis_image_visitor visitor = {.offset = skip_offset,
                                                .moment = skip_moment,
                                                .bucket = skip_bucket,
                                                .count = note_count,
                                                .context = (char[512]){""}};
    struct error error = {""};
    for (int i = 0; i < 3; i++) {
        add_in(locales[i], i < 2 ? locales[i] : "__other__", AT_1436, 0, 10, "2024-07-10");
        stored();
    }
    if (redis_image_read(admin, prefix, &aggregates, &visitor, &error) != STORE_OK)
        fail_msg("%s", error.text);
    assert_string_equal(visitor.context,
                        "3 / 4 2024-07-10/ 5 /NY 5 /PA 5 /__other__ 6 2024-07-10/NY "
                        "6 2024-07-10/PA 6 2024-07-10/__other__ ");
}

/* What a snapshot shows of declared counts. */
static const char *counts_shown(void) {
    static struct text json;
    static const struct days days = {"", ""};
    const struct redis_snapshot_options options = {
        .prefix = prefix, .aggregates = &aggregates, .days = &days, .reply_bytes_max = 1 << 20};
    struct error error = {""};
    char replica[REDIS_SNAPSHOT_NAME_BYTES];
    text_release(&json);
    assert_int_equal(redis_snapshot_read(admin, &options, replica, &json, &error), STORE_OK);
    const char *counts = strstr(text_string(&json), "\"Counts\"");
    assert_non_null(counts);
    return counts;
}

/* Nobody is shown them any more, and their place is free with the next call. */
static void expired_values_leave_room(void **state) {
    (void)state;
    add_in("PA", "PA", AT_1436, 0, 10, "2024-07-10");
    add_in("NY", "NY", AT_1436, 0, 20, "2024-07-10");
    stored();
    run("ZADD {p}:count_ends:each 1 PA");
    run("DEL {p}:count:each:PA");
    assert_non_null(strstr(counts_shown(), "\"each\": {\"NY\": 20},"));
    add_in("NY", "NY", AT_1436, 0, 30, "2024-07-10");
    stored();
    assert_redis("NY", "ZRANGE {p}:count_values:each 0 -1");
    assert_redis("NY", "ZRANGE {p}:count_ends:each 0 -1");
    assert_redis("PA NY", "ZRANGE {p}:count_values:each_daily:2024-07-10 0 -1");
    add_in("WA", "WA", AT_1436, 0, 40, "2024-07-10");
    stored();
    assert_value("each", "WA");
    assert_redis("NY WA", "ZRANGE {p}:count_values:each 0 -1");
}

/* Each is refused before the first write: the total has not moved either. */
static void what_is_odd_is_refused_before_the_first_write(void **state) {
    (void)state;
    static const char damaged[] = "redis.call('SETRANGE', KEYS[1], 18, '\\1') return 1";
    static const char *const keys[] = {
        "{p}:count:daily:2024-07-10", "{p}:count:daily:2024-07-10", "{p}:count:daily:2024-07-10",
        "{p}:count:daily:2024-07-10", "{p}:count_buckets:daily",
        /* and of values */
        "{p}:count:each:PA", "{p}:count:each_daily:2024-07-10:PA", "{p}:count_values:each",
        "{p}:count_ends:each_daily:2024-07-10", "{p}:count:each:__other__",
        "{p}:count_buckets:each_daily"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct error error = {""};
        begin(NULL);
        if (i == 5) run("SET %s some-text-of-twenty-letters", keys[i]);
        if (i > 5) run("HSET %s a b", keys[i]);
        if (i == 0) run("SET {p}:count:daily:2024-07-10 some-text-of-twenty-letters");
        if (i == 1) run("HSET {p}:count:daily:2024-07-10 a b");
        if (i == 2) run("SET {p}:count:daily:2024-07-10 HYLL");
        if (i == 3) {
            run("PFADD {p}:count:daily:2024-07-10 a b c d");
            run("PFCOUNT {p}:count:daily:2024-07-10"); /* is cached */
            run("EVAL %s 1 {p}:count:daily:2024-07-10", damaged);
        }
        if (i == 4) run("SET {p}:count_buckets:daily x");
        add(AT_1436, 0, 2000, "2024-07-10");
        const struct store_call call = store(&error);
        if (call.verdict != STORE_REFUSED || strstr(error.text, keys[i]) == NULL)
            fail_msg("%s: %d, %s", keys[i], (int)call.verdict, error.text);
        assert_redis("0", "EXISTS {p}:count:users {p}:offsets {p}:count_piece");
    }
}

static void a_missing_right_is_named_and_nothing_is_written(void **state) {
    (void)state;
    static const char *const rights[] = {"pfadd", "pfmerge", "set", "del", "pfcount", "zrem"};
    struct error error = {""};
    if (atoi(run("EVAL %s 0", "return redis.acl_check_cmd and 7 or 6")) < 7) return;
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) {
        begin(NULL);
        run("ACL SETUSER default -%s", rights[i]);
        for (int user = 0; user < 3; user++) {
            int64_t bucket = 0;
            const struct slice key = {(char *)&bucket, sizeof bucket};
            delta_add_distinct(&delta, delta_value_key(SEED, USERS, key), (uint64_t)user << 20);
        }
        const struct store_call call = store(&error);
        run("ACL SETUSER default +@all");
        if (call.verdict == STORE_OK || strstr(error.text, rights[i]) == NULL)
            fail_msg("%s: %d, %s", rights[i], (int)call.verdict, error.text);
        assert_redis("0", "DBSIZE");
    }
}

static void a_snapshot_shows_numbers(void **state) {
    (void)state;
    for (int day = 0; day < 3; day++)
        add(AT_1436 + day * 24 * 60, 0, 10 * (day + 1), "any");
    add_in("a|b: c", "any", AT_1436, 0, 3, "any");
    add_in("W", "any", AT_1436, 0, 2, "any");
    stored();
    assert_string_equal(counts_shown(),
                        "\"Counts\": {\"users\": 30,\n \"daily\": {\"2024-07-11\": 20,\n"
                        "   \"2024-07-10\": 10,\n   \"__other__\": 30},\n"
                        " \"each\": {\"PA\": 30, \"a|b: c\": 3, \"__other__\": 2},\n"
                        " \"each_daily\": {\"2024-07-11\": {\"PA\": 20},\n"
                        "   \"2024-07-10\": {\"PA\": 10, \"a|b: c\": 3, \"__other__\": 2},\n"
                        "   \"__other__\": {\"__other__\": 30}}}}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(few_and_many_are_merged, begin),
        cmocka_unit_test_setup(a_call_for_another_offset_changes_nothing, begin),
        cmocka_unit_test_setup(buckets_past_the_bound_are_one, begin),
        cmocka_unit_test_setup(values_past_the_bound_are_one, begin),
        cmocka_unit_test_setup(an_image_has_all_values_together_past_the_bound, begin),
        cmocka_unit_test_setup(expired_values_leave_room, begin),
        cmocka_unit_test_setup(what_is_odd_is_refused_before_the_first_write, begin),
        cmocka_unit_test_setup(a_missing_right_is_named_and_nothing_is_written, begin),
        cmocka_unit_test_setup(a_snapshot_shows_numbers, begin),
    };
    redis_server_need();
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
