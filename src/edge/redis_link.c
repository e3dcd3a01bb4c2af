#include "edge/redis_link.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/secret.h"
#include "edge/redis_fault.h"
#include "edge/redis_master.h"
#include "redis_cluster.h"
#include "redis_url.h"
#include "redis_wire.h"

struct redis_link {
    struct redis_master *own; /* NULL: it shares one */
    struct redis_master *master;
    char *user;            /* NULL: none */
    char *password;        /* NULL: none */
    char *url_file;        /* NULL: the URL is not in a file */
    struct secret *latest; /* borrowed; NULL: the URL cannot be reloaded */
    unsigned serial;       /* of the connection */
    unsigned renewal;      /* the master's when it was opened */
    bool is_refused;
    bool is_stale; /* this server is not, or no longer, the one to talk to */
    /* In a cluster, or in a node of one at a plain address. */
    bool is_asking;               /* each command goes behind an ASKING */
    struct redis_address next;    /* where a reply led, for the next connection; port 0: nowhere */
    bool is_next_asking;          /* that reply was ASK */
    struct redis_address present; /* of the connection */
    struct redis_wire wire;
};

const struct setting redis_setting_table[] = {
    SETTING_TEXT(struct redis_settings, url, "redis", "url", 1, 4096, "redis://localhost:6379/0",
                 setting_is_printable, SETTING_PRINTABLE_RULE, SETTING_SECRET,
                 "redis://[user:password@]host[:port][/db] (rediss:// with TLS), "
                 "unix://[user:password@]/path[?db=N], "
                 "redis+cluster://[user:password@]host[:port],... or "
                 "redis+sentinel://[user:password@]host[:port],.../MASTER[/db]"),
    SETTING_TEXT(struct redis_settings, prefix, "redis", "prefix", 1, 200, "{user-login}",
                 setting_is_printable, SETTING_PRINTABLE_RULE, 0,
                 "what all keys begin with; the braces keep them on one slot of a cluster"),
    SETTING_NUMBER(struct redis_settings, timeout_ms, "redis", "timeout_ms", 100, 600000, "5000", 0,
                   "longest wait for a connection or a reply, in ms"),
    SETTING_NUMBER(struct redis_settings, min_replicas, "redis", "min_replicas", 0, 16, "0", 0,
                   "how many replicas must have a checkpoint before it counts as done"),
    SETTING_TEXT(struct redis_settings, sentinel_user, "redis", "sentinel_user", 0, 255, "",
                 setting_is_printable, SETTING_PRINTABLE_RULE, 0,
                 "user of the Sentinels, which need not be that of Redis"),
    SETTING_TEXT(struct redis_settings, sentinel_password, "redis", "sentinel_password", 0, 1023,
                 "", setting_is_printable, SETTING_PRINTABLE_RULE, SETTING_SECRET,
                 "password of the Sentinels, as it is"),
    SETTING_TEXT(struct redis_settings, ca_file, "redis", "ca_file", 0, 1023, "",
                 setting_is_printable, SETTING_PRINTABLE_RULE, 0,
                 "PEM file of the authorities to trust with TLS; empty: those of the system"),
    SETTING_TEXT(struct redis_settings, cert_file, "redis", "cert_file", 0, 1023, "",
                 setting_is_printable, SETTING_PRINTABLE_RULE, 0,
                 "PEM file of the client's certificate, if Redis asks for one"),
    SETTING_TEXT(struct redis_settings, key_file, "redis", "key_file", 0, 1023, "",
                 setting_is_printable, SETTING_PRINTABLE_RULE, 0,
                 "PEM file of the key of redis.cert_file"),
    SETTING_END};

static char *copy(const char *text) {
    return text == NULL ? NULL : memory_text(text);
}

