/* decoders: compares the results of the two decoders. */
#ifndef TESTS_DECODERS_H
#define TESTS_DECODERS_H

#include <stdbool.h>
#include <string.h>

#include "core/fields.h"

static inline bool field_is_same(const struct field *a, const struct field *b) {
    if (a->kind != b->kind) return false;
    if (a->kind != FIELD_TEXT && a->kind != FIELD_NUMBER) return true;
    return a->text.length == b->text.length &&
           memcmp(a->text.bytes, b->text.bytes, a->text.length) == 0;
}

static inline bool fields_are_same(const struct wanted *wanted, const struct fields *a,
                                   const struct fields *b) {
    for (size_t i = 0; i < wanted->slot_count; i++) {
        if (!field_is_same(&a->at[i], &b->at[i])) return false;
    }
    return true;
}

#endif
