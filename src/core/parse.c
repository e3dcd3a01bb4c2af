/* jansson says whether a record is JSON. What is wanted of it is then read from the record itself,
 * which makes that simple: brackets match, and a quote ends what a quote began. So numbers are
 * found as they are written, and of repeated keys the last one at every level. Texts with escapes
 * are jansson's again, one by one.
 *
 * Where jansson alone would not do:
 * - It skips a NUL byte that follows a number or a literal, so `{"timestamp":1<NUL>}` would pass.
 *   No valid JSON text holds a NUL byte anywhere: records with one are turned away before.
 * - It does not look at the answer of every allocation, and might cut a token short. Its memory
 *   comes from a function that does not return without any.
 * - To it some is an error that is JSON by its grammar: a NUL within a key, half of a surrogate
 *   pair, a number that no double can hold. Where it finds an error it is asked again about a copy
 *   of the record in which all of these are replaced by something plain of the same length. A
 *   field that holds one of them is FIELD_BROKEN. */
#include "core/parse.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/memory.h"
#include "core/number.h"
#include "core/path.h"

static const size_t json_flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;

static void *allocate(size_t bytes) {
    return memory_grow(NULL, bytes);
}

static void set_up_jansson(void) {
    json_set_alloc_funcs(allocate, free);
    json_object_seed(0); /* random, so that keys cannot be made to collide; no verdict shows it */
}

void parse_init(struct parse *parse, const struct wanted *wanted) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up_jansson);
    *parse = (struct parse){.wanted = wanted};
}

void parse_release(struct parse *parse) {
    for (unsigned slot = 0; slot < parse->wanted->slot_count; slot++) {
        json_decref(parse->texts[slot]);
        parse->texts[slot] = NULL;
    }
}

/* --- is it JSON? ------------------------------------------------------------------------------ */

/* Bytes of the record may be part of jansson's message. */
static void make_printable(char *text) {
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~') *text = '?';
    }
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *p, const char *end) {
    while (p < end && is_space(*p))
        p++;
    return p;
}

/* The quote that ends the string whose first byte is p, or end. */
static const char *end_of_string(const char *p, const char *end) {
    while (p < end && *p != '"')
        p += *p == '\\' && p + 1 < end ? 2 : 1;
    return p < end ? p : end;
}

/* The code unit of the escape \uXXXX at p, or -1. */
static int code_unit(const char *p, const char *end) {
    static const char digits[] = "0123456789abcdefABCDEF";
    int unit = 0;
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
    for (int i = 2; i < 6; i++) {
        const char *digit = memchr(digits, p[i], sizeof digits - 1);
        if (digit == NULL) return -1;
        const int place = (int)(digit - digits);
        unit = unit << 4 | (place < 16 ? place : place - 6);
    }
    return unit;
}

/* Half surrogates, and NULs if it is a key, become U+FFFF, a code point that is no character and
 * in no rule. */
static void make_plain_string(char *p, const char *close, bool is_key) {
    while (p < close) {
        const int unit = code_unit(p, close);
        const int next = unit >= 0xD800 && unit < 0xDC00 ? code_unit(p + 6, close) : -1;
        if (next >= 0xDC00 && next < 0xE000) {
            p += 12;
            continue;
        }
        /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): six characters, and no NUL */
        if ((unit >= 0xD800 && unit < 0xE000) || (unit == 0 && is_key)) memcpy(p, "\\uffff", 6);
        p += *p == '\\' ? 2 : 1;
    }
}

static bool is_in_number(char c) {
    return number_is_digit(c) || c == '+' || c == '-' || c == '.' || c == 'e' || c == 'E';
}

/* A number becomes 0, and anything else made of its letters stays what it is. */
static char *make_plain_number(char *p, const char *end) {
    bool has_exponent;
    char *close = p;
    while (close < end && is_in_number(*close))
        close++;
    if (number_end(p, &has_exponent) == close) {
        memset(p, ' ', (size_t)(close - p));
        *p = '0';
    }
    return close;
}

/* In a copy that ends in NUL. */
static void make_plain(char *copy, const char *end) {
    for (char *p = copy; p < end;) {
        if (*p == '"') {
            char *close = p + (end_of_string(p + 1, end) - p);
            const char *behind = close == end ? end : skip_space(close + 1, end);
            make_plain_string(p + 1, close, behind < end && *behind == ':');
            p = close + (close < end);
        } else {
            p = is_in_number(*p) ? make_plain_number(p, end) : p + 1;
        }
    }
}

/* The second answer is about what is no JSON at all, the first one may be about what only looks so
 * to jansson. */
static json_t *load(const char *value, size_t bytes, json_error_t *error) {
    json_t *root = json_loadb(value, bytes, json_flags, error);
    if (root != NULL) return root;
    char *copy = memory_grow(NULL, bytes + 1);
    memcpy(copy, value, bytes);
    copy[bytes] = '\0';
    make_plain(copy, copy + bytes);
    json_error_t second;
    root = json_loadb(copy, bytes, json_flags, &second);
    if (root == NULL && second.position != error->position) *error = second;
    free(copy);
    return root;
}

