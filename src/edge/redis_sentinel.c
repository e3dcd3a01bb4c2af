/* Why a stale Sentinel leads nowhere: each answer is (epoch, address), and both are of one moment,
 * since the epoch is read before and after the address. A Sentinel raises its epoch together with
 * its address, and no two failovers have the same one. So the answer of the highest epoch is the
 * newest, whoever gave it. */
#include "redis_sentinel.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/secret.h"
#include "base/worker.h"
#include "redis_wire.h"

enum { RETRY_MS_MIN = 250, RETRY_MS_MAX = 5000, ROUNDS_MAX = 4 };

/* One Sentinel. */
struct peer {
    /* fixed after create */
    struct redis_sentinel *sentinel;
    int wake; /* an eventfd */
    /* owned by its thread */
    struct worker worker;
    struct redis_wire asks, hears;
    unsigned renewal; /* of these */
    struct backoff retry;
    int64_t ask_ms;  /* when to ask again */
    int64_t hear_ms; /* when to try to listen again */
    /* guarded by the lock */
    unsigned round;              /* the last one in which it answered or failed */
    int64_t epoch;               /* of its last answer; -1: none */
    struct redis_address master; /* the same */
    bool has_failed, is_refused; /* in that round, and `why` */
    struct error why;
};

struct redis_sentinel {
    /* fixed after create */
    const struct redis_url *url;
    const struct redis_settings *settings;
    struct redis_tls *tls; /* NULL: none */
    int timeout_ms;
    int peer_count;
    struct peer peers[REDIS_HOSTS_MAX];
    /* shared: written at the end, read by the threads */
    atomic_uint is_ending;
    /* shared: written by the owner, read by the threads */
    atomic_uint renewal;
    /* shared: written under the lock, read by any */
    atomic_uint turn;
    pthread_mutex_t lock;
    pthread_cond_t has_report;
    /* guarded by the lock */
    bool is_started;
    unsigned round;
    int64_t epoch; /* -1: none was seen */
    struct redis_address master;
};

static worker_step step;

static void wire_init(const struct redis_sentinel *sentinel, struct redis_wire *wire, int index) {
    redis_address_show(&sentinel->url->hosts[index], wire->name);
    wire->timeout_ms = sentinel->timeout_ms;
    wire->turn = &sentinel->is_ending; /* no wait outlasts the end */
}

struct redis_sentinel *redis_sentinel_create(const struct redis_url *url,
                                             const struct redis_settings *settings,
                                             struct redis_tls *tls) {
    pthread_condattr_t attributes;
    struct redis_sentinel *sentinel = memory_create(sizeof *sentinel);
    sentinel->url = url;
    sentinel->settings = settings;
    sentinel->tls = tls;
    sentinel->timeout_ms =
        settings->timeout_ms < SENTINEL_ASK_MS ? settings->timeout_ms : SENTINEL_ASK_MS;
    sentinel->epoch = -1;
    pthread_mutex_init(&sentinel->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&sentinel->has_report, &attributes);
    pthread_condattr_destroy(&attributes);
    for (int i = 0; i < url->host_count; i++) {
        struct peer *peer = &sentinel->peers[sentinel->peer_count++];
        char name[WORKER_NAME_BYTES];
        snprintf(name, sizeof name, "sentinel-%u", (unsigned char)(i + 1));
        worker_init(&peer->worker, name, step, peer);
        peer->sentinel = sentinel;
        peer->epoch = -1;
        peer->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        wire_init(sentinel, &peer->asks, i);
        wire_init(sentinel, &peer->hears, i);
    }
    return sentinel;
}

static void wake(const struct redis_sentinel *sentinel) {
    for (int i = 0; i < sentinel->peer_count; i++) {
        const ssize_t written = write(sentinel->peers[i].wake, &(uint64_t){1}, sizeof(uint64_t));
        (void)written; /* full is rung, too */
    }
}

void redis_sentinel_destroy(struct redis_sentinel **sentinel) {
    struct redis_sentinel *s = *sentinel;
    if (s == NULL) return;
    atomic_store(&s->is_ending, 1);
    wake(s);
    for (int i = 0; i < s->peer_count; i++) {
        struct peer *peer = &s->peers[i];
        worker_stop(&peer->worker);
        redis_wire_close(&peer->asks);
        redis_wire_close(&peer->hears);
        if (peer->wake >= 0) close(peer->wake);
    }
    pthread_cond_destroy(&s->has_report);
    pthread_mutex_destroy(&s->lock);
    free(s);
    *sentinel = NULL;
}

void redis_sentinel_renew(struct redis_sentinel *sentinel) {
    atomic_fetch_add(&sentinel->renewal, 1);
    wake(sentinel);
}

