/* A real server on a free port of loopback, and a client that writes bytes and reads to the end. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge/http_server.h"

enum { ANSWER_BYTES = 64 * 1024, LARGE_BYTES = 3 * 1024 * 1024 };

static void handle(void *context, const char *path, const struct http_request *request,
                   struct http_reply *reply) {
    if (strcmp(path, "/greet") == 0) {
        text_format(&reply->body, "hello %s\n", (const char *)context);
    } else if (strcmp(path, "/echo") == 0) {
        const char *value = http_request_argument(request, "scope");
        text_format(&reply->body, "[%s]", value == NULL ? "none" : value);
    } else if (strcmp(path, "/refuse") == 0) {
        reply->status = 503;
        reply->content_type = "application/json";
        text_add(&reply->body, "{}");
    } else if (strcmp(path, "/broken") == 0) {
        text_add(&reply->body, "half of it");
        reply->body.is_broken = true;
    } else if (strcmp(path, "/much") == 0) {
        while (reply->body.length < LARGE_BYTES)
            text_add(&reply->body, "0123456789abcdef");
    }
}

static char world[] = "world";

static int set_up(void **state) {
    struct error error = {0};
    *state = http_server_create("127.0.0.1:0", handle, world, &error);
    if (*state == NULL) print_error("%s\n", error.text);
    return *state == NULL;
}

static int tear_down(void **state) {
    struct http_server *server = *state;
    http_server_destroy(&server);
    assert_null(server);
    http_server_destroy(&server);
    return 0;
}

static int connect_to(uint16_t port) {
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval deadline = {.tv_sec = 30};
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    assert_int_equal(connect(descriptor, (const struct sockaddr *)&address, sizeof address), 0);
    return descriptor;
}

static void send_all(int descriptor, const char *bytes) {
    const ssize_t length = (ssize_t)strlen(bytes);
    assert_int_equal(send(descriptor, bytes, (size_t)length, MSG_NOSIGNAL), length);
}

/* Reads until the server closes, then closes too. Answers how many bytes there were; keeps what
 * fits. */
static size_t read_to_end(int descriptor, char *answer) {
    static char rest[ANSWER_BYTES];
    size_t total = 0;
    size_t kept = 0;
    for (;;) {
        const ssize_t got = recv(descriptor, rest, sizeof rest, 0);
        if (got == 0 || (got < 0 && errno == ECONNRESET)) break;
        assert_true(got > 0);
        const size_t room = ANSWER_BYTES - 1 - kept;
        const size_t keep = (size_t)got < room ? (size_t)got : room;
        memcpy(answer + kept, rest, keep);
        kept += keep;
        total += (size_t)got;
    }
    answer[kept] = '\0';
    close(descriptor);
    return total;
}

/* Sends one request, to which "Connection: close" is added, and answers the reply. */
static const char *ask(struct http_server *server, const char *method, const char *path) {
    static char answer[ANSWER_BYTES];
    char request[1024];
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             method, path);
    const int descriptor = connect_to(http_server_port(server));
    send_all(descriptor, request);
    read_to_end(descriptor, answer);
    return answer;
}

static const char *body_of(const char *answer) {
    const char *end_of_head = strstr(answer, "\r\n\r\n");
    assert_non_null(end_of_head);
    return end_of_head + 4;
}

static void assert_begins(const char *answer, const char *begin) {
    if (strncmp(answer, begin, strlen(begin)) != 0) {
        fail_msg("does not begin with %s: %s", begin, answer);
    }
}

/* Not inlined: with UBSan gcc would take every answer for one that may be NULL, and warn. */
__attribute__((noinline)) static void assert_has(const char *answer, const char *part) {
    if (strstr(answer, part) == NULL) fail_msg("has no %s: %s", part, answer);
}

static void get_gives_what_the_handler_wrote(void **state) {
    const char *answer = ask(*state, "GET", "/greet");
    assert_begins(answer, "HTTP/1.1 200 OK\r\n");
    assert_has(answer, "Content-Type: text/plain; charset=utf-8\r\n");
    assert_has(answer, "Content-Length: 12\r\n");
    assert_has(answer, "Cache-Control: no-store\r\n");
    assert_string_equal(body_of(answer), "hello world\n");
}

static void head_is_get_without_the_body(void **state) {
    const char *answer = ask(*state, "HEAD", "/greet");
    assert_begins(answer, "HTTP/1.1 200 OK\r\n");
    assert_has(answer, "Content-Length: 12\r\n");
    assert_string_equal(body_of(answer), "");
}

