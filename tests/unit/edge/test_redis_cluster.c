/* redis_cluster: slots, redirections, and the map in every form that nodes give it. */
#include "edge/redis_cluster.h"

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge/redis_call.h"
#include "edge/redis_link.h"
#include "edge/redis_master.h"
#include "edge/redis_reply.h"
#include "locks.h"

static void the_slot_is_that_of_the_braces(void **state) {
    (void)state;
    /* As CLUSTER KEYSLOT of Redis 7.0 has them. */
    assert_int_equal(redis_cluster_slot("123456789"), 12739);
    assert_int_equal(redis_cluster_slot("foo"), 12182);
    assert_int_equal(redis_cluster_slot("{foo}:offsets"), 12182);
    assert_int_equal(redis_cluster_slot("a{foo}{bar}"), 12182);
    assert_int_equal(redis_cluster_slot("foo{}{bar}"), 8363);
    assert_int_equal(redis_cluster_slot("foo{{bar}}zap"), 4015);
    assert_int_equal(redis_cluster_slot("{foo"), redis_cluster_slot("{foo"));
}

static void a_redirection_names_host_and_port(void **state) {
    (void)state;
    static const struct {
        const char *text, *host;
        int port;
    } rows[] = {
        {"MOVED 3999 127.0.0.1:6381", "127.0.0.1", 6381},
        {"ASK 3999 node-3.example:7", "node-3.example", 7},
        {"MOVED 3999 fe80::1:6381", "fe80::1", 6381},
        {"MOVED 3999 :6381", "from", 6381}, /* that of the node itself */
        {"MOVED 3999 ?:6381", NULL, 0},
        {"MOVED 3999 host", NULL, 0},
        {"MOVED 3999", NULL, 0},
        {"MOVED", NULL, 0},
    };
    const struct redis_address from = {"from", 1};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct redis_address to = {"", 0};
        const bool is_known = redis_cluster_redirect(rows[i].text, &from, &to);
        if (is_known != (rows[i].host != NULL)) fail_msg("%s", rows[i].text);
        if (!is_known) continue;
        assert_string_equal(to.host, rows[i].host);
        assert_int_equal(to.port, rows[i].port);
    }
}

/* A reply as it comes on the wire, parsed; the caller destroys it. */
static struct redis_reply *parse(const char *bytes) {
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    redisReaderFeed(reader, bytes, strlen(bytes));
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    return reply;
}

#define RANGE(first, last, count) "*" count "\r\n:" first "\r\n:" last "\r\n"
#define NODE(host, port) "*3\r\n" host ":" port "\r\n$2\r\nid\r\n"
#define NAMED(host, port, name, value) "*4\r\n" host ":" port "\r\n$2\r\nid\r\n*2\r\n" name value

static void the_owner_is_the_first_node_of_a_range(void **state) {
    (void)state;
    static const struct {
        const char *reply, *host; /* NULL: none */
        int port, count;
    } rows[] = {
        {"*2\r\n" RANGE("0", "99", "4") NODE("$1\r\na\r\n", "1") NODE("$1\r\nb\r\n", "2")
             RANGE("100", "16383", "4") NODE("$1\r\nc\r\n", "3") NODE("$1\r\nd\r\n", "4"),
         "c", 3, 4},
        {"*1\r\n" RANGE("100", "100", "3") NODE("$3\r\n::1\r\n", "3"), "::1", 3, 1},
        {"*1\r\n" RANGE("100", "100", "3") NODE("$-1\r\n", "3"), "asked", 3, 1},
        {"*1\r\n" RANGE("100", "100", "3") NODE("$0\r\n\r\n", "3"), "asked", 3, 1},
        {"*1\r\n" RANGE("100", "100", "3")
             NAMED("$1\r\n?\r\n", "3", "$2\r\nip\r\n", "$9\r\n127.0.0.2\r\n"),
         "127.0.0.2", 3, 1},
        {"*1\r\n" RANGE("100", "100", "4") NODE("$1\r\n?\r\n", "3") NODE("$1\r\nb\r\n", "2"), NULL,
         0, 1},
        {"*1\r\n" RANGE("0", "99", "3") NODE("$1\r\na\r\n", "1"), NULL, 0, 1},
        {"*0\r\n", NULL, 0, 0},
        {"*1\r\n*2\r\n:1\r\n:16383\r\n", NULL, 0, 0},
        {"*1\r\n" RANGE("100", "100", "3") NODE("$1\r\na\r\n", "70000"), NULL, 0, 0},
        {"$5\r\nhello\r\n", NULL, 0, 0},
        {"-CLUSTERDOWN no\r\n", NULL, 0, 0},
    };
    const struct redis_address asked = {"asked", 1};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct redis_address owner, nodes[8];
        int count;
        struct redis_reply *reply = parse(rows[i].reply);
        const bool is_found = redis_cluster_read(reply, 100, &asked, &owner, nodes, 8, &count);
        if (is_found != (rows[i].host != NULL)) fail_msg("row %zu", i);
        if (is_found) assert_string_equal(owner.host, rows[i].host);
        if (is_found) assert_int_equal(owner.port, rows[i].port);
        assert_int_equal(count, rows[i].count);
        redis_reply_destroy(&reply);
    }
}

