/* Completion of the command line. Every shell gets the same words, each from the tables: commands,
 * options, settings for -X, and the values of those settings that have a choice. A setting in a
 * section with a name of its own is left out: the name is the user's. */
#include <stdbool.h>
#include <string.h>

#include "app/config.h"
#include "app/options.h"
#include "document_parts.h"

enum { NAME_BYTES = 128 };

static void skip_section(const char *section, FILE *out) {
    (void)section, (void)out;
}

/* The names under which -X sets it: of a secret also that of its file. Returns how many. */
static int names_of(const char *section, const struct setting *setting, char names[2][NAME_BYTES]) {
    if (strchr(section, '.') != NULL) return 0;
    snprintf(names[0], NAME_BYTES, "%s.%s", section, setting->name);
    if ((setting->flags & SETTING_SECRET) == 0) return 1;
    snprintf(names[1], NAME_BYTES, "%s.%s_file", section, setting->name);
    return 2;
}

/* A line for each value of a setting that has a choice. */
static void put_values(const char *section, const struct setting *setting, const char *begin,
                       const char *end, FILE *out) {
    char names[2][NAME_BYTES];
    if (setting->choices == NULL || names_of(section, setting, names) == 0) return;
    for (int i = 0; setting->choices[i] != NULL; i++)
        fprintf(out, "        %s%s=%s%s\n", begin, names[0], setting->choices[i], end);
}

/* The first line of a text, between single quotes, with a backslash before what is special. */
static void put_quoted(const char *text, const char *special, FILE *out) {
    for (; *text != '\0' && *text != '\n'; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fprintf(out, "%s%c", strchr(special, *text) != NULL ? "\\" : "", *text);
    }
}

static bool is_end(const struct option_row *row) {
    return row == NULL || (row->letter == 0 && row->name == NULL);
}

static bool takes_file(const struct option_row *row) {
    return row->argument != NULL && strcmp(row->argument, "FILE") == 0;
}

static void put_command_names(const struct command *const *commands, FILE *out) {
    for (; *commands != NULL; commands++)
        fprintf(out, " %s", (*commands)->name);
}

/* --- bash ------------------------------------------------------------------------------------- */

static void bash_words(const char *section, const struct setting *setting, FILE *out) {
    char names[2][NAME_BYTES];
    const int count = names_of(section, setting, names);
    for (int i = 0; i < count; i++)
        fprintf(out, "        %s=\n", names[i]);
    put_values(section, setting, "", "", out);
}

static void bash_options(const struct option_row *row, FILE *out) {
    for (; !is_end(row); row++) {
        if (row->letter != 0) fprintf(out, " -%c", row->letter);
        if (row->name != NULL) fprintf(out, " --%s", row->name);
    }
}

/* A pattern of the options that take a value. */
static void bash_valued(const struct option_row *row, FILE *out) {
    for (; !is_end(row); row++) {
        if (row->argument == NULL) continue;
        if (row->letter != 0) fprintf(out, "-%c | ", row->letter);
        if (row->name != NULL) fprintf(out, "--%s | ", row->name);
    }
}

static const char bash_begin[] =
    "# bash completion for rollcall\n"
    "\n"
    "_rollcall() {\n"
    "    # The word as it is typed: COMP_WORDS would split it at = and :.\n"
    "    local line=${COMP_LINE:0:COMP_POINT} word before='' command='' has_value='' words=''\n"
    "    local current=${line##*[[:blank:]]}\n"
    "    local -a typed\n"
    "    read -ra typed <<< \"${line%\"$current\"}\"\n"
    "    for word in \"${typed[@]:1}\"; do\n"
    "        if [[ ! $command && ! $has_value && $word != -* ]]; then\n"
    "            command=$word\n"
    "        fi\n"
    "        before=$word\n"
    "        has_value=''\n"
    "        case $word in\n"
    "            ";

static const char bash_end[] =
    "    esac\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
    "    [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace\n"
    "    # What is before the = stays on the line if bash splits there.\n"
    "    if [[ $current = *=* && $COMP_WORDBREAKS = *=* ]]; then\n"
    "        COMPREPLY=(\"${COMPREPLY[@]#*=}\")\n"
    "    fi\n"
    "}\n"
    "\n"
    "complete -F _rollcall rollcall\n";

