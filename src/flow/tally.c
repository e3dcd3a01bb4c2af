/* Nodes are added and never removed before the end, so readers need RCU only against the table's
 * own resizing. A node is complete before it is linked: `is_ready` is stored with release order and
 * read with acquire order, which shows this to tools that cannot see into liburcu. */
#include "flow/tally.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-bp.h>
#include <urcu/rculfhash.h>

#include "base/memory.h"

struct node {
    struct cds_lfht_node link;
    atomic_bool is_ready;
    uint8_t field;
    uint8_t length;
    uint32_t hash;
    _Atomic int64_t total;
    char bytes[];
};

struct tally {
    struct cds_lfht *table;
    const struct aggregates *aggregates;
    uint64_t seed;
    int64_t key_count[AGGREGATES_MAX];
};

enum { FIRST_BUCKETS = 256, LARGEST_BUCKETS = 1 << 20 };

static const int64_t other_number = -1;
static const struct slice other_value = {AGGREGATE_OTHER, sizeof AGGREGATE_OTHER - 1};

struct tally *tally_create(const struct aggregates *aggregates, uint64_t seed) {
    struct tally *tally = memory_create(sizeof *tally);
    tally->aggregates = aggregates;
    tally->seed = seed;
    tally->table = cds_lfht_new_flavor(FIRST_BUCKETS, FIRST_BUCKETS, LARGEST_BUCKETS,
                                       CDS_LFHT_AUTO_RESIZE, &urcu_bp_flavor, NULL);
    if (tally->table == NULL) memory_none();
    return tally;
}

void tally_destroy(struct tally **tally) {
    if (*tally == NULL) return;
    struct cds_lfht_iter place;
    struct cds_lfht_node *link;
    urcu_bp_read_lock();
    cds_lfht_first((*tally)->table, &place);
    while ((link = cds_lfht_iter_get_node(&place)) != NULL) {
        cds_lfht_next((*tally)->table, &place);
        cds_lfht_del((*tally)->table, link);
        free(caa_container_of(link, struct node, link)); /* no reader is left */
    }
    urcu_bp_read_unlock();
    cds_lfht_destroy((*tally)->table, NULL);
    free(*tally);
    *tally = NULL;
}

static int node_is(struct cds_lfht_node *link, const void *wanted) {
    const struct node *node = caa_container_of(link, struct node, link);
    const struct delta_key *key = wanted;
    return atomic_load_explicit(&node->is_ready, memory_order_acquire) &&
           node->field == key->field && node->length == key->length &&
           memcmp(node->bytes, key->bytes, key->length) == 0;
}

static struct node *find(struct tally *tally, struct delta_key key) {
    struct cds_lfht_iter place;
    cds_lfht_lookup(tally->table, (unsigned long)key.hash, node_is, &key, &place);
    struct cds_lfht_node *link = cds_lfht_iter_get_node(&place);
    return link == NULL ? NULL : caa_container_of(link, struct node, link);
}

static struct node *insert(struct tally *tally, struct delta_key key) {
    struct node *node = memory_create(sizeof *node + key.length);
    node->field = key.field;
    node->length = key.length;
    node->hash = key.hash;
    memcpy(node->bytes, key.bytes, key.length);
    atomic_store_explicit(&node->is_ready, true, memory_order_release); /* pairs with node_is */
    cds_lfht_node_init(&node->link);
    cds_lfht_add(tally->table, (unsigned long)key.hash, &node->link);
    tally->key_count[key.field]++;
    return node;
}

static struct delta_key other_key(const struct tally *tally, unsigned field) {
    return tally->aggregates->items[field].source == AGGREGATE_DIMENSION
               ? delta_value_key(tally->seed, field, other_value)
               : delta_number_key(tally->seed, field, &other_number);
}

bool tally_is_other(const struct tally *tally, struct delta_key key) {
    const struct delta_key other = other_key(tally, key.field);
    return key.length == other.length && memcmp(key.bytes, other.bytes, key.length) == 0;
}

static bool is_full(const struct tally *tally, unsigned field) {
    return tally->aggregates->items[field].kind != AGGREGATE_NAMES &&
           tally->key_count[field] >= tally->aggregates->settings->max_values;
}

static void add_entry(struct tally *tally, struct delta_key key, int64_t count) {
    struct node *node = find(tally, key);
    if (node == NULL && is_full(tally, key.field)) {
        key = other_key(tally, key.field);
        node = find(tally, key);
    }
    if (node == NULL) node = insert(tally, key);
    atomic_fetch_add_explicit(&node->total, count, memory_order_relaxed);
}

void tally_add(struct tally *tally, const struct delta *delta) {
    urcu_bp_read_lock();
    for (uint32_t e = 0; e < delta->entry_count; e++) {
        const struct delta_entry *entry = &delta->entries[e];
        add_entry(tally, delta_key(delta, entry), entry->count);
    }
    urcu_bp_read_unlock();
}

void tally_visit(struct tally *tally,
                 void (*visit)(void *context, struct delta_key key, int64_t total), void *context) {
    struct cds_lfht_iter place;
    struct cds_lfht_node *link;
    urcu_bp_read_lock();
    cds_lfht_for_each(tally->table, &place, link) {
        const struct node *node = caa_container_of(link, struct node, link);
        if (!atomic_load_explicit(&node->is_ready, memory_order_acquire)) continue;
        const struct delta_key key = {node->bytes, node->hash, node->length, node->field};
        visit(context, key, atomic_load_explicit(&node->total, memory_order_relaxed));
    }
    urcu_bp_read_unlock();
}
