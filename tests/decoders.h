/* decoders: compares the results of the two decoders. */
#ifndef TESTS_DECODERS_H
#define TESTS_DECODERS_H

#include <stdbool.h>
#include <string.h>

#include "core/fields.h"

static inline bool field_is_same(const struct field *a, const struct field *b) {
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case FIELD_TEXT:
        return a->text.length == b->text.length &&
               memcmp(a->text.bytes, b->text.bytes, a->text.length) == 0;
    case FIELD_WHOLE:
        return a->whole == b->whole;
    case FIELD_NUMBER:
        return memcmp(&a->number, &b->number, sizeof a->number) == 0;
    case FIELD_ABSENT:
    case FIELD_OTHER:
        break;
    }
    return true;
}

static inline bool fields_are_same(const struct login_rules *rules, const struct fields *a,
                                   const struct fields *b) {
    for (size_t i = 0; i < field_count(rules); i++) {
        if (!field_is_same(&a->at[i], &b->at[i])) return false;
    }
    return true;
}

#endif
