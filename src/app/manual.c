#include "app/manual.h"

#include <string.h>

#include "app/config.h"
#include "base/text.h"

static const char overview[] =
    "rollcall counts logins: it reads them from Kafka, publishes the accepted ones to\n"
    "another topic, and keeps the counts in Redis, each record exactly once.\n"
    "\n"
    "usage: rollcall COMMAND [OPTION]...\n"
    "\n";

static const char sources[] =
    "\n"
    "A setting comes from -X, else from the environment (ROLLCALL_KAFKA_BOOTSTRAP_SERVERS),\n"
    "else from the file, else it has its default. A secret can be in a file of its own\n"
    "(redis.url_file). `rollcall help settings` lists all settings.\n"
    "\n"
    "Exit status: 0 fine; 1 it had to stop (the last log line has the reason); 2 wrong usage\n"
    "or configuration, and nothing was touched.\n";

/* --- options ---------------------------------------------------------------------------------- */

static void print_options(const struct option_row *row, FILE *out) {
    enum { HELP_COLUMN = 24 };
    for (; row->letter != 0 || row->name != NULL; row++) {
        struct text left = {0};
        text_format(&left, row->letter != 0 ? "  -%c" : "    ", row->letter);
        if (row->name != NULL)
            text_format(&left, "%s--%s", row->letter != 0 ? ", " : "  ", row->name);
        if (row->argument != NULL) text_format(&left, " %s", row->argument);
        fprintf(out, "%-*s", HELP_COLUMN, text_string(&left));
        text_release(&left);
        for (const char *p = row->help; *p != '\0'; p++) {
            fputc(*p, out);
            if (*p == '\n') fprintf(out, "%*s", HELP_COLUMN, "");
        }
        if (row->fallback != NULL) fprintf(out, " (default: %s)", row->fallback);
        fputc('\n', out);
    }
}

void manual_help(const struct command *const *commands, const struct command *command, FILE *out) {
    if (command == NULL) {
        fputs(overview, out);
        for (; *commands != NULL; commands++)
            fprintf(out, "  %-10s%s\n", (*commands)->name, (*commands)->summary);
        fputs("\n`rollcall COMMAND --help` explains one.\n\n", out);
    } else {
        fprintf(out, "usage: rollcall %s [OPTION]...\n\n%s\n", command->name, command->help);
        if (command->options != NULL) print_options(command->options, out);
    }
    print_options(options_common, out);
    fputs(sources, out);
}

/* --- settings --------------------------------------------------------------------------------- */

/* Calls `print` for each key of the section, and each property that has another default here. */
static void each_key(const char *section, void (*print)(const struct setting *setting, FILE *out),
                     FILE *out) {
    struct config_key key;
    for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++) {
        if (strcmp(key.setting->section, section) == 0) print(key.setting, out);
    }
    for (const struct setting *item = config_defaults; item->section != NULL; item++) {
        if (strcmp(item->section, section) == 0) print(item, out);
    }
}

static void print_setting(const struct setting *setting, FILE *out) {
    char range[SETTING_RANGE_BYTES];
    setting_range(setting, range);
    fprintf(out, "  %s", setting->name);
    if (setting->fallback != NULL) fprintf(out, " = %s", setting->fallback);
    fprintf(out, "\n      %s", setting->help);
    if (range[0] != '\0') fprintf(out, " (%s)", range);
    fputc('\n', out);
}

void manual_settings(FILE *out) {
    const char *section;
    fputs("Each setting with its default. [kafka] takes any other property of librdkafka too, for\n"
          "both clients, [consumer] and [producer] any of that client.\n",
          out);
    for (size_t s = 0; (section = config_sections[s]) != NULL; s++) {
        fprintf(out, "\n[%s]\n", section);
        each_key(section, print_setting, out);
    }
}

/* --- docs/configuration.md, from its heading on ----------------------------------------------- */

static void put_escaped(const char *text, FILE *out) {
    for (; *text != '\0'; text++) {
        if (strchr("_*|<", *text) != NULL) fputc('\\', out);
        fputc(*text, out);
    }
}

static void print_row(const struct setting *setting, FILE *out) {
    char range[SETTING_RANGE_BYTES];
    setting_range(setting, range);
    fprintf(out, "| `%s` | ", setting->name);
    if (setting->fallback != NULL) fprintf(out, "`%s`", setting->fallback);
    fputs(" | ", out);
    put_escaped(range, out);
    fputs((setting->flags & SETTING_RELOADABLE) != 0 ? " | yes | " : " | | ", out);
    put_escaped(setting->help, out);
    if ((setting->flags & SETTING_SECRET) != 0) fputs("; a secret", out);
    if ((setting->flags & CONFIG_CLASSIC_ONLY) != 0)
        fputs("; only with group.protocol=classic", out);
    fputs(" |\n", out);
}

void manual_markdown(FILE *out) {
    const char *section;
    fputs(MANUAL_HEADING, out);
    for (size_t s = 0; (section = config_sections[s]) != NULL; s++) {
        fprintf(out,
                "\n### [%s]\n\n| key | default | allowed | reloadable | |\n"
                "| --- | --- | --- | --- | --- |\n",
                section);
        each_key(section, print_row, out);
    }
}
