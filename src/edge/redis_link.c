#include "edge/redis_link.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/worker.h"
#include "edge/redis_fault.h"
#include "redis_call.h"
#include "redis_tls.h"

enum { REDIS_USER_BYTES = 128 };

struct redis_link {
    char *host;     /* NULL for a unix socket */
    char *path;     /* NULL for TCP */
    char *user;     /* NULL: none */
    char *password; /* NULL: none */
    char *url_file; /* NULL: the URL is not in a file */
    int port;
    int database;
    int timeout_ms;
    bool is_tls;
    bool is_refused;
    char name[300];
    struct redis_tls *tls; /* NULL: none */
    redisContext *context; /* NULL while not connected */
};

const struct setting redis_setting_table[] = {
    SETTING_TEXT(struct redis_settings, url, "redis", "url", 1, 4096, "redis://localhost:6379/0",
                 setting_is_printable, SETTING_PRINTABLE_RULE, SETTING_SECRET,
                 "redis://[user:password@]host[:port][/db], rediss:// (TLS) or "
                 "unix://[user:password@]/path[?db=N]"),
    SETTING_TEXT(struct redis_settings, prefix, "redis", "prefix", 1, 200, "{user-login}",
                 setting_is_printable, SETTING_PRINTABLE_RULE, 0,
                 "what all keys begin with; the braces keep them on one slot of a cluster"),
    SETTING_NUMBER(struct redis_settings, timeout_ms, "redis", "timeout_ms", 100, 600000, "5000", 0,
                   "longest wait for a connection or a reply, in ms"),
    SETTING_END};

static_assert((int)REDIS_TEXT == REDIS_REPLY_STRING && (int)REDIS_LIST == REDIS_REPLY_ARRAY &&
                  (int)REDIS_INTEGER == REDIS_REPLY_INTEGER && (int)REDIS_NIL == REDIS_REPLY_NIL &&
                  (int)REDIS_STATUS == REDIS_REPLY_STATUS && (int)REDIS_ERROR == REDIS_REPLY_ERROR,
              "hiredis' own kinds");

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

static bool parse_database(struct redis_link *link, const char *text) {
    link->database = parse_number(text, text + strlen(text), 1 << 20);
    return link->database >= 0;
}

/* How to write what cannot stand there as it is. */
#define ENCODE "in a user or password write '/' as %%2F, '@' as %%40 and '%%' as %%25"

static bool reject_url(struct error *error) {
    return error_set(error, "redis.url is not redis://[user:password@]host[:port][/db], "
                            "rediss://... or unix://[user:password@]/path[?db=N]; " ENCODE);
}

/* The user and password before the '@' at end. */
static bool parse_user(struct redis_link *link, const char *begin, const char *end,
                       struct error *error) {
    const char *colon = memchr(begin, ':', (size_t)(end - begin));
    if (memchr(begin, '/', (size_t)(end - begin)) != NULL)
        return error_set(error, "redis.url has a raw '/' before the '@': " ENCODE);
    if (colon == NULL || colon > begin) link->user = decode(begin, colon == NULL ? end : colon);
    if (colon != NULL) link->password = decode(colon + 1, end);
    if (link->user != NULL && *link->user == '\0') { /* redis://@host */
        free(link->user);
        link->user = NULL;
    }
    return true;
}

/* For messages. A user without a password may be a password in the wrong place. */
static const char *show_user(const struct redis_link *link, char out[REDIS_USER_BYTES]) {
    if (link->user != NULL && link->password != NULL)
        snprintf(out, REDIS_USER_BYTES, "%s:***@", link->user);
    else
        snprintf(out, REDIS_USER_BYTES, link->user != NULL || link->password != NULL ? "***@" : "");
    return out;
}

