/* redis_swap and redis_image in a real Redis: which keys are moved, counted and deleted, and which
 * are not; and what is read of them. */
#include "edge/redis_swap.h"

#include <dlfcn.h>
#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/redis_image.h"
#include "redis_server.h"

enum { TIMEOUT_MS = 5000, ALL_BYTES = 8192 };

static struct redis_server server;
static struct redis_link *admin;
static struct aggregates aggregates;
static struct error error;

static int start(void **state) {
    static char locale[] = "locale";
    static const struct aggregate_settings settings = {.dimensions = {{locale}, 1},
                                                       .max_values = 10,
                                                       .max_days = 10,
                                                       .retention_days = 1,
                                                       .threshold = 10};
    (void)state;
    if (!redis_server_start(&server)) return -1;
    admin = redis_link_create(&(struct redis_settings){.url = server.url, .timeout_ms = TIMEOUT_MS},
                              &error);
    aggregates_init(&aggregates, &settings);
    return redis_link_open(admin, &error) ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    redis_link_destroy(&admin);
    return redis_server_stop(&server);
}

/* A command of words between blanks; the reply's text. */
static const char *run(const char *words) {
    static char text[ALL_BYTES];
    struct redis_reply *reply = redis_link_call(admin, &error, "EVAL %s 0 %s",
                                                "local w = {} for word in string.gmatch(ARGV[1], "
                                                "'%S+') do w[#w + 1] = word end "
                                                "local r = redis.call(unpack(w)) "
                                                "return type(r) == 'table' and "
                                                "table.concat(r, ' ') or tostring(r)",
                                                words);
    assert_non_null(reply);
    snprintf(text, sizeof text, "%s", redis_reply_text(reply).bytes);
    if (redis_reply_kind(reply) == REDIS_ERROR) fail_msg("%s: %s", words, text);
    redis_reply_destroy(&reply);
    return text;
}

static void run_all(const char *const commands[]) {
    for (; *commands != NULL; commands++)
        run(*commands);
}

static void (*before_script)(void); /* called once, when the script is about to be sent */
static int script_count;

/* Stands in front of hiredis's own. */
int redisAppendFormattedCommand(redisContext *context, const char *words, size_t length) {
    int (*real)(redisContext *, const char *, size_t);
    *(void **)&real = dlsym(RTLD_NEXT, "redisAppendFormattedCommand");
    void (*const then)(void) = before_script;
    script_count += strncmp(words, "$4\r\nEVAL\r\n", 10) == 0;
    if (then != NULL && strncmp(words, "$4\r\nEVAL\r\n", 10) == 0) {
        before_script = NULL;
        then();
    }
    return real(context, words, length);
}

/* The names of all keys, sorted. */
static void keys_are(const char *expected) {
    struct redis_reply *reply = redis_link_call(
        admin, &error, "EVAL %s 0",
        "local all = redis.call('KEYS', '*') table.sort(all) return table.concat(all, ' ')");
    assert_non_null(reply);
    assert_string_equal(redis_reply_text(reply).bytes, expected);
    redis_reply_destroy(&reply);
}

static const char *const live[] = {"HSET {p}:offsets 0 10 1 20",
                                   "HSET {p}:meta schema 1 group g topic t checkpoints 5 seal 5",
                                   "HSET {p}:lineages 0 x",
                                   "ZADD {p}:locale_counts 3 PA",
                                   "ZADD {p}:login_days 1720742400 2024-07-10",
                                   "HSET {p}:login_counts:2024-07-10 14:36 3",
                                   "HSET {p}:login_counts:__other__ __other__ 1",
                                   "XADD {p}:anomalies 1-1 a b",
                                   "ZADD {p}:count:a 1 x",
                                   "ZADD {p}:count:a:2024 1 x",
                                   "ZADD {p}:count_buckets:a 1 x",
                                   "ZADD {p}:count_days:a 1 x",
                                   "ZADD {p}:count_ends:a 1 x",
                                   "ZADD {p}:count_values:a 1 x",
                                   "HSET {p}:other_counts x 1",   /* of a dimension that went */
                                   "HSET {p}:somebody:elses x 1", /* of a longer prefix */
                                   "HSET {p}x:offsets 0 1",       /* of another one */
                                   NULL};
