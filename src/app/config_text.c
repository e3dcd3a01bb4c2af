/* What config shows of itself: the effective values, the help, docs/configuration.md, and a
 * configuration file to begin with. */
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "app/config_named.h"
#include "base/secret.h"
#include "config_private.h"
#include "edge/kafka_names.h"
#include "edge/redis_link.h"

void config_print_text(const char *text, FILE *out) {
    const size_t length = strlen(text);
    bool is_plain = length == 0 ||
                    (strchr("\"#; \t", text[0]) == NULL && strchr(" \t", text[length - 1]) == NULL);
    for (const char *p = text; is_plain && (p = strpbrk(p, "#;")) != NULL; p++)
        is_plain = strchr(" \t", p[-1]) == NULL;
    if (is_plain) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (const char *p = text; *p != '\0'; p++)
        fprintf(out, "%s%c", strchr("\"\\", *p) == NULL ? "" : "\\", *p);
    fputc('"', out);
}

static void print_value(const char *value, FILE *out) {
    char *shown = secret_hide_users(value);
    config_print_text(shown, out);
    free(shown);
}

/* Secrets are shown as ***; a URL without its password. */
static void print_key(const struct config *config, const struct config_key *key, FILE *out) {
    const char *module = (const char *)config + key->offset;
    const char *const *text = (const void *)(module + key->setting->offset);
    const bool is_random = !config->is_static && text == (const void *)&config->instance.id;
    fprintf(out, "%s%s = ", is_random ? "# random: " : "", key->setting->name);
    if (key->setting->type == SETTING_TYPE_TEXT && (key->setting->flags & SETTING_SECRET) == 0) {
        print_value(*text, out);
    } else if ((key->setting->flags & SETTING_SECRET) == 0) {
        setting_print(key->setting, module, out);
    } else if (text != (const void *)&config->redis.url) {
        fputs(**text == '\0' ? "" : "***", out);
    } else {
        struct redis_link *link = redis_link_create(&config->redis, NULL);
        fputs(link == NULL ? "***" : redis_link_name(link), out);
        redis_link_destroy(&link);
    }
    fputc('\n', out);
}

static void print_named(const struct config *config, FILE *out) {
    const char *name;
    struct config_kind kind;
    struct config_key key;
    for (size_t k = 0; (kind = config_kind_at(k)).prefix != NULL; k++) {
        for (int i = 0; (name = config_named_at(config, &kind, i, &key.offset)) != NULL; i++) {
            fprintf(out, "\n[%s.%s]\n", kind.prefix, name);
            for (key.setting = kind.table; key.setting->section != NULL; key.setting++)
                print_key(config, &key, out);
        }
    }
}

void config_print(const struct config *config, FILE *out) {
    const struct properties none = {0};
    const char *section;
    struct config_key key;
    for (size_t s = 0; (section = config_sections[s]) != NULL; s++) {
        const struct properties *properties = s <= KAFKA_PRODUCER ? &config->by_role[s] : &none;
        fprintf(out, "%s[%s]\n", s == 0 ? "" : "\n", section);
        for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++) {
            if (strcmp(key.setting->section, section) == 0) print_key(config, &key, out);
        }
        for (size_t i = 0; i < properties->count; i++) {
            const struct property *property = &properties->items[i];
            fprintf(out, "%s = ", property->name);
            print_value(kafka_names_is_secret(property->name) ? "***" : property->value, out);
            fputc('\n', out);
        }
    }
    print_named(config, out);
}

/* --- every setting ---------------------------------------------------------------------------- */

void config_write(const struct config_writer *writer, FILE *out) {
    const char *section;
    struct config_key key;
    for (size_t s = 0; (section = config_sections[s]) != NULL; s++) {
        writer->section(section, out);
        for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++) {
            if (strcmp(key.setting->section, section) == 0)
                writer->setting(section, key.setting, out);
        }
        for (const struct setting *item = config_properties; item->section != NULL; item++) {
            if (strcmp(item->section, section) == 0) writer->setting(section, item, out);
        }
    }
    for (size_t k = 0; config_kind_at(k).prefix != NULL; k++) {
        char named[64];
        snprintf(named, sizeof named, "%s.NAME", config_kind_at(k).prefix);
        writer->section(named, out);
        for (const struct setting *row = config_kind_at(k).table; row->section != NULL; row++)
            writer->setting(named, row, out);
    }
}

const char *config_remark(const struct setting *setting) {
    if ((setting->flags & SETTING_SECRET) != 0) return "; a secret";
    if ((setting->flags & CONFIG_CLASSIC_ONLY) != 0) return "; only with group.protocol=classic";
    return "";
}

static void print_heading(const char *section, FILE *out) {
    fprintf(out, "\n[%s]\n", section);
}

static void print_setting(const char *section, const struct setting *setting, FILE *out) {
    (void)section;
    char range[SETTING_RANGE_BYTES];
    setting_range(setting, range);
    fprintf(out, "  %s", setting->name);
    if (setting->fallback != NULL) fprintf(out, " = %s", setting->fallback);
    fprintf(out, "\n      %s", setting->help);
    if (range[0] != '\0') fprintf(out, " (%s)", range);
    fputc('\n', out);
}

void config_help(FILE *out) {
    fputs("Each setting with its default. [kafka] takes any other property of librdkafka too, for\n"
          "both clients, [consumer] and [producer] any of that client.\n",
          out);
    config_write(&(struct config_writer){print_heading, print_setting}, out);
}

static void put_escaped(const char *text, FILE *out) {
    for (; *text != '\0'; text++) {
        if (strchr("_*|<", *text) != NULL) fputc('\\', out);
        fputc(*text, out);
    }
}

static void print_table(const char *section, FILE *out) {
    fprintf(out,
            "\n### [%s]\n\n"
            "| key | default | allowed | reloadable | |\n"
            "| --- | --- | --- | --- | --- |\n",
            section);
}

static void print_row(const char *section, const struct setting *setting, FILE *out) {
    (void)section;
    char range[SETTING_RANGE_BYTES];
    setting_range(setting, range);
    fprintf(out, "| `%s` | ", setting->name);
    if (setting->fallback != NULL) fprintf(out, "`%s`", setting->fallback);
    fputs(" | ", out);
    put_escaped(range, out);
    fputs((setting->flags & SETTING_RELOADABLE) != 0 ? " | yes | " : " | | ", out);
    put_escaped(setting->help, out);
    fprintf(out, "%s |\n", config_remark(setting));
}

void config_markdown(FILE *out) {
    fputs(CONFIG_HEADING, out);
    config_write(&(struct config_writer){print_table, print_row}, out);
}

/* A section with a name of its own is a comment too: without a name it would be a mistake. */
static void print_section(const char *section, FILE *out) {
    fprintf(out, "\n%s[%s]\n", strchr(section, '.') != NULL ? "#" : "", section);
}

static void print_comment(const char *section, const struct setting *setting, FILE *out) {
    (void)section;
    fprintf(out, "# %s%s\n#%s =", setting->help, config_remark(setting), setting->name);
    if (setting->fallback != NULL && setting->fallback[0] != '\0') {
        fputc(' ', out);
        config_print_text(setting->fallback, out);
    }
    fputc('\n', out);
}

void config_file(FILE *out) {
    fputs("# The configuration of rollcall: every setting with its default, as a comment.\n"
          "# `man rollcall.ini` has what each may be; `rollcall check -c FILE` tries this file.\n",
          out);
    config_write(&(struct config_writer){print_section, print_comment}, out);
}
