/* tree: a whole JSON document as a tree, for what is small and read seldom. Records are decoded by
 * core/parse and core/scan.
 *
 * Threads:  a document belongs to one thread at a time.
 * Owns:     a document owns its values, whose addresses live as long.
 *
 * Every function takes NULL for a value that is missing, and answers as for one of another kind: a
 * document that has not the form one hopes for needs no checks on the way.
 */
#ifndef CORE_TREE_H
#define CORE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct tree_value; /* never defined: it is jansson's own */

/* The document in a C string, or NULL if that is no JSON object. Borrows text. */
struct tree_value *tree_read(const char *text);

/* Takes *document, which may be NULL, and nulls it. */
void tree_destroy(struct tree_value **document);

/* A member of an object; NULL if it has none of the name. */
const struct tree_value *tree_member(const struct tree_value *object, const char *name);

/* How many elements or members an array or object has; else 0. */
size_t tree_count(const struct tree_value *value);

/* An element of an array; NULL beyond its end. */
const struct tree_value *tree_at(const struct tree_value *array, size_t index);

/* Calls visit for each member of an object, in the order of the document. */
void tree_visit(const struct tree_value *object,
                void (*visit)(void *context, const char *name, const struct tree_value *value),
                void *context);

/* A string up to its first NUL, or "". */
const char *tree_text(const struct tree_value *value);

/* All bytes of a string, or none. */
struct slice tree_bytes(const struct tree_value *value);

/* A number, or 0. */
double tree_real(const struct tree_value *value);
int64_t tree_integer(const struct tree_value *value);

bool tree_is_number(const struct tree_value *value);
bool tree_is_true(const struct tree_value *value);

#endif