static const char *const rebuilt[] = {
    "HSET {p}:rebuild:offsets 0 10 1 20 2 5",
    "HSET {p}:rebuild:meta schema 1 group g topic t checkpoints 9 seal 9 rebuild r",
    "ZADD {p}:rebuild:locale_counts 7 PA",
    "ZADD {p}:rebuild:login_days 1720828800 2024-07-11",
    "HSET {p}:rebuild:login_counts:2024-07-11 14:36 7",
    NULL};

#define LIVE                                                                                       \
    "{p}:anomalies {p}:count:a {p}:count:a:2024 {p}:count_buckets:a {p}:count_days:a "             \
    "{p}:count_ends:a {p}:count_values:a {p}:lineages {p}:locale_counts "                          \
    "{p}:login_counts:2024-07-10 "                                                                 \
    "{p}:login_counts:__other__ {p}:login_days {p}:meta {p}:offsets {p}:other_counts"
#define REBUILT                                                                                    \
    "{p}:rebuild:locale_counts {p}:rebuild:login_counts:2024-07-11 {p}:rebuild:login_days "        \
    "{p}:rebuild:meta {p}:rebuild:offsets"

static int begin(void **state) {
    (void)state;
    error.text[0] = '\0';
    run("FLUSHALL");
    run_all(live);
    run_all(rebuilt);
    return 0;
}

static enum swap_verdict swap(bool must_be_as_far) {
    return redis_swap_run(admin, "{p}", &aggregates, "r", must_be_as_far, &error);
}

static void says(const char *text) {
    if (strstr(error.text, text) == NULL) fail_msg("\"%s\" lacks \"%s\"", error.text, text);
}

static void nothing_was_moved(void) {
    assert_string_equal(run("EXISTS {p}:before:meta"), "0");
    assert_string_equal(run("HGET {p}:meta checkpoints"), "5");
    assert_string_equal(run("EXISTS {p}:rebuild:offsets"), "1");
}

static void all_keys_change_their_places(void **state) {
    (void)state;
    for (int as_far = 0; as_far < 2; as_far++) {
        begin(NULL);
        if (swap(as_far == 1) != SWAP_DONE) fail_msg("%s", error.text);
        keys_are("{p}:before:anomalies {p}:before:count:a {p}:before:count:a:2024 "
                 "{p}:before:count_buckets:a {p}:before:count_days:a "
                 "{p}:before:count_ends:a {p}:before:count_values:a {p}:before:lineages "
                 "{p}:before:locale_counts "
                 "{p}:before:login_counts:2024-07-10 {p}:before:login_counts:__other__ "
                 "{p}:before:login_days {p}:before:meta {p}:before:offsets "
                 "{p}:before:other_counts {p}:locale_counts {p}:login_counts:2024-07-11 "
                 "{p}:login_days {p}:meta {p}:offsets {p}:somebody:elses {p}x:offsets");
        assert_string_equal(run("HGET {p}:meta checkpoints"), "9");
        assert_string_equal(run("HGET {p}:before:meta checkpoints"), "5");
        assert_string_equal(run("ZSCORE {p}:locale_counts PA"), "7");
        assert_string_equal(run("HGET {p}:login_counts:2024-07-11 14:36"), "7");
    }
}

static const char *eval(const char *script) {
    static char text[64];
    struct redis_reply *reply = redis_link_call(admin, &error, "EVAL %s 0", script);
    assert_non_null(reply);
    snprintf(text, sizeof text, "%s", redis_reply_text(reply).bytes);
    redis_reply_destroy(&reply);
    return text;
}

