/* Only numbers, choices and passwords can be taken over: they are read again at each use.
 * Everything else is a pointer that some thread may hold. */
#include "app/reload.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "app/config_named.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/secret.h"

enum { NAME_BYTES = 256 };

static void add_name(struct text *names, const char *section, const char *name) {
    text_format(names, "%s%s.%s", names->length > 0 ? ", " : "", section, name);
}

static bool is_equal_text(const char *one, const char *other) {
    if (one == NULL || other == NULL) return one == other;
    return strcmp(one, other) == 0;
}

static bool is_equal(const struct setting *setting, const void *one, const void *other) {
    char *texts[2] = {NULL, NULL};
    size_t bytes;
    const void *modules[2] = {one, other};
    if (setting->type == SETTING_TYPE_TEXT) /* which may be none */
        return is_equal_text(*(char *const *)((const char *)one + setting->offset),
                             *(char *const *)((const char *)other + setting->offset));
    for (int i = 0; i < 2; i++) {
        FILE *out = open_memstream(&texts[i], &bytes);
        if (out != NULL) {
            setting_print(setting, modules[i], out);
            fclose(out);
        } else {
            memory_none();
        }
    }
    const bool is_same = is_equal_text(texts[0], texts[1]);
    secret_forget(texts[0]);
    secret_forget(texts[1]);
    return is_same;
}

/* What was chosen at start, because it was not set, is not compared with another choice. */
static bool is_chosen(const struct config *running, const struct config *fresh,
                      const struct setting *setting) {
    if (strcmp(setting->section, "instance") != 0) return false;
    if (strcmp(setting->name, "id") == 0) return !running->is_static && !fresh->is_static;
    return strcmp(setting->name, "shards") == 0 && !running->has_shards && !fresh->has_shards;
}

/* --- redis: user and passwords may change ----------------------------------------------------- */

static bool is_same_place(const struct redis_settings *one, const struct redis_settings *other) {
    struct redis_link *links[2] = {redis_link_create(one, NULL), redis_link_create(other, NULL)};
    const bool is_same =
        links[0] != NULL && links[1] != NULL && redis_link_is_same_place(links[0], links[1]);
    redis_link_destroy(&links[0]);
    redis_link_destroy(&links[1]);
    return is_same;
}

static void compare_redis(const struct config *running, const struct config *fresh,
                          struct text *changed, struct text *fixed) {
    char *before = secret_copy(running->redis.latest);
    if (!is_equal_text(running->redis.url_file, fresh->redis.url_file)) {
        add_name(fixed, "redis", "url_file");
    } else if (!is_equal_text(before, fresh->redis.url)) {
        add_name(is_same_place(&running->redis, &fresh->redis) ? changed : fixed, "redis", "url");
    }
    secret_forget(before);
}

static void compare_sentinels(const struct config *running, const struct config *fresh,
                              struct text *changed, struct text *fixed) {
    char *before = secret_copy(running->redis.sentinel_latest);
    if (!is_equal_text(running->redis.sentinel_password_file, fresh->redis.sentinel_password_file))
        add_name(fixed, "redis", "sentinel_password_file");
    else if (!is_equal_text(before, fresh->redis.sentinel_password))
        add_name(changed, "redis", "sentinel_password");
    secret_forget(before);
}

/* --- librdkafka's properties: password and certificates may change ---------------------------- */

/* The value of a property that counts; a copy, as secret_forget takes it. */
static char *value_of(const struct properties *properties, const char *name) {
    char *latest = secret_copy(kafka_conf_latest(properties, properties, name));
    if (latest != NULL) return latest;
    const char *value = kafka_conf_get(properties, name);
    return value == NULL ? NULL : memory_text(value);
}

/* Those of `one` that `other` lacks or has otherwise; `is_back`: those that it has are done. */
static void compare_properties(const char *section, const struct properties *one,
                               const struct properties *other, bool is_back, struct text *changed,
                               struct text *fixed) {
    for (size_t i = 0; i < one->count; i++) {
        const char *name = one->items[i].name;
        char *before = value_of(one, name), *after = value_of(other, name);
        const bool is_new = after == NULL;
        const bool is_other_file =
            !is_back && !is_new &&
            !is_equal_text(one->items[i].file, kafka_conf_file(other, other, name));
        if (is_new || is_other_file)
            add_name(fixed, section, name);
        else if (!is_back && !is_equal_text(before, after))
            add_name(kafka_conf_is_renewable(name) ? changed : fixed, section, name);
        secret_forget(before);
        secret_forget(after);
    }
}

