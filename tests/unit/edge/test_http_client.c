/* Our own server, and one that says what it is told to and then closes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "edge/http_client.h"
#include "edge/http_server.h"

enum { WAIT_MS = 20000, SHORT_WAIT_MS = 200 };

static struct text reply;
static struct error error;

static void handle(void *context, const struct http_request *request, struct http_reply *page) {
    const char *path = request->path;
    (void)context;
    if (strcmp(path, "/refuse") == 0) page->status = 503;
    if (strcmp(path, "/empty") == 0) return;
    text_add(&page->body, "a page\n");
    while (strcmp(path, "/much") == 0 && page->body.length < HTTP_CLIENT_BYTES_MAX / 2)
        text_add(&page->body, "0123456789abcdef");
    while (strcmp(path, "/too-much") == 0 && page->body.length < HTTP_CLIENT_BYTES_MAX)
        text_add(&page->body, "0123456789abcdef");
}

/* Asks a server of ours that listens on HOST. */
static const char *get(const char *host, const char *path) {
    char listen_on[64];
    snprintf(listen_on, sizeof listen_on, "%s:0", host);
    static const struct http_page pages[] = {{NULL, HTTP_PLAIN, handle}};
    const struct http_options options = {.pages = pages};
    struct http_server *server = http_server_create(listen_on, &options, &error);
    if (server == NULL) fail_msg("%s", error.text);
    snprintf(listen_on, sizeof listen_on, "%s:%u", host, http_server_port(server));
    const char *body = http_client_get(listen_on, path, WAIT_MS, &reply, &error);
    http_server_destroy(&server);
    return body;
}

static void a_page_comes_whole(void **state) {
    (void)state;
    assert_string_equal(get("127.0.0.1", "/"), "a page\n");
    assert_string_equal(get("127.0.0.1", "/empty"), "");
    assert_true(strlen(get("127.0.0.1", "/much")) >= HTTP_CLIENT_BYTES_MAX / 2);
}

static void names_and_all_addresses_lead_to_loopback(void **state) {
    (void)state;
    assert_string_equal(get("localhost", "/"), "a page\n");
    assert_string_equal(get("0.0.0.0", "/"), "a page\n");
    const int probe = socket(AF_INET6, SOCK_STREAM, 0);
    if (probe < 0) return;
    close(probe);
    assert_string_equal(get("[::]", "/"), "a page\n");
}

static void assert_error(const char *body, const char *part) {
    assert_null(body);
    if (strstr(error.text, part) == NULL) fail_msg("has no %s: %s", part, error.text);
}

static void another_status_is_an_error(void **state) {
    (void)state;
    assert_error(get("127.0.0.1", "/refuse"), "answers \"HTTP/1.1 503 ");
}

static void a_page_that_is_too_large_is_an_error(void **state) {
    (void)state;
    assert_error(get("127.0.0.1", "/too-much"), "Message too long");
}

static void what_is_no_address_is_an_error(void **state) {
    (void)state;
    assert_error(http_client_get("nowhere", "/", WAIT_MS, &reply, &error), "is not HOST:PORT");
    assert_error(http_client_get("no-such-host.invalid:1", "/", WAIT_MS, &reply, &error),
                 "no address for");
}

/* --- a server of few words --- */

static int listener;

static void *say_once(void *words) {
    char request[1024];
    const int descriptor = accept(listener, NULL, NULL);
    if (descriptor < 0) return NULL;
    (void)!recv(descriptor, request, sizeof request, 0);
    (void)!send(descriptor, words, strlen(words), MSG_NOSIGNAL);
    shutdown(descriptor, SHUT_WR);
    close(descriptor);
    return NULL;
}

/* Where a socket listens on which nobody accepts yet. */
static void listen_somewhere(char address[32]) {
    struct sockaddr_in bound = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof bound;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&bound, sizeof bound), 0);
    assert_int_equal(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&bound, &bytes);
    snprintf(address, 32, "127.0.0.1:%u", ntohs(bound.sin_port));
}

static const char *get_of(char *words) {
    char address[32];
    pthread_t thread;
    listen_somewhere(address);
    pthread_create(&thread, NULL, say_once, words);
    const char *body = http_client_get(address, "/", WAIT_MS, &reply, &error);
    pthread_join(thread, NULL);
    close(listener);
    return body;
}

static void what_is_not_whole_is_an_error(void **state) {
    (void)state;
    static char whole[] = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
    static char cut[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc";
    static char endless[] = "HTTP/1.1 200 OK\r\n\r\nabc";
    static char in_body[] = "HTTP/1.1 200 OK\r\n\r\n\r\nContent-Length: 22\r\n";
    static char half_head[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n";
    static char strange[] = "-ERR wrong number\033[2J\r\n";
    static char nothing[] = "";
    assert_string_equal(get_of(whole), "abc");
    assert_error(get_of(cut), "sent only part");
    assert_error(get_of(endless), "sent only part");
    assert_error(get_of(in_body), "sent only part");
    assert_error(get_of(half_head), "answers \"HTTP/1.1 200 OK\"");
    assert_error(get_of(strange), "answers \"-ERR wrong number");
    assert_error(get_of(nothing), "answers \"\"");
}

static void a_reply_of_the_limit_is_whole(void **state) {
    (void)state;
    static char most[HTTP_CLIENT_BYTES_MAX + 1];
    const size_t head_bytes = strlen("HTTP/1.1 200 OK\r\nContent-Length: 1234567\r\n\r\n");
    const size_t length = HTTP_CLIENT_BYTES_MAX - head_bytes;
    snprintf(most, sizeof most, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", length);
    assert_int_equal(strlen(most), head_bytes);
    memset(most + head_bytes, 'a', length);
    const char *body = get_of(most);
    assert_non_null(body);
    assert_int_equal(strlen(body), length);
}

static void who_says_nothing_is_given_up_in_time(void **state) {
    (void)state;
    char address[32];
    listen_somewhere(address);
    const int64_t begin_ms = clock_ms();
    assert_error(http_client_get(address, "/", SHORT_WAIT_MS, &reply, &error), "timed out");
    assert_true(clock_ms() - begin_ms >= SHORT_WAIT_MS);
    close(listener);
    assert_error(http_client_get(address, "/", WAIT_MS, &reply, &error), "Connection refused");
}

static int release(void **state) {
    (void)state;
    text_release(&reply);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_comes_whole),
        cmocka_unit_test(names_and_all_addresses_lead_to_loopback),
        cmocka_unit_test(another_status_is_an_error),
        cmocka_unit_test(a_page_that_is_too_large_is_an_error),
        cmocka_unit_test(what_is_no_address_is_an_error),
        cmocka_unit_test(what_is_not_whole_is_an_error),
        cmocka_unit_test(a_reply_of_the_limit_is_whole),
        cmocka_unit_test(who_says_nothing_is_given_up_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
