/* document_parts: the documents that have a file of their own; see include/app/document.h. */
#ifndef APP_DOCUMENT_PARTS_H
#define APP_DOCUMENT_PARTS_H

#include <stdio.h>

struct command;

/* rollcall(1) and rollcall.ini(5), in mdoc(7). `commands` ends in NULL. */
void manual_write_program(const struct command *const *commands, FILE *out);
void manual_write_settings(FILE *out);

/* What bash, zsh and fish load to complete a command line of rollcall. `commands` ends in NULL. */
void completion_write_bash(const struct command *const *commands, FILE *out);
void completion_write_zsh(const struct command *const *commands, FILE *out);
void completion_write_fish(const struct command *const *commands, FILE *out);

#endif
