/* The protocol's side of Redis. A call is one EVALSHA; Redis that has not seen the script (restarted,
 * SCRIPT FLUSH) answers NOSCRIPT and gets the text by EVAL, which it then knows. */
#include "edge/redis_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "edge/redis_checkpoint.h"
#include "edge/redis_command.h"
#include "edge/redis_fault.h"
#include "edge/redis_link.h"

struct redis_store {
    struct redis_store_options options;
    struct redis_link *link;
    enum redis_fault fault;       /* of the last answer; REDIS_FAULT_PASSING is none too */
    struct redis_command command; /* the one being built; its memory is used again */
};

struct redis_store *redis_store_create(const struct redis_store_options *options,
                                       struct error *error) {
    struct redis_store *store = memory_create(sizeof *store);
    store->options = *options;
    store->link = redis_link_create(options->url, options->timeout_ms, error);
    if (store->link == NULL) redis_store_destroy(&store);
    return store;
}

void redis_store_destroy(struct redis_store **store) {
    if (*store == NULL) return;
    redis_link_destroy(&(*store)->link);
    redis_command_release(&(*store)->command);
    free(*store);
    *store = NULL;
}

const char *redis_store_name(const struct redis_store *store) {
    return redis_link_name(store->link);
}

/* An error reply, turned into what the caller must do. */
static enum store_verdict judge_error(struct redis_store *store, const char *text,
                                      struct error *error) {
    store->fault =
        redis_fault_judge(text, redis_link_name(store->link), store->options.prefix, error);
    return store->fault == REDIS_FAULT_DATA ? STORE_REFUSED : STORE_RETRY;
}

/* At start, what somebody must set up otherwise is refused; later it is waited for. */
static enum store_verdict refuse_setup(const struct redis_store *store) {
    return store->fault == REDIS_FAULT_SETUP ? STORE_REFUSED : STORE_RETRY;
}

static bool open_link(struct redis_store *store, struct error *error) {
    /* After a failover the old connection leads to what is a replica now. */
    if (store->fault == REDIS_FAULT_REPLICA) redis_link_close(store->link);
    const bool is_open = redis_link_open(store->link, error);
    store->fault = redis_link_is_refused(store->link) ? REDIS_FAULT_SETUP : REDIS_FAULT_PASSING;
    return is_open;
}

/* What is not from Redis, or not from this script, spoils the order of the replies behind it. */
static enum store_verdict refuse_odd(struct redis_store *store, const char *command,
                                     struct error *error) {
    error_set(error,
              "Redis at %s gave an answer to %s that Redis does not give: is it Redis that "
              "redis.url leads to?",
              redis_link_name(store->link), command);
    redis_link_close(store->link);
    return STORE_RETRY;
}

static enum store_verdict refuse_offset(struct redis_store *store, const char *found,
                                        struct error *error) {
    error_set(
        error,
        "the key %s:offsets in Redis at %s holds \"%.40s\" for a partition, which is no offset: "
        "someone else wrote it; restore a copy from before, or delete all keys under "
        "\"%s\", and rollcall counts them anew from Kafka",
        store->options.prefix, redis_link_name(store->link), found, store->options.prefix);
    return STORE_REFUSED;
}

