/* config_keys: the tables of all modules, stacked.
 *
 * Place:    config fills struct config by it, manual writes help and docs/configuration.md from it.
 * Threads:  any; nothing changes.
 */
#ifndef APP_CONFIG_KEYS_H
#define APP_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/setting.h"

/* A setting, and where its module's struct is in struct config. */
struct config_key {
    const struct setting *setting; /* NULL: there is no such key */
    size_t offset;
};

/* The keys in the order of the tables; past the last one setting is NULL. */
struct config_key config_keys_at(size_t index);

struct config_key config_keys_find(const char *section, const char *name);

/* The sections, those of librdkafka's properties first; NULL past the last one. */
const char *config_keys_section(size_t index);
bool config_keys_has_section(const char *section);

/* The kafka_role of a section of librdkafka's properties, -1 for another section. */
int config_keys_role(const char *section);

#endif
