/* redis_store in front of a server that answers anything at all. What a real Redis does is in
 * test_redis_script.c and tests/system; here are the answers that none gives, or none gives at
 * will. */
#include "edge/redis_fault.h"
#include "edge/redis_snapshot.h"
#include "edge/redis_store.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/worker.h"

enum { TIMEOUT_MS = 200, ANSWER_BYTES = 4096, FUZZ_ROUNDS = 4000 };

static char prefix[] = "{p}";

#define INFO "$27\r\nmaxmemory_policy:noeviction\r\n"
#define STORED "*5\r\n$6\r\nstored\r\n$2\r\n10\r\n:1\r\n$16\r\n2024-07-10 12:43\r\n:11\r\n"

/* Answers +PONG to PING, INFO to INFO, and `answer` to what else comes. */
struct fake {
    int listener;
    pthread_t thread;
    char folder[32], url[64], path[48];
    pthread_mutex_t lock;
    char answer[ANSWER_BYTES]; /* guarded by lock, as the rest */
    size_t answer_bytes;
    bool spoils_all;  /* `answer` to whatever comes */
    bool drips;       /* sends `answer` byte by byte */
    bool stays;       /* leaves the connection open behind it */
    const char *days; /* what ZRANGE is answered; NULL: `answer` */
};

static bool send_all(int socket, const char *bytes, size_t count) {
    return send(socket, bytes, count, MSG_NOSIGNAL) == (ssize_t)count;
}

/* Serves one command; it came in one piece, being short. False: the connection is to end. */
static bool serve(struct fake *fake, int socket) {
    char command[16384];
    ssize_t count = recv(socket, command, sizeof command - 1, 0);
    if (count <= 0) return false;
    command[count] = '\0';
    pthread_mutex_lock(&fake->lock);
    bool goes_on = true;
    if (!fake->spoils_all && strstr(command, "PING") != NULL) {
        goes_on = send_all(socket, "+PONG\r\n", 7);
    } else if (!fake->spoils_all && strstr(command, "\r\nINFO\r\n") != NULL) {
        goes_on = send_all(socket, INFO, sizeof INFO - 1);
    } else if (fake->days != NULL && strstr(command, "\r\nZRANGE\r\n") != NULL) {
        goes_on = send_all(socket, fake->days, strlen(fake->days));
    } else if (fake->drips) {
        for (size_t i = 0; goes_on && i < fake->answer_bytes; i++) {
            goes_on = send_all(socket, fake->answer + i, 1);
            clock_sleep_ms(TIMEOUT_MS / 4);
        }
    } else {
        goes_on = send_all(socket, fake->answer, fake->answer_bytes) && fake->stays;
    }
    pthread_mutex_unlock(&fake->lock);
    return goes_on;
}

static void *run(void *context) {
    struct fake *fake = context;
    int socket;
    while ((socket = accept(fake->listener, NULL, NULL)) >= 0) {
        while (serve(fake, socket))
            continue;
        close(socket);
    }
    return NULL;
}

static struct fake *fake_create(void) {
    struct fake *fake = calloc(1, sizeof *fake);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(fake->folder, "/tmp/rollcall-fake-XXXXXX");
    assert_non_null(mkdtemp(fake->folder));
    snprintf(fake->path, sizeof fake->path, "%s/redis", fake->folder);
    snprintf(fake->url, sizeof fake->url, "unix://%s", fake->path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", fake->path);
    fake->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fake->listener, 8), 0);
    pthread_mutex_init(&fake->lock, NULL);
    assert_int_equal(pthread_create(&fake->thread, NULL, run, fake), 0);
    return fake;
}

static void fake_destroy(struct fake *fake) {
    shutdown(fake->listener, SHUT_RDWR);
    pthread_join(fake->thread, NULL);
    close(fake->listener);
    unlink(fake->path);
    rmdir(fake->folder);
    pthread_mutex_destroy(&fake->lock);
    free(fake);
}

static void fake_say(struct fake *fake, const char *bytes, size_t count, bool stays) {
    pthread_mutex_lock(&fake->lock);
    assert_true(count <= sizeof fake->answer);
    memcpy(fake->answer, bytes, count);
    fake->answer_bytes = count;
    fake->stays = stays;
    pthread_mutex_unlock(&fake->lock);
}

static struct aggregates aggregates; /* of a locale, minutes and reasons */

