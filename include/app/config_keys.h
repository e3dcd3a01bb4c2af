/* config_keys: the table of rollcall's own keys; what each is, and may be. Used by config alone.
 *
 * Threads:  the table never changes; a struct config belongs to whoever fills it.
 */
#ifndef APP_CONFIG_KEYS_H
#define APP_CONFIG_KEYS_H

#include "app/config.h"

struct nearest;

enum config_type {
    CONFIG_TEXT,   /* char * */
    CONFIG_NUMBER, /* int, min .. max */
    CONFIG_CHOICE, /* an enum: the index in choices */
    CONFIG_NAMES,  /* aggregate.dimensions */
};

enum { CONFIG_CHOICES_MAX = 5 };

struct config_key {
    const char *section;
    const char *name;
    enum config_type type;
    int min; /* of a number; of a text's bytes */
    int max;
    bool is_secret;
    size_t offset;                           /* in struct config */
    const char *fallback;                    /* the default; NULL: see config_create */
    const char *choices[CONFIG_CHOICES_MAX]; /* NULL ends it */
    bool (*is_right)(const char *text);      /* of a text; NULL is any */
    const char *rule;                        /* what is_right asks for, in words */
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* Answers the key, or NULL. Borrows both. */
const struct config_key *config_keys_find(const char *section, const char *name);

/* Answers whether there is such a section, those of librdkafka's properties included; offers each
 * to nearest, which may be NULL. */
bool config_keys_has_section(const char *section, struct nearest *nearest);

/* Parses and checks the value, and stores it. Borrows all. */
bool config_keys_set(const struct config_key *key, struct config *config, const char *value,
                     struct error *error);

/* Writes the key's value as config_keys_set takes it. */
void config_keys_write(const struct config_key *key, const struct config *config, FILE *out);

/* Frees what the keys own. */
void config_keys_release(struct config *config);

#endif
