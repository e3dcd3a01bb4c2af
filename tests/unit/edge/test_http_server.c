/* A real server on a free port of loopback, and a client that writes bytes and reads to the end. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "edge/http_server.h"
#include "locks.h"

enum {
    ANSWER_BYTES = 64 * 1024,
    LARGE_BYTES = 3 << 20,
    HUGE_BYTES = 7 << 20,
    PIECE_MS = 2000,
    PART_BYTES = 1000
};

static atomic_bool must_wait; /* the page /wait, until it is false */
static atomic_int waiting_count;
static atomic_int ahead_count;  /* begins of a head that were sent to find out who is there */
static atomic_bool takes_parts; /* send, of PART_BYTES */
static atomic_int waited_count; /* since the server began */

static void greet(void *context, const struct http_request *request, struct http_reply *reply) {
    (void)request;
    text_format(&reply->body, "hello %s\n", (const char *)context);
}

static void echo(void *context, const struct http_request *request, struct http_reply *reply) {
    const char *value = http_request_argument(request, "scope");
    (void)context;
    text_format(&reply->body, "[%s]", value == NULL ? "none" : value);
}

static void write_one(void *context, const struct http_request *request, struct http_reply *reply) {
    (void)context;
    (void)request;
    text_add(&reply->body, "1");
}

static void refuse(void *context, const struct http_request *request, struct http_reply *reply) {
    (void)context;
    (void)request;
    http_reply_error(reply, 503, "no \"more\"");
}

static void fail_halfway(void *context, const struct http_request *request,
                         struct http_reply *reply) {
    (void)context;
    (void)request;
    text_add(&reply->body, "half of it");
    reply->body.is_broken = true;
}

/* What a large body has at this place, so that nothing can be left out, sent twice or exchanged. */
static char byte_at(size_t place) {
    return (char)('!' + place % 89);
}

static void write_much(void *context, const struct http_request *request,
                       struct http_reply *reply) {
    char part[4096];
    const size_t bytes = strcmp(request->path, "/huge") == 0 ? HUGE_BYTES : LARGE_BYTES;
    (void)context;
    for (size_t n = 0; n < bytes && !reply->body.is_broken; n += sizeof part) {
        for (size_t i = 0; i < sizeof part; i++)
            part[i] = byte_at(n + i);
        text_add_bytes(&reply->body, part, sizeof part);
    }
}

/* More than any socket buffers. */
static void write_on(void *context, const struct http_request *request, struct http_reply *reply) {
    (void)context;
    (void)request;
    while (!reply->body.is_broken)
        text_add(&reply->body, "0123456789abcdef");
}

static void write_much_and_fail(void *context, const struct http_request *request,
                                struct http_reply *reply) {
    write_much(context, request, reply);
    reply->body.is_broken = true;
}

static void wait_for_a_word(void *context, const struct http_request *request,
                            struct http_reply *reply) {
    atomic_fetch_add(&waiting_count, 1);
    atomic_fetch_add(&waited_count, 1);
    while (atomic_load(&must_wait))
        clock_sleep_ms(1);
    atomic_fetch_sub(&waiting_count, 1);
    greet(context, request, reply);
}

/* The page of a lane that is named by ?scope=. */
static void leave(void *context, const struct http_request *request, struct http_reply *reply) {
    static const struct {
        const char *name;
        http_handler *handle;
    } later[] = {{"greet", greet},         {"refuse", refuse},           {"half", fail_halfway},
                 {"much", write_much},     {"cut", write_much_and_fail}, {"endless", write_on},
                 {"wait", wait_for_a_word}};
    (void)context;
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        if (strcmp(http_request_argument(request, "scope"), later[i].name) == 0)
            reply->later = later[i].handle;
    }
    reply->lane = http_request_argument(request, "second") != NULL;
}

static void nothing(void *context, const struct http_request *request, struct http_reply *reply) {
    (void)context;
    (void)request;
    (void)reply;
}