const atomic_uint *redis_sentinel_turn(const struct redis_sentinel *sentinel) {
    return &sentinel->turn;
}

/* --- what the answers amount to -------------------------------------------------------------- */

static bool is_same(const struct redis_address *a, const struct redis_address *b) {
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static int votes(const struct redis_sentinel *sentinel, const struct redis_address *master) {
    int count = 0;
    for (int i = 0; i < sentinel->peer_count; i++) {
        const struct peer *peer = &sentinel->peers[i];
        count += peer->epoch == sentinel->epoch && is_same(&peer->master, master);
    }
    return count;
}

/* With the lock held, after an answer. Of one epoch, which has one master unless the Sentinels were
 * set up differently, the majority counts. */
static void consider(struct redis_sentinel *sentinel, const struct peer *peer) {
    char where[REDIS_HOST_BYTES + 16];
    redis_address_show(&peer->master, where);
    if (peer->epoch < sentinel->epoch) {
        log_warn("A Sentinel's answer is older than one before: it is not followed",
                 log_text("sentinel", peer->asks.name), log_text("master", where),
                 log_int("epoch", peer->epoch), log_int("newer_epoch", sentinel->epoch));
        return;
    }
    const bool is_newer = peer->epoch > sentinel->epoch;
    const bool is_first = sentinel->epoch < 0;
    sentinel->epoch = peer->epoch;
    if (is_same(&peer->master, &sentinel->master)) return;
    if (!is_newer && votes(sentinel, &peer->master) <= votes(sentinel, &sentinel->master)) return;
    sentinel->master = peer->master;
    atomic_fetch_add(&sentinel->turn, 1);
    if (is_first) return;
    log_info("Redis has another master", log_text("name", sentinel->url->master),
             log_text("address", where), log_int("epoch", peer->epoch));
}

struct answer {
    int64_t epoch;
    struct redis_address master;
    bool is_refused;
};

static void report(struct peer *peer, unsigned round, bool is_good, const struct answer *answer,
                   const struct error *why) {
    struct redis_sentinel *sentinel = peer->sentinel;
    pthread_mutex_lock(&sentinel->lock);
    peer->has_failed = !is_good;
    if (is_good) {
        peer->epoch = answer->epoch;
        peer->master = answer->master;
        consider(sentinel, peer);
    } else {
        peer->is_refused = answer->is_refused;
        peer->why = *why;
    }
    peer->round = round;
    pthread_cond_broadcast(&sentinel->has_report);
    pthread_mutex_unlock(&sentinel->lock);
}

/* --- the thread of a Sentinel ---------------------------------------------------------------- */

/* NULL for an empty one. */
static const char *given(const char *text) {
    return text == NULL || *text == '\0' ? NULL : text;
}

static bool open_wire(struct peer *peer, struct redis_wire *wire, struct answer *answer,
                      struct error *error) {
    const struct redis_sentinel *sentinel = peer->sentinel;
    struct error why = {""};
    if (wire->context != NULL) return true;
    const struct redis_settings *settings = sentinel->settings;
    char *password = secret_read(settings->sentinel_latest, settings->sentinel_password_file, &why);
    if (password == NULL) password = secret_copy(settings->sentinel_latest);
    if (password == NULL && given(settings->sentinel_password) != NULL)
        password = memory_text(settings->sentinel_password);
    const struct redis_wire_target target = {
        .address = &sentinel->url->hosts[peer - sentinel->peers],
        .user = given(settings->sentinel_user),
        .password = given(password),
        .tls = sentinel->tls,
    };
    const bool is_open = redis_wire_open(wire, &target, clock_ms() + wire->timeout_ms, &why);
    secret_forget(password);
    if (is_open) return true;
    answer->is_refused = wire->is_refused;
    return error_set(error, "Sentinel: %.900s%s", why.text,
                     wire->is_refused ? " (of Sentinels these are redis.sentinel_user and "
                                        "redis.sentinel_password)"
                                      : "");
}

/* Reads a whole number of a text. */
static bool read_number(const struct redis_reply *reply, int64_t *number) {
    char *end;
    const struct slice text = redis_reply_text(reply);
    *number = strtoll(text.bytes, &end, 10);
    return text.length > 0 && *end == '\0' && *number >= 0;
}

/* Of SENTINEL MASTER. */
static bool read_epoch(const struct redis_reply *reply, int64_t *epoch) {
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        if (strcmp(redis_reply_text(redis_reply_at(reply, i)).bytes, "config-epoch") == 0)
            return read_number(redis_reply_at(reply, i + 1), epoch);
    }
    return false;
}

