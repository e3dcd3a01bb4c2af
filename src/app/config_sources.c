/* Every source ends in take, so all obey the same rules and name places in the same way. */
#include "app/config_sources.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "app/config_named.h"
#include "app/options.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "base/text.h"

enum { NAME_BYTES = 128, PLACE_BYTES = 512 };

enum origin { DEFAULT, CONFIG_FILE, ENVIRONMENT, OVERRIDE };

/* What is set, and where. */
struct config_given {
    char section[NAME_BYTES], name[NAME_BYTES];
    enum origin origin;
    bool is_secret_file;     /* through <name>_file */
    char place[PLACE_BYTES]; /* "rollcall.ini:12", "environment variable ROLLCALL_LOG_LEVEL" */
};

static bool ends_in(const char *text, const char *end) {
    const size_t count = strlen(text), end_count = strlen(end);
    return count >= end_count && strcmp(text + count - end_count, end) == 0;
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

/* Notes what is set. False if the same source has set it before. */
static bool note(struct config_sources *sources, const struct config_given *given,
                 struct error *error) {
    struct config_given *before = find_given(sources, given->section, given->name);
    if (before == NULL) {
        const size_t count = ++sources->given_count;
        sources->given = memory_grow(sources->given, count * sizeof *sources->given);
        before = &sources->given[count - 1];
    } else if (before->origin == given->origin &&
               (given->origin != OVERRIDE || before->is_secret_file || given->is_secret_file)) {
        return error_set(error, "%s: %s.%s is set twice, first at %s", given->place, given->section,
                         given->name, before->place);
    }
    *before = *given;
    return true;
}

/* Whether its first word is nearly that of a section with a name; then the error is set. */
static bool looks_named(const struct config_given *given, struct error *error) {
    char word[NAME_BYTES];
    const size_t bytes = strcspn(given->section, ".");
    const char *name = given->section + bytes;
    snprintf(word, sizeof word, "%.*s", (int)bytes, given->section);
    struct nearest nearest = nearest_to(word);
    for (size_t i = 0; config_kind_at(i).prefix != NULL; i++)
        nearest_offer(&nearest, config_kind_at(i).prefix);
    if (nearest.name == NULL) return false;
    error_set(error, "%s: unknown section [%s]; did you mean [%s%s]?%s", given->place,
              given->section, nearest.name, name[0] == '\0' || name[1] == '\0' ? ".NAME" : name,
              given->origin == ENVIRONMENT
                  ? " Such a section is set in the file or by -X, not by the environment"
                  : "");
    return true;
}

static bool reject_section(const struct config_given *given, struct error *error) {
    if (given->section[0] == '\0')
        return error_set(error, "%s: a key before any [section]", given->place);
    struct nearest nearest = nearest_to(given->section);
    for (size_t i = 0; config_sections[i] != NULL; i++)
        nearest_offer(&nearest, config_sections[i]);
    if (looks_named(given, error)) return false;
    return error_set(error, "%s: unknown section [%s]%s", given->place, given->section,
                     nearest_hint(&nearest, "[", "]"));
}

/* Names the key that may be meant: of this section, or the same of another. */
static bool reject_key(const struct config_given *given, struct error *error) {
    struct nearest nearest = nearest_to(given->name);
    const char *other = NULL;
    char meant[NAME_BYTES + NEAREST_NAME_BYTES] = "";
    struct config_key key;
    for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++) {
        const struct setting *setting = key.setting;
        if (strcmp(setting->section, given->section) == 0) nearest_offer(&nearest, setting->name);
        if (strcmp(setting->name, given->name) == 0) other = setting->section;
    }
    const struct setting *named = config_kind_of(given->section).table;
    for (; named != NULL && named->section != NULL; named++)
        nearest_offer(&nearest, named->name);
    if (nearest.name != NULL)
        snprintf(meant, sizeof meant, "; did you mean %s.%s?", given->section, nearest.name);
    else if (other != NULL)
        snprintf(meant, sizeof meant, "; did you mean %s.%s?", other, given->name);
    return error_set(error, "%s: unknown key %s.%s%s", given->place, given->section, given->name,
                     meant);
}

