/* redis_dial: every address of a name, one deadline. getaddrinfo is this file's own, and no thread
 * begins while has_no_threads. */
#include "edge/redis_dial.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "locks.h"

static struct sockaddr_in addresses[4];
static int address_count;
static int delay_ms;
static atomic_int resolving; /* threads in getaddrinfo; one that nobody waits for may be left */

/* "slow" takes delay_ms, "dot" is not known with a dot behind it, "gone" is not known at all. */
static int find(const char *host, const struct addrinfo *hints, struct addrinfo **found) {
    if ((hints->ai_flags & AI_NUMERICHOST) != 0) return EAI_NONAME;
    if (strcmp(host, "slow") == 0) clock_sleep_ms(delay_ms);
    if (strcmp(host, "gone") == 0 || strcmp(host, "dot.") == 0) return EAI_NONAME;
    *found = NULL;
    for (int i = address_count - 1; i >= 0; i--) {
        struct addrinfo *one = calloc(1, sizeof *one);
        *one = (struct addrinfo){.ai_family = AF_INET,
                                 .ai_socktype = SOCK_STREAM,
                                 .ai_addr = (struct sockaddr *)&addresses[i],
                                 .ai_addrlen = sizeof addresses[i],
                                 .ai_next = *found};
        *found = one;
    }
    return 0;
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **found) {
    (void)port;
    atomic_fetch_add(&resolving, 1);
    const int result = find(host, hints, found);
    atomic_fetch_sub(&resolving, 1);
    return result;
}

void freeaddrinfo(struct addrinfo *found) {
    while (found != NULL) {
        struct addrinfo *next = found->ai_next;
        free(found);
        found = next;
    }
}

static bool has_no_threads;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *context) {
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return has_no_threads ? EAGAIN : real(thread, attributes, run, context);
}

/* Adds an address; with a backlog of 0 that is full, whoever connects gets no answer. Returns the
 * listening socket. */
enum behaviour { GOOD, REFUSES, SILENT };

static int add(enum behaviour behaviour, int fillers[8]) {
    struct sockaddr_in *address = &addresses[address_count++];
    socklen_t length = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)address, sizeof *address), 0);
    getsockname(listener, (struct sockaddr *)address, &length);
    if (behaviour != REFUSES) assert_int_equal(listen(listener, behaviour == GOOD ? 8 : 0), 0);
    for (int i = 0; behaviour == SILENT && i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fillers[i], (struct sockaddr *)address, sizeof *address);
    }
    return listener;
}

static int fillers[8];
static int listeners[4];

static int set_up(void **state) {
    (void)state;
    while (atomic_load(&resolving) > 0)
        clock_sleep_ms(1);
    address_count = 0;
    has_no_threads = false;
    for (int i = 0; i < 4; i++)
        listeners[i] = -1;
    for (int i = 0; i < 8; i++)
        fillers[i] = -1;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++)
        if (listeners[i] >= 0) close(listeners[i]);
    for (int i = 0; i < 8; i++)
        if (fillers[i] >= 0) close(fillers[i]);
    return 0;
}

/* Dials; -1, or the port that it came to. */
static int dial(const char *host, int limit_ms, struct error *error) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    const int fd = redis_dial(host, 1, clock_ms() + limit_ms, error);
    if (fd < 0) return -1;
    getpeername(fd, (struct sockaddr *)&peer, &length);
    close(fd);
    return ntohs(peer.sin_port);
}

static void an_address_that_refuses_is_passed_over(void **state) {
    (void)state;
    struct error error = {""};
    listeners[0] = add(REFUSES, fillers);
    listeners[1] = add(GOOD, fillers);
    assert_int_equal(dial("name", 1000, &error), ntohs(addresses[1].sin_port));
}

static void an_address_that_is_silent_delays_the_next_one_briefly(void **state) {
    (void)state;
    struct error error = {""};
    listeners[0] = add(SILENT, fillers);
    listeners[1] = add(GOOD, fillers);
    const int64_t since_ms = clock_ms();
    assert_int_equal(dial("name", 5000, &error), ntohs(addresses[1].sin_port));
    assert_true(clock_ms() - since_ms < 2000);
}

static void the_deadline_holds_for_all_addresses_together(void **state) {
    (void)state;
    struct error error = {""};
    listeners[0] = add(SILENT, fillers);
    addresses[1] = addresses[0];
    addresses[2] = addresses[0];
    address_count = 3;
    const int64_t since_ms = clock_ms();
    assert_int_equal(dial("name", 700, &error), -1);
    assert_true(clock_ms() - since_ms >= 690 && clock_ms() - since_ms < 1400);
    assert_non_null(strstr(error.text, "timed out"));
}

static void the_deadline_includes_resolving(void **state) {
    (void)state;
    struct error error = {""};
    listeners[0] = add(GOOD, fillers);
    delay_ms = 1500;
    const int64_t since_ms = clock_ms();
    assert_int_equal(dial("slow", 300, &error), -1);
    assert_true(clock_ms() - since_ms < 1000);
    assert_non_null(strstr(error.text, "not resolved in time"));
    clock_sleep_ms(delay_ms); /* its thread ends; a sanitizer sees that nothing is left */
}

static void the_reason_of_the_last_one_is_given(void **state) {
    (void)state;
    struct error error = {""};
    listeners[0] = add(REFUSES, fillers);
    assert_int_equal(dial("name", 1000, &error), -1);
    assert_string_equal(error.text, "Connection refused");
    assert_int_equal(dial("gone", 1000, &error), -1);
    assert_non_null(strstr(error.text, "the name gone is not resolved"));
}

static void a_dot_at_the_end_is_part_of_a_name_or_not(void **state) {
    (void)state;
    struct error error = {""};
    listeners[0] = add(GOOD, fillers);
    assert_int_equal(dial("dot.", 1000, &error), ntohs(addresses[0].sin_port));
}

static void a_name_is_not_waited_for_if_no_thread_resolves_it(void **state) {
    (void)state;
    struct error error = {""};
    has_no_threads = true;
    assert_int_equal(dial("name", 60000, &error), -1);
    assert_string_equal(error.text, "the name name is not resolved: Temporary failure in name "
                                    "resolution");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_address_that_refuses_is_passed_over),
        TEST(an_address_that_is_silent_delays_the_next_one_briefly),
        TEST(the_deadline_holds_for_all_addresses_together),
        TEST(the_deadline_includes_resolving),
        TEST(the_reason_of_the_last_one_is_given),
        TEST(a_dot_at_the_end_is_part_of_a_name_or_not),
        TEST(a_name_is_not_waited_for_if_no_thread_resolves_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