static const struct http_page pages[] = {
    {"/greet", HTTP_PLAIN, greet},     {"/echo", HTTP_PLAIN, echo},
    {"/refuse", HTTP_JSON, refuse},    {"/broken", HTTP_PLAIN, fail_halfway},
    {"/much", HTTP_PLAIN, write_much}, {"/huge", HTTP_PLAIN, write_much},
    {"/later", HTTP_JSON, leave},      {"/one", HTTP_PLAIN, write_one},
    {NULL, HTTP_PLAIN, nothing},
};

static char world[] = "world";

static const struct http_options options = {
    .pages = pages, .lanes = {"lane-0", "lane-1"}, .context = world, .piece_ms = PIECE_MS};

static int set_up(void **state) {
    struct error error = {0};
    atomic_store(&waited_count, 0);
    *state = http_server_create("127.0.0.1:0", &options, &error);
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
    snprintf(request, sizeof request,
             "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", method, path);
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
    assert_string_equal(body_of(answer), "{\"error\": \"no \\\"more\\\"\"}\n");
}

static void a_broken_body_is_a_500_without_its_half(void **state) {
    const char *answer = ask(*state, "GET", "/broken");
    assert_begins(answer, "HTTP/1.1 500 ");
    assert_string_equal(body_of(answer), "out of memory for the answer\n");
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
    send_all(descriptor,
             "POST /greet HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nfew");
    read_to_end(descriptor, answer);
    assert_begins(answer, "HTTP/1.1 405 ");
}

static void a_get_with_a_body_ends_the_connection(void **state) {
    char answer[ANSWER_BYTES];
    const int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor,
             "GET /greet HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n0123456789");
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

/* Reads until the server closes: a head, and all that write_much writes. */
static void is_large_and_whole(int descriptor) {
    char *all = malloc(2 * (size_t)LARGE_BYTES);
    size_t length = 0;
    ssize_t got;
    while ((got = recv(descriptor, all + length, 2 * (size_t)LARGE_BYTES - 1 - length, 0)) > 0)
        length += (size_t)got;
    close(descriptor);
    all[length] = '\0';
    const char *body = body_of(all);
    assert_int_equal(length - (size_t)(body - all), LARGE_BYTES);
    for (size_t i = 0; i < LARGE_BYTES; i++) {
        if (body[i] != byte_at(i)) fail_msg("byte %zu is another one", i);
    }
    assert_null(strstr(all, "chunked"));
    free(all);
}

static void a_large_body_arrives_whole(void **state) {
    const int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, "GET /much HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    is_large_and_whole(descriptor);
}

static void a_body_may_be_one_byte(void **state) {
    const char *answer = ask(*state, "GET", "/one");
    assert_has(answer, "Content-Length: 1\r\n");
    assert_string_equal(body_of(answer), "1");
}

static void one_connection_takes_many_requests(void **state) {
    char answer[ANSWER_BYTES];
    const int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, "GET /greet HTTP/1.1\r\nHost: localhost\r\n\r\n");
    send_all(descriptor, "HEAD /greet HTTP/1.1\r\nHost: localhost\r\n\r\n");
    send_all(descriptor, "GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
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

/* --- many clients, and bad ones --------------------------------------------------------------- */

static int64_t clock_start_ms;

static void start_clock(void) {
    clock_start_ms = clock_ms();
}

static void assert_took(int64_t from_ms, int64_t to_ms) {
    const int64_t took_ms = clock_ms() - clock_start_ms;
    if (took_ms < from_ms || took_ms > to_ms) fail_msg("took %lld ms", (long long)took_ms);
}

static void assert_answers_at_once(struct http_server *server) {
    start_clock();
    assert_begins(ask(server, "GET", "/greet"), "HTTP/1.1 200 ");
    assert_took(0, 4000); /* less than any deadline of the server */
}

static void a_silent_connection_is_ended_after_its_time(void **state) {
    char answer[ANSWER_BYTES];
    start_clock();
    const int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, "GET /greet HTTP/1.1\r\nHo");
    assert_int_equal(read_to_end(descriptor, answer), 0);
    assert_took(HTTP_REQUEST_MS - 10, 2 * HTTP_REQUEST_MS);
}

