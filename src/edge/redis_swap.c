/* A script may touch only keys that it was called with, so they are looked for before, by SCAN:
 * what other settings have counted is moved too. Only names that rollcall makes are taken, since
 * another prefix may begin with this one. */
#include "edge/redis_swap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "redis_answer.h"
#include "redis_call.h"
#include "swap.h" /* made from claim.lua and swap.lua */

enum { SCAN_COUNT = 1000, KEYS_A_CALL = 1000 };

struct names {           /* of keys, behind the prefix and its colon */
    struct slice *items; /* a value at a name's end may have any byte */
    size_t count, capacity;
};

static void names_add_slice(struct names *names, struct slice name) {
    if (names->count == names->capacity) {
        names->capacity = names->capacity * 2 + 64;
        names->items = memory_grow(names->items, names->capacity * sizeof *names->items);
    }
    char *copy = memory_grow(NULL, name.length + 1);
    memcpy(copy, name.bytes, name.length);
    copy[name.length] = '\0';
    names->items[names->count++] = (struct slice){copy, name.length};
}

static void names_add(struct names *names, const char *name) {
    names_add_slice(names, (struct slice){name, strlen(name)});
}

static int compare_names(const void *a, const void *b) {
    const struct slice *left = a, *right = b;
    const size_t common = left->length < right->length ? left->length : right->length;
    const int order = memcmp(left->bytes, right->bytes, common);
    return order != 0 ? order : (left->length > right->length) - (left->length < right->length);
}

/* Sorts them, and keeps one of each. */
static void names_unite(struct names *names) {
    size_t count = 0;
    if (names->count > 0) qsort(names->items, names->count, sizeof *names->items, compare_names);
    for (size_t i = 0; i < names->count; i++) {
        if (count > 0 && compare_names(&names->items[count - 1], &names->items[i]) == 0)
            free((char *)names->items[i].bytes);
        else
            names->items[count++] = names->items[i];
    }
    names->count = count;
}

static void names_release(struct names *names) {
    for (size_t i = 0; i < names->count; i++)
        free((char *)names->items[i].bytes);
    free(names->items);
    *names = (struct names){0};
}

/* The pattern of SCAN for "prefix:*", or "prefix:part:*". */
static void put_pattern(struct redis_command *command, const char *prefix, const char *part) {
    struct text pattern = {0};
    for (const char *c = prefix; *c != '\0'; c++) {
        if (strchr("*?[]\\^", *c) != NULL) text_add(&pattern, "\\");
        text_add_bytes(&pattern, c, 1);
    }
    text_format(&pattern, ":%s%s*", part, *part == '\0' ? "" : ":");
    redis_command_put(command, pattern.bytes, pattern.length);
    text_release(&pattern);
}

/* Whether rollcall makes live keys of this name. */
static bool is_live(const struct aggregates *aggregates, const char *name) {
    if (strchr(name, ':') == NULL) return true;
    assert(aggregates != NULL);
    for (unsigned i = 0; i < aggregates->count; i++) {
        const char *key = aggregates->items[i].key;
        const size_t length = strlen(key);
        if (strncmp(name, key, length) == 0 && name[length] == ':') return true;
    }
    static const char *const declared[] = {AGGREGATE_COUNT_KEY, AGGREGATE_BUCKETS_KEY,
                                           AGGREGATE_DATES_KEY, AGGREGATE_VALUES_KEY,
                                           AGGREGATE_ENDS_KEY};
    for (size_t i = 0; i < sizeof declared / sizeof *declared; i++) {
        if (strncmp(name, declared[i], strlen(declared[i])) == 0) return true;
    }
    return false;
}

/* As redis_link_exchange, with a command that is released as soon as the link has a copy. */
static struct redis_reply *ask_large(struct redis_link *link, struct redis_command *command,
                                     struct error *error) {
    const bool is_sent = redis_link_send(link, command, error);
    redis_command_release(command);
    return is_sent ? redis_link_receive(link, error) : NULL;
}