static bool parse_unix(struct redis_link *link, const char *rest, struct error *error) {
    char user[REDIS_USER_BYTES];
    const char *at = *rest == '/' ? NULL : strstr(rest, "@/");
    if (at != NULL) {
        if (!parse_user(link, rest, at, error)) return false;
        rest = at + 1;
    }
    const char *query = strchr(rest, '?');
    const char *end = query != NULL ? query : rest + strlen(rest);
    const bool has_database =
        query == NULL || (strncmp(query, "?db=", 4) == 0 && parse_database(link, query + 4));
    if (*rest != '/' || end - rest < 2 || !has_database) return reject_url(error);
    link->path = decode(rest, end);
    snprintf(link->name, sizeof link->name, "unix://%s%s?db=%d", show_user(link, user), link->path,
             link->database);
    return true;
}

static bool parse_tcp(struct redis_link *link, const char *rest, struct error *error) {
    char user[REDIS_USER_BYTES];
    /* The '@' that ends user and password is the last one: neither host nor database has any. */
    const char *at = strrchr(rest, '@');
    if (at != NULL) {
        if (!parse_user(link, rest, at, error)) return false;
        rest = at + 1;
    }
    const char *slash = strchr(rest, '/');
    const char *end = slash != NULL ? slash : rest + strlen(rest);
    if (slash != NULL && slash[1] != '\0' && !parse_database(link, slash + 1))
        return reject_url(error);
    const char *host_end = end;
    const char *bracket = *rest == '[' ? memchr(rest, ']', (size_t)(end - rest)) : NULL;
    const char *colon = memrchr(rest, ':', (size_t)(end - rest));
    if (colon != NULL && (bracket == NULL || colon > bracket)) {
        link->port = parse_number(colon + 1, end, 65535);
        if (link->port <= 0) return reject_url(error);
        host_end = colon;
    }
    link->host = bracket != NULL ? decode(rest + 1, bracket) : decode(rest, host_end);
    if (*link->host == '\0') return reject_url(error);
    snprintf(link->name, sizeof link->name, "%s://%s%s:%d/%d", link->is_tls ? "rediss" : "redis",
             show_user(link, user), link->host, link->port, link->database);
    return true;
}

static bool parse_url(struct redis_link *link, const char *url, struct error *error) {
    if (strstr(url, "%00") != NULL)
        return error_set(error, "redis.url holds %%00, a NUL byte: that is not possible");
    link->is_tls = strncasecmp(url, "rediss://", 9) == 0;
    if (link->is_tls) return parse_tcp(link, url + 9, error);
    if (strncasecmp(url, "redis://", 8) == 0) return parse_tcp(link, url + 8, error);
    if (strncasecmp(url, "unix://", 7) == 0) return parse_unix(link, url + 7, error);
    return reject_url(error);
}

struct redis_link *redis_link_create(const struct redis_settings *settings, struct error *error) {
    struct redis_link *link = memory_create(sizeof *link);
    link->port = 6379;
    link->timeout_ms = settings->timeout_ms;
    if (settings->url_file != NULL) link->url_file = memory_text(settings->url_file);
    if (!parse_url(link, settings->url, error) ||
        (link->is_tls && (link->tls = redis_tls_create(link->host, error)) == NULL)) {
        redis_link_destroy(&link);
    }
    return link;
}

void redis_link_close(struct redis_link *link) {
    if (link->context != NULL) redisFree(link->context);
    link->context = NULL;
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
    redis_tls_destroy(&(*link)->tls);
    free((*link)->host);
    free((*link)->path);
    free((*link)->url_file);
    free_login(*link);
    free(*link);
    *link = NULL;
}

const char *redis_link_name(const struct redis_link *link) {
    return link->name;
}

