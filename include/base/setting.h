/* setting: what a user can set of one module.
 *
 * A module declares a struct of its settings in its header, and next to its code the table that
 * fills it:
 *
 *     struct publish_settings { int commit_ms; };
 *
 *     const struct setting publish_setting_table[] = {
 *         SETTING_NUMBER(struct publish_settings, commit_ms, "output", "commit_ms", 1, 60000,
 *                        "100", 0, "longest time that a transaction stays open, in ms"),
 *         SETTING_END};
 *
 * Everything else that knows a setting (sources, checks of the range, `rollcall help settings`,
 * docs/configuration.md, `check -v`) is made from the table. app/config stacks the tables.
 *
 * Threads:  tables never change; a module's struct belongs to whoever fills it.
 * Owns:     the texts in a module's struct, until setting_release.
 */
#ifndef BASE_SETTING_H
#define BASE_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct error;

enum setting_type {
    SETTING_TYPE_TEXT,   /* char *, owned */
    SETTING_TYPE_NUMBER, /* int, min .. max */
    SETTING_TYPE_CHOICE, /* an enum, as the index of a word in `choices` */
    SETTING_TYPE_NAMES,  /* struct setting_names: words between commas */
};

enum { SETTING_NAMES_MAX = 8, SETTING_RANGE_BYTES = 256 };

struct setting_names {
    char *items[SETTING_NAMES_MAX]; /* owned */
    int count;
};

enum {                         /* flags */
       SETTING_SECRET = 1,     /* never shown; NAME_file names a file that holds it */
       SETTING_RELOADABLE = 2, /* may change while rollcall runs */
};

struct setting {
    const char *section; /* NULL ends a table */
    const char *name;
    enum setting_type type;
    int min, max;  /* of a number; of a text's or name's bytes: 0 if there may be no name */
    int names_max; /* of names; 0: SETTING_NAMES_MAX */
    unsigned flags;
    const char *fallback;       /* the default; NULL: chosen at start, as `help` explains */
    const char *const *choices; /* in the order of the enum, NULL at the end: SETTING_WORDS */
    bool (*is_right)(const char *text); /* of a text or a name; NULL is any */
    const char *rule;                   /* what is_right asks for, in words */
    const char *help;                   /* one line, without a full stop */
    size_t offset;                      /* of the member in the module's struct */
};

#define SETTING_ROW(type_, member_, section_, name_, fallback_, flags_, help_, ...)                \
    {                                                                                              \
        .section = (section_), .name = (name_), .fallback = (fallback_), .flags = (flags_),        \
        .help = (help_), .offset = offsetof(type_, member_), __VA_ARGS__                           \
    }
#define SETTING_NUMBER(type_, member_, section_, name_, min_, max_, fallback_, flags_, help_)      \
    SETTING_ROW(type_, member_, section_, name_, fallback_, flags_, help_,                         \
                .type = SETTING_TYPE_NUMBER, .min = (min_), .max = (max_))
#define SETTING_CHOICE(type_, member_, section_, name_, choices_, fallback_, flags_, help_)        \
    SETTING_ROW(type_, member_, section_, name_, fallback_, flags_, help_,                         \
                .type = SETTING_TYPE_CHOICE, .choices = (choices_))
#define SETTING_WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SETTING_TEXT(type_, member_, section_, name_, min_, max_, fallback_, is_right_, rule_,     \
                     flags_, help_)                                                                \
    SETTING_ROW(type_, member_, section_, name_, fallback_, flags_, help_,                         \
                .type = SETTING_TYPE_TEXT, .min = (min_), .max = (max_), .is_right = (is_right_),  \
                .rule = (rule_))
#define SETTING_NAMES(type_, member_, section_, name_, min_, max_, fallback_, is_right_, rule_,    \
                      flags_, help_)                                                               \
    SETTING_ROW(type_, member_, section_, name_, fallback_, flags_, help_,                         \
                .type = SETTING_TYPE_NAMES, .min = (min_), .max = (max_), .is_right = (is_right_), \
                .rule = (rule_))
#define SETTING_END                                                                                \
    { .section = NULL }

/* Parses text into the module's struct, in place of what is there. False: the error is why, without
 * the setting's name and never with a secret. Borrows all. */
bool setting_set(const struct setting *setting, void *module, const char *text,
                 struct error *error);

/* Writes the value as setting_set takes it; secrets too. */
void setting_print(const struct setting *setting, const void *module, FILE *out);

/* Writes which values are allowed: "1 to 60000", "no spaces; 1 to 249 bytes", "fail, continue"; ""
 * for a property, of which only librdkafka knows. */
void setting_range(const struct setting *setting, char out[SETTING_RANGE_BYTES]);

void setting_release(const struct setting *setting, void *module);

/* The value of a number or choice that may change while rollcall runs. Any thread. */
static inline int setting_now(const int *member) {
    return __atomic_load_n(member, __ATOMIC_RELAXED);
}

/* Gives such a member the value of another one, which nobody else writes. One thread. */
static inline void setting_replace(void *member, const void *other) {
    __atomic_store_n((int *)member, *(const int *)other, __ATOMIC_RELAXED);
}

/* A whole number from min to max. False: the error is why. Borrows text and error. */
bool setting_parse_number(const char *text, int64_t min, int64_t max, int64_t *number,
                          struct error *error);

/* Forms that several modules ask for, to be used as is_right and rule. */
bool setting_is_topic(const char *text);
bool setting_is_name(const char *text);
bool setting_is_printable(const char *text);
#define SETTING_TOPIC_RULE "a topic's name has letters, digits, '.', '_' and '-'"
#define SETTING_PRINTABLE_RULE "no spaces"

#endif
