#include "redis_url.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"

enum { USER_BYTES = 128, REDIS_PORT = 6379, SENTINEL_PORT = 26379 };

/* How to write what cannot stand there as it is. */
#define ENCODE "in a user or password write '/' as %%2F, '@' as %%40 and '%%' as %%25"

static bool reject(const struct redis_url *url, struct error *error) {
    if (url->kind == REDIS_URL_SENTINEL) {
        return error_set(error, "redis.url is not redis+sentinel://[user:password@]host[:port]"
                                "[,host[:port]...]/MASTER[/db]; " ENCODE);
    } else if (url->kind == REDIS_URL_CLUSTER) {
        return error_set(error, "redis.url is not redis+cluster://[user:password@]host[:port]"
                                "[,host[:port]...], without a database; " ENCODE);
    }
    return error_set(error, "redis.url is not redis://[user:password@]host[:port][/db], "
                            "rediss://..., unix://[user:password@]/path[?db=N], "
                            "redis+sentinel://... or redis+cluster://...; " ENCODE);
}

static bool reject_host(const struct redis_url *url, struct error *error) {
    const char *several = url->kind == REDIS_URL_HOST
                              ? "several hosts are for redis+sentinel:// and redis+cluster://"
                              : "a comma separates two of at most 16 hosts";
    return error_set(error,
                     "redis.url has a wrong host: write host, host:port or [IPv6 address]:port, "
                     "with a port from 1 to 65535; %s; " ENCODE,
                     several);
}

