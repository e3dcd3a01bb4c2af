/* redis_survey and redis_fitness in front of scripted servers: what is said of a master, its
 * Sentinels and a node of a cluster. */
#include "edge/redis_survey.h"

#include <arpa/inet.h>
#include <poll.h>
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

#include "edge/redis_fitness.h"

enum { MASTER, SENTINEL, SERVERS = 4, CLIENTS_MAX = 64, TIMEOUT_MS = 5000 };

static struct server { int listener, port; } servers[SERVERS]; /* the first is the master */

static struct { int fd, server; } clients[CLIENTS_MAX];
static int client_count;
static pthread_t thread;
static int end_pipe[2];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* guarded by the lock */
static char info[4096];             /* what INFO is answered */
static const char *role;            /* and ROLE */
static const char *fsync_reply;     /* what CONFIG GET appendfsync is answered */
static const char *save_reply;      /* and CONFIG GET save */
static int named[SERVERS];          /* the port that a Sentinel names; 0: it knows no master */
static const char *quorum[SERVERS]; /* what a Sentinel answers to CKQUORUM */
static const char *needed_login;    /* without which a Sentinel answers nothing; NULL: none */
static bool is_logged_in[SERVERS];  /* whether the last AUTH was right */
static bool has_masters;            /* a Sentinel answers SENTINEL MASTERS with some */

static bool has(const char *command, const char *word) {
    return strstr(command, word) != NULL;
}

static void answer(int server, const char *command, char *out, size_t bytes) {
    if (has(command, "AUTH"))
        is_logged_in[server] = server == MASTER || (needed_login && has(command, needed_login));
    if (server != MASTER && needed_login != NULL && !is_logged_in[server])
        snprintf(out, bytes, "-NOAUTH Authentication required.\r\n");
    else if (has(command, "GET-MASTER-ADDR") && named[server] != 0)
        snprintf(out, bytes, "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n%05d\r\n", named[server]);
    else if (has(command, "GET-MASTER-ADDR"))
        snprintf(out, bytes, "*-1\r\n");
    else if (has(command, "CKQUORUM"))
        snprintf(out, bytes, "%s\r\n", quorum[server]);
    else if (has(command, "MASTERS"))
        snprintf(out, bytes, has_masters ? "*1\r\n*2\r\n$4\r\nname\r\n$6\r\nlogins\r\n" : "*0\r\n");
    else if (has(command, "\r\nMASTER\r\n"))
        snprintf(out, bytes, "*2\r\n$12\r\nconfig-epoch\r\n$1\r\n1\r\n");
    else if (has(command, "SUBSCRIBE"))
        snprintf(out, bytes, "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n");
    else if (has(command, "appendfsync"))
        snprintf(out, bytes, "%s\r\n", fsync_reply);
    else if (has(command, "\r\nsave\r\n"))
        snprintf(out, bytes, "%s\r\n", save_reply);
    else if (has(command, "INFO"))
        snprintf(out, bytes, "$%zu\r\n%s\r\n", strlen(info), info);
    else if (has(command, "ROLE"))
        snprintf(out, bytes, "*1\r\n$%zu\r\n%s\r\n", strlen(role), role);
    else
        snprintf(out, bytes, "+OK\r\n");
}

/* False: the client has gone. */
static bool serve(int fd, int server) {
    char bytes[8192], out[8192];
    const ssize_t count = recv(fd, bytes, sizeof bytes - 1, 0);
    if (count <= 0) return false;
    bytes[count] = '\0'; /* whole commands, being short: each begins with '*' */
    pthread_mutex_lock(&lock);
    for (char *command = bytes + 1, *next; command != NULL; command = next) {
        next = strchr(command, '*');
        if (next != NULL) *next++ = '\0';
        answer(server, command, out, sizeof out);
        send(fd, out, strlen(out), MSG_NOSIGNAL);
    }
    pthread_mutex_unlock(&lock);
    return true;
}