/* A byte from time to time does not keep it. */
static void the_deadline_is_for_the_whole_request(void **state) {
    start_clock();
    const int descriptor = connect_to(http_server_port(*state));
    char byte;
    do {
        (void)!send(descriptor, "x", 1, MSG_NOSIGNAL);
        clock_sleep_ms(50);
        assert_true(clock_ms() - clock_start_ms < 2 * HTTP_REQUEST_MS);
    } while (recv(descriptor, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    assert_took(HTTP_REQUEST_MS - 10, 2 * HTTP_REQUEST_MS);
    close(descriptor);
}

static bool is_ended(int descriptor) {
    char byte;
    return recv(descriptor, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static void when_all_places_are_taken_the_oldest_is_ended(void **state) {
    enum { TOO_MANY = HTTP_CONNECTIONS_MAX + 10 };
    int idle[TOO_MANY];
    for (int i = 0; i < TOO_MANY; i++) {
        idle[i] = connect_to(http_server_port(*state));
        if (i % 2 == 0) send_all(idle[i], "GET /greet HT");
        clock_sleep_ms(2); /* each is older than the next */
    }
    assert_answers_at_once(*state); /* this one is one more */
    assert_answers_at_once(*state);
    for (int i = 0; i < TOO_MANY; i++) {
        const bool must_be_ended = i < TOO_MANY - HTTP_CONNECTIONS_MAX + 1;
        if (is_ended(idle[i]) != must_be_ended) fail_msg("the connection %d of %d", i, TOO_MANY);
        close(idle[i]);
    }
}

/* All answers together would hold far more than the limit: only the newest are kept. */
static void clients_that_do_not_read_hold_up_nobody(void **state) {
    enum { DEAF = 5 };
    char answer[ANSWER_BYTES];
    int deaf[DEAF];
    for (int i = 0; i < DEAF; i++) {
        deaf[i] = connect_to(http_server_port(*state));
        send_all(deaf[i], "GET /huge HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    assert_answers_at_once(*state);
    send_all(deaf[DEAF - 1], "GET /greet HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_true(read_to_end(deaf[DEAF - 1], answer) > HUGE_BYTES);
    close(deaf[DEAF - 2]);
    for (int i = 0; i < DEAF - 2; i++)
        assert_true(read_to_end(deaf[i], answer) < HUGE_BYTES);
}

/* Thousands of requests in one go, of which each is answered in its turn. */
static void a_long_row_of_requests_is_answered(void **state) {
    enum { ROW = 2000 };
    static const char request[] = "GET /greet HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const int descriptor = connect_to(http_server_port(*state));
    char *row = calloc(ROW, sizeof request);
    for (int i = 0; i < ROW; i++)
        memcpy(row + (size_t)i * (sizeof request - 1), request, sizeof request - 1);
    size_t sent = 0, greetings = 0;
    static char piece[ANSWER_BYTES];
    start_clock();
    while (greetings < ROW) {
        const ssize_t got =
            send(descriptor, row + sent, strlen(row + sent), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (got > 0) sent += (size_t)got;
        const ssize_t read = recv(descriptor, piece, sizeof piece, MSG_DONTWAIT);
        for (ssize_t i = 0; i < read; i++)
            greetings += piece[i] == 'w'; /* of world; the heads have none */
        assert_true(clock_ms() - clock_start_ms < 30000);
    }
    assert_int_equal(greetings, ROW);
    free(row);
    close(descriptor);
}

static void what_is_refused_is_told_why(void **state) {
    static char long_head[HTTP_REQUEST_BYTES_MAX + 64];
    memset(long_head, 'x', sizeof long_head - 1);
    memcpy(long_head, "GET /greet HTTP/1.1\r\nHost: ", 27);
    const struct {
        const char *request, *status, *why;
    } cases[] = {
        {long_head, "HTTP/1.1 431 ", "the head of the request is too long"},
        {"GET /greet HTTP/2.0\r\nHost: localhost\r\n\r\n", "HTTP/1.1 505 ",
         "HTTP/1.0 and HTTP/1.1 are spoken here"},
        {"GET /greet HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 403 ", "on loopback only"},
        {"POST /greet HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 405 ", "only GET and HEAD"},
        {"no request\r\n\r\n", "HTTP/1.1 400 ", "this is not a request"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char answer[ANSWER_BYTES];
        const int descriptor = connect_to(http_server_port(*state));
        send_all(descriptor, cases[i].request);
        shutdown(descriptor, SHUT_WR);
        read_to_end(descriptor, answer);
        assert_begins(answer, cases[i].status);
        assert_has(answer, cases[i].why);
    }
}

static void a_foreign_host_is_a_403(void **state) {
    static const char *const foreign[] = {"evil.example", "localhost.evil.example:9464", "[::2]"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        char answer[ANSWER_BYTES], request[256];
        const int descriptor = connect_to(http_server_port(*state));
        snprintf(request, sizeof request,
                 "GET /greet HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", foreign[i]);
        send_all(descriptor, request);
        read_to_end(descriptor, answer);
        assert_begins(answer, "HTTP/1.1 403 ");
        assert_null(strstr(answer, "hello"));
    }
}

static void every_answer_has_the_headers_that_protect_it(void **state) {
    static const char *const paths[] = {"/greet", "/refuse", "/none", "/later?scope=greet",
                                        "/later?scope=much"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *answer = ask(*state, "HEAD", paths[i]);
        assert_has(answer, "\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; "
                           "style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
                           "form-action 'none'; frame-ancestors 'none'\r\n");
        assert_has(answer, "\r\nX-Content-Type-Options: nosniff\r\n");
        assert_has(answer, "\r\nX-Frame-Options: DENY\r\n");
        assert_has(answer, "\r\nReferrer-Policy: no-referrer\r\n");
        assert_has(answer, "\r\nDate: ");
        assert_null(strstr(answer, "unsafe-"));
        assert_null(strstr(answer, "Access-Control"));
        assert_string_equal(body_of(answer), "");
    }
}

/* --- lanes ------------------------------------------------------------------------------------ */

static void a_lane_answers_what_its_handler_wrote(void **state) {
    atomic_store(&ahead_count, 0);
    const char *answer = ask(*state, "GET", "/later?scope=greet");
    assert_begins(answer, "HTTP/1.1 200 OK\r\n");
    assert_has(answer, "Content-Length: 12\r\n");
    assert_has(answer, "Content-Type: application/json\r\n");
    assert_string_equal(body_of(answer), "hello world\n");
    answer = ask(*state, "GET", "/later?scope=refuse&second");
    assert_begins(answer, "HTTP/1.1 503 ");
    assert_string_equal(body_of(answer), "{\"error\": \"no \\\"more\\\"\"}\n");
    assert_begins(ask(*state, "GET", "/later?scope=half"), "HTTP/1.1 500 ");
    assert_int_equal(atomic_load(&ahead_count), 0); /* who may still send is there */
}

/* Stands in front of the system's: it takes less than it could, as if there were little room. */
ssize_t send(int descriptor, const void *bytes, size_t length, int flags) {
    ssize_t (*real)(int, const void *, size_t, int);
    *(void **)&real = dlsym(RTLD_NEXT, "send");
    if (length == strlen("HTTP/1.1 ")) atomic_fetch_add(&ahead_count, 1);
    const bool is_part = atomic_load(&takes_parts) && length > PART_BYTES;
    return real(descriptor, bytes, is_part ? PART_BYTES : length, flags);
}

/* Reads chunks; answers the length of the body, or -1 if the last chunk is missing. */
static long read_chunks(int descriptor) {
    char *all = malloc(2 * (size_t)LARGE_BYTES + 1);
    size_t length = 0;
    ssize_t got;
    while ((got = recv(descriptor, all + length, 2 * (size_t)LARGE_BYTES - length, 0)) > 0)
        length += (size_t)got;
    close(descriptor);
    all[length] = '\0';
    assert_has(all, "Transfer-Encoding: chunked\r\n");
    long total = 0;
    char *at = strstr(all, "\r\n\r\n") + 4;
    while (at < all + length) {
        char *end;
        const long chunk = strtol(at, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        at = end + 2 + chunk + 2;
        if (chunk == 0) break;
        for (long i = 0; i < chunk && end + 2 + i < all + length; i++)
            assert_int_equal(end[2 + i], byte_at((size_t)(total + i)));
        total += chunk;
        if (at >= all + length) total = -1;
    }
    free(all);
    return total;
}

static void a_long_answer_comes_in_chunks(void **state) {
    int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, "GET /later?scope=much HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_int_equal(read_chunks(descriptor), LARGE_BYTES);
    descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, "GET /later?scope=cut HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_int_equal(read_chunks(descriptor), -1);
}

static void what_is_taken_in_parts_is_sent_in_order(void **state) {
    atomic_store(&takes_parts, true);
    const int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, "GET /later?scope=much HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const long total = read_chunks(descriptor);
    atomic_store(&takes_parts, false);
    assert_int_equal(total, LARGE_BYTES);
}

/* Of what would be made without an end, the head alone is asked for. */
static void the_head_of_a_long_answer_makes_no_more_of_it(void **state) {
    const char *answer = ask(*state, "HEAD", "/later?scope=endless");
    assert_begins(answer, "HTTP/1.1 200 OK\r\n");
    assert_has(answer, "Transfer-Encoding: chunked\r\n");
    assert_string_equal(body_of(answer), "");
}

static void http_1_0_gets_it_without_chunks(void **state) {
    const int descriptor = connect_to(http_server_port(*state));
    send_all(descriptor, "GET /later?scope=much HTTP/1.0\r\n\r\n");
    is_large_and_whole(descriptor);
}

static void wait_for(const atomic_int *count, int wanted) {
    start_clock();
    while (atomic_load(count) != wanted) {
        clock_sleep_ms(1);
        assert_true(clock_ms() - clock_start_ms < 20000);
    }
}

static void a_slow_page_holds_up_only_its_lane(void **state) {
    enum { WAITING = HTTP_WAITING_MAX + 1 }; /* one is being made */
    char answer[ANSWER_BYTES];
    int waiting[WAITING];
    atomic_store(&must_wait, true);
    for (int i = 0; i < WAITING; i++) {
        waiting[i] = connect_to(http_server_port(*state));
        send_all(waiting[i], "GET /later?scope=wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
        if (i == 0) wait_for(&waiting_count, 1);
    }
    assert_answers_at_once(*state);
    assert_begins(ask(*state, "GET", "/later?scope=greet&second"), "HTTP/1.1 200 ");
    const char *refusal = ask(*state, "GET", "/later?scope=wait");
    assert_begins(refusal, "HTTP/1.1 503 ");
    assert_has(refusal, "Retry-After: 5\r\n");
    assert_has(refusal, "{\"error\": \"too many requests are waiting");
    atomic_store(&ahead_count, 0);
    send_all(waiting[2], "GET /greet"); /* so it is there */
    close(waiting[1]);                  /* whose answer is never made */
    atomic_store(&must_wait, false);
    for (int i = 0; i < WAITING; i++) {
        if (i == 1) continue;
        read_to_end(waiting[i], answer);
        assert_string_equal(body_of(answer), "hello world\n");
    }
    assert_int_equal(atomic_load(&waited_count), WAITING - 1);
    assert_int_equal(atomic_load(&ahead_count), 1); /* to the one that was closed */
}

/* Sends a request, and that nothing follows it. */
static int ask_and_shut(struct http_server *server, const char *request) {
    const int descriptor = connect_to(http_server_port(server));
    send_all(descriptor, request);
    shutdown(descriptor, SHUT_WR);
    return descriptor;
}

static void who_has_only_shut_its_sending_side_is_answered(void **state) {
    char answer[ANSWER_BYTES];
    atomic_store(&ahead_count, 0);
    for (int i = 0; i < 20; i++) {
        read_to_end(ask_and_shut(*state, "GET /later?scope=greet HTTP/1.0\r\n\r\n"), answer);
        assert_begins(answer, "HTTP/1.1 200 OK\r\n");
        assert_string_equal(body_of(answer), "hello world\n");
    }
    assert_true(atomic_load(&ahead_count) > 0);
    read_to_end(ask_and_shut(*state, "GET /greet HTTP/1.0\r\n\r\n"), answer);
    assert_string_equal(body_of(answer), "hello world\n");
    read_to_end(ask_and_shut(*state, "GET /later?scope=refuse HTTP/1.0\r\n\r\n"), answer);
    assert_begins(answer, "HTTP/1.1 503 ");
    read_to_end(ask_and_shut(*state, "HEAD /later?scope=much HTTP/1.0\r\n\r\n"), answer);
    assert_begins(answer, "HTTP/1.1 200 OK\r\n");
    assert_string_equal(body_of(answer), "");
    const char *much = "GET /later?scope=much HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_int_equal(read_chunks(ask_and_shut(*state, much)), LARGE_BYTES);
}

static void of_who_has_gone_no_answer_is_made(void **state) {
    enum { GONE = 6 };
    static const char request[] = "GET /later?scope=wait HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const struct linger at_once = {.l_onoff = 1};
    char answer[ANSWER_BYTES];
    atomic_store(&must_wait, true);
    const int first = ask_and_shut(*state, request);
    wait_for(&waiting_count, 1);
    for (int i = 0; i < GONE; i++) {
        const int gone = ask_and_shut(*state, request);
        if (i % 2 == 0) setsockopt(gone, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(gone);
    }
    const int last = ask_and_shut(*state, request);
    assert_answers_at_once(*state); /* the others are with the lane */
    atomic_store(&must_wait, false);
    read_to_end(first, answer);
    assert_string_equal(body_of(answer), "hello world\n");
    read_to_end(last, answer);
    assert_string_equal(body_of(answer), "hello world\n");
    assert_int_equal(atomic_load(&waited_count), 2);
}

/* It is cut off, and the next one is served. */
static void a_client_that_does_not_read_leaves_the_lane(void **state) {
    const int deaf = connect_to(http_server_port(*state));
    send_all(deaf, "GET /later?scope=endless HTTP/1.1\r\nHost: localhost\r\n\r\n");
    start_clock();
    assert_begins(ask(*state, "GET", "/later?scope=greet"), "HTTP/1.1 200 ");
    assert_took(PIECE_MS - 1000, 2 * PIECE_MS);
    close(deaf);
}

static void it_ends_while_lanes_are_busy(void **state) {
    (void)state;
    struct error error = {0};
    struct http_server *server = http_server_create("127.0.0.1:0", &options, &error);
    assert_non_null(server);
    int deaf[3];
    for (int i = 0; i < 3; i++) {
        deaf[i] = connect_to(http_server_port(server));
        send_all(deaf[i], "GET /later?scope=endless HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    start_clock();
    http_server_destroy(&server);
    assert_took(0, PIECE_MS / 2);
    for (int i = 0; i < 3; i++)
        close(deaf[i]);
}

static void it_ends_while_connections_are_open(void **state) {
    (void)state;
    struct error error = {0};
    struct http_server *server = http_server_create("127.0.0.1:0", &options, &error);
    assert_non_null(server);
    const int idle = connect_to(http_server_port(server));
    const int reading = connect_to(http_server_port(server));
    send_all(reading, "GET /much HTTP/1.1\r\nHost: localhost\r\n\r\n");
    http_server_destroy(&server);
    close(idle);
    close(reading);
}

static void a_port_in_use_is_an_error_that_names_it(void **state) {
    char listen_on[32];
    struct error error = {0};
    snprintf(listen_on, sizeof listen_on, "127.0.0.1:%u", http_server_port(*state));
    assert_null(http_server_create(listen_on, &options, &error));
    assert_has(error.text, listen_on);
    assert_has(error.text, "Address already in use; stop the program that listens there");
}

static int count_descriptors(void) {
    int count = 0;
    for (int i = 0; i < 1024; i++)
        count += fcntl(i, F_GETFD) >= 0;
    return count;
}

static void what_cannot_be_listened_on_leaves_no_descriptor(void **state) {
    char in_use[32];
    snprintf(in_use, sizeof in_use, "127.0.0.1:%u", http_server_port(*state));
    const char *const wrong[] = {in_use, "192.0.2.1:0", "no-such-host.invalid:0", "nothing"};
    const int before = count_descriptors();
    for (size_t i = 0; i < 4 * sizeof wrong / sizeof *wrong; i++) {
        struct error error = {0};
        assert_null(http_server_create(wrong[i % 4], &options, &error));
        assert_int_equal(count_descriptors(), before);
    }
}

/* Binds, unless cause says why not. */
static int cause;

int bind(int descriptor, const struct sockaddr *address, socklen_t length) {
    int (*real)(int, const struct sockaddr *, socklen_t);
    *(void **)&real = dlsym(RTLD_NEXT, "bind");
    if (cause == 0) return real(descriptor, address, length);
    errno = cause;
    return -1;
}

static void what_cannot_be_bound_is_an_error_with_a_fix(void **state) {
    (void)state;
    static const struct {
        int cause;
        const char *fix;
    } fixes[] = {
        {EADDRINUSE, "stop the program that listens there"},
        {EACCES, "choose a port above 1023"},
        {ENOMEM, "choose another address"},
    };
    for (size_t i = 0; i < sizeof fixes / sizeof *fixes; i++) {
        struct error error = {0};
        cause = fixes[i].cause;
        struct http_server *server = http_server_create("127.0.0.1:0", &options, &error);
        cause = 0;
        assert_null(server);
        assert_has(error.text, fixes[i].fix);
    }
}

static void an_address_of_elsewhere_is_an_error_that_names_the_mend(void **state) {
    (void)state;
    struct error error = {0};
    assert_null(http_server_create("192.0.2.1:0", &options, &error));
    assert_has(error.text, "http.listen 192.0.2.1:0: ");
    assert_has(error.text, "choose an address of this machine");
    assert_null(http_server_create("no-such-host.invalid:0", &options, &error));
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
        assert_null(http_server_create(wrong[i], &options, &error));
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
        struct http_server *server = http_server_create(right[i], &options, &error);
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
        TEST(a_body_may_be_one_byte),
        TEST(one_connection_takes_many_requests),
        TEST(what_is_not_http_harms_nobody),
        TEST(a_silent_connection_is_ended_after_its_time),
        TEST(the_deadline_is_for_the_whole_request),
        TEST(when_all_places_are_taken_the_oldest_is_ended),
        TEST(clients_that_do_not_read_hold_up_nobody),
        TEST(a_long_row_of_requests_is_answered),
        TEST(what_is_refused_is_told_why),
        TEST(a_foreign_host_is_a_403),
        TEST(every_answer_has_the_headers_that_protect_it),
        TEST(a_lane_answers_what_its_handler_wrote),
        TEST(a_long_answer_comes_in_chunks),
        TEST(what_is_taken_in_parts_is_sent_in_order),
        TEST(the_head_of_a_long_answer_makes_no_more_of_it),
        TEST(http_1_0_gets_it_without_chunks),
        TEST(a_slow_page_holds_up_only_its_lane),
        TEST(who_has_only_shut_its_sending_side_is_answered),
        TEST(of_who_has_gone_no_answer_is_made),
        TEST(a_client_that_does_not_read_leaves_the_lane),
        cmocka_unit_test(it_ends_while_lanes_are_busy),
        cmocka_unit_test(it_ends_while_connections_are_open),
        TEST(what_cannot_be_listened_on_leaves_no_descriptor),
        TEST(a_port_in_use_is_an_error_that_names_it),
        cmocka_unit_test(what_cannot_be_bound_is_an_error_with_a_fix),
        cmocka_unit_test(an_address_of_elsewhere_is_an_error_that_names_the_mend),
        cmocka_unit_test(what_is_no_address_is_an_error_with_an_example),
        cmocka_unit_test(names_and_ipv6_addresses_can_be_listened_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