/* A HyperLogLog's key ends in a value, which may have any byte. */
static void keys_with_any_byte_change_their_places(void **state) {
    (void)state;
    static const char moves[] =
        "for _, key in ipairs({'count:a:x\\0y', 'rebuild:count:a:\\0 : \\r\\n'}) do "
        "redis.call('PFADD', '{p}:' .. key, 'u') end";
    static const char count[] =
        "return redis.call('EXISTS', '{p}:before:count:a:x\\0y', '{p}:count:a:\\0 : \\r\\n') .. "
        "' ' .. #redis.call('KEYS', '*count:a:*\\0*')";
    assert_string_equal(eval(moves), "");
    if (swap(true) != SWAP_DONE) fail_msg("%s", error.text);
    assert_string_equal(eval(count), "2 2");
    size_t forgotten;
    assert_int_equal(redis_swap_forget(admin, "{p}", &forgotten, &error), STORE_OK);
    assert_string_equal(eval(count), "1 1");
}

/* A connection of its own, while a call is under way in the other. */
static struct redis_link *open_link(void) {
    struct redis_link *link = redis_link_create(
        &(struct redis_settings){.url = server.url, .timeout_ms = TIMEOUT_MS}, &error);
    assert_true(redis_link_open(link, &error));
    return link;
}

static void add_live_keys(void) {
    static const char add[] = "for _, name in ipairs({'rejected_counts', 'login_counts:__other__', "
                              "'anomalies', 'lineages'}) do "
                              "redis.call('SET', '{p}:' .. name, 1) end";
    struct redis_link *link = open_link();
    struct redis_reply *reply = redis_link_call(link, &error, "EVAL %s 0", add);
    assert_non_null(reply);
    assert_int_not_equal(redis_reply_kind(reply), REDIS_ERROR);
    redis_reply_destroy(&reply);
    redis_link_destroy(&link);
}

/* Left where it is, it would be counted into what was rebuilt. */
static void a_key_that_appears_before_the_swap_is_moved_too(void **state) {
    (void)state;
    run("DEL {p}:login_counts:__other__ {p}:anomalies {p}:lineages");
    before_script = add_live_keys;
    if (swap(true) != SWAP_DONE) fail_msg("%s", error.text);
    assert_null(before_script);
    assert_string_equal(run("EXISTS {p}:rejected_counts {p}:login_counts:__other__ {p}:anomalies "
                            "{p}:lineages"),
                        "0");
    assert_string_equal(run("EXISTS {p}:before:rejected_counts {p}:before:login_counts:__other__ "
                            "{p}:before:anomalies {p}:before:lineages"),
                        "4");
}

/* Also a day's hash that expired, and days on both sides. */
static void a_day_without_a_hash_is_no_hindrance(void **state) {
    (void)state;
    run("DEL {p}:login_counts:2024-07-10 {p}:rebuild:login_counts:2024-07-11");
    assert_int_equal(swap(true), SWAP_DONE);
    assert_string_equal(run("ZRANGE {p}:login_days 0 -1"), "2024-07-11");
    assert_string_equal(run("ZRANGE {p}:before:login_days 0 -1"), "2024-07-10");
}

static void where_nothing_is_live_the_rebuilt_takes_its_place(void **state) {
    (void)state;
    run("FLUSHALL");
    run_all(rebuilt);
    assert_int_equal(swap(false), SWAP_DONE);
    keys_are("{p}:locale_counts {p}:login_counts:2024-07-11 {p}:login_days {p}:meta {p}:offsets");
}

static void counts_that_are_behind_are_not_swapped(void **state) {
    (void)state;
    run("HSET {p}:offsets 1 21");
    assert_int_equal(swap(true), SWAP_LATER);
    says("do not catch up");
    nothing_was_moved();
    run("HSET {p}:offsets 1 20 3 0"); /* one that was not rebuilt at all */
    assert_int_equal(swap(true), SWAP_LATER);
    nothing_was_moved();
    assert_int_equal(swap(false), SWAP_DONE);
}

