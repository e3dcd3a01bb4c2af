/* commands: what `rollcall COMMAND` does; each command's own file describes it in full.
 *
 * Threads:  the main thread runs one of them, once.
 */
#ifndef APP_COMMANDS_H
#define APP_COMMANDS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "app/options.h"

extern const struct command command_run;
extern const struct command command_snapshot;
extern const struct command command_check;
extern const struct command command_top;
extern const struct command command_audit;
extern const struct command command_ready;
extern const struct command command_rebuild;

/* Writes "rollcall 0.1.0" and a line for each library: the version in use, or where the library
 * cannot be asked, the one that it was built with, marked as that. Borrows out. */
void commands_print_version(FILE *out);

/* Writes a line to the standard output, as printf with a newline behind it. It steers no terminal:
 * control characters and invalid UTF-8 are written as \xNN. Borrows all. */
void commands_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sets the action for SIGTERM and SIGINT, and for SIGHUP unless it was ignored at start. Borrows
 * action. */
void commands_catch(const struct sigaction *action);

/* For those that end well on SIGTERM, SIGINT or SIGHUP: from now on one of them only makes
 * commands_are_stopped answer true. A second one ends the process at once if ends_at_second. */
void commands_catch_signals(bool ends_at_second);
bool commands_are_stopped(void);

/* What all randomness comes from: another number each time. */
uint64_t commands_seed(void);

#endif
