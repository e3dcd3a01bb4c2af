/* Checkpoints of what a test of declared counts has counted. Include once, behind cmocka.h. */
#ifndef TESTS_UNIT_EDGE_CHECKPOINTS_H
#define TESTS_UNIT_EDGE_CHECKPOINTS_H

#include "admin.h"
#include "edge/redis_store.h"

enum { SEED = 42, DAY_S = 24 * 3600 };

/* 2024-07-10 14:36 in minutes since 1970. */
#define AT_1436 (INT64_C(28676160) + 14 * 60 + 36)

static char prefix[] = "{p}";
static struct aggregates aggregates;
static struct aggregate_settings settings;
static struct delta delta; /* what is not stored yet */
static int64_t offset;     /* of the last checkpoint; 0: none */

/* Stores what was added, as one checkpoint, and empties it. */
static inline struct store_call store(struct error *error) {
    static struct redis_settings redis_settings;
    redis_settings =
        (struct redis_settings){.url = server.url, .prefix = prefix, .timeout_ms = TIMEOUT_MS};
    const struct redis_store_options options = {.redis = &redis_settings,
                                                .aggregates = &aggregates,
                                                .group = "group",
                                                .topic = "topic",
                                                .topic_id = "id",
                                                .instance = "instance"};
    struct redis_store *store = redis_store_create(&options, error);
    const struct delta *const deltas[] = {&delta};
    struct store_call call = {.base = offset == 0 ? CURSOR_ABSENT : offset,
                              .end = offset + 10,
                              .deltas = deltas,
                              .delta_count = 1};
    redis_store_apply(store, &call, 1, error);
    redis_store_destroy(&store);
    if (call.verdict == STORE_OK) offset += 10;
    delta_release(&delta);
    return call;
}

static inline void stored(void) {
    struct error error = {""};
    if (store(&error).verdict != STORE_OK) fail_msg("%s", error.text);
}

#endif
