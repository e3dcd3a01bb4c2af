/* The manual pages. A text from the tables becomes mdoc(7) in put_text alone, and a word in
 * put_word. */
#include <stdbool.h>
#include <string.h>

#include "app/config.h"
#include "app/options.h"
#include "base/text.h"
#include "document_parts.h"

static void put_character(char c, FILE *out) {
    if (c == '\\')
        fputs("\\e", out);
    else if (c == '-')
        fputs("\\-", out);
    else
        fputc(c, out);
}

/* One argument of a macro, whatever it holds: \& keeps it from being a macro itself. */
static void put_word(const char *word, FILE *out) {
    fputs(" \"\\&", out);
    for (; *word != '\0'; word++) {
        if (*word == '"') fputc('"', out);
        put_character(*word, out);
    }
    fputc('"', out);
}

/* Whether the word that follows p, a blank, still fits on the line. */
static bool fits(int column, const char *p) {
    enum { COLUMNS = 76 };
    return column + (int)strcspn(p + 1, " \n") < COLUMNS;
}

/* Lines of text. An empty one begins a paragraph, and a sentence begins a line; what is between
 * ` and ` is bold. */
static void put_text(const char *text, FILE *out) {
    bool is_bold = false;
    int column = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (column == 0 && *p == '\n') {
            fputs(".Pp\n", out);
            continue;
        }
        if (column == 0 && (*p == '.' || *p == '\'')) fputs("\\&", out);
        const bool is_sentence = p > text && strchr(".:?", p[-1]) != NULL;
        if (*p == '\n' || (*p == ' ' && (is_sentence || !fits(column, p)))) {
            fputc('\n', out);
            column = 0;
            continue;
        }
        column++;
        if (*p == '`') {
            is_bold = !is_bold;
            fputs(is_bold ? "\\fB" : "\\fR", out);
        } else {
            put_character(*p, out);
        }
    }
    if (column != 0) fputc('\n', out);
}

static void put_title(const char *title, const char *number, const char *name, const char *what,
                      FILE *out) {
    fprintf(out, ".Dd %s\n.Dt %s %s\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n", ROLLCALL_DATE, title, number,
            name, what);
}

/* --- rollcall(1) ------------------------------------------------------------------------------ */

static void put_options(const struct option_row *row, FILE *out) {
    if (row == NULL || (row->letter == 0 && row->name == NULL)) return;
    fputs(".Bl -tag -width Ds\n", out);
    for (; row->letter != 0 || row->name != NULL; row++) {
        fputs(".It", out);
        if (row->letter != 0) fprintf(out, " Fl %c", row->letter);
        if (row->letter != 0 && row->name != NULL) fputs(" ,", out);
        if (row->name != NULL) fprintf(out, " Fl Fl %s", row->name);
        if (row->argument != NULL) {
            fputs(" Ar", out);
            put_word(row->argument, out);
        }
        fputc('\n', out);
        put_text(row->help, out);
        if (row->fallback != NULL) {
            fputs("(default:\n.Ql", out);
            put_word(row->fallback, out);
            fputs(" )\n", out);
        }
    }
    fputs(".El\n", out);
}

static void put_command(const struct command *command, FILE *out) {
    fprintf(out, ".Ss %s: %s\n", command->name, command->summary);
    put_text(command->help, out);
    put_options(command->options, out);
}

