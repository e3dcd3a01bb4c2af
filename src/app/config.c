#include "app/config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "app/config_named.h"
#include "app/config_sources.h"
#include "app/options.h"
#include "base/clamp.h"
#include "base/cores.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "base/secret.h"
#include "config_private.h"
#include "edge/redis_link.h"

enum { SHARDS_MAX = 64, DRAIN_MS_MAX = 10000 };

const struct setting instance_setting_table[] = {
    SETTING_TEXT(struct instance_settings, id, "instance", "id", 1, 128, NULL, setting_is_name,
                 "an id has letters, digits, '.', '_' and '-'", 0,
                 "name of this instance in Kafka; if set, a restart moves no partitions; "
                 "random by default"),
    SETTING_NUMBER(
        struct instance_settings, shards, "instance", "shards", 1, SHARDS_MAX, NULL, 0,
        "threads that count; unless set, as many as the process may use cores (affinity, "
        "cgroup quota)"),
    SETTING_NUMBER(struct instance_settings, memory_mb, "instance", "memory_mb", 64, 65536, "256",
                   0, "memory for everything, librdkafka's queues included, in MB"),
    SETTING_END};

#define PROPERTY(section_, name_, fallback_, flags_, help_)                                        \
    {                                                                                              \
        .section = (section_), .name = (name_), .fallback = (fallback_), .flags = (flags_),        \
        .help = (help_)                                                                            \
    }
const struct setting config_properties[] = {
    PROPERTY("kafka", "bootstrap.servers", "localhost:9092", 0, "the brokers to ask first"),
    PROPERTY("consumer", "session.timeout.ms", "10000", CONFIG_CLASSIC_ONLY,
             "how soon the group notices that an instance is gone"),
    PROPERTY("consumer", "heartbeat.interval.ms", "1000", CONFIG_CLASSIC_ONLY,
             "at most a third of session.timeout.ms"),
    PROPERTY("producer", "transaction.timeout.ms", "10000", 0,
             "how soon the broker ends the transaction of an instance that is gone"),
    SETTING_END};

/* Keys are shown in this order. */
static const struct {
    const struct setting *table;
    size_t offset; /* of the module's struct */
} modules[] = {
    {instance_setting_table, offsetof(struct config, instance)},
    {kafka_source_setting_table, offsetof(struct config, source)},
    {kafka_sink_setting_table, offsetof(struct config, sink)},
    {publish_setting_table, offsetof(struct config, publish)},
    {aggregate_setting_table, offsetof(struct config, aggregate)},
    {login_setting_table, offsetof(struct config, login)},
    {redis_setting_table, offsetof(struct config, redis)},
    {ingest_setting_table, offsetof(struct config, ingest)},
    {expose_setting_table, offsetof(struct config, expose)},
    {log_setting_table, offsetof(struct config, log)},
};

/* They are shown in this order. */
const char *const config_sections[] = {"kafka", "consumer", "producer",  "instance",
                                       "input", "output",   "aggregate", "anomaly",
                                       "redis", "http",     "log",       NULL};

struct config_key config_key_at(size_t index) {
    for (size_t m = 0; m < sizeof modules / sizeof *modules; m++) {
        for (const struct setting *s = modules[m].table; s->section != NULL; s++) {
            if (index-- == 0) return (struct config_key){s, modules[m].offset};
        }
    }
    return (struct config_key){NULL, 0};
}

struct config_key config_key_find(const char *section, const char *name) {
    struct config_key key;
    for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++) {
        if (strcmp(key.setting->section, section) == 0 && strcmp(key.setting->name, name) == 0)
            break;
    }
    return key;
}

static size_t index_of(const char *section) {
    size_t i = 0;
    while (config_sections[i] != NULL && strcmp(config_sections[i], section) != 0)
        i++;
    return i;
}

bool config_has_section(const char *section) {
    return config_sections[index_of(section)] != NULL;
}

int config_role(const char *section) {
    const size_t i = index_of(section);
    return i <= KAFKA_PRODUCER ? (int)i : -1;
}

/* --- defaults --------------------------------------------------------------------------------- */

static void fill_kafka(struct config *config) {
    const bool is_classic = kafka_conf_is_classic(&config->kafka, &config->consumer);
    for (const struct setting *item = config_properties; item->section != NULL; item++) {
        struct properties *own = &config->by_role[config_role(item->section)];
        if ((item->flags & CONFIG_CLASSIC_ONLY) != 0 && !is_classic) continue;
        if (kafka_conf_get(&config->kafka, item->name) != NULL) continue;
        if (kafka_conf_get(own, item->name) != NULL) continue;
        kafka_conf_put(own, item->name, item->fallback);
    }
}

static int64_t session_timeout_ms(const struct config *config) {
    return kafka_conf_number(&config->kafka, &config->consumer, KAFKA_CONSUMER,
                             "session.timeout.ms");
}

