#include "app/manual.h"

#include <string.h>

#include "app/config.h"
#include "app/config_keys.h"

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
    "Exit status: 0 fine; 1 it had to stop, and the last log line says why; 2 wrong usage or\n"
    "configuration, and nothing was touched.\n";

/* --- options ---------------------------------------------------------------------------------- */

static void print_options(const struct option_row *row, FILE *out) {
    enum { HELP_COLUMN = 24 };
    for (; row->letter != 0 || row->name != NULL; row++) {
        const bool has_both = row->letter != 0 && row->name != NULL;
        const char letter[] = {'-', row->letter, '\0'};
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s%s%s%s", row->letter != 0 ? "  " : "      ",
                 row->letter != 0 ? letter : "", has_both ? ", " : "",
                 row->name != NULL ? "--" : "", row->name != NULL ? row->name : "",
                 row->argument != NULL ? " " : "", row->argument != NULL ? row->argument : "");
        fprintf(out, "%-*s", HELP_COLUMN, left);
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
        fputs("\n`rollcall COMMAND --help` says more about one.\n\n", out);
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
    for (size_t i = 0; (key = config_keys_at(i)).setting != NULL; i++) {
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
    fprintf(out, "\n      %s%s%s%s\n", setting->help, range[0] != '\0' ? " (" : "", range,
            range[0] != '\0' ? ")" : "");
}

void manual_settings(FILE *out) {
    const char *section;
    fputs("Each setting with its default. [kafka] takes any other property of librdkafka too, for\n"
          "both clients, [consumer] and [producer] any of that client.\n",
          out);
    for (size_t s = 0; (section = config_keys_section(s)) != NULL; s++) {
        fprintf(out, "\n[%s]\n", section);
        each_key(section, print_setting, out);
    }
}

/* --- docs/configuration.md -------------------------------------------------------------------- */

static const char introduction[] =
    "# Configuration\n"
    "\n"
    "`./dev docs` writes this page from the tables that the program itself reads; a test fails\n"
    "when it is out of date. `rollcall help settings` prints the same list. How to run rollcall,\n"
    "and how its settings work together, is in [operation.md](operation.md).\n"
    "\n"
    "## Where a setting comes from\n"
    "\n"
    "The first of these that sets it wins:\n"
    "\n"
    "1. `-X SECTION.KEY=VALUE` on the command line; the last one counts;\n"
    "2. the environment variable `ROLLCALL_<SECTION>_<KEY>`, in capitals, with underscores for\n"
    "   dots and dashes: `ROLLCALL_KAFKA_BOOTSTRAP_SERVERS`;\n"
    "3. the INI file named by `-c FILE`: lines `[section]` and `key = value`; a line that begins\n"
    "   with `#` or `;` is a comment, and so is what follows a blank and `;`;\n"
    "4. the default.\n"
    "\n"
    "Nothing may be set twice in the file or in the environment. Everything is checked before\n"
    "anything is touched: an unknown section or key, a value out of range, or a contradiction\n"
    "ends the program with exit status 2 and a message that names the file and line (or the\n"
    "variable, or the option), the key, and the nearest known key. `rollcall check -v` prints\n"
    "every setting in effect.\n"
    "\n"
    "## Secrets\n"
    "\n"
    "A secret is never logged or shown. In place of a secret, `<key>_file` names a file that "
    "holds\n"
    "it: `redis.url_file`, `kafka.sasl.password_file`, `ROLLCALL_REDIS_URL_FILE`. One newline at "
    "the\n"
    "end of the file does not count.\n"
    "\n"
    "## librdkafka's properties\n"
    "\n"
    "`[kafka]` takes any\n"
    "[property of "
    "librdkafka](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md)\n"
    "and gives it to both clients, as far as it is theirs; `[consumer]` and `[producer]` take the\n"
    "properties of that client and win over `[kafka]`. Properties that rollcall must control "
    "itself\n"
    "(`enable.auto.commit`, `auto.offset.reset`, `transactional.id`, ...) are rejected with the\n"
    "reason. The tables of these three sections list only what rollcall adds, or sets to another\n"
    "default than librdkafka's.\n"
    "\n"
    "## Settings\n"
    "\n"
    "*Reloadable* settings are those that can change without a restart as far as the rest of the\n"
    "program is concerned. rollcall does not yet read its configuration again: restart it.\n";

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
    fputs(introduction, out);
    for (size_t s = 0; (section = config_keys_section(s)) != NULL; s++) {
        fprintf(out,
                "\n### [%s]\n\n| key | default | allowed | reloadable | |\n"
                "| --- | --- | --- | --- | --- |\n",
                section);
        each_key(section, print_row, out);
    }
}