static void what_does_not_belong_together_is_not_swapped(void **state) {
    (void)state;
    static const struct {
        const char *damage, *named;
    } cases[] = {
        {"HDEL {p}:rebuild:meta seal", "are not whole"},
        {"HSET {p}:rebuild:meta seal 8", "are not whole"},
        {"HDEL {p}:rebuild:meta checkpoints seal", "are not whole"},
        {"DEL {p}:rebuild:meta", "what this rebuild had counted under {p}:rebuild was deleted"},
        {"HSET {p}:rebuild:meta rebuild other", "by another `rollcall rebuild`"},
        {"HDEL {p}:rebuild:meta rebuild", "start it again"},
        {"HSET {p}:meta group h", "belongs to group \"h\", and this rebuild is of \"g\""},
        {"HSET {p}:meta topic u", "belongs to topic \"u\", and this rebuild is of \"t\""},
        {"HSET {p}:meta schema 2", "belongs to schema \"2\", and this rebuild is of \"1\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(NULL);
        run(cases[i].damage);
        assert_int_equal(swap(false), SWAP_REFUSED);
        says(cases[i].named);
        nothing_was_moved();
    }
    begin(NULL);
    run("DEL {p}:rebuild:offsets");
    run("SET {p}:rebuild:offsets x");
    assert_int_equal(swap(true), SWAP_REFUSED);
    says("WRONGTYPE");
    nothing_was_moved();
    begin(NULL);
    run("HSET {p}:meta topic_id a"); /* an older rebuild knows none */
    assert_int_equal(swap(false), SWAP_DONE);
}

/* One key of any kind is enough, also one that has no live counterpart. */
static void counts_from_before_are_not_overwritten(void **state) {
    (void)state;
    static const char *const kept[] = {
        "HSET {p}:before:offsets 0 1", "ZADD {p}:before:locale_counts 5 ORIGINAL",
        "HSET {p}:before:login_counts:2024-07-10 00:00 1", "HSET {p}:before:rejected_counts x 1"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        begin(NULL);
        run(kept[i]);
        assert_int_equal(swap(i % 2 == 0), SWAP_REFUSED);
        says("still under {p}:before:*");
        says("`rollcall rebuild --forget`");
        nothing_was_moved();
    }
    size_t count = 0;
    assert_int_equal(redis_swap_forget(admin, "{p}", &count, &error), STORE_OK);
    assert_int_equal(count, 1);
    assert_int_equal(swap(true), SWAP_DONE);
}

/* Its answer was lost, and instances have counted on since. */
static void a_swap_that_is_repeated_changes_nothing(void **state) {
    (void)state;
    assert_int_equal(swap(true), SWAP_DONE);
    run("HSET {p}:meta checkpoints 10 seal 10");
    run("HSET {p}:offsets 0 30");
    for (int as_far = 0; as_far < 2; as_far++) {
        if (swap(as_far == 1) != SWAP_DONE) fail_msg("%s", error.text);
    }
    assert_string_equal(run("HGET {p}:meta checkpoints"), "10");
    assert_string_equal(run("HGET {p}:before:meta checkpoints"), "5");
}

/* As Redis does after a while without a command, or when it restarts. */
static void a_connection_that_broke_is_opened_again(void **state) {
    (void)state;
    struct redis_link *link = open_link();
    struct redis_reply *reply = redis_link_call(link, &error, "CLIENT KILL TYPE normal SKIPME yes");
    redis_reply_destroy(&reply);
    redis_link_destroy(&link);
    assert_int_equal(swap(true), SWAP_RETRY);
    says("broke");
    if (swap(true) != SWAP_DONE) fail_msg("%s", error.text);
    assert_string_equal(run("HGET {p}:meta checkpoints"), "9");
}

static void run_plainly(const char *command) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the words of the test itself */
#pragma GCC diagnostic ignored "-Wformat-security"   /* the same */
    struct redis_reply *reply = redis_link_call(admin, &error, command);
#pragma GCC diagnostic pop
    assert_non_null(reply);
    assert_int_not_equal(redis_reply_kind(reply), REDIS_ERROR);
    redis_reply_destroy(&reply);
}

/* Redis 7 knows it before the first write. */
static void a_missing_right_is_named(void **state) {
    (void)state;
    char url[128], version[32];
    struct redis_settings settings = {.url = url, .timeout_ms = TIMEOUT_MS};
    assert_true(redis_link_info(admin, "redis_version:", version, sizeof version, &error));
    if (atoi(version) < 7) skip();
    run_plainly("ACL SETUSER u on >p ~* +@all -rename");
    snprintf(url, sizeof url, "redis://u:p@%s", server.url + strlen("redis://"));
    struct redis_link *link = redis_link_create(&settings, &error);
    assert_true(redis_link_open(link, &error));
    assert_int_equal(redis_swap_run(link, "{p}", &aggregates, "r", false, &error), SWAP_REFUSED);
    says("the command rename");
    nothing_was_moved();
    redis_link_destroy(&link);
    run_plainly("ACL DELUSER u");
}

