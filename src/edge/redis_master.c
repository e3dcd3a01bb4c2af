#include "edge/redis_master.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/secret.h"
#include "base/worker.h"
#include "redis_cluster.h"
#include "redis_sentinel.h"
#include "redis_tls.h"
#include "redis_url.h"

enum { HINT_MS = 1000 }; /* how long a redirection is good for a new connection */

struct redis_master {
    /* fixed after create */
    struct redis_url url;
    struct redis_tls *tls;           /* NULL: none */
    struct redis_sentinel *sentinel; /* NULL: none */
    struct redis_cluster *cluster;   /* NULL: none */
    struct redis_settings settings;  /* what can be read again of it: paths and secrets, borrowed */
    /* owned by the owner's thread */
    uint64_t certificates, secrets; /* digests, as of the last renewal */
    /* shared: written by the owner's thread, read by any */
    atomic_uint renewal;
    /* shared: of a cluster; written under the lock, read by any */
    atomic_uint turn;
    pthread_mutex_t lock;
    /* guarded by the lock */
    struct redis_address owner; /* of a cluster, as last found; port 0: not yet */
    struct redis_address hint;  /* where a server said that the keys are */
    int64_t hint_until_ms;
};

/* NULL for an empty setting. */
static const char *given(const char *text) {
    return text == NULL || *text == '\0' ? NULL : text;
}

static bool check_settings(const struct redis_master *master, const struct redis_settings *settings,
                           struct error *error) {
    const bool has_login =
        given(settings->sentinel_user) != NULL || given(settings->sentinel_password) != NULL;
    const bool has_files = given(settings->ca_file) != NULL || given(settings->cert_file) != NULL ||
                           given(settings->key_file) != NULL;
    if (has_login && master->url.kind != REDIS_URL_SENTINEL) {
        return error_set(error,
                         "redis.sentinel_user and redis.sentinel_password are for Sentinels, "
                         "and redis.url is not redis+sentinel://...: remove them");
    }
    return !has_files || master->url.is_tls ||
           error_set(error, "redis.ca_file, redis.cert_file and redis.key_file are for TLS: set "
                            "redis.url to rediss://..., or remove them");
}

static bool make(struct redis_master *master, const struct redis_settings *settings,
                 struct error *error) {
    if (!redis_url_parse(&master->url, settings->url, error) ||
        !check_settings(master, settings, error)) {
        return false;
    }
    if (master->url.is_tls) {
        master->tls = redis_tls_create(given(settings->ca_file), given(settings->cert_file),
                                       given(settings->key_file), error);
        if (master->tls == NULL) return false;
    }
    if (master->url.kind == REDIS_URL_SENTINEL) {
        master->sentinel = redis_sentinel_create(&master->url, &master->settings, master->tls);
    }
    if (master->url.kind == REDIS_URL_CLUSTER) {
        master->cluster =
            redis_cluster_create(&master->url, settings->prefix, master->tls, settings->timeout_ms);
    }
    return true;
}

static uint64_t digest_secret(struct secret *secret, const char *path, uint64_t seed) {
    struct error ignored;
    char *text = secret_read(secret, path, &ignored);
    if (text != NULL) seed = file_digest_text(text, seed);
    secret_forget(text);
    return seed;
}

static uint64_t digest_secrets(const struct redis_settings *settings) {
    return digest_secret(settings->sentinel_latest, settings->sentinel_password_file,
                         digest_secret(settings->latest, settings->url_file, 0));
}

bool redis_master_renew(struct redis_master *master) {
    const uint64_t certificates = redis_tls_digest(master->tls);
    const uint64_t secrets = digest_secrets(&master->settings);
    const bool are_other = certificates != master->certificates;
    if (!are_other && secrets == master->secrets) return false;
    master->certificates = certificates;
    master->secrets = secrets;
    atomic_fetch_add(&master->renewal, 1);
    if (master->sentinel != NULL) redis_sentinel_renew(master->sentinel);
    return are_other;
}

unsigned redis_master_renewal(const struct redis_master *master) {
    return atomic_load(&master->renewal);
}

struct redis_master *redis_master_create(const struct redis_settings *settings,
                                         struct error *error) {
    struct redis_master *master = memory_create(sizeof *master);
    pthread_mutex_init(&master->lock, NULL);
    master->settings = *settings;
    if (!make(master, settings, error)) {
        redis_master_destroy(&master);
        return NULL;
    }
    master->certificates = redis_tls_digest(master->tls);
    master->secrets = digest_secrets(settings);
    return master;
}

void redis_master_destroy(struct redis_master **master) {
    if (*master == NULL) return;
    redis_sentinel_destroy(&(*master)->sentinel);
    redis_cluster_destroy(&(*master)->cluster);
    pthread_mutex_destroy(&(*master)->lock);
    redis_tls_destroy(&(*master)->tls);
    redis_url_release(&(*master)->url);
    free(*master);
    *master = NULL;
}

/* With the lock held. */
static bool take_hint(struct redis_master *master, struct redis_address *address) {
    const bool is_good = clock_ms() < master->hint_until_ms;
    if (is_good) *address = master->hint;
    return is_good;
}

/* With the lock held. Another owner means another turn, so that all links leave the one before. */
static void keep_owner(struct redis_master *master, const struct redis_address *address) {
    char where[REDIS_HOST_BYTES + 16];
    const struct redis_address before = master->owner;
    if (before.port == address->port && strcmp(before.host, address->host) == 0) return;
    master->owner = *address;
    if (before.port == 0) return;
    atomic_fetch_add(&master->turn, 1);
    redis_address_show(address, where);
    log_info("The keys are on another node of the cluster", log_text("address", where));
}

static bool find_owner(struct redis_master *master, const char *user, const char *password,
                       struct redis_address *address, unsigned *turn, bool *is_refused,
                       struct error *error) {
    pthread_mutex_lock(&master->lock);
    bool is_found = take_hint(master, address);
    pthread_mutex_unlock(&master->lock);
    if (!is_found) {
        is_found = redis_cluster_find(master->cluster, user, password, address, is_refused, error);
    }
    pthread_mutex_lock(&master->lock);
    if (is_found) keep_owner(master, address);
    *turn = atomic_load(&master->turn);
    pthread_mutex_unlock(&master->lock);
    return is_found;
}

bool redis_master_find(struct redis_master *master, const char *user, const char *password,
                       struct redis_address *address, unsigned *turn, bool *is_refused,
                       struct error *error) {
    *is_refused = false;
    if (master->cluster != NULL)
        return find_owner(master, user, password, address, turn, is_refused, error);
    if (master->sentinel == NULL) {
        *address = master->url.hosts[0];
        return true;
    }
    worker_call_begins(SENTINEL_ASK_MS);
    const bool is_found = redis_sentinel_find(master->sentinel, address, turn, is_refused, error);
    worker_call_ends();
    return is_found;
}

void redis_master_moved(struct redis_master *master, const struct redis_address *address) {
    pthread_mutex_lock(&master->lock);
    master->hint = *address;
    master->hint_until_ms = clock_ms() + HINT_MS;
    keep_owner(master, address);
    pthread_mutex_unlock(&master->lock);
}

const atomic_uint *redis_master_turn(const struct redis_master *master) {
    if (master->cluster != NULL) return &master->turn;
    return master->sentinel == NULL ? NULL : redis_sentinel_turn(master->sentinel);
}

const struct redis_url *redis_master_url(const struct redis_master *master) {
    return &master->url;
}

struct redis_tls *redis_master_tls(const struct redis_master *master) {
    return master->tls;
}
