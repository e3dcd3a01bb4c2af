/* The protocol's side of Redis. A call is one EVALSHA. Redis that does not know the script
 * (restarted, SCRIPT FLUSH) answers NOSCRIPT and gets the text by EVAL, which it then knows. A call
 * that pushes days out is answered by their names, and sent again with their keys. */
#include "edge/redis_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clamp.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/rules.h"
#include "edge/redis_fault.h"
#include "redis_answer.h"
#include "redis_call.h"
#include "redis_fitness.h"

/* Rounds of one call, until Redis knows the script and all days are declared. */
enum { ROUNDS_MAX = 8, WAIT_MS_MAX = 1000 };

struct redis_store {
    struct redis_store_options options;
    struct redis_link *link;
    unsigned fit_serial;      /* of the connection that leads to a fit server */
    struct error doubt;       /* what could not be looked at there, or "" */
    enum redis_fault fault;   /* of the last answer; REDIS_FAULT_PASSING is none too */
    struct redis_call call;   /* the one being made; its memory is used again */
    struct redis_days needed; /* what the last answer asked for */
    struct redis_rules rules;
    const struct store_call *leader;   /* of those under way; NULL: none of them has others */
    struct text others;                /* that the leader verifies too */
    char news[RULES_DIFFERENCE_BYTES]; /* dimensions that come or go, not yet reported; or "" */
};

/* What an answer asks for. */
enum demand { DEMAND_NONE, DEMAND_TEXT, DEMAND_DAYS, DEMAND_RULES, DEMAND_ALONE };

struct redis_store *redis_store_create(const struct redis_store_options *options,
                                       struct error *error) {
    struct redis_store *store = memory_create(sizeof *store);
    store->options = *options;
    store->rules.is_ours_next = true;
    store->link = redis_link_create(options->redis, error);
    if (store->link == NULL) redis_store_destroy(&store);
    return store;
}

void redis_store_destroy(struct redis_store **store) {
    if (*store == NULL) return;
    redis_link_destroy(&(*store)->link);
    redis_call_release(&(*store)->call);
    text_release(&(*store)->others);
    free((*store)->needed.names);
    free((*store)->rules.accepted);
    free(*store);
    *store = NULL;
}

const char *redis_store_name(const struct redis_store *store) {
    return redis_link_name(store->link);
}

bool redis_store_is_redirected(const struct redis_store *store) {
    return redis_link_is_redirected(store->link);
}

bool redis_store_must_be_set_up(const struct redis_store *store) {
    return store->fault == REDIS_FAULT_SETUP;
}

/* An error reply, turned into what the caller must do. */
static enum store_verdict judge_error(struct redis_store *store, const struct redis_reply *reply,
                                      struct error *error) {
    const char *text = redis_reply_text(reply).bytes, *where = redis_link_name(store->link);
    store->fault = redis_fault_judge(text, where, store->options.redis->prefix, error);
    if (strncmp(text, "MOVED ", 6) == 0 && !redis_link_is_cluster(store->link)) {
        error_set(error,
                  "Redis at %s is a node of a cluster and answered: %.300s; set redis.url to "
                  "redis+cluster://host:port,... with some of its nodes",
                  where, text);
        store->fault = REDIS_FAULT_SETUP;
    }
    return store->fault == REDIS_FAULT_DATA ? STORE_REFUSED : STORE_RETRY;
}

/* At start, what somebody must set up differently is refused; later it is waited for. */
static enum store_verdict refuse_setup(const struct redis_store *store) {
    return store->fault == REDIS_FAULT_SETUP ? STORE_REFUSED : STORE_RETRY;
}

/* Whether Redis may be written to; asked once for each connection, since it may lead to another
 * server, and again until the answer is yes. */
static bool is_fit(struct redis_store *store, struct error *error) {
    const unsigned serial = redis_link_serial(store->link);
    if (serial == store->fit_serial) return true;
    store->doubt.text[0] = '\0';
    switch (redis_fitness_look(store->link, error)) {
    case REDIS_UNFIT:
        store->fault = REDIS_FAULT_SETUP;
        return false;
    case REDIS_UNREACHED:
        return false;
    case REDIS_FIT_UNKNOWN:
        store->doubt = *error;
        if (store->fit_serial > 0) log_warn(error->text);
        break;
    case REDIS_FIT:
        break;
    }
    store->fit_serial = serial;
    return true;
}

