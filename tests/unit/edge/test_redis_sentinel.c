/* redis_sentinel in front of scripted Sentinels: stale, cut off, silent, disagreeing. */
#include "edge/redis_sentinel.h"

#include <arpa/inet.h>
#include <assert.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "locks.h"
#include "logged.h"

enum { FAKES = 3, CLIENTS_MAX = 64, TIMEOUT_MS = 400 };

enum behaviour { GOOD, SILENT, UNKNOWN_NAME, NO_LOGIN, ODD };

static struct fake {
    int listener, port;
    pthread_t thread;
    pthread_mutex_t lock;
    /* guarded by the lock */
    enum behaviour behaviour;
    int epoch, master_port;
    int skews; /* so many times the epoch rises between the two times it is asked for */
    int clients[CLIENTS_MAX], client_count;
    pthread_t client_threads[CLIENTS_MAX];
    int asked; /* SENTINEL GET-MASTER-ADDR-BY-NAME */
    int subscriber;
} fakes[FAKES];

static struct redis_url url;
static const struct redis_settings settings = {.timeout_ms = TIMEOUT_MS};
static struct redis_sentinel *sentinel;

static void answer(struct fake *fake, int socket, const char *command) {
    char text[256] = "+OK\r\n";
    pthread_mutex_lock(&fake->lock);
    if (strstr(command, "GET-MASTER-ADDR") != NULL) {
        fake->asked++;
        snprintf(text, sizeof text, "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n%05d\r\n", fake->master_port);
    } else if (strstr(command, "MASTER") != NULL) {
        /* The address in it is wrong on purpose: it may be the old one with the new epoch. */
        snprintf(text, sizeof text,
                 "*6\r\n$4\r\nname\r\n$1\r\nm\r\n$4\r\nport\r\n$1\r\n1\r\n$12\r\nconfig-epoch\r\n"
                 "$4\r\n%04d\r\n",
                 fake->epoch);
        if (fake->skews > 0 && fake->skews-- % 2 == 0) fake->epoch++;
    } else if (strstr(command, "SUBSCRIBE") != NULL) {
        fake->subscriber = socket;
        snprintf(text, sizeof text, "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n");
    }
    if (fake->behaviour == UNKNOWN_NAME) {
        snprintf(text, sizeof text,
                 strstr(command, "GET-MASTER-ADDR") != NULL
                     ? "*-1\r\n"
                     : "-ERR No such master with that name\r\n");
    } else if (fake->behaviour == NO_LOGIN) {
        snprintf(text, sizeof text, "-NOAUTH Authentication required.\r\n");
    } else if (fake->behaviour == ODD) {
        snprintf(text, sizeof text, ":7\r\n");
    }
    if (fake->behaviour != SILENT) send(socket, text, strlen(text), MSG_NOSIGNAL);
    pthread_mutex_unlock(&fake->lock);
}

struct client {
    struct fake *fake;
    int socket;
};

static void *serve(void *context) {
    struct client client = *(struct client *)context;
    char bytes[4096];
    free(context);
    for (;;) {
        const ssize_t count = recv(client.socket, bytes, sizeof bytes - 1, 0);
        if (count <= 0) return NULL;
        bytes[count] = '\0'; /* whole commands, being short: each begins with '*' */
        for (char *command = bytes + 1, *next; command != NULL; command = next) {
            next = strchr(command, '*');
            if (next != NULL) *next++ = '\0';
            answer(client.fake, client.socket, command);
        }
    }
}

static void *run(void *context) {
    struct fake *fake = context;
    int socket;
    while ((socket = accept(fake->listener, NULL, NULL)) >= 0) {
        struct client *client = malloc(sizeof *client);
        *client = (struct client){fake, socket};
        pthread_mutex_lock(&fake->lock);
        const int i = fake->client_count++;
        assert(i < CLIENTS_MAX);
        fake->clients[i] = socket;
        pthread_create(&fake->client_threads[i], NULL, serve, client);
        pthread_mutex_unlock(&fake->lock);
    }
    return NULL;
}

