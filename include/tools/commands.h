/* commands: those of the tools; see app/commands.h. */
#ifndef TOOLS_COMMANDS_H
#define TOOLS_COMMANDS_H

#include "app/options.h"

extern const struct command command_demo;
extern const struct command command_generate;

#endif
