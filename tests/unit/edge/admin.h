/* A real Redis for a test program, and a link to look into it. Include once, behind cmocka.h. */
#ifndef TESTS_UNIT_EDGE_ADMIN_H
#define TESTS_UNIT_EDGE_ADMIN_H

#include <stdio.h>
#include <string.h>

#include "edge/redis_link.h"
#include "redis_server.h"

enum { TIMEOUT_MS = 5000 };

static struct redis_server server;
static struct redis_link *admin;

static inline int start_redis(void **state) {
    (void)state;
    struct error error = {""};
    if (!redis_server_start(&server)) return -1;
    admin = redis_link_create(&(struct redis_settings){.url = server.url, .timeout_ms = TIMEOUT_MS},
                              &error);
    return redis_link_open(admin, &error) ? 0 : -1;
}

static inline int stop_redis(void **state) {
    (void)state;
    redis_link_destroy(&admin);
    return redis_server_stop(&server);
}

static inline void add_reply(char *text, size_t bytes, const struct redis_reply *reply) {
    const size_t length = strlen(text);
    const char *blank = length == 0 ? "" : " ";
    if (redis_reply_kind(reply) == REDIS_INTEGER) {
        snprintf(text + length, bytes - length, "%s%lld", blank,
                 (long long)redis_reply_integer(reply));
    } else if (redis_reply_kind(reply) != REDIS_LIST) {
        snprintf(text + length, bytes - length, "%s%s", blank, redis_reply_text(reply).bytes);
    }
    for (size_t i = 0; i < redis_reply_count(reply); i++)
        add_reply(text, bytes, redis_reply_at(reply, i));
}

/* Takes a reply that is no error; its elements as a text, with blanks between them. */
static inline const char *text_of(struct redis_reply *reply) {
    static char text[1 << 16];
    assert_non_null(reply);
    text[0] = '\0';
    add_reply(text, sizeof text, reply);
    if (redis_reply_kind(reply) == REDIS_ERROR) fail_msg("%s", text);
    redis_reply_destroy(&reply);
    return text;
}

/* Runs a command. */
#define run(...) text_of(redis_link_call(admin, NULL, __VA_ARGS__))

#define assert_redis(expected, ...) assert_string_equal(run(__VA_ARGS__), expected)

#endif