static void fake_start(struct fake *fake, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fake->listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fake->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fake->listener, 16), 0);
    getsockname(fake->listener, (struct sockaddr *)&address, &length);
    fake->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&fake->thread, NULL, run, fake), 0);
}

static void fake_stop(struct fake *fake) {
    if (fake->listener < 0) return;
    shutdown(fake->listener, SHUT_RDWR);
    pthread_join(fake->thread, NULL);
    close(fake->listener);
    fake->listener = -1;
    for (int i = 0; i < fake->client_count; i++) {
        shutdown(fake->clients[i], SHUT_RDWR);
        pthread_join(fake->client_threads[i], NULL);
        close(fake->clients[i]);
    }
    fake->client_count = 0;
}

static void say(int index, enum behaviour behaviour, int epoch, int master_port) {
    struct fake *fake = &fakes[index];
    pthread_mutex_lock(&fake->lock);
    fake->behaviour = behaviour;
    fake->epoch = epoch;
    fake->master_port = master_port;
    pthread_mutex_unlock(&fake->lock);
}

static int set_up(void **state) {
    (void)state;
    char text[128];
    struct error error;
    for (int i = 0; i < FAKES; i++) {
        fakes[i] = (struct fake){.epoch = 1, .master_port = 10001, .subscriber = -1};
        pthread_mutex_init(&fakes[i].lock, NULL);
        fake_start(&fakes[i], 0);
    }
    snprintf(text, sizeof text, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/m",
             fakes[0].port, fakes[1].port, fakes[2].port);
    url = (struct redis_url){0};
    if (!redis_url_parse(&url, text, &error)) return -1;
    sentinel = redis_sentinel_create(&url, &settings, NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    const int64_t since_ms = clock_ms();
    redis_sentinel_destroy(&sentinel);
    const bool is_prompt = clock_ms() - since_ms < TIMEOUT_MS;
    redis_url_release(&url);
    for (int i = 0; i < FAKES; i++)
        fake_stop(&fakes[i]);
    return is_prompt ? 0 : -1;
}

/* The master's port; -1: none is known. */
static int find(void) {
    struct redis_address master;
    struct error error;
    unsigned turn;
    bool is_refused;
    if (!redis_sentinel_find(sentinel, &master, &turn, &is_refused, &error)) return -1;
    assert_string_equal(master.host, "127.0.0.1");
    assert_int_equal(turn, atomic_load(redis_sentinel_turn(sentinel)));
    return master.port;
}

static void wait_turn(unsigned turn, int64_t limit_ms) {
    const int64_t until_ms = clock_ms() + limit_ms;
    while (atomic_load(redis_sentinel_turn(sentinel)) == turn) {
        if (clock_ms() > until_ms) fail_msg("no other master within %d ms", (int)limit_ms);
        clock_sleep_ms(5);
    }
}

static void the_highest_epoch_wins(void **state) {
    (void)state;
    say(0, GOOD, 5, 10001);
    say(1, GOOD, 6, 10002);
    say(2, GOOD, 5, 10001);
    assert_int_equal(find(), 10002);
}

static void a_lone_stale_sentinel_is_not_followed(void **state) {
    (void)state;
    say(0, GOOD, 6, 10002);
    say(1, GOOD, 6, 10002);
    say(2, GOOD, 5, 10001);
    assert_int_equal(find(), 10002);
    const int64_t until_ms = clock_ms() + 20000;
    while (logged_count("A Sentinel's answer is older than one before: it is not followed",
                        "master=127.0.0.1:10001 epoch=5 newer_epoch=6") == 0) {
        assert_true(clock_ms() < until_ms);
        assert_int_equal(find(), 10002);
    }
    fake_stop(&fakes[0]);
    say(1, SILENT, 0, 0);
    assert_int_equal(find(), 10002);
    assert_int_equal(find(), 10002);
}

static void a_silent_sentinel_costs_one_deadline(void **state) {
    (void)state;
    say(1, SILENT, 0, 0);
    const int64_t since_ms = clock_ms();
    assert_int_equal(find(), 10001);
    assert_true(clock_ms() - since_ms >= TIMEOUT_MS);
    assert_true(clock_ms() - since_ms < TIMEOUT_MS * 2);
}

static void good_sentinels_are_not_waited_for(void **state) {
    (void)state;
    const int64_t since_ms = clock_ms();
    assert_int_equal(find(), 10001);
    assert_true(clock_ms() - since_ms < TIMEOUT_MS);
}

static void a_sentinel_that_is_back_is_followed_again(void **state) {
    (void)state;
    const int port = fakes[0].port;
    fake_stop(&fakes[0]);
    assert_int_equal(find(), 10001);
    const unsigned turn = atomic_load(redis_sentinel_turn(sentinel));
    say(0, GOOD, 2, 10002);
    fake_start(&fakes[0], port);
    wait_turn(turn, 5000);
    assert_int_equal(find(), 10002);
}

static void a_switch_that_is_heard_is_followed_at_once(void **state) {
    (void)state;
    static const char news[] = "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$33\r\n"
                               "m 127.0.0.1 10001 127.0.0.1 10002\r\n";
    assert_int_equal(find(), 10001);
    const unsigned turn = atomic_load(redis_sentinel_turn(sentinel));
    const int64_t until_ms = clock_ms() + 2000;
    int subscriber = -1;
    while (subscriber < 0 && clock_ms() < until_ms) {
        pthread_mutex_lock(&fakes[2].lock);
        subscriber = fakes[2].subscriber;
        pthread_mutex_unlock(&fakes[2].lock);
        clock_sleep_ms(5);
    }
    clock_sleep_ms(100); /* what it asks after SUBSCRIBE */
    say(2, GOOD, 2, 10002);
    clock_sleep_ms(200); /* nothing else leads there */
    assert_int_equal(atomic_load(redis_sentinel_turn(sentinel)), turn);
    send(subscriber, news, strlen(news), MSG_NOSIGNAL);
    wait_turn(turn, 1000);
    assert_int_equal(find(), 10002);
}

static void a_poll_finds_what_nobody_told(void **state) {
    (void)state;
    assert_int_equal(find(), 10001);
    const unsigned turn = atomic_load(redis_sentinel_turn(sentinel));
    clock_sleep_ms(200);
    say(2, GOOD, 2, 10002);
    wait_turn(turn, SENTINEL_POLL_MS + 1000);
    assert_int_equal(find(), 10002);
}

/* An epoch that rises while the address is asked for would pair the old address with the new epoch,
 * and then no right answer would be higher. */
static void epoch_and_address_are_of_one_moment(void **state) {
    (void)state;
    for (int i = 0; i < FAKES; i++) {
        pthread_mutex_lock(&fakes[i].lock);
        fakes[i].skews = 2;
        pthread_mutex_unlock(&fakes[i].lock);
    }
    assert_int_equal(find(), 10001);
    for (int i = 0; i < FAKES; i++) {
        pthread_mutex_lock(&fakes[i].lock);
        const int asked = fakes[i].asked;
        pthread_mutex_unlock(&fakes[i].lock);
        assert_true(asked >= 2);
    }
}

static void of_one_epoch_the_majority_counts(void **state) {
    (void)state;
    say(0, GOOD, 0, 10001);
    say(1, GOOD, 0, 10002);
    say(2, GOOD, 0, 10002);
    assert_int_equal(find(), 10002);
}

static void a_name_or_login_that_is_wrong_is_the_users_to_fix(void **state) {
    (void)state;
    static const struct {
        enum behaviour behaviour;
        const char *fix;
    } rows[] = {{UNKNOWN_NAME, "SENTINEL MASTERS"}, {NO_LOGIN, "redis.sentinel_password"}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct redis_address master;
        struct error error;
        unsigned turn;
        bool is_refused = false;
        for (int i = 0; i < FAKES; i++)
            say(i, rows[r].behaviour, 1, 10001);
        assert_false(redis_sentinel_find(sentinel, &master, &turn, &is_refused, &error));
        assert_true(is_refused);
        if (strstr(error.text, rows[r].fix) == NULL) fail_msg("%s", error.text);
    }
}

static void one_that_changes_each_time_it_is_asked_is_not_believed(void **state) {
    (void)state;
    struct redis_address master;
    struct error error = {""};
    unsigned turn;
    bool is_refused;
    const int64_t until_ms = clock_ms() + 20000;
    for (int i = 0; i < FAKES; i++) {
        pthread_mutex_lock(&fakes[i].lock);
        fakes[i].skews = 1 << 20;
        pthread_mutex_unlock(&fakes[i].lock);
    }
    do {
        assert_true(clock_ms() < until_ms);
        assert_false(redis_sentinel_find(sentinel, &master, &turn, &is_refused, &error));
    } while (strstr(error.text, "changes too fast") == NULL);
    assert_false(is_refused);
}

/* Of several reasons, one that the user has to fix comes first, in the order of redis.url. */
static void the_reason_that_needs_a_fix_is_reported(void **state) {
    (void)state;
    static const struct {
        enum behaviour behaviours[FAKES];
        bool is_refused;
        int named; /* the Sentinel whose reason it is */
        const char *why;
    } rows[] = {
        {{SILENT, UNKNOWN_NAME, SILENT}, true, 1, "SENTINEL MASTERS"},
        {{NO_LOGIN, SILENT, UNKNOWN_NAME}, true, 0, "redis.sentinel_password"},
        {{UNKNOWN_NAME, NO_LOGIN, SILENT}, true, 0, "SENTINEL MASTERS"},
        {{SILENT, SILENT, NO_LOGIN}, true, 2, "redis.sentinel_password"},
        {{SILENT, SILENT, SILENT}, false, 0, "answer"},
        {{ODD, SILENT, ODD}, false, 0, "gives an odd answer: is it a Sentinel?"},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        char name[32], begin[128];
        struct redis_address master;
        struct error error = {""};
        unsigned turn;
        bool is_refused = !rows[r].is_refused;
        const int64_t until_ms = clock_ms() + 20000;
        for (int i = 0; i < FAKES; i++)
            say(i, rows[r].behaviours[i], 1, 10001);
        snprintf(name, sizeof name, "127.0.0.1:%d", fakes[rows[r].named].port);
        snprintf(begin, sizeof begin,
                 "none of the %d Sentinels in redis.url names the master m: ", FAKES);
        do { /* until the last one has failed, too */
            if (clock_ms() > until_ms) fail_msg("%zu: %s", r, error.text);
            assert_false(redis_sentinel_find(sentinel, &master, &turn, &is_refused, &error));
            assert_memory_equal(error.text, begin, strlen(begin));
        } while (is_refused != rows[r].is_refused || strstr(error.text, name) == NULL ||
                 strstr(error.text, rows[r].why) == NULL);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_highest_epoch_wins),
        TEST(a_lone_stale_sentinel_is_not_followed),
        TEST(a_silent_sentinel_costs_one_deadline),
        TEST(good_sentinels_are_not_waited_for),
        TEST(a_sentinel_that_is_back_is_followed_again),
        TEST(a_switch_that_is_heard_is_followed_at_once),
        TEST(a_poll_finds_what_nobody_told),
        TEST(epoch_and_address_are_of_one_moment),
        TEST(of_one_epoch_the_majority_counts),
        TEST(a_name_or_login_that_is_wrong_is_the_users_to_fix),
        TEST(one_that_changes_each_time_it_is_asked_is_not_believed),
        TEST(the_reason_that_needs_a_fix_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
