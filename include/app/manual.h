/* manual: texts made from the tables of commands, options and settings.
 *
 * Threads:  the main thread.
 */
#ifndef APP_MANUAL_H
#define APP_MANUAL_H

#include <stdio.h>

#include "app/options.h"

/* `rollcall --help`, or with a command `rollcall COMMAND --help`. `commands` ends in NULL. */
void manual_help(const struct command *const *commands, const struct command *command, FILE *out);

/* `rollcall help settings`: all of them, for the terminal. */
void manual_settings(FILE *out);

/* What docs/configuration.md has from this heading on; what is above is written by hand. */
#define MANUAL_HEADING "## Settings\n"
void manual_markdown(FILE *out);

#endif