/* --- a slot on its way from node 0 to node 1 ------------------------------------------------- */

static struct node {
    int listener, port;
    pthread_t thread;
    char state[128]; /* what node 0 answers; fixed while a link is open */
} nodes[2];

static const char *slots; /* what CLUSTER SLOTS is answered; NULL: node 0 owns all */

/* Node 1 serves a command behind an ASKING alone, which holds for one command. */
static void answer(const struct node *node, int socket, const char *command, bool *is_asked) {
    char text[256];
    const bool was_asked = *is_asked;
    *is_asked = strstr(command, "ASKING") != NULL;
    if (strstr(command, "PING") != NULL || *is_asked)
        snprintf(text, sizeof text, "+OK\r\n");
    else if (strstr(command, "SLOTS") != NULL && slots != NULL)
        snprintf(text, sizeof text, "%s", slots);
    else if (strstr(command, "SLOTS") != NULL)
        snprintf(text, sizeof text, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$-1\r\n:%d\r\n",
                 nodes[0].port);
    else if (node == &nodes[0])
        snprintf(text, sizeof text, "%s", node->state);
    else if (was_asked)
        snprintf(text, sizeof text, "$2\r\nhi\r\n");
    else
        snprintf(text, sizeof text, "-MOVED 1 127.0.0.1:%d\r\n", nodes[0].port);
    send(socket, text, strlen(text), MSG_NOSIGNAL);
}

static void *serve(void *context) {
    struct node *node = context;
    int socket;
    while ((socket = accept(node->listener, NULL, NULL)) >= 0) {
        char bytes[1024];
        bool is_asked = false;
        ssize_t count;
        while ((count = recv(socket, bytes, sizeof bytes - 1, 0)) > 0) {
            bytes[count] = '\0'; /* whole commands, being short: each begins with '*' */
            for (char *command = bytes + 1, *next; command != NULL; command = next) {
                next = strchr(command, '*');
                if (next != NULL) *next++ = '\0';
                answer(node, socket, command, &is_asked);
            }
        }
        close(socket);
    }
    return NULL;
}

static void start_nodes(void) {
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET};
        socklen_t length = sizeof address;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        nodes[i].listener = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(nodes[i].listener, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(nodes[i].listener, 8), 0);
        getsockname(nodes[i].listener, (struct sockaddr *)&address, &length);
        nodes[i].port = ntohs(address.sin_port);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&nodes[i].thread, NULL, serve, &nodes[i]), 0);
}

static void stop_nodes(void) {
    for (int i = 0; i < 2; i++) {
        shutdown(nodes[i].listener, SHUT_RDWR);
        pthread_join(nodes[i].thread, NULL);
        close(nodes[i].listener);
    }
}

/* Sends three commands at once, and returns how many are answered with "hi". */
static int ask_three(struct redis_link *link) {
    struct redis_command command = {0};
    struct error error = {""};
    int good_count = 0;
    if (!redis_link_open(link, &error)) fail_msg("%s", error.text);
    redis_command_put_text(&command, "GET");
    redis_command_put_text(&command, "k");
    for (int i = 0; i < 3; i++)
        assert_true(redis_link_send(link, &command, &error));
    for (int i = 0; i < 3; i++) {
        struct redis_reply *reply = redis_link_receive(link, &error);
        if (reply == NULL) fail_msg("%s", error.text);
        good_count += strcmp(redis_reply_text(reply).bytes, "hi") == 0;
        redis_reply_destroy(&reply);
    }
    redis_command_release(&command);
    return good_count;
}

static void check_ask(const char *scheme) {
    char url[64], prefix[] = "{p}";
    struct error error;
    start_nodes();
    snprintf(nodes[0].state, sizeof nodes[0].state, "-ASK 1 127.0.0.1:%d\r\n", nodes[1].port);
    snprintf(url, sizeof url, "%s127.0.0.1:%d", scheme, nodes[0].port);
    struct redis_link *link = redis_link_create(
        &(struct redis_settings){.url = url, .prefix = prefix, .timeout_ms = 1000}, &error);
    assert_false(redis_link_is_redirected(link));
    assert_int_equal(ask_three(link), 0);
    assert_true(redis_link_is_redirected(link));
    assert_int_equal(ask_three(link), 3);
    assert_false(redis_link_is_redirected(link));
    assert_int_equal(ask_three(link), 3);
    redis_link_close(link); /* ASK holds for one connection */
    snprintf(nodes[0].state, sizeof nodes[0].state, "$2\r\nhi\r\n");
    assert_int_equal(ask_three(link), 3);
    redis_link_destroy(&link);
    stop_nodes();
}

static void each_command_goes_behind_an_asking_where_ask_leads(void **state) {
    (void)state;
    check_ask("redis+cluster://");
    check_ask("redis://");
}

