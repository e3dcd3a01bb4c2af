/* Where jansson alone would not do:
 * - It skips a NUL byte that follows a number or a literal, so `{"timestamp":1<NUL>}` would pass.
 *   No valid JSON text holds a NUL byte anywhere: records with one are turned away before.
 * - It does not look at the answer of every allocation, and might cut a token short. Its memory
 *   comes from a function that does not return without any.
 * - Integers past 64 bits are errors to it, though they are JSON: all numbers are read as
 *   doubles.
 * - So is a NUL within a key. No rule can ask for such a key: where there is one, it is called
 *   otherwise in a copy of the record, which is then read. */
#include "core/parse.h"

#include <ctype.h>
#include <pthread.h>
#include <stdbool.h>
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

/* The quote that ends the string whose first byte is p, or end. */
static const char *end_of_string(const char *p, const char *end) {
    while (p < end && *p != '"')
        p += *p == '\\' && p + 1 < end ? 2 : 1;
    return p;
}

static bool is_key(const char *behind, const char *end) {
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): four characters, and no NUL */
    while (behind < end && memchr(" \t\n\r", *behind, 4) != NULL)
        behind++;
    return behind < end && *behind == ':';
}

static void rename_nuls(char *p, const char *close) {
    for (; close - p >= 6; p++) {
        if (*p != '\\') continue;
        p++;
        if (memcmp(p, "u0000", 5) == 0) memcpy(p, "uffff", 5);
    }
}

/* Makes each \u0000 within a key \uffff, a code point that is no character and in no rule. */
static void rename_nul_keys(char *record, const char *end) {
    for (char *open = record; open < end; open++) {
        if (*open != '"') continue;
        char *close = open + (end_of_string(open + 1, end) - open);
        if (close == end) return;
        if (is_key(close + 1, end)) rename_nuls(open + 1, close);
        open = close;
    }
}

static json_t *load(const char *value, size_t bytes, json_error_t *error) {
    static const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
    json_t *root = json_loadb(value, bytes, flags, error);
    if (root != NULL || json_error_code(error) != json_error_null_byte_in_key) return root;
    char *copy = memory_grow(NULL, bytes);
    memcpy(copy, value, bytes);
    rename_nul_keys(copy, copy + bytes);
    root = json_loadb(copy, bytes, flags, error);
    free(copy);
    return root;
}

/* Whether the key between two quotes is this name. */
static bool is_named(const char *key, const char *close, const char *name) {
    const size_t bytes = (size_t)(close - key), name_bytes = strlen(name);
    if (memchr(key, '\\', bytes) == NULL)
        return bytes == name_bytes && memcmp(key, name, bytes) == 0;
    json_t *text = json_loadb(key - 1, bytes + 2, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    const bool is_same = json_is_string(text) && json_string_length(text) == name_bytes &&
                         memcmp(json_string_value(text), name, name_bytes) == 0;
    json_decref(text);
    return is_same;
}

/* A number as it is written: the value of the object's last member of this name, which is a number.
 * The record is valid JSON. jansson keeps only what it means. */
static struct slice find_number(const char *p, const char *end, const char *name) {
    struct slice number = {0};
    for (int depth = 0; p < end; p++) {
        if (*p == '{' || *p == '[') depth++;
        if (*p == '}' || *p == ']') depth--;
        if (*p != '"') continue;
        const char *key = p + 1;
        p = end_of_string(key, end);
        if (depth != 1 || !is_key(p + 1, end) || !is_named(key, p, name)) continue;
        do {
            p++;
        } while (strchr(": \t\n\r", *p) != NULL);
        number.bytes = p--;
        if (*number.bytes != '-' && !isdigit((unsigned char)*number.bytes)) continue;
        /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): six characters, and no NUL */
        while (memchr(",}\t\n\r ", p[1], 6) == NULL)
            p++;
        number.length = (size_t)(p + 1 - number.bytes);
    }
    return number;
}

/* What is no JSON because of something that is often put before it; false: nothing of that kind. */
static bool explain_begin(const char *value, size_t bytes, char detail[PARSE_DETAIL_BYTES]) {
    const unsigned char *b = (const unsigned char *)value;
    const char *mark =
        bytes >= 3 && memcmp(value, "\xEF\xBB\xBF", 3) == 0 ? "UTF-8"
        : bytes >= 2 && (memcmp(value, "\xFF\xFE", 2) == 0 || memcmp(value, "\xFE\xFF", 2) == 0)
            ? "UTF-16"
            : NULL;
    if (mark != NULL) {
        snprintf(
            detail, PARSE_DETAIL_BYTES,
            "a byte order mark (BOM) of %s before the value, which must be plain JSON in UTF-8",
            mark);
    } else if (bytes > 5 && b[0] == 0) {
        const unsigned id =
            (unsigned)b[1] << 24 | (unsigned)b[2] << 16 | (unsigned)b[3] << 8 | b[4];
        snprintf(detail, PARSE_DETAIL_BYTES,
                 "Confluent framing, as it seems: byte 0 and schema id %u before the value, which "
                 "must be plain JSON",
                 id);
    } else {
        return false;
    }
    return true;
}

enum login_reason parse_record(struct parse *parse, const struct login_rules *rules,
                               const char *value, size_t bytes, struct fields *fields,
                               char detail[PARSE_DETAIL_BYTES]) {
    parse_release(parse);
    if (explain_begin(value, bytes, detail)) return LOGIN_NOT_JSON;
    const char *nul = memchr(value, '\0', bytes);
    if (nul != NULL) {
        snprintf(detail, PARSE_DETAIL_BYTES, "NUL at byte %zu", (size_t)(nul - value));
        return LOGIN_NOT_JSON;
    }
    json_error_t error;
    parse->root = load(value, bytes, &error);
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
    const enum field_kind user_id = fields->at[FIELD_USER_ID].kind;
    fields->user_number = user_id == FIELD_WHOLE || user_id == FIELD_NUMBER
                              ? find_number(value, value + bytes, field_name(rules, FIELD_USER_ID))
                              : (struct slice){0};
    return LOGIN_ACCEPTED;
}

const char *parse_library_version(void) {
    return jansson_version_str();
}
