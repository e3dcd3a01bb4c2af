/* core/hyperloglog and a real Redis: the same registers and the same numbers, bit for bit. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/hyperloglog.h"
#include "edge/redis_call.h"
#include "redis_server.h"

enum { TIMEOUT_MS = 5000, AT_ONCE = 1000, MILLION = 1000000, DAMAGED = 3000 };

static struct redis_server server;
static struct redis_link *link_;
static struct redis_command command;
static struct hyperloglog ours, theirs;

static int start_redis(void **state) {
    (void)state;
    struct error error = {""};
    if (!redis_server_start(&server)) return -1;
    link_ = redis_link_create(&(struct redis_settings){.url = server.url, .timeout_ms = TIMEOUT_MS},
                              &error);
    return redis_link_open(link_, &error) ? 0 : -1;
}

static int stop_redis(void **state) {
    (void)state;
    redis_link_destroy(&link_);
    redis_command_release(&command);
    return redis_server_stop(&server);
}

static int begin(void **state) {
    (void)state;
    struct redis_reply *reply = redis_link_call(link_, NULL, "FLUSHALL");
    redis_reply_destroy(&reply);
    hyperloglog_release(&ours);
    hyperloglog_release(&theirs);
    return 0;
}

static int end(void **state) {
    return begin(state);
}

/* --- commands --------------------------------------------------------------------------------- */

static void begin_command(const char *name, const char *key) {
    redis_command_clear(&command);
    redis_command_put_text(&command, name);
    redis_command_put_text(&command, key);
}

/* Sends what was put; the integer that is the reply, -1 for an error. */
static int64_t call(void) {
    struct error error = {""};
    if (!redis_link_send(link_, &command, &error)) fail_msg("%s", error.text);
    struct redis_reply *reply = redis_link_receive(link_, &error);
    if (reply == NULL) fail_msg("%s", error.text);
    const bool is_error = redis_reply_kind(reply) == REDIS_ERROR;
    const int64_t number = redis_reply_integer(reply);
    redis_reply_destroy(&reply);
    return is_error ? -1 : number;
}

static int64_t count_of(const char *key) {
    begin_command("PFCOUNT", key);
    redis_command_put_text(&command, key); /* twice: nothing is cached */
    return call();
}

/* Users number begin to end-1, by PFADD and by us. */
static void add_users(const char *key, int64_t begin_at, int64_t end_at) {
    char text[24];
    for (int64_t i = begin_at; i < end_at;) {
        begin_command("PFADD", key);
        for (int n = 0; n < AT_ONCE && i < end_at; n++, i++) {
            const int length = snprintf(text, sizeof text, "user-%lld", (long long)i);
            redis_command_put(&command, text, (size_t)length);
            hyperloglog_add(&ours, hyperloglog_hash((struct slice){text, (size_t)length}));
        }
        assert_true(call() >= 0);
    }
}

/* Brings what we have to a key, as a checkpoint does. */
static void bring(const char *key) {
    static char written[HYPERLOGLOG_DENSE_BYTES];
    const size_t length = hyperloglog_write(&ours, written);
    if (length == HYPERLOGLOG_DENSE_BYTES) {
        begin_command("SET", "piece");
        redis_command_put(&command, written, length);
        assert_int_equal(call(), 0);
        begin_command("PFMERGE", key);
        redis_command_put_text(&command, "piece");
    } else {
        begin_command("PFADD", key);
        for (size_t at = 0; at < length; at += HYPERLOGLOG_ELEMENT_BYTES)
            redis_command_put(&command, written + at, HYPERLOGLOG_ELEMENT_BYTES);
    }
    assert_true(call() >= 0);
}

static bool read_key(const char *key, struct hyperloglog *into) {
    struct redis_reply *reply = redis_link_call(link_, NULL, "GET %s", key);
    assert_non_null(reply);
    hyperloglog_release(into);
    const bool is_read = hyperloglog_read(into, redis_reply_text(reply));
    redis_reply_destroy(&reply);
    return is_read;
}

