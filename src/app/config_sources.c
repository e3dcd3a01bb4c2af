/* Every source ends in take, so all of them obey the same rules and name places in the same way. */
#include "app/config_sources.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "app/options.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "base/text.h"

enum { NAME_BYTES = 128 };

enum origin { DEFAULT, CONFIG_FILE, ENVIRONMENT, OVERRIDE };

/* Where a setting was made. */
struct place {
    enum origin origin;
    bool is_secret_file; /* through <key>_file */
    char text[512];      /* "rollcall.ini:12", "environment variable ROLLCALL_LOG_LEVEL" */
};

struct config_given {
    char *section, *name;
    struct place place;
};

static bool ends_in(const char *text, const char *end) {
    const size_t count = strlen(text), end_count = strlen(end);
    return count >= end_count && strcmp(text + count - end_count, end) == 0;
}

/* Adds a whole file to the text. */
static bool read_whole(const char *path, size_t max_bytes, struct text *text, struct error *error) {
    char piece[4096];
    size_t count;
    FILE *file = fopen(path, "re");
    if (file == NULL) return error_set(error, "cannot read %s: %m", path);
    while (text->length <= max_bytes && (count = fread(piece, 1, sizeof piece, file)) > 0)
        text_add_bytes(text, piece, count);
    const bool is_read = !ferror(file) || error_set(error, "cannot read %s: %m", path);
    fclose(file);
    if (text->is_broken) memory_none();
    if (!is_read) return false;
    if (text->length > max_bytes) {
        return error_set(error, "%s is longer than %zu bytes", path, max_bytes);
    }
    return strlen(text_string(text)) == text->length ||
           error_set(error, "%s holds a NUL byte", path);
}

/* --- one setting ------------------------------------------------------------------------------ */

/* One property of librdkafka may have several names. */
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
static bool note_place(struct config_sources *sources, const struct place *place,
                       const char *section, const char *name, struct error *error) {
    struct config_given *given = find_given(sources, section, name);
    if (given == NULL) {
        sources->given =
            memory_grow(sources->given, (sources->given_count + 1) * sizeof *sources->given);
        given = &sources->given[sources->given_count++];
        *given = (struct config_given){.section = memory_text(section), .name = memory_text(name)};
    }
    const bool may_repeat =
        place->origin == OVERRIDE && !given->place.is_secret_file && !place->is_secret_file;
    if (given->place.origin == place->origin && !may_repeat) {
        return error_set(error, "%s: %s.%s is set twice, first at %s", place->text, section, name,
                         given->place.text);
    }
    given->place = *place;
    return true;
}

static bool reject_section(const struct place *place, const char *section, struct error *error) {
    if (section[0] == '\0') return error_set(error, "%s: a key before any [section]", place->text);
    struct nearest nearest = nearest_to(section);
    const char *known;
    for (size_t i = 0; (known = config_section(i)) != NULL; i++)
        nearest_offer(&nearest, known);
    return error_set(error, "%s: unknown section [%s]%s", place->text, section,
                     nearest_hint(&nearest, "[", "]"));
}

/* Names the key that may be meant: of this section, or the same of another. */
static bool reject_key(const struct place *place, const char *section, const char *name,
                       struct error *error) {
    struct nearest nearest = nearest_to(name);
    const char *other = NULL;
    char before[NAME_BYTES];
    struct config_key key;
    for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++) {
        if (strcmp(key.setting->section, section) == 0) nearest_offer(&nearest, key.setting->name);
        if (strcmp(key.setting->name, name) == 0) other = key.setting->section;
    }
    if (nearest.name != NULL)
        other = section;
    else if (other != NULL)
        nearest.name = name;
    snprintf(before, sizeof before, "%s.", other == NULL ? "" : other);
    return error_set(error, "%s: unknown key %s.%s%s", place->text, section, name,
                     nearest_hint(&nearest, before, ""));
}

static bool take_direct(struct config_sources *sources, const struct place *place,
                        const char *section, const char *name, const char *value,
                        struct error *error) {
    struct config *config = sources->config;
    const struct config_key key = config_key_find(section, name);
    const int role = config_role(section);
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
    kafka_conf_put(config_properties(config, role), name, value);
    return true;
}

