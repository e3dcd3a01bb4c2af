/* scan: the fast decoder of the common record: a flat JSON object in UTF-8 without escapes.
 *
 * Place:    login asks it first, for every record; what it is not sure of goes to core/parse.
 * Threads:  one struct scan a thread.
 * Owns:     nothing; texts of fields lie in the record.
 * Limits:   SCAN_GAPS members are recognised, the others are read as if new.
 *
 * I1  It never says that a record is wrong: it is sure, or it is not, and then nothing is decided.
 * I2  When it is sure, the record is valid JSON and the fields are those that core/parse finds.
 * I3  What it remembers of earlier records makes it faster, and changes no answer.
 *
 * It is sure of an object whose values are strings, plain numbers, true, false and null. A plain
 * number has at most 15 digits before the point and no exponent; that of a field which the rules
 * name has neither sign nor point. It is not sure of a backslash, of anything nested, of an empty
 * object, of less than 16 bytes, nor of whatever else is odd. Of a repeated key the last counts.
 */
#ifndef CORE_SCAN_H
#define CORE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/fields.h"

enum { SCAN_GAPS = 16, SCAN_GAP_BYTES = 32 };

/* The bytes between two values, such as `, "locale": `, and the place of the field behind them. */
struct scan_gap {
    uint32_t length; /* 0: none is remembered */
    uint32_t place;  /* FIELD_COUNT: no rule names it */
    char bytes[SCAN_GAP_BYTES];
};

struct scan {
    /* fixed after scan_init */
    uint32_t count; /* of names, by place */
    struct slice names[FIELD_COUNT];
    uint32_t same_as[FIELD_COUNT]; /* the first place of that name */
    bool has_twins;                /* some name has two places */
    /* remembered: the gap before each member, as it was when it was last new */
    struct scan_gap gaps[SCAN_GAPS];
};

/* Keeps the names that the rules point to. */
void scan_init(struct scan *scan, const struct login_rules *rules);

/* True if it is sure: then all fields that the rules name are set. False: fields may hold anything.
 * Borrows value. */
bool scan_record(struct scan *scan, const char *value, size_t bytes, struct fields *fields);

#endif