/* What is no JSON because of something that is often put before it; false: nothing of that kind. */
static bool explain_begin(const char *value, size_t bytes, char detail[PARSE_DETAIL_BYTES]) {
    const unsigned char *b = (const unsigned char *)value;
    const bool is_utf16 =
        bytes >= 2 && (memcmp(value, "\xFF\xFE", 2) == 0 || memcmp(value, "\xFE\xFF", 2) == 0);
    if (is_utf16) {
        snprintf(detail, PARSE_DETAIL_BYTES,
                 "a byte order mark (BOM) of UTF-16 before the value, which must be JSON in UTF-8");
    } else if (bytes >= 5 && b[0] == 0) {
        const unsigned id =
            (unsigned)b[1] << 24 | (unsigned)b[2] << 16 | (unsigned)b[3] << 8 | b[4];
        snprintf(detail, PARSE_DETAIL_BYTES,
                 "Confluent framing, as it seems: byte 0 and schema id %u before the value; set "
                 "input.framing = confluent to skip them",
                 id);
    } else {
        return false;
    }
    return true;
}

static enum login_reason validate(const char *value, size_t bytes,
                                  char detail[PARSE_DETAIL_BYTES]) {
    if (explain_begin(value, bytes, detail)) return LOGIN_NOT_JSON;
    const char *nul = memchr(value, '\0', bytes);
    if (nul != NULL) {
        snprintf(detail, PARSE_DETAIL_BYTES, "NUL at byte %zu", (size_t)(nul - value));
        return LOGIN_NOT_JSON;
    }
    json_error_t error;
    json_t *root = load(value, bytes, &error);
    if (root == NULL) {
        make_printable(error.text);
        snprintf(detail, PARSE_DETAIL_BYTES, "%s at byte %d", error.text, error.position);
        return LOGIN_NOT_JSON;
    }
    const bool is_object = json_is_object(root);
    json_decref(root);
    if (is_object) return LOGIN_ACCEPTED;
    snprintf(detail, PARSE_DETAIL_BYTES, "valid JSON, but not an object");
    return LOGIN_NOT_OBJECT;
}

/* --- what is wanted of it: p .. end is valid JSON from here on -------------------------------- */

/* A token that jansson reads; NULL: it is of those that are JSON by the grammar alone. */
static json_t *load_token(const char *begin, const char *close) {
    return json_loadb(begin, (size_t)(close - begin), json_flags, NULL);
}

static uint16_t find_member(const struct wanted *wanted, uint16_t parent, const char *name,
                            const char *close) {
    const size_t bytes = (size_t)(close - name);
    if (memchr(name, '\\', bytes) == NULL) return wanted_member(wanted, parent, name, bytes);
    json_t *text = load_token(name - 1, close + 1);
    const uint16_t node = text == NULL ? WANTED_NOTHING
                                       : wanted_member(wanted, parent, json_string_value(text),
                                                       json_string_length(text));
    json_decref(text);
    return node;
}

/* What follows the value at p, which begins at no white space. */
static const char *end_of_value(const char *p, const char *end) {
    int depth = 0;
    do {
        if (*p == '"') {
            p = end_of_string(p + 1, end) + 1;
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']') {
            depth--;
            p++;
        } else if (*p == ',' || *p == ':' || is_space(*p)) {
            p++; /* within */
        } else {
            while (p < end && strchr(",:]}", *p) == NULL && !is_space(*p))
                p++;
        }
    } while (depth > 0);
    return p;
}

static struct field read_scalar(const char *p, const char *close, json_t **kept) {
    const size_t bytes = (size_t)(close - p);
    if (*p == 't') return (struct field){.kind = FIELD_TRUE};
    if (*p == 'f') return (struct field){.kind = FIELD_FALSE};
    if (*p == 'n') return (struct field){.kind = FIELD_NULL};
    if (*p == '"' && memchr(p, '\\', bytes) == NULL)
        return (struct field){FIELD_TEXT, {p + 1, bytes - 2}};
    json_t *token = load_token(p, close);
    if (token == NULL) return (struct field){.kind = FIELD_BROKEN};
    if (*p != '"') {
        json_decref(token);
        return (struct field){FIELD_NUMBER, {p, bytes}};
    }
    json_decref(*kept);
    *kept = token;
    return (struct field){FIELD_TEXT, {json_string_value(token), json_string_length(token)}};
}

