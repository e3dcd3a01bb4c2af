#include "redis_fitness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAJOR_MIN = 6, MINOR_MIN = 2, WORD_BYTES = 64 };

/* Copies what INFO has behind "field:", "" if nothing. */
static void find(const char *info, const char *field, char out[WORD_BYTES]) {
    const char *line = strstr(info, field);
    out[0] = '\0';
    if (line == NULL) return;
    line += strlen(field);
    snprintf(out, WORD_BYTES, "%.*s", (int)strcspn(line, "\r\n"), line);
}

/* A Sentinel at a plain address: the form of redis.url that leads to its master. */
static enum redis_fitness reject_sentinel(struct redis_link *link, struct error *error) {
    const char *name = "MASTER", *where = redis_link_name(link);
    const char *host = strrchr(where, '@') != NULL ? strrchr(where, '@') + 1 : where;
    if (host == where && strstr(where, "://") != NULL) host = strstr(where, "://") + 3;
    struct redis_reply *masters = redis_link_call(link, error, "SENTINEL MASTERS");
    if (masters == NULL) return REDIS_UNREACHED;
    const struct redis_reply *first =
        redis_reply_count(masters) > 0 ? redis_reply_at(masters, 0) : NULL;
    if (first != NULL && redis_reply_count(first) > 1) /* pairs, of which the first is the name */
        name = redis_reply_text(redis_reply_at(first, 1)).bytes;
    error_set(error, "Redis at %s is a Sentinel: set redis.url to redis+sentinel://%.*s/%s", where,
              (int)strcspn(host, "/"), host, name);
    redis_reply_destroy(&masters);
    return REDIS_UNFIT;
}

static enum redis_fitness judge(const char *info, const char *where, struct error *error) {
    char policy[WORD_BYTES], version[WORD_BYTES];
    find(info, "maxmemory_policy:", policy);
    find(info, "redis_version:", version);
    char *end;
    const long major = strtol(version, &end, 10);
    const long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    if (version[0] != '\0' && (major < MAJOR_MIN || (major == MAJOR_MIN && minor < MINOR_MIN))) {
        error_set(error, "Redis at %s is version %s, which has no ZMSCORE: use %d.%d or later",
                  where, version, MAJOR_MIN, MINOR_MIN);
        return REDIS_UNFIT;
    }
    if (policy[0] == '\0') {
        error_set(error,
                  "maxmemory-policy of Redis at %s cannot be read: make sure that it is "
                  "noeviction, or counts can vanish",
                  where);
        return REDIS_FIT_UNKNOWN;
    }
    if (strcmp(policy, "noeviction") == 0) return REDIS_FIT;
    error_set(
        error,
        "maxmemory-policy of Redis at %s is %s, with which it may drop counts: "
        "set it to noeviction (redis-cli CONFIG SET maxmemory-policy noeviction; where CONFIG "
        "is not allowed, in the parameters of the managed service)",
        where, policy);
    return REDIS_UNFIT;
}

enum redis_fitness redis_fitness_look(struct redis_link *link, struct error *error) {
    struct redis_reply *reply = redis_link_call(link, error, "INFO");
    if (reply == NULL) return REDIS_UNREACHED;
    const bool is_text = redis_reply_kind(reply) == REDIS_TEXT;
    const char *info = is_text ? redis_reply_text(reply).bytes : "";
    const enum redis_fitness fitness = strstr(info, "redis_mode:sentinel") != NULL
                                           ? reject_sentinel(link, error)
                                           : judge(info, redis_link_name(link), error);
    redis_reply_destroy(&reply);
    return fitness;
}