/* Else the keys before it would have been moved, and those behind it not. */
static void a_right_for_some_keys_only_moves_none(void **state) {
    (void)state;
    char url[128], version[32];
    struct redis_settings settings = {.url = url, .timeout_ms = TIMEOUT_MS};
    assert_true(redis_link_info(admin, "redis_version:", version, sizeof version, &error));
    if (atoi(version) < 7) skip();
    run_plainly("ACL SETUSER u on >p ~* +@all -rename "
                "(+rename ~{p}:before:* ~{p}:rebuild:* ~{p}:offsets ~{p}:meta ~{p}:login* "
                "~{p}:lineages ~{p}:anomalies ~{p}:count*)");
    snprintf(url, sizeof url, "redis://u:p@%s", server.url + strlen("redis://"));
    struct redis_link *link = redis_link_create(&settings, &error);
    assert_true(redis_link_open(link, &error));
    assert_int_equal(redis_swap_run(link, "{p}", &aggregates, "r", false, &error), SWAP_REFUSED);
    says("the command rename on the key {p}:");
    nothing_was_moved();
    redis_link_destroy(&link);
    run_plainly("ACL DELUSER u");
}

static void keys_under_a_part_are_counted_and_deleted(void **state) {
    (void)state;
    size_t count = 0;
    assert_int_equal(redis_swap_count(admin, "{p}", "rebuild", &count, &error), STORE_OK);
    assert_int_equal(count, 5);
    assert_int_equal(redis_swap_count(admin, "{p}", "before", &count, &error), STORE_OK);
    assert_int_equal(count, 0);
    keys_are(LIVE " " REBUILT " {p}:somebody:elses {p}x:offsets");
    assert_int_equal(redis_swap_claim(admin, "{p}", "mine", &count, &error), STORE_OK);
    assert_int_equal(count, 5);
    keys_are(LIVE " {p}:rebuild:meta {p}:somebody:elses {p}x:offsets");
    assert_string_equal(run("HGETALL {p}:rebuild:meta"), "rebuild mine");
    assert_int_equal(redis_swap_release(admin, "{p}", "mine", &error), STORE_OK);
    keys_are(LIVE " {p}:somebody:elses {p}x:offsets");
    assert_int_equal(redis_swap_claim(admin, "{p}", "mine", &count, &error), STORE_OK);
    assert_int_equal(count, 0);
    run("HSET {p}:before:offsets 0 1");
    run("HSET {p}:before:meta a b");
    assert_int_equal(redis_swap_forget(admin, "{p}", &count, &error), STORE_OK);
    assert_int_equal(count, 2);
    keys_are(LIVE " {p}:rebuild:meta {p}:somebody:elses {p}x:offsets");
}

static void (*before_deletion)(void); /* called when the keys are claimed, and all still there */

static void then_before_deletion(void) {
    before_script = before_deletion;
}

static void swap_meanwhile(void) {
    struct redis_link *link = open_link();
    assert_int_equal(redis_swap_run(link, "{p}", &aggregates, "r", true, &error), SWAP_REFUSED);
    says("was deleted");
    redis_link_destroy(&link);
}

/* Of half of the keys, some live counts would be missing. */
static void what_is_being_deleted_is_not_swapped_in(void **state) {
    (void)state;
    size_t count = 0;
    before_script = then_before_deletion;
    before_deletion = swap_meanwhile;
    assert_int_equal(redis_swap_claim(admin, "{p}", "mine", &count, &error), STORE_OK);
    assert_null(before_script);
    assert_int_equal(count, 5);
    keys_are(LIVE " {p}:rebuild:meta {p}:somebody:elses {p}x:offsets");
}

