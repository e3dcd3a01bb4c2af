/* redis_url: every form of redis.url, and what is pointed out in a wrong one. */
#include "edge/redis_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void each_form_is_taken_apart(void **state) {
    (void)state;
    static const struct {
        const char *text, *name, *user, *password;
        enum redis_url_kind kind;
        bool is_tls;
        int host_count, last_port, database;
    } rows[] = {
        {"redis://h", "redis://h:6379/0", "", "", REDIS_URL_HOST, false, 1, 6379, 0},
        {"redis://u%41:p%41@h", "redis://uA:***@h:6379/0", "uA", "pA", REDIS_URL_HOST, false, 1,
         6379, 0},
        {"redis://:p@q,r@h", "redis://***@h:6379/0", "", "p@q,r", REDIS_URL_HOST, false, 1, 6379,
         0},
        {"redis://h.:7/2", "redis://h.:7/2", "", "", REDIS_URL_HOST, false, 1, 7, 2},
        {"REDISS://u:p@[::1]:7", "rediss://u:***@[::1]:7/0", "u", "p", REDIS_URL_HOST, true, 1, 7,
         0},
        {"unix://u:p@/a?db=3", "unix://u:***@/a?db=3", "u", "p", REDIS_URL_PATH, false, 0, 0, 3},
        {"unix:///a@b", "unix:///a@b?db=0", "", "", REDIS_URL_PATH, false, 0, 0, 0},
        {"redis+sentinel://a,b:5,[::2]:6/m/4", "redis+sentinel://a:26379,b:5,[::2]:6/m/4", "", "",
         REDIS_URL_SENTINEL, false, 3, 6, 4},
        {"rediss+sentinel://:p@q@a/m/", "rediss+sentinel://***@a:26379/m/0", "", "p@q",
         REDIS_URL_SENTINEL, true, 1, 26379, 0},
        {"redis+cluster://u:p%2f%@a,b:7", "redis+cluster://u:***@a:6379,b:7", "u", "p/%",
         REDIS_URL_CLUSTER, false, 2, 7, 0},
        {"redis+cluster://u:p,q%2c@a,b", "redis+cluster://u:***@a:6379,b:6379", "u", "p,q,",
         REDIS_URL_CLUSTER, false, 2, 6379, 0},
        {"redis+cluster://:1,2@[fe80::1%25eth0]", "redis+cluster://***@[fe80::1%eth0]:6379", "",
         "1,2", REDIS_URL_CLUSTER, false, 1, 6379, 0},
        {"rediss+cluster://a/0", "rediss+cluster://a:6379", "", "", REDIS_URL_CLUSTER, true, 1,
         6379, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error error = {""};
        struct redis_url url = {0};
        if (!redis_url_parse(&url, rows[i].text, &error))
            fail_msg("%s: %s", rows[i].text, error.text);
        assert_string_equal(url.name, rows[i].name);
        assert_string_equal(url.user == NULL ? "" : url.user, rows[i].user);
        assert_string_equal(url.password == NULL ? "" : url.password, rows[i].password);
        assert_int_equal(url.kind, rows[i].kind);
        assert_int_equal(url.is_tls, rows[i].is_tls);
        assert_int_equal(url.host_count, rows[i].host_count);
        if (url.host_count > 0)
            assert_int_equal(url.hosts[url.host_count - 1].port, rows[i].last_port);
        assert_int_equal(url.database, rows[i].database);
        if (url.kind == REDIS_URL_SENTINEL) assert_string_equal(url.master, "m");
        redis_url_release(&url);
    }
}

