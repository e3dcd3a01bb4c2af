#include "app/config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "app/config_environment.h"
#include "app/config_file.h"
#include "app/config_keys.h"
#include "app/config_sources.h"
#include "app/options.h"
#include "base/clamp.h"
#include "base/error.h"
#include "base/memory.h"
#include "edge/redis_link.h"

enum { SHARDS_MAX = 64, DRAIN_MS_MAX = 10000 };

static bool read_sources(struct config_sources *sources, const struct options *options, char **envp,
                         struct error *error) {
    if (options->config_path != NULL && !config_file_read(sources, options->config_path, error)) {
        return false;
    }
    if (!config_environment_read(sources, envp, error)) return false;
    for (int i = 0; i < options->override_count; i++) {
        if (!config_sources_override(sources, options->overrides[i], error)) return false;
    }
    return true;
}

static void put_unless_given(struct config *config, struct properties *own, const char *name,
                             const char *value) {
    if (kafka_conf_get(&config->kafka, name) != NULL || kafka_conf_get(own, name) != NULL) return;
    kafka_conf_put(own, name, value);
}

/* Our defaults where librdkafka's are slow to notice that an instance is gone. With the consumer
 * protocol (KIP-848) the broker says how long it waits, and the client may not. */
static void fill_kafka(struct config *config) {
    put_unless_given(config, &config->kafka, "bootstrap.servers", "localhost:9092");
    put_unless_given(config, &config->producer, "transaction.timeout.ms", "10000");
    if (!kafka_conf_is_classic(&config->kafka, &config->consumer)) return;
    put_unless_given(config, &config->consumer, "session.timeout.ms", "10000");
    put_unless_given(config, &config->consumer, "heartbeat.interval.ms", "1000");
}

/* The defaults that depend on the machine, or on what was set. */
static bool fill_rest(struct config *config, const struct options *options, struct error *error) {
    config->instance.is_static = config->instance.id != NULL;
    if (!config->instance.is_static) {
        unsigned id;
        char text[16];
        if (getrandom(&id, sizeof id, 0) != sizeof id) return error_set(error, "no random numbers");
        snprintf(text, sizeof text, "%08x", id);
        config->instance.id = memory_text(text);
    }
    if (config->instance.shards == 0) {
        config->instance.shards = (int)clamp(sysconf(_SC_NPROCESSORS_ONLN), 1, SHARDS_MAX);
    }
    if (options->is_verbose) config->log.level = LOG_DEBUG;
    if (options->is_quiet) config->log.level = LOG_WARN;
    fill_kafka(config);
    const int64_t session_ms =
        kafka_conf_number(&config->kafka, &config->consumer, KAFKA_CONSUMER, "session.timeout.ms");
    config->drain_ms = (int)clamp(session_ms / 2, 0, DRAIN_MS_MAX);
    return true;
}

/* Begins an error about a key with the place that set it. */
static bool refuse(const struct config_sources *sources, const char *section, const char *key,
                   struct error *error, const char *why) {
    char place[CONFIG_PLACE_BYTES];
    config_sources_locate(sources, section, key, place);
    return error_set(error, "%s: %s.%s %s", place, section, key, why);
}

static bool check_topics(const struct config_sources *sources, struct error *error) {
    const struct config *config = sources->config;
    const char *input = config->input.topic;
    const char *output = config->output.topic;
    const char *rejected = config->output.rejected_topic;
    if (strcmp(output, input) == 0) {
        return refuse(sources, "output", "topic", error, "is the input's topic too");
    }
    if (strcmp(rejected, input) == 0) {
        return refuse(sources, "output", "rejected_topic", error, "is the input's topic too");
    }
    if (strcmp(rejected, output) == 0) {
        return refuse(sources, "output", "rejected_topic", error, "is the same as output.topic");
    }
    return true;
}

/* A member that says less often that it lives than the group asks for is expelled again and again.
 */
static bool check_heartbeat(const struct config_sources *sources, struct error *error) {
    const struct config *config = sources->config;
    struct error why;
    if (!kafka_conf_is_classic(&config->kafka, &config->consumer)) return true;
    const int64_t beat_ms = kafka_conf_number(&config->kafka, &config->consumer, KAFKA_CONSUMER,
                                              "heartbeat.interval.ms");
    const int64_t session_ms =
        kafka_conf_number(&config->kafka, &config->consumer, KAFKA_CONSUMER, "session.timeout.ms");
    if (beat_ms < session_ms) return true;
    error_set(&why,
              "must be below session.timeout.ms, a third of it or less: it is %lld, and that %lld",
              (long long)beat_ms, (long long)session_ms);
    return refuse(sources, "consumer", "heartbeat.interval.ms", error, why.text);
}

