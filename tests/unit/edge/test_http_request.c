/* Heads as clients send them, and as nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/http_listen.h"
#include "edge/http_request.h"

static char bytes[16 * 1024];
static struct http_request request;

/* In memory of exactly its size, so that a sanitizer sees a byte too many. */
static unsigned parse(const char *head) {
    static char *own;
    const size_t length = strlen(head);
    unsigned status = 0;
    free(own);
    own = malloc(length);
    memcpy(own, head, length);
    assert_int_equal(http_request_parse(own, length, &request, &status), length);
    return status;
}

static void a_head_is_taken_apart(void **state) {
    (void)state;
    assert_int_equal(parse("GET /counts?from=2024-07-10&scope=a%20b+c&x HTTP/1.1\r\n"
                           "Host: localhost:9464\r\nACCEPT:  text/html \t\r\nX:\r\n\r\n"),
                     200);
    assert_false(request.is_head || request.is_1_0);
    assert_true(request.keeps_alive);
    assert_string_equal(request.path, "/counts");
    assert_string_equal(request.host, "localhost:9464");
    assert_string_equal(http_request_argument(&request, "from"), "2024-07-10");
    assert_string_equal(http_request_argument(&request, "scope"), "a b c");
    assert_string_equal(http_request_argument(&request, "x"), "");
    assert_null(http_request_argument(&request, "From"));
    assert_string_equal(http_request_field(&request, "accept"), "text/html");
    assert_string_equal(http_request_field(&request, "x"), "");
    assert_null(http_request_field(&request, "y"));
}

static void bare_line_feeds_and_empty_lines_before_are_fine(void **state) {
    (void)state;
    assert_int_equal(parse("\r\n\nHEAD / HTTP/1.1\nHost: x\n\n"), 200);
    assert_true(request.is_head);
    assert_string_equal(request.path, "/");
}

static void the_connection_stays_only_for_1_1_without_close(void **state) {
    (void)state;
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n"), 200);
    assert_false(request.keeps_alive);
    assert_true(request.is_1_0);
    assert_null(request.host);
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n"), 200);
    assert_false(request.keeps_alive);
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: x\r\nConnection: closer\r\n\r\n"), 200);
    assert_true(request.keeps_alive);
}

static void a_whole_url_brings_its_host(void **state) {
    (void)state;
    assert_int_equal(parse("GET http://evil:1/a?b=c HTTP/1.1\r\nHost: localhost\r\n\r\n"), 200);
    assert_string_equal(request.host, "evil:1");
    assert_string_equal(request.path, "/a");
    assert_string_equal(http_request_argument(&request, "b"), "c");
}

static void what_is_wrong_has_its_status(void **state) {
    (void)state;
    static const struct {
        unsigned status;
        const char *head;
    } cases[] = {
        {400, "GET\r\n\r\n"},
        {400, "GET /\r\n\r\n"},
        {400, "GET  / HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET / HTTP/1.1 \r\nHost: x\r\n\r\n"},
        {400, "G(T / HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET / HTTP/1\r\nHost: x\r\n\r\n"},
        {400, "GET / HTTP/1x1\r\nHost: x\r\n\r\n"},
        {400, "GET / HTTP/1.x\r\nHost: x\r\n\r\n"},
        {400, "GET / http/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET x HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET http://x HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET http://x?/ HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET * HTTP/1.1\r\nHost: x\r\n\r\n"},
        {505, "GET / HTTP/2.0\r\nHost: x\r\n\r\n"},
        {505, "GET / HTTP/9.9\r\n\r\n"},
        {405, "POST / HTTP/1.1\r\nHost: x\r\n\r\n"},
        {405, "get / HTTP/1.1\r\nHost: x\r\n\r\n"},
        {405, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"},
        {200, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "GET /?a=%00 HTTP/1.1\r\nHost: a\r\n\r\n"},
        {200, "GET /?a=%zz%4 HTTP/1.1\r\nHost: a\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const unsigned status = parse(cases[i].head);
        if (status != cases[i].status) fail_msg("%u for %s", status, cases[i].head);
    }
    assert_string_equal(http_request_argument(&request, "a"), "%zz%4");
}

static void a_nul_is_nowhere_allowed(void **state) {
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n";
    unsigned status = 0;
    memcpy(bytes, head, sizeof head - 1);
    assert_int_equal(http_request_parse(bytes, sizeof head - 1, &request, &status),
                     sizeof head - 1);
    assert_int_equal(status, 400);
}

/* Byte for byte, and what follows the head stays as it is. */
static void nothing_happens_before_the_head_is_complete(void **state) {
    (void)state;
    static const char two[] = "\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\n";
    const size_t head = (size_t)(strstr(two, "GET /b") - two);
    unsigned status = 7;
    memcpy(bytes, two, sizeof two);
    for (size_t length = 0; length < head; length++)
        assert_int_equal(http_request_parse(bytes, length, &request, &status), 0);
    assert_int_equal(status, 7);
    assert_memory_equal(bytes, two, sizeof two);
    assert_int_equal(http_request_parse(bytes, sizeof two - 1, &request, &status), head);
    assert_string_equal(request.path, "/a");
    assert_memory_equal(bytes + head, two + head, sizeof two - head);
}

static void fields_and_arguments_are_bounded(void **state) {
    (void)state;
    char head[8192] = "GET / HTTP/1.1\r\nHost: x\r\n";
    for (int i = 1; i < HTTP_FIELDS_MAX; i++)
        strcat(head, "A: b\r\n");
    char more[8192 + 64];
    snprintf(more, sizeof more, "%sA: b\r\n\r\n", head);
    strcat(head, "\r\n");
    assert_int_equal(parse(head), 200);
    assert_int_equal(parse(more), 431);
    strcpy(head, "GET /?");
    for (int i = 0; i < HTTP_ARGUMENTS_MAX; i++)
        strcat(head, "a&");
    snprintf(more, sizeof more, "%sa HTTP/1.1\r\nHost: x\r\n\r\n", head);
    strcat(head, " HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(parse(head), 200);
    assert_int_equal(parse(more), 400);
}

static void only_names_of_loopback_are_its_hosts(void **state) {
    (void)state;
    static const char *const good[] = {"localhost",      "LocalHost:80", "127.0.0.1",
                                       "127.1.2.3:9464", "[::1]",        "[::1]:1",
                                       "host.example:1"};
    static const char *const foreign[] = {
        "",          "evil.example", "localhost.evil", "127.0.0.1.evil",
        "128.0.0.1", "[::2]",        "localhost:x",    "localhost:80:80",
        "[::1]x",    "[::1",         "localhost@evil", "evil:127.0.0.1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!http_listen_is_host("host.example:9464", good[i])) fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (http_listen_is_host("127.0.0.1:9464", foreign[i])) fail_msg("%s", foreign[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_taken_apart),
        cmocka_unit_test(bare_line_feeds_and_empty_lines_before_are_fine),
        cmocka_unit_test(the_connection_stays_only_for_1_1_without_close),
        cmocka_unit_test(a_whole_url_brings_its_host),
        cmocka_unit_test(what_is_wrong_has_its_status),
        cmocka_unit_test(a_nul_is_nowhere_allowed),
        cmocka_unit_test(nothing_happens_before_the_head_is_complete),
        cmocka_unit_test(fields_and_arguments_are_bounded),
        cmocka_unit_test(only_names_of_loopback_are_its_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