static bool open_link(struct redis_store *store, struct error *error) {
    const bool is_open = redis_link_open(store->link, error);
    store->fault = redis_link_is_refused(store->link) ? REDIS_FAULT_SETUP : REDIS_FAULT_PASSING;
    return is_open && is_fit(store, error);
}

static enum store_verdict refuse_value(const struct redis_store *store, const char *key,
                                       const char *field, const char *value, struct error *error) {
    error_set(error,
              "the key %.300s in Redis at %s holds \"%.40s\" for %.130s, which rollcall does not "
              "write: restore a copy from before, or delete all keys under \"%s\", and rollcall "
              "counts again from Kafka",
              key, redis_link_name(store->link), value, field, store->options.redis->prefix);
    return STORE_REFUSED;
}

static enum store_verdict refuse_stored(const struct redis_store *store, const char *hash,
                                        int32_t partition, const char *value, struct error *error) {
    char key[256], field[16];
    snprintf(key, sizeof key, "%s:%s", store->options.redis->prefix, hash);
    snprintf(field, sizeof field, "%d", (int)partition);
    return refuse_value(store, key, field, value, error);
}

/* An answer of checkpoint.lua that changed nothing, by what it reports. */
static enum store_verdict refuse_answer(struct redis_store *store, const struct redis_reply *reply,
                                        struct error *error) {
    const struct redis_store_options *options = &store->options;
    const char *where = redis_link_name(store->link), *prefix = options->redis->prefix;
    const char *kind = redis_answer_word(reply, 0).bytes, *what = redis_answer_word(reply, 1).bytes;
    const char *theirs = redis_answer_word(reply, 2).bytes;
    const size_t count = redis_reply_is_texts(reply, 1) ? redis_reply_count(reply) : 0;
    if (count == 4 && strcmp(kind, "odd") == 0) {
        return refuse_value(store, what, theirs, redis_answer_word(reply, 3).bytes, error);
    } else if (count == 1 && strcmp(kind, "torn") == 0) {
        error_set(error,
                  "half of a checkpoint was applied in Redis at %s, or one twice, so some counts "
                  "under \"%s\" are wrong (a script was interrupted, or its append-only file had "
                  "been cut, and it was started twice since): restore a copy from before, from "
                  "which rollcall continues, or delete all keys under the prefix, and rollcall "
                  "counts again from Kafka",
                  where, prefix);
    } else if (count == 2 && strcmp(kind, "partial") == 0) {
        error_set(error,
                  "Redis at %s lost the key %s but kept others under its prefix (evicted or "
                  "deleted?), so to continue would count wrongly: set maxmemory-policy noeviction, "
                  "delete all keys under \"%s\", and rollcall counts again from Kafka",
                  where, what, prefix);
    } else if (count == 3 && strcmp(kind, "foreign") == 0) {
        const char *ours = strcmp(what, "group") == 0      ? options->group
                           : strcmp(what, "topic") == 0    ? options->topic
                           : strcmp(what, "topic_id") == 0 ? options->topic_id
                                                           : "1";
        error_set(error,
                  "the prefix \"%s\" in Redis at %s belongs to %s \"%s\", and this is %s \"%s\": "
                  "choose another redis.prefix, or delete the keys under it to count again",
                  prefix, where, what, theirs, what, ours);
    } else if (count == 3 && strcmp(kind, "wrongtype") == 0) {
        error_set(error,
                  "the key %s in Redis at %s is a %s, which rollcall does not write "
                  "(WRONGTYPE): delete it or choose another redis.prefix",
                  what, where, theirs);
    } else if (count == 3 && strcmp(kind, "denied") == 0) {
        error_set(error,
                  "Redis at %s denies checkpoint.lua the command %s on the key %.300s (NOPERM): "
                  "redis-cli ACL SETUSER <user> '~%s:*' +%s",
                  where, what, theirs, prefix, what);
        store->fault = REDIS_FAULT_SETUP;
        return STORE_RETRY;
    } else {
        return redis_answer_odd(store->link, "checkpoint.lua", error);
    }
    return STORE_REFUSED;
}

