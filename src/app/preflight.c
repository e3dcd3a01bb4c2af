/* The stages follow each other; each is taken again until it has passed. */
#include "app/preflight.h"

#include <stdlib.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/fence.h"
#include "base/log.h"
#include "base/memory.h"
#include "edge/kafka_source.h"

enum {
    KAFKA_CALL_MS = 5000,
    DESCRIBE_MS = 1500,
    RETRY_MS_MIN = 250,
    RETRY_MS_MAX = 2000,
    VISIBLE_MS = 50, /* between looks whether a topic that was just created is there */
};

struct preflight {
    const struct config *config;
    struct redis_store *store;
    struct topic_facts *input;
    struct trouble *trouble, *missing;
    struct kafka_source *probe;
    enum { REDIS, INPUT, OUTPUT, REJECTED, REDIS_AGAIN, PASSED } stage;
    bool is_begun;          /* the stage */
    bool is_created;        /* the output topic of this stage: only its visibility is awaited */
    int64_t redis_until_ms; /* deadline of the stage */
    struct backoff retry;
};

struct preflight *preflight_create(const struct config *config, struct redis_store *store,
                                   struct topic_facts *input, struct trouble *trouble,
                                   struct trouble *missing) {
    struct preflight *preflight = memory_create(sizeof *preflight);
    preflight->config = config;
    preflight->store = store;
    preflight->input = input;
    preflight->trouble = trouble;
    preflight->missing = missing;
    return preflight;
}

void preflight_destroy(struct preflight **preflight) {
    if (*preflight == NULL) return;
    kafka_source_destroy(&(*preflight)->probe);
    free(*preflight);
    *preflight = NULL;
}

void preflight_reloaded(struct preflight *preflight) {
    kafka_source_destroy(&preflight->probe); /* made again with what holds now */
}

static enum preflight_verdict next_stage(struct preflight *preflight) {
    preflight->stage++;
    preflight->is_begun = preflight->is_created = false;
    backoff_end(&preflight->retry);
    return preflight->stage == PASSED ? PREFLIGHT_PASSED : PREFLIGHT_WAITS;
}

static enum preflight_verdict try_again(struct preflight *preflight) {
    backoff_grow(&preflight->retry, clock_ms(), RETRY_MS_MIN, RETRY_MS_MAX);
    return PREFLIGHT_WAITS;
}

static const char *brokers_of(const struct preflight *preflight) {
    return kafka_conf_get(&preflight->config->kafka, "bootstrap.servers");
}

static void miss(struct preflight *preflight, const char *whom, const char *why) {
    struct error what;
    error_set(&what, "waiting for %s: %s", whom, why);
    trouble_set(preflight->missing, clock_ms(), what.text);
}

static enum preflight_verdict wait_for_kafka(struct preflight *preflight, const struct error *why) {
    log_warn("Waiting for Kafka", log_text("bootstrap.servers", brokers_of(preflight)),
             log_text("reason", why->text));
    miss(preflight, "Kafka", why->text);
    return try_again(preflight);
}

/* Until the first answer, or the end of the time that it has. */
static void begin_stage(struct preflight *preflight, int64_t now_ms) {
    const bool is_redis = preflight->stage == REDIS || preflight->stage == REDIS_AGAIN;
    struct error what;
    if (preflight->is_begun) return;
    preflight->is_begun = true;
    preflight->redis_until_ms = now_ms + preflight->config->redis.timeout_ms;
    if (is_redis)
        error_set(&what, "%s has not answered yet; start Redis, or set redis.url",
                  redis_store_name(preflight->store));
    else
        error_set(&what, "%.300s has not answered yet; start it, or set kafka.bootstrap.servers",
                  brokers_of(preflight));
    miss(preflight, is_redis ? "Redis" : "Kafka", what.text);
}

static enum preflight_verdict look_at_redis(struct preflight *preflight, struct error *error) {
    struct error warning;
    switch (redis_store_check(preflight->store, &warning, error)) {
    case STORE_OK:
        if (warning.text[0] != '\0') log_warn(warning.text);
        return next_stage(preflight);
    case STORE_REFUSED:
        return PREFLIGHT_FAILED;
    case STORE_RETRY:
        break;
    }
    log_warn("Waiting for Redis", log_text("reason", error->text));
    miss(preflight, "Redis", error->text);
    return clock_ms() < preflight->redis_until_ms ? try_again(preflight) : PREFLIGHT_FAILED;
}

/* Where Kafka does not say, it is taken to be so. */
static bool may_read(const struct topic_facts *input, const char *topic, struct error *error) {
    return !input->has_rights || input->may_read ||
           error_set(error, "this user may not read topic %s: grant the ACL Read", topic);
}

