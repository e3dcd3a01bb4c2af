/* top: views of documents, and where they are found. */
#include "app/top.h"

#include <dlfcn.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "app/captured.h"
#include "app/commands.h"
#include "app/config.h"
#include "base/error.h"
#include "base/text.h"

/* --- the whole view --------------------------------------------------------------------------- */

static int listener;
static pthread_t thread;
static char listen_on[32], page[8192], request[1024];

static pthread_mutex_t page_lock = PTHREAD_MUTEX_INITIALIZER;

#define set_page(...)                                                                              \
    (pthread_mutex_lock(&page_lock), snprintf(page, sizeof page, __VA_ARGS__),                     \
     pthread_mutex_unlock(&page_lock))

/* Answers every request with the page. */
static void *serve(void *context) {
    (void)context;
    for (int client; (client = accept(listener, NULL, NULL)) >= 0;) {
        char head[128];
        (void)!read(client, request, sizeof request - 1);
        pthread_mutex_lock(&page_lock);
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", strlen(page));
        (void)!write(client, head, strlen(head));
        (void)!write(client, page, strlen(page));
        pthread_mutex_unlock(&page_lock);
        close(client);
    }
    return NULL;
}

static int start(void **state) {
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 5) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &bytes) != 0) {
        return -1;
    }
    snprintf(listen_on, sizeof listen_on, "127.0.0.1:%d", ntohs(address.sin_port));
    pthread_create(&thread, NULL, serve, NULL);
    return 0;
}

static int stop(void **state) {
    (void)state;
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    return 0;
}

static int naps; /* between views */

/* Stands in front of the system's. */
int nanosleep(const struct timespec *wanted, struct timespec *left) {
    int (*real)(const struct timespec *, struct timespec *);
    *(void **)&real = dlsym(RTLD_NEXT, "nanosleep");
    naps++;
    return real(wanted, left);
}

/* The exit status of so many views, a second apart, of what http.listen or --url names. */
static int watch(const char *listen, const char *url, int64_t count) {
    char http[64];
    struct error error = {""};
    const struct {
        int64_t every_s, count;
        const char *url;
    } own = {1, count, url};
    snprintf(http, sizeof http, "http.listen=%s", listen);
    struct options options = {.overrides = {http}, .override_count = 1};
    memcpy(options.own, &own, sizeof own);
    char *envp[] = {NULL};
    struct config *config = config_create(&options, envp, &error);
    if (config == NULL) fail_msg("%s", error.text);
    const int status = command_top.run(config, &options);
    config_destroy(&config);
    return status;
}

#define DOCUMENT(reasons_, top_)                                                                   \
    "{\"version\": \"0.1.0\", \"now\": \"2024-07-10T14:36:56.123Z\", \"uptime_s\": 61.200,\n"      \
    "\"instance\": \"one\", \"group\": \"g\", \"topic\": \"t\",\n"                                 \
    "\"state\": {\"is_alive\": true, \"is_ready\": true, \"reasons\": [" reasons_ "]},\n"          \
    "\"totals\": {\"consumed\": 12345678901234, \"published\": 30, \"counted\": 40,\n"             \
    " \"anomalies\": 2, \"lost\": 0, \"rejected\": {\"empty\": 3, \"not_json\": 4}},\n"            \
    "\"rates\": {\"consumed\": 1.500, \"published\": 2, \"counted\": 3.250, \"anomalies\": 0,\n"   \
    " \"lost\": 0, \"rejected\": {\"empty\": 0.500, \"not_json\": 0.700}},\n"                      \
    "\"partitions\": [{\"partition\": 0, \"lag_records\": 10, \"counted_lag_records\": 1,\n"       \
    "  \"lag_seconds\": 0.250, \"counted_lag_seconds\": 0},\n"                                     \
    " {\"partition\": 1, \"lag_records\": 200, \"counted_lag_records\": null,\n"                   \
    "  \"lag_seconds\": 7.500, \"counted_lag_seconds\": null},\n"                                  \
    " {\"partition\": 2, \"lag_records\": 5, \"counted_lag_records\": 3000,\n"                     \
    "  \"lag_seconds\": 1, \"counted_lag_seconds\": 65.125}],\n"                                   \
    "\"top\": {" top_ "},\n"                                                                       \
    "\"anomalies\": [{\"minute\": \"2024-07-10 14:36\", \"count\": 12, \"threshold\": 10},\n"      \
    " {\"minute\": \"2024-07-10 14:30\", \"count\": 11, \"threshold\": 10}],\n"                    \
    "\"recent\": [\"older\", \"newer\"]}\n"

#define COUNTS                                                                                     \
    "\"read_at\": \"2024-07-10T14:36:55.000Z\", \"device_type\": [],\n"                            \
    " \"locale\": [[\"US\", 7], [\"\u65e5\u672c\", 5], [\"N\\u0000L\", 1]]"