void completion_write_bash(const struct command *const *commands, FILE *out) {
    fputs(bash_begin, out);
    bash_valued(options_common, out);
    for (size_t i = 0; commands[i] != NULL; i++)
        bash_valued(commands[i]->options, out);
    fputs("'') has_value=yes ;;\n"
          "        esac\n"
          "    done\n"
          "    case $before in\n"
          "        -c)\n"
          "            compopt -o filenames\n"
          "            mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
          "            return\n"
          "            ;;\n"
          "        -X) words='\n",
          out);
    config_write(&(struct config_writer){skip_section, bash_words}, out);
    fputs("        ' ;;\n"
          "        *)\n"
          "            [[ ! $has_value ]] || return\n"
          "            case $command in\n"
          "                '') words='help",
          out);
    put_command_names(commands, out);
    fputs("' ;;\n                help) words='settings", out);
    put_command_names(commands, out);
    fputs("' ;;\n", out);
    for (; *commands != NULL; commands++) {
        fprintf(out, "                %s) words='", (*commands)->name);
        bash_options((*commands)->options, out);
        fputs("' ;;\n", out);
    }
    fputs("            esac\n            words+='", out);
    bash_options(options_common, out);
    fprintf(out, "'\n            ;;\n%s", bash_end);
}

/* --- zsh -------------------------------------------------------------------------------------- */

static void zsh_settings(const char *section, const struct setting *setting, FILE *out) {
    char names[2][NAME_BYTES];
    const int count = names_of(section, setting, names);
    for (int i = 0; i < count; i++) {
        fprintf(out, "        '%s:", names[i]);
        put_quoted(i == 0 ? setting->help : "a file that holds it", "\\:", out);
        fputs("'\n", out);
    }
}

static void zsh_values(const char *section, const struct setting *setting, FILE *out) {
    put_values(section, setting, "'", "'", out);
}

static void zsh_option(const struct option_row *row, const char *name, FILE *out) {
    fprintf(out, "        '%s%s", row->letter == 'X' ? "*" : "", name);
    if (row->argument != NULL && name[1] == '-') fputc('=', out);
    fputc('[', out);
    put_quoted(row->help, "\\[]:", out);
    fputc(']', out);
    if (row->letter == 'X')
        fputs(":setting:_rollcall_setting", out);
    else if (row->argument != NULL)
        fprintf(out, ":%s:%s", row->argument, takes_file(row) ? "_files" : " ");
    fputs("'\n", out);
}

static void zsh_options(const struct option_row *row, FILE *out) {
    char name[NAME_BYTES];
    for (; !is_end(row); row++) {
        snprintf(name, sizeof name, "-%c", row->letter);
        if (row->letter != 0) zsh_option(row, name, out);
        snprintf(name, sizeof name, "--%s", row->name == NULL ? "" : row->name);
        if (row->name != NULL) zsh_option(row, name, out);
    }
}

/* A function that offers the commands and one word more. */
static void zsh_commands(const char *function, const struct command *const *commands,
                         const char *more, FILE *out) {
    fprintf(out, "_rollcall_%s() {\n    local -a words=(\n", function);
    for (; *commands != NULL; commands++) {
        fprintf(out, "        '%s:", (*commands)->name);
        put_quoted((*commands)->summary, "\\:", out);
        fputs("'\n", out);
    }
    fprintf(out, "        '%s'\n    )\n    _describe -t %s %s words\n}\n\n", more, function,
            function);
}

static const char zsh_arguments[] =
    "    )\n"
    "    _arguments -C $common '1:command:_rollcall_command' '*::argument:->rest' && return\n"
    "    [[ $state = rest ]] || return 1\n"
    "    case $line[1] in\n"
    "    help) own=('1:topic:_rollcall_topic') ;;\n";