static void moved_leads_to_the_owner(void **state) {
    (void)state;
    static const char *const schemes[] = {"redis+cluster://", "redis://"};
    for (int i = 0; i < 2; i++) {
        char url[64], prefix[] = "{p}";
        struct error error;
        start_nodes();
        snprintf(nodes[0].state, sizeof nodes[0].state, "$2\r\nhi\r\n");
        snprintf(url, sizeof url, "%s127.0.0.1:%d", schemes[i], nodes[i == 0 ? 0 : 1].port);
        struct redis_link *link = redis_link_create(
            &(struct redis_settings){.url = url, .prefix = prefix, .timeout_ms = 1000}, &error);
        if (i == 1) assert_int_equal(ask_three(link), 0);
        assert_int_equal(ask_three(link), 3);
        redis_link_destroy(&link);
        stop_nodes();
    }
}

/* As the watcher's link and the store's do: which of them asks first must not decide whether the
 * store is refused at start. */
static void a_link_at_a_plain_address_is_not_led_by_another_link(void **state) {
    (void)state;
    char url[64], prefix[] = "{p}";
    struct error error;
    start_nodes();
    snprintf(nodes[0].state, sizeof nodes[0].state, "$2\r\nhi\r\n");
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", nodes[1].port);
    struct redis_settings settings = {.url = url, .prefix = prefix, .timeout_ms = 1000};
    settings.master = redis_master_create(&settings, &error);
    struct redis_link *one = redis_link_create(&settings, &error);
    struct redis_link *other = redis_link_create(&settings, &error);
    assert_int_equal(ask_three(one), 0);
    redis_link_close(one); /* a node has one connection */
    assert_int_equal(ask_three(other), 0);
    assert_true(redis_link_is_redirected(other));
    assert_int_equal(ask_three(one), 3);
    redis_link_close(one);
    assert_int_equal(ask_three(other), 3);
    redis_link_destroy(&one);
    redis_link_destroy(&other);
    redis_master_destroy(&settings.master);
    stop_nodes();
}

/* Each node says that the other one has the keys. */
static void a_link_knows_that_it_is_redirected(void **state) {
    (void)state;
    char url[64], prefix[] = "{p}";
    struct error error;
    start_nodes();
    snprintf(nodes[0].state, sizeof nodes[0].state, "-MOVED 1 127.0.0.1:%d\r\n", nodes[1].port);
    snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%d", nodes[0].port);
    struct redis_link *link = redis_link_create(
        &(struct redis_settings){.url = url, .prefix = prefix, .timeout_ms = 1000}, &error);
    assert_true(redis_link_open(link, &error));
    for (int i = 0; i < 3; i++) {
        assert_false(redis_link_is_redirected(link));
        struct redis_reply *reply = redis_link_call(link, &error, "GET k");
        assert_int_equal(redis_reply_kind(reply), REDIS_ERROR);
        redis_reply_destroy(&reply);
        assert_true(redis_link_is_redirected(link));
        assert_true(redis_link_open(link, &error));
    }
    redis_link_destroy(&link);
    stop_nodes();
}

/* Whether a link opens to node 0, and if not, whether that is for somebody to set up. */
static void check_open(const char *login, bool is_open, bool is_refused, const char *why) {
    char url[64], prefix[] = "{p}";
    struct error error = {""};
    snprintf(url, sizeof url, "redis+cluster://%s127.0.0.1:%d", login, nodes[0].port);
    struct redis_link *link = redis_link_create(
        &(struct redis_settings){.url = url, .prefix = prefix, .timeout_ms = 1000}, &error);
    assert_int_equal(redis_link_open(link, &error), is_open);
    assert_int_equal(redis_link_is_refused(link), is_refused);
    if (strstr(error.text, why) == NULL) fail_msg("%s", error.text);
    redis_link_destroy(&link);
}

static void a_node_that_refuses_is_told_from_one_that_does_not_know(void **state) {
    (void)state;
    start_nodes();
    snprintf(nodes[0].state, sizeof nodes[0].state, "+OK\r\n");
    check_open("u:p@", true, false, "");
    snprintf(nodes[0].state, sizeof nodes[0].state, "-WRONGPASS invalid username-password\r\n");
    check_open("u:p@", false, true, "WRONGPASS");
    slots = "-ERR This instance has cluster support disabled\r\n";
    check_open("", false, true, "is not a node of a cluster: set redis.url to redis://");
    slots = "-CLUSTERDOWN no\r\n";
    check_open("", false, false, "knows no owner of slot");
    slots = "-NOPERM no permission\r\n"; /* then the node itself is taken */
    check_open("", true, false, "");
    slots = "-ERR unknown command 'CLUSTER'\r\n";
    check_open("", true, false, "");
    slots = NULL;
    stop_nodes();
    check_open("", false, false, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_slot_is_that_of_the_braces),
        cmocka_unit_test(a_redirection_names_host_and_port),
        cmocka_unit_test(the_owner_is_the_first_node_of_a_range),
        cmocka_unit_test(each_command_goes_behind_an_asking_where_ask_leads),
        cmocka_unit_test(moved_leads_to_the_owner),
        cmocka_unit_test(a_link_at_a_plain_address_is_not_led_by_another_link),
        cmocka_unit_test(a_link_knows_that_it_is_redirected),
        cmocka_unit_test(a_node_that_refuses_is_told_from_one_that_does_not_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
