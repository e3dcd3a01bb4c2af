#include "core/tree.h"

#include <jansson.h>

static const json_t *of(const struct tree_value *value) {
    return (const void *)value;
}

static const struct tree_value *value_of(const json_t *value) {
    return (const void *)value;
}

struct tree_value *tree_read(const char *text) {
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (root == NULL || json_is_object(root)) return (void *)root;
    json_decref(root);
    return NULL;
}

void tree_destroy(struct tree_value **document) {
    json_decref((void *)*document);
    *document = NULL;
}

const struct tree_value *tree_member(const struct tree_value *object, const char *name) {
    return value_of(json_object_get(of(object), name));
}

size_t tree_count(const struct tree_value *value) {
    return json_is_object(of(value)) ? json_object_size(of(value)) : json_array_size(of(value));
}

const struct tree_value *tree_at(const struct tree_value *array, size_t index) {
    return value_of(json_array_get(of(array), index));
}

void tree_visit(const struct tree_value *object,
                void (*visit)(void *context, const char *name, const struct tree_value *value),
                void *context) {
    json_t *members = (json_t *)(uintptr_t)object; /* jansson reads it alone */
    for (void *at = json_object_iter(members); at != NULL; at = json_object_iter_next(members, at))
        visit(context, json_object_iter_key(at), value_of(json_object_iter_value(at)));
}

const char *tree_text(const struct tree_value *value) {
    const char *text = json_string_value(of(value));
    return text == NULL ? "" : text;
}

struct slice tree_bytes(const struct tree_value *value) {
    return (struct slice){tree_text(value), json_string_length(of(value))};
}

double tree_real(const struct tree_value *value) {
    return json_number_value(of(value));
}

int64_t tree_integer(const struct tree_value *value) {
    return json_integer_value(of(value));
}

bool tree_is_number(const struct tree_value *value) {
    return value != NULL && json_is_number(of(value));
}

bool tree_is_true(const struct tree_value *value) {
    return value != NULL && json_is_true(of(value));
}