static void what_is_wrong_is_pointed_out(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"http://h", "redis+sentinel://"},
        {"redis://", "has a wrong host"},
        {"redis://u:hidden@", "has a wrong host"},
        {"redis://h:0", "has a wrong host"},
        {"redis://h:65536", "has a wrong host"},
        {"redis://h:99999999999999999999", "has a wrong host"},
        {"redis://h:", "has a wrong host"},
        {"redis://h:-1", "has a wrong host"},
        {"redis://:6379", "has a wrong host"},
        {"redis://[::1", "has a wrong host"},
        {"redis://[]:1", "has a wrong host"},
        {"redis://[::1]x:6379", "has a wrong host"},
        {"redis://[::1]]:6379", "has a wrong host"},
        {"redis://::1", "[IPv6 address]:port"},
        {"redis://h?db=3", "has a wrong host"},
        {"redis://h#x", "has a wrong host"},
        {"redis://a,b", "several hosts are for redis+sentinel://"},
        {"redis://u:hidden@a:1,b:2", "several hosts are for redis+sentinel://"},
        {"redis://u:hidden@a:1,u:hidden@b:2", "once, before the first host"},
        {"redis+cluster://u:hidden@a:1,v:hidden@b:2", "once, before the first host"},
        {"redis+sentinel://u:hidden@a,v:hidden@b/m", "once, before the first host"},
        {"redis+sentinel://:hidden@q,@a/m", "once, before the first host"},
        {"redis+cluster://a:1,u:hidden@b:2", "once, before the first host"},
        {"redis+cluster://a,u:hidden@b:2", "once, before the first host"},
        {"redis+cluster://[::1]:1,u:hidden@b:2", "once, before the first host"},
        {"redis+cluster://[::1],u:hidden@b:2", "once, before the first host"},
        {"redis+cluster://,u:hidden@b:2", "once, before the first host"},
        {"redis+cluster://a:1,", "has a wrong host"},
        {"redis+cluster://,a:1", "has a wrong host"},
        {"redis+cluster://a,,b", "has a wrong host"},
        {"redis+cluster://a:1:2", "has a wrong host"},
        {"redis://h/x", "redis://["},
        {"redis://a:1/0/1", "redis://["},
        {"redis://u:a/b@h", "raw '/'"},
        {"redis+cluster://u:a/b@h", "raw '/'"},
        {"unix://u:a/b@/path", "raw '/'"},
        {"unix://u:a@/b@/path", "twice"},
        {"redis://h%00", "NUL"},
        {"redis+sentinel://a,b", "/MASTER"},
        {"redis+sentinel://a,b/", "/MASTER"},
        {"redis+sentinel://a,,b/m", "has a wrong host"},
        {"redis+sentinel://a/m/x", "/MASTER"},
        {"redis+sentinel://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17/m", "at most 16 hosts"},
        {"redis+cluster://a/1", "without a database"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error error = {""};
        struct redis_url url = {0};
        assert_false(redis_url_parse(&url, rows[i][0], &error));
        if (strstr(error.text, rows[i][1]) == NULL) fail_msg("%s: %s", rows[i][0], error.text);
        assert_null(strstr(error.text, "hidden"));
        redis_url_release(&url);
    }
}

static void the_last_colon_of_an_address_counts(void **state) {
    (void)state;
    struct redis_address address;
    char text[REDIS_HOST_BYTES + 16];
    static const char moved[] = "::1:7000@17000,host rest";
    assert_true(redis_address_parse(&address, moved, 8));
    assert_string_equal(address.host, "::1");
    assert_int_equal(address.port, 7000);
    redis_address_show(&address, text);
    assert_string_equal(text, "[::1]:7000");
    assert_true(redis_address_parse(&address, moved, 14));
    assert_int_equal(address.port, 7000);
    assert_true(redis_address_parse(&address, ":7", 2));
    assert_string_equal(address.host, "");
    assert_true(redis_address_parse(&address, "h:65535", 7));
    assert_int_equal(address.port, 65535);
    assert_false(redis_address_parse(&address, "h:65536", 7));
    assert_false(redis_address_parse(&address, "host", 4));
    assert_false(redis_address_parse(&address, "host:", 5));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_is_taken_apart),
        cmocka_unit_test(what_is_wrong_is_pointed_out),
        cmocka_unit_test(the_last_colon_of_an_address_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