#define DECLARED                                                                                   \
    "},\n\"counts\": {\"hours\": {\"bucket\": \"2024-07-10T14\", \"is_distinct\": false,\n"        \
    " \"number\": null, \"value_count\": 12, \"values\": [[\"US\", 7], [\"a|b\", 5]]},\n"          \
    " \"users\": {\"bucket\": null, \"is_distinct\": true, \"number\": 4,\n"                       \
    " \"value_count\": null, \"values\": []},\n"                                                   \
    " \"days\": {\"bucket\": \"2024-07-10\", \"is_distinct\": false, \"number\": 9,\n"             \
    " \"value_count\": null, \"values\": []}"

static void a_view_shows_the_whole_document(void **state) {
    (void)state;
    set_page("%s", DOCUMENT("", COUNTS DECLARED));
    capture_begin();
    assert_int_equal(watch(listen_on, "", 1), 0);
    capture_end();
    assert_string_equal(
        captured,
        "rollcall top  2024-07-10T14:36:56.123Z  instance one  group g  topic t  version 0.1.0  "
        "up 61 s\nready\n\n"
        "               consumed       counted     published      rejected     anomalies\n"
        "total    12345678901234            40            30             7             2\n"
        "a second            1.5           3.2           2.0           1.2           0.0\n"
        "lag      215 to publish, 3001 to count, in 3 partitions; the oldest 7.5 s and 65.1 s\n\n"
        "counts in Redis at 2024-07-10T14:36:55.000Z\n"
        "device_type\n"
        "locale       US 7  \u65e5\u672c 5  N\\x00L 1\n"
        "hours        2024-07-10T14  US 7  a|b 5  and 10 more\n"
        "users        4 different\n"
        "days         2024-07-10  9 in all\n"
        "anomalies    minute 2024-07-10 14:36  count 12  threshold 10\n"
        "             minute 2024-07-10 14:30  count 11  threshold 10\n"
        "warnings     newer\n"
        "             older\n\n"
        "partition    to publish      to count   to publish, s   to count, s\n"
        "2                     5          3000             1.0          65.1\n"
        "1                   200             0             7.5           0.0\n"
        "0                    10             1             0.2           0.0\n");
}

static void what_is_wrong_comes_first(void **state) {
    (void)state;
    set_page("%s",
             DOCUMENT("\"Redis does not answer; start it\", \"and more\"", "\"read_at\": null"));
    capture_begin();
    assert_int_equal(watch(listen_on, "", 1), 0);
    capture_end();
    shows(" s\n! Redis does not answer; start it\n! and more\n\n");
    shows("counts in Redis: not read yet\n");
    shows_not("ready");
}

static void what_is_no_status_is_reported(void **state) {
    (void)state;
    static const char *const others[] = {"<html>\n", "[]", "{\"totals\": {}}", "{\"top\": 1}", "{"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        set_page("%s", others[i]);
        capture_begin();
        assert_int_equal(watch(listen_on, "", 1), 0);
        capture_end();
        shows("is not an instance of rollcall; start `rollcall run`, or set http.listen");
        shows_not("total");
    }
    capture_begin();
    assert_int_equal(watch("127.0.0.1:1", "", 1), 0);
    capture_end();
    shows("no figures of the instance: 127.0.0.1:1 does not answer");
}

/* Members of another kind than one hopes for are shown as nothing. */
static void an_odd_document_does_no_harm(void **state) {
    (void)state;
    set_page(
        "%s",
        "{\"totals\": [1], \"rates\": \"x\", \"top\": {\"a\": {\"b\": 1}, \"c\": [[], [1], 2]},"
        "\"partitions\": [1, {}, {\"partition\": \"x\", \"lag_records\": -5}],"
        "\"anomalies\": [null], \"recent\": [3, \"\\u001b[2J\"], \"state\": []}");
    capture_begin();
    assert_int_equal(watch(listen_on, "", 1), 0);
    capture_end();
    shows("! not ready\n");
    shows("\\x1b[2J");
    shows("3 partitions");
}

static int count_of(const char *words) {
    int count = 0;
    for (const char *at = captured; (at = strstr(at, words)) != NULL; at++)
        count++;
    return count;
}

static void it_waits_between_views_and_not_behind_the_last(void **state) {
    (void)state;
    set_page("%s", DOCUMENT("", COUNTS));
    for (int count = 1; count <= 2; count++) {
        naps = 0;
        capture_begin();
        assert_int_equal(watch(listen_on, "", count), 0);
        capture_end();
        assert_int_equal(count_of("rollcall top "), count);
        assert_int_equal(naps > 0, count > 1);
    }
}

