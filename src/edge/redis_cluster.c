#include "redis_cluster.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "redis_wire.h"

struct redis_cluster {
    /* fixed after create */
    const struct redis_url *url;
    struct redis_tls *tls;
    unsigned slot;
    int timeout_ms;
    char prefix[256]; /* for messages */
    pthread_mutex_t lock;
    /* guarded by the lock */
    struct redis_address nodes[CLUSTER_NODES_MAX];
    int node_count;
    int next; /* to be asked first */
};

/* CRC-16/XMODEM, as the cluster specification has it. */
static unsigned crc16(const char *bytes, size_t length) {
    unsigned crc = 0;
    for (size_t i = 0; i < length; i++) {
        crc ^= (unsigned)(unsigned char)bytes[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
        crc &= 0xFFFF;
    }
    return crc;
}

unsigned redis_cluster_slot(const char *key) {
    const char *open = strchr(key, '{'), *close = open == NULL ? NULL : strchr(open, '}');
    if (close == NULL || close == open + 1) return crc16(key, strlen(key)) % 16384;
    return crc16(open + 1, (size_t)(close - open - 1)) % 16384;
}

struct redis_cluster *redis_cluster_create(const struct redis_url *url, const char *prefix,
                                           struct redis_tls *tls, int timeout_ms) {
    struct redis_cluster *cluster = memory_create(sizeof *cluster);
    cluster->url = url;
    cluster->tls = tls;
    cluster->slot = redis_cluster_slot(prefix);
    cluster->timeout_ms = timeout_ms < CLUSTER_ASK_MS ? timeout_ms : CLUSTER_ASK_MS;
    snprintf(cluster->prefix, sizeof cluster->prefix, "%s", prefix);
    pthread_mutex_init(&cluster->lock, NULL);
    memcpy(cluster->nodes, url->hosts, (size_t)url->host_count * sizeof *url->hosts);
    cluster->node_count = url->host_count;
    return cluster;
}

void redis_cluster_destroy(struct redis_cluster **cluster) {
    if (*cluster == NULL) return;
    pthread_mutex_destroy(&(*cluster)->lock);
    free(*cluster);
    *cluster = NULL;
}

bool redis_cluster_redirect(const char *text, const struct redis_address *from,
                            struct redis_address *to) {
    const char *word = strchr(text, ' ');
    word = word == NULL ? NULL : strchr(word + 1, ' ');
    if (word == NULL || !redis_address_parse(to, word + 1, (int)strcspn(word + 1, " \r\n")))
        return false;
    if (to->host[0] == '\0') snprintf(to->host, sizeof to->host, "%s", from->host);
    return strcmp(to->host, "?") != 0;
}

/* --- the map --------------------------------------------------------------------------------- */

/* The text of "ip" or "hostname" in what a node's entry has behind its id, or "". */
static const char *find_metadata(const struct redis_reply *node, const char *name) {
    if (redis_reply_count(node) < 4) return "";
    const struct redis_reply *pairs = redis_reply_at(node, 3);
    for (size_t i = 0; i + 1 < redis_reply_count(pairs); i += 2) {
        if (strcmp(redis_reply_text(redis_reply_at(pairs, i)).bytes, name) == 0)
            return redis_reply_text(redis_reply_at(pairs, i + 1)).bytes;
    }
    return "";
}

/* A node is [host, port, id, metadata]. No host, or an empty one, is that of whoever answers; "?"
 * is one that the cluster does not know by the name that it prefers. */
static bool read_node(const struct redis_reply *node, const struct redis_address *asked,
                      struct redis_address *address) {
    if (redis_reply_count(node) < 2) return false;
    const int64_t port = redis_reply_integer(redis_reply_at(node, 1));
    const char *host = redis_reply_text(redis_reply_at(node, 0)).bytes;
    if (strcmp(host, "?") == 0)
        host = find_metadata(node, "ip");
    else if (*host == '\0')
        host = asked->host;
    address->port = (int)port;
    snprintf(address->host, sizeof address->host, "%s", host);
    return *host != '\0' && strlen(host) < sizeof address->host && port > 0 && port < 65536;
}

bool redis_cluster_read(const struct redis_reply *slots, unsigned slot,
                        const struct redis_address *asked, struct redis_address *owner,
                        struct redis_address *nodes, int max, int *count) {
    bool is_found = false;
    *count = 0;
    for (size_t i = 0; i < redis_reply_count(slots); i++) {
        const struct redis_reply *range = redis_reply_at(slots, i); /* first, last, owner, ... */
        if (redis_reply_count(range) < 3) continue;
        const bool is_ours = redis_reply_integer(redis_reply_at(range, 0)) <= slot &&
                             redis_reply_integer(redis_reply_at(range, 1)) >= slot;
        for (size_t n = 2; n < redis_reply_count(range); n++) {
            struct redis_address node;
            if (!read_node(redis_reply_at(range, n), asked, &node)) continue;
            if (is_ours && n == 2) *owner = node;
            is_found |= is_ours && n == 2;
            if (*count < max) nodes[(*count)++] = node;
        }
    }
    return is_found;
}

/* Those of the URL stay first, since they lead back when all others are gone. */
static void keep_nodes(struct redis_cluster *cluster, const struct redis_address *nodes,
                       int count) {
    pthread_mutex_lock(&cluster->lock);
    cluster->node_count = cluster->url->host_count;
    for (int i = 0; i < count && cluster->node_count < CLUSTER_NODES_MAX; i++) {
        bool is_known = false;
        for (int k = 0; k < cluster->node_count; k++)
            is_known |= cluster->nodes[k].port == nodes[i].port &&
                        strcmp(cluster->nodes[k].host, nodes[i].host) == 0;
        if (!is_known) cluster->nodes[cluster->node_count++] = nodes[i];
    }
    pthread_mutex_unlock(&cluster->lock);
}

/* --- asking ---------------------------------------------------------------------------------- */

enum asked { FOUND, NEXT, REFUSED };

static enum asked judge(struct redis_cluster *cluster, const struct redis_reply *reply,
                        const struct redis_address *asked, const char *where,
                        struct redis_address *owner, struct error *error) {
    struct redis_address nodes[CLUSTER_NODES_MAX];
    const char *text = redis_reply_text(reply).bytes;
    int count;
    if (redis_reply_kind(reply) == REDIS_ERROR &&
        strstr(text, "cluster support disabled") != NULL) {
        error_set(error, "Redis at %s is not a node of a cluster: set redis.url to redis://...",
                  where);
        return REFUSED;
    }
    if (redis_reply_kind(reply) == REDIS_ERROR &&
        (strncmp(text, "NOPERM", 6) == 0 || strstr(text, "unknown command") != NULL)) {
        *owner = *asked;
        return FOUND;
    }
    const bool is_found =
        redis_cluster_read(reply, cluster->slot, asked, owner, nodes, CLUSTER_NODES_MAX, &count);
    if (redis_reply_kind(reply) != REDIS_ERROR && count > 0) keep_nodes(cluster, nodes, count);
    if (is_found) return FOUND;
    error_set(
        error,
        "Redis at %s knows no owner of slot %u, to which the keys under \"%s\" belong%s%.200s: "
        "see redis-cli --cluster check",
        where, cluster->slot, cluster->prefix, *text == '\0' ? "" : ": ", text);
    return NEXT;
}

static enum asked ask(struct redis_cluster *cluster, const struct redis_wire_target *target,
                      struct redis_address *owner, struct error *error) {
    struct redis_wire wire = {.timeout_ms = cluster->timeout_ms};
    struct redis_reply *reply = NULL;
    enum asked result = NEXT;
    redis_address_show(target->address, wire.name);
    if (redis_wire_open(&wire, target, clock_ms() + wire.timeout_ms, error) &&
        redis_wire_put(&wire, error, "CLUSTER SLOTS")) {
        reply = redis_wire_receive(&wire, error);
    }
    if (reply != NULL) result = judge(cluster, reply, target->address, wire.name, owner, error);
    if (wire.is_refused) result = REFUSED;
    redis_reply_destroy(&reply);
    redis_wire_close(&wire);
    return result;
}

bool redis_cluster_find(struct redis_cluster *cluster, const char *user, const char *password,
                        struct redis_address *owner, bool *is_refused, struct error *error) {
    struct redis_address nodes[CLUSTER_NODES_MAX];
    const int64_t until_ms = clock_ms() + cluster->timeout_ms;
    pthread_mutex_lock(&cluster->lock);
    const int count = cluster->node_count, first = cluster->next++ % count;
    memcpy(nodes, cluster->nodes, sizeof nodes);
    pthread_mutex_unlock(&cluster->lock);
    *is_refused = false;
    error_set(error, "no node of the cluster answered in time");
    for (int i = 0; i < count && (i == 0 || clock_ms() < until_ms); i++) {
        const struct redis_wire_target target = {.address = &nodes[(first + i) % count],
                                                 .user = user,
                                                 .password = password,
                                                 .tls = cluster->tls};
        const enum asked result = ask(cluster, &target, owner, error);
        if (result == FOUND) return true;
        *is_refused |= result == REFUSED;
    }
    return false;
}
