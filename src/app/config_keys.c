#include "app/config_keys.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/nearest.h"

static bool is_name(const char *text) {
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return text[strspn(text, allowed)] == '\0';
}

static bool is_topic(const char *text) {
    return is_name(text) && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

static bool is_printable(const char *text) {
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7F) return false;
    }
    return true;
}

static bool is_address(const char *text) {
    if (text[0] == '\0') return true;
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || !is_printable(text)) return false;
    const size_t digits = strspn(colon + 1, "0123456789");
    return digits > 0 && digits <= 5 && colon[1 + digits] == '\0' &&
           strtol(colon + 1, NULL, 10) <= 65535;
}

#define IS_TOPIC                                                                                   \
    .is_right = is_topic, .rule = "a topic's name has letters, digits, '.', '_' and '-'"
#define AT(member) .offset = offsetof(struct config, member)

/* Choices stand in the order of their enum. */
const struct config_key config_keys[] = {
    {"consumer", "group.id", CONFIG_TEXT, 1, 249, AT(group_id), "rollcall",
     .is_right = is_printable, .rule = "no spaces"},
    {"instance", "id", CONFIG_TEXT, 1, 128, AT(instance.id), NULL, .is_right = is_name,
     .rule = "an id has letters, digits, '.', '_' and '-'"},
    {"instance", "shards", CONFIG_NUMBER, 1, 64, AT(instance.shards), NULL},
    {"instance", "memory_mb", CONFIG_NUMBER, 64, 65536, AT(instance.memory_mb), "256"},
    {"input", "topic", CONFIG_TEXT, 1, 249, AT(input.topic), "user-login", IS_TOPIC},
    {"input", "start", CONFIG_CHOICE, AT(input.start), "earliest",
     .choices = {"earliest", "latest"}},
    {"input", "on_gap", CONFIG_CHOICE, AT(input.on_gap), "fail", .choices = {"fail", "continue"}},
    {"output", "topic", CONFIG_TEXT, 1, 249, AT(output.topic), "processed-user-login", IS_TOPIC},
    {"output", "rejected_topic", CONFIG_TEXT, 0, 249, AT(output.rejected_topic),
     "user-login-rejected", IS_TOPIC},
    {"output", "guarantee", CONFIG_CHOICE, AT(output.guarantee), "exactly_once",
     .choices = {"at_least_once", "exactly_once"}},
    {"output", "commit_ms", CONFIG_NUMBER, 1, 60000, AT(output.commit_ms), "100"},
    {"aggregate", "dimensions", CONFIG_NAMES, 1, 64, AT(aggregate.dimensions), "device_type,locale",
     .is_right = is_name, .rule = "a dimension has letters, digits, '.', '_' and '-'"},
    {"aggregate", "max_values", CONFIG_NUMBER, 1, 1000000, AT(aggregate.max_values), "10000"},
    {"aggregate", "max_days", CONFIG_NUMBER, 1, 100000, AT(aggregate.max_days), "4000"},
    {"aggregate", "retention_days", CONFIG_NUMBER, 1, 36500, AT(aggregate.retention_days), "400"},
    {"aggregate", "max_future_s", CONFIG_NUMBER, 0, 315360000, AT(aggregate.max_future_s), "3600"},
    {"anomaly", "threshold", CONFIG_NUMBER, 1, 1000000000, AT(anomaly.threshold), "10"},
    {"redis", "url", CONFIG_TEXT, 1, 4096, AT(redis.url), "redis://localhost:6379/0",
     .is_right = is_printable, .rule = "no spaces",
     .is_secret = true}, /* config.c looks at the rest */
    {"redis", "prefix", CONFIG_TEXT, 1, 200, AT(redis.prefix), "{user-login}",
     .is_right = is_printable, .rule = "no spaces"},
    {"redis", "checkpoint_ms", CONFIG_NUMBER, 10, 60000, AT(redis.checkpoint_ms), "500"},
    {"redis", "timeout_ms", CONFIG_NUMBER, 100, 600000, AT(redis.timeout_ms), "5000"},
    {"http", "listen", CONFIG_TEXT, 0, 255, AT(http.listen), "127.0.0.1:9464",
     .is_right = is_address, .rule = "host:port, or nothing at all"},
    {"log", "level", CONFIG_CHOICE, AT(log.level), "info",
     .choices = {"error", "warn", "info", "debug"}},
    {"log", "format", CONFIG_CHOICE, AT(log.format), "logfmt", .choices = {"logfmt", "json"}},
};
const size_t config_key_count = sizeof config_keys / sizeof config_keys[0];

static_assert((int)CURSOR_START_EARLIEST == 0 && (int)CURSOR_START_LATEST == 1, "input.start");
static_assert((int)CURSOR_GAP_FAIL == 0 && (int)CURSOR_GAP_CONTINUE == 1, "input.on_gap");
static_assert((int)LOG_ERROR == 0 && (int)LOG_DEBUG == 3 && (int)LOG_JSON == 1, "log");
static_assert((int)CONFIG_AT_LEAST_ONCE == 0 && (int)CONFIG_EXACTLY_ONCE == 1, "output.guarantee");
static_assert(sizeof(enum log_level) == sizeof(int), "choices are stored as int");

const struct config_key *config_keys_find(const char *section, const char *name) {
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (strcmp(key->section, section) == 0 && strcmp(key->name, name) == 0) return key;
    }
    return NULL;
}

bool config_keys_has_section(const char *section, struct nearest *nearest) {
    static const char *const sections[] = {"kafka", "consumer", "producer",  "instance",
                                           "input", "output",   "aggregate", "anomaly",
                                           "redis", "http",     "log"};
    bool is_known = false;
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        is_known = is_known || strcmp(section, sections[i]) == 0;
        if (nearest != NULL) nearest_offer(nearest, sections[i]);
    }
    return is_known;
}

