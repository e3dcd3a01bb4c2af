/* input: the few records that the simulated log is made of, and what each must be judged.
 *
 * The expectation is written down beside the bytes; it is not asked of the judge.
 */
#ifndef TESTS_SIMULATION_INPUT_H
#define TESTS_SIMULATION_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "core/login.h"

/* What a record is counted as. Rejected ones by their reason, which is the number too. */
enum outcome {
    OUTCOME_ANDROID = 0, /* accepted, with all that it counts: device type, locale, minute */
    OUTCOME_REASON_FIRST = LOGIN_EMPTY,
    OUTCOME_REASON_LAST = LOGIN_BAD_TIMESTAMP,
    OUTCOME_WEB,
    OUTCOME_COUNT,
    OUTCOME_NONE = OUTCOME_COUNT, /* nothing that a record of this log could be */
};

struct input {
    const char *value; /* NULL: none */
    int64_t kafka_timestamp_ms;
    enum outcome expected;
};

enum { INPUT_KINDS = 12, INPUT_BORDERS = 4 };

/* The first INPUT_BORDERS are within a second of the limit of what may lie ahead. */
extern const struct input inputs[INPUT_KINDS];

/* The rules by which they are judged. */
extern const struct login_rules input_rules;

/* A time at which the borders would be judged otherwise, or not, as `tick` goes on. */
int64_t input_clock_ms(unsigned tick);

/* What the judge's answer comes to. */
enum outcome input_outcome(const struct login *login);

#endif
