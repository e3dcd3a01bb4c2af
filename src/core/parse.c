/* Where jansson alone would not do:
 * - It skips a NUL byte that follows a number or a literal, so `{"timestamp":1<NUL>}` would pass.
 *   No valid JSON text holds a NUL byte anywhere: records with one are turned away before.
 * - It does not look at the answer of every allocation, and might cut a token short. Its memory
 *   comes from a function that does not return without any.
 * - Integers past 64 bits are errors to it, though they are JSON: all numbers are read as
 *   doubles. */
#include "core/parse.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/memory.h"

static void *allocate(size_t bytes) {
    return memory_grow(NULL, bytes);
}

static void set_up_jansson(void) {
    json_set_alloc_funcs(allocate, free);
    json_object_seed(0); /* random, so that keys cannot be made to collide; no verdict shows it */
}

void parse_init(struct parse *parse) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up_jansson);
    parse->root = NULL;
}

void parse_release(struct parse *parse) {
    json_decref(parse->root);
    parse->root = NULL;
}

static struct field read_number(double number) {
    if (number >= 0 && number <= (double)FIELD_WHOLE_MAX) {
        const int64_t whole = (int64_t)number;
        if ((double)whole == number) return (struct field){.kind = FIELD_WHOLE, .whole = whole};
    }
    return (struct field){.kind = FIELD_NUMBER, .number = number};
}

static struct field read_field(const json_t *root, const char *name) {
    const json_t *value = json_object_get(root, name);
    if (value == NULL) return (struct field){.kind = FIELD_ABSENT};
    if (json_is_real(value)) return read_number(json_real_value(value));
    if (!json_is_string(value)) return (struct field){.kind = FIELD_OTHER};
    return (struct field){
        .kind = FIELD_TEXT,
        .text = {json_string_value(value), json_string_length(value)},
    };
}

/* Bytes of the record may be part of jansson's message. */
static void make_printable(char *text) {
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~') *text = '?';
    }
}

enum login_reason parse_record(struct parse *parse, const struct login_rules *rules,
                               const char *value, size_t bytes, struct fields *fields,
                               char detail[PARSE_DETAIL_BYTES]) {
    parse_release(parse);
    const char *nul = memchr(value, '\0', bytes);
    if (nul != NULL) {
        snprintf(detail, PARSE_DETAIL_BYTES, "NUL at byte %zu", (size_t)(nul - value));
        return LOGIN_NOT_JSON;
    }
    json_error_t error;
    parse->root = json_loadb(value, bytes,
                             JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    if (parse->root == NULL) {
        make_printable(error.text);
        snprintf(detail, PARSE_DETAIL_BYTES, "%s at byte %d", error.text, error.position);
        return LOGIN_NOT_JSON;
    }
    if (!json_is_object(parse->root)) {
        snprintf(detail, PARSE_DETAIL_BYTES, "valid JSON, but not an object");
        return LOGIN_NOT_OBJECT;
    }
    for (size_t i = 0; i < field_count(rules); i++) {
        fields->at[i] = read_field(parse->root, field_name(rules, i));
    }
    return LOGIN_ACCEPTED;
}
