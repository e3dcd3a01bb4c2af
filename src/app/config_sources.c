/* Every source ends in config_sources_take, so all of them obey the same rules, and name the place
 * of a setting in the same way. */
#include "app/config_sources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/nearest.h"

static const char secret_suffix[] = "_file";

int config_sources_role(const char *section) {
    if (strcmp(section, "kafka") == 0) return KAFKA_BOTH;
    if (strcmp(section, "consumer") == 0) return KAFKA_CONSUMER;
    if (strcmp(section, "producer") == 0) return KAFKA_PRODUCER;
    return -1;
}

void config_sources_describe(const struct config_place *place, char out[CONFIG_PLACE_BYTES]) {
    switch (place->origin) {
    case CONFIG_DEFAULT:
        snprintf(out, CONFIG_PLACE_BYTES, "the default");
        break;
    case CONFIG_FILE:
        snprintf(out, CONFIG_PLACE_BYTES, "%.*s:%d", CONFIG_PLACE_BYTES - 16, place->name,
                 place->line);
        break;
    case CONFIG_ENVIRONMENT:
        snprintf(out, CONFIG_PLACE_BYTES, "environment variable %.*s",
                 (int)strcspn(place->name, "="), place->name);
        break;
    case CONFIG_OVERRIDE:
        snprintf(out, CONFIG_PLACE_BYTES, "-X %.*s", (int)strcspn(place->name, "="), place->name);
        break;
    }
}

/* Refuses a setting that the same source has made before, and else notes the place. */
static bool note_place(struct config_place *known, const struct config_place *place,
                       const char *section, const char *name, struct error *error) {
    const bool may_repeat =
        place->origin == CONFIG_OVERRIDE && !known->is_secret_file && !place->is_secret_file;
    if (known->origin == place->origin && place->origin != CONFIG_DEFAULT && !may_repeat) {
        char here[CONFIG_PLACE_BYTES];
        char there[CONFIG_PLACE_BYTES];
        config_sources_describe(place, here);
        config_sources_describe(known, there);
        return error_set(error, "%s: %s.%s is set twice, first at %s", here, section, name, there);
    }
    *known = *place;
    return true;
}

static struct config_place *property_place(const struct config_sources *sources,
                                           enum kafka_role role, const char *name) {
    for (size_t i = 0; i < sources->property_count; i++) {
        struct config_named_place *known = &sources->property_places[i];
        if (known->role == role && kafka_names_is_same(known->property, name)) return &known->place;
    }
    return NULL;
}

static struct config_place *add_property_place(struct config_sources *sources, enum kafka_role role,
                                               const char *name) {
    sources->property_places = memory_grow(
        sources->property_places, (sources->property_count + 1) * sizeof *sources->property_places);
    struct config_named_place *added = &sources->property_places[sources->property_count++];
    *added = (struct config_named_place){.role = role, .property = memory_text(name)};
    return &added->place;
}

static bool take_property(struct config_sources *sources, const struct config_place *place,
                          const char *section, const char *name, const char *value,
                          struct error *error) {
    const enum kafka_role role = (enum kafka_role)config_sources_role(section);
    struct error why;
    char here[CONFIG_PLACE_BYTES];
    config_sources_describe(place, here);
    if (!kafka_conf_check(role, name, value, &why)) {
        return error_set(error, "%s: %s.%s", here, section, why.text);
    }
    struct config_place *known = property_place(sources, role, name);
    if (known == NULL) known = add_property_place(sources, role, name);
    if (!note_place(known, place, section, name, error)) return false;
    struct properties *properties = role == KAFKA_CONSUMER   ? &sources->config->consumer
                                    : role == KAFKA_PRODUCER ? &sources->config->producer
                                                             : &sources->config->kafka;
    kafka_conf_put(properties, name, value);
    return true;
}

/* Says that there is no such key, and which one may be meant: in this section, or in another. */
static bool refuse_key(const struct config_place *place, const char *section, const char *name,
                       struct error *error) {
    char here[CONFIG_PLACE_BYTES];
    config_sources_describe(place, here);
    struct nearest nearest = nearest_to(name);
    const char *other = NULL;
    for (size_t i = 0; i < config_key_count; i++) {
        if (strcmp(config_keys[i].section, section) == 0) {
            nearest_offer(&nearest, config_keys[i].name);
        } else if (strcmp(config_keys[i].name, name) == 0) {
            other = config_keys[i].section;
        }
    }
    if (nearest.name != NULL) {
        return error_set(error, "%s: there is no key %s.%s; did you mean %s.%s?", here, section,
                         name, section, nearest.name);
    }
    if (other != NULL) {
        return error_set(error, "%s: there is no key %s.%s; did you mean %s.%s?", here, section,
                         name, other, name);
    }
    return error_set(error, "%s: there is no key %s.%s", here, section, name);
}

bool config_sources_refuse_section(const struct config_place *place, const char *section,
                                   struct error *error) {
    char here[CONFIG_PLACE_BYTES];
    config_sources_describe(place, here);
    if (section[0] == '\0') return error_set(error, "%s: a key before any [section]", here);
    struct nearest nearest = nearest_to(section);
    config_keys_has_section(section, &nearest);
    if (nearest.name == NULL)
        return error_set(error, "%s: there is no section [%s]", here, section);
    return error_set(error, "%s: there is no section [%s]; did you mean [%s]?", here, section,
                     nearest.name);
}

