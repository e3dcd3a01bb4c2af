#include "edge/redis_fault.h"

#include <stdio.h>
#include <string.h>

#include "scripts.h" /* made from checkpoint.lua and snapshot.lua */

#define FIX_LOGIN                                                                                  \
    "set user and password in redis.url or redis.url_file, with '/' in them as %2F, '@' as %40 "   \
    "and '%' as %25"

static const struct {
    const char *begin; /* of the reply */
    enum redis_fault fault;
    const char *fix; /* %s is the prefix */
} known[] = {
    {"WRONGTYPE", REDIS_FAULT_DATA,
     "a key under the prefix \"%s\" is of another type than rollcall writes: delete it or choose "
     "another redis.prefix"},
    {"OOM", REDIS_FAULT_PASSING,
     "it is full: raise its maxmemory (redis-cli CONFIG SET maxmemory ...) or delete keys that are "
     "not under \"%s\"; until then nothing is counted, and nothing is lost"},
    {"MISCONF", REDIS_FAULT_PASSING,
     "it cannot save to its disk and takes no writes: fix what its log names; until then nothing "
     "is counted under \"%s\", and nothing is lost"},
    {"BUSY", REDIS_FAULT_PASSING,
     "another script holds it up: redis-cli SCRIPT KILL ends one that has not written anything"},
    {"LOADING", REDIS_FAULT_PASSING, "it is reading its data, and will answer once that is done"},
    {"READONLY", REDIS_FAULT_REPLICA, "it is a replica: redis.url must lead to the master"},
    {"MASTERDOWN", REDIS_FAULT_REPLICA, "it is a replica: redis.url must lead to the master"},
    {"MOVED", REDIS_FAULT_REPLICA,
     "the keys under \"%s\" are on the node of the cluster that it names, after the slot"},
    {"ASK", REDIS_FAULT_REPLICA, "the slot of \"%s\" is moving to the node that it names"},
    {"TRYAGAIN", REDIS_FAULT_PASSING, "the slot of \"%s\" is moving to another node"},
    {"CROSSSLOT", REDIS_FAULT_SETUP,
     "in a cluster all keys must be on one slot: put braces into redis.prefix, as in {%s}"},
    {"CLUSTERDOWN", REDIS_FAULT_REPLICA,
     "a part of the cluster is gone or has no slots: see redis-cli --cluster check"},
    {"NOAUTH", REDIS_FAULT_SETUP, FIX_LOGIN},
    {"WRONGPASS", REDIS_FAULT_SETUP, FIX_LOGIN},
    {"ERR invalid password", REDIS_FAULT_SETUP, FIX_LOGIN},
    {"ERR AUTH <password> called without any password", REDIS_FAULT_SETUP,
     "this Redis has no password: remove it from redis.url, or set requirepass"},
    {"ERR wrong number of arguments for 'auth'", REDIS_FAULT_SETUP,
     "this Redis knows no users (it is older than 6.0): leave the user out of redis.url"},
    {"ERR Client sent AUTH, but no password is set", REDIS_FAULT_SETUP,
     "this Redis has no password: remove it from redis.url, or set requirepass"},
    {"DENIED", REDIS_FAULT_SETUP, "it is in protected mode: give it a password, and redis.url too"},
};

const char *redis_fault_rights(void) {
    return script_rights;
}

/* The rule that a denied command or key lacks. The wording differs between versions, and within a
 * script; where it does not name the command, all of them are listed. */
static void grant(const char *text, const char *where, const char *prefix, struct error *error) {
    char rule[400] = script_rights, name[40], end;
    if (strstr(text, " key") != NULL) {
        snprintf(rule, sizeof rule, "~%.200s:*", prefix);
    } else if (strstr(text, "channel") != NULL) {
        snprintf(rule, sizeof rule, "allchannels");
    } else if (sscanf(text, "%*[^']'%39[^']%c", name, &end) == 2 && end == '\'') {
        snprintf(rule, sizeof rule, "+%s", name);
    }
    error_set(error,
              "Redis at %s answered: %.200s; the user in redis.url (\"default\" if it names none) "
              "lacks a right: redis-cli ACL SETUSER <user> '%s'",
              where, text, rule);
}

/* Outside of a script; in one up to Redis 7.0; and in one since 7.2. */
static bool is_denied(const char *text) {
    return strncmp(text, "NOPERM", 6) == 0 || strstr(text, "executing the script can't") != NULL ||
           strstr(text, "ACL failure in script") != NULL;
}

enum redis_fault redis_fault_judge(const char *text, const char *where, const char *prefix,
                                   struct error *error) {
    if (is_denied(text)) {
        grant(text, where, prefix, error);
        return REDIS_FAULT_SETUP;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        /* Within a script an older Redis answers "ERR Error running script ... -OOM ...". */
        char inner[32];
        snprintf(inner, sizeof inner, "-%s ", known[i].begin);
        if (strncmp(text, known[i].begin, strlen(known[i].begin)) != 0 &&
            strstr(text, inner) == NULL) {
            continue;
        }
        const char *fix = known[i].fix, *place = strstr(fix, "%s");
        const int before = place == NULL ? (int)strlen(fix) : (int)(place - fix);
        error_set(error, "Redis at %s answered: %.300s; %.*s%s%s", where, text, before, fix,
                  place == NULL ? "" : prefix, place == NULL ? "" : place + 2);
        return known[i].fault;
    }
    error_set(error, "Redis at %s answered: %.300s", where, text);
    return REDIS_FAULT_PASSING;
}