static void the_handler_chooses_status_and_type(void **state) {
    const char *answer = ask(*state, "GET", "/refuse");
    assert_begins(answer, "HTTP/1.1 503 ");
    assert_has(answer, "Content-Type: application/json\r\n");
    assert_string_equal(body_of(answer), "{}");
}

static void a_broken_body_is_a_500_without_its_half(void **state) {
    const char *answer = ask(*state, "GET", "/broken");
    assert_begins(answer, "HTTP/1.1 500 ");
    assert_string_equal(body_of(answer), "");
}

static void an_empty_body_is_fine(void **state) {
    const char *answer = ask(*state, "GET", "/nothing");
    assert_begins(answer, "HTTP/1.1 200 ");
    assert_has(answer, "Content-Length: 0\r\n");
}

static void other_methods_are_405_whatever_they_upload(void **state) {
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "BREW"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        const char *answer = ask(*state, methods[i], "/greet");
        assert_begins(answer, "HTTP/1.1 405 ");
        assert_has(answer, "Allow: GET, HEAD\r\n");
    }
    char answer[ANSWER_BYTES];
    const int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, "POST /greet HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nfew");
    read_to_end(descriptor, answer);
    assert_begins(answer, "HTTP/1.1 405 ");
}

static void a_get_with_a_body_ends_the_connection(void **state) {
    char answer[ANSWER_BYTES];
    const int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, "GET /greet HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789");
    read_to_end(descriptor, answer);
    assert_null(strstr(answer, "hello"));
    assert_begins(ask(*state, "GET", "/greet"), "HTTP/1.1 200 ");
}

static void arguments_of_the_query_are_decoded(void **state) {
    static const char *const pairs[][2] = {
        {"/echo", "[none]"},   {"/echo?scope=instance", "[instance]"}, {"/echo?scope=", "[]"},
        {"/echo?scope", "[]"}, {"/echo?x=1&scope=a%20b+c", "[a b c]"}, {"/echo?Scope2=1", "[none]"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_string_equal(body_of(ask(*state, "GET", pairs[i][0])), pairs[i][1]);
    }
}

static void a_large_body_arrives_whole(void **state) {
    char answer[ANSWER_BYTES];
    const int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, "GET /much HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const size_t total = read_to_end(descriptor, answer);
    assert_int_equal(total - (size_t)(body_of(answer) - answer), LARGE_BYTES);
}

static void one_connection_takes_many_requests(void **state) {
    char answer[ANSWER_BYTES];
    const int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, "GET /greet HTTP/1.1\r\nHost: x\r\n\r\n");
    send_all(descriptor, "HEAD /greet HTTP/1.1\r\nHost: x\r\n\r\n");
    send_all(descriptor, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    read_to_end(descriptor, answer);
    assert_has(answer, "\r\n\r\nhello world\nHTTP/1.1 200 OK\r\n");
    assert_has(answer, "\r\n\r\n[none]");
}

static void what_is_not_http_harms_nobody(void **state) {
    static const char *const noise[] = {"\r\n\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
                                        "\x16\x03\x01\x02", "GET /%00%ff%zz HTTP/1.1\r\n\r\n"};
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++) {
        const int descriptor = connect_to(http_server_port(*state));
        send_all(descriptor, noise[i]);
        close(descriptor);
    }
    char head[HTTP_REQUEST_BYTES_MAX + 1024];
    memset(head, 'a', sizeof head);
    memcpy(head, "GET /", 5);
    head[sizeof head - 1] = '\0';
    const int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, head);
    char first = 0;
    (void)!recv(descriptor, &first, 1, 0); /* an answer, an end or a reset, but no endless wait */
    close(descriptor);
    assert_begins(ask(*state, "GET", "/greet"), "HTTP/1.1 200 ");
}

static void a_silent_connection_is_ended_after_its_time(void **state) {
    char answer[ANSWER_BYTES];
    const int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, "GET /greet HTTP/1.1\r\nHo"); /* waits HTTP_TIMEOUT_S, no more than 30 s */
    assert_int_equal(read_to_end(descriptor, answer), 0);
}

