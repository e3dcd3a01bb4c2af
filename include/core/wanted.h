/* wanted: all members of a record that the rules look at, compiled into one tree of steps that a
 * decoder walks along while it reads.
 *
 * Place:    made once by core/login from the settings; core/scan and core/parse read it.
 * Threads:  fixed after wanted_number; any.
 * Owns:     its nodes and the names in them.
 * Limits:   WANTED_MAX different paths.
 *
 * A node is a place in the object: the root, or what one more step leads to. Each path ends at a
 * node, and two that are the same at the same one. Nodes where a path ends have a slot, which is an
 * index into struct fields; slots of a node and of all nodes below it are one range, so that a
 * repeated key can take back everything that was found under the earlier one.
 */
#ifndef CORE_WANTED_H
#define CORE_WANTED_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    WANTED_MAX = 64,
    WANTED_NO_SLOT = WANTED_MAX, /* fields has a place for it, that nobody looks at */
    WANTED_NOTHING = 0,          /* the node of all that no path leads to */
    WANTED_ROOT = 1,
};

struct wanted_node {
    struct slice name; /* of the last step */
    uint32_t index;    /* the same as an index, or PATH_NO_INDEX */
    uint16_t child;    /* the first one, or WANTED_NOTHING */
    uint16_t next;     /* of the same parent, or WANTED_NOTHING */
    uint16_t slot;     /* or WANTED_NO_SLOT */
    uint16_t slot_end; /* slots of its own and below it: from slot_begin up to here */
    uint16_t slot_begin;
};

struct wanted {
    struct wanted_node *nodes;
    uint16_t node_count;
    uint16_t slot_count;
};

void wanted_init(struct wanted *wanted);
void wanted_release(struct wanted *wanted);

/* Adds a path of kind PATH_MEMBER and answers its node. Borrows path. Requires that fewer than
 * WANTED_MAX different ones are there. */
uint16_t wanted_add(struct wanted *wanted, const char *path);

/* Gives all nodes their slots; nothing is added after it. */
void wanted_number(struct wanted *wanted);

/* The node of a member, or of an element, of what is at `parent`. */
static inline uint16_t wanted_member(const struct wanted *wanted, uint16_t parent, const char *name,
                                     size_t length) {
    uint16_t node = wanted->nodes[parent].child;
    for (; node != WANTED_NOTHING; node = wanted->nodes[node].next) {
        const struct slice *own = &wanted->nodes[node].name;
        if (own->length == length && __builtin_memcmp(own->bytes, name, length) == 0) break;
    }
    return node;
}

static inline uint16_t wanted_element(const struct wanted *wanted, uint16_t parent,
                                      uint32_t index) {
    uint16_t node = wanted->nodes[parent].child;
    while (node != WANTED_NOTHING && wanted->nodes[node].index != index)
        node = wanted->nodes[node].next;
    return node;
}

#endif
