#include "app/preflight.h"

#include "base/clock.h"
#include "base/fence.h"
#include "base/log.h"
#include "edge/kafka_source.h"

enum { KAFKA_CALL_MS = 5000, DESCRIBE_MS = 1500 };

bool preflight_redis(const struct config *config, struct redis_store *store,
                     const struct stop *stop, struct error *error) {
    struct error warning;
    int delay_ms = STOP_RETRY_MS;
    int64_t until_ms = clock_ms() + config->redis.timeout_ms;
    for (;;) {
        enum store_verdict verdict = redis_store_check(store, &warning, error);
        if (verdict == STORE_OK) break;
        if (verdict == STORE_REFUSED) return false;
        log_warn("Waiting for Redis", log_text("reason", error->text));
        if (clock_ms() >= until_ms || !stop_back_off(stop, &delay_ms)) {
            struct error reason = *error;
            return error_set(error, "%.700s; start Redis, or set redis.url", reason.text);
        }
    }
    if (warning.text[0] != '\0') log_warn(warning.text);
    return true;
}

/* What every look at Kafka needs. */
struct flight {
    /* cppcheck-suppress unusedStructMember ; the log's arguments are hidden from it */
    const struct config *config;
    const struct stop *stop;
    rd_kafka_t *client;
};

static bool look(const struct flight *flight, const char *topic, struct topic_facts *facts,
                 struct error *error) {
    int delay_ms = STOP_RETRY_MS;
    for (;;) {
        enum topics_verdict verdict =
            kafka_topics_look(flight->client, topic, KAFKA_CALL_MS, facts, error);
        if (verdict != TOPICS_RETRY) return verdict == TOPICS_OK;
        log_warn("Waiting for Kafka",
                 log_text("bootstrap.servers",
                          kafka_conf_get(&flight->config->kafka, "bootstrap.servers")),
                 log_text("reason", error->text));
        if (!stop_back_off(flight->stop, &delay_ms)) return false;
    }
}

/* Makes an output topic where there is none. */
static bool ensure_output(const struct flight *flight, const char *topic, int partition_count,
                          struct error *error) {
    struct topic_facts facts;
    if (*topic == '\0') return true;
    if (!look(flight, topic, &facts, error)) return false;
    if (facts.exists) return true;
    int delay_ms = STOP_RETRY_MS;
    for (;;) {
        enum topics_verdict verdict =
            kafka_topics_create(flight->client, topic, partition_count, KAFKA_CALL_MS, error);
        if (verdict == TOPICS_REFUSED) return false;
        if (verdict == TOPICS_OK) break;
        log_warn("Waiting for Kafka", log_text("reason", error->text));
        if (!stop_back_off(flight->stop, &delay_ms)) return false;
    }
    log_info("Topic created", log_text("topic", topic), log_int("partitions", partition_count));
    delay_ms = 50;
    do { /* until the broker shows it: a transaction must not meet a topic that is not there */
        if (!look(flight, topic, &facts, error)) return false;
    } while (!facts.exists && stop_back_off(flight->stop, &delay_ms));
    return facts.exists;
}

/* Where Kafka does not say, it is taken to be so. */
static bool may_read(const struct topic_facts *input, const char *topic, struct error *error) {
    return !input->has_rights || input->may_read ||
           error_set(error, "this user may not read topic %s: let it, with the ACL Read", topic);
}

bool preflight_topics(const struct config *config, const struct stop *stop,
                      struct topic_facts *input, struct error *error) {
    struct kafka_source_options options = {
        .kafka = &config->kafka,
        .consumer = &config->consumer,
        .group = config->group_id,
        .topic = config->input.topic,
    };
    struct kafka_source *probe = kafka_source_create(&options, error);
    if (probe == NULL) return false;
    const struct flight flight = {config, stop, kafka_source_handle(probe)};
    bool is_good = look(&flight, config->input.topic, input, error);
    if (is_good && !input->exists) {
        is_good =
            error_set(error,
                      "the input topic %s does not exist: create it (kafka-topics.sh --create "
                      "--topic %s --partitions 4) or set input.topic",
                      config->input.topic, config->input.topic);
    }
    if (is_good && input->partition_count > FENCE_PARTITIONS_MAX) {
        is_good = error_set(error, "topic %s has %d partitions, and rollcall takes at most %d",
                            config->input.topic, input->partition_count, FENCE_PARTITIONS_MAX);
    }
    if (is_good) {
        kafka_topics_describe(flight.client, config->input.topic, DESCRIBE_MS, input);
        is_good =
            may_read(input, config->input.topic, error) &&
            ensure_output(&flight, config->output.topic, input->partition_count, error) &&
            ensure_output(&flight, config->output.rejected_topic, input->partition_count, error);
    }
    kafka_source_destroy(&probe);
    return is_good;
}