/* An answer of checkpoint.lua that changed nothing, by what it says that it found. */
static enum store_verdict refuse_answer(struct redis_store *store, const redisReply *reply,
                                        struct error *error) {
    const struct redis_store_options *options = &store->options;
    const char *where = redis_link_name(store->link), *prefix = options->prefix;
    const char *kind = reply->element[0]->str, *what = reply->element[1]->str;
    const bool has_third = reply->elements > 2 && reply->element[2]->type == REDIS_REPLY_STRING;
    const char *third = has_third ? reply->element[2]->str : NULL;
    if (strcmp(kind, "odd") == 0) return refuse_offset(store, what, error);
    if (strcmp(kind, "torn") == 0) {
        error_set(
            error,
            "Redis at %s has read a part of a checkpoint that it had dropped before, so some "
            "counts under \"%s\" are too high (its append-only file had been cut, and it was "
            "started twice since): restore a copy from before, from which rollcall counts on, "
            "or delete all keys under the prefix, and rollcall counts them anew from Kafka",
            where, prefix);
    } else if (strcmp(kind, "partial") == 0) {
        error_set(error,
                  "Redis at %s lost the key %s but kept others under its prefix (evicted or "
                  "deleted?): counting on would be wrong; set maxmemory-policy noeviction, delete "
                  "all keys under \"%s\", and rollcall counts them anew from Kafka",
                  where, what, prefix);
    } else if (third != NULL && strcmp(kind, "foreign") == 0) {
        const char *ours = strcmp(what, "group") == 0      ? options->group
                           : strcmp(what, "topic") == 0    ? options->topic
                           : strcmp(what, "topic_id") == 0 ? options->topic_id
                                                           : "1";
        error_set(error,
                  "the prefix \"%s\" in Redis at %s belongs to %s \"%s\", and this is %s \"%s\": "
                  "choose another redis.prefix, or delete the keys under it to count anew",
                  prefix, where, what, third, what, ours);
    } else if (third != NULL && strcmp(kind, "wrongtype") == 0) {
        error_set(error,
                  "the key %s in Redis at %s is a %s, which rollcall does not write "
                  "(WRONGTYPE): delete it or choose another redis.prefix",
                  what, where, third);
    } else if (third != NULL && strcmp(kind, "denied") == 0) {
        error_set(error,
                  "Redis at %s denies checkpoint.lua %s on %s (NOPERM): redis-cli ACL SETUSER "
                  "<user> '~%s:*' +%s",
                  where, what, third, prefix, what);
        store->fault = REDIS_FAULT_SETUP;
        return STORE_RETRY;
    } else {
        return refuse_odd(store, "checkpoint.lua", error);
    }
    return STORE_REFUSED;
}

/* Reads a whole number of 0 or more and nothing else. */
static bool read_offset(const redisReply *reply, int64_t *offset) {
    if (reply->type != REDIS_REPLY_STRING || reply->len == 0 || reply->len > 18 ||
        strspn(reply->str, "0123456789") != reply->len) {
        return false;
    }
    *offset = strtoll(reply->str, NULL, 10);
    return true;
}

/* What follows the first two words of "stored": minute, count, ... */
static bool read_anomalies(const redisReply *reply, struct store_call *call) {
    if (reply->elements % 2 != 0) return false;
    for (size_t i = 2; i < reply->elements; i += 2) {
        const redisReply *minute = reply->element[i], *count = reply->element[i + 1];
        if (minute->type != REDIS_REPLY_STRING || count->type != REDIS_REPLY_INTEGER) return false;
        if (call->anomaly_count == REDIS_STORE_ANOMALIES_MAX) continue;
        struct store_anomaly *anomaly = &call->anomalies[call->anomaly_count++];
        snprintf(anomaly->minute, sizeof anomaly->minute, "%s", minute->str);
        anomaly->count = count->integer;
    }
    return true;
}

/* Takes an answer of checkpoint.lua. */
static enum store_verdict take_answer(struct redis_store *store, struct store_call *call,
                                      const redisReply *reply, struct error *error) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING) {
        return refuse_odd(store, "checkpoint.lua", error);
    }
    const char *kind = reply->element[0]->str;
    const bool is_stored = strcmp(kind, "stored") == 0;
    if (!is_stored && strcmp(kind, "kept") != 0) return refuse_answer(store, reply, error);
    call->stored = CURSOR_ABSENT;
    const bool is_none = !is_stored && strcmp(reply->element[1]->str, "none") == 0;
    const bool is_read = is_none || read_offset(reply->element[1], &call->stored);
    if (is_read && (!is_stored || (call->stored == call->end && read_anomalies(reply, call)))) {
        return STORE_OK;
    }
    call->anomaly_count = 0;
    return refuse_odd(store, "checkpoint.lua", error);
}

/* Reads one answer into the call. True: Redis does not know the script. */
static bool read_answer(struct redis_store *store, struct store_call *call, struct error *error) {
    call->anomaly_count = 0;
    redisReply *reply = redis_link_receive(store->link, error);
    if (reply == NULL) return false;
    const bool is_error = reply->type == REDIS_REPLY_ERROR;
    const bool is_unknown = is_error && strncmp(reply->str, "NOSCRIPT", 8) == 0;
    if (!is_unknown) {
        call->verdict = is_error ? judge_error(store, reply->str, error)
                                 : take_answer(store, call, reply, error);
    }
    freeReplyObject(reply);
    return is_unknown;
}

