#include "base/setting.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"

bool setting_is_name(const char *text) {
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return text[strspn(text, allowed)] == '\0';
}

bool setting_is_topic(const char *text) {
    return setting_is_name(text) && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

bool setting_is_printable(const char *text) {
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7F) return false;
    }
    return true;
}

bool setting_parse_number(const char *text, int64_t min, int64_t max, int64_t *number,
                          struct error *error) {
    char *end = NULL;
    errno = 0;
    *number = strtoll(text, &end, 10);
    if ((!isdigit((unsigned char)text[0]) && text[0] != '-') || *end != '\0') {
        return error_set(error, "\"%s\" is not a whole number", text);
    }
    if (errno == 0 && *number >= min && *number <= max) return true;
    return error_set(error, "%s is out of range; allowed are %lld to %lld", text, (long long)min,
                     (long long)max);
}

static bool set_choice(const struct setting *setting, int *member, const char *text,
                       struct error *error) {
    for (int i = 0; setting->choices[i] != NULL; i++) {
        if (strcmp(setting->choices[i], text) != 0) continue;
        *member = i;
        return true;
    }
    char list[SETTING_RANGE_BYTES];
    setting_range(setting, list);
    return error_set(error, "\"%s\" is not one of: %s", text, list);
}

/* Of a text, or of one of several names. */
static bool check_form(const struct setting *setting, const char *text, struct error *error) {
    const size_t count = strlen(text);
    if (count < (size_t)setting->min || count > (size_t)setting->max) {
        return error_set(error, "%zu bytes are out of range; allowed are %d to %d", count,
                         setting->min, setting->max);
    }
    if (setting->is_right == NULL || setting->is_right(text)) return true;
    if ((setting->flags & SETTING_SECRET) != 0) {
        return error_set(error, "wrong form: %s", setting->rule);
    }
    return error_set(error, "\"%s\" has the wrong form: %s", text, setting->rule);
}

static int names_max(const struct setting *setting) {
    return setting->names_max == 0 ? SETTING_NAMES_MAX : setting->names_max;
}

static void release_names(struct setting_names *names) {
    for (int i = 0; i < names->count; i++)
        free(names->items[i]);
    names->count = 0;
}

static bool add_name(const struct setting *setting, struct setting_names *names, const char *name,
                     struct error *error) {
    if (!check_form(setting, name, error)) return false;
    if (*name == '\0') return error_set(error, "a name between commas is empty");
    if (names->count == names_max(setting)) {
        return error_set(error, "more than %d names", names_max(setting));
    }
    for (int i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], name) == 0) {
            return error_set(error, "\"%s\" is there twice", name);
        }
    }
    names->items[names->count++] = memory_text(name);
    return true;
}

/* Names between commas; spaces around a name do not count. */
static bool set_names(const struct setting *setting, struct setting_names *names, const char *text,
                      struct error *error) {
    char *const copy = memory_text(text);
    char *rest = copy;
    bool is_right = true;
    release_names(names);
    if (setting->min == 0 && *text_trim(copy) == '\0') rest = NULL;
    for (char *name; is_right && (name = strsep(&rest, ",")) != NULL;) {
        is_right = add_name(setting, names, text_trim(name), error);
    }
    free(copy);
    return is_right;
}

static void *member_of(const struct setting *setting, const void *module) {
    return (char *)module + setting->offset;
}

bool setting_set(const struct setting *setting, void *module, const char *text,
                 struct error *error) {
    void *const member = member_of(setting, module);
    int64_t number;
    switch (setting->type) {
    case SETTING_TYPE_TEXT:
        if (!check_form(setting, text, error)) return false;
        free(*(char **)member);
        *(char **)member = memory_text(text);
        return true;
    case SETTING_TYPE_NUMBER:
        if (!setting_parse_number(text, setting->min, setting->max, &number, error)) return false;
        *(int *)member = (int)number;
        return true;
    case SETTING_TYPE_CHOICE:
        return set_choice(setting, member, text, error);
    case SETTING_TYPE_NAMES:
        return set_names(setting, member, text, error);
    }
    abort();
}

void setting_print(const struct setting *setting, const void *module, FILE *out) {
    const void *const member = member_of(setting, module);
    const struct setting_names *const names = member;
    switch (setting->type) {
    case SETTING_TYPE_TEXT:
        fputs(*(char *const *)member, out);
        break;
    case SETTING_TYPE_NUMBER:
        fprintf(out, "%d", *(const int *)member);
        break;
    case SETTING_TYPE_CHOICE:
        fputs(setting->choices[*(const int *)member], out);
        break;
    case SETTING_TYPE_NAMES:
        for (int i = 0; i < names->count; i++)
            fprintf(out, "%s%s", i == 0 ? "" : ",", names->items[i]);
        break;
    }
}

void setting_range(const struct setting *setting, char out[SETTING_RANGE_BYTES]) {
    const char *const rule = setting->rule == NULL ? "" : setting->rule;
    int used = 0;
    switch (setting->type) {
    case SETTING_TYPE_NUMBER:
        used = snprintf(out, SETTING_RANGE_BYTES, "%d to %d", setting->min, setting->max);
        break;
    case SETTING_TYPE_TEXT:
        used = setting->max == 0 /* librdkafka knows */
                   ? snprintf(out, SETTING_RANGE_BYTES, "%s", rule)
                   : snprintf(out, SETTING_RANGE_BYTES, "%s%s%d to %d bytes", rule,
                              rule[0] == '\0' ? "" : "; ", setting->min, setting->max);
        break;
    case SETTING_TYPE_NAMES:
        used = snprintf(out, SETTING_RANGE_BYTES,
                        "up to %d names of %d to %d bytes, between commas; %s", names_max(setting),
                        setting->min, setting->max, rule);
        break;
    case SETTING_TYPE_CHOICE:
        for (int i = 0; setting->choices[i] != NULL; i++)
            used += snprintf(out + used, (size_t)(SETTING_RANGE_BYTES - used), "%s%s",
                             i == 0 ? "" : ", ", setting->choices[i]);
        break;
    }
    assert(used < SETTING_RANGE_BYTES);
}

void setting_release(const struct setting *setting, void *module) {
    void *const member = member_of(setting, module);
    if (setting->type == SETTING_TYPE_NAMES) release_names(member);
    if (setting->type != SETTING_TYPE_TEXT) return;
    free(*(char **)member);
    *(char **)member = NULL;
}