static void *member_of(const struct config_key *key, const struct config *config) {
    return (char *)config + key->offset;
}

static bool set_text(const struct config_key *key, char **member, const char *value,
                     struct error *error) {
    const size_t count = strlen(value);
    if (count < (size_t)key->min || count > (size_t)key->max) {
        return error_set(error, "it has %zu bytes; allowed are %d to %d", count, key->min,
                         key->max);
    }
    if (key->is_right != NULL && !key->is_right(value)) {
        if (key->is_secret) return error_set(error, "wrong form: %s", key->rule);
        return error_set(error, "\"%s\" has the wrong form: %s", value, key->rule);
    }
    free(*member);
    *member = memory_text(value);
    return true;
}

static bool set_number(const struct config_key *key, int *member, const char *value,
                       struct error *error) {
    char *end = NULL;
    errno = 0;
    const long long number = strtoll(value, &end, 10);
    const bool is_number = (isdigit((unsigned char)value[0]) || value[0] == '-') && *end == '\0';
    if (!is_number) return error_set(error, "\"%s\" is no whole number", value);
    if (errno != 0 || number < key->min || number > key->max) {
        return error_set(error, "%s is out of range; allowed are %d to %d", value, key->min,
                         key->max);
    }
    *member = (int)number;
    return true;
}

/* Answers the value's place among the choices, or -1. */
static int find_choice(const struct config_key *key, const char *value, struct error *error) {
    char list[256] = "";
    size_t used = 0;
    for (int i = 0; i < CONFIG_CHOICES_MAX && key->choices[i] != NULL; i++) {
        if (strcmp(key->choices[i], value) == 0) return i;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ",
                                 key->choices[i]);
        assert(used < sizeof list);
    }
    error_set(error, "\"%s\" is not one of: %s", value, list);
    return -1;
}

static void release_names(struct config *config) {
    for (int i = 0; i < LOGIN_DIMENSIONS_MAX; i++) {
        free(config->aggregate.dimensions[i]);
        config->aggregate.dimensions[i] = NULL;
    }
    config->aggregate.dimension_count = 0;
}

static bool check_dimension(const struct config_key *key, const struct config *config,
                            const char *name, struct error *error) {
    const size_t count = strlen(name);
    if (count < (size_t)key->min) return error_set(error, "a dimension has no name");
    if (count > (size_t)key->max) {
        return error_set(error, "dimension \"%s\" is longer than %d bytes", name, key->max);
    }
    if (!key->is_right(name)) {
        return error_set(error, "dimension \"%s\" has the wrong form: %s", name, key->rule);
    }
    if (strcmp(name, "rejected") == 0) {
        return error_set(error, "a dimension cannot be called rejected: Redis holds the rejected "
                                "records' counts under that name");
    }
    if (config->aggregate.dimension_count == LOGIN_DIMENSIONS_MAX) {
        return error_set(error, "there are at most %d dimensions", LOGIN_DIMENSIONS_MAX);
    }
    for (int i = 0; i < config->aggregate.dimension_count; i++) {
        if (strcmp(config->aggregate.dimensions[i], name) == 0) {
            return error_set(error, "dimension \"%s\" is there twice", name);
        }
    }
    return true;
}

/* Names between commas; spaces around a name do not count. */
static bool set_names(const struct config_key *key, struct config *config, const char *value,
                      struct error *error) {
    char *copy = memory_text(value);
    release_names(config);
    char *rest = copy;
    bool is_right = true;
    for (char *name = strsep(&rest, ","); is_right && name != NULL; name = strsep(&rest, ",")) {
        name += strspn(name, " \t");
        for (size_t end = strlen(name); end > 0 && strchr(" \t", name[end - 1]) != NULL; end--) {
            name[end - 1] = '\0';
        }
        is_right = check_dimension(key, config, name, error);
        if (!is_right) break;
        config->aggregate.dimensions[config->aggregate.dimension_count++] = memory_text(name);
    }
    free(copy);
    return is_right;
}

bool config_keys_set(const struct config_key *key, struct config *config, const char *value,
                     struct error *error) {
    void *member = member_of(key, config);
    switch (key->type) {
    case CONFIG_TEXT:
        return set_text(key, member, value, error);
    case CONFIG_NUMBER:
        return set_number(key, member, value, error);
    case CONFIG_NAMES:
        return set_names(key, config, value, error);
    case CONFIG_CHOICE:
        break;
    }
    const int choice = find_choice(key, value, error);
    if (choice < 0) return false;
    *(int *)member = choice;
    return true;
}

void config_keys_write(const struct config_key *key, const struct config *config, FILE *out) {
    const void *member = member_of(key, config);
    switch (key->type) {
    case CONFIG_TEXT:
        fputs(*(char *const *)member, out);
        break;
    case CONFIG_NUMBER:
        fprintf(out, "%d", *(const int *)member);
        break;
    case CONFIG_CHOICE:
        fputs(key->choices[*(const int *)member], out);
        break;
    case CONFIG_NAMES:
        for (int i = 0; i < config->aggregate.dimension_count; i++) {
            fprintf(out, "%s%s", i == 0 ? "" : ",", config->aggregate.dimensions[i]);
        }
        break;
    }
}

void config_keys_release(struct config *config) {
    for (size_t i = 0; i < config_key_count; i++) {
        if (config_keys[i].type != CONFIG_TEXT) continue;
        char **member = member_of(&config_keys[i], config);
        free(*member);
        *member = NULL;
    }
    release_names(config);
}