static int aggregates_set_up(void **state) {
    (void)state;
    static char locale[] = "locale";
    static const struct aggregate_settings settings = {
        .dimensions = {.items = {locale}, .count = 1},
        .max_values = 10,
        .max_days = 10,
        .retention_days = 1,
        .threshold = 10};
    aggregates_init(&aggregates, &settings);
    return 0;
}

static int min_replicas; /* of the stores that are opened */

static struct redis_store *open_store(struct fake *fake) {
    static struct redis_settings settings;
    struct error error = {""};
    settings = (struct redis_settings){
        .url = fake->url, .prefix = prefix, .timeout_ms = TIMEOUT_MS, .min_replicas = min_replicas};
    const struct redis_store_options options = {.redis = &settings,
                                                .aggregates = &aggregates,
                                                .group = "group",
                                                .topic = "topic",
                                                .topic_id = "",
                                                .instance = "instance"};
    struct redis_store *store = redis_store_create(&options, &error);
    if (store == NULL) fail_msg("%s", error.text);
    return store;
}

/* The verdict on one call from 5 to 10 that is answered so. */
static struct store_call answered(const char *answer, bool stays, struct error *error) {
    struct fake *fake = fake_create();
    struct redis_store *store = open_store(fake);
    struct store_call call = {.partition = 0, .base = 5, .end = 10};
    fake_say(fake, answer, strlen(answer), stays);
    redis_store_apply(store, &call, 1, error);
    redis_store_destroy(&store);
    fake_destroy(fake);
    return call;
}

static void answers_of_the_script_are_taken(void **state) {
    (void)state;
    struct error error = {""};
    struct store_call call = answered(STORED, false, &error);
    assert_int_equal(call.verdict, STORE_OK);
    assert_int_equal(call.stored, 10);
    assert_int_equal(call.anomaly_count, 1);
    assert_int_equal(call.anomalies[0].count, 11);
    assert_true(store_call_is_stored(&call));
    call = answered("*3\r\n$4\r\nkept\r\n$4\r\nnone\r\n$2\r\n0:\r\n", false, &error);
    assert_int_equal(call.verdict, STORE_OK);
    assert_int_equal(call.stored, CURSOR_ABSENT);
    /* The offset alone does not make it ours. */
    call = answered("*3\r\n$4\r\nkept\r\n$2\r\n10\r\n$7\r\n0:9:3@0\r\n", false, &error);
    assert_int_equal(call.verdict, STORE_OK);
    assert_int_equal(call.stored, 10);
    assert_false(store_call_is_stored(&call));
    call = answered("*3\r\n$4\r\nkept\r\n$2\r\n10\r\n$2\r\n0:\r\n", false, &error);
    assert_true(store_call_is_stored(&call));
}

/* One for the call, one for WAIT. */
static void a_call_that_too_few_replicas_have_is_made_again(void **state) {
    (void)state;
    struct error error = {""};
    min_replicas = 2;
    struct store_call call = answered(STORED ":1\r\n", true, &error);
    assert_int_equal(call.verdict, STORE_RETRY);
    assert_non_null(strstr(error.text, "of 2 replicas that must have a checkpoint"));
    assert_non_null(strstr(error.text, ", 1 of Redis at "));
    assert_non_null(strstr(error.text, " had it after 100 ms"));
    call = answered(STORED ":2\r\n", true, &error);
    assert_int_equal(call.verdict, STORE_OK);
    call = answered("-WRONGTYPE key\r\n:0\r\n", true, &error); /* nothing to wait for */
    assert_int_equal(call.verdict, STORE_REFUSED);
    assert_non_null(strstr(error.text, "WRONGTYPE"));
    min_replicas = 0;
}

/* Of two calls the first is answered, then the connection breaks: nobody can say any more whether
 * the replicas have it. */
static void a_call_whose_replicas_cannot_be_asked_for_is_made_again(void **state) {
    (void)state;
    struct error error = {""};
    min_replicas = 1;
    struct fake *fake = fake_create();
    struct redis_store *store = open_store(fake);
    struct store_call calls[2] = {{.partition = 0, .base = 5, .end = 10},
                                  {.partition = 1, .base = 5, .end = 10}};
    fake_say(fake, STORED, sizeof STORED - 1, false);
    redis_store_apply(store, calls, 2, &error);
    assert_int_equal(calls[0].verdict, STORE_RETRY);
    assert_int_equal(calls[1].verdict, STORE_RETRY);
    if (strstr(error.text, "broke") == NULL) fail_msg("%s", error.text);
    redis_store_destroy(&store);
    fake_destroy(fake);
    min_replicas = 0;
}

