#include "app/config_keys.h"

#include <assert.h>
#include <string.h>

#include "app/config.h"

#define MODULE(name)                                                                               \
    { name##_setting_table, offsetof(struct config, name) }

/* Keys are shown in this order. */
static const struct {
    const struct setting *table;
    size_t offset;
} modules[] = {
    MODULE(instance),
    {kafka_source_setting_table, offsetof(struct config, source)},
    {kafka_sink_setting_table, offsetof(struct config, sink)},
    MODULE(publish),
    MODULE(aggregate),
    MODULE(login),
    MODULE(redis),
    MODULE(ingest),
    MODULE(expose),
    MODULE(log),
};

static const char *const kafka_sections[] = {
    [KAFKA_BOTH] = "kafka", [KAFKA_CONSUMER] = "consumer", [KAFKA_PRODUCER] = "producer"};
enum { KAFKA_SECTIONS = sizeof kafka_sections / sizeof *kafka_sections };

struct config_key config_keys_at(size_t index) {
    for (size_t m = 0; m < sizeof modules / sizeof *modules; m++) {
        for (const struct setting *s = modules[m].table; s->section != NULL; s++) {
            if (index-- == 0) return (struct config_key){s, modules[m].offset};
        }
    }
    return (struct config_key){NULL, 0};
}

/* The first key of the section that has this name, or any name if that is NULL. */
static struct config_key find(const char *section, const char *name) {
    struct config_key key;
    for (size_t i = 0; (key = config_keys_at(i)).setting != NULL; i++) {
        if (strcmp(key.setting->section, section) != 0) continue;
        if (name == NULL || strcmp(key.setting->name, name) == 0) break;
    }
    return key;
}

struct config_key config_keys_find(const char *section, const char *name) {
    assert(name != NULL);
    return find(section, name);
}

const char *config_keys_section(size_t index) {
    struct config_key key;
    if (index < KAFKA_SECTIONS) return kafka_sections[index];
    index -= KAFKA_SECTIONS;
    for (size_t i = 0; (key = config_keys_at(i)).setting != NULL; i++) {
        const char *section = key.setting->section;
        const bool is_new =
            config_keys_role(section) < 0 && find(section, NULL).setting == key.setting;
        if (is_new && index-- == 0) return section;
    }
    return NULL;
}

bool config_keys_has_section(const char *section) {
    return config_keys_role(section) >= 0 || find(section, NULL).setting != NULL;
}

int config_keys_role(const char *section) {
    for (int role = 0; role < KAFKA_SECTIONS; role++) {
        if (strcmp(section, kafka_sections[role]) == 0) return role;
    }
    return -1;
}
