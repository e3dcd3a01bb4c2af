/* config_named: sections that have a name of their own, such as [dimension.device_type].
 *
 * A kind of them is a row in config_named.c. Its settings are in an array of structs within struct
 * config, one for each section that was given, of which the first member is `char *name`.
 *
 * Threads:  as app/config.
 * Owns:     nothing; the array's texts are the config's.
 * Limits:   each kind has its own number.
 */
#ifndef APP_CONFIG_NAMED_H
#define APP_CONFIG_NAMED_H

#include <stdbool.h>
#include <stddef.h>

#include "app/config.h"

struct config_kind {
    const char *prefix; /* before the dot; NULL: there is no such kind */
    const struct setting *table;
    size_t items, item_bytes, count; /* offsets in struct config: the array, and an int */
    int max;
};

/* The kinds in their order; past the last one prefix is NULL. */
struct config_kind config_kind_at(size_t index);

/* The kind of a section "dimension.locale"; prefix is NULL if it is of none, or without a name. */
struct config_kind config_kind_of(const char *section);

/* The name in it. */
const char *config_kind_name(const char *section);

/* Makes the section, with its defaults, unless it is there. False: there are too many. */
bool config_named_add(struct config *config, const char *section, struct error *error);

/* A key of a section that is there; setting is NULL if there is no such key. */
struct config_key config_named_find(const struct config *config, const char *section,
                                    const char *name);

/* The name of a section that is there, by its place, or NULL; and where its struct is. */
const char *config_named_at(const struct config *config, const struct config_kind *kind, int place,
                            size_t *offset);

void config_named_release(struct config *config);

#endif
