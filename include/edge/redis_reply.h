/* redis_reply: what Redis answered.
 *
 * Place:    between redis_link and those who ask.
 * Threads:  a reply belongs to one at a time.
 */
#ifndef EDGE_REDIS_REPLY_H
#define EDGE_REDIS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* A struct redis_reply is never defined: it is hiredis' own. */
struct redis_reply;

enum redis_reply_kind { /* with hiredis' values; others are nothing that rollcall asks for */
                        REDIS_TEXT = 1,
                        REDIS_LIST,
                        REDIS_INTEGER,
                        REDIS_NIL,
                        REDIS_STATUS, /* "OK" */
                        REDIS_ERROR,
};

/* Takes *reply, which may be NULL, and nulls it. */
void redis_reply_destroy(struct redis_reply **reply);

enum redis_reply_kind redis_reply_kind(const struct redis_reply *reply);

/* Of a text, status or error: its bytes, followed by a NUL; else "". Live as long as the reply. */
struct slice redis_reply_text(const struct redis_reply *reply);

/* Of an integer; else 0. */
int64_t redis_reply_integer(const struct redis_reply *reply);

/* Of a list: how many elements it has; else 0. Each lives as long as the list. */
size_t redis_reply_count(const struct redis_reply *reply);
const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t index);

/* Whether it is a list of nothing but texts, whose count is a multiple of this. */
bool redis_reply_is_texts(const struct redis_reply *reply, size_t multiple);

#endif