void manual_write_program(const struct command *const *commands, FILE *out) {
    put_title("ROLLCALL", "1", "rollcall", "count events of Kafka in Redis, each exactly once",
              out);
    fputs(".Sh SYNOPSIS\n"
          ".Nm\n.Ar COMMAND\n.Op Ar OPTION ...\n"
          ".Nm\n.Cm help\n.Op Ar COMMAND\n"
          ".Nm\n.Cm help settings\n"
          ".Sh DESCRIPTION\n",
          out);
    put_text(options_purpose, out);
    fputs(".Sh COMMANDS\n", out);
    for (; *commands != NULL; commands++)
        put_command(*commands, out);
    fputs(".Sh OPTIONS\n"
          "Every command takes these.\n",
          out);
    put_options(options_common, out);
    fputs(".Sh ENVIRONMENT\n", out);
    put_text(options_sources, out);
    fputs("The variable of a setting is\n"
          ".Ev ROLLCALL_SECTION_KEY\n"
          "in capital letters, with underscores for dots and dashes.\n"
          ".Pp\n"
          "If\n"
          ".Ev NOTIFY_SOCKET\n"
          "is set,\n"
          ".Cm run\n"
          "reports to the service manager that it is ready, reloading, stopping and alive.\n"
          ".Sh FILES\n"
          ".Bl -tag -width Ds\n"
          ".It Pa /etc/rollcall/rollcall.ini\n"
          "The configuration of the service; without\n"
          ".Fl c\n"
          "no file is read.\n"
          ".El\n"
          ".Sh EXIT STATUS\n",
          out);
    put_text(options_exit_status, out);
    fputs(".Sh EXAMPLES\n"
          "See the whole pipeline on this machine, with an embedded broker:\n"
          ".Pp\n"
          ".Dl rollcall demo\n"
          ".Pp\n"
          "Look what is wrong with a configuration, then run it:\n"
          ".Bd -literal -offset indent\n"
          "rollcall check \\-c rollcall.ini\n"
          "rollcall run \\-c rollcall.ini\n"
          ".Ed\n"
          ".Sh SEE ALSO\n"
          ".Xr rollcall.ini 5\n",
          out);
}

/* --- rollcall.ini(5) -------------------------------------------------------------------------- */

/* The list of a section ends where the next one begins. */
static void begin_section(const char *section, FILE *out) {
    if (strcmp(section, config_sections[0]) != 0) fputs(".El\n", out);
    fprintf(out, ".Ss [%s]\\&\n.Bl -tag -width Ds\n", section);
}

static void put_setting(const char *section, const struct setting *setting, FILE *out) {
    (void)section;
    char range[SETTING_RANGE_BYTES];
    struct text text = {0};
    setting_range(setting, range);
    fprintf(out, ".It Cm %s", setting->name);
    if (setting->fallback != NULL && setting->fallback[0] != '\0') {
        fputs(" No = Ar", out);
        put_word(setting->fallback, out);
    }
    fputc('\n', out);
    text_format(&text, "%s%s", setting->help, config_remark(setting));
    if (range[0] != '\0') text_format(&text, " (%s)", range);
    if ((setting->flags & SETTING_RELOADABLE) != 0) text_add(&text, "; reloadable");
    put_text(text_string(&text), out);
    text_release(&text);
}

void manual_write_settings(FILE *out) {
    put_title("ROLLCALL.INI", "5", "rollcall.ini", "the configuration of rollcall", out);
    fputs(".Sh DESCRIPTION\n"
          "The file that\n"
          ".Xr rollcall 1\n"
          "reads with\n"
          ".Fl c .\n"
          "It has lines\n"
          ".Ql [section]\n"
          "and\n"
          ".Ql key = value ,\n"
          "in UTF\\-8.\n"
          "A\n"
          ".Ql #\n"
          "or\n"
          ".Ql \\&;\n"
          "begins a comment where a line begins and after a blank.\n"
          "A value that begins with a double quote ends at the next one and may hold\n"
          "anything;\n"
          "within it, a quote or backslash is written with a backslash before it.\n"
          "Nothing may be set twice, and an unknown section or key is an error.\n"
          ".Pp\n"
          "A secret is never logged or shown.\n"
          "In place of one,\n"
          ".Ar key Ns _file\n"
          "names a file that holds it.\n"
          ".Pp\n"
          "SIGHUP has everything read again.\n"
          "What is marked as reloadable may have changed; if anything else has,\n"
          "nothing changes.\n"
          ".Pp\n",
          out);
    put_text(options_sources, out);
    fputs(".Sh SETTINGS\n"
          "Each with its default.\n"
          "The section [kafka] takes any other property of librdkafka too,\n"
          "for both clients, [consumer] and [producer] any of that client.\n",
          out);
    config_write(&(struct config_writer){begin_section, put_setting}, out);
    fputs(".El\n"
          ".Sh FILES\n"
          ".Pa /etc/rollcall/rollcall.ini\n"
          ".Sh EXAMPLES\n"
          ".Bd -literal -offset indent\n"
          "[kafka]\n"
          "bootstrap.servers = kafka\\-1:9092,kafka\\-2:9092\n"
          "\n"
          "[redis]\n"
          "url_file = /etc/rollcall/redis\\-url\n"
          ".Ed\n"
          ".Sh SEE ALSO\n"
          ".Xr rollcall 1\n",
          out);
}