struct redis_link *redis_link_create(const struct redis_settings *settings, struct error *error) {
    struct redis_link *link = memory_create(sizeof *link);
    link->master = settings->master;
    if (link->master == NULL) link->master = link->own = redis_master_create(settings, error);
    if (link->master == NULL) {
        redis_link_destroy(&link);
        return NULL;
    }
    const struct redis_url *url = redis_master_url(link->master);
    link->user = copy(url->user);
    link->password = copy(url->password);
    link->url_file = copy(settings->url_file);
    link->latest = settings->latest;
    link->wire.timeout_ms = settings->timeout_ms;
    link->wire.turn = redis_master_turn(link->master);
    snprintf(link->wire.name, sizeof link->wire.name, "%s", url->name);
    return link;
}

void redis_link_close(struct redis_link *link) {
    redis_wire_close(&link->wire);
    link->is_stale = false;
}

static void free_login(struct redis_link *link) {
    if (link->password != NULL) explicit_bzero(link->password, strlen(link->password));
    free(link->password);
    free(link->user);
    link->user = link->password = NULL;
}

void redis_link_destroy(struct redis_link **link) {
    if (*link == NULL) return;
    redis_link_close(*link);
    redis_master_destroy(&(*link)->own);
    free((*link)->url_file);
    free_login(*link);
    free(*link);
    *link = NULL;
}

const char *redis_link_name(const struct redis_link *link) {
    return link->wire.name;
}