/* The defaults that depend on the machine, or on what was set. */
static bool fill_rest(struct config *config, const struct options *options, struct error *error) {
    config->is_static = config->instance.id != NULL;
    if (!config->is_static) {
        unsigned id;
        char text[16];
        if (getrandom(&id, sizeof id, 0) != sizeof id) return error_set(error, "no random numbers");
        snprintf(text, sizeof text, "%08x", id);
        config->instance.id = memory_text(text);
    }
    config->has_shards = config->instance.shards != 0;
    if (!config->has_shards) {
        config->instance.shards = (int)clamp(cores_usable(), 1, SHARDS_MAX);
    }
    for (int i = 0; i < config->login.dimension_count; i++) {
        struct login_dimension_settings *dimension = &config->login.dimensions[i];
        if (dimension->from == NULL) dimension->from = memory_text(dimension->name);
    }
    if (options->is_verbose) config->log.level = LOG_DEBUG;
    if (options->is_quiet) config->log.level = LOG_WARN;
    fill_kafka(config);
    config->drain_ms = (int)clamp(session_timeout_ms(config) / 2, 0, DRAIN_MS_MAX);
    return true;
}

/* --- what the settings may not be together ---------------------------------------------------- */

static const char *place_of(const struct config_sources *sources, const char *section,
                            const char *key) {
    const char *place = config_sources_place(sources, section, key);
    return place == NULL ? "the default" : place;
}

/* An error about a key, which begins with the place that set it. */
__attribute__((format(printf, 5, 6))) static bool reject(const struct config_sources *sources,
                                                         const char *section, const char *key,
                                                         struct error *error, const char *format,
                                                         ...) {
    char why[ERROR_BYTES / 2];
    va_list values;
    va_start(values, format);
    vsnprintf(why, sizeof why, format, values);
    va_end(values);
    return error_set(error, "%s: %s.%s %s", place_of(sources, section, key), section, key, why);
}

static bool check_dimensions(const struct config_sources *sources, struct error *error) {
    struct error why;
    if (aggregates_check(&sources->config->aggregate, &why)) return true;
    return reject(sources, "aggregate", "dimensions", error, "%s", why.text);
}

/* [dimension.NAME] is about one of aggregate.dimensions. */
static bool check_named_dimensions(const struct config_sources *sources, struct error *error) {
    const struct login_settings *login = &sources->config->login;
    const struct setting_names *names = &sources->config->aggregate.dimensions;
    for (int i = 0; i < login->dimension_count; i++) {
        const char *name = login->dimensions[i].name;
        struct nearest nearest = nearest_to(name);
        bool is_known = false;
        for (int d = 0; d < names->count; d++) {
            is_known = is_known || strcmp(names->items[d], name) == 0;
            nearest_offer(&nearest, names->items[d]);
        }
        if (is_known) continue;
        char section[160];
        snprintf(section, sizeof section, "dimension.%s", name);
        return error_set(error, "%s: [%s]: %s is not in aggregate.dimensions%s",
                         config_sources_place_section(sources, section), section, name,
                         nearest_hint(&nearest, "[dimension.", "]"));
    }
    return true;
}

static bool check_counts(const struct config_sources *sources, struct error *error) {
    const struct aggregate_settings *settings = &sources->config->aggregate;
    for (int i = 0; i < settings->count_count; i++) {
        const struct declared_settings *count = &settings->counts[i];
        char section[160];
        struct error why;
        if (declared_check(count, &settings->dimensions, &why)) continue;
        snprintf(section, sizeof section, "count.%s", count->name);
        const char *place = config_sources_place_section(sources, section);
        return error_set(error, "%s: %s", place == NULL ? "[count.NAME]" : place, why.text);
    }
    return true;
}

static bool check_topics(const struct config_sources *sources, struct error *error) {
    const char *input = sources->config->source.topic;
    const struct kafka_sink_settings *sink = &sources->config->sink;
    if (strcmp(sink->topic, input) == 0)
        return reject(sources, "output", "topic", error, "is also the input topic");
    if (strcmp(sink->rejected_topic, input) == 0)
        return reject(sources, "output", "rejected_topic", error, "is also the input topic");
    if (strcmp(sink->rejected_topic, sink->topic) == 0)
        return reject(sources, "output", "rejected_topic", error, "is the same as output.topic");
    return true;
}

/* A member whose heartbeats are further apart than the group allows is expelled again and again. */
static bool check_heartbeat(const struct config_sources *sources, struct error *error) {
    const struct config *config = sources->config;
    if (!kafka_conf_is_classic(&config->kafka, &config->consumer)) return true;
    const int64_t beat_ms = kafka_conf_number(&config->kafka, &config->consumer, KAFKA_CONSUMER,
                                              "heartbeat.interval.ms");
    const int64_t session_ms = session_timeout_ms(config);
    if (beat_ms < session_ms) return true;
    return reject(sources, "consumer", "heartbeat.interval.ms", error,
                  "(%lld) must be below session.timeout.ms (%lld), best a third of it or less",
                  (long long)beat_ms, (long long)session_ms);
}