static bool check_times(const struct config_sources *sources, struct error *error) {
    const struct config *config = sources->config;
    const int64_t transaction_ms = kafka_conf_number(&config->kafka, &config->producer,
                                                     KAFKA_PRODUCER, "transaction.timeout.ms");
    struct error why;
    if (config->output.guarantee == CONFIG_EXACTLY_ONCE &&
        config->output.commit_ms >= transaction_ms) {
        error_set(&why,
                  "must be below the producer's transaction.timeout.ms (10000 unless set): it is "
                  "%d, and that %lld",
                  config->output.commit_ms, (long long)transaction_ms);
        return refuse(sources, "output", "commit_ms", error, why.text);
    }
    const bool is_commit = config->output.commit_ms > config->redis.checkpoint_ms;
    const int longer_ms = is_commit ? config->output.commit_ms : config->redis.checkpoint_ms;
    if (config->drain_ms > longer_ms) return true;
    char place[CONFIG_PLACE_BYTES];
    if (config_sources_locate(sources, "consumer", "session.timeout.ms", place)) {
        error_set(
            &why,
            "is too short to hand over a partition: half of it, 10000 at most, is %d, and must "
            "be more than output.commit_ms (%d) and redis.checkpoint_ms (%d)",
            config->drain_ms, config->output.commit_ms, config->redis.checkpoint_ms);
        return refuse(sources, "consumer", "session.timeout.ms", error, why.text);
    }
    error_set(&why,
              "must be below 10000, and below half of consumer.session.timeout.ms: it is %d, and "
              "that half %d",
              longer_ms, config->drain_ms);
    return refuse(sources, is_commit ? "output" : "redis",
                  is_commit ? "commit_ms" : "checkpoint_ms", error, why.text);
}

/* By the parser that will read it; nothing is connected. */
static bool check_redis(const struct config_sources *sources, struct error *error) {
    struct error why;
    char place[CONFIG_PLACE_BYTES];
    const struct config *config = sources->config;
    struct redis_link *link = redis_link_create(config->redis.url, config->redis.timeout_ms, &why);
    const bool is_right = link != NULL;
    redis_link_destroy(&link);
    if (is_right) return true;
    config_sources_locate(sources, "redis", "url", place);
    return error_set(error, "%s: %s", place, why.text);
}

static bool check_clients(const struct config_sources *sources, struct error *error) {
    const struct config *config = sources->config;
    struct error why;
    const char *sections = "[kafka] and [consumer]";
    if (kafka_conf_try(&config->kafka, &config->consumer, KAFKA_CONSUMER, false, &why)) {
        sections = "[kafka] and [producer]";
        if (kafka_conf_try(&config->kafka, &config->producer, KAFKA_PRODUCER,
                           config->output.guarantee == CONFIG_EXACTLY_ONCE, &why)) {
            return true;
        }
    }
    char place[CONFIG_PLACE_BYTES];
    const bool has_place = config_sources_locate_named(sources, why.text, place);
    return error_set(error, "%s: %s", has_place ? place : sections, why.text);
}

struct config *config_create(const struct options *options, char **envp, struct error *error) {
    struct config_sources sources = {0};
    struct config *config = memory_create(sizeof *config);
    const bool is_right = config_sources_open(&sources, config, error) &&
                          read_sources(&sources, options, envp, error) &&
                          fill_rest(config, options, error) && check_topics(&sources, error) &&
                          check_times(&sources, error) && check_heartbeat(&sources, error) &&
                          check_redis(&sources, error) && check_clients(&sources, error);
    config_sources_close(&sources);
    if (!is_right) config_destroy(&config);
    return config;
}

void config_destroy(struct config **config) {
    if (*config == NULL) return;
    kafka_conf_release(&(*config)->kafka);
    kafka_conf_release(&(*config)->consumer);
    kafka_conf_release(&(*config)->producer);
    config_keys_release(*config);
    free(*config);
    *config = NULL;
}

static void print_properties(const struct properties *properties, FILE *out) {
    for (size_t i = 0; i < properties->count; i++) {
        const struct property *property = &properties->items[i];
        fprintf(out, "%s = %s\n", property->name,
                kafka_names_is_secret(property->name) ? "***" : property->value);
    }
}

void config_print(const struct config *config, FILE *out) {
    fputs("[kafka]\n", out);
    print_properties(&config->kafka, out);
    fputs("\n[producer]\n", out);
    print_properties(&config->producer, out);
    const char *section = "";
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (strcmp(key->section, section) != 0) fprintf(out, "\n[%s]\n", key->section);
        section = key->section;
        const bool is_random =
            !config->instance.is_static && key == config_keys_find("instance", "id");
        fprintf(out, "%s%s = ", is_random ? "# random: " : "", key->name);
        if (key->is_secret) {
            struct redis_link *link = redis_link_create(config->redis.url, 0, NULL);
            fputs(redis_link_name(link), out);
            redis_link_destroy(&link);
        } else {
            config_keys_write(key, config, out);
        }
        fputc('\n', out);
        if (strcmp(section, "consumer") == 0) print_properties(&config->consumer, out);
    }
}
