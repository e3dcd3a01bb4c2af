/* commands: what `rollcall COMMAND` does; each command's own file describes it in full.
 *
 * Threads:  the main thread runs one of them, once.
 */
#ifndef APP_COMMANDS_H
#define APP_COMMANDS_H

#include "app/options.h"

extern const struct command command_run;
extern const struct command command_snapshot;
extern const struct command command_check;
extern const struct command command_top;

#endif
