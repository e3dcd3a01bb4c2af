/* The protocol's side of Redis. A call is built as one EVALSHA; Redis that has not seen the script
 * (restarted, SCRIPT FLUSH) answers NOSCRIPT and gets the text by EVAL, which it then knows. */
#include "edge/redis_store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "edge/redis_command.h"
#include "edge/redis_fault.h"
#include "edge/redis_link.h"
#include "edge/redis_snapshot.h"
#include "scripts.h" /* made from checkpoint.lua and snapshot.lua */

enum { SHA_BYTES = 40 };
enum {
    KEY_OFFSETS,
    KEY_META,
    KEY_REJECTED,
    KEY_ANOMALIES,
    KEY_DAYS,
    KEY_OTHER_DAYS,
    KEY_DIMENSIONS
};

struct redis_store {
    struct redis_store_options options;
    struct redis_link *link;
    bool is_ill_set_up;           /* the last answer was REDIS_FAULT_SETUP */
    bool is_replica;              /* what it is connected to: the next call connects anew */
    struct redis_command command; /* the one being built; its memory is used again */
    char sha[48];                 /* of checkpoint.lua, "" until Redis said it on this connection */
    char keys[KEY_DIMENSIONS + LOGIN_DIMENSIONS_MAX][256];
};

struct redis_store *redis_store_create(const struct redis_store_options *options,
                                       struct error *error) {
    struct redis_store *store = memory_create(sizeof *store);
    store->options = *options;
    static const char *const names[] = {"offsets",   "meta",       "rejected_counts",
                                        "anomalies", "login_days", "login_counts:__other__"};
    for (unsigned i = 0; i < KEY_DIMENSIONS; i++) {
        snprintf(store->keys[i], sizeof store->keys[i], "%s:%s", options->prefix, names[i]);
    }
    for (unsigned d = 0; d < options->dimension_count; d++) {
        snprintf(store->keys[KEY_DIMENSIONS + d], sizeof store->keys[0], "%s:%s_counts",
                 options->prefix, options->dimensions[d]);
    }
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

static bool begins(const char *text, const char *word) {
    return strncmp(text, word, strlen(word)) == 0;
}

/* An error reply, turned into what the caller must do. */
static enum store_verdict judge_error(struct redis_store *store, const char *text,
                                      struct error *error) {
    const enum redis_fault fault =
        redis_fault_judge(text, redis_link_name(store->link), store->options.prefix, error);
    store->is_ill_set_up = fault == REDIS_FAULT_SETUP;
    /* After a failover the old connection may lead to what is a replica now. */
    if (fault == REDIS_FAULT_REPLICA) store->is_replica = true;
    return fault == REDIS_FAULT_DATA ? STORE_REFUSED : STORE_RETRY;
}

/* At start, what somebody must set up otherwise is refused; later it is waited for. */
static enum store_verdict refuse_setup(const struct redis_store *store) {
    return store->is_ill_set_up ? STORE_REFUSED : STORE_RETRY;
}

static bool open_link(struct redis_store *store, struct error *error) {
    if (store->is_replica) redis_link_close(store->link);
    store->is_replica = false;
    const bool is_open = redis_link_open(store->link, error);
    store->is_ill_set_up = redis_link_is_refused(store->link);
    if (!is_open) store->sha[0] = '\0';
    return is_open;
}

/* maxmemory-policy by CONFIG GET, or by INFO where CONFIG is not allowed. Answers false if neither
 * can be read. */
static bool read_policy(struct redis_store *store, char *policy, size_t bytes,
                        struct error *error) {
    const char *config[] = {"CONFIG", "GET", "maxmemory-policy"};
    redisReply *reply = redis_link_call(store->link, error, 3, config);
    if (reply == NULL) return false;
    bool is_known = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                    reply->element[1]->type == REDIS_REPLY_STRING;
    if (is_known) snprintf(policy, bytes, "%s", reply->element[1]->str);
    freeReplyObject(reply);
    if (is_known) return true;

    const char *info[] = {"INFO", "memory"};
    reply = redis_link_call(store->link, error, 2, info);
    if (reply == NULL) return false;
    const char *line =
        reply->type == REDIS_REPLY_STRING ? strstr(reply->str, "maxmemory_policy:") : NULL;
    if (line != NULL) {
        line += strlen("maxmemory_policy:");
        snprintf(policy, bytes, "%.*s", (int)strcspn(line, "\r\n"), line);
    }
    freeReplyObject(reply);
    return line != NULL;
}

static enum store_verdict refuse_offset(struct redis_store *store, const char *found,
                                        struct error *error) {
    error_set(error,
              "the key %s in Redis at %s holds \"%.40s\" for a partition, which is no offset: "
              "someone else wrote it; restore a copy from before, or delete all keys under "
              "\"%s\", and rollcall counts them anew from Kafka",
              store->keys[KEY_OFFSETS], redis_link_name(store->link), found, store->options.prefix);
    return STORE_REFUSED;
}

static enum store_verdict refuse_answer(struct redis_store *store, const redisReply *reply,
                                        struct error *error) {
    const char *kind = reply->element[0]->str, *what = reply->element[1]->str;
    if (strcmp(kind, "foreign") == 0) {
        const char *ours = strcmp(what, "group") == 0      ? store->options.group
                           : strcmp(what, "topic") == 0    ? store->options.topic
                           : strcmp(what, "topic_id") == 0 ? store->options.topic_id
                                                           : "1";
        error_set(error,
                  "the prefix \"%s\" in Redis at %s belongs to %s \"%s\", and this is %s \"%s\": "
                  "choose another redis.prefix, or delete the keys under it to count anew",
                  store->options.prefix, redis_link_name(store->link), what, reply->element[2]->str,
                  what, ours);
    } else if (strcmp(kind, "torn") == 0) {
        error_set(
            error,
            "Redis at %s has read a part of a checkpoint that it had dropped before, so some "
            "counts under \"%s\" are too high (its append-only file had been cut, and it was "
            "started twice since): restore a copy from before, from which rollcall counts on, "
            "or delete all keys under the prefix, and rollcall counts them anew from Kafka",
            redis_link_name(store->link), store->options.prefix);
    } else if (strcmp(kind, "odd") == 0) {
        return refuse_offset(store, what, error);
    } else if (strcmp(kind, "partial") == 0) {
        error_set(error,
                  "Redis at %s lost the key %s but kept others under its prefix (evicted or "
                  "deleted?): counting on would be wrong; set maxmemory-policy noeviction, delete "
                  "all keys under \"%s\", and rollcall counts them anew from Kafka",
                  redis_link_name(store->link), what, store->options.prefix);
    } else {
        error_set(error,
                  "the key %s in Redis at %s is a %s, which rollcall does not write "
                  "(WRONGTYPE): delete it or choose another redis.prefix",
                  what, redis_link_name(store->link), reply->element[2]->str);
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

/* Takes an answer of checkpoint.lua. False: it gives none such. */
static bool take_answer(struct redis_store *store, struct store_call *call, const redisReply *reply,
                        struct error *error) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2) return false;
    for (size_t i = 0; i < reply->elements && i < 2; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING) return false;
    }
    const char *kind = reply->element[0]->str;
    int64_t stored = CURSOR_ABSENT;
    if (strcmp(kind, "stored") == 0) {
        if (!read_offset(reply->element[1], &stored) || stored != call->end) return false;
        if (!read_anomalies(reply, call)) return false;
    } else if (strcmp(kind, "kept") == 0) {
        const bool is_none = strcmp(reply->element[1]->str, "none") == 0;
        if (!is_none && !read_offset(reply->element[1], &stored)) return false;
    } else {
        const bool has_third = reply->elements > 2 && reply->element[2]->type == REDIS_REPLY_STRING;
        const bool is_denied = strcmp(kind, "denied") == 0;
        const bool needs_third =
            is_denied || strcmp(kind, "foreign") == 0 || strcmp(kind, "wrongtype") == 0;
        const bool is_known = needs_third || strcmp(kind, "torn") == 0 ||
                              strcmp(kind, "partial") == 0 || strcmp(kind, "odd") == 0;
        if (!is_known || (needs_third && !has_third)) return false;
        if (!is_denied) {
            call->verdict = refuse_answer(store, reply, error);
            return true;
        }
        error_set(error,
                  "Redis at %s denies checkpoint.lua %s on %s (NOPERM): redis-cli ACL SETUSER "
                  "<user> '~%s:*' +%s",
                  redis_link_name(store->link), reply->element[1]->str, reply->element[2]->str,
                  store->options.prefix, reply->element[1]->str);
        store->is_ill_set_up = true;
        call->verdict = STORE_RETRY;
        return true;
    }
    call->verdict = STORE_OK;
    call->stored = stored;
    return true;
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

/* Reads one answer into the call; the script's text was unknown if *no_script. */
static void read_answer(struct redis_store *store, struct store_call *call, bool *no_script,
                        struct error *error) {
    *no_script = false;
    call->verdict = STORE_RETRY;
    call->anomaly_count = 0;
    redisReply *reply = redis_link_receive(store->link, error);
    if (reply == NULL) return;
    if (reply->type == REDIS_REPLY_ERROR) {
        *no_script = begins(reply->str, "NOSCRIPT");
        if (!*no_script) call->verdict = judge_error(store, reply->str, error);
    } else if (!take_answer(store, call, reply, error)) {
        call->anomaly_count = 0;
        refuse_odd(store, "checkpoint.lua", error);
    }
    freeReplyObject(reply);
}

static const char *offset_text(int64_t offset, char text[24]) {
    if (offset == CURSOR_ABSENT) return "none";
    if (offset == CURSOR_UNKNOWN) return "unknown";
    snprintf(text, 24, "%lld", (long long)offset);
    return text;
}

enum { MINUTES_A_DAY = 24 * 60 };

/* What a call counts: how many entries each field has, and the minutes, oldest first. */
struct shape {
    uint32_t field_entries[DELTA_FIELD_COUNT];
    struct minute {
        int64_t minute; /* since 1970 */
        int64_t count;
    } * minutes;
    uint32_t day_count;
};

static int compare_minutes(const void *a, const void *b) {
    const struct minute *left = a, *right = b;
    return (left->minute > right->minute) - (left->minute < right->minute);
}

static bool begins_day(const struct shape *shape, uint32_t m) {
    return m == 0 ||
           shape->minutes[m].minute / MINUTES_A_DAY != shape->minutes[m - 1].minute / MINUTES_A_DAY;
}

/* Sorted, so that minutes all over the ages cost no more than those of one day. */
static struct shape measure(const struct store_call *call) {
    struct shape shape = {0};
    uint32_t entry_count = 0, minute_count = 0;
    for (size_t i = 0; i < call->delta_count; i++)
        entry_count += call->deltas[i]->entry_count;
    shape.minutes = memory_create((entry_count + 1) * sizeof *shape.minutes);
    for (size_t i = 0; i < call->delta_count; i++) {
        const struct delta *delta = call->deltas[i];
        for (uint32_t e = 0; e < delta->entry_count; e++) {
            const struct delta_entry *entry = &delta->entries[e];
            shape.field_entries[entry->field]++;
            if (entry->field != DELTA_MINUTE) continue;
            shape.minutes[minute_count++] =
                (struct minute){delta_number(delta_key(delta, entry)), entry->count};
        }
    }
    qsort(shape.minutes, minute_count, sizeof *shape.minutes, compare_minutes);
    for (uint32_t m = 0; m < minute_count; m++)
        shape.day_count += begins_day(&shape, m);
    return shape;
}

/* Puts n and n pairs for the entries of one field, but for minutes. */
static void put_pairs(struct redis_command *command, const struct store_call *call, unsigned field,
                      uint32_t pair_count) {
    redis_command_put_int(command, pair_count);
    for (size_t i = 0; pair_count > 0 && i < call->delta_count; i++) {
        const struct delta *delta = call->deltas[i];
        for (uint32_t e = 0; e < delta->entry_count; e++) {
            const struct delta_entry *entry = &delta->entries[e];
            if (entry->field != field) continue;
            struct delta_key key = delta_key(delta, entry);
            if (field == DELTA_REJECTED) {
                const char *reason = login_reason_name((enum login_reason)delta_number(key));
                redis_command_put(command, reason, strlen(reason));
            } else {
                redis_command_put(command, key.bytes, key.length);
            }
            redis_command_put_int(command, entry->count);
        }
    }
}

static void put_day_keys(struct redis_command *command, const struct shape *shape,
                         const char *prefix) {
    char text[300], day_name[LOGIN_DAY_BYTES];
    for (uint32_t m = 0; m < shape->field_entries[DELTA_MINUTE]; m++) {
        if (!begins_day(shape, m)) continue;
        login_day_format(shape->minutes[m].minute, day_name);
        snprintf(text, sizeof text, "%s:login_counts:%s", prefix, day_name);
        redis_command_put_text(command, text);
    }
}

/* Puts for each day its name, n, and n pairs. */
static void put_days(struct redis_command *command, const struct shape *shape) {
    const uint32_t minute_count = shape->field_entries[DELTA_MINUTE];
    char day_name[LOGIN_DAY_BYTES], time_name[LOGIN_MINUTE_BYTES];
    for (uint32_t m = 0; m < minute_count; m++) {
        if (begins_day(shape, m)) {
            uint32_t end = m + 1;
            while (end < minute_count && !begins_day(shape, end))
                end++;
            login_day_format(shape->minutes[m].minute, day_name);
            redis_command_put_text(command, day_name);
            redis_command_put_int(command, end - m);
        }
        login_minute_format(shape->minutes[m].minute, time_name);
        redis_command_put_text(command, time_name);
        redis_command_put_int(command, shape->minutes[m].count);
    }
}

/* Builds the command of a call: the layout is the one that checkpoint.lua states. */
static void put_call(struct redis_store *store, const struct store_call *call, bool by_text) {
    struct redis_command *command = &store->command;
    const struct redis_store_options *options = &store->options;
    unsigned key_count = KEY_DIMENSIONS + options->dimension_count;
    struct shape shape = measure(call);
    char text[24];

    redis_command_clear(command);
    redis_command_put_text(command, by_text ? "EVAL" : "EVALSHA");
    redis_command_put_text(command, by_text ? checkpoint_lua : store->sha);
    redis_command_put_int(command, (int64_t)key_count + shape.day_count);
    for (unsigned i = 0; i < key_count; i++)
        redis_command_put_text(command, store->keys[i]);
    put_day_keys(command, &shape, options->prefix);
    redis_command_put_int(command, call->partition);
    redis_command_put_text(command, offset_text(call->base, text));
    redis_command_put_text(command, offset_text(call->end, text));
    redis_command_put_int(command, REDIS_STORE_SCHEMA);
    redis_command_put_text(command, options->group);
    redis_command_put_text(command, options->topic);
    redis_command_put_text(command, options->topic_id);
    redis_command_put_int(command, options->threshold);
    redis_command_put_int(command, options->max_values);
    redis_command_put_int(command, options->retention_days * 24 * 3600);
    redis_command_put_int(command, (int64_t)time(NULL));
    redis_command_put_int(command, options->max_days);
    redis_command_put_int(command, options->dimension_count);
    for (unsigned d = 0; d < options->dimension_count; d++) {
        put_pairs(command, call, d, shape.field_entries[d]);
    }
    put_pairs(command, call, DELTA_REJECTED, shape.field_entries[DELTA_REJECTED]);
    put_days(command, &shape);
    free(shape.minutes);
}

/* Asks Redis for the script's name (SCRIPT LOAD also teaches it the text). */
static bool learn_sha(struct redis_store *store, struct error *error) {
    if (store->sha[0] != '\0') return true;
    const char *load[] = {"SCRIPT", "LOAD", checkpoint_lua};
    redisReply *reply = redis_link_call(store->link, error, 3, load);
    if (reply == NULL) return false;
    bool is_good = reply->type == REDIS_REPLY_STRING && reply->len == SHA_BYTES;
    if (is_good) {
        snprintf(store->sha, sizeof store->sha, "%s", reply->str);
    } else if (reply->type == REDIS_REPLY_ERROR) {
        judge_error(store, reply->str, error);
    } else {
        refuse_odd(store, "SCRIPT LOAD", error);
    }
    freeReplyObject(reply);
    return is_good;
}

static bool send_call(struct redis_store *store, const struct store_call *call, bool by_text) {
    put_call(store, call, by_text);
    return redis_link_send(store->link, store->command.argument_count,
                           redis_command_arguments(&store->command), store->command.lengths);
}

void redis_store_apply(struct redis_store *store, struct store_call *calls, size_t count,
                       struct error *error) {
    for (size_t i = 0; i < count; i++)
        calls[i].verdict = STORE_RETRY;
    if (!open_link(store, error) || !learn_sha(store, error)) return;

    size_t sent = 0;
    while (sent < count && send_call(store, &calls[sent], false))
        sent++;
    bool is_script_gone = false, is_first = true;
    struct error later; /* once a connection broke, all that follows is its echo */
    for (size_t i = 0; i < sent; i++) {
        bool no_script = false;
        read_answer(store, &calls[i], &no_script, is_first ? error : &later);
        is_first &= calls[i].verdict == STORE_OK || no_script;
        is_script_gone |= no_script;
    }
    for (size_t i = 0; is_script_gone && i < sent; i++) {
        bool no_script = false;
        if (calls[i].verdict != STORE_RETRY || !open_link(store, error)) continue;
        if (send_call(store, &calls[i], true)) read_answer(store, &calls[i], &no_script, error);
    }
}

enum store_verdict redis_store_check(struct redis_store *store, struct error *warning,
                                     struct error *error) {
    char policy[64] = "";
    error_set(warning, "%s", "");
    if (!open_link(store, error)) return refuse_setup(store);
    if (!read_policy(store, policy, sizeof policy, error)) {
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
    redis_command_put_text(command, store->keys[KEY_OFFSETS]);
    for (size_t i = 0; i < count; i++)
        redis_command_put_int(command, partitions[i]);
    if (!redis_link_send(store->link, command->argument_count, redis_command_arguments(command),
                         command->lengths)) {
        error_set(error, "out of memory");
        return STORE_RETRY;
    }
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

enum store_verdict redis_store_snapshot(struct redis_store *store, struct text *json,
                                        struct error *error) {
    if (!open_link(store, error)) return refuse_setup(store);
    return redis_snapshot_read(store->link, store->options.prefix, store->options.dimensions,
                               store->options.dimension_count, json, error);
}