static void claim_meanwhile(void) {
    size_t count = 0;
    struct redis_link *link = open_link();
    assert_int_equal(redis_swap_claim(link, "{p}", "other", &count, &error), STORE_OK);
    struct redis_reply *reply = redis_link_call(link, &error, "HSET {p}:rebuild:offsets 0 7");
    redis_reply_destroy(&reply);
    redis_link_destroy(&link);
}

static void who_claims_last_keeps_what_it_stores(void **state) {
    (void)state;
    size_t count = 0;
    before_script = then_before_deletion;
    before_deletion = claim_meanwhile;
    assert_int_equal(redis_swap_claim(admin, "{p}", "mine", &count, &error), STORE_REFUSED);
    says("by another `rollcall rebuild`");
    assert_string_equal(run("HGETALL {p}:rebuild:offsets"), "0 7");
    assert_int_equal(redis_swap_release(admin, "{p}", "mine", &error), STORE_OK);
    assert_string_equal(run("HGETALL {p}:rebuild:meta"), "rebuild other");
}

/* A prefix with signs that a pattern would take for others. */
static void a_prefix_is_taken_by_its_letters(void **state) {
    (void)state;
    static const char signs[] = "a*b?[c]\\^";
    size_t count = 0;
    run("SET a*b?[c]\\^:rebuild:x 1");
    run("SET aXb?[c]\\^:rebuild:x 1");
    run("SET a*bX[c]\\^:rebuild:x 1");
    run("SET a*b?c\\^:rebuild:x 1");
    assert_int_equal(redis_swap_claim(admin, signs, "mine", &count, &error), STORE_OK);
    assert_int_equal(count, 1);
    assert_string_equal(run("EXISTS a*b?[c]\\^:rebuild:x"), "0");
    assert_string_equal(run("EXISTS aXb?[c]\\^:rebuild:x a*bX[c]\\^:rebuild:x a*b?c\\^:rebuild:x"),
                        "3");
}

/* More keys than one SCAN and one array take at first. */
static void many_keys_are_found(void **state) {
    (void)state;
    size_t count = 0;
    struct redis_reply *reply =
        redis_link_call(admin, &error, "EVAL %s 0",
                        "for i = 1, 2500 do redis.call('SET', '{p}:rebuild:k' .. i, 1) end");
    redis_reply_destroy(&reply);
    assert_int_equal(redis_swap_claim(admin, "{p}", "mine", &count, &error), STORE_OK);
    assert_int_equal(count, 2505);
    keys_are(LIVE " {p}:rebuild:meta {p}:somebody:elses {p}x:offsets");
}

/* --- the image -------------------------------------------------------------------------------- */

static char seen[ALL_BYTES];

