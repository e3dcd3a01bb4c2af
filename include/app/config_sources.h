/* config_sources: where settings come from, and which of them counts. Used by config alone.
 *
 * Within one source nothing may be set twice (except by -X, where the last one counts), and never
 * both directly and through a file. A place is text for messages: "rollcall.ini:12", "environment
 * variable ROLLCALL_LOG_LEVEL", "-X log.level".
 *
 * Threads:  one at a time.
 * Owns:     the places, until config_sources_close.
 * Limits:   CONFIG_FILE_BYTES the file, FILE_SECRET_BYTES one that holds a secret.
 */
#ifndef APP_CONFIG_SOURCES_H
#define APP_CONFIG_SOURCES_H

#include <stdbool.h>
#include <stddef.h>

struct config;
struct error;
struct options;

enum { CONFIG_FILE_BYTES = 16 * 1024 * 1024 };

struct config_sources { /* all zero is empty */
    struct config *config;
    struct config_given *given; /* what was set, and where last */
    size_t given_count;
};

/* Fills the config, which is all zero, from all sources. Keeps it; borrows the rest. */
bool config_sources_read(struct config_sources *sources, struct config *config,
                         const struct options *options, char **envp, struct error *error);

/* Frees what it owns; the config stays. */
void config_sources_close(struct config_sources *sources);

/* The place of the setting that counts, NULL if that is the default. A property of one client may
 * have been set for both. */
const char *config_sources_place(const struct config_sources *sources, const char *section,
                                 const char *name);

/* The place where a section with a name is there first, or NULL. */
const char *config_sources_place_section(const struct config_sources *sources, const char *section);

/* The place of a librdkafka property that was set and that the text names, or NULL. */
const char *config_sources_place_named(const struct config_sources *sources, const char *text);

#endif
