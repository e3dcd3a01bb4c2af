/* The network between a process and Kafka, and the topics. */
#include "client.h"

#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "edge/kafka_topics.h"
#include "process.h"

bool kafka_is_reachable(const struct process *process) {
    return !process->is_killed && world.now_us >= process->cut_us && world.now_us >= broker.back_us;
}

static bool is_reachable(const void *context) {
    return kafka_is_reachable(context);
}

bool kafka_trip(int64_t deadline_us) {
    call_lets_others();
    if (current->is_killed) return false;
    if (fails(100)) {
        happens(EVENT_EXPIRED);
        call_waits(NULL, NULL, deadline_us);
        return false;
    }
    if (!kafka_is_reachable(current)) {
        happens(EVENT_KAFKA_AWAY);
        if (!call_waits(is_reachable, current, deadline_us)) return false;
    }
    return !current->is_killed && world.now_us <= deadline_us;
}

bool kafka_round_trip(int64_t deadline_us) {
    if (!kafka_trip(deadline_us)) return false;
    return kafka_trip(deadline_us);
}

static bool kafka_call(int timeout_ms, struct error *error) {
    const int64_t deadline_us = world.now_us + timeout_ms * (int64_t)MS_US;
    return kafka_round_trip(deadline_us) || error_set(error, "Kafka does not answer");
}

/* When a topic is there, as all brokers see it. */
static int64_t *there_us(const char *topic) {
    static int64_t always;
    if (strcmp(topic, "input") == 0) return &always;
    return &broker.topics_us[strcmp(topic, "output") != 0];
}

enum topics_verdict kafka_topics_look(struct kafka_source *source, const char *topic,
                                      int timeout_ms, struct topic_facts *facts,
                                      struct error *error) {
    (void)source;
    if (must_be_fixed(error)) return TOPICS_REFUSED;
    if (!kafka_call(timeout_ms, error)) return TOPICS_RETRY;
    const bool exists = *there_us(topic) <= world.now_us;
    *facts = (struct topic_facts){exists, exists ? world.plan.partition_count : 0};
    return TOPICS_OK;
}

bool kafka_topics_describe(struct kafka_source *source, const char *topic, int timeout_ms,
                           struct topic_facts *facts, struct error *error) {
    (void)source;
    (void)topic;
    if (!kafka_call(timeout_ms, error)) return !one_in(4);
    strcpy(facts->id, "the-topic");
    return true;
}

bool kafka_topics_is_same(struct kafka_source *source, const char *topic, const char *id,
                          int timeout_ms, struct topic_facts *now, struct error *error) {
    (void)source;
    (void)topic;
    (void)id;
    if (now != NULL) now->exists = true;
    kafka_call(timeout_ms, error);
    return !must_be_fixed(error);
}

bool kafka_topics_answers(struct kafka_source *source, int timeout_ms, struct error *error) {
    (void)source;
    return kafka_call(timeout_ms, error);
}

enum topics_verdict kafka_topics_retention(struct kafka_source *source, const char *topic,
                                           int timeout_ms, int64_t *retention_ms,
                                           struct error *error) {
    static const int64_t answers[] = {TOPICS_KEEP_ALWAYS, 1, INT64_C(604800000)};
    (void)source;
    (void)topic;
    if (one_in(4)) return TOPICS_REFUSED;
    if (!kafka_call(timeout_ms, error)) return TOPICS_RETRY;
    *retention_ms = answers[roll(sizeof answers / sizeof *answers)];
    return TOPICS_OK;
}

static enum topics_verdict retry(struct error *error) {
    error_set(error, "Kafka does not answer");
    return TOPICS_RETRY;
}

enum topics_verdict kafka_topics_create(struct kafka_source *source, const char *topic,
                                        int partition_count, int timeout_ms, struct error *error) {
    (void)source;
    if (partition_count != world.plan.partition_count)
        broken("the topic %s is created with %d partitions", topic, partition_count);
    if (must_be_fixed(error)) return TOPICS_REFUSED;
    const int64_t deadline_us = world.now_us + timeout_ms * (int64_t)MS_US;
    if (!kafka_trip(deadline_us)) return retry(error);
    if (*there_us(topic) == NEVER_US) *there_us(topic) = world.now_us + roll(300) * (int64_t)MS_US;
    trace("creates the topic %s", topic);
    happens(EVENT_TOPICS_CREATED);
    return kafka_trip(deadline_us) ? TOPICS_OK : retry(error);
}