/* Finds the names of all keys under prefix:part; part may be "", then of the live ones alone. The
 * link stays the one that is open, since another server's cursors are others. */
static enum store_verdict find(struct redis_link *link, const char *prefix, const char *part,
                               const struct aggregates *aggregates, struct names *names,
                               struct error *error) {
    enum store_verdict verdict = STORE_OK;
    struct redis_command command = {0};
    char cursor[32] = "0";
    const size_t skipped = strlen(prefix) + 1 + (*part == '\0' ? 0 : strlen(part) + 1);
    do {
        redis_command_clear(&command);
        redis_command_put_text(&command, "SCAN");
        redis_command_put_text(&command, cursor);
        redis_command_put_text(&command, "MATCH");
        put_pattern(&command, prefix, part);
        redis_command_put_text(&command, "COUNT");
        redis_command_put_int(&command, SCAN_COUNT);
        struct redis_reply *reply = redis_link_exchange(link, &command, error);
        verdict = redis_answer_judge(link, prefix, reply, error);
        if (verdict == STORE_OK && redis_reply_count(reply) == 2) {
            const struct redis_reply *found = redis_reply_at(reply, 1);
            const struct slice next = redis_reply_text(redis_reply_at(reply, 0));
            memcpy(cursor, next.bytes, next.length < sizeof cursor ? next.length + 1 : 1);
            for (size_t i = 0; i < redis_reply_count(found); i++) {
                const struct slice key = redis_reply_text(redis_reply_at(found, i));
                if (key.length <= skipped) continue;
                const struct slice name = {key.bytes + skipped, key.length - skipped};
                if (*part != '\0' || is_live(aggregates, name.bytes)) names_add_slice(names, name);
            }
        } else if (verdict == STORE_OK) {
            verdict = redis_answer_odd(link, "SCAN", error);
        }
        redis_reply_destroy(&reply);
    } while (verdict == STORE_OK && strcmp(cursor, "0") != 0);
    redis_command_release(&command);
    return verdict;
}

/* The names that may be there before they are found. */
static void add_known(struct names *names, const struct aggregates *aggregates) {
    struct text other = {0};
    names_add(names, "offsets");
    names_add(names, "meta");
    names_add(names, "lineages");
    for (unsigned i = 0; i < aggregates->count; i++) {
        const struct aggregate *aggregate = &aggregates->items[i];
        text_clear(&other);
        text_format(&other, "%s:%s", aggregate->key, AGGREGATE_OTHER);
        names_add(names, aggregate->key);
        if (aggregate_has_buckets(aggregate)) names_add(names, text_string(&other));
        if (aggregate->index_key[0] != '\0') names_add(names, aggregate->index_key);
        if (aggregate->anomalies_key != NULL) names_add(names, aggregate->anomalies_key);
    }
    text_release(&other);
}

static const struct aggregate *days_of(const struct aggregates *aggregates) {
    for (unsigned i = 0; i < aggregates->count; i++) {
        if (aggregates->items[i].kind == AGGREGATE_DAYS) return &aggregates->items[i];
    }
    return NULL;
}

/* Adds the keys of all days and buckets that the sorted sets under prefix:part name: one that was
 * lost is declared too. */
static enum store_verdict add_indexed(struct redis_link *link, const char *prefix, const char *part,
                                      const struct aggregates *aggregates, struct names *names,
                                      struct error *error) {
    enum store_verdict verdict = STORE_OK;
    struct text name = {0};
    for (unsigned a = 0; verdict == STORE_OK && a < aggregates->count; a++) {
        const struct aggregate *aggregate = &aggregates->items[a];
        if (aggregate->index_key[0] == '\0') continue;
        struct redis_reply *reply =
            redis_link_call(link, error, "ZRANGE %s:%s%s%s 0 -1", prefix, part,
                            *part == '\0' ? "" : ":", aggregate->index_key);
        verdict = redis_answer_judge(link, prefix, reply, error);
        for (size_t i = 0; verdict == STORE_OK && i < redis_reply_count(reply); i++) {
            text_clear(&name);
            text_format(&name, "%s:%s", aggregate->key,
                        redis_reply_text(redis_reply_at(reply, i)).bytes);
            names_add(names, text_string(&name));
        }
        redis_reply_destroy(&reply);
    }
    text_release(&name);
    return verdict;
}

