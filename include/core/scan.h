/* scan: the fast decoder of the common record: a JSON object in UTF-8, nested or not.
 *
 * Place:    login asks it first, for every record; what it is not sure of goes to core/parse.
 * Threads:  one struct scan a thread.
 * Owns:     nothing; texts of fields lie in the record. Keeps what is wanted.
 * Limits:   SCAN_GAPS members are recognised, the others are read as if new; SCAN_LEVELS_MAX
 *           objects and arrays in each other.
 *
 * I1  It never says that a record is wrong: it is sure, or it is not, and then nothing is decided.
 * I2  When it is sure, the record is valid JSON and the fields are those that core/parse finds.
 * I3  What it remembers of earlier records makes it faster, and changes no answer.
 *
 * It is not sure of escapes in names and in texts that are wanted, of wanted numbers with an
 * exponent or of more than SCAN_NUMBER_BYTES_MAX bytes, of less than 16 bytes, nor of whatever is
 * no JSON. Of a repeated key the last counts, at every level.
 */
#ifndef CORE_SCAN_H
#define CORE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/fields.h"

enum {
    SCAN_GAPS = 64,
    SCAN_GAP_BYTES = 32,
    SCAN_LEVELS_MAX = 64,
    SCAN_NUMBER_BYTES_MAX = 32,
};

/* Where a value is: what of a node a decoder needs at once. */
struct scan_step {
    uint16_t node;
    uint16_t slot;
    bool has_below;
};

/* The bytes between two values, such as `, "locale": `; in what they stood, and what is behind. */
struct scan_gap {
    uint16_t length; /* 0: none is remembered */
    uint16_t parent; /* a node */
    struct scan_step step;
    char bytes[SCAN_GAP_BYTES];
};

struct scan {
    const struct wanted *wanted;
    struct scan_gap gaps[SCAN_GAPS]; /* before each member, as it was when it was last new */
};

/* Keeps wanted. */
void scan_init(struct scan *scan, const struct wanted *wanted);

/* True if it is sure: then all slots that are wanted are set. False: fields may hold anything.
 * Borrows value. */
bool scan_record(struct scan *scan, const char *value, size_t bytes, struct fields *fields);

#endif
