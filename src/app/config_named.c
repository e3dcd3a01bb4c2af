#include "app/config_named.h"

#include <stdlib.h>
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

static const struct config_kind kinds[] = {
    {"dimension", login_dimension_setting_table, offsetof(struct config, login.dimensions),
     sizeof(struct login_dimension_settings), offsetof(struct config, login.dimension_count),
     LOGIN_DIMENSIONS_MAX},
    {"count", declared_setting_table, offsetof(struct config, aggregate.counts),
     sizeof(struct declared_settings), offsetof(struct config, aggregate.count_count),
     DECLARED_MAX},
    {.prefix = NULL},
};

static_assert(offsetof(struct login_dimension_settings, name) == 0, "what all kinds begin with");
static_assert(offsetof(struct declared_settings, name) == 0, "what all kinds begin with");

struct config_kind config_kind_at(size_t index) {
    return kinds[index];
}

struct config_kind config_kind_of(const char *section) {
    const struct config_kind *kind = kinds;
    for (; kind->prefix != NULL; kind++) {
        const size_t length = strlen(kind->prefix);
        if (strncmp(section, kind->prefix, length) != 0 || section[length] != '.') continue;
        if (section[length + 1] != '\0') break;
    }
    return *kind;
}

const char *config_kind_name(const char *section) {
    return strchr(section, '.') + 1;
}

static char **name_at(const struct config *config, const struct config_kind *kind, int place,
                      size_t *offset) {
    *offset = kind->items + (size_t)place * kind->item_bytes;
    return (void *)((char *)(uintptr_t)config + *offset);
}

static int *count_of(const struct config *config, const struct config_kind *kind) {
    return (void *)((char *)(uintptr_t)config + kind->count);
}

const char *config_named_at(const struct config *config, const struct config_kind *kind, int place,
                            size_t *offset) {
    return place < *count_of(config, kind) ? *name_at(config, kind, place, offset) : NULL;
}

/* False: it is not there. */
static bool find(const struct config *config, const struct config_kind *kind, const char *name,
                 size_t *offset) {
    const char *other;
    for (int i = 0; (other = config_named_at(config, kind, i, offset)) != NULL; i++) {
        if (strcmp(other, name) == 0) return true;
    }
    return false;
}

bool config_named_add(struct config *config, const char *section, struct error *error) {
    const struct config_kind kind = config_kind_of(section);
    const char *name = config_kind_name(section);
    size_t offset;
    int *count = count_of(config, &kind);
    if (find(config, &kind, name, &offset)) return true;
    if (*count == kind.max)
        return error_set(error, "more than %d sections [%s.NAME]", kind.max, kind.prefix);
    *name_at(config, &kind, (*count)++, &offset) = memory_text(name);
    for (const struct setting *setting = kind.table; setting->section != NULL; setting++) {
        if (setting->fallback != NULL &&
            !setting_set(setting, (char *)config + offset, setting->fallback, error))
            return false;
    }
    return true;
}

struct config_key config_named_find(const struct config *config, const char *section,
                                    const char *name) {
    const struct config_kind kind = config_kind_of(section);
    size_t offset;
    if (!find(config, &kind, config_kind_name(section), &offset))
        return (struct config_key){NULL, 0};
    for (const struct setting *setting = kind.table; setting->section != NULL; setting++) {
        if (strcmp(setting->name, name) == 0) return (struct config_key){setting, offset};
    }
    return (struct config_key){NULL, 0};
}

void config_named_release(struct config *config) {
    for (const struct config_kind *kind = kinds; kind->prefix != NULL; kind++) {
        size_t offset;
        for (int i = 0; config_named_at(config, kind, i, &offset) != NULL; i++) {
            for (const struct setting *setting = kind->table; setting->section != NULL; setting++)
                setting_release(setting, (char *)config + offset);
            free(*name_at(config, kind, i, &offset));
        }
        *count_of(config, kind) = 0;
    }
}