/* How many checkpoints the live counts have had; "" for none. */
static enum store_verdict look_at_checkpoints(struct redis_link *link, const char *prefix,
                                              struct text *checkpoints, struct error *error) {
    struct redis_reply *reply = redis_link_call(link, error, "HGET %s:meta checkpoints", prefix);
    const enum store_verdict verdict = redis_answer_judge(link, prefix, reply, error);
    if (verdict == STORE_OK) text_add(checkpoints, redis_reply_text(reply).bytes);
    redis_reply_destroy(&reply);
    return verdict;
}

/* The script's keys and arguments: see swap.lua. Releases the names. */
static void put_call(struct redis_call *call, const char *prefix,
                     const struct aggregates *aggregates, const char *rebuild, bool must_be_as_far,
                     const char *checkpoints, struct names *live, struct names *rebuilt) {
    const struct aggregate *days = days_of(aggregates);
    struct redis_command *keys = &call->keys, *arguments = &call->arguments;
    redis_call_clear(call, prefix);
    redis_command_put_key(keys, prefix, "offsets", NULL);
    redis_command_put_key(keys, prefix, "meta", NULL);
    redis_command_put_key(keys, prefix, REDIS_SWAP_REBUILT, "offsets");
    redis_command_put_key(keys, prefix, REDIS_SWAP_REBUILT, "meta");
    redis_command_put_key(keys, prefix, days->index_key, NULL);
    redis_command_put_key(keys, prefix, REDIS_SWAP_REBUILT, days->index_key);
    redis_command_put_text(arguments, must_be_as_far ? "1" : "0");
    redis_command_put_text(arguments, checkpoints);
    redis_command_put_key(arguments, prefix, days->key, "");
    redis_command_put_key_end(arguments, prefix, REDIS_SWAP_REBUILT, days->key,
                              (struct slice){"", 0});
    redis_command_put_text(arguments, rebuild);
    redis_command_put_int(arguments, (int64_t)live->count);
    for (size_t i = 0; i < live->count; i++) {
        redis_command_put_key_end(keys, prefix, NULL, NULL, live->items[i]);
        redis_command_put_key_end(keys, prefix, REDIS_SWAP_BEFORE, NULL, live->items[i]);
    }
    for (size_t i = 0; i < rebuilt->count; i++) {
        redis_command_put_key_end(keys, prefix, REDIS_SWAP_REBUILT, NULL, rebuilt->items[i]);
        redis_command_put_key_end(keys, prefix, NULL, NULL, rebuilt->items[i]);
    }
    names_release(live);
    names_release(rebuilt);
    memory_give_back(); /* there may be millions of them */
    redis_call_finish(call, true, swap_lua);
    redis_command_release(&call->keys); /* as long as the command itself */
}

void redis_swap_name_loss(const char *prefix, struct error *error) {
    error_set(error,
              "what this rebuild had counted under %s:" REDIS_SWAP_REBUILT
              " was deleted, by another `rollcall rebuild`, by `rollcall rebuild --forget`, or "
              "since Redis lost data, so it ends, and has not changed the live counts: start it "
              "again when no other one runs",
              prefix);
}

void redis_swap_name_before(const char *prefix, struct error *error) {
    error_set(error,
              "the counts that an earlier rebuild replaced are still under %s:" REDIS_SWAP_BEFORE
              ":*, and this one would overwrite them: run `rollcall rebuild --forget`, which "
              "deletes them, and start the rebuild again",
              prefix);
}