/* Whether name is `<secret>_file`; if so writes the secret's name. */
static bool is_secret_file(const char *section, const char *name, char base[NAME_BYTES]) {
    if (!ends_in(name, "_file")) return false;
    snprintf(base, NAME_BYTES, "%.*s", (int)(strlen(name) - strlen("_file")), name);
    const struct config_key key = config_key_find(section, base);
    if (key.setting != NULL) return (key.setting->flags & SETTING_SECRET) != 0;
    return config_role(section) >= 0 && kafka_names_find(base) != NULL &&
           kafka_names_is_secret(base);
}

static void cut_end(struct text *text, char end) {
    if (text->length == 0 || text->bytes[text->length - 1] != end) return;
    text->bytes[--text->length] = '\0';
}

static bool take(struct config_sources *sources, const struct place *place, const char *section,
                 const char *name, const char *value, struct error *error) {
    char base[NAME_BYTES];
    struct text secret = {0};
    struct error why;
    if (!config_has_section(section)) return reject_section(place, section, error);
    if (!is_secret_file(section, name, base)) {
        return take_direct(sources, place, section, name, value, error);
    }
    struct place from_file = *place;
    from_file.is_secret_file = true;
    bool is_taken = read_whole(value, CONFIG_SECRET_BYTES, &secret, &why);
    if (!is_taken) error_set(error, "%s: %s.%s: %s", place->text, section, name, why.text);
    if (is_taken) {
        cut_end(&secret, '\n');
        cut_end(&secret, '\r');
        is_taken = take_direct(sources, &from_file, section, base, text_string(&secret), error);
    }
    text_release(&secret);
    return is_taken;
}

/* --- the sources ------------------------------------------------------------------------------ */

static bool read_defaults(struct config *config, struct error *error) {
    struct config_key key;
    for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++) {
        const char *fallback = key.setting->fallback;
        if (fallback == NULL) continue;
        if (!setting_set(key.setting, (char *)config + key.offset, fallback, error)) return false;
    }
    return true;
}

/* One line of the file: a comment, [section], or key = value, after which a comment may stand. */
static bool take_line(struct config_sources *sources, const struct place *place, char *line,
                      char section[NAME_BYTES], struct error *error) {
    line = text_trim(line);
    if (*line == '\0' || *line == '#' || *line == ';') return true;
    char *end = strpbrk(line, *line == '[' ? "]" : "=:");
    if (end == NULL) {
        return error_set(error, "%s: neither [section], key = value nor a comment", place->text);
    }
    *end = '\0';
    if (*line == '[') {
        snprintf(section, NAME_BYTES, "%s", line + 1);
        return config_has_section(section) || reject_section(place, section, error);
    }
    char *value = end + 1;
    for (char *p = value; (p = strchr(p, ';')) != NULL; p++) {
        if (p[-1] != ' ' && p[-1] != '\t') continue;
        *p = '\0';
        break;
    }
    return take(sources, place, section, text_trim(line), text_trim(value), error);
}

static bool read_file(struct config_sources *sources, const char *path, struct error *error) {
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    struct place place = {.origin = CONFIG_FILE};
    struct text text = {0};
    char section[NAME_BYTES] = "";
    bool is_right = read_whole(path, CONFIG_FILE_BYTES, &text, error);
    char *rest = text.bytes;
    if (is_right && rest != NULL && strncmp(rest, byte_order_mark, 3) == 0) rest += 3;
    for (int number = 1; is_right && rest != NULL; number++) {
        snprintf(place.text, sizeof place.text, "%.*s:%d", (int)sizeof place.text - 16, path,
                 number);
        is_right = take_line(sources, &place, strsep(&rest, "\n"), section, error);
    }
    text_release(&text);
    return is_right;
}

/* Kubernetes sets such variables for a service that is called rollcall, or rollcall-redis:
 * ROLLCALL_PORT=tcp://..., ROLLCALL_SERVICE_HOST, ROLLCALL_REDIS_PORT_6379_TCP_ADDR. */
static bool is_service_link(const char *name, const char *value) {
    if (ends_in(name, "_SERVICE_HOST") || strstr(name, "_SERVICE_PORT") != NULL) return true;
    if (ends_in(name, "_PORT")) return strstr(value, "://") != NULL;
    const char *port = strstr(name, "_PORT_");
    return port != NULL && isdigit((unsigned char)port[6]);
}

