#include "core/wanted.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "core/path.h"

static uint16_t add_node(struct wanted *wanted, const struct path_step *step) {
    assert(wanted->node_count < UINT16_MAX);
    const uint16_t node = wanted->node_count++;
    wanted->nodes = memory_grow(wanted->nodes, wanted->node_count * sizeof *wanted->nodes);
    wanted->nodes[node] =
        (struct wanted_node){.index = PATH_NO_INDEX, .slot = WANTED_NO_SLOT, .name = {"", 0}};
    if (step != NULL) {
        char *name = memory_grow(NULL, step->length + 1);
        memcpy(name, step->name, step->length + 1);
        wanted->nodes[node].name = (struct slice){name, step->length};
        wanted->nodes[node].index = step->index;
    }
    return node;
}

void wanted_init(struct wanted *wanted) {
    *wanted = (struct wanted){0};
    add_node(wanted, NULL);
    add_node(wanted, NULL);
    assert(wanted->node_count == WANTED_ROOT + 1);
}

void wanted_release(struct wanted *wanted) {
    for (uint16_t i = WANTED_ROOT + 1; i < wanted->node_count; i++)
        free((char *)(uintptr_t)wanted->nodes[i].name.bytes);
    free(wanted->nodes);
    *wanted = (struct wanted){0};
}

uint16_t wanted_add(struct wanted *wanted, const char *path) {
    struct path_step step;
    uint16_t node = WANTED_ROOT;
    while (path_next(&path, &step)) {
        uint16_t child = wanted_member(wanted, node, step.name, step.length);
        if (child == WANTED_NOTHING) {
            child = add_node(wanted, &step);
            wanted->nodes[child].next = wanted->nodes[node].child;
            wanted->nodes[node].child = child;
        }
        node = child;
    }
    wanted->nodes[node].slot = 0; /* one is due */
    return node;
}

/* Depth first, so that the slots below a node are one range. */
static void number_below(struct wanted *wanted, uint16_t node) {
    struct wanted_node *own = &wanted->nodes[node];
    own->slot_begin = wanted->slot_count;
    if (own->slot != WANTED_NO_SLOT) own->slot = wanted->slot_count++;
    assert(wanted->slot_count <= WANTED_MAX);
    for (uint16_t child = own->child; child != WANTED_NOTHING; child = wanted->nodes[child].next)
        number_below(wanted, child);
    own->slot_end = wanted->slot_count;
}

void wanted_number(struct wanted *wanted) {
    number_below(wanted, WANTED_ROOT);
}