static bool take_value(struct config_sources *sources, const struct config_given *given,
                       const char *value, struct error *error) {
    struct config *config = sources->config;
    const bool is_named = config_kind_of(given->section).prefix != NULL;
    const struct config_key key = is_named ? config_named_find(config, given->section, given->name)
                                           : config_key_find(given->section, given->name);
    const int role = config_role(given->section);
    struct error why;
    if (key.setting != NULL) {
        return note(sources, given, error) &&
               (setting_set(key.setting, (char *)config + key.offset, value, &why) ||
                error_set(error, "%s: %s.%s: %s", given->place, given->section, given->name,
                          why.text));
    }
    if (role < 0) return reject_key(given, error);
    if (!kafka_conf_check((enum kafka_role)role, given->name, value, &why))
        return error_set(error, "%s: %s.%s", given->place, given->section, why.text);
    if (!note(sources, given, error)) return false;
    kafka_conf_put(&config->by_role[role], given->name, value);
    return true;
}

/* Cuts `_file` off the name, if that leaves the name of a secret. */
static bool cut_secret_file(struct config_given *given) {
    if (!ends_in(given->name, "_file")) return false;
    char *end = given->name + strlen(given->name) - strlen("_file");
    *end = '\0';
    const struct config_key key = config_key_find(given->section, given->name);
    given->is_secret_file = key.setting != NULL ? (key.setting->flags & SETTING_SECRET) != 0
                                                : config_role(given->section) >= 0 &&
                                                      kafka_names_find(given->name) != NULL &&
                                                      kafka_names_is_secret(given->name);
    if (!given->is_secret_file) *end = '_';
    return given->is_secret_file;
}

/* A line break within a value never helps: it would only fail later, as a wrong password. */
static bool take_clean(struct config_sources *sources, const struct config_given *given,
                       const char *value, struct error *error) {
    const bool is_pem = strstr(value, "-----BEGIN ") != NULL;
    if (is_pem || strpbrk(value, "\r\n") == NULL) return take_value(sources, given, value, error);
    return error_set(error, "%s: %s.%s: a line break within the value; it must be one line",
                     given->place, given->section, given->name);
}

/* Those that can be read again while rollcall runs; NULL: the value is not from a file. */
static void keep_path(struct config *config, const struct config_given *given, const char *path) {
    const int role = config_role(given->section);
    const bool is_property =
        role >= 0 && config_key_find(given->section, given->name).setting == NULL;
    if (is_property && path != NULL) kafka_conf_put_file(&config->by_role[role], given->name, path);
    if (strcmp(given->section, "redis") != 0) return;
    char **kept = strcmp(given->name, "url") == 0 ? &config->redis.url_file : NULL;
    if (strcmp(given->name, "sentinel_password") == 0) kept = &config->redis.sentinel_password_file;
    if (kept == NULL) return;
    free(*kept);
    *kept = path == NULL ? NULL : memory_text(path);
}

/* One with a name begins to be there with its first line. */
static bool enter_section(struct config_sources *sources, const struct config_given *given,
                          struct error *error) {
    struct error why;
    if (config_has_section(given->section)) return true;
    if (config_kind_of(given->section).prefix == NULL) return reject_section(given, error);
    if (!config_named_add(sources->config, given->section, &why))
        return error_set(error, "%s: %s", given->place, why.text);
    struct config_given section = *given;
    section.name[0] = '\0';
    return find_given(sources, section.section, "") != NULL || note(sources, &section, error);
}