static bool connect_once(struct redis_link *link, struct error *error) {
    struct timeval timeout = {link->timeout_ms / 1000, link->timeout_ms % 1000 * 1000L};
    worker_call_begins(link->timeout_ms);
    link->context = link->path != NULL ? redisConnectUnixWithTimeout(link->path, timeout)
                                       : redisConnectWithTimeout(link->host, link->port, timeout);
    worker_call_ends();
    if (link->context == NULL) return error_set(error, "out of memory");
    if (link->context->err != 0) {
        error_set(error, "Redis at %s cannot be reached: %s", link->name, link->context->errstr);
        redis_link_close(link);
        return false;
    }
    redisSetTimeout(link->context, timeout);
    if (link->path == NULL) redisEnableKeepAlive(link->context);
    if (link->tls != NULL &&
        !redis_tls_start(link->tls, link->context, link->name, &link->is_refused, error)) {
        redis_link_close(link);
        return false;
    }
    return true;
}

/* Looks at a reply of which only a status is good, and frees it. */
static bool is_status(struct redis_link *link, struct redis_reply *reply, struct error *error) {
    if (reply == NULL) return false;
    const bool is_good = redis_reply_kind(reply) == REDIS_STATUS;
    if (redis_reply_kind(reply) == REDIS_ERROR) {
        link->is_refused = redis_fault_judge(redis_reply_text(reply).bytes, link->name, "",
                                             error) == REDIS_FAULT_SETUP;
    } else if (!is_good) {
        error_set(error, "Redis at %s gives an odd answer: is it Redis?", link->name);
    }
    redis_reply_destroy(&reply);
    if (!is_good) redis_link_close(link);
    return is_good;
}

static bool introduce(struct redis_link *link, struct error *error) {
    struct redis_reply *reply;
    if (link->user != NULL || link->password != NULL) {
        const char *password = link->password == NULL ? "" : link->password; /* a nopass user's */
        reply = link->user == NULL
                    ? redis_link_call(link, error, "AUTH %s", password)
                    : redis_link_call(link, error, "AUTH %s %s", link->user, password);
        if (!is_status(link, reply, error)) return false;
    }
    if (link->database != 0) {
        reply = redis_link_call(link, error, "SELECT %d", link->database);
        if (!is_status(link, reply, error)) return false;
    }
    return is_status(link, redis_link_call(link, error, "PING"), error);
}

/* A rotated secret: user and password are those that the file holds now. Where Redis is stays as it
 * was at start, since the counts are there. */
static void read_login_again(struct redis_link *link) {
    struct error why;
    struct redis_link fresh = {.port = link->port};
    char *url = link->url_file == NULL ? NULL : file_read_secret(link->url_file, &why);
    bool is_read = url != NULL && setting_is_printable(url) && parse_url(&fresh, url, &why);
    if (url != NULL && !setting_is_printable(url)) error_set(&why, "redis.url: no spaces");
    if (is_read) {
        free_login(link);
        link->user = fresh.user;
        link->password = fresh.password;
    } else if (link->url_file != NULL) {
        log_warn("redis.url_file cannot be read again: the user and password before it are kept",
                 log_text("reason", why.text));
        free_login(&fresh);
    }
    free(fresh.host);
    free(fresh.path);
    if (url != NULL) explicit_bzero(url, strlen(url));
    free(url);
}

bool redis_link_open(struct redis_link *link, struct error *error) {
    if (link->context != NULL) return true;
    read_login_again(link);
    link->is_refused = false;
    return connect_once(link, error) && introduce(link, error);
}

bool redis_link_is_refused(const struct redis_link *link) {
    return link->is_refused;
}

static bool is_queued(struct redis_link *link, int result, struct error *error) {
    if (result == REDIS_OK) return true;
    redis_link_close(link);
    return error_set(error, "out of memory for a command to Redis");
}

bool redis_link_send(struct redis_link *link, const struct redis_command *command,
                     struct error *error) {
    assert(link->context != NULL);
    char head[16];
    const int length = snprintf(head, sizeof head, "*%d\r\n", command->count);
    int result = command->words.is_broken ? REDIS_ERR : REDIS_OK;
    if (result == REDIS_OK) {
        result = redisAppendFormattedCommand(link->context, head, (size_t)length);
    }
    if (result == REDIS_OK) {
        result =
            redisAppendFormattedCommand(link->context, command->words.bytes, command->words.length);
    }
    return is_queued(link, result, error);
}