static bool send_call(struct redis_store *store, const struct store_call *call, bool by_text,
                      struct error *error) {
    redis_checkpoint_make(&store->command, &store->options, call, by_text);
    return redis_link_send(store->link, &store->command, error);
}

void redis_store_apply(struct redis_store *store, struct store_call *calls, size_t count,
                       struct error *error) {
    for (size_t i = 0; i < count; i++)
        calls[i].verdict = STORE_RETRY;
    if (!open_link(store, error)) return;

    size_t sent = 0;
    while (sent < count && send_call(store, &calls[sent], false, error))
        sent++;
    bool is_script_gone = false, is_first = true;
    struct error later; /* once a connection broke, all that follows is its echo */
    for (size_t i = 0; i < sent; i++) {
        const bool is_unknown = read_answer(store, &calls[i], is_first ? error : &later);
        is_first &= calls[i].verdict == STORE_OK || is_unknown;
        is_script_gone |= is_unknown;
    }
    for (size_t i = 0; is_script_gone && i < sent; i++) {
        if (calls[i].verdict != STORE_RETRY || !open_link(store, error)) continue;
        if (send_call(store, &calls[i], true, error)) read_answer(store, &calls[i], error);
    }
}

enum store_verdict redis_store_check(struct redis_store *store, struct error *warning,
                                     struct error *error) {
    char policy[64] = "";
    error_set(warning, "%s", "");
    if (!open_link(store, error)) return refuse_setup(store);
    if (!redis_link_info(store->link, "maxmemory_policy:", policy, sizeof policy, error)) {
        error_set(warning,
                  "maxmemory-policy of Redis at %s cannot be read: see to it that it is "
                  "noeviction, or counts can vanish",
                  redis_link_name(store->link));
    } else if (strcmp(policy, "noeviction") != 0) {
        error_set(error,
                  "maxmemory-policy of Redis at %s is %s, under which it may drop counts: "
                  "set it to noeviction (redis-cli CONFIG SET maxmemory-policy noeviction)",
                  redis_link_name(store->link), policy);
        return STORE_REFUSED;
    }
    /* A call that never applies still looks at types and owner. */
    struct store_call probe = {.partition = 0, .base = CURSOR_UNKNOWN, .end = CURSOR_UNKNOWN};
    redis_store_apply(store, &probe, 1, error);
    return probe.verdict == STORE_RETRY ? refuse_setup(store) : probe.verdict;
}

enum store_verdict redis_store_offsets(struct redis_store *store, const int32_t *partitions,
                                       size_t count, int64_t *offsets, struct error *error) {
    if (count == 0) return STORE_OK;
    struct redis_command *command = &store->command;
    if (!open_link(store, error)) return STORE_RETRY;
    redis_command_clear(command);
    redis_command_put_text(command, "HMGET");
    redis_command_put_format(command, "%s:offsets", store->options.prefix);
    for (size_t i = 0; i < count; i++)
        redis_command_put_int(command, partitions[i]);
    if (!redis_link_send(store->link, command, error)) return STORE_RETRY;
    redisReply *reply = redis_link_receive(store->link, error);
    if (reply == NULL) return STORE_RETRY;
    enum store_verdict verdict = STORE_OK;
    if (reply->type == REDIS_REPLY_ERROR) {
        verdict = judge_error(store, reply->str, error);
    } else if (reply->type != REDIS_REPLY_ARRAY || reply->elements != count) {
        verdict = refuse_odd(store, "HMGET", error);
    } else {
        for (size_t i = 0; verdict == STORE_OK && i < count; i++) {
            offsets[i] = CURSOR_ABSENT;
            if (reply->element[i]->type == REDIS_REPLY_NIL) continue;
            if (!read_offset(reply->element[i], &offsets[i])) {
                const char *found = reply->element[i]->str;
                verdict = refuse_offset(store, found != NULL ? found : "", error);
            }
        }
    }
    freeReplyObject(reply);
    return verdict;
}