static void answers_of_no_script_are_refused_and_said(void **state) {
    (void)state;
    static const char *const odd[] = {
        "*0\r\n",
        "+OK\r\n",
        ":1\r\n",
        "$-1\r\n",
        "*2\r\n$6\r\nstored\r\n$-1\r\n",
        "*2\r\n$6\r\nstored\r\n$2\r\n11\r\n",     /* not where the call ends */
        "*2\r\n$4\r\nkept\r\n$3\r\nabc\r\n",      /* strtoll would read 0 */
        "*2\r\n$4\r\nkept\r\n$2\r\n-3\r\n",       /* CURSOR_ABSENT is a number too */
        "*2\r\n$7\r\nforeign\r\n$5\r\ngroup\r\n", /* whose, it does not say */
        "*3\r\n$9\r\nwrongtype\r\n$3\r\nkey\r\n:7\r\n",
        "*2\r\n$5\r\nother\r\n$5\r\ngroup\r\n",
        "*2\r\n$6\r\nstored\r\n$2\r\n10\r\n",
        "*3\r\n$6\r\nstored\r\n$2\r\n10\r\n:-1\r\n",
        "*3\r\n$6\r\nstored\r\n$2\r\n10\r\n:1\r\n",                            /* which one? */
        "*4\r\n$6\r\nstored\r\n$2\r\n10\r\n:1\r\n$16\r\n2024-07-10 12:43\r\n", /* half of it */
        "*5\r\n$6\r\nstored\r\n$2\r\n10\r\n:1\r\n:1\r\n:2\r\n",
        "*5\r\n$6\r\nstored\r\n$2\r\n10\r\n:2\r\n$16\r\n2024-07-10 12:43\r\n:11\r\n",
        "*1\r\n$4\r\nneed\r\n",
        "*2\r\n$4\r\nneed\r\n$3\r\nday\r\n",
        "*2\r\n$4\r\nneed\r\n:1\r\n",
        "*3\r\n$3\r\nodd\r\n$3\r\nkey\r\n$5\r\nfield\r\n",
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct error error = {""};
        const struct store_call call = answered(odd[i], true, &error);
        if (call.verdict != STORE_RETRY) fail_msg("%s: verdict %d", odd[i], (int)call.verdict);
        assert_int_equal(call.anomaly_count, 0);
        if (strstr(error.text, "is it Redis") == NULL) fail_msg("%s: %s", odd[i], error.text);
    }
}

static void a_reply_that_does_not_end_is_not_waited_for_longer_than_the_timeout(void **state) {
    (void)state;
    struct error error = {""};
    struct store_call call = answered("*2\r\n$6\r\nsto", true, &error);
    assert_int_equal(call.verdict, STORE_RETRY);
    assert_non_null(
        strstr(error.text, "did not answer within 200 ms; start Redis, or set redis.url"));
    call = answered("*2\r\n$6\r\nsto", false, &error);
    assert_int_equal(call.verdict, STORE_RETRY);
    assert_non_null(strstr(error.text, "broke"));
    call = answered("HTTP/1.1 400 Bad Request\r\n\r\n", true, &error);
    assert_int_equal(call.verdict, STORE_RETRY);
    assert_non_null(strstr(error.text, "broke"));
}

/* Each byte comes in time, but not all of them. */
static void a_reply_that_drips_is_not_waited_for_longer_than_the_timeout(void **state) {
    (void)state;
    struct error error = {""};
    struct fake *fake = fake_create();
    struct redis_store *store = open_store(fake);
    struct store_call call = {.partition = 0, .base = 5, .end = 10};
    fake_say(fake, STORED, strlen(STORED), true);
    fake->drips = true; /* the thread waits for a connection */
    const int64_t since_ms = clock_ms();
    redis_store_apply(store, &call, 1, &error);
    assert_true(clock_ms() - since_ms < (int64_t)strlen(STORED) * TIMEOUT_MS / 4);
    assert_int_equal(call.verdict, STORE_RETRY);
    assert_non_null(
        strstr(error.text, "did not answer within 200 ms; start Redis, or set redis.url"));
    redis_store_destroy(&store);
    fake_destroy(fake);
}