static bool take(struct config_sources *sources, struct config_given *given, const char *value,
                 struct error *error) {
    struct error why;
    bool is_right;
    if (!enter_section(sources, given, error)) return false;
    char *text = memory_text(value), *secret = NULL;
    file_clean(text);
    if (!cut_secret_file(given)) {
        is_right = take_clean(sources, given, text, error);
    } else if ((secret = file_read_secret(text, &why)) != NULL) {
        is_right = take_clean(sources, given, secret, error);
    } else {
        is_right = error_set(error, "%s: %s.%s_file: %s", given->place, given->section, given->name,
                             why.text);
    }
    if (is_right) keep_path(sources->config, given, given->is_secret_file ? text : NULL);
    free(secret);
    free(text);
    return is_right;
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

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* A value in double quotes, whose first byte is from; in place. NULL if it does not end in a quote
 * and perhaps a comment. */
static char *unquote(char *from) {
    char *const value = from, *to = from;
    for (; *from != '"'; *to++ = *from++) {
        if (*from == '\\' && (from[1] == '"' || from[1] == '\\')) from++;
        if (*from == '\0') return NULL;
    }
    const char *rest = from + 1 + strspn(from + 1, " \t\r");
    const bool is_comment = is_blank(from[1]) && (*rest == '#' || *rest == ';');
    *to = '\0';
    return *rest == '\0' || is_comment ? value : NULL;
}

/* The value in what follows the separator: in double quotes, or what stands before a comment. NULL:
 * the quotes are wrong. */
static char *read_value(char *text) {
    char *begin = text + strspn(text, " \t");
    if (*begin == '"') return unquote(begin + 1);
    for (char *p = text; (p = strpbrk(p, "#;")) != NULL; p++) {
        if (!is_blank(p[-1])) continue;
        *p = '\0';
        break;
    }
    return text_trim(text);
}

/* One line of the file: a comment, [section], or key = value, after which a comment may stand. */
static bool take_line(struct config_sources *sources, struct config_given *given, char *line,
                      struct error *error) {
    line = text_trim(line);
    if (strchr(line, '\r') != NULL) {
        return error_set(error, "%s: a carriage return within the line: end lines with LF or CRLF",
                         given->place);
    }
    if (*line == '\0' || *line == '#' || *line == ';') return true;
    char *end = strpbrk(line, *line == '[' ? "]" : "=:");
    if (end == NULL)
        return error_set(error, "%s: neither [section], key = value nor a comment", given->place);
    *end = '\0';
    if (*line == '[') {
        const char *rest = end + 1 + strspn(end + 1, " \t");
        snprintf(given->section, NAME_BYTES, "%s", line + 1);
        if (*rest != '\0' && *rest != '#' && *rest != ';') {
            return error_set(error, "%s: something follows [%s]: write it on a line of its own",
                             given->place, given->section);
        }
        return enter_section(sources, given, error);
    }
    char *value = read_value(end + 1);
    snprintf(given->name, NAME_BYTES, "%s", text_trim(line));
    given->is_secret_file = false;
    if (value == NULL) {
        return error_set(error,
                         "%s: %s.%s begins with a double quote and does not end with one; write "
                         "\\\" for a quote in it",
                         given->place, given->section, given->name);
    }
    return take(sources, given, value, error);
}

static bool read_file(struct config_sources *sources, const char *path, struct error *error) {
    struct config_given given = {.origin = CONFIG_FILE};
    char *bytes = file_read(path, CONFIG_FILE_BYTES, error);
    bool is_right = bytes != NULL;
    char *rest = bytes;
    if (is_right) file_clean(bytes);
    for (int number = 1; is_right && rest != NULL; number++) {
        snprintf(given.place, PLACE_BYTES, "%.*s:%d", PLACE_BYTES - 16, path, number);
        is_right = take_line(sources, &given, strsep(&rest, "\n"), error);
    }
    free(bytes);
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

/* Puts the real name in place of one in small letters with underscores for dots, if it is known.
 * Only librdkafka's names have dots. */
static void find_env_name(struct config_given *given) {
    char base[NAME_BYTES];
    const bool is_file = ends_in(given->name, "_file");
    if (config_role(given->section) < 0) return;
    const struct kafka_name *property = kafka_names_find_env(given->name);
    if (property != NULL) {
        snprintf(given->name, NAME_BYTES, "%s", property->name);
    } else if (is_file) {
        snprintf(base, NAME_BYTES, "%.*s", (int)(strlen(given->name) - strlen("_file")),
                 given->name);
        property = kafka_names_find_env(base);
        if (property != NULL) snprintf(given->name, NAME_BYTES, "%s_file", property->name);
    }
}

static bool read_environment(struct config_sources *sources, char **envp, struct error *error) {
    static const char prefix[] = "ROLLCALL_";
    for (; *envp != NULL; envp++) {
        const char *value = strchr(*envp, '=');
        if (value == NULL || strncmp(*envp, prefix, sizeof prefix - 1) != 0) continue;
        struct config_given given = {.origin = ENVIRONMENT};
        char words[2 * NAME_BYTES];
        const char *rest = *envp + sizeof prefix - 1;
        snprintf(given.place, PLACE_BYTES, "environment variable %.*s", (int)(value - *envp),
                 *envp);
        if (is_service_link(given.place, value + 1)) continue;
        snprintf(words, sizeof words, "%.*s", (int)(value - rest), rest);
        for (char *p = words; *p != '\0'; p++)
            *p = (char)tolower((unsigned char)*p);
        const size_t section_bytes = strcspn(words, "_");
        snprintf(given.section, NAME_BYTES, "%.*s", (int)section_bytes, words);
        snprintf(given.name, NAME_BYTES, "%s",
                 words + section_bytes + (words[section_bytes] == '_'));
        find_env_name(&given);
        if (!take(sources, &given, value + 1, error)) return false;
    }
    return true;
}

/* "section.key=value", as -X has it. The dots of a property are its own; a section with a name has
 * all of them but the last. */
static bool take_override(struct config_sources *sources, const char *text, struct error *error) {
    struct config_given given = {.origin = OVERRIDE};
    int name_bytes = 0;
    snprintf(given.place, PLACE_BYTES, "-X %.*s", (int)strcspn(text, "="), text);
    sscanf(text, "%127[^.=].%127[^=]=%n", given.section, given.name, &name_bytes);
    char whole[2 * NAME_BYTES];
    snprintf(whole, sizeof whole, "%s.%s", given.section, given.name);
    char *dot = strrchr(whole, '.');
    if (config_kind_of(whole).prefix != NULL && dot != strchr(whole, '.')) {
        *dot = '\0';
        snprintf(given.section, NAME_BYTES, "%.*s", NAME_BYTES - 1, whole);
        snprintf(given.name, NAME_BYTES, "%s", dot + 1);
    }
    if (name_bytes == 0) return error_set(error, "%s: write -X section.key=value", given.place);
    return take(sources, &given, text + name_bytes, error);
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
    free(sources->given);
    *sources = (struct config_sources){0};
}

/* --- places ----------------------------------------------------------------------------------- */

const char *config_sources_place(const struct config_sources *sources, const char *section,
                                 const char *name) {
    const struct config_given *given = find_given(sources, section, name);
    if (given == NULL) given = find_given(sources, "kafka", name);
    return given == NULL ? NULL : given->place;
}

const char *config_sources_place_section(const struct config_sources *sources,
                                         const char *section) {
    const struct config_given *given = find_given(sources, section, "");
    return given == NULL ? NULL : given->place;
}

const char *config_sources_place_named(const struct config_sources *sources, const char *text) {
    for (size_t i = 0; i < sources->given_count; i++) {
        const struct config_given *given = &sources->given[i];
        const bool is_property = config_role(given->section) >= 0 &&
                                 config_key_find(given->section, given->name).setting == NULL;
        if (is_property && strstr(text, given->name) != NULL) return given->place;
    }
    return NULL;
}
