/* edge/checkpoint.lua: one checkpoint in a private redis-server, from call to reply. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "edge/redis_store.h"
#include "micro.h"
#include "tools/child.h"

enum { KEYS = 100, SEED = 42, START_MS = 5000, STOP_MS = 5000, TIMEOUT_MS = 5000 };

static struct child redis;

static char locale[] = "locale", prefix[] = "{micro}";
static const struct aggregate_settings settings = {.dimensions = {{locale}, 1},
                                                   .max_values = 10000,
                                                   .max_days = 4000,
                                                   .retention_days = 400,
                                                   .threshold = 1 << 30};

struct script {
    char folder[64], url[128];
    struct redis_settings redis;
    struct aggregates aggregates;
    struct redis_store *store;
    struct delta delta;
    int64_t stored;
};

static void stop_redis(void) {
    child_stop(&redis, STOP_MS);
}

static void start_redis(struct script *script) {
    char socket[96], log[96];
    struct error error = {0};
    snprintf(script->folder, sizeof script->folder, "/tmp/rollcall-micro-XXXXXX");
    if (mkdtemp(script->folder) == NULL) micro_fail("cannot create a folder in /tmp");
    snprintf(socket, sizeof socket, "%s/redis.sock", script->folder);
    snprintf(log, sizeof log, "%s/redis.log", script->folder);
    snprintf(script->url, sizeof script->url, "unix://%s", socket);
    const char *const argv[] = {"redis-server", "--port", "0",     "--unixsocket", socket,
                                "--save",       "",       "--dir", script->folder, NULL};
    atexit(stop_redis); /* also after micro_fail */
    if (!child_start(&redis, "redis-server", argv, log, &error)) micro_fail(error.text);
    const int64_t deadline_ms = clock_ms() + START_MS;
    while (access(socket, F_OK) != 0) {
        if (clock_ms() > deadline_ms) micro_fail("redis-server does not start");
        usleep(10000);
    }
}

static void *set_up(void) {
    struct script *script = calloc(1, sizeof *script);
    struct error error = {0};
    if (script == NULL) micro_fail("out of memory");
    start_redis(script);
    script->redis =
        (struct redis_settings){.url = script->url, .prefix = prefix, .timeout_ms = TIMEOUT_MS};
    aggregates_init(&script->aggregates, &settings);
    const struct redis_store_options options = {.redis = &script->redis,
                                                .aggregates = &script->aggregates,
                                                .group = "micro",
                                                .topic = "micro",
                                                .topic_id = "",
                                                .instance = "micro"};
    script->store = redis_store_create(&options, &error);
    if (script->store == NULL) micro_fail(error.text);
    script->stored = CURSOR_ABSENT;
    for (int64_t i = 0; i < KEYS; i++) {
        char name[16];
        snprintf(name, sizeof name, "value-%d", (int)i);
        delta_add(&script->delta, delta_value_key(SEED, 0, (struct slice){name, strlen(name)}), 1);
    }
    return script;
}

static void run(void *state, int64_t operations) {
    struct script *script = state;
    const struct delta *deltas[] = {&script->delta};
    for (int64_t i = 0; i < operations; i++) {
        struct error error = {0};
        struct store_call call = {.base = script->stored, .deltas = deltas, .delta_count = 1};
        call.end = script->stored + 100 + (script->stored < 0);
        redis_store_apply(script->store, &call, 1, &error);
        if (call.verdict != STORE_OK || call.stored != call.end) micro_fail(error.text);
        script->stored = call.stored;
    }
}

static void tear_down(void *state) {
    struct script *script = state;
    char path[96];
    redis_store_destroy(&script->store);
    delta_release(&script->delta);
    stop_redis();
    snprintf(path, sizeof path, "%s/redis.log", script->folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/redis.sock", script->folder);
    unlink(path);
    rmdir(script->folder);
    free(script);
}

const struct micro micro_script[] = {
    {"script", "checkpoint of 100 keys, wall time", CLOCK_MONOTONIC, set_up, run, tear_down},
    {0},
};