static bool is_same(const char *one, const char *other) {
    return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

bool redis_link_is_same_place(const struct redis_link *one, const struct redis_link *other) {
    const struct redis_url *a = redis_master_url(one->master), *b = redis_master_url(other->master);
    bool is_equal = a->kind == b->kind && a->is_tls == b->is_tls && a->database == b->database &&
                    a->host_count == b->host_count && is_same(a->path, b->path) &&
                    is_same(a->master, b->master);
    for (int i = 0; is_equal && i < a->host_count; i++)
        is_equal =
            is_same(a->hosts[i].host, b->hosts[i].host) && a->hosts[i].port == b->hosts[i].port;
    return is_equal;
}

/* A rotated secret: user and password are those that the file holds now, or that the last reload
 * had. Where Redis is stays as it was at start, since the counts are there. */
static void read_login_again(struct redis_link *link) {
    struct error why;
    struct redis_url fresh = {0};
    char *url = secret_read(link->latest, link->url_file, &why);
    const bool is_read =
        url != NULL && setting_is_printable(url) && redis_url_parse(&fresh, url, &why);
    if (url != NULL && !setting_is_printable(url)) error_set(&why, "redis.url: no spaces");
    if (is_read) {
        free_login(link);
        link->user = copy(fresh.user);
        link->password = copy(fresh.password);
    } else if (link->url_file != NULL) {
        log_warn("redis.url_file cannot be read again: the user and password before it are kept",
                 log_text("reason", why.text));
    }
    redis_url_release(&fresh);
    secret_forget(url);
}

/* What a Sentinel says may be late, or a replica may have been promoted by hand. */
static bool confirm_role(struct redis_link *link, struct error *error) {
    struct redis_reply *reply = redis_link_call(link, error, "ROLE");
    if (reply == NULL) return false;
    const char *role =
        redis_reply_count(reply) == 0 ? "" : redis_reply_text(redis_reply_at(reply, 0)).bytes;
    const bool is_master = strcmp(role, "master") == 0;
    if (redis_reply_kind(reply) == REDIS_ERROR) {
        link->is_refused = redis_fault_judge(redis_reply_text(reply).bytes, link->wire.name, "",
                                             error) == REDIS_FAULT_SETUP;
    } else if (!is_master) {
        error_set(error,
                  "Redis at %s is named by the Sentinels as the master, but its ROLE is %.20s: "
                  "waiting for a failover to end",
                  link->wire.name, *role == '\0' ? "unknown" : role);
    }
    redis_reply_destroy(&reply);
    if (!is_master) redis_link_close(link);
    return is_master;
}

static bool introduce(struct redis_link *link, struct error *error) {
    const struct redis_url *url = redis_master_url(link->master);
    struct redis_wire *wire = &link->wire;
    if (url->database != 0 &&
        (!redis_wire_put(wire, error, "SELECT %d", url->database) ||
         !redis_wire_is_status(wire, redis_wire_receive(wire, error), error))) {
        return false;
    }
    return redis_wire_put(wire, error, "PING") &&
           redis_wire_is_status(wire, redis_wire_receive(wire, error), error) &&
           (url->kind != REDIS_URL_SENTINEL || confirm_role(link, error));
}

/* In messages, a master that was found is called by its address. */
static void name_found(struct redis_link *link) {
    char where[REDIS_HOST_BYTES + 16];
    const struct redis_url *url = redis_master_url(link->master);
    redis_address_show(&link->present, where);
    snprintf(link->wire.name, sizeof link->wire.name, "%s://%.220s/%d (%.40s)",
             url->is_tls ? "rediss" : "redis", where, url->database,
             url->kind == REDIS_URL_SENTINEL ? url->master : "cluster");
}

static bool is_open(const struct redis_link *link) {
    return link->wire.context != NULL && !link->is_stale &&
           (link->wire.turn == NULL || atomic_load(link->wire.turn) == link->wire.seen);
}

/* Writes where to connect into `present`. */
static bool find(struct redis_link *link, struct error *error) {
    const bool is_led = link->next.port != 0;
    link->is_asking = is_led && link->is_next_asking;
    if (is_led) {
        link->present = link->next;
        link->next.port = 0;
        link->is_refused = false;
        if (link->wire.turn != NULL) link->wire.seen = atomic_load(link->wire.turn);
    } else if (!redis_master_find(link->master, link->user, link->password, &link->present,
                                  &link->wire.seen, &link->is_refused, error)) {
        return false;
    }
    if (link->wire.turn != NULL) name_found(link);
    return true;
}

/* On a closed wire. */
static bool connect_again(struct redis_link *link, struct error *error) {
    link->is_stale = false;
    link->renewal = redis_master_renewal(link->master);
    read_login_again(link);
    if (!find(link, error)) return false;
    const struct redis_url *url = redis_master_url(link->master);
    const struct redis_wire_target target = {
        .address = url->kind == REDIS_URL_PATH ? NULL : &link->present,
        .path = url->path,
        .user = link->user,
        .password = link->password,
        .tls = redis_master_tls(link->master),
    };
    const bool is_good =
        redis_wire_open(&link->wire, &target, clock_ms() + link->wire.timeout_ms, error) &&
        introduce(link, error);
    link->is_refused |= link->wire.is_refused;
    link->serial += is_good;
    return is_good;
}

/* The connection works, but is of before a reload. */
static void replace(struct redis_link *link) {
    struct error why;
    const struct redis_wire old = link->wire;
    const struct redis_address present = link->present;
    link->wire.context = NULL;
    if (connect_again(link, &why)) {
        struct redis_wire left = old;
        redis_wire_close(&left);
        return;
    }
    redis_wire_close(&link->wire);
    link->wire = old;
    link->present = present;
    link->is_refused = false;
    log_warn("No new connection to Redis after the reload: the one before it is kept",
             log_text("reason", why.text));
}

bool redis_link_open(struct redis_link *link, struct error *error) {
    if (is_open(link)) {
        if (link->renewal != redis_master_renewal(link->master)) replace(link);
        return true;
    }
    redis_link_close(link);
    return connect_again(link, error);
}

bool redis_link_is_redirected(const struct redis_link *link) {
    return link->next.port != 0 ||
           (link->wire.turn != NULL && atomic_load(link->wire.turn) != link->wire.seen);
}

bool redis_link_is_cluster(const struct redis_link *link) {
    return redis_master_url(link->master)->kind == REDIS_URL_CLUSTER;
}

struct redis_master *redis_link_master(const struct redis_link *link) {
    return link->master;
}

unsigned redis_link_serial(const struct redis_link *link) {
    return link->serial;
}

bool redis_link_is_refused(const struct redis_link *link) {
    return link->is_refused;
}

/* What is sent to a node that is receiving the slot, but does not own it yet. */
static bool put_asking(struct redis_link *link, struct error *error) {
    return !link->is_asking || redis_wire_put(&link->wire, error, "ASKING");
}

bool redis_link_send(struct redis_link *link, const struct redis_command *command,
                     struct error *error) {
    return put_asking(link, error) && redis_wire_send(&link->wire, command, error);
}

/* An error reply: does it lead elsewhere? Only a cluster's links share what one of them learns: at
 * a plain address each finds out by itself that its node is not the owner, and may refuse that. */
static void follow(struct redis_link *link, const char *text) {
    struct redis_address to;
    const bool is_moved = strncmp(text, "MOVED ", 6) == 0, is_ask = strncmp(text, "ASK ", 4) == 0;
    link->is_stale |= redis_fault_judge(text, "", "", NULL) == REDIS_FAULT_REPLICA;
    /* Of the keys some are here, some are not: the owner knows what has become of them. */
    link->is_stale |= link->is_asking && strncmp(text, "TRYAGAIN", 8) == 0;
    if (redis_master_url(link->master)->kind == REDIS_URL_PATH) return; /* to no other place */
    if (!(is_moved || is_ask) || !redis_cluster_redirect(text, &link->present, &to)) return;
    if (is_moved && redis_link_is_cluster(link)) {
        redis_master_moved(link->master, &to);
        return;
    }
    link->next = to;
    link->is_next_asking = is_ask;
}

struct redis_reply *redis_link_receive(struct redis_link *link, struct error *error) {
    struct redis_reply *reply = NULL;
    if (link->is_asking) {
        reply = redis_wire_receive(&link->wire, error);
        if (reply == NULL) return NULL;
        redis_reply_destroy(&reply);
    }
    reply = redis_wire_receive(&link->wire, error);
    if (reply != NULL && redis_reply_kind(reply) == REDIS_ERROR)
        follow(link, redis_reply_text(reply).bytes);
    return reply;
}

struct redis_reply *redis_link_exchange(struct redis_link *link,
                                        const struct redis_command *command, struct error *error) {
    return redis_link_send(link, command, error) ? redis_link_receive(link, error) : NULL;
}

struct redis_reply *redis_link_call(struct redis_link *link, struct error *error,
                                    const char *format, ...) {
    va_list args;
    if (link->wire.context == NULL) {
        error_set(error, "the connection to Redis at %s broke", redis_link_name(link));
        return NULL;
    }
    if (!put_asking(link, error)) return NULL;
    va_start(args, format);
    const bool is_put = redis_wire_vput(&link->wire, error, format, args);
    va_end(args);
    return is_put ? redis_link_receive(link, error) : NULL;
}

bool redis_link_info(struct redis_link *link, const char *field, char *out, size_t out_bytes,
                     struct error *error) {
    struct redis_reply *reply = redis_link_call(link, error, "INFO");
    if (reply == NULL) return false;
    const char *line = strstr(redis_reply_text(reply).bytes, field);
    if (redis_reply_kind(reply) != REDIS_TEXT) line = NULL;
    if (line != NULL) {
        line += strlen(field);
        snprintf(out, out_bytes, "%.*s", (int)strcspn(line, "\r\n"), line);
    }
    redis_reply_destroy(&reply);
    return line != NULL;
}

bool redis_link_clock(struct redis_link *link, int64_t *now_ms, struct error *error) {
    struct redis_reply *reply = redis_link_call(link, error, "TIME");
    *now_ms = -1;
    if (reply == NULL) return false;
    if (redis_reply_count(reply) == 2 && redis_reply_is_texts(reply, 2)) {
        const int64_t seconds = strtoll(redis_reply_text(redis_reply_at(reply, 0)).bytes, NULL, 10);
        const int64_t micros = strtoll(redis_reply_text(redis_reply_at(reply, 1)).bytes, NULL, 10);
        if (seconds > 0 && seconds < INT32_MAX * INT64_C(100))
            *now_ms = seconds * 1000 + micros / 1000;
    }
    redis_reply_destroy(&reply);
    return true;
}