static bool read_address(const struct redis_reply *reply, struct redis_address *address) {
    int64_t port;
    if (redis_reply_count(reply) != 2 || !read_number(redis_reply_at(reply, 1), &port)) {
        return false;
    }
    const struct slice host = redis_reply_text(redis_reply_at(reply, 0));
    address->port = (int)port;
    snprintf(address->host, sizeof address->host, "%s", host.bytes);
    return host.length > 0 && host.length < sizeof address->host && port > 0 && port < 65536;
}

static bool reject(const struct peer *peer, const struct redis_reply *reply, struct answer *answer,
                   struct error *error) {
    const char *text = redis_reply_text(reply).bytes, *name = peer->sentinel->url->master;
    if (redis_reply_kind(reply) == REDIS_NIL || strstr(text, "No such master") != NULL) {
        answer->is_refused = true;
        return error_set(error,
                         "Sentinel at %s knows no master named %s: set the name behind the "
                         "last host in redis.url to one that SENTINEL MASTERS lists",
                         peer->asks.name, name);
    } else if (redis_reply_kind(reply) == REDIS_ERROR) {
        answer->is_refused = strncmp(text, "NO", 2) == 0; /* NOAUTH, NOPERM */
        return error_set(error,
                         "Sentinel at %s answered: %.300s; set redis.sentinel_user and "
                         "redis.sentinel_password to a user with the rights +sentinel "
                         "+subscribe +ping and the channel &+switch-master",
                         peer->asks.name, text);
    }
    return error_set(error, "Sentinel at %s gives an odd answer: is it a Sentinel?",
                     peer->asks.name);
}

/* Asks once. The epoch comes before and after the address; *is_torn if it rose meanwhile. */
static bool ask_once(struct peer *peer, struct answer *answer, bool *is_torn, struct error *error) {
    const char *name = peer->sentinel->url->master;
    int64_t before = -1;
    struct redis_wire *wire = &peer->asks;
    if (!open_wire(peer, wire, answer, error) ||
        !redis_wire_put(wire, error, "SENTINEL MASTER %s", name) ||
        !redis_wire_put(wire, error, "SENTINEL GET-MASTER-ADDR-BY-NAME %s", name) ||
        !redis_wire_put(wire, error, "SENTINEL MASTER %s", name)) {
        return false;
    }
    bool is_good = true;
    for (int i = 0; i < 3; i++) {
        struct redis_reply *reply = redis_wire_receive(wire, error);
        if (reply == NULL) return false;
        const bool is_read = i == 1   ? read_address(reply, &answer->master)
                             : i == 0 ? read_epoch(reply, &before)
                                      : read_epoch(reply, &answer->epoch);
        if (is_good && !is_read) is_good = reject(peer, reply, answer, error);
        redis_reply_destroy(&reply);
    }
    *is_torn = is_good && before != answer->epoch;
    return is_good;
}

static void ask(struct peer *peer) {
    struct answer answer = {0};
    struct error why = {""};
    struct redis_sentinel *sentinel = peer->sentinel;
    pthread_mutex_lock(&sentinel->lock);
    const unsigned round = sentinel->round;
    pthread_mutex_unlock(&sentinel->lock);
    const bool was_open = peer->asks.context != NULL;
    bool is_torn = true, is_good = false;
    for (int i = 0; is_torn && i < ROUNDS_MAX; i++) {
        is_torn = false;
        is_good = ask_once(peer, &answer, &is_torn, &why);
        /* The old connection may have ended long ago. */
        if (!is_good && was_open && i == 0 && peer->asks.context == NULL) is_torn = true;
    }
    if (is_torn) is_good = error_set(&why, "Sentinel at %s changes too fast", peer->asks.name);
    const int64_t now_ms = clock_ms();
    if (is_good) {
        backoff_end(&peer->retry);
        peer->ask_ms = now_ms + SENTINEL_POLL_MS;
    } else {
        backoff_grow(&peer->retry, now_ms, RETRY_MS_MIN, RETRY_MS_MAX);
        peer->ask_ms = peer->retry.until_ms;
    }
    report(peer, round, is_good, &answer, &why);
}

/* Whether a message of +switch-master is about our master: its name, a space, addresses. */
static bool is_switch(const struct peer *peer, const struct redis_reply *reply) {
    const char *name = peer->sentinel->url->master;
    if (redis_reply_count(reply) != 3) return false;
    const char *text = redis_reply_text(redis_reply_at(reply, 2)).bytes;
    return strncmp(text, name, strlen(name)) == 0 && text[strlen(name)] == ' ';
}

/* What is heard is only a reason to ask. */
static void hear(struct peer *peer) {
    struct redis_reply *reply;
    for (bool must_read = true; (reply = redis_wire_hear(&peer->hears, must_read)) != NULL;
         must_read = false) {
        if (is_switch(peer, reply)) peer->ask_ms = 0;
        redis_reply_destroy(&reply);
    }
}