static void see(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void see(const char *format, ...) {
    const size_t length = strlen(seen);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(seen + length, sizeof seen - length, format, arguments);
    va_end(arguments);
}

static void see_offset(void *context, struct slice partition, int64_t offset) {
    assert_ptr_equal(context, seen);
    see("offset %.*s %lld\n", (int)partition.length, partition.bytes, (long long)offset);
}

static void see_moment(void *context, int64_t now_s, struct slice horizon) {
    assert_ptr_equal(context, seen);
    assert_true(now_s > 1720622216);
    see("horizon %.*s\n", (int)horizon.length, horizon.bytes);
}

static void see_bucket(void *context, unsigned field, struct slice day, int64_t expires_s) {
    assert_ptr_equal(context, seen);
    assert_int_equal(aggregates.items[field].kind, AGGREGATE_DAYS);
    see("day %.*s %lld\n", (int)day.length, day.bytes, (long long)expires_s);
}

static void see_count(void *context, unsigned field, struct slice day, struct slice name,
                      struct slice count) {
    assert_ptr_equal(context, seen);
    see("%s '%.*s' %.*s %.*s\n", aggregates.items[field].key, (int)day.length, day.bytes,
        (int)name.length, name.bytes, (int)count.length, count.bytes);
}

static enum store_verdict read_image(void) {
    const struct redis_image_visitor visitor = {.context = seen,
                                                .offset = see_offset,
                                                .moment = see_moment,
                                                .bucket = see_bucket,
                                                .count = see_count};
    seen[0] = error.text[0] = '\0';
    return redis_image_read(admin, "{p}", &aggregates, &visitor, &error);
}

static void all_counts_are_read(void **state) {
    (void)state;
    run("FLUSHALL");
    assert_int_equal(read_image(), STORE_OK);
    assert_string_equal(seen, "horizon \n");
    run("HSET {p}:offsets 0 10");
    run("HSET {p}:meta horizon 2024-07-09");
    run("ZADD {p}:locale_counts 3 PA 4 US");
    run("HSET {p}:rejected_counts empty 5");
    run("ZADD {p}:login_days 1720742400 2024-07-10 1720828800 2024-07-11");
    run("HSET {p}:login_counts:2024-07-11 14:36 6");
    run("HSET {p}:login_counts:__other__ __other__ 7");
    assert_int_equal(read_image(), STORE_OK);
    assert_string_equal(seen, "offset 0 10\nhorizon 2024-07-09\nlocale_counts '' PA 3\n"
                              "locale_counts '' US 4\nday 2024-07-10 1720742400\n"
                              "day 2024-07-11 1720828800\nlogin_counts '2024-07-11' 14:36 6\n"
                              "login_counts '' __other__ 7\nrejected_counts '' empty 5\n");
}

static void an_offset_that_is_no_number_is_told_apart(void **state) {
    (void)state;
    static const char *const odd[] = {"x", "1x", "-1", "-3", "07", "+7"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char command[64];
        run("FLUSHALL");
        snprintf(command, sizeof command, "HSET {p}:offsets 7 %s", odd[i]);
        run(command);
        assert_int_equal(read_image(), STORE_OK);
        assert_string_equal(seen, "offset 7 -1\nhorizon \n");
    }
}

static void what_cannot_be_read_is_an_error(void **state) {
    (void)state;
    run("FLUSHALL");
    run("SET {p}:locale_counts x");
    assert_int_equal(read_image(), STORE_REFUSED);
    assert_string_not_equal(error.text, "");
    run("DEL {p}:locale_counts");
    run("SET {p}:login_days x");
    assert_int_equal(read_image(), STORE_REFUSED);
}

/* A name with a NUL is never the one that was asked for, as if a new day came each time. */
static void days_that_come_too_often_end_the_reading(void **state) {
    (void)state;
    run("FLUSHALL");
    struct redis_reply *reply =
        redis_link_call(admin, &error, "EVAL %s 1 {p}:login_days",
                        "return redis.call('ZADD', KEYS[1], 1720742400, 'a\\0b')");
    assert_int_equal(redis_reply_integer(reply), 1);
    redis_reply_destroy(&reply);
    script_count = 0;
    assert_int_equal(read_image(), STORE_RETRY);
    assert_non_null(strstr(error.text, "new days come too often to read the counts in Redis at "));
    assert_int_equal(script_count, 8);
    run("FLUSHALL");
    assert_int_equal(read_image(), STORE_OK);
}

int main(void) {
    redis_server_need();
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, begin)
        TEST(all_keys_change_their_places),
        TEST(keys_with_any_byte_change_their_places),
        TEST(a_key_that_appears_before_the_swap_is_moved_too),
        TEST(a_day_without_a_hash_is_no_hindrance),
        TEST(where_nothing_is_live_the_rebuilt_takes_its_place),
        TEST(counts_that_are_behind_are_not_swapped),
        TEST(what_does_not_belong_together_is_not_swapped),
        TEST(counts_from_before_are_not_overwritten),
        TEST(a_swap_that_is_repeated_changes_nothing),
        TEST(a_connection_that_broke_is_opened_again),
        TEST(a_missing_right_is_named),
        TEST(a_right_for_some_keys_only_moves_none),
        TEST(keys_under_a_part_are_counted_and_deleted),
        TEST(what_is_being_deleted_is_not_swapped_in),
        TEST(who_claims_last_keeps_what_it_stores),
        TEST(a_prefix_is_taken_by_its_letters),
        TEST(many_keys_are_found),
        TEST(all_counts_are_read),
        TEST(an_offset_that_is_no_number_is_told_apart),
        TEST(what_cannot_be_read_is_an_error),
        TEST(days_that_come_too_often_end_the_reading),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