void completion_write_zsh(const struct command *const *commands, FILE *out) {
    fputs("#compdef rollcall\n\n_rollcall_setting() {\n    local -a settings=(\n", out);
    config_write(&(struct config_writer){skip_section, zsh_settings}, out);
    fputs("    )\n    local -a values=(\n", out);
    config_write(&(struct config_writer){skip_section, zsh_values}, out);
    fputs("    )\n"
          "    if [[ $PREFIX = *=* ]]; then\n"
          "        local key=${PREFIX%%=*}=\n"
          "        compset -P '*='\n"
          "        compadd -- ${${(M)values:#$key*}#*=}\n"
          "    else\n"
          "        _describe -t settings setting settings -S =\n"
          "    fi\n"
          "}\n\n",
          out);
    zsh_commands("command", commands, "help:explain a command", out);
    zsh_commands("topic", commands, "settings:every setting with its default", out);
    fputs("_rollcall() {\n"
          "    local curcontext=$curcontext state line\n"
          "    local -A opt_args\n"
          "    local -a own common=(\n",
          out);
    zsh_options(options_common, out);
    fputs(zsh_arguments, out);
    for (; *commands != NULL; commands++) {
        fprintf(out, "    %s) own=(\n", (*commands)->name);
        zsh_options((*commands)->options, out);
        fputs("        ) ;;\n", out);
    }
    fputs("    esac\n    _arguments $common $own\n}\n\n_rollcall \"$@\"\n", out);
}

/* --- fish ------------------------------------------------------------------------------------- */

static void fish_words(const char *section, const struct setting *setting, FILE *out) {
    char names[2][NAME_BYTES];
    const int count = names_of(section, setting, names);
    for (int i = 0; i < count; i++) {
        fprintf(out, "        '%s='\\t'", names[i]);
        put_quoted(i == 0 ? setting->help : "a file that holds it", "\\", out);
        fputs("' \\\n", out);
    }
    put_values(section, setting, "'", "' \\", out);
}

/* `condition` is when they are offered. */
static void fish_options(const struct option_row *row, const char *condition, FILE *out) {
    for (; !is_end(row); row++) {
        fprintf(out, "complete -c rollcall%s", condition);
        if (row->letter != 0) fprintf(out, " -s %c", row->letter);
        if (row->name != NULL) fprintf(out, " -l %s", row->name);
        if (row->letter == 'X') fputs(" -a '(__rollcall_settings)'", out);
        if (row->argument != NULL) fputs(takes_file(row) ? " -r -F" : " -x", out);
        fputs(" -d '", out);
        put_quoted(row->help, "\\", out);
        fputs("'\n", out);
    }
}

static void fish_commands(const struct command *const *commands, const char *condition, FILE *out) {
    for (; *commands != NULL; commands++) {
        fprintf(out, "complete -c rollcall -n '%s' -a %s -d '", condition, (*commands)->name);
        put_quoted((*commands)->summary, "\\", out);
        fputs("'\n", out);
    }
}

static const char fish_begin[] = "# fish completion for rollcall\n"
                                 "\n"
                                 "# Prints the command that is on the line already.\n"
                                 "function __rollcall_command\n"
                                 "    set -l words (commandline -opc)\n"
                                 "    set -e words[1]\n"
                                 "    while set -q words[1]\n"
                                 "        switch $words[1]\n"
                                 "            case -c -X\n"
                                 "                set -e words[1]\n"
                                 "            case '-*'\n"
                                 "            case '*'\n"
                                 "                echo $words[1]\n"
                                 "                return\n"
                                 "        end\n"
                                 "        set -e words[1]\n"
                                 "    end\n"
                                 "end\n"
                                 "\n"
                                 "function __rollcall_settings\n"
                                 "    printf '%s\\n' \\\n";

void completion_write_fish(const struct command *const *commands, FILE *out) {
    const char *const first = "not count (__rollcall_command) > /dev/null";
    const char *const help = "contains help (__rollcall_command)";
    fputs(fish_begin, out);
    config_write(&(struct config_writer){skip_section, fish_words}, out);
    fputs("\nend\n\ncomplete -c rollcall -f\n", out);
    fish_options(options_common, "", out);
    fish_commands(commands, first, out);
    fprintf(out, "complete -c rollcall -n '%s' -a help -d 'explain a command'\n", first);
    fish_commands(commands, help, out);
    fprintf(out, "complete -c rollcall -n '%s' -a settings -d 'every setting'\n", help);
    for (; *commands != NULL; commands++) {
        char condition[NAME_BYTES];
        snprintf(condition, sizeof condition, " -n 'contains %s (__rollcall_command)'",
                 (*commands)->name);
        fish_options((*commands)->options, condition, out);
    }
}