/* Reads the value at p, which is at the node; answers what follows it. */
/* NOLINTNEXTLINE(misc-no-recursion): a step of a path each time, PATH_STEPS_MAX at most */
static const char *read_value(struct parse *parse, struct fields *fields, uint16_t node,
                              const char *p, const char *end) {
    const struct wanted *wanted = parse->wanted;
    const struct wanted_node *own = &wanted->nodes[node];
    const bool is_array = *p == '[';
    fields_clear(fields, own);
    if (*p != '{' && !is_array) {
        const char *close = end_of_value(p, end);
        if (own->slot != WANTED_NO_SLOT)
            fields->at[own->slot] = read_scalar(p, close, &parse->texts[own->slot]);
        return close;
    }
    fields->at[own->slot].kind = FIELD_OTHER;
    if (own->child == WANTED_NOTHING) return end_of_value(p, end);
    p = skip_space(p + 1, end);
    for (uint32_t index = 0; *p != '}' && *p != ']'; index++) {
        uint16_t child;
        if (*p == ',') p = skip_space(p + 1, end);
        if (is_array) {
            child = wanted_element(wanted, node, index);
        } else {
            const char *close = end_of_string(p + 1, end);
            child = find_member(wanted, node, p + 1, close);
            p = skip_space(close + 1, end);
            p = skip_space(p + 1, end); /* the colon */
        }
        p = child == WANTED_NOTHING ? end_of_value(p, end)
                                    : read_value(parse, fields, child, p, end);
        p = skip_space(p, end);
    }
    return p + 1;
}

enum login_reason parse_record(struct parse *parse, const char *value, size_t bytes,
                               struct fields *fields, char detail[PARSE_DETAIL_BYTES]) {
    parse_release(parse);
    const enum login_reason reason = validate(value, bytes, detail);
    if (reason != LOGIN_ACCEPTED) return reason;
    const char *end = value + bytes;
    read_value(parse, fields, WANTED_ROOT, skip_space(value, end), end);
    return LOGIN_ACCEPTED;
}

/* --- all of it: p .. end is valid JSON -------------------------------------------------------- */

struct walk {
    const char *end;
    void (*visit)(void *context, const char *path, const struct field *field);
    void *context;
    char path[PATH_BYTES_MAX + 1]; /* of the value under way */
};

/* Adds a step to the path; false: it becomes too long. */
static bool push_step(struct walk *walk, size_t length, const char *name, size_t bytes) {
    char *to = walk->path + length, *const limit = walk->path + PATH_BYTES_MAX - 1;
    *to++ = '/';
    for (size_t i = 0; i < bytes && to < limit; i++) {
        const bool is_special = name[i] == '~' || name[i] == '/';
        if (is_special) *to++ = '~';
        *to++ = name[i] == '~' ? '0' : name[i] == '/' ? '1' : name[i];
    }
    *to = '\0';
    return to < limit;
}

/* The same for a member whose name is between two quotes. */
static bool push_member(struct walk *walk, size_t length, const char *name, const char *close) {
    const size_t bytes = (size_t)(close - name);
    if (memchr(name, '\\', bytes) == NULL) return push_step(walk, length, name, bytes);
    json_t *text = load_token(name - 1, close + 1);
    const bool is_right =
        text != NULL &&
        push_step(walk, length, json_string_value(text), json_string_length(text)) &&
        memchr(json_string_value(text), '\0', json_string_length(text)) == NULL;
    json_decref(text);
    return is_right;
}

/* NOLINTNEXTLINE(misc-no-recursion): PARSE_VISIT_LEVELS */
static const char *visit_value(struct walk *walk, const char *p, int level) {
    const bool is_array = *p == '[';
    const size_t length = strlen(walk->path);
    if (*p != '{' && !is_array) {
        const char *close = end_of_value(p, walk->end);
        json_t *kept = NULL;
        const struct field field = read_scalar(p, close, &kept);
        walk->visit(walk->context, walk->path, &field);
        json_decref(kept);
        return close;
    }
    if (level == PARSE_VISIT_LEVELS) return end_of_value(p, walk->end);
    p = skip_space(p + 1, walk->end);
    for (int index = 0; *p != '}' && *p != ']'; index++) {
        bool is_visited;
        if (*p == ',') p = skip_space(p + 1, walk->end);
        if (is_array) {
            char name[16];
            snprintf(name, sizeof name, "%d", index);
            is_visited =
                index < PARSE_VISIT_ELEMENTS && push_step(walk, length, name, strlen(name));
        } else {
            const char *close = end_of_string(p + 1, walk->end);
            is_visited = push_member(walk, length, p + 1, close);
            p = skip_space(close + 1, walk->end);
            p = skip_space(p + 1, walk->end); /* the colon */
        }
        p = is_visited ? visit_value(walk, p, level + 1) : end_of_value(p, walk->end);
        walk->path[length] = '\0';
        p = skip_space(p, walk->end);
    }
    return p + 1;
}

enum login_reason parse_visit(const char *value, size_t bytes,
                              void (*visit)(void *context, const char *path,
                                            const struct field *field),
                              void *context, char detail[PARSE_DETAIL_BYTES]) {
    const enum login_reason reason = validate(value, bytes, detail);
    if (reason != LOGIN_ACCEPTED) return reason;
    struct walk walk = {.end = value + bytes, .visit = visit, .context = context};
    visit_value(&walk, skip_space(value, walk.end), 0);
    return LOGIN_ACCEPTED;
}

const char *parse_library_version(void) {
    return jansson_version_str();
}