/* Other rules are stored. Such that differ only in which dimensions and declared counts there are,
 * are accepted; our own replace them with the first checkpoint, so that the last instance that
 * started is the one whose rules are stored. */
static enum demand take_rules(struct redis_store *store, struct store_call *call,
                              struct slice theirs, struct error *error) {
    char difference[RULES_DIFFERENCE_BYTES];
    const char *prefix = store->options.redis->prefix;
    const enum rules_verdict verdict =
        rules_compare(theirs.bytes, store->options.rules, difference);
    if (verdict == RULES_OTHER) {
        error_set(
            error,
            "the counts under \"%s\" in Redis at %s were made under other rules: %s. Set them "
            "back; or stop all instances, run `rollcall rebuild` with the new settings and "
            "start them with these; or choose another redis.prefix and consumer.group.id",
            prefix, redis_link_name(store->link), difference);
        call->verdict = STORE_REFUSED;
        return DEMAND_NONE;
    }
    if (verdict == RULES_OTHER_COUNTS) snprintf(store->news, sizeof store->news, "%s", difference);
    free(store->rules.accepted);
    store->rules.accepted = memory_text(theirs.bytes);
    return DEMAND_RULES;
}

/* Takes an answer of checkpoint.lua. */
static enum demand take_answer(struct redis_store *store, struct store_call *call,
                               const struct redis_reply *reply, struct error *error) {
    const char *kind = redis_answer_word(reply, 0).bytes;
    const struct slice offset = redis_answer_word(reply, 1);
    if (strcmp(kind, "need") == 0 && redis_answer_days(&store->needed, reply)) {
        error_set(error, "the days under \"%s\" in Redis at %s change too often for a checkpoint",
                  store->options.redis->prefix, redis_link_name(store->link));
        return DEMAND_DAYS;
    }
    if (strcmp(kind, "rules") == 0 && redis_reply_count(reply) == 2 && store->options.rules != NULL)
        return take_rules(store, call, redis_answer_word(reply, 1), error);
    if (strcmp(kind, "apart") == 0) return DEMAND_ALONE;
    call->stored = CURSOR_ABSENT;
    const bool is_stored = strcmp(kind, "stored") == 0 &&
                           redis_answer_offset(offset, &call->stored) &&
                           call->stored == call->end && redis_answer_anomalies(reply, call);
    const bool is_kept = strcmp(kind, "kept") == 0 && (strcmp(offset.bytes, "none") == 0 ||
                                                       redis_answer_offset(offset, &call->stored));
    call->stored_lineage = call->lineage;
    call->stored_origin = CURSOR_ABSENT;
    if (is_kept) redis_answer_offset(redis_answer_word(reply, 3), &call->stored_origin);
    const char *lineage = redis_answer_word(reply, 2).bytes;
    if (is_kept && !lineage_parse(lineage, &call->stored_lineage))
        call->verdict = refuse_stored(store, "lineages", call->partition, lineage, error);
    else
        call->verdict = is_stored || is_kept ? STORE_OK : refuse_answer(store, reply, error);
    if (is_stored) store->rules.is_ours_next = false;
    return DEMAND_NONE;
}

/* Reads one answer into the call. */
static enum demand read_answer(struct redis_store *store, struct store_call *call,
                               struct error *error) {
    enum demand demand = DEMAND_NONE;
    call->anomaly_count = 0;
    struct redis_reply *reply = redis_link_receive(store->link, error);
    if (reply == NULL) return DEMAND_NONE;
    if (redis_reply_kind(reply) != REDIS_ERROR)
        demand = take_answer(store, call, reply, error);
    else if (strncmp(redis_reply_text(reply).bytes, "NOSCRIPT", 8) == 0)
        demand = DEMAND_TEXT;
    else
        call->verdict = judge_error(store, reply, error);
    redis_reply_destroy(&reply);
    return demand;
}

