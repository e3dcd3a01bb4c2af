#include "edge/redis_reply.h"

#include <assert.h>
#include <hiredis/hiredis.h>

static_assert((int)REDIS_TEXT == REDIS_REPLY_STRING && (int)REDIS_LIST == REDIS_REPLY_ARRAY &&
                  (int)REDIS_INTEGER == REDIS_REPLY_INTEGER && (int)REDIS_NIL == REDIS_REPLY_NIL &&
                  (int)REDIS_STATUS == REDIS_REPLY_STATUS && (int)REDIS_ERROR == REDIS_REPLY_ERROR,
              "hiredis' own kinds");

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