/* A copy of [begin, end) with %XX decoded. */
static char *decode(const char *begin, const char *end) {
    char *text = memory_create((size_t)(end - begin) + 1);
    char *to = text;
    for (const char *from = begin; from < end; from++) {
        if (*from == '%' && end - from > 2 && isxdigit((unsigned char)from[1]) &&
            isxdigit((unsigned char)from[2])) {
            *to++ = (char)strtol((const char[]){from[1], from[2], '\0'}, NULL, 16);
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return text;
}

/* A whole decimal number up to `max`, or -1. */
static int parse_number(const char *begin, const char *end, int max) {
    char *stop;
    const long number = strtol(begin, &stop, 10);
    return isdigit((unsigned char)*begin) && stop == end && number <= max ? (int)number : -1;
}

static bool parse_database(struct redis_url *url, const char *text) {
    url->database = parse_number(text, text + strlen(text), 1 << 20);
    return url->database >= 0;
}

/* Whether [begin, end), where a user and password should stand, is a list of hosts, of which a
 * later one has a user: "u:p@h:1,u:p@h:2", "h,u:p@h" or "h:1,u:p@h:2". A password may hold a comma,
 * and with redis:// also an '@' before it. */
static bool is_list(const struct redis_url *url, const char *begin, const char *end) {
    const char *comma = memchr(begin, ',', (size_t)(end - begin));
    if (comma == NULL) return false;
    const char *port = comma; /* behind the last ':' before it */
    while (port > begin && port[-1] != ':')
        port--;
    const bool has_port = port > begin + 1 && parse_number(port, comma, 65535) > 0;
    if (memchr(begin, '@', (size_t)(end - begin)) != NULL)
        return url->kind != REDIS_URL_HOST || has_port;
    return has_port || port == begin || *begin == '[';
}

/* The user and password before the '@' at end. */
static bool parse_user(struct redis_url *url, const char *begin, const char *end,
                       struct error *error) {
    const char *colon = memchr(begin, ':', (size_t)(end - begin));
    if (memchr(begin, '/', (size_t)(end - begin)) != NULL)
        return error_set(error, "redis.url has a raw '/' before the '@': " ENCODE);
    if (url->kind != REDIS_URL_PATH && is_list(url, begin, end))
        return error_set(error, "redis.url has a comma before its last '@': write the user and "
                                "password once, before the first host, and in them ',' as %%2C, "
                                "'/' as %%2F, '@' as %%40 and '%%' as %%25");
    if (colon == NULL || colon > begin) url->user = decode(begin, colon == NULL ? end : colon);
    if (colon != NULL) url->password = decode(colon + 1, end);
    if (url->user != NULL && *url->user == '\0') { /* redis://@host */
        free(url->user);
        url->user = NULL;
    }
    return true;
}

/* For messages. A user without a password may be a password in the wrong place. */
static const char *show_user(const struct redis_url *url, char out[USER_BYTES]) {
    if (url->user != NULL && url->password != NULL)
        snprintf(out, USER_BYTES, "%s:***@", url->user);
    else
        snprintf(out, USER_BYTES, url->user != NULL || url->password != NULL ? "***@" : "");
    return out;
}

static bool parse_unix(struct redis_url *url, const char *rest, struct error *error) {
    char user[USER_BYTES];
    const char *at = *rest == '/' ? NULL : strstr(rest, "@/");
    url->kind = REDIS_URL_PATH;
    if (at != NULL && strstr(at + 1, "@/") != NULL)
        return error_set(error, "redis.url has \"@/\" twice, so where the path begins is unclear: "
                                "in the user, password and path write '@' as %%40");
    if (at != NULL) {
        if (!parse_user(url, rest, at, error)) return false;
        rest = at + 1;
    }
    const char *query = strchr(rest, '?');
    const char *end = query != NULL ? query : rest + strlen(rest);
    const bool has_database =
        query == NULL || (strncmp(query, "?db=", 4) == 0 && parse_database(url, query + 4));
    if (*rest != '/' || end - rest < 2 || !has_database) return reject(url, error);
    url->path = decode(rest, end);
    snprintf(url->name, sizeof url->name, "unix://%s%s?db=%d", show_user(url, user), url->path,
             url->database);
    return true;
}

/* host, host:port, [IPv6] or [IPv6]:port in [begin, end). */
static bool parse_host(struct redis_address *address, const char *begin, const char *end,
                       int port) {
    const bool is_v6 = begin < end && *begin == '[';
    if (is_v6) begin++;
    const char *host_end = begin;
    while (host_end < end && strchr(is_v6 ? "]" : "[]:,?#", *host_end) == NULL)
        host_end++;
    const char *rest = is_v6 ? host_end + 1 : host_end; /* of a missing ']': behind the end */
    if (rest > end || (rest < end && *rest != ':')) return false;
    address->port = rest == end ? port : parse_number(rest + 1, end, 65535);
    char *host = decode(begin, host_end);
    const bool is_right = address->port > 0 && *host != '\0' && strlen(host) < sizeof address->host;
    if (is_right) snprintf(address->host, sizeof address->host, "%s", host);
    free(host);
    return is_right;
}

static bool parse_hosts(struct redis_url *url, const char *begin, const char *end, int port) {
    while (url->host_count < REDIS_HOSTS_MAX) {
        const char *comma = memchr(begin, ',', (size_t)(end - begin));
        const bool is_last = comma == NULL || url->kind == REDIS_URL_HOST;
        if (!parse_host(&url->hosts[url->host_count++], begin, is_last ? end : comma, port))
            return false;
        if (is_last) return true;
        begin = comma + 1;
    }
    return false;
}

/* What follows the hosts: MASTER[/db]. */
static bool parse_master(struct redis_url *url, const char *rest) {
    const char *slash = strchr(rest, '/');
    const char *end = slash != NULL ? slash : rest + strlen(rest);
    url->master = decode(rest, end);
    return end > rest && strlen(url->master) < 128 &&
           (slash == NULL || slash[1] == '\0' || parse_database(url, slash + 1));
}

static void show(struct redis_url *url, const char *scheme) {
    char user[USER_BYTES], hosts[REDIS_NAME_BYTES] = "", host[REDIS_HOST_BYTES + 16];
    for (int i = 0; i < url->host_count; i++) {
        const size_t used = strlen(hosts);
        redis_address_show(&url->hosts[i], host);
        snprintf(hosts + used, sizeof hosts - used, "%s%s", i > 0 ? "," : "", host);
    }
    const int length =
        snprintf(url->name, sizeof url->name, "%s%s%.180s", scheme, show_user(url, user), hosts);
    char *rest = url->name + length;
    const size_t room = sizeof url->name - (size_t)length;
    if (url->kind == REDIS_URL_SENTINEL)
        snprintf(rest, room, "/%.60s/%d", url->master, url->database);
    else if (url->kind == REDIS_URL_HOST)
        snprintf(rest, room, "/%d", url->database);
}

static bool parse_tcp(struct redis_url *url, const char *scheme, const char *rest,
                      struct error *error) {
    /* The '@' that ends user and password is the last one: nothing behind it has any. */
    const char *at = strrchr(rest, '@');
    if (at != NULL) {
        if (!parse_user(url, rest, at, error)) return false;
        rest = at + 1;
    }
    const char *slash = strchr(rest, '/');
    const char *end = slash != NULL ? slash : rest + strlen(rest);
    const char *path = slash != NULL ? slash + 1 : end;
    const int port = url->kind == REDIS_URL_SENTINEL ? SENTINEL_PORT : REDIS_PORT;
    if (!parse_hosts(url, rest, end, port)) return reject_host(url, error);
    bool is_right = true;
    if (url->kind == REDIS_URL_SENTINEL)
        is_right = parse_master(url, path);
    else if (*path != '\0')
        is_right = parse_database(url, path);
    if (url->kind == REDIS_URL_CLUSTER) is_right = is_right && url->database == 0;
    if (!is_right) return reject(url, error);
    show(url, scheme);
    return true;
}

bool redis_url_parse(struct redis_url *url, const char *text, struct error *error) {
    static const struct {
        const char *scheme;
        enum redis_url_kind kind;
        bool is_tls;
    } forms[] = {
        {"redis://", REDIS_URL_HOST, false},
        {"rediss://", REDIS_URL_HOST, true},
        {"redis+sentinel://", REDIS_URL_SENTINEL, false},
        {"rediss+sentinel://", REDIS_URL_SENTINEL, true},
        {"redis+cluster://", REDIS_URL_CLUSTER, false},
        {"rediss+cluster://", REDIS_URL_CLUSTER, true},
    };
    if (strstr(text, "%00") != NULL)
        return error_set(error, "redis.url holds %%00, a NUL byte: that is not possible");
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const size_t length = strlen(forms[i].scheme);
        if (strncasecmp(text, forms[i].scheme, length) != 0) continue;
        url->kind = forms[i].kind;
        url->is_tls = forms[i].is_tls;
        return parse_tcp(url, forms[i].scheme, text + length, error);
    }
    if (strncasecmp(text, "unix://", 7) == 0) return parse_unix(url, text + 7, error);
    return reject(url, error);
}

void redis_url_release(struct redis_url *url) {
    if (url->password != NULL) explicit_bzero(url->password, strlen(url->password));
    free(url->password);
    free(url->user);
    free(url->path);
    free(url->master);
    *url = (struct redis_url){0};
}

void redis_address_show(const struct redis_address *address, char out[REDIS_HOST_BYTES + 16]) {
    const bool is_v6 = strchr(address->host, ':') != NULL;
    snprintf(out, REDIS_HOST_BYTES + 16, is_v6 ? "[%s]:%d" : "%s:%d", address->host, address->port);
}

bool redis_address_parse(struct redis_address *address, const char *text, int length) {
    const char *end = text + length, *colon = memrchr(text, ':', (size_t)length);
    if (colon == NULL || colon - text >= REDIS_HOST_BYTES) return false;
    /* A cluster writes an IPv6 address without brackets, and its bus' port behind an '@'. */
    const char *at = memchr(colon, '@', (size_t)(end - colon));
    address->port = parse_number(colon + 1, at != NULL ? at : end, 65535);
    snprintf(address->host, sizeof address->host, "%.*s", (int)(colon - text), text);
    return address->port > 0;
}