static bool send_call(struct redis_store *store, const struct store_call *call, enum demand demand,
                      struct error *error) {
    if (demand != DEMAND_DAYS) store->needed.count = 0;
    redis_call_checkpoint(&store->call, &store->options, &store->rules, call,
                          call == store->leader ? text_string(&store->others) : "",
                          demand == DEMAND_TEXT, &store->needed);
    return redis_link_send(store->link, &store->call.command, error);
}

/* Sends a call by itself, as often as it takes. False: there is no connection. */
static bool send_alone(struct redis_store *store, struct store_call *call, struct error *error) {
    enum demand demand = DEMAND_TEXT;
    for (int i = 0; demand != DEMAND_NONE && i < ROUNDS_MAX; i++) {
        if (!open_link(store, error) || !send_call(store, call, demand, error)) return false;
        demand = read_answer(store, call, error);
    }
    return true;
}

/* Calls that only verify go together: the first of them, the leader, asks about all. */
static void choose_leader(struct redis_store *store, const struct store_call *calls, size_t count) {
    store->leader = NULL;
    text_clear(&store->others);
    for (size_t i = 0; i < count; i++) {
        if (!redis_call_verifies(&calls[i])) continue;
        if (store->leader == NULL)
            store->leader = &calls[i];
        else
            redis_call_put_other(&store->others, &calls[i]);
    }
}

/* Whether the leader asks for this call. */
static bool is_led(const struct redis_store *store, const struct store_call *call) {
    return store->leader != NULL && call != store->leader && redis_call_verifies(call);
}

/* The leader has its answer. False: those that it asked for need one of their own. */
static bool answer_led(const struct redis_store *store, struct store_call *calls, size_t count) {
    const bool is_good = store_call_is_stored(store->leader);
    for (size_t i = 0; is_good && i < count; i++) {
        if (!is_led(store, &calls[i])) continue;
        calls[i].verdict = STORE_OK;
        calls[i].stored = calls[i].end;
        calls[i].stored_lineage = calls[i].lineage;
        calls[i].stored_origin = CURSOR_ABSENT;
        calls[i].anomaly_count = 0;
    }
    return is_good;
}

/* Keeps what is to be reported: the first refusal, or else the first of all, since all that follows
 * on a broken connection is its echo. */
static void keep_worst(enum store_verdict *worst, enum store_verdict verdict,
                       const struct error *own, struct error *error) {
    if (verdict <= *worst) return;
    *worst = verdict;
    *error = *own;
}

static void apply_all(struct redis_store *store, struct store_call *calls, size_t count,
                      struct error *error) {
    struct error own = {""};
    enum store_verdict worst = STORE_OK;
    size_t sent = 0;
    bool is_again = false;
    choose_leader(store, calls, count);
    while (sent < count &&
           (is_led(store, &calls[sent]) || send_call(store, &calls[sent], DEMAND_NONE, &own)))
        sent++;
    if (sent < count) keep_worst(&worst, STORE_RETRY, &own, error);
    for (size_t i = 0; i < sent; i++) {
        if (is_led(store, &calls[i])) continue;
        const enum demand demand = read_answer(store, &calls[i], &own);
        is_again |= demand != DEMAND_NONE;
        if (demand == DEMAND_NONE) keep_worst(&worst, calls[i].verdict, &own, error);
        if (&calls[i] == store->leader && calls[i].verdict == STORE_OK)
            is_again |= !answer_led(store, calls, count);
    }
    store->leader = NULL;
    if (!is_again) return;
    if (worst == STORE_RETRY) worst = STORE_OK; /* these are sent again, too */
    bool is_connected = true;
    for (size_t i = 0; is_connected && i < count; i++) {
        if (calls[i].verdict != STORE_RETRY) continue;
        is_connected = send_alone(store, &calls[i], &own);
        keep_worst(&worst, calls[i].verdict, &own, error);
    }
}

