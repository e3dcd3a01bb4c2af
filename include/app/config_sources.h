/* config_sources: where settings come from, and which of them counts. Used by config alone.
 *
 * Call the sources in the order of their weight, the lightest first: a later one replaces what an
 * earlier one set. Within one source nothing may be set twice (but by -X, where the last one
 * counts), and never both plainly and through a file.
 *
 * Threads:  one at a time.
 * Limits:   CONFIG_SECRET_BYTES a file that holds a secret.
 */
#ifndef APP_CONFIG_SOURCES_H
#define APP_CONFIG_SOURCES_H

#include "app/config_keys.h"

enum { CONFIG_SECRET_BYTES = 64 * 1024, CONFIG_PLACE_BYTES = 512 };

enum config_origin { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_OVERRIDE };

/* Where one setting was made. */
struct config_place {
    enum config_origin origin;
    const char *name; /* the file's path, the variable's name, or -X's text; kept by the caller */
    int line;         /* in the file, from 1 */
    bool is_secret_file; /* through <key>_file */
};

struct config_named_place {
    enum kafka_role role;
    char *property;
    struct config_place place;
};

struct config_sources {
    struct config *config;           /* kept */
    struct config_place *key_places; /* [config_key_count] */
    struct config_named_place *property_places;
    size_t property_count;
};

/* Begins with the defaults. Keeps config. False is an error in the table. */
bool config_sources_open(struct config_sources *sources, struct config *config,
                         struct error *error);

/* Frees what it owns; the config stays. */
void config_sources_close(struct config_sources *sources);

/* Takes one setting. Keeps place->name until config_sources_close, borrows the rest. */
bool config_sources_take(struct config_sources *sources, const struct config_place *place,
                         const char *section, const char *name, const char *value,
                         struct error *error);

/* Takes "section.key=value", as -X has it. Keeps text. */
bool config_sources_override(struct config_sources *sources, const char *text, struct error *error);

/* Says in the error that there is no such section. Always false. */
bool config_sources_refuse_section(const struct config_place *place, const char *section,
                                   struct error *error);

/* Answers the kafka_role of a section of librdkafka's properties, or -1 for another section. */
int config_sources_role(const char *section);

/* Writes a place for a message: "rollcall.ini:12", "environment variable ROLLCALL_LOG_LEVEL". */
void config_sources_describe(const struct config_place *place, char out[CONFIG_PLACE_BYTES]);

/* Writes the place of the setting that counts; false: it is the default. */
bool config_sources_locate(const struct config_sources *sources, const char *section,
                           const char *name, char out[CONFIG_PLACE_BYTES]);

/* Writes the place of a librdkafka property that was set and that the text names; false: of none.
 */
bool config_sources_locate_named(const struct config_sources *sources, const char *text,
                                 char out[CONFIG_PLACE_BYTES]);

#endif
