#include "redis_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "edge/redis_fault.h"

enum store_verdict redis_answer_judge(const struct redis_link *link, const char *prefix,
                                      const struct redis_reply *reply, struct error *error) {
    if (reply == NULL) return STORE_RETRY;
    if (redis_reply_kind(reply) != REDIS_ERROR) return STORE_OK;
    const enum redis_fault fault =
        redis_fault_judge(redis_reply_text(reply).bytes, redis_link_name(link), prefix, error);
    const bool may_pass = fault == REDIS_FAULT_PASSING || fault == REDIS_FAULT_REPLICA;
    return may_pass ? STORE_RETRY : STORE_REFUSED;
}

enum store_verdict redis_answer_odd(struct redis_link *link, const char *command,
                                    struct error *error) {
    error_set(error, "Redis at %s gave an odd answer to %s: is it Redis that redis.url leads to?",
              redis_link_name(link), command);
    redis_link_close(link);
    return STORE_RETRY;
}

struct slice redis_answer_word(const struct redis_reply *reply, size_t index) {
    const struct redis_reply *word =
        index < redis_reply_count(reply) ? redis_reply_at(reply, index) : NULL;
    const bool is_text = word != NULL && redis_reply_kind(word) == REDIS_TEXT;
    return is_text ? redis_reply_text(word) : (struct slice){"", 0};
}

bool redis_answer_offset(struct slice text, int64_t *offset) {
    if (text.length == 0 || text.length > 18 || strspn(text.bytes, "0123456789") != text.length) {
        return false;
    }
    if (text.length > 1 && text.bytes[0] == '0') return false; /* checkpoint.lua compares texts */
    *offset = strtoll(text.bytes, NULL, 10);
    return true;
}

static bool read_count(const struct redis_reply *reply, size_t index, int64_t *count) {
    if (index >= redis_reply_count(reply)) return false;
    const struct redis_reply *number = redis_reply_at(reply, index);
    if (redis_reply_kind(number) != REDIS_INTEGER) return false;
    *count = redis_reply_integer(number);
    return *count >= 0;
}

bool redis_answer_anomalies(const struct redis_reply *reply, struct store_call *call) {
    int64_t found;
    if (!read_count(reply, 2, &found)) return false;
    size_t named = (size_t)found;
    if (named > REDIS_STORE_ANOMALIES_MAX) named = REDIS_STORE_ANOMALIES_MAX;
    if (redis_reply_count(reply) != 3 + 2 * named) return false;
    for (size_t i = 0; i < named; i++) {
        struct store_anomaly *anomaly = &call->anomalies[i];
        const struct slice minute = redis_answer_word(reply, 3 + 2 * i);
        if (minute.length == 0 || !read_count(reply, 4 + 2 * i, &anomaly->count)) return false;
        snprintf(anomaly->minute, sizeof anomaly->minute, "%s", minute.bytes);
    }
    call->anomaly_count = (size_t)found;
    return true;
}

bool redis_answer_days(struct redis_days *needed, const struct redis_reply *reply) {
    const size_t count = redis_reply_count(reply) - 1;
    if (count > needed->capacity) {
        needed->capacity = count;
        needed->names = memory_grow(needed->names, count * sizeof *needed->names);
    }
    for (needed->count = 0; needed->count < count; needed->count++) {
        const char *day = redis_answer_word(reply, 1 + needed->count).bytes;
        if (strlen(day) != LOGIN_DAY_BYTES - 1) return false;
        memcpy(needed->names[needed->count], day, LOGIN_DAY_BYTES);
    }
    return count > 0;
}