static bool check_input(const struct preflight *preflight, struct error *error) {
    const struct topic_facts *input = preflight->input;
    const char *topic = preflight->config->source.topic;
    if (!input->exists) {
        return error_set(error,
                         "the input topic %s does not exist: create it (kafka-topics.sh --create "
                         "--topic %s --partitions 4) or set input.topic",
                         topic, topic);
    }
    if (input->partition_count > FENCE_PARTITIONS_MAX) {
        return error_set(error, "topic %s has %d partitions, and rollcall takes at most %d", topic,
                         input->partition_count, FENCE_PARTITIONS_MAX);
    }
    const int needed_mb = input->partition_count * CONFIG_MB_A_PARTITION;
    if (preflight->config->instance.memory_mb < needed_mb) {
        return error_set(
            error,
            "instance.memory_mb is %d, and the %d partitions of topic %s, all of which "
            "an instance may have to take, need %d MB each: set it to %d or more",
            preflight->config->instance.memory_mb, input->partition_count, topic,
            CONFIG_MB_A_PARTITION, needed_mb);
    }
    return may_read(input, topic, error);
}

static enum preflight_verdict look_at_input(struct preflight *preflight, struct error *error) {
    const char *topic = preflight->config->source.topic;
    switch (kafka_topics_look(preflight->probe, topic, KAFKA_CALL_MS, preflight->input, error)) {
    case TOPICS_OK:
        break;
    case TOPICS_RETRY:
        return wait_for_kafka(preflight, error);
    case TOPICS_REFUSED:
        return PREFLIGHT_FAILED;
    }
    if (preflight->input->exists &&
        !kafka_topics_describe(preflight->probe, topic, DESCRIBE_MS, preflight->input, error)) {
        return wait_for_kafka(preflight, error);
    }
    return check_input(preflight, error) ? next_stage(preflight) : PREFLIGHT_FAILED;
}

/* Creates an output topic where there is none, and waits until brokers show it: a transaction must
 * not meet a topic that is not there. */
static enum preflight_verdict ensure_output(struct preflight *preflight, const char *topic,
                                            struct error *error) {
    struct topic_facts facts;
    if (*topic == '\0') return next_stage(preflight);
    enum topics_verdict verdict =
        kafka_topics_look(preflight->probe, topic, KAFKA_CALL_MS, &facts, error);
    if (verdict == TOPICS_OK && facts.exists) return next_stage(preflight);
    if (verdict == TOPICS_OK && preflight->is_created) {
        preflight->retry.until_ms = clock_ms() + VISIBLE_MS;
        return PREFLIGHT_WAITS;
    }
    const int partition_count = preflight->input->partition_count;
    if (verdict == TOPICS_OK)
        verdict =
            kafka_topics_create(preflight->probe, topic, partition_count, KAFKA_CALL_MS, error);
    if (verdict == TOPICS_REFUSED) return PREFLIGHT_FAILED;
    if (verdict == TOPICS_RETRY) return wait_for_kafka(preflight, error);
    log_info("Topic created", log_text("topic", topic), log_int("partitions", partition_count));
    preflight->is_created = true;
    return PREFLIGHT_WAITS;
}

static bool make_probe(struct preflight *preflight, struct error *error) {
    const struct kafka_source_options options = {
        .settings = &preflight->config->source,
        .kafka = &preflight->config->kafka,
        .consumer = &preflight->config->consumer,
        .trouble = preflight->trouble,
    };
    if (preflight->probe == NULL) preflight->probe = kafka_source_create(&options, error);
    return preflight->probe != NULL;
}

static enum preflight_verdict take_stage(struct preflight *preflight, int64_t now_ms,
                                         struct error *error) {
    const struct kafka_sink_settings *sink = &preflight->config->sink;
    begin_stage(preflight, now_ms);
    if (preflight->stage == REDIS || preflight->stage == REDIS_AGAIN)
        return look_at_redis(preflight, error);
    if (!make_probe(preflight, error)) return PREFLIGHT_FAILED;
    if (preflight->stage == INPUT) return look_at_input(preflight, error);
    return ensure_output(preflight, preflight->stage == OUTPUT ? sink->topic : sink->rejected_topic,
                         error);
}

enum preflight_verdict preflight_step(struct preflight *preflight, int64_t now_ms,
                                      int64_t *until_ms, struct error *error) {
    enum preflight_verdict verdict = PREFLIGHT_WAITS;
    if (now_ms >= preflight->retry.until_ms) verdict = take_stage(preflight, now_ms, error);
    *until_ms = preflight->retry.until_ms;
    return verdict;
}
