/* document: texts made from the tables of commands, options and settings, each written by
 * `rollcall help NAME`: manual pages, a configuration file, completion for shells, and the tables
 * of docs/configuration.md. The build installs them.
 *
 * Threads:  the main thread.
 * Limits:   a help text in the tables is ASCII.
 */
#ifndef APP_DOCUMENT_H
#define APP_DOCUMENT_H

#include <stddef.h>
#include <stdio.h>

struct command;
struct document;

/* NULL: there is none of this name. Borrows name. */
const struct document *document_find(const char *name);

/* The names, in their order; NULL past the last one. */
const char *document_name(size_t index);

/* `commands` ends in NULL. Borrows all. */
void document_write(const struct document *document, const struct command *const *commands,
                    FILE *out);

#endif