/* Whether as many replicas as must have what was written on this connection, and on no other. */
static bool is_replicated(struct redis_store *store, unsigned serial, struct error *error) {
    const int wanted = store->options.redis->min_replicas;
    const int wait_ms = (int)clamp(store->options.redis->timeout_ms / 2, 0, WAIT_MS_MAX);
    if (redis_link_serial(store->link) != serial) return error_set(error, "the connection broke");
    struct redis_reply *reply = redis_link_call(store->link, error, "WAIT %d %d", wanted, wait_ms);
    if (reply == NULL) return false;
    const int64_t found = redis_reply_integer(reply);
    if (redis_reply_kind(reply) == REDIS_ERROR) {
        judge_error(store, reply, error);
    } else if (found < wanted) {
        error_set(error,
                  "of %d replicas that must have a checkpoint (redis.min_replicas), %d of Redis at "
                  "%s had it after %d ms: start more, or lower redis.min_replicas",
                  wanted, (int)found, redis_link_name(store->link), wait_ms);
    }
    redis_reply_destroy(&reply);
    return found >= wanted;
}

/* A call that is not on the replicas yet is made again: it is found applied, and waited for. */
void redis_store_apply(struct redis_store *store, struct store_call *calls, size_t count,
                       struct error *error) {
    struct error own = {""};
    bool is_any_good = false, is_refused = false;
    for (size_t i = 0; i < count; i++)
        calls[i].verdict = STORE_RETRY;
    if (!open_link(store, error)) return;
    const unsigned serial = redis_link_serial(store->link);
    apply_all(store, calls, count, error);
    if (store->options.redis->min_replicas == 0) return;
    for (size_t i = 0; i < count; i++) {
        is_any_good |= store_call_is_stored(&calls[i]);
        is_refused |= calls[i].verdict == STORE_REFUSED;
    }
    if (!is_any_good || is_replicated(store, serial, &own)) return;
    if (!is_refused) *error = own;
    for (size_t i = 0; i < count; i++) {
        if (store_call_is_stored(&calls[i])) calls[i].verdict = STORE_RETRY;
    }
}

enum store_verdict redis_store_check(struct redis_store *store, struct error *warning,
                                     struct error *error) {
    error_set(warning, "%s", "");
    if (!open_link(store, error)) return refuse_setup(store);
    *warning = store->doubt;
    /* A call that never applies still looks at types, rights and owner. */
    struct store_call probe = {
        .partition = 0, .base = CURSOR_UNKNOWN, .end = CURSOR_UNKNOWN, .origin = CURSOR_ABSENT};
    redis_store_apply(store, &probe, 1, error);
    if (probe.verdict == STORE_OK && store->news[0] != '\0') {
        const struct error doubt = *warning;
        error_set(
            warning,
            "%.300s%s%s: what is new is counted from now on, and what is gone stays as it is, "
            "until `rollcall rebuild` counts all from the beginning",
            doubt.text, doubt.text[0] == '\0' ? "" : "; ", store->news);
        store->news[0] = '\0';
    }
    return probe.verdict == STORE_RETRY ? refuse_setup(store) : probe.verdict;
}

enum store_verdict redis_store_offsets(struct redis_store *store, const int32_t *partitions,
                                       size_t count, int64_t *offsets, struct error *error) {
    if (count == 0) return STORE_OK;
    const char *prefix = store->options.redis->prefix;
    struct redis_command *command = &store->call.command;
    redis_command_clear(command);
    redis_command_put_text(command, "HMGET");
    redis_command_put_key(command, prefix, "offsets", NULL);
    for (size_t i = 0; i < count; i++)
        redis_command_put_int(command, partitions[i]);
    if (!open_link(store, error)) return STORE_RETRY;
    struct redis_reply *reply = redis_link_exchange(store->link, command, error);
    if (reply == NULL) return STORE_RETRY;
    enum store_verdict verdict = STORE_OK;
    if (redis_reply_kind(reply) == REDIS_ERROR)
        verdict = judge_error(store, reply, error);
    else if (redis_reply_count(reply) != count)
        verdict = redis_answer_odd(store->link, "HMGET", error);
    for (size_t i = 0; verdict == STORE_OK && i < count; i++) {
        const struct redis_reply *found = redis_reply_at(reply, i);
        offsets[i] = CURSOR_ABSENT;
        if (redis_reply_kind(found) == REDIS_NIL ||
            redis_answer_offset(redis_answer_word(reply, i), &offsets[i])) {
            continue;
        }
        verdict =
            refuse_stored(store, "offsets", partitions[i], redis_reply_text(found).bytes, error);
    }
    redis_reply_destroy(&reply);
    return verdict;
}