/* Each error reply is said with the way to mend it, and judged; at start and later. */
static void error_replies_say_how_to_mend_them(void **state) {
    (void)state;
    static const struct {
        const char *reply, *mend;
        enum store_verdict at_start, later;
    } cases[] = {
        {"WRONGTYPE Operation against a key", "redis.prefix", STORE_REFUSED, STORE_REFUSED},
        {"OOM command not allowed when used memory > 'maxmemory'.", "CONFIG SET maxmemory",
         STORE_RETRY, STORE_RETRY},
        {"ERR Error running script (call to f_1): @user_script:5: -OOM command not allowed",
         "CONFIG SET maxmemory", STORE_RETRY, STORE_RETRY},
        {"MISCONF Redis is configured to save RDB snapshots", "disk", STORE_RETRY, STORE_RETRY},
        {"BUSY Redis is busy running a script.", "SCRIPT KILL", STORE_RETRY, STORE_RETRY},
        {"LOADING Redis is loading the dataset in memory", "reading its data", STORE_RETRY,
         STORE_RETRY},
        {"READONLY You can't write against a read only replica.", "master", STORE_RETRY,
         STORE_RETRY},
        {"MOVED 3999 127.0.0.1:6381", "redis+cluster://", STORE_REFUSED, STORE_RETRY},
        {"ASK 3999 127.0.0.1:6381", "is moving", STORE_RETRY, STORE_RETRY},
        {"CROSSSLOT Keys in request don't hash to the same slot", "put braces into redis.prefix",
         STORE_REFUSED, STORE_RETRY},
        {"CLUSTERDOWN Hash slot not served", "--cluster check", STORE_RETRY, STORE_RETRY},
        {"NOAUTH Authentication required.", "redis.url_file", STORE_REFUSED, STORE_RETRY},
        {"NOPERM this user has no permissions to run the 'evalsha' command or its subcommand",
         "ACL SETUSER <user> '+evalsha'", STORE_REFUSED, STORE_RETRY},
        {"NOPERM this user has no permissions to access one of the keys used as arguments",
         "ACL SETUSER <user> '~{p}:*'", STORE_REFUSED, STORE_RETRY},
        {"ERR The user executing the script can't run this command or subcommand script: 2, on "
         "@user_script:24.",
         "+hincrby", STORE_REFUSED, STORE_RETRY},
        {"ERR ACL failure in script: User u has no permissions to run the 'hmget' command script: "
         "2, on @user_script:71.",
         "ACL SETUSER <user> '+hmget'", STORE_REFUSED, STORE_RETRY},
        {"ERR something new", "something new", STORE_RETRY, STORE_RETRY},
        {"", "answered", STORE_RETRY, STORE_RETRY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char answer[256];
        struct error error = {""}, warning;
        struct fake *fake = fake_create();
        struct redis_store *store = open_store(fake);
        snprintf(answer, sizeof answer, "-%s\r\n", cases[i].reply);
        fake_say(fake, answer, strlen(answer), true);
        const enum store_verdict at_start = redis_store_check(store, &warning, &error);
        if (at_start != cases[i].at_start || strstr(error.text, cases[i].mend) == NULL) {
            fail_msg("%s: %d, %s", cases[i].reply, (int)at_start, error.text);
        }
        struct store_call call = {.partition = 0, .base = 5, .end = 10};
        redis_store_apply(store, &call, 1, &error);
        if (call.verdict != cases[i].later || strstr(error.text, cases[i].mend) == NULL) {
            fail_msg("later, %s: %d, %s", cases[i].reply, (int)call.verdict, error.text);
        }
        redis_store_destroy(&store);
        fake_destroy(fake);
    }
}

/* --- anything at all -------------------------------------------------------------------------- */

static unsigned next_random(unsigned *seed) {
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

/* Changes, cuts, doubles or inserts some bytes. */
static size_t mutate(char *bytes, size_t count, unsigned *seed) {
    static const char spice[] = "*$+-:0129\r\n\0_#,(!=%~>";
    for (unsigned n = next_random(seed) % 4; n > 0 && count > 2; n--) {
        const size_t at = next_random(seed) % count;
        const char byte = spice[next_random(seed) % sizeof spice];
        switch (next_random(seed) % 4) {
        case 0:
            bytes[at] = byte;
            break;
        case 1:
            count = at + 1;
            break;
        case 2:
            memmove(bytes + at + 1, bytes + at, count - at);
            bytes[at] = byte;
            count++;
            break;
        default:
            bytes[at] = (char)(bytes[at] ^ (1 << next_random(seed) % 8));
            break;
        }
    }
    return count;
}

static void check_call(struct redis_store *store, unsigned round) {
    struct error error = {""};
    struct store_call call = {.partition = 0, .base = 5, .end = 10};
    redis_store_apply(store, &call, 1, &error);
    if (call.verdict != STORE_OK && error.text[0] == '\0') fail_msg("round %u: no reason", round);
    if (call.verdict == STORE_OK && call.stored < 0) {
        assert_int_equal(call.stored, CURSOR_ABSENT);
    }
    if (call.verdict != STORE_OK) assert_int_equal(call.anomaly_count, 0);
}

static void check_reads(struct redis_store *store, struct redis_link *link, unsigned round) {
    struct error error = {""}, warning;
    struct text json = {0};
    const int32_t partitions[] = {0, 1};
    int64_t offsets[2] = {CURSOR_ABSENT, CURSOR_ABSENT};
    if (redis_store_offsets(store, partitions, 2, offsets, &error) != STORE_OK) {
        if (error.text[0] == '\0') fail_msg("round %u: no reason", round);
    } else {
        assert_true(offsets[0] >= 0 || offsets[0] == CURSOR_ABSENT);
        assert_true(offsets[1] >= 0 || offsets[1] == CURSOR_ABSENT);
    }
    char replica[REDIS_SNAPSHOT_NAME_BYTES];
    const struct days days = {"", ""};
    const struct redis_snapshot_options snapshot = {
        .prefix = prefix, .aggregates = &aggregates, .days = &days, .reply_bytes_max = 1 << 20};
    redis_snapshot_read(link, &snapshot, replica, &json, &error);
    redis_store_check(store, &warning, &error);
    text_release(&json);
}

static void mutated_replies_do_no_harm(void **state) {
    (void)state;
    static const char *const seeds[] = {
        STORED,
        INFO,
        "+PONG\r\n",
        "*2\r\n$4\r\nkept\r\n$1\r\n7\r\n",
        "*3\r\n$7\r\nforeign\r\n$5\r\ngroup\r\n$5\r\nother\r\n",
        "*3\r\n$9\r\nwrongtype\r\n$3\r\nkey\r\n$4\r\nlist\r\n",
        "*2\r\n$1\r\n5\r\n$-1\r\n",
        "*4\r\n$3\r\nodd\r\n$3\r\nkey\r\n$5\r\nfield\r\n$5\r\nvalue\r\n",
        "*2\r\n$4\r\nneed\r\n$10\r\n2024-07-10\r\n",
        "+again\r\n",
        "*3\r\n*2\r\n$2\r\nPA\r\n$1\r\n5\r\n*2\r\n$10\r\n2024-07-10\r\n*2\r\n$5\r\n12:43\r\n$"
        "1\r\n3\r\n*2\r\n$5\r\nempty\r\n$1\r\n2\r\n",
        "-NOPERM this user has no permissions to run the 'evalsha' command\r\n",
        "-MOVED 3999 127.0.0.1:6381\r\n",
    };
    struct fake *fake = fake_create();
    struct redis_store *store = open_store(fake);
    struct redis_link *link = redis_link_create(
        &(struct redis_settings){.url = fake->url, .timeout_ms = TIMEOUT_MS}, NULL);
    unsigned seed = 1;
    for (unsigned round = 0; round < FUZZ_ROUNDS; round++) {
        char answer[512];
        const char *from = seeds[next_random(&seed) % (sizeof seeds / sizeof *seeds)];
        snprintf(answer, sizeof answer, "%s", from);
        const size_t count = mutate(answer, strlen(from), &seed);
        fake_say(fake, answer, count, false);
        pthread_mutex_lock(&fake->lock);
        fake->spoils_all = next_random(&seed) % 4 == 0;
        pthread_mutex_unlock(&fake->lock);
        if (round % 2 == 0) {
            check_call(store, round);
        } else {
            check_reads(store, link, round);
        }
    }
    struct error error = {""};
    struct store_call call = {.partition = 0, .base = 5, .end = 10};
    fake_say(fake, STORED, strlen(STORED), true);
    fake->spoils_all = false;   /* the thread waits for a connection */
    for (int i = 0; i < 2; i++) /* the connection may have been cut behind the last answer */
        redis_store_apply(store, &call, 1, &error);
    assert_int_equal(call.verdict, STORE_OK);
    redis_store_destroy(&store);
    redis_link_destroy(&link);
    fake_destroy(fake);
}

/* The rule that is documented is the one that follows from the scripts. */
static void the_documented_rights_are_those_that_are_needed(void **state) {
    (void)state;
    static char page[128 * 1024];
    char rights[1024] = "";
    FILE *file = fopen("../../docs/redis.md", "r");
    assert_non_null(file);
    page[fread(page, 1, sizeof page - 1, file)] = '\0';
    fclose(file);
    char *rule = strstr(page, "ACL SETUSER rollcall on");
    assert_non_null(rule);
    *strstr(rule, "\n\n") = '\0';
    for (char *rest = NULL, *word = strtok_r(rule, " '\\\n", &rest); word != NULL;
         word = strtok_r(NULL, " '\\\n", &rest)) {
        if (*word != '+') continue;
        const size_t length = strlen(rights);
        snprintf(rights + length, sizeof rights - length, "%s%s", length == 0 ? "" : " ", word);
    }
    assert_string_equal(rights, redis_fault_rights());
}

/* Where a reply does not name the command that is denied, all are listed. */
static void an_unnamed_right_is_one_of_all(void **state) {
    (void)state;
    struct error error = {""};
    redis_fault_judge("NOPERM no permission", "here", "p", &error);
    assert_non_null(strstr(error.text, redis_fault_rights()));
}

/* Of two calls in one round trip the first is sent again later, the second cannot be: that is what
 * the caller must know. */
static void a_refusal_is_reported_before_what_may_pass(void **state) {
    (void)state;
    struct error error = {""};
    struct fake *fake = fake_create();
    struct redis_store *store = open_store(fake);
    struct store_call calls[3] = {{.partition = 0, .base = 5, .end = 10},
                                  {.partition = 1, .base = 5, .end = 10},
                                  {.partition = 2, .base = 5, .end = 10}};
    static const char answers[] = "-BUSY first\r\n-WRONGTYPE second\r\n-OOM third\r\n";
    fake_say(fake, answers, strlen(answers), true);
    redis_store_apply(store, calls, 3, &error);
    assert_int_equal(calls[0].verdict, STORE_RETRY);
    assert_int_equal(calls[1].verdict, STORE_REFUSED);
    assert_int_equal(calls[2].verdict, STORE_RETRY);
    if (strstr(error.text, "second") == NULL) fail_msg("%s", error.text);
    redis_store_destroy(&store);
    fake_destroy(fake);
}

/* A worker that stores two calls, which Redis answers slowly: each answer is progress. */
struct round {
    struct worker worker;
    struct redis_store *store;
    atomic_bool has_ended;
    struct store_call calls[2];
};

static int64_t take_round(void *context, int64_t now_ms) {
    struct round *round = context;
    struct error error;
    if (atomic_load(&round->has_ended)) return now_ms + WORKER_TICK_MS;
    redis_store_apply(round->store, round->calls, 2, &error);
    atomic_store(&round->has_ended, true);
    return now_ms + WORKER_TICK_MS;
}

static void each_answer_of_a_round_is_progress(void **state) {
    (void)state;
    struct fake *fake = fake_create();
    struct round round = {.store = open_store(fake),
                          .calls = {{.base = 5, .end = 10}, {.base = 5, .end = 10}}};
    fake_say(fake, STORED STORED, 2 * (sizeof STORED - 1), true);
    fake->answer_bytes -= 1; /* the second answer lacks its end */
    const int64_t begin_ms = clock_ms();
    int64_t longest_ms = 0;
    worker_init(&round.worker, "round", take_round, &round);
    assert_true(worker_start(&round.worker));
    while (!atomic_load(&round.has_ended)) {
        const int64_t now_ms = clock_ms(), waits_ms = worker_waits_ms(&round.worker, now_ms);
        if (waits_ms > longest_ms) longest_ms = waits_ms;
        assert_false(worker_is_stuck(&round.worker, now_ms + WORKER_STUCK_MS - TIMEOUT_MS));
        assert_true(now_ms < begin_ms + 100 * TIMEOUT_MS);
    }
    assert_int_equal(round.calls[0].verdict, STORE_OK);
    assert_int_equal(round.calls[1].verdict, STORE_RETRY);
    assert_true(longest_ms > 0);                                     /* it was waiting, */
    assert_int_equal(worker_waits_ms(&round.worker, clock_ms()), 0); /* and no longer is */
    worker_stop(&round.worker);
    redis_store_destroy(&round.store);
    fake_destroy(fake);
}

static void days_that_are_needed_again_and_again_are_given_up(void **state) {
    (void)state;
    struct error error = {""};
    const struct store_call call =
        answered("*2\r\n$4\r\nneed\r\n$10\r\n2024-07-10\r\n", true, &error);
    assert_int_equal(call.verdict, STORE_RETRY);
    if (strstr(error.text, "change too often") == NULL) fail_msg("%s", error.text);
}

/* --- the snapshot ----------------------------------------------------------------------------- */

/* The verdict on a snapshot for which the list of days, then the script are answered so. */
static enum store_verdict snapshot_of(const char *days, const char *answer, struct text *json,
                                      struct error *error) {
    struct fake *fake = fake_create();
    struct redis_settings settings = {.url = fake->url, .prefix = prefix, .timeout_ms = TIMEOUT_MS};
    struct redis_link *link = redis_link_create(&settings, error);
    fake->days = days;
    fake_say(fake, answer, strlen(answer), true);
    char replica[REDIS_SNAPSHOT_NAME_BYTES];
    const struct days all = {"", ""};
    const struct redis_snapshot_options options = {
        .prefix = prefix, .aggregates = &aggregates, .days = &all, .reply_bytes_max = 1 << 20};
    const enum store_verdict verdict = redis_snapshot_read(link, &options, replica, json, error);
    redis_link_destroy(&link);
    fake_destroy(fake);
    return verdict;
}

#define NO_DAYS "*0\r\n"
#define EMPTY "$0\r\n\r\n"
#define NO_MINUTES "*2\r\n" EMPTY EMPTY

static void a_snapshot_of_the_right_form_is_read(void **state) {
    (void)state;
    struct error error = {""};
    struct text json = {0};
    assert_int_equal(snapshot_of("*1\r\n$10\r\n2024-07-10\r\n",
                                 "*4\r\n" EMPTY "$6\r\n2 PA 3\r\n"
                                 "*3\r\n$10\r\n2024-07-10\r\n$5\r\n1 x 1\r\n"
                                 "$19\r\n5 00:07 2 5 00:06 1\r\n" EMPTY,
                                 &json, &error),
                     STORE_OK);
    assert_string_equal(text_string(&json),
                        "{\"Logins by Locale\": {\"PA\": 3},\n"
                        " \"Logins Over Time\": {\"2024-07-10 00:06\": 1, "
                        "\"2024-07-10 00:07\": 2, \"x\": 1},\n \"Rejected\": {}}");
    text_release(&json);
}

static void a_snapshot_that_is_too_large_names_the_limit(void **state) {
    (void)state;
    struct error error = {""};
    struct text json = {0};
    assert_int_equal(snapshot_of(NO_DAYS, "*1\r\n$5\r\nlarge\r\n", &json, &error), STORE_REFUSED);
    assert_non_null(strstr(error.text, "the counts are more than 1 MB at once"));
    assert_int_equal(json.length, 0);
    text_release(&json);
}

static void a_snapshot_of_another_form_is_asked_for_again(void **state) {
    (void)state;
#define ODD "odd answer to snapshot.lua", STORE_RETRY
#define VALUES(packed) "*4\r\n" EMPTY packed NO_MINUTES EMPTY
#define MINUTES(answer) "*4\r\n" EMPTY EMPTY answer EMPTY
#define ONE_DAY "*1\r\n$10\r\n2024-07-10\r\n"
#define LISTED "$10\r\n2024-07-10\r\n" EMPTY
    static const struct {
        const char *days, *answer, *says;
        enum store_verdict verdict;
    } cases[] = {
        {NO_DAYS, "*0\r\n", ODD},
        {NO_DAYS, ":1\r\n", ODD},
        {NO_DAYS, "+OK\r\n", ODD},
        {NO_DAYS, "*-1\r\n", ODD},
        {NO_DAYS, "*3\r\n" EMPTY EMPTY NO_MINUTES, ODD},
        {NO_DAYS, "*5\r\n" EMPTY EMPTY NO_MINUTES EMPTY EMPTY, ODD},
        {NO_DAYS, VALUES(":1\r\n"), ODD},
        {NO_DAYS, VALUES("*0\r\n"), ODD},
        {NO_DAYS, VALUES("$1\r\n2\r\n"), ODD},
        {NO_DAYS, VALUES("$4\r\n2 PA\r\n"), ODD},
        {NO_DAYS, VALUES("$5\r\n2 PA \r\n"), ODD},
        {NO_DAYS, VALUES("$6\r\n3 PA 3\r\n"), ODD},
        {NO_DAYS, VALUES("$6\r\n1 PA 3\r\n"), ODD},
        {NO_DAYS, VALUES("$7\r\n99 PA 3\r\n"), ODD},
        {NO_DAYS, VALUES("$6\r\n2 PA x\r\n"), ODD},
        {NO_DAYS, VALUES("$7\r\n2 PA 3x\r\n"), ODD},
        {NO_DAYS, VALUES("$7\r\nx2 PA 3\r\n"), ODD},
        {NO_DAYS, VALUES("$23\r\n18446744073709551615 PA\r\n"), ODD},
        {NO_DAYS, MINUTES(EMPTY), ODD},
        {NO_DAYS, MINUTES("*1\r\n" EMPTY), ODD},
        {NO_DAYS, MINUTES("*2\r\n" EMPTY ":1\r\n"), ODD},
        {NO_DAYS, MINUTES("*2\r\n" EMPTY "$1\r\nx\r\n"), ODD},
        {NO_DAYS, MINUTES("*3\r\n" EMPTY EMPTY EMPTY), ODD},
        {ONE_DAY, MINUTES("*2\r\n" LISTED), ODD},
        {ONE_DAY, MINUTES("*3\r\n" LISTED ":1\r\n"), ODD},
        {ONE_DAY, MINUTES("*3\r\n" LISTED "$1\r\nx\r\n"), ODD},
        {ONE_DAY, MINUTES("*4\r\n" LISTED EMPTY EMPTY), ODD},
        {NO_DAYS, "*4\r\n" EMPTY EMPTY NO_MINUTES "$1\r\nx\r\n", ODD},
        {":1\r\n", VALUES(EMPTY), "odd answer to ZRANGE", STORE_RETRY},
        {"*1\r\n:1\r\n", VALUES(EMPTY), "odd answer to ZRANGE", STORE_RETRY},
        {"-WRONGTYPE Operation against a key\r\n", "*0\r\n", "{p}", STORE_REFUSED},
        {NO_DAYS, "-LOADING Redis is loading\r\n", "oading", STORE_RETRY},
        {NO_DAYS, "-NOPERM this user has no permissions to run the 'eval' command\r\n", "eval",
         STORE_REFUSED},
        {NO_DAYS, MINUTES("*2\r\n" LISTED), "new days come too often", STORE_RETRY},
        {ONE_DAY, MINUTES("*2\r\n" EMPTY EMPTY), "new days come too often", STORE_RETRY},
        {NO_DAYS, "*2\r\n$5\r\nlarge\r\n$3\r\n999\r\n", "raise instance.memory_mb", STORE_REFUSED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {""};
        struct text json = {0};
        const enum store_verdict verdict =
            snapshot_of(cases[i].days, cases[i].answer, &json, &error);
        if (verdict != cases[i].verdict || strstr(error.text, cases[i].says) == NULL)
            fail_msg("case %zu: %d, %s", i, (int)verdict, error.text);
        assert_int_equal(json.length, 0); /* nothing of it is shown */
        text_release(&json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_that_is_too_large_names_the_limit),
        cmocka_unit_test_setup(a_snapshot_of_the_right_form_is_read, aggregates_set_up),
        cmocka_unit_test_setup(a_snapshot_of_another_form_is_asked_for_again, aggregates_set_up),
        cmocka_unit_test(the_documented_rights_are_those_that_are_needed),
        cmocka_unit_test(an_unnamed_right_is_one_of_all),
        cmocka_unit_test(a_refusal_is_reported_before_what_may_pass),
        cmocka_unit_test(each_answer_of_a_round_is_progress),
        cmocka_unit_test(days_that_are_needed_again_and_again_are_given_up),
        cmocka_unit_test(answers_of_the_script_are_taken),
        cmocka_unit_test(a_call_that_too_few_replicas_have_is_made_again),
        cmocka_unit_test(a_call_whose_replicas_cannot_be_asked_for_is_made_again),
        cmocka_unit_test(answers_of_no_script_are_refused_and_said),
        cmocka_unit_test(a_reply_that_does_not_end_is_not_waited_for_longer_than_the_timeout),
        cmocka_unit_test(a_reply_that_drips_is_not_waited_for_longer_than_the_timeout),
        cmocka_unit_test(error_replies_say_how_to_mend_them),
        cmocka_unit_test(mutated_replies_do_no_harm),
    };
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    return cmocka_run_group_tests(tests, aggregates_set_up, NULL);
}