/* The real name of a key in small letters, with underscores for dots; if unknown, the same. */
static void find_env_key(const char *section, const char *name, char real[NAME_BYTES]) {
    struct config_key key;
    const char *suffix = "";
    snprintf(real, NAME_BYTES, "%s", name);
    for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++) {
        if (strcmp(key.setting->section, section) != 0) continue;
        if (nearest_distance(key.setting->name, name) != 0) continue;
        snprintf(real, NAME_BYTES, "%s", key.setting->name);
        return;
    }
    if (config_role(section) < 0) return;
    const struct kafka_name *property = kafka_names_find_env(name);
    if (property == NULL && ends_in(real, "_file")) {
        suffix = "_file";
        real[strlen(real) - strlen(suffix)] = '\0';
        property = kafka_names_find_env(real);
    }
    if (property != NULL) snprintf(real, NAME_BYTES, "%s%s", property->name, suffix);
    if (property == NULL) snprintf(real, NAME_BYTES, "%s", name);
}

static bool read_environment(struct config_sources *sources, char **envp, struct error *error) {
    static const char prefix[] = "ROLLCALL_";
    for (; *envp != NULL; envp++) {
        const char *value = strchr(*envp, '=');
        if (value == NULL || strncmp(*envp, prefix, sizeof prefix - 1) != 0) continue;
        struct place place = {.origin = ENVIRONMENT};
        char words[2 * NAME_BYTES], real[NAME_BYTES];
        const char *rest = *envp + sizeof prefix - 1;
        snprintf(place.text, sizeof place.text, "environment variable %.*s", (int)(value - *envp),
                 *envp);
        if (is_service_link(place.text, value + 1)) continue;
        snprintf(words, sizeof words, "%.*s", (int)(value - rest), rest);
        for (char *p = words; *p != '\0'; p++)
            *p = (char)tolower((unsigned char)*p);
        char *name = words + strcspn(words, "_");
        if (*name == '_') *name++ = '\0';
        find_env_key(words, name, real);
        if (!take(sources, &place, words, real, value + 1, error)) return false;
    }
    return true;
}

/* "section.key=value", as -X has it. */
static bool take_override(struct config_sources *sources, const char *text, struct error *error) {
    struct place place = {.origin = OVERRIDE};
    char section[64], name[NAME_BYTES];
    int name_bytes = 0;
    snprintf(place.text, sizeof place.text, "-X %.*s", (int)strcspn(text, "="), text);
    sscanf(text, "%63[^.=].%127[^=]=%n", section, name, &name_bytes);
    if (name_bytes == 0) return error_set(error, "%s: write -X section.key=value", place.text);
    return take(sources, &place, section, name, text + name_bytes, error);
}

bool config_sources_read(struct config_sources *sources, struct config *config,
                         const struct options *options, char **envp, struct error *error) {
    const char *path = options->config_path;
    *sources = (struct config_sources){.config = config};
    bool is_right = read_defaults(config, error) &&
                    (path == NULL || read_file(sources, path, error)) &&
                    read_environment(sources, envp, error);
    for (int i = 0; is_right && i < options->override_count; i++)
        is_right = take_override(sources, options->overrides[i], error);
    return is_right;
}

void config_sources_close(struct config_sources *sources) {
    for (size_t i = 0; i < sources->given_count; i++) {
        free(sources->given[i].section);
        free(sources->given[i].name);
    }
    free(sources->given);
    *sources = (struct config_sources){0};
}

/* --- places ----------------------------------------------------------------------------------- */

const char *config_sources_place(const struct config_sources *sources, const char *section,
                                 const char *name) {
    const struct config_given *given = find_given(sources, section, name);
    if (given == NULL) given = find_given(sources, "kafka", name);
    return given == NULL ? NULL : given->place.text;
}

const char *config_sources_place_named(const struct config_sources *sources, const char *text) {
    for (size_t i = 0; i < sources->given_count; i++) {
        const struct config_given *given = &sources->given[i];
        if (config_role(given->section) < 0 ||
            config_key_find(given->section, given->name).setting != NULL)
            continue;
        if (strstr(text, given->name) != NULL) return given->place.text;
    }
    return NULL;
}