static void listen_on(struct peer *peer, int64_t now_ms) {
    struct answer answer;
    struct error why;
    if (peer->hears.context != NULL || now_ms < peer->hear_ms) return;
    peer->hear_ms = now_ms + RETRY_MS_MAX;
    if (!open_wire(peer, &peer->hears, &answer, &why) ||
        !redis_wire_put(&peer->hears, &why, "SUBSCRIBE +switch-master")) {
        return;
    }
    peer->ask_ms = 0; /* for what came before */
}

static int64_t step(void *context, int64_t now_ms) {
    struct peer *peer = context;
    uint64_t count;
    if (atomic_load(&peer->sentinel->is_ending) != 0) return CLOCK_NEVER_MS;
    const unsigned renewal = atomic_load(&peer->sentinel->renewal);
    if (peer->renewal != renewal) {
        peer->renewal = renewal;
        redis_wire_close(&peer->asks);
        redis_wire_close(&peer->hears);
    }
    if (now_ms >= peer->ask_ms) ask(peer);
    if (!peer->has_failed) listen_on(peer, clock_ms());
    struct pollfd fds[] = {{.fd = peer->wake, .events = POLLIN},
                           {.fd = redis_wire_fd(&peer->hears), .events = POLLIN}};
    const int64_t left_ms = peer->ask_ms - clock_ms();
    if (left_ms > 0 && poll(fds, 2, left_ms < WORKER_TICK_MS ? (int)left_ms : WORKER_TICK_MS) > 0) {
        if (fds[1].revents != 0) hear(peer);
        if (read(peer->wake, &count, sizeof count) > 0) peer->ask_ms = 0;
    }
    return now_ms;
}

/* --- finding ---------------------------------------------------------------------------------- */

/* With the lock held. */
static bool start(struct redis_sentinel *sentinel, struct error *error) {
    bool is_good = true;
    for (int i = 0; !sentinel->is_started && i < sentinel->peer_count; i++) {
        struct peer *peer = &sentinel->peers[i];
        if (peer->wake < 0 || (!peer->worker.is_running && !worker_start(&peer->worker)))
            is_good = error_set(error, "the system has no thread or descriptor for a Sentinel");
    }
    sentinel->is_started = is_good;
    return is_good;
}

/* One that failed the last time is not waited for, as long as others answer. */
static bool have_all_reported(const struct redis_sentinel *sentinel, unsigned round) {
    bool has_answer = false, has_failure = false;
    for (int i = 0; i < sentinel->peer_count; i++) {
        const struct peer *peer = &sentinel->peers[i];
        const bool is_due = (int)(peer->round - round) < 0;
        if (is_due && !peer->has_failed) return false;
        has_failure |= is_due;
        has_answer |= !peer->has_failed;
    }
    return has_answer || !has_failure;
}

/* With the lock held: why nobody has named a master. */
static bool give_reasons(const struct redis_sentinel *sentinel, bool *is_refused,
                         struct error *error) {
    const char *reason = "no answer in time";
    for (int i = sentinel->peer_count - 1; i >= 0; i--) {
        const struct peer *peer = &sentinel->peers[i];
        if (!peer->has_failed || (*is_refused && !peer->is_refused)) continue;
        *is_refused |= peer->is_refused;
        reason = peer->why.text;
    }
    return error_set(error, "none of the %d Sentinels in redis.url names the master %s: %.700s",
                     sentinel->peer_count, sentinel->url->master, reason);
}

bool redis_sentinel_find(struct redis_sentinel *sentinel, struct redis_address *master,
                         unsigned *turn, bool *is_refused, struct error *error) {
    *is_refused = false;
    pthread_mutex_lock(&sentinel->lock);
    const int64_t epoch = sentinel->epoch;
    const unsigned round = ++sentinel->round;
    bool is_good = start(sentinel, error);
    const int64_t until_ms = clock_ms() + sentinel->timeout_ms;
    const struct timespec until = {until_ms / 1000, (long)(until_ms % 1000) * 1000000L};
    wake(sentinel);
    /* Once one has been seen, a higher epoch is news enough. */
    int waited = is_good ? 0 : -1;
    while (waited == 0 && !have_all_reported(sentinel, round) &&
           (epoch < 0 || sentinel->epoch == epoch)) {
        waited = pthread_cond_timedwait(&sentinel->has_report, &sentinel->lock, &until);
    }
    if (is_good && sentinel->epoch < 0) is_good = give_reasons(sentinel, is_refused, error);
    *master = sentinel->master;
    *turn = atomic_load(&sentinel->turn);
    pthread_mutex_unlock(&sentinel->lock);
    return is_good;
}