/* As redisGetReply, which would wait the whole timeout for each piece of a reply. */
static int get_reply(struct redis_link *link, void **reply, bool *is_late) {
    enum { READ_BYTES = 16 * 1024 }; /* what redisBufferRead takes at most */
    redisContext *context = link->context;
    const int64_t until_ms = clock_ms() + link->timeout_ms;
    size_t read_count = 0;
    for (int is_written = 0; !is_written;) {
        if (redisBufferWrite(context, &is_written) == REDIS_ERR) return REDIS_ERR;
    }
    for (;;) {
        if (redisGetReplyFromReader(context, reply) == REDIS_ERR) return REDIS_ERR;
        if (*reply != NULL) return REDIS_OK;
        *is_late = read_count > 0 && clock_ms() >= until_ms;
        if (*is_late || read_count++ > REDIS_LINK_REPLY_BYTES / READ_BYTES) return REDIS_ERR;
        if (redisBufferRead(context) == REDIS_ERR) return REDIS_ERR;
    }
}

struct redis_reply *redis_link_receive(struct redis_link *link, struct error *error) {
    void *reply = NULL;
    if (link->context == NULL) {
        error_set(error, "the connection to Redis at %s is closed", link->name);
        return NULL;
    }
    bool is_late = false;
    worker_call_begins(link->timeout_ms);
    errno = 0;
    const int result = get_reply(link, &reply, &is_late), cause = errno;
    worker_call_ends();
    if (result == REDIS_OK) return reply;
    if (is_late || (cause == EAGAIN && link->context->err == REDIS_ERR_IO)) {
        error_set(error, "Redis at %s did not answer within %d ms", link->name, link->timeout_ms);
    } else if (link->context->err == 0) {
        error_set(error, "Redis at %s answers with more than %d MB: that is too much for a reply",
                  link->name, REDIS_LINK_REPLY_BYTES >> 20);
    } else {
        error_set(error, "the connection to Redis at %s broke: %s", link->name,
                  link->context->errstr);
    }
    redis_link_close(link);
    return NULL;
}

struct redis_reply *redis_link_call(struct redis_link *link, struct error *error,
                                    const char *format, ...) {
    va_list args;
    assert(link->context != NULL);
    va_start(args, format);
    const int result = redisvAppendCommand(link->context, format, args);
    va_end(args);
    return is_queued(link, result, error) ? redis_link_receive(link, error) : NULL;
}

void redis_reply_destroy(struct redis_reply **reply) {
    if (*reply != NULL) freeReplyObject(*reply);
    *reply = NULL;
}

static const redisReply *own(const struct redis_reply *reply) {
    return (const void *)reply;
}

enum redis_reply_kind redis_reply_kind(const struct redis_reply *reply) {
    return (enum redis_reply_kind)own(reply)->type;
}

struct slice redis_reply_text(const struct redis_reply *reply) {
    if (own(reply)->str == NULL) return (struct slice){"", 0};
    return (struct slice){own(reply)->str, own(reply)->len};
}

int64_t redis_reply_integer(const struct redis_reply *reply) {
    return redis_reply_kind(reply) == REDIS_INTEGER ? own(reply)->integer : 0;
}

size_t redis_reply_count(const struct redis_reply *reply) {
    return redis_reply_kind(reply) == REDIS_LIST ? own(reply)->elements : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t index) {
    assert(index < redis_reply_count(reply));
    return (const void *)own(reply)->element[index];
}

bool redis_reply_is_texts(const struct redis_reply *reply, size_t multiple) {
    const size_t count = redis_reply_count(reply);
    bool is_texts = redis_reply_kind(reply) == REDIS_LIST && count % multiple == 0;
    for (size_t i = 0; is_texts && i < count; i++)
        is_texts = redis_reply_kind(redis_reply_at(reply, i)) == REDIS_TEXT;
    return is_texts;
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
