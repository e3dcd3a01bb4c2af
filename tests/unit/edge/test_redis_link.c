/* redis_link: as whom it logs in, against a server that notes what it hears. */
#include "edge/redis_link.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/secret.h"
#include "edge/redis_master.h"

static char folder[] = "/tmp/test_link_XXXXXX";
static char socket_path[64], url_path[64];
static int listener;
static pthread_t thread;

/* Written by the server before it answers, read after the answer. */
static char heard[512];

/* Each command comes alone, because the link waits for its answer. */
static void *serve_one(void *context) {
    const int client = (int)(intptr_t)context;
    char bytes[256];
    ssize_t count;
    while ((count = recv(client, bytes, sizeof bytes - 1, 0)) > 0) {
        bytes[count] = '\0';
        strncat(heard, bytes, sizeof heard - strlen(heard) - 1);
        const bool is_wrong = strstr(bytes, "wrong") != NULL;
        const char *answer = is_wrong ? "-WRONGPASS invalid\r\n" : "+OK\r\n";
        send(client, answer, strlen(answer), MSG_NOSIGNAL);
    }
    close(client);
    return NULL;
}

/* Two connections may be open at once. */
static void *serve(void *context) {
    (void)context;
    int client;
    while ((client = accept(listener, NULL, NULL)) >= 0) {
        pthread_t one;
        if (pthread_create(&one, NULL, serve_one, (void *)(intptr_t)client) == 0)
            pthread_detach(one);
    }
    return NULL;
}

static int set_up(void **state) {
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(socket_path, sizeof socket_path, "%s/redis", folder);
    snprintf(url_path, sizeof url_path, "%s/url", folder);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    return bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
           listen(listener, 8) != 0 || pthread_create(&thread, NULL, serve, NULL) != 0;
}

static int tear_down(void **state) {
    (void)state;
    pthread_cancel(thread); /* a failed test leaves it in recv */
    pthread_join(thread, NULL);
    close(listener);
    unlink(socket_path);
    unlink(url_path);
    return rmdir(folder);
}

static void write_url(const char *login) {
    FILE *file = fopen(url_path, "w");
    assert_non_null(file);
    fprintf(file, "\xEF\xBB\xBFunix://%s%s\r\n", login, socket_path);
    fclose(file);
}

static struct redis_link *create(const char *login, const char *url_file) {
    char url[128];
    struct error error = {""};
    snprintf(url, sizeof url, "unix://%s%s", login, socket_path);
    const struct redis_settings settings = {
        .url = url, .url_file = (char *)(uintptr_t)url_file, .timeout_ms = 5000};
    struct redis_link *link = redis_link_create(&settings, &error);
    if (link == NULL) fail_msg("%s", error.text);
    return link;
}

/* Opens a new connection, on which the server hears this first. */
static void opens(struct redis_link *link, const char *first) {
    struct error error = {""};
    redis_link_close(link);
    heard[0] = '\0';
    if (!redis_link_open(link, &error)) fail_msg("%s", error.text);
    if (strncmp(heard, first, strlen(first)) != 0) fail_msg("heard %s", heard);
}

#define PING "*1\r\n$4\r\nPING\r\n"

static void it_logs_in_as_the_user_of_the_url(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"", PING},
        {"@", PING},
        {":pw@", "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n"},
        {"user@", "*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$0\r\n\r\n"},
        {"user:@", "*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$0\r\n\r\n"},
        {"user:pw@", "*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$2\r\npw\r\n"},
        {"u%3A:%2f%40%25@", "*3\r\n$4\r\nAUTH\r\n$2\r\nu:\r\n$3\r\n/@%\r\n"},
        {"u:a@b%@", "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$4\r\na@b%\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct redis_link *link = create(rows[i][0], NULL);
        opens(link, rows[i][1]);
        redis_link_destroy(&link);
    }
}

static void a_rotated_file_is_read_at_each_connection(void **state) {
    (void)state;
    struct error error = {""};
    struct redis_link *link = create("u:old@", url_path);
    write_url("u:old@");
    opens(link, "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$3\r\nold\r\n");
    write_url("u:wrong@");
    redis_link_close(link);
    assert_false(redis_link_open(link, &error));
    assert_true(redis_link_is_refused(link));
    assert_non_null(strstr(error.text, "%2F"));
    write_url("v:new@");
    opens(link, "*3\r\n$4\r\nAUTH\r\n$1\r\nv\r\n$3\r\nnew\r\n");
    write_url("v:b ad@"); /* then the last good one holds */
    opens(link, "*3\r\n$4\r\nAUTH\r\n$1\r\nv\r\n$3\r\nnew\r\n");
    unlink(url_path);
    opens(link, "*3\r\n$4\r\nAUTH\r\n$1\r\nv\r\n$3\r\nnew\r\n");
    write_url("");
    opens(link, PING);
    redis_link_destroy(&link);
}

static void a_reload_replaces_an_open_connection(void **state) {
    (void)state;
    struct error error = {""};
    char url[128];
    snprintf(url, sizeof url, "unix://u:old@%s", socket_path);
    struct secret *latest = secret_create(url);
    const struct redis_settings settings = {.url = url, .latest = latest, .timeout_ms = 5000};
    struct redis_link *link = redis_link_create(&settings, &error);
    struct redis_master *master = redis_link_master(link);
    opens(link, "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$3\r\nold\r\n");
    const unsigned serial = redis_link_serial(link);
    assert_false(redis_master_renew(master)); /* nothing is new */
    assert_true(redis_link_open(link, &error));
    assert_int_equal(redis_link_serial(link), serial);
    snprintf(url, sizeof url, "unix://u:wrong@%s", socket_path);
    secret_set(latest, url);
    assert_false(redis_master_renew(master));   /* no certificate */
    assert_true(redis_link_open(link, &error)); /* the one before it is kept */
    assert_int_equal(redis_link_serial(link), serial);
    struct redis_reply *reply = redis_link_call(link, &error, "PING");
    assert_non_null(reply);
    redis_reply_destroy(&reply);
    snprintf(url, sizeof url, "unix://v:new@%s", socket_path);
    secret_set(latest, url);
    redis_master_renew(master);
    heard[0] = '\0';
    assert_true(redis_link_open(link, &error));
    assert_int_equal(redis_link_serial(link), serial + 1);
    assert_non_null(strstr(heard, "$1\r\nv\r\n$3\r\nnew\r\n"));
    redis_link_destroy(&link);
    secret_destroy(&latest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_logs_in_as_the_user_of_the_url),
        cmocka_unit_test(a_rotated_file_is_read_at_each_connection),
        cmocka_unit_test(a_reload_replaces_an_open_connection),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