static void *run(void *context) {
    (void)context;
    for (;;) {
        struct pollfd fds[1 + SERVERS + CLIENTS_MAX] = {{.fd = end_pipe[0], .events = POLLIN}};
        for (int i = 0; i < SERVERS; i++)
            fds[1 + i] = (struct pollfd){.fd = servers[i].listener, .events = POLLIN};
        for (int i = 0; i < client_count; i++)
            fds[1 + SERVERS + i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        poll(fds, 1 + SERVERS + (nfds_t)client_count, -1);
        if (fds[0].revents != 0) return NULL;
        for (int i = client_count - 1; i >= 0; i--) {
            if (fds[1 + SERVERS + i].revents == 0) continue;
            if (serve(clients[i].fd, clients[i].server)) continue;
            close(clients[i].fd);
            clients[i] = clients[--client_count];
        }
        for (int i = 0; i < SERVERS; i++) {
            if (fds[1 + i].revents == 0 || client_count == CLIENTS_MAX) continue;
            clients[client_count].fd = accept(servers[i].listener, NULL, NULL);
            clients[client_count++].server = i;
        }
    }
}

static int start(void **state) {
    (void)state;
    for (int i = 0; i < SERVERS; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET};
        socklen_t length = sizeof address;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        servers[i].listener = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(
            bind(servers[i].listener, (const struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(servers[i].listener, 16), 0);
        getsockname(servers[i].listener, (struct sockaddr *)&address, &length);
        servers[i].port = ntohs(address.sin_port);
    }
    assert_int_equal(pipe(end_pipe), 0);
    return pthread_create(&thread, NULL, run, NULL);
}

static int stop(void **state) {
    (void)state;
    assert_int_equal(write(end_pipe[1], "e", 1), 1);
    pthread_join(thread, NULL);
    for (int i = 0; i < client_count; i++)
        close(clients[i].fd);
    for (int i = 0; i < SERVERS; i++)
        close(servers[i].listener);
    close(end_pipe[0]);
    close(end_pipe[1]);
    return 0;
}

/* --- what is said ----------------------------------------------------------------------------- */

static char said[8192];

static void say(void *context, bool is_good, const char *line) {
    const size_t length = strlen(said);
    assert_ptr_equal(context, &said);
    snprintf(said + length, sizeof said - length, "%s %s\n", is_good ? "ok " : "bad", line);
}

/* In a URL and in what is expected, #M is the master's port, and #1 to #3 the Sentinels'. */
static const char *with_ports(const char *text) {
    static char out[8192];
    size_t length = 0;
    for (const char *p = text; *p != '\0'; p++) {
        const char *digit = *p == '#' ? strchr("M123", p[1]) : NULL;
        if (digit == NULL) {
            out[length++] = *p;
            continue;
        }
        length += (size_t)snprintf(out + length, sizeof out - length, "%05d",
                                   servers[digit - "M123"].port);
        p++;
    }
    out[length] = '\0';
    return out;
}

static void survey_as(const char *url, char *user, char *password) {
    static char prefix[] = "{user-login}";
    char own[256];
    snprintf(own, sizeof own, "%s", with_ports(url));
    const struct redis_settings settings = {.url = own,
                                            .prefix = prefix,
                                            .timeout_ms = TIMEOUT_MS,
                                            .sentinel_user = user,
                                            .sentinel_password = password};
    said[0] = '\0';
    redis_survey(&settings, say, said);
}

static void survey(const char *url) {
    survey_as(url, NULL, NULL);
}

static void says(const char *url, const char *expected) {
    survey(url);
    assert_string_equal(said, with_ports(expected));
}

static int begin(void **state) {
    (void)state;
    pthread_mutex_lock(&lock);
    strcpy(info, "redis_version:7.2.4\r\nredis_mode:standalone\r\nused_memory:3145728\r\n"
                 "maxmemory:0\r\nmaxmemory_policy:noeviction\r\naof_enabled:0\r\n"
                 "aof_last_write_status:ok\r\nrole:master\r\nconnected_slaves:0\r\n");
    role = "master";
    fsync_reply = "*2\r\n$11\r\nappendfsync\r\n$8\r\neverysec";
    save_reply = "*2\r\n$4\r\nsave\r\n$0\r\n";
    has_masters = true;
    needed_login = NULL;
    for (int i = SENTINEL; i < SERVERS; i++) {
        named[i] = servers[MASTER].port;
        quorum[i] = "+OK 3 usable Sentinels";
    }
    pthread_mutex_unlock(&lock);
    return 0;
}

#define PLAIN "redis://127.0.0.1:#M"
#define AGAIN "; they step back, and are counted again from Kafka\n"
#define NO_FILE "ok  appendonly no, save never: a crash or a restart loses all counts" AGAIN
#define MEMORY "ok  maxmemory-policy noeviction, memory: 3 MB used"

static void a_server_is_described(void **state) {
    (void)state;
    says(PLAIN, "ok  Redis 7.2.4 at redis://127.0.0.1:#M/0, a master with 0 replicas\n" MEMORY
                ", no maxmemory; append-only file off\n" NO_FILE);
    strcpy(info, "redis_version:7.2.4\r\nused_memory:3145728\r\nmaxmemory:10485760\r\n"
                 "maxmemory_policy:noeviction\r\naof_enabled:1\r\naof_last_write_status:err\r\n"
                 "role:master\r\nconnected_slaves:1\r\nslave0:ip=10.0.0.1,lag=0\r\n");
    says(PLAIN, "ok  Redis 7.2.4 at redis://127.0.0.1:#M/0, a master with 1 replica: "
                "ip=10.0.0.1,lag=0\n" MEMORY " of 10 MB (maxmemory), 7 MB left; append-only file "
                "on, last write err\nok  appendonly yes, appendfsync everysec, save never: if its "
                "machine crashes, about the last 2 s of counts are lost" AGAIN);
    strcpy(info, "redis_version:7.2.4\r\nrole:slave\r\nconnected_slaves:2\r\nslave0:a\r\nslave1:"
                 "b\r\nslave2:c\r\n"
                 "rdb_last_save_time:1720622216\r\n");
    survey(PLAIN);
    assert_non_null(strstr(said, ", a slave with 2 replicas: a; b\n"));
    const char *ago = strstr(said, "; last RDB saved or loaded ");
    assert_non_null(ago);
    assert_true(strtoll(ago + strlen("; last RDB saved or loaded "), NULL, 10) > 10000000);
}

static void says_last(const char *expected) {
    survey(PLAIN);
    const char *line = strstr(said, "ok  appendonly ");
    assert_non_null(line);
    assert_string_equal(line, expected);
}

static void what_a_crash_can_lose_is_said(void **state) {
    (void)state;
    save_reply = "*2\r\n$4\r\nsave\r\n$6\r\n3600 1";
    says_last(
        "ok  appendonly no, save 3600 1: a crash loses what was counted since the last RDB" AGAIN);
    save_reply = "-NOPERM this user has no permissions to run the 'config|get' command";
    says_last("ok  appendonly no, save not known: a crash loses what was counted since the last "
              "RDB" AGAIN);
    strcpy(strstr(info, "aof_enabled:0"), "aof_enabled:1\r\n");
    fsync_reply = "*2\r\n$11\r\nappendfsync\r\n$6\r\nalways";
    says_last("ok  appendonly yes, appendfsync always, save not known: a crash loses nothing that "
              "was counted\n");
    fsync_reply = "*2\r\n$11\r\nappendfsync\r\n$2\r\nno";
    says_last("ok  appendonly yes, appendfsync no, save not known: if its machine crashes, what "
              "the system had not written to disk is lost, often 30 s" AGAIN);
    fsync_reply = "-ERR unknown command 'CONFIG'";
    says_last("ok  appendonly yes, appendfsync not known, save not known: if its machine crashes, "
              "what was not synced to disk is lost" AGAIN);
}

static void a_node_of_a_cluster_is_named(void **state) {
    (void)state;
    strcpy(strstr(info, "standalone"), "cluster\r\nrole:master\r\n");
    survey(PLAIN);
    assert_non_null(strstr(
        said, with_ports("ok  this is a node of a cluster: set redis.url to "
                         "redis+cluster://127.0.0.1:#M, or rollcall is rejected at its next")));
    begin(NULL);
    survey(PLAIN);
    assert_null(strstr(said, "cluster"));
}

static void a_server_that_does_not_answer_is_not_described(void **state) {
    (void)state;
    says("redis://127.0.0.1:1", "");
    says("http://nonsense", "");
}

#define SENTINELS "redis+sentinel://127.0.0.1:#1,127.0.0.1:#2,127.0.0.1:#3/logins"
#define MASTER_LINES                                                                               \
    "ok  Redis 7.2.4 at redis://127.0.0.1:#M/0, a master with 0 replicas\n" MEMORY                 \
    ", no maxmemory; append-only file off\n" NO_FILE

/* What is said behind the lines on the master. */
static void says_of_sentinels(const char *expected) {
    survey(SENTINELS);
    const char *own = strstr(said, "ok  Sentinel "), *bad = strstr(said, "bad Sentinel ");
    if (own == NULL || (bad != NULL && bad < own)) own = bad;
    assert_non_null(own);
    assert_string_equal(own, with_ports(expected));
}

static void each_sentinel_is_described(void **state) {
    (void)state;
    says_of_sentinels(
        "ok  Sentinel 127.0.0.1:#1 names 127.0.0.1:#M as logins; quorum: OK 3 usable Sentinels\n"
        "ok  Sentinel 127.0.0.1:#2 names 127.0.0.1:#M as logins; quorum: OK 3 usable Sentinels\n"
        "ok  Sentinel 127.0.0.1:#3 names 127.0.0.1:#M as logins; quorum: OK 3 usable Sentinels\n");
    assert_non_null(strstr(said, "ok  Redis 7.2.4 at "));
    quorum[1] = "-NOQUORUM 1 usable Sentinels";
    named[2] = 0;
    says_of_sentinels(
        "bad Sentinel 127.0.0.1:#1 names 127.0.0.1:#M as logins; quorum: NOQUORUM 1 usable "
        "Sentinels\n"
        "bad Sentinel 127.0.0.1:#2 names nobody as logins; quorum: OK 3 usable Sentinels\n"
        "ok  Sentinel 127.0.0.1:#3 names 127.0.0.1:#M as logins; quorum: OK 3 usable Sentinels\n");
}

/* Each time: for the master, and for what is said. */
static void sentinels_are_logged_in_to(void **state) {
    (void)state;
    static char user[] = "su", password[] = "sp", none[] = "";
    needed_login = "\r\nsu\r\n$2\r\nsp\r\n";
    survey_as(SENTINELS, user, password);
    assert_non_null(strstr(said, "ok  Redis 7.2.4 at "));
    assert_non_null(strstr(said, with_ports("\nok  Sentinel 127.0.0.1:#3 names")));
    needed_login = "AUTH\r\n$2\r\nsp\r\n"; /* of the default user */
    survey_as(SENTINELS, none, password);
    assert_non_null(strstr(said, with_ports("\nok  Sentinel 127.0.0.1:#3 names")));
    memset(is_logged_in, 0, sizeof is_logged_in);
    survey_as(SENTINELS, none, none);
    assert_non_null(strstr(said, with_ports("bad Sentinel 127.0.0.1:#1 names nobody as logins; "
                                            "quorum: NOAUTH")));
}

static void sentinels_that_disagree_are_named(void **state) {
    (void)state;
    named[3] = 12345;
    survey(SENTINELS);
    assert_non_null(strstr(said, " names 127.0.0.1:12345 as logins; quorum: OK"));
    assert_non_null(strstr(said, "\nbad the Sentinels name different masters: a failover is under "
                                 "way, or one of them is cut off\n"));
}

/* --- redis_fitness ---------------------------------------------------------------------------- */

static enum redis_fitness look(const char *url, struct error *error) {
    char own[128];
    snprintf(own, sizeof own, "%s", with_ports(url));
    const struct redis_settings settings = {.url = own, .timeout_ms = TIMEOUT_MS};
    struct redis_link *link = redis_link_create(&settings, error);
    assert_non_null(link);
    assert_true(redis_link_open(link, error));
    const enum redis_fitness fitness = redis_fitness_look(link, error);
    redis_link_destroy(&link);
    return fitness;
}

static void a_server_that_may_lose_counts_is_not_fit(void **state) {
    (void)state;
    struct error error = {""};
    assert_int_equal(look(PLAIN, &error), REDIS_FIT);
    strcpy(info, "redis_version:6.2.1\r\nmaxmemory_policy:allkeys-lru\r\n");
    assert_int_equal(look(PLAIN, &error), REDIS_UNFIT);
    assert_non_null(strstr(error.text, "is allkeys-lru, with which it may drop counts"));
    strcpy(info, "redis_version:6.0.20\r\nmaxmemory_policy:noeviction\r\n");
    assert_int_equal(look(PLAIN, &error), REDIS_UNFIT);
    assert_non_null(
        strstr(error.text, "is version 6.0.20, which has no ZMSCORE: use 6.2 or later"));
    strcpy(info, "redis_version:7.0\r\n");
    assert_int_equal(look(PLAIN, &error), REDIS_FIT_UNKNOWN);
    assert_non_null(strstr(error.text, "cannot be read"));
}

static void a_sentinel_at_a_plain_address_is_named_with_the_right_url(void **state) {
    (void)state;
    struct error error = {""};
    strcpy(info, "redis_mode:sentinel\r\n");
    assert_int_equal(look("redis://127.0.0.1:#1", &error), REDIS_UNFIT);
    assert_non_null(
        strstr(error.text,
               with_ports("is a Sentinel: set redis.url to redis+sentinel://127.0.0.1:#1/logins")));
    has_masters = false;
    assert_int_equal(look("redis://127.0.0.1:#1/1", &error), REDIS_UNFIT);
    assert_non_null(
        strstr(error.text,
               with_ports("is a Sentinel: set redis.url to redis+sentinel://127.0.0.1:#1/MASTER")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, begin)
        TEST(a_server_is_described),
        TEST(what_a_crash_can_lose_is_said),
        TEST(a_node_of_a_cluster_is_named),
        TEST(a_server_that_does_not_answer_is_not_described),
        TEST(each_sentinel_is_described),
        TEST(sentinels_are_logged_in_to),
        TEST(sentinels_that_disagree_are_named),
        TEST(a_server_that_may_lose_counts_is_not_fit),
        TEST(a_sentinel_at_a_plain_address_is_named_with_the_right_url),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
