/* Every source ends in take, so all of them obey the same rules and name a place in the same way. */
#include "app/config_sources.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "app/config_keys.h"
#include "app/options.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/nearest.h"

enum { NAME_BYTES = 128 };

struct config_given {
    char *section, *name;
    struct config_place place;
};

/* --- one setting ------------------------------------------------------------------------------ */

/* Names are compared as properties, of which one may have several names. */
static struct config_given *find_given(const struct config_sources *sources, const char *section,
                                       const char *name) {
    for (size_t i = 0; i < sources->given_count; i++) {
        struct config_given *given = &sources->given[i];
        if (strcmp(given->section, section) == 0 && kafka_names_is_same(given->name, name))
            return given;
    }
    return NULL;
}

/* Rejects a setting that the same source made before, and else notes the place. */
static bool note_place(struct config_sources *sources, const struct config_place *place,
                       const char *section, const char *name, struct error *error) {
    struct config_given *given = find_given(sources, section, name);
    if (given == NULL) {
        sources->given =
            memory_grow(sources->given, (sources->given_count + 1) * sizeof *sources->given);
        given = &sources->given[sources->given_count++];
        *given = (struct config_given){.section = memory_text(section), .name = memory_text(name)};
    }
    const bool may_repeat =
        place->origin == CONFIG_OVERRIDE && !given->place.is_secret_file && !place->is_secret_file;
    if (given->place.origin == place->origin && !may_repeat) {
        return error_set(error, "%s: %s.%s is set twice, first at %s", place->text, section, name,
                         given->place.text);
    }
    given->place = *place;
    return true;
}

static bool reject_section(const struct config_place *place, const char *section,
                           struct error *error) {
    if (section[0] == '\0') return error_set(error, "%s: a key before any [section]", place->text);
    struct nearest nearest = nearest_to(section);
    const char *known;
    for (size_t i = 0; (known = config_keys_section(i)) != NULL; i++)
        nearest_offer(&nearest, known);
    if (nearest.name == NULL) {
        return error_set(error, "%s: there is no section [%s]", place->text, section);
    }
    return error_set(error, "%s: there is no section [%s]; did you mean [%s]?", place->text,
                     section, nearest.name);
}