static void assert_same(const char *key) {
    assert_true(read_key(key, &theirs));
    assert_true(hyperloglog_is_same(&ours, &theirs));
    assert_int_equal(count_of(key), hyperloglog_estimate(&ours));
}

/* --- tests ------------------------------------------------------------------------------------ */

static void the_same_values_make_the_same_registers(void **state) {
    (void)state;
    static const int64_t users[] = {1, 2, 10, 100, 512, 700, 1000, 3000, 20000, MILLION};
    int64_t added = 0;
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        add_users("theirs", added, users[i]);
        added = users[i];
        assert_same("theirs");
        bring("ours");
        assert_same("ours");
        bring("ours"); /* once more changes nothing */
        assert_same("ours");
        const double off = fabs((double)count_of("ours") - (double)added) / (double)added;
        if (off > 3 * 0.0081) fail_msg("%lld: %.2f %% off", (long long)added, off * 100);
    }
}

/* What is stored and what comes may each be few or many, and overlap. */
static void what_comes_is_merged_into_what_is_there(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 5, 300, 512, 1200, 6000, 50000};
    const size_t count = sizeof sizes / sizeof *sizes;
    for (size_t i = 0; i < count * count; i++) {
        begin(NULL);
        const int64_t stored = sizes[i / count], comes = sizes[i % count];
        add_users("all", 0, stored);
        bring("ours");
        hyperloglog_release(&ours);
        add_users("all", stored / 2, stored / 2 + comes);
        bring("ours");
        assert_int_equal(count_of("ours"), count_of("all"));
        assert_true(read_key("all", &theirs));
        assert_true(read_key("ours", &ours));
        if (!hyperloglog_is_same(&ours, &theirs))
            fail_msg("%lld and %lld", (long long)stored, (long long)comes);
    }
}

/* Every rank, which no number of users would bring. */
static void ranks_are_the_same_up_to_the_highest(void **state) {
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (uint64_t rank = 1; rank <= HYPERLOGLOG_RANK_MAX; rank++) {
            const uint64_t rest = rank == HYPERLOGLOG_RANK_MAX ? 0 : UINT64_C(1) << (rank - 1);
            hyperloglog_add(&ours, rest << 14 | rank * 300);
        }
        bring("ours"); /* as elements, then as a string */
        assert_same("ours");
        add_users("theirs", 0, 20000);
    }
}

/* What Redis itself would not take for a HyperLogLog is none for us, and the reverse. */
static void damage_is_seen_where_redis_sees_it(void **state) {
    (void)state;
    static char bytes[HYPERLOGLOG_DENSE_BYTES];
    uint64_t random = 42;
    int refused = 0;
    add_users("good", 0, 200);
    for (int i = 0; i < DAMAGED; i++) {
        struct redis_reply *reply = redis_link_call(link_, NULL, "GET good");
        const struct slice good = redis_reply_text(reply);
        memcpy(bytes, good.bytes, good.length);
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        size_t length = good.length, at = (size_t)(random >> 33) % length;
        if (at >= 5 && at < HYPERLOGLOG_HEADER_BYTES) at = HYPERLOGLOG_HEADER_BYTES;
        bytes[at] = (char)(bytes[at] ^ 1 << (random >> 25) % 8);
        if (i % 3 == 0) length -= (size_t)(random >> 53) % 40;
        redis_reply_destroy(&reply);
        begin_command("SET", "damaged");
        redis_command_put(&command, bytes, length);
        assert_int_equal(call(), 0);
        const bool is_read = read_key("damaged", &theirs);
        if (is_read != (count_of("damaged") >= 0))
            fail_msg("byte %zu of %zu is %02x", at, length, (unsigned)(uint8_t)bytes[at]);
        refused += !is_read;
    }
    assert_in_range(refused, DAMAGED / 3, DAMAGED - DAMAGED / 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_values_make_the_same_registers, begin, end),
        cmocka_unit_test_setup_teardown(what_comes_is_merged_into_what_is_there, begin, end),
        cmocka_unit_test_setup_teardown(ranks_are_the_same_up_to_the_highest, begin, end),
        cmocka_unit_test_setup_teardown(damage_is_seen_where_redis_sees_it, begin, end),
    };
    redis_server_need();
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