/* --- sections with a name: none of it may change ---------------------------------------------- */

/* Those of `one` that `other` lacks; unless is_back, also settings that differ. */
static void compare_named(const struct config *one, const struct config *other, bool is_back,
                          struct text *fixed) {
    struct config_kind kind;
    for (size_t k = 0; (kind = config_kind_at(k)).prefix != NULL; k++) {
        const char *name;
        size_t offset;
        for (int i = 0; (name = config_named_at(one, &kind, i, &offset)) != NULL; i++) {
            char section[NAME_BYTES];
            snprintf(section, sizeof section, "%s.%s", kind.prefix, name);
            for (const struct setting *s = kind.table; s->section != NULL; s++) {
                const struct config_key key = config_named_find(other, section, s->name);
                const char *before = (const char *)one + offset;
                const char *after = (const char *)other + key.offset;
                if (key.setting == NULL || (!is_back && !is_equal(s, before, after)))
                    add_name(fixed, section, s->name);
            }
        }
    }
}

void reload_compare(const struct config *running, const struct config *fresh, struct text *changed,
                    struct text *fixed) {
    const struct config_key url = config_key_find("redis", "url");
    const struct config_key sentinels = config_key_find("redis", "sentinel_password");
    compare_named(running, fresh, false, fixed);
    compare_named(fresh, running, true, fixed);
    struct config_key key;
    for (int role = 0; role <= KAFKA_PRODUCER; role++) {
        const struct properties *before = &running->by_role[role], *after = &fresh->by_role[role];
        compare_properties(config_sections[role], before, after, false, changed, fixed);
        compare_properties(config_sections[role], after, before, true, changed, fixed);
    }
    for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++) {
        const struct setting *setting = key.setting;
        const void *before = (const char *)running + key.offset;
        const void *after = (const char *)fresh + key.offset;
        if (setting == url.setting)
            compare_redis(running, fresh, changed, fixed);
        else if (setting == sentinels.setting)
            compare_sentinels(running, fresh, changed, fixed);
        else if (!is_chosen(running, fresh, setting) && !is_equal(setting, before, after))
            add_name((setting->flags & SETTING_RELOADABLE) != 0 ? changed : fixed, setting->section,
                     setting->name);
    }
}

bool reload_takes(const char *key) {
    char section[NAME_BYTES];
    const char *name = strchr(key, '.');
    if (name == NULL) return false;
    snprintf(section, sizeof section, "%.*s", (int)(name - key), key);
    const struct config_key found = config_key_find(section, name + 1);
    if (found.setting == NULL && config_role(section) >= 0)
        return kafka_conf_is_renewable(name + 1);
    return found.setting != NULL && (found.setting->flags & SETTING_RELOADABLE) != 0;
}

/* --- the change ------------------------------------------------------------------------------- */

static void take_over(struct config *running, const struct config *fresh) {
    struct config_key key;
    for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++) {
        const struct setting *setting = key.setting;
        if ((setting->flags & SETTING_RELOADABLE) == 0) continue;
        assert(setting->type == SETTING_TYPE_NUMBER || setting->type == SETTING_TYPE_CHOICE);
        setting_replace((char *)running + key.offset + setting->offset,
                        (const char *)fresh + key.offset + setting->offset);
    }
    secret_set(running->redis.latest, fresh->redis.url);
    secret_set(running->redis.sentinel_latest, fresh->redis.sentinel_password);
    for (int role = 0; role <= KAFKA_PRODUCER; role++)
        kafka_conf_renew(&running->by_role[role], &fresh->by_role[role]);
    log_configure(running->log.level, running->log.format);
}

bool reload_apply(struct config *running, const struct options *options, char **envp,
                  struct text *changed, struct error *error) {
    struct text fixed = {0};
    struct config *fresh = config_create(options, envp, error);
    if (fresh == NULL) return false;
    reload_compare(running, fresh, changed, &fixed);
    const bool is_possible = fixed.length == 0;
    if (is_possible)
        take_over(running, fresh);
    else
        error_set(error, "cannot change while rollcall runs: %.700s; restart for that, or undo it",
                  text_string(&fixed));
    text_release(&fixed);
    config_destroy(&fresh);
    return is_possible;
}
