/* fields: what the rules want of a record, whichever decoder found it.
 *
 * Place:    core/scan or core/parse fills it, core/login judges it.
 * Owns:     nothing: texts lie in the record, or in the decoder that made them.
 */
#ifndef CORE_FIELDS_H
#define CORE_FIELDS_H

#include "core/wanted.h"

enum field_kind {
    FIELD_ABSENT = 0,
    FIELD_TEXT,   /* a string, without its escapes */
    FIELD_NUMBER, /* as it is written */
    FIELD_TRUE,
    FIELD_FALSE,
    FIELD_NULL,
    FIELD_OTHER,  /* an array, an object */
    FIELD_BROKEN, /* JSON by its grammar that stands for nothing: a string with half of a surrogate
                     pair, a number that no double can hold; of a header: not in UTF-8 */
};

struct field {
    enum field_kind kind;
    struct slice text; /* FIELD_TEXT, FIELD_NUMBER */
};

struct fields {
    struct field at[WANTED_MAX + 1]; /* by slot; the last one: WANTED_NO_SLOT */
};

/* What begins at a node takes back what was found there, and below it, under the same key. */
static inline void fields_clear(struct fields *fields, const struct wanted_node *node) {
    for (unsigned slot = node->slot_begin; slot < node->slot_end; slot++)
        fields->at[slot].kind = FIELD_ABSENT;
}

#endif