/* Names the key that may be meant: of this section, or the same of another. */
static bool reject_key(const struct config_place *place, const char *section, const char *name,
                       struct error *error) {
    struct nearest nearest = nearest_to(name);
    const char *other = NULL;
    struct config_key key;
    for (size_t i = 0; (key = config_keys_at(i)).setting != NULL; i++) {
        if (strcmp(key.setting->section, section) == 0) {
            nearest_offer(&nearest, key.setting->name);
        } else if (strcmp(key.setting->name, name) == 0) {
            other = key.setting->section;
        }
    }
    if (nearest.name == NULL && other == NULL) {
        return error_set(error, "%s: there is no key %s.%s", place->text, section, name);
    }
    return error_set(error, "%s: there is no key %s.%s; did you mean %s.%s?", place->text, section,
                     name, nearest.name != NULL ? section : other,
                     nearest.name != NULL ? nearest.name : name);
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

/* Whether name is `<secret>_file`; if so writes the secret's name. */
static bool is_secret_file(const char *section, const char *name, char base[NAME_BYTES]) {
    static const char suffix[] = "_file";
    const size_t count = strlen(name), suffix_count = sizeof suffix - 1;
    if (count <= suffix_count || count - suffix_count >= NAME_BYTES) return false;
    if (strcmp(name + count - suffix_count, suffix) != 0) return false;
    snprintf(base, NAME_BYTES, "%.*s", (int)(count - suffix_count), name);
    const struct config_key key = config_keys_find(section, base);
    if (key.setting != NULL) return (key.setting->flags & SETTING_SECRET) != 0;
    return config_keys_role(section) >= 0 && kafka_names_find(base) != NULL &&
           kafka_names_is_secret(base);
}

static bool take_direct(struct config_sources *sources, const struct config_place *place,
                        const char *section, const char *name, const char *value,
                        struct error *error) {
    struct config *config = sources->config;
    const struct config_key key = config_keys_find(section, name);
    const int role = config_keys_role(section);
    struct error why;
    if (key.setting != NULL) {
        if (!note_place(sources, place, section, name, error)) return false;
        return setting_set(key.setting, (char *)config + key.offset, value, &why) ||
               error_set(error, "%s: %s.%s: %s", place->text, section, name, why.text);
    }
    if (role < 0) return reject_key(place, section, name, error);
    if (!kafka_conf_check((enum kafka_role)role, name, value, &why)) {
        return error_set(error, "%s: %s.%s", place->text, section, why.text);
    }
    if (!note_place(sources, place, section, name, error)) return false;
    struct properties *const properties[] = {[KAFKA_BOTH] = &config->kafka,
                                             [KAFKA_CONSUMER] = &config->consumer,
                                             [KAFKA_PRODUCER] = &config->producer};
    kafka_conf_put(properties[role], name, value);
    return true;
}

static bool take(struct config_sources *sources, const struct config_place *place,
                 const char *section, const char *name, const char *value, struct error *error) {
    char base[NAME_BYTES];
    struct error why;
    if (!config_keys_has_section(section)) return reject_section(place, section, error);
    if (!is_secret_file(section, name, base)) {
        return take_direct(sources, place, section, name, value, error);
    }
    char *secret = read_secret(value, &why);
    if (secret == NULL) {
        return error_set(error, "%s: %s.%s: %s", place->text, section, name, why.text);
    }
    struct config_place from_file = *place;
    from_file.is_secret_file = true;
    const bool is_taken = take_direct(sources, &from_file, section, base, secret, error);
    free(secret);
    return is_taken;
}

/* --- the sources ------------------------------------------------------------------------------ */

static bool read_defaults(struct config *config, struct error *error) {
    struct config_key key;
    for (size_t i = 0; (key = config_keys_at(i)).setting != NULL; i++) {
        const char *fallback = key.setting->fallback;
        if (fallback == NULL) continue;
        if (!setting_set(key.setting, (char *)config + key.offset, fallback, error)) return false;
    }
    return true;
}

/* Cuts white space off both ends, in place. */
static char *trimmed(char *text) {
    text += strspn(text, " \t\r\n");
    size_t count = strlen(text);
    while (count > 0 && strchr(" \t\r\n", text[count - 1]) != NULL)
        text[--count] = '\0';
    return text;
}

/* One line of the file: a comment, [section], or key = value, after which a comment may stand. */
static bool take_line(struct config_sources *sources, const struct config_place *place, char *line,
                      char section[NAME_BYTES], struct error *error) {
    line = trimmed(line);
    if (*line == '\0' || *line == '#' || *line == ';') return true;
    char *end = strpbrk(line, *line == '[' ? "]" : "=:");
    if (end == NULL) {
        return error_set(error, "%s: neither [section], key = value nor a comment", place->text);
    }
    *end = '\0';
    if (*line == '[') {
        snprintf(section, NAME_BYTES, "%s", line + 1);
        return config_keys_has_section(section) || reject_section(place, section, error);
    }
    char *value = end + 1;
    for (char *p = value; (p = strchr(p, ';')) != NULL; p++) {
        if (p[-1] != ' ' && p[-1] != '\t') continue;
        *p = '\0';
        break;
    }
    return take(sources, place, section, trimmed(line), trimmed(value), error);
}

/* As getline, but reads no more than one byte beyond CONFIG_LINE_BYTES. */
static size_t read_line(FILE *file, char line[CONFIG_LINE_BYTES + 2]) {
    size_t count = 0;
    for (int c; count <= CONFIG_LINE_BYTES && (c = getc(file)) != EOF;) {
        line[count++] = (char)c;
        if (c == '\n') break;
    }
    line[count] = '\0';
    return count;
}

static bool read_lines(struct config_sources *sources, FILE *file, const char *path,
                       struct error *error) {
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    struct config_place place = {.origin = CONFIG_FILE};
    char section[NAME_BYTES] = "";
    char line[CONFIG_LINE_BYTES + 2];
    size_t count;
    for (int number = 1; (count = read_line(file, line)) > 0; number++) {
        snprintf(place.text, sizeof place.text, "%.*s:%d", CONFIG_PLACE_BYTES - 16, path, number);
        if (memchr(line, '\0', count) != NULL)
            return error_set(error, "%s: a NUL byte", place.text);
        if (count > CONFIG_LINE_BYTES) {
            return error_set(error, "%s: longer than %d bytes; set it in the environment or by -X",
                             place.text, CONFIG_LINE_BYTES);
        }
        const bool is_marked = number == 1 && strncmp(line, byte_order_mark, 3) == 0;
        if (!take_line(sources, &place, line + (is_marked ? 3 : 0), section, error)) return false;
    }
    return !ferror(file) || error_set(error, "cannot read %s: %m", path);
}

static bool read_file(struct config_sources *sources, const char *path, struct error *error) {
    FILE *file = fopen(path, "re");
    if (file == NULL) return error_set(error, "cannot read %s: %m", path);
    const bool is_right = read_lines(sources, file, path, error);
    fclose(file);
    return is_right;
}

static bool ends_in(const char *text, size_t count, const char *end) {
    const size_t end_count = strlen(end);
    return count >= end_count && memcmp(text + count - end_count, end, end_count) == 0;
}

/* Kubernetes sets such variables for a service that is called rollcall, or rollcall-redis:
 * ROLLCALL_PORT=tcp://..., ROLLCALL_SERVICE_HOST, ROLLCALL_REDIS_PORT_6379_TCP_ADDR. */
static bool is_service_link(const char *variable) {
    const size_t count = strcspn(variable, "=");
    if (ends_in(variable, count, "_SERVICE_HOST")) return true;
    if (memmem(variable, count, "_SERVICE_PORT", 13) != NULL) return true;
    if (ends_in(variable, count, "_PORT")) return strstr(variable + count, "://") != NULL;
    const char *port = memmem(variable, count, "_PORT_", 6);
    return port != NULL && isdigit((unsigned char)port[6]);
}

/* Replaces KEY_IN_CAPITALS by the key's real name, or by small letters if there is none. */
static void find_env_key(const char *section, char name[NAME_BYTES]) {
    const struct kafka_name *property = NULL;
    struct config_key key;
    const size_t count = strlen(name);
    const bool is_kafka = config_keys_role(section) >= 0;
    const char *suffix = "";
    if (is_kafka) property = kafka_names_find_env(name);
    if (is_kafka && property == NULL && ends_in(name, count, "_FILE")) {
        suffix = "_file";
        name[count - strlen(suffix)] = '\0';
        property = kafka_names_find_env(name);
        name[count - strlen(suffix)] = '_';
    }
    if (property != NULL) snprintf(name, NAME_BYTES, "%s%s", property->name, suffix);
    for (size_t i = 0; (key = config_keys_at(i)).setting != NULL; i++) {
        const bool is_same = strcmp(key.setting->section, section) == 0 &&
                             nearest_distance(key.setting->name, name) == 0;
        if (is_same) snprintf(name, NAME_BYTES, "%s", key.setting->name);
    }
    for (char *p = name; property == NULL && *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
}

static bool read_environment(struct config_sources *sources, char **envp, struct error *error) {
    static const char prefix[] = "ROLLCALL_";
    for (; *envp != NULL; envp++) {
        const char *value = strchr(*envp, '=');
        if (value == NULL || strncmp(*envp, prefix, sizeof prefix - 1) != 0) continue;
        if (is_service_link(*envp)) continue;
        struct config_place place = {.origin = CONFIG_ENVIRONMENT};
        char section[NAME_BYTES], name[NAME_BYTES] = "";
        const char *rest = *envp + sizeof prefix - 1;
        snprintf(place.text, sizeof place.text, "environment variable %.*s", (int)(value - *envp),
                 *envp);
        snprintf(section, sizeof section, "%.*s", (int)strcspn(rest, "_="), rest);
        rest += strcspn(rest, "_=");
        if (*rest == '_') snprintf(name, sizeof name, "%.*s", (int)(value - rest - 1), rest + 1);
        for (char *p = section; *p != '\0'; p++)
            *p = (char)tolower((unsigned char)*p);
        find_env_key(section, name);
        if (!take(sources, &place, section, name, value + 1, error)) return false;
    }
    return true;
}

/* "section.key=value", as -X has it. */
static bool take_override(struct config_sources *sources, const char *text, struct error *error) {
    struct config_place place = {.origin = CONFIG_OVERRIDE};
    char section[64], name[NAME_BYTES];
    int name_bytes = 0;
    snprintf(place.text, sizeof place.text, "-X %.*s", (int)strcspn(text, "="), text);
    sscanf(text, "%63[^.=].%127[^=]=%n", section, name, &name_bytes);
    if (name_bytes == 0) return error_set(error, "%s: write -X section.key=value", place.text);
    return take(sources, &place, section, name, text + name_bytes, error);
}

bool config_sources_read(struct config_sources *sources, struct config *config,
                         const struct options *options, char **envp, struct error *error) {
    *sources = (struct config_sources){.config = config};
    if (!read_defaults(config, error)) return false;
    if (options->config_path != NULL && !read_file(sources, options->config_path, error))
        return false;
    if (!read_environment(sources, envp, error)) return false;
    for (int i = 0; i < options->override_count; i++) {
        if (!take_override(sources, options->overrides[i], error)) return false;
    }
    return true;
}

/* --- places ----------------------------------------------------------------------------------- */

void config_sources_close(struct config_sources *sources) {
    for (size_t i = 0; i < sources->given_count; i++) {
        free(sources->given[i].section);
        free(sources->given[i].name);
    }
    free(sources->given);
    *sources = (struct config_sources){0};
}

const char *config_sources_place(const struct config_sources *sources, const char *section,
                                 const char *name) {
    const struct config_given *given = find_given(sources, section, name);
    if (given == NULL) given = find_given(sources, "kafka", name);
    return given == NULL ? NULL : given->place.text;
}

const char *config_sources_place_named(const struct config_sources *sources, const char *text) {
    for (size_t i = 0; i < sources->given_count; i++) {
        const struct config_given *given = &sources->given[i];
        if (config_keys_role(given->section) < 0) continue;
        if (config_keys_find(given->section, given->name).setting != NULL) continue;
        if (strstr(text, given->name) != NULL) return given->place.text;
    }
    return NULL;
}
