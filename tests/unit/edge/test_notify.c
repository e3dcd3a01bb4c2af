/* A service manager of our own, which reads what it is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge/notify.h"

static char path[] = "/tmp/rollcall-notify-XXXXXX/socket";
static char message[4096];
static int manager;

static void listen_at(const char *name, bool is_abstract) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, name, strlen(name));
    if (is_abstract) address.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(manager, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                     0);
}

/* One message; "" if there is none. */
static const char *received(void) {
    const ssize_t length = recv(manager, message, sizeof message - 1, 0);
    message[length > 0 ? length : 0] = '\0';
    return message;
}

static int set_up(void **state) {
    (void)state;
    char *end = strrchr(path, '/');
    memcpy(end - 6, "XXXXXX", 6);
    *end = '\0';
    if (mkdtemp(path) == NULL) return -1;
    *end = '/';
    listen_at(path, false);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    close(manager);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
    path[strlen(path)] = '/';
    return 0;
}

static void report(struct notify *notify, struct notify_state state, int64_t now_ms) {
    notify_report(notify, &state, now_ms);
}

static void without_a_socket_there_is_nobody(void **state) {
    (void)state;
    assert_null(notify_create(NULL, "1000000"));
    assert_null(notify_create("", NULL));
    assert_null(notify_create("vsock:2:1234", NULL));
    assert_null(notify_create("run/socket", NULL));
    char longer[200];
    memset(longer, 'x', sizeof longer);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    assert_null(notify_create(longer, NULL));
    struct notify *nobody = NULL;
    assert_false(notify_is_due(nobody, 0));
    report(nobody, (struct notify_state){.status = ""}, 0);
    notify_reload(nobody);
    notify_destroy(&nobody);
}

static void what_is_new_is_sent_once(void **state) {
    (void)state;
    struct notify *notify = notify_create(path, NULL);
    report(notify, (struct notify_state){.is_alive = true, .status = "waits"}, 0);
    assert_string_equal(received(), "STATUS=waits\n");
    report(notify, (struct notify_state){.is_alive = true, .status = "waits"}, 1000);
    assert_string_equal(received(), "");
    report(notify, (struct notify_state){.is_ready = true, .status = "runs\nX=1"}, 2000);
    assert_string_equal(received(), "READY=1\nSTATUS=runs\n");
    /* not ready any more: there is no message for that */
    report(notify, (struct notify_state){.status = "waits"}, 3000);
    assert_string_equal(received(), "STATUS=waits\n");
    report(notify, (struct notify_state){.is_ready = true, .status = "waits"}, 4000);
    assert_string_equal(received(), "");
    report(notify, (struct notify_state){.is_stopping = true, .status = "ends"}, 5000);
    assert_string_equal(received(), "STOPPING=1\nSTATUS=ends\n");
    report(notify, (struct notify_state){.is_stopping = true, .status = "ends"}, 6000);
    assert_string_equal(received(), "");
    notify_destroy(&notify);
}

static void the_watchdog_is_fed_while_alive_and_often_enough(void **state) {
    (void)state;
    struct notify *notify = notify_create(path, "900000");
    report(notify, (struct notify_state){.is_alive = true, .status = ""}, 5000);
    assert_string_equal(received(), "WATCHDOG=1\n");
    assert_false(notify_is_due(notify, 5299));
    assert_true(notify_is_due(notify, 5300));
    report(notify, (struct notify_state){.is_alive = false, .status = ""}, 5300);
    assert_string_equal(received(), "");
    notify_destroy(&notify);
    notify = notify_create(path, "60000000");
    report(notify, (struct notify_state){.is_alive = true, .status = ""}, 0);
    assert_true(notify_is_due(notify, NOTIFY_EVERY_MS));
    notify_destroy(&notify);
}

static void a_reload_ends_with_ready(void **state) {
    (void)state;
    long long usec = 0;
    struct notify *notify = notify_create(path, NULL);
    notify_reload(notify);
    assert_string_equal(received(), "");
    report(notify, (struct notify_state){.is_ready = true, .status = ""}, 0);
    assert_string_equal(received(), "READY=1\n");
    notify_reload(notify);
    assert_int_equal(sscanf(received(), "RELOADING=1\nMONOTONIC_USEC=%lld\n", &usec), 1);
    assert_true(usec > 0);
    assert_true(notify_is_due(notify, 0));
    report(notify, (struct notify_state){.is_ready = false, .status = ""}, 0);
    assert_string_equal(received(), "READY=1\n");
    report(notify, (struct notify_state){.is_ready = true, .status = ""}, 1000);
    assert_string_equal(received(), "");
    notify_destroy(&notify);
}

static void what_was_not_sent_is_sent_later(void **state) {
    (void)state;
    struct notify *notify = notify_create(path, NULL);
    unlink(path);
    report(notify, (struct notify_state){.is_ready = true, .status = "runs"}, 0);
    close(manager);
    listen_at(path, false);
    report(notify, (struct notify_state){.is_ready = true, .status = "runs"}, 1000);
    assert_string_equal(received(), "READY=1\nSTATUS=runs\n");
    notify_destroy(&notify);
}

/* More than the socket's queue takes, and nobody reads. */
static void a_manager_that_does_not_read_is_not_waited_for(void **state) {
    (void)state;
    struct notify *notify = notify_create(path, "1000000");
    for (int i = 0; i < 10000; i++)
        report(notify, (struct notify_state){.is_alive = true, .status = ""}, i);
    notify_destroy(&notify);
}

static void an_abstract_socket_is_found(void **state) {
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "@rollcall-test-%d", (int)getpid());
    close(manager);
    listen_at(name, true);
    struct notify *notify = notify_create(name, NULL);
    report(notify, (struct notify_state){.is_ready = true, .status = ""}, 0);
    assert_string_equal(received(), "READY=1\n");
    notify_destroy(&notify);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(without_a_socket_there_is_nobody),
        TEST(what_is_new_is_sent_once),
        TEST(the_watchdog_is_fed_while_alive_and_often_enough),
        TEST(a_reload_ends_with_ready),
        TEST(what_was_not_sent_is_sent_later),
        TEST(a_manager_that_does_not_read_is_not_waited_for),
        TEST(an_abstract_socket_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
