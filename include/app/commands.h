/* commands: what `rollcall COMMAND` does; one file for each.
 *
 * Threads:  the main thread calls one of them, once.
 *
 * Each answers the exit status: 0 fine, 1 it ran and had to stop (the last log line says why), 2
 * wrong configuration, and nothing was touched. Each borrows both structs.
 */
#ifndef APP_COMMANDS_H
#define APP_COMMANDS_H

struct config;
struct options;

int command_run(const struct config *config, const struct options *options);
int command_demo(const struct config *config, const struct options *options);
int command_generate(const struct config *config, const struct options *options);
int command_snapshot(const struct config *config, const struct options *options);
int command_check(const struct config *config, const struct options *options);
int command_top(const struct config *config, const struct options *options);

#endif