static enum swap_verdict take_answer(struct redis_link *link, const char *prefix,
                                     const struct redis_reply *reply, struct error *error) {
    const char *kind = redis_answer_word(reply, 0).bytes, *where = redis_link_name(link);
    const char *what = redis_answer_word(reply, 1).bytes;
    if (strcmp(kind, "swapped") == 0) return SWAP_DONE;
    if (strcmp(kind, "behind") == 0) {
        error_set(error, "the rebuilt counts do not catch up with the live ones: stop the "
                         "instances, and start the rebuild again");
        return SWAP_LATER;
    }
    if (strcmp(kind, "again") == 0) {
        error_set(error, "the live counts change faster than their keys are found: stop the "
                         "instances, and start the rebuild again");
        return SWAP_LATER;
    }
    if (strcmp(kind, "taken") == 0) {
        redis_swap_name_loss(prefix, error);
    } else if (strcmp(kind, "before") == 0) {
        redis_swap_name_before(prefix, error);
    } else if (strcmp(kind, "torn") == 0) {
        error_set(error, "the rebuilt counts in Redis at %s are not whole: start the rebuild again",
                  where);
    } else if (strcmp(kind, "foreign") == 0) {
        error_set(error,
                  "the prefix \"%s\" in Redis at %s belongs to %s \"%s\", and this rebuild is of "
                  "\"%s\": correct redis.prefix, input.topic or consumer.group.id",
                  prefix, where, what, redis_answer_word(reply, 2).bytes,
                  redis_answer_word(reply, 3).bytes);
    } else if (strcmp(kind, "denied") == 0) {
        error_set(error,
                  "Redis at %s denies this user the command %s on the key %.300s, which a rebuild "
                  "needs (NOPERM): redis-cli ACL SETUSER <user> '~%s:*' " swap_rights,
                  where, what, redis_answer_word(reply, 2).bytes, prefix);
    } else {
        error_set(error, "Redis at %s gave an odd answer to swap.lua", where);
        redis_link_close(link);
        return SWAP_RETRY;
    }
    return SWAP_REFUSED;
}

static enum swap_verdict swap_verdict_of(enum store_verdict verdict) {
    return verdict == STORE_OK ? SWAP_DONE : verdict == STORE_RETRY ? SWAP_RETRY : SWAP_REFUSED;
}

enum swap_verdict redis_swap_run(struct redis_link *link, const char *prefix,
                                 const struct aggregates *aggregates, const char *rebuild,
                                 bool must_be_as_far, struct error *error) {
    if (!redis_link_open(link, error)) return SWAP_RETRY;
    struct names live = {0}, rebuilt = {0};
    struct text checkpoints = {0};
    struct redis_call call = {0};
    enum store_verdict found = look_at_checkpoints(link, prefix, &checkpoints, error);
    if (found == STORE_OK) found = find(link, prefix, "", aggregates, &live, error);
    if (found == STORE_OK) found = add_indexed(link, prefix, "", aggregates, &live, error);
    if (found == STORE_OK)
        found = find(link, prefix, REDIS_SWAP_REBUILT, aggregates, &rebuilt, error);
    if (found == STORE_OK)
        found = add_indexed(link, prefix, REDIS_SWAP_REBUILT, aggregates, &rebuilt, error);
    enum swap_verdict verdict = swap_verdict_of(found);
    if (found == STORE_OK) {
        add_known(&live, aggregates);
        names_unite(&live);
        names_unite(&rebuilt);
        put_call(&call, prefix, aggregates, rebuild, must_be_as_far, text_string(&checkpoints),
                 &live, &rebuilt);
        struct redis_reply *reply = ask_large(link, &call.command, error);
        verdict = swap_verdict_of(redis_answer_judge(link, prefix, reply, error));
        if (verdict == SWAP_DONE) verdict = take_answer(link, prefix, reply, error);
        redis_reply_destroy(&reply);
    }
    redis_call_release(&call);
    text_release(&checkpoints);
    names_release(&live);
    names_release(&rebuilt);
    return verdict;
}

enum store_verdict redis_swap_count(struct redis_link *link, const char *prefix, const char *part,
                                    size_t *count, struct error *error) {
    struct names names = {0};
    if (!redis_link_open(link, error)) return STORE_RETRY;
    const enum store_verdict verdict = find(link, prefix, part, NULL, &names, error);
    *count = names.count;
    names_release(&names);
    return verdict;
}

