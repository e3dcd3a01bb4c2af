#include "app/config_environment.h"

#include <ctype.h>
#include <string.h>

#include "base/nearest.h"

static bool ends_in(const char *text, size_t count, const char *end) {
    const size_t end_count = strlen(end);
    return count >= end_count && memcmp(text + count - end_count, end, end_count) == 0;
}

/* Kubernetes sets such variables for a service that is called rollcall, or rollcall-redis. */
static bool is_service_link(const char *variable) {
    const size_t count = strcspn(variable, "=");
    if (ends_in(variable, count, "_SERVICE_HOST")) return true;
    if (memmem(variable, count, "_SERVICE_PORT", 13) != NULL) return true;
    if (ends_in(variable, count, "_PORT")) return strstr(variable + count, "://") != NULL;
    const char *port = memmem(variable, count, "_PORT_", 6);
    return port != NULL && isdigit((unsigned char)port[6]);
}

/* Answers the key's real name for KEY_IN_CAPITALS, or that in small letters if there is none. */
static void find_env_key(const char *section, const char *env_name, char *out, size_t out_bytes) {
    for (size_t i = 0; i < out_bytes - 1 && env_name[i] != '\0'; i++) {
        out[i] = (char)tolower((unsigned char)env_name[i]);
        out[i + 1] = '\0';
    }
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (strcmp(key->section, section) == 0 && nearest_distance(key->name, out) == 0) {
            snprintf(out, out_bytes, "%s", key->name);
            return;
        }
    }
    if (config_sources_role(section) < 0) return;
    char base[128];
    snprintf(base, sizeof base, "%s", env_name);
    const struct kafka_name *property = kafka_names_find_env(base);
    if (property != NULL) {
        snprintf(out, out_bytes, "%s", property->name);
        return;
    }
    char *suffix = strrchr(base, '_');
    if (suffix == NULL || strcmp(suffix, "_FILE") != 0) return;
    *suffix = '\0';
    property = kafka_names_find_env(base);
    if (property != NULL) snprintf(out, out_bytes, "%s_file", property->name);
}

bool config_environment_read(struct config_sources *sources, char **envp, struct error *error) {
    static const char prefix[] = "ROLLCALL_";
    for (; *envp != NULL; envp++) {
        if (strncmp(*envp, prefix, sizeof prefix - 1) != 0 || is_service_link(*envp)) continue;
        const struct config_place place = {.origin = CONFIG_ENVIRONMENT, .name = *envp};
        char name[128] = "";
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*envp, "="), *envp);
        char *section = name + sizeof prefix - 1;
        char *env_key = section + strcspn(section, "_");
        if (*env_key == '_') *env_key++ = '\0';
        for (char *p = section; *p != '\0'; p++)
            *p = (char)tolower((unsigned char)*p);
        char key[128] = "";
        find_env_key(section, env_key, key, sizeof key);
        const char *value = strchr(*envp, '=');
        if (value == NULL) continue;
        if (!config_sources_take(sources, &place, section, key, value + 1, error)) return false;
    }
    return true;
}