/* Reads a file that holds one secret, without the newline at its end; the caller frees it. */
static char *read_secret(const char *path, struct error *error) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        error_set(error, "cannot read %s: %m", path);
        return NULL;
    }
    char *secret = memory_create(CONFIG_SECRET_BYTES + 2);
    size_t count = fread(secret, 1, CONFIG_SECRET_BYTES + 1, file);
    bool is_right = true;
    if (ferror(file)) {
        is_right = error_set(error, "cannot read %s: %m", path);
    } else if (count > CONFIG_SECRET_BYTES) {
        is_right = error_set(error, "%s is too long for a secret", path);
    } else if (memchr(secret, '\0', count) != NULL) {
        is_right = error_set(error, "%s holds a NUL byte", path);
    }
    fclose(file);
    if (!is_right) {
        free(secret);
        return NULL;
    }
    if (count > 0 && secret[count - 1] == '\n') secret[--count] = '\0';
    if (count > 0 && secret[count - 1] == '\r') secret[--count] = '\0';
    return secret;
}

/* Answers whether name is `<secret>_file`, and if so writes the secret's name. */
static bool is_secret_file(const char *section, const char *name, char *base, size_t base_bytes) {
    const size_t count = strlen(name);
    const size_t suffix = sizeof secret_suffix - 1;
    if (count <= suffix || count - suffix >= base_bytes) return false;
    if (strcmp(name + count - suffix, secret_suffix) != 0) return false;
    memcpy(base, name, count - suffix);
    base[count - suffix] = '\0';
    const struct config_key *key = config_keys_find(section, base);
    if (key != NULL) return key->is_secret;
    return config_sources_role(section) >= 0 && kafka_names_find(base) != NULL &&
           kafka_names_is_secret(base);
}

bool config_sources_take(struct config_sources *sources, const struct config_place *place,
                         const char *section, const char *name, const char *value,
                         struct error *error) {
    if (!config_keys_has_section(section, NULL))
        return config_sources_refuse_section(place, section, error);
    char here[CONFIG_PLACE_BYTES];
    config_sources_describe(place, here);
    char base[128];
    struct error why;
    if (is_secret_file(section, name, base, sizeof base)) {
        char *secret = read_secret(value, &why);
        if (secret == NULL) return error_set(error, "%s: %s.%s: %s", here, section, name, why.text);
        struct config_place from_file = *place;
        from_file.is_secret_file = true;
        const bool is_taken =
            config_sources_take(sources, &from_file, section, base, secret, error);
        free(secret);
        return is_taken;
    }
    const struct config_key *key = config_keys_find(section, name);
    if (key == NULL && config_sources_role(section) >= 0) {
        return take_property(sources, place, section, name, value, error);
    }
    if (key == NULL) return refuse_key(place, section, name, error);
    if (!note_place(&sources->key_places[key - config_keys], place, section, name, error)) {
        return false;
    }
    return config_keys_set(key, sources->config, value, &why) ||
           error_set(error, "%s: %s.%s: %s", here, section, name, why.text);
}

bool config_sources_open(struct config_sources *sources, struct config *config,
                         struct error *error) {
    *sources = (struct config_sources){.config = config};
    sources->key_places = memory_create(config_key_count * sizeof *sources->key_places);
    const struct config_place place = {.origin = CONFIG_DEFAULT};
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->fallback == NULL) continue;
        if (!config_sources_take(sources, &place, key->section, key->name, key->fallback, error)) {
            return false;
        }
    }
    return true;
}

void config_sources_close(struct config_sources *sources) {
    for (size_t i = 0; i < sources->property_count; i++)
        free(sources->property_places[i].property);
    free(sources->property_places);
    free(sources->key_places);
    *sources = (struct config_sources){0};
}

bool config_sources_override(struct config_sources *sources, const char *text,
                             struct error *error) {
    const struct config_place place = {.origin = CONFIG_OVERRIDE, .name = text};
    char section[64], key[128];
    int name_bytes = 0;
    sscanf(text, "%63[^.=].%127[^=]=%n", section, key, &name_bytes);
    if (name_bytes == 0) {
        return error_set(error, "-X %.*s: write -X section.key=value", (int)strcspn(text, "="),
                         text);
    }
    return config_sources_take(sources, &place, section, key, text + name_bytes, error);
}

bool config_sources_locate(const struct config_sources *sources, const char *section,
                           const char *name, char out[CONFIG_PLACE_BYTES]) {
    struct config_place place = {.origin = CONFIG_DEFAULT};
    const struct config_key *key = config_keys_find(section, name);
    if (key != NULL) {
        place = sources->key_places[key - config_keys];
    } else {
        const struct config_place *known =
            property_place(sources, (enum kafka_role)config_sources_role(section), name);
        if (known == NULL) known = property_place(sources, KAFKA_BOTH, name);
        if (known != NULL) place = *known;
    }
    config_sources_describe(&place, out);
    return place.origin != CONFIG_DEFAULT;
}

bool config_sources_locate_named(const struct config_sources *sources, const char *text,
                                 char out[CONFIG_PLACE_BYTES]) {
    for (size_t i = 0; i < sources->property_count; i++) {
        const struct config_named_place *known = &sources->property_places[i];
        if (strstr(text, known->property) == NULL) continue;
        config_sources_describe(&known->place, out);
        return true;
    }
    return false;
}