static bool check_transaction(const struct config_sources *sources, struct error *error) {
    const struct config *config = sources->config;
    const int64_t transaction_ms = kafka_conf_number(&config->kafka, &config->producer,
                                                     KAFKA_PRODUCER, "transaction.timeout.ms");
    if (config->sink.guarantee != KAFKA_SINK_EXACTLY_ONCE ||
        config->publish.commit_ms < transaction_ms) {
        return true;
    }
    return reject(sources, "output", "commit_ms", error,
                  "(%d) must be below the producer's transaction.timeout.ms (%lld)",
                  config->publish.commit_ms, (long long)transaction_ms);
}

/* What is under way must come to its end while a partition is given back. */
static bool check_drain(const struct config_sources *sources, struct error *error) {
    const struct config *config = sources->config;
    const int commit_ms = config->publish.commit_ms;
    const int checkpoint_ms = config->ingest.checkpoint_ms;
    const int longest_ms = commit_ms > checkpoint_ms ? commit_ms : checkpoint_ms;
    if (config->drain_ms > longest_ms) return true;
    if (config_sources_place(sources, "consumer", "session.timeout.ms") != NULL) {
        return reject(
            sources, "consumer", "session.timeout.ms", error,
            "is too short to give a partition back: half of it, but at most 10000, is "
            "%d, and must be more than output.commit_ms (%d) and redis.checkpoint_ms (%d)",
            config->drain_ms, commit_ms, checkpoint_ms);
    }
    const bool is_commit = longest_ms == commit_ms && commit_ms != checkpoint_ms;
    return reject(sources, is_commit ? "output" : "redis",
                  is_commit ? "commit_ms" : "checkpoint_ms", error,
                  "(%d) must be below 10000, and below half of consumer.session.timeout.ms (%d)",
                  longest_ms, config->drain_ms);
}

/* By the parser that will read it; nothing is connected. */
static bool check_redis(const struct config_sources *sources, struct error *error) {
    struct error why;
    const struct redis_settings *redis = &sources->config->redis;
    struct redis_link *link = redis_link_create(redis, &why);
    const bool is_right = link != NULL;
    redis_link_destroy(&link);
    return is_right || error_set(error, "%s: %s", place_of(sources, "redis", "url"), why.text);
}

static bool check_client(const struct config_sources *sources, enum kafka_role role,
                         struct error *error) {
    struct config *config = sources->config;
    struct error why;
    const bool is_transactional =
        role == KAFKA_PRODUCER && config->sink.guarantee == KAFKA_SINK_EXACTLY_ONCE;
    if (kafka_conf_try(&config->kafka, &config->by_role[role], role, is_transactional, &why))
        return true;
    const char *place = config_sources_place_named(sources, why.text);
    if (place != NULL) return error_set(error, "%s: %s", place, why.text);
    return error_set(error, "[kafka] and [%s]: %s", config_sections[role], why.text);
}

static bool check(const struct config_sources *sources, struct error *error) {
    return check_topics(sources, error) && check_dimensions(sources, error) &&
           check_named_dimensions(sources, error) && check_counts(sources, error) &&
           check_transaction(sources, error) && check_drain(sources, error) &&
           check_heartbeat(sources, error) && check_redis(sources, error) &&
           check_client(sources, KAFKA_CONSUMER, error) &&
           check_client(sources, KAFKA_PRODUCER, error);
}

struct config *config_create(const struct options *options, char **envp, struct error *error) {
    struct config_sources sources = {0};
    struct config *config = memory_create(sizeof *config);
    const bool is_right = config_sources_read(&sources, config, options, envp, error) &&
                          fill_rest(config, options, error) && check(&sources, error);
    config_sources_close(&sources);
    if (is_right) {
        config->redis.latest = secret_create(config->redis.url);
        config->redis.sentinel_latest = secret_create(config->redis.sentinel_password);
    }
    if (!is_right) config_destroy(&config);
    return config;
}

void config_destroy(struct config **config) {
    struct config_key key;
    if (*config == NULL) return;
    kafka_conf_release(&(*config)->kafka);
    kafka_conf_release(&(*config)->consumer);
    kafka_conf_release(&(*config)->producer);
    free((*config)->redis.url_file);
    free((*config)->redis.sentinel_password_file);
    config_named_release(*config);
    secret_destroy(&(*config)->redis.latest);
    secret_destroy(&(*config)->redis.sentinel_latest);
    for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++)
        setting_release(key.setting, (char *)*config + key.offset);
    free(*config);
    *config = NULL;
}