static void a_url_names_an_instance_too(void **state) {
    (void)state;
    char url[64];
    set_page("%s", DOCUMENT("", COUNTS));
    snprintf(url, sizeof url, "http://%s/some/where/", listen_on);
    capture_begin();
    assert_int_equal(watch("", url, 1), 0);
    capture_end();
    shows("instance one");
    assert_int_equal(strncmp(request, "GET /some/where/status.json HTTP/1.1\r\n", 38), 0);
    capture_begin();
    assert_int_equal(watch("", "http://127.0.0.1:1", 1), 0);
    capture_end();
    shows("or correct --url");
    capture_begin();
    assert_int_equal(watch("", "", 1), 2);
    assert_int_equal(watch("", "https://localhost", 1), 2);
    capture_end();
    assert_string_equal(captured, "");
}

static void urls_of_many_forms(void **state) {
    (void)state;
    static const struct {
        const char *url, *listen_on, *path; /* NULL: refused */
    } cases[] = {
        {"http://localhost:9464", "localhost:9464", "/status.json"},
        {"http://localhost:9464/", "localhost:9464", "/status.json"},
        {"http://a.b/c/d//", "a.b:80", "/c/d/status.json"},
        {"http://[::1]:1", "[::1]:1", "/status.json"},
        {"http://[::1]", "[::1]:80", "/status.json"},
        {"localhost:9464", NULL, NULL},
        {"https://localhost", NULL, NULL},
        {"http://", NULL, NULL},
        {"http:///x", NULL, NULL},
        {"http://a?b", NULL, NULL},
        {"http://a/b#c", NULL, NULL},
        {"http://user@a", NULL, NULL},
        {"http://a/b c", NULL, NULL},
        {"http://a/b\r\nX: y", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct top_place place;
        struct error error = {""};
        const bool is_right = top_find(cases[i].url, &place, &error);
        assert_int_equal(is_right, cases[i].path != NULL);
        if (!is_right) {
            assert_non_null(strstr(error.text, "is not http://HOST:PORT"));
            continue;
        }
        assert_string_equal(place.listen_on, cases[i].listen_on);
        assert_string_equal(place.path, cases[i].path);
    }
}

static void partitions_that_lag_alike_are_in_order(void **state) {
    (void)state;
    set_page("%s", "{\"version\": \"0.1.0\", \"totals\": {}, \"top\": {}, "
                   "\"partitions\": ["
                   "{\"partition\": 3, \"lag_records\": 5, \"counted_lag_records\": 7},"
                   "{\"partition\": 1, \"lag_records\": 7, \"counted_lag_records\": 5},"
                   "{\"partition\": 2, \"lag_records\": 8, \"counted_lag_records\": 1},"
                   "{\"partition\": 0, \"lag_records\": 7, \"counted_lag_records\": 7}]}");
    capture_begin();
    assert_int_equal(watch(listen_on, "", 1), 0);
    capture_end();
    const char *at = strstr(captured, "to publish, s");
    if (at == NULL) fail_msg("%s", captured);
    static const char *const rows[] = {"\n2 ", "\n0 ", "\n1 ", "\n3 "};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        at = strstr(at, rows[i]);
        if (at == NULL) fail_msg("%s in:%s", rows[i], captured);
    }
}

/* A window of so many rows, with as many partitions as it has room for, or fewer. */
static void partitions_fill_the_window_and_no_more(void **state) {
    (void)state;
    static const struct {
        unsigned short rows;
        const char *last, *left_out;
    } cases[] = {
        {20, "\n\033[K0                    10             1", "more"},
        {19, "\n\033[K2 more              210             1             7.5", "\n\033[K0  "},
        {18, "\n\033[K3 more              215          3001             7.5          65.1",
         "\n\033[K2  "},
        {17, "older", "to publish, s"}};
    set_page("%s", DOCUMENT("", COUNTS));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct winsize size = {.ws_row = cases[i].rows, .ws_col = 120};
        int master, slave;
        struct termios raw = {0};
        cfmakeraw(&raw);
        assert_int_equal(openpty(&master, &slave, NULL, &raw, &size), 0);
        capture_on(slave);
        watch(listen_on, "", 1);
        capture_off();
        const ssize_t count = read(master, captured, sizeof captured - 1);
        assert_true(count > 0);
        captured[count] = '\0';
        shows(cases[i].last);
        shows_not(cases[i].left_out);
        close(master);
        close(slave);
    }
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_shows_the_whole_document),
        cmocka_unit_test(what_is_wrong_comes_first),
        cmocka_unit_test(what_is_no_status_is_reported),
        cmocka_unit_test(an_odd_document_does_no_harm),
        cmocka_unit_test(it_waits_between_views_and_not_behind_the_last),
        cmocka_unit_test(a_url_names_an_instance_too),
        cmocka_unit_test(urls_of_many_forms),
        cmocka_unit_test(partitions_that_lag_alike_are_in_order),
        cmocka_unit_test(partitions_fill_the_window_and_no_more),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