/* Calls claim.lua, and adds how many keys it has deleted. */
static enum store_verdict delete_rebuilt(struct redis_link *link, const char *prefix,
                                         const char *rebuild, const char *act,
                                         const struct slice *names, size_t name_count,
                                         size_t *count, struct error *error) {
    struct redis_call call = {0};
    redis_call_clear(&call, prefix);
    redis_command_put_key(&call.keys, prefix, REDIS_SWAP_REBUILT, "meta");
    for (size_t i = 0; i < name_count; i++)
        redis_command_put_key_end(&call.keys, prefix, REDIS_SWAP_REBUILT, NULL, names[i]);
    redis_command_put_text(&call.arguments, rebuild);
    redis_command_put_text(&call.arguments, act);
    redis_call_finish(&call, true, claim_lua);
    struct redis_reply *reply = redis_link_exchange(link, &call.command, error);
    enum store_verdict verdict = redis_answer_judge(link, prefix, reply, error);
    if (verdict == STORE_OK && strcmp(redis_answer_word(reply, 0).bytes, "taken") == 0) {
        redis_swap_name_loss(prefix, error);
        verdict = STORE_REFUSED;
    } else if (verdict == STORE_OK && redis_reply_kind(reply) != REDIS_INTEGER) {
        verdict = redis_answer_odd(link, "claim.lua", error);
    }
    if (verdict == STORE_OK) *count += (size_t)redis_reply_integer(reply);
    redis_reply_destroy(&reply);
    redis_call_release(&call);
    return verdict;
}

/* Whoever deletes key by key while a rebuild runs must first make sure that it neither adds to what
 * is left nor swaps it in, and must stop where another one has begun. Both hang on meta. */
enum store_verdict redis_swap_claim(struct redis_link *link, const char *prefix,
                                    const char *rebuild, size_t *count, struct error *error) {
    struct names names = {0};
    *count = 0;
    if (!redis_link_open(link, error)) return STORE_RETRY;
    enum store_verdict verdict =
        delete_rebuilt(link, prefix, rebuild, "claim", NULL, 0, count, error);
    if (verdict == STORE_OK) verdict = find(link, prefix, REDIS_SWAP_REBUILT, NULL, &names, error);
    for (size_t i = 0; verdict == STORE_OK && i < names.count; i += KEYS_A_CALL) {
        const size_t left = names.count - i;
        verdict = delete_rebuilt(link, prefix, rebuild, "delete", names.items + i,
                                 left < KEYS_A_CALL ? left : KEYS_A_CALL, count, error);
    }
    names_release(&names);
    return verdict;
}

enum store_verdict redis_swap_release(struct redis_link *link, const char *prefix,
                                      const char *rebuild, struct error *error) {
    size_t count = 0;
    if (!redis_link_open(link, error)) return STORE_RETRY;
    return delete_rebuilt(link, prefix, rebuild, "release", NULL, 0, &count, error);
}

enum store_verdict redis_swap_forget(struct redis_link *link, const char *prefix, size_t *count,
                                     struct error *error) {
    struct names names = {0};
    struct redis_command command = {0};
    *count = 0;
    if (!redis_link_open(link, error)) return STORE_RETRY;
    enum store_verdict verdict = find(link, prefix, REDIS_SWAP_BEFORE, NULL, &names, error);
    for (; verdict == STORE_OK && *count < names.count; ++*count) {
        redis_command_clear(&command);
        redis_command_put_text(&command, "UNLINK");
        redis_command_put_key_end(&command, prefix, REDIS_SWAP_BEFORE, NULL, names.items[*count]);
        struct redis_reply *reply = redis_link_exchange(link, &command, error);
        verdict = redis_answer_judge(link, prefix, reply, error);
        redis_reply_destroy(&reply);
    }
    redis_command_release(&command);
    names_release(&names);
    return verdict;
}
