/* fields: all that the rules ask of a record, whichever decoder found it.
 *
 * Place:    core/scan or core/parse fills it, core/login judges it.
 * Owns:     nothing: texts lie in the record, or in the decoder that made them.
 */
#ifndef CORE_FIELDS_H
#define CORE_FIELDS_H

#include "core/login.h"

enum field_kind {
    FIELD_ABSENT = 0,
    FIELD_TEXT,
    FIELD_WHOLE,  /* a whole number of 0 .. FIELD_WHOLE_MAX */
    FIELD_NUMBER, /* any other number, as the nearest double */
    FIELD_OTHER,  /* true, false, null, an array, an object */
};

/* Up to here a double holds every whole number. */
#define FIELD_WHOLE_MAX (INT64_C(1) << 53)

struct field {
    enum field_kind kind;
    union {
        struct slice text; /* FIELD_TEXT */
        int64_t whole;     /* FIELD_WHOLE */
        double number;     /* FIELD_NUMBER */
    };
};

/* Places: the dimensions follow in the order of the rules. */
enum {
    FIELD_TIMESTAMP,
    FIELD_USER_ID,
    FIELD_DIMENSION,
    FIELD_COUNT = FIELD_DIMENSION + LOGIN_DIMENSIONS_MAX
};

struct fields {
    struct field at[FIELD_COUNT + 1]; /* the last: of any other name, for decoders */
    struct slice
        user_number; /* user_id as it is written, if it is a number; NULL: in plain digits */
};

static inline size_t field_count(const struct login_rules *rules) {
    return FIELD_DIMENSION + rules->dimension_count;
}

/* The name of a place below field_count. */
static inline const char *field_name(const struct login_rules *rules, size_t place) {
    if (place == FIELD_TIMESTAMP) return "timestamp";
    if (place == FIELD_USER_ID) return "user_id";
    return rules->dimensions[place - FIELD_DIMENSION];
}

#endif
