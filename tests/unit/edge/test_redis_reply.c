/* redis_reply: replies of each kind, as they come on the wire. */
#include "edge/redis_reply.h"

#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct redis_reply *parse(const char *bytes) {
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    redisReaderFeed(reader, bytes, strlen(bytes));
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    return reply;
}

static void each_kind_has_its_own_part_alone(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        enum redis_reply_kind kind;
        const char *text;
        int64_t integer;
        size_t count;
    } cases[] = {
        {"$2\r\nab\r\n", REDIS_TEXT, "ab", 0, 0},   {"+OK\r\n", REDIS_STATUS, "OK", 0, 0},
        {"-ERR x\r\n", REDIS_ERROR, "ERR x", 0, 0}, {":-7\r\n", REDIS_INTEGER, "", -7, 0},
        {"$-1\r\n", REDIS_NIL, "", 0, 0},           {"*2\r\n:1\r\n:2\r\n", REDIS_LIST, "", 0, 2},
        {"*0\r\n", REDIS_LIST, "", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct redis_reply *reply = parse(cases[i].bytes);
        assert_int_equal(redis_reply_kind(reply), cases[i].kind);
        assert_string_equal(redis_reply_text(reply).bytes, cases[i].text);
        assert_int_equal(redis_reply_text(reply).length, strlen(cases[i].text));
        assert_int_equal(redis_reply_integer(reply), cases[i].integer);
        assert_int_equal(redis_reply_count(reply), cases[i].count);
        redis_reply_destroy(&reply);
        assert_null(reply);
        redis_reply_destroy(&reply); /* none is fine */
    }
}

static void texts_are_a_list_of_nothing_else(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t multiple;
        bool is_texts;
    } cases[] = {
        {"*0\r\n", 2, true},
        {"*2\r\n$1\r\na\r\n$1\r\nb\r\n", 1, true},
        {"*2\r\n$1\r\na\r\n$1\r\nb\r\n", 2, true},
        {"*2\r\n$1\r\na\r\n$1\r\nb\r\n", 3, false},
        {"*1\r\n$1\r\na\r\n", 2, false},
        {"*2\r\n$1\r\na\r\n:1\r\n", 1, false},
        {"*2\r\n$-1\r\n$1\r\na\r\n", 1, false},
        {"$1\r\na\r\n", 1, false},
        {":0\r\n", 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct redis_reply *reply = parse(cases[i].bytes);
        if (redis_reply_is_texts(reply, cases[i].multiple) != cases[i].is_texts)
            fail_msg("case %zu", i);
        redis_reply_destroy(&reply);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_its_own_part_alone),
        cmocka_unit_test(texts_are_a_list_of_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