static void more_connections_than_allowed_wait_for_their_turn(void **state) {
    int idle[HTTP_CONNECTIONS_MAX];
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        idle[i] = connect_to(http_server_port(*state));
        char answer[4];
        send_all(idle[i], "GET /greet HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(recv(idle[i], answer, sizeof answer, MSG_WAITALL), sizeof answer);
    }
    const int waiting = connect_to(http_server_port(*state));
    send_all(waiting, "GET /greet HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    char answer[ANSWER_BYTES];
    struct pollfd readable = {.fd = waiting, .events = POLLIN};
    assert_int_equal(poll(&readable, 1, 200), 0); /* ms; a slow machine may miss a fault here */
    close(idle[0]);
    read_to_end(waiting, answer);
    assert_begins(answer, "HTTP/1.1 200 ");
    for (int i = 1; i < HTTP_CONNECTIONS_MAX; i++)
        close(idle[i]);
}

static void it_ends_while_connections_are_open(void **state) {
    (void)state;
    struct error error = {0};
    struct http_server *server = http_server_create("127.0.0.1:0", handle, world, &error);
    assert_non_null(server);
    const int idle = connect_to(http_server_port(server));
    const int reading = connect_to(http_server_port(server));
    send_all(reading, "GET /much HTTP/1.1\r\nHost: x\r\n\r\n");
    http_server_destroy(&server);
    close(idle);
    close(reading);
}

static void a_port_in_use_is_an_error_that_names_it(void **state) {
    char listen_on[32];
    struct error error = {0};
    snprintf(listen_on, sizeof listen_on, "127.0.0.1:%u", http_server_port(*state));
    assert_null(http_server_create(listen_on, handle, world, &error));
    assert_has(error.text, listen_on);
    assert_has(error.text, "Address already in use; stop the program that listens there");
}

static void an_address_of_elsewhere_is_an_error_that_names_the_mend(void **state) {
    (void)state;
    struct error error = {0};
    assert_null(http_server_create("192.0.2.1:0", handle, world, &error));
    assert_has(error.text, "http.listen 192.0.2.1:0: ");
    assert_has(error.text, "choose an address of this machine");
    assert_null(http_server_create("no-such-host.invalid:0", handle, world, &error));
    assert_has(error.text, "no address for \"no-such-host.invalid\"");
}

static void what_is_no_address_is_an_error_with_an_example(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",         "9464",    ":9464",     "localhost",   "localhost:",      "[::1]",
        "::1:9464", "[]:9464", "[::1:9464", "127.0.0.1:x", "127.0.0.1:65536", "a:-1",
        "a: 1",     "a:1 ",    "a:0x1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct error error = {0};
        assert_null(http_server_create(wrong[i], handle, world, &error));
        assert_has(error.text, "for example 127.0.0.1:9464");
    }
}

static void names_and_ipv6_addresses_can_be_listened_on(void **state) {
    (void)state;
    static const char *const right[] = {"localhost:0", "0.0.0.0:0", "[127.0.0.1]:0", "[::]:0"};
    const int probe = socket(AF_INET6, SOCK_STREAM, 0);
    const bool has_ipv6 = probe >= 0;
    if (has_ipv6) close(probe);
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        if (right[i][1] == ':' && !has_ipv6) continue;
        struct error error = {0};
        struct http_server *server = http_server_create(right[i], handle, world, &error);
        if (server == NULL) fail_msg("%s", error.text);
        assert_string_equal(body_of(ask(server, "GET", "/greet")), "hello world\n");
        http_server_destroy(&server);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(get_gives_what_the_handler_wrote),
        TEST(head_is_get_without_the_body),
        TEST(the_handler_chooses_status_and_type),
        TEST(a_broken_body_is_a_500_without_its_half),
        TEST(an_empty_body_is_fine),
        TEST(other_methods_are_405_whatever_they_upload),
        TEST(a_get_with_a_body_ends_the_connection),
        TEST(arguments_of_the_query_are_decoded),
        TEST(a_large_body_arrives_whole),
        TEST(one_connection_takes_many_requests),
        TEST(what_is_not_http_harms_nobody),
        TEST(a_silent_connection_is_ended_after_its_time),
        TEST(more_connections_than_allowed_wait_for_their_turn),
        cmocka_unit_test(it_ends_while_connections_are_open),
        TEST(a_port_in_use_is_an_error_that_names_it),
        cmocka_unit_test(an_address_of_elsewhere_is_an_error_that_names_the_mend),
        cmocka_unit_test(what_is_no_address_is_an_error_with_an_example),
        cmocka_unit_test(names_and_ipv6_addresses_can_be_listened_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
