/* Nodes are added and never removed before the end, so readers need RCU only against the table's
 * own resizing. A node is complete before it is linked: `is_ready` is stored with release order and
 * read with acquire order, which shows this to tools that cannot see into liburcu.
 *
 * Minutes are not in the table: a whole day of them, whichever shards they belong to, is one array,
 * an eighth of the memory. They are added once a checkpoint, so a lock is cheap enough. So are
 * declared counts, some of which are HyperLogLogs: these are one delta. */
#include "flow/tally.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-bp.h>
#include <urcu/rculfhash.h>

#include "base/memory.h"

struct node {
    struct cds_lfht_node link;
    _Atomic int64_t total;
    uint32_t hash;
    uint8_t field;
    uint8_t length;
    atomic_bool is_ready;
    char bytes[];
};

struct tally {
    /* fixed after tally_create */
    struct tally_options options;
    struct cds_lfht *table;
    size_t days_max;
    struct node *others[AGGREGATES_MAX]; /* of each dimension; not in the table */
    /* shared: written by all that add */
    atomic_size_t bytes, declared_bytes;
    atomic_int_fast64_t key_count[AGGREGATES_MAX];
    /* guarded by lock */
    pthread_mutex_t lock;
    struct tally_day **days; /* the oldest first */
    size_t day_count;
    int64_t older;
    struct delta declared; /* each count and bucket, by core/declared's keys */
};

enum {
    FIRST_BUCKETS = 256,
    LARGEST_BUCKETS = 1 << 20,
    NODE_COST = 40, /* of malloc and the table, on average */
    PIECE = 256,    /* entries that are copied at once */
};

static struct node *make_node(struct delta_key key) {
    struct node *node = memory_grow(NULL, sizeof *node + key.length);
    memset(node, 0, sizeof *node);
    node->field = key.field;
    node->length = (uint8_t)key.length;
    node->hash = key.hash;
    memcpy(node->bytes, key.bytes, key.length);
    atomic_store_explicit(&node->is_ready, true, memory_order_release); /* pairs with node_is */
    return node;
}

struct tally *tally_create(const struct tally_options *options) {
    static const struct slice other = {AGGREGATE_OTHER, sizeof AGGREGATE_OTHER - 1};
    struct tally *tally = memory_create(sizeof *tally);
    const struct aggregates *aggregates = options->aggregates;
    const size_t days = options->minutes_bytes / sizeof(struct tally_day);
    const size_t max_days = (size_t)aggregates->settings->max_days;
    tally->options = *options;
    tally->days_max = days < 1 ? 1 : days < max_days ? days : max_days;
    tally->days = memory_create(tally->days_max * sizeof(struct tally_day *));
    pthread_mutex_init(&tally->lock, NULL);
    for (unsigned i = 0; i < aggregates->count; i++) {
        if (aggregates->items[i].source == AGGREGATE_DIMENSION)
            tally->others[i] = make_node(delta_value_key(options->seed, i, other));
    }
    tally->table = cds_lfht_new_flavor(FIRST_BUCKETS, FIRST_BUCKETS, LARGEST_BUCKETS,
                                       CDS_LFHT_AUTO_RESIZE, &urcu_bp_flavor, NULL);
    if (tally->table == NULL) memory_none();
    return tally;
}

void tally_destroy(struct tally **tally) {
    if (*tally == NULL) return;
    struct tally *t = *tally;
    struct cds_lfht_iter place;
    struct cds_lfht_node *link;
    urcu_bp_read_lock();
    cds_lfht_first(t->table, &place);
    while ((link = cds_lfht_iter_get_node(&place)) != NULL) {
        cds_lfht_next(t->table, &place);
        cds_lfht_del(t->table, link);
        free(caa_container_of(link, struct node, link)); /* no reader is left */
    }
    urcu_bp_read_unlock();
    cds_lfht_destroy(t->table, NULL);
    for (unsigned i = 0; i < AGGREGATES_MAX; i++)
        free(t->others[i]);
    for (size_t d = 0; d < t->day_count; d++)
        free(t->days[d]);
    free(t->days);
    delta_release(&t->declared);
    pthread_mutex_destroy(&t->lock);
    free(t);
    *tally = NULL;
}

/* --- values and names ------------------------------------------------------------------------- */

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

/* Takes room for a new key; false if there is none. Those of others are never full. */
static bool take_room(struct tally *tally, struct delta_key key) {
    const size_t bytes = sizeof(struct node) + key.length + NODE_COST;
    const bool is_bounded = tally->others[key.field] != NULL;
    if (is_bounded &&
        atomic_load_explicit(&tally->bytes, memory_order_relaxed) >= tally->options.values_bytes)
        return false;
    const int64_t before =
        atomic_fetch_add_explicit(&tally->key_count[key.field], 1, memory_order_relaxed);
    if (is_bounded && before >= tally->options.aggregates->settings->max_values) {
        atomic_fetch_sub_explicit(&tally->key_count[key.field], 1, memory_order_relaxed);
        return false;
    }
    atomic_fetch_add_explicit(&tally->bytes, bytes, memory_order_relaxed);
    return true;
}

static bool is_other(const struct tally *tally, struct delta_key key) {
    const struct node *other = tally->others[key.field];
    return other != NULL && other->length == key.length &&
           memcmp(other->bytes, key.bytes, key.length) == 0;
}

static void add_key(struct tally *tally, struct delta_key key, int64_t count) {
    struct node *node =
        is_other(tally, key) ? tally->others[key.field] : find(tally, key); /* a user may send it */
    if (node == NULL && take_room(tally, key)) {
        node = make_node(key);
        cds_lfht_node_init(&node->link);
        cds_lfht_add(tally->table, (unsigned long)key.hash, &node->link);
    }
    if (node == NULL) node = tally->others[key.field];
    atomic_fetch_add_explicit(&node->total, count, memory_order_relaxed);
}

void tally_visit(struct tally *tally, unsigned field,
                 bool (*visit)(void *context, struct delta_key key, int64_t total), void *context) {
    struct cds_lfht_iter place;
    struct cds_lfht_node *link;
    bool goes_on = true;
    urcu_bp_read_lock();
    cds_lfht_first(tally->table, &place);
    while (goes_on && (link = cds_lfht_iter_get_node(&place)) != NULL) {
        const struct node *node = caa_container_of(link, struct node, link);
        if (atomic_load_explicit(&node->is_ready, memory_order_acquire) && node->field == field) {
            const struct delta_key key = {node->bytes, node->hash, node->length, node->field};
            goes_on = visit(context, key, atomic_load_explicit(&node->total, memory_order_relaxed));
        }
        cds_lfht_next(tally->table, &place);
    }
    urcu_bp_read_unlock();
    const struct node *other = tally->others[field];
    if (!goes_on || other == NULL) return;
    const int64_t total = atomic_load_explicit(&other->total, memory_order_relaxed);
    if (total > 0)
        visit(context, (struct delta_key){other->bytes, other->hash, other->length, other->field},
              total);
}

/* --- minutes ---------------------------------------------------------------------------------- */

/* The place of a day, or where it would be. */
static size_t place_of(const struct tally *tally, int64_t day) {
    size_t low = 0, high = tally->day_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (tally->days[middle]->day < day)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int64_t sum_of(const struct tally_day *day) {
    int64_t sum = 0;
    for (int m = 0; m < AGGREGATE_MINUTES_A_DAY; m++)
        sum += day->totals[m];
    return sum;
}

/* Makes a day, which is not there yet, at its place; NULL if it is older than all that are kept.
 * Where there is no room, the oldest makes it. */
static struct tally_day *make_day(struct tally *tally, int64_t day, size_t place) {
    struct tally_day *made = NULL;
    if (tally->day_count == tally->days_max) {
        if (place == 0) return NULL;
        made = tally->days[0];
        tally->older += sum_of(made);
        place--;
        tally->day_count--;
        memmove(tally->days, tally->days + 1, tally->day_count * sizeof(struct tally_day *));
        memset(made, 0, sizeof *made);
    } else {
        made = memory_create(sizeof *made);
        atomic_fetch_add_explicit(&tally->bytes, sizeof *made, memory_order_relaxed);
    }
    made->day = day;
    memmove(tally->days + place + 1, tally->days + place,
            (tally->day_count - place) * sizeof(struct tally_day *));
    tally->days[place] = made;
    tally->day_count++;
    return made;
}

static void add_minute(struct tally *tally, int64_t minute, int64_t count) {
    const int64_t day = minute / AGGREGATE_MINUTES_A_DAY;
    const size_t place = place_of(tally, day);
    struct tally_day *found = place < tally->day_count && tally->days[place]->day == day
                                  ? tally->days[place]
                                  : make_day(tally, day, place);
    if (found == NULL)
        tally->older += count;
    else
        found->totals[minute % AGGREGATE_MINUTES_A_DAY] += count;
}

bool tally_copy_day(struct tally *tally, int64_t before, struct tally_day *day) {
    pthread_mutex_lock(&tally->lock);
    const size_t place = place_of(tally, before);
    if (place > 0) *day = *tally->days[place - 1];
    pthread_mutex_unlock(&tally->lock);
    return place > 0;
}

int64_t tally_older(struct tally *tally) {
    pthread_mutex_lock(&tally->lock);
    const int64_t older = tally->older;
    pthread_mutex_unlock(&tally->lock);
    return older;
}

/* --- declared counts -------------------------------------------------------------------------- */

/* Whether an entry takes no more memory, or there is enough. A delta's arrays double. */
static bool has_room(const struct tally *tally, struct delta_key key, bool is_distinct) {
    if (delta_bytes(&tally->declared) * 2 < tally->options.declared_bytes) return true;
    if (!is_distinct) return delta_get(&tally->declared, key) > 0;
    const struct hyperloglog *distinct = delta_get_distinct(&tally->declared, key);
    return distinct != NULL && distinct->is_dense;
}

/* Where goes what has no room: of each count there is one such key. */
static struct delta_key other_key(const struct tally *tally, unsigned field,
                                  char bytes[DECLARED_KEY_BYTES]) {
    const struct declared *declared = &tally->options.aggregates->items[field].declared;
    const int64_t bucket = declared->every == DECLARED_TOTAL ? 0 : TALLY_OTHER_BUCKET;
    size_t length = sizeof bucket;
    memcpy(bytes, &bucket, sizeof bucket);
    if (declared->by_count > 0) {
        memcpy(bytes + length, AGGREGATE_OTHER, sizeof AGGREGATE_OTHER - 1);
        length += sizeof AGGREGATE_OTHER - 1;
    }
    return delta_value_key(tally->options.seed, field, (struct slice){bytes, length});
}

static void add_declared(struct tally *tally, const struct delta *delta,
                         const struct delta_entry *entry) {
    char bytes[DECLARED_KEY_BYTES];
    const struct delta_key own = delta_key(delta, entry);
    const bool is_taken = has_room(tally, own, entry->is_distinct);
    const struct delta_key key = is_taken ? own : other_key(tally, own.field, bytes);
    if (entry->is_distinct)
        delta_merge_distinct(&tally->declared, key, &delta->distinct[entry->count]);
    else
        delta_add(&tally->declared, key, entry->count);
}

void tally_copy_declared(struct tally *tally, unsigned field, struct delta *copy) {
    uint32_t at = 0;
    bool goes_on = true;
    while (goes_on) {
        pthread_mutex_lock(&tally->lock);
        const struct delta *declared = &tally->declared;
        for (const uint32_t end = at + PIECE; at < end && at < declared->entry_count; at++) {
            const struct delta_entry *entry = &declared->entries[at];
            const struct delta_key key = delta_key(declared, entry);
            if (entry->field != field) continue;
            if (entry->is_distinct)
                delta_merge_distinct(copy, key, &declared->distinct[entry->count]);
            else
                delta_add(copy, key, entry->count);
        }
        goes_on = at < declared->entry_count;
        pthread_mutex_unlock(&tally->lock);
    }
}

/* --- both ------------------------------------------------------------------------------------- */

void tally_add(struct tally *tally, const struct delta *delta) {
    const struct aggregate *aggregates = tally->options.aggregates->items;
    bool has_more = false;
    urcu_bp_read_lock();
    for (uint32_t e = 0; e < delta->entry_count; e++) {
        const struct delta_entry *entry = &delta->entries[e];
        if (aggregates[entry->field].kind == AGGREGATE_DAYS ||
            aggregates[entry->field].source == AGGREGATE_DECLARED)
            has_more = true;
        else
            add_key(tally, delta_key(delta, entry), entry->count);
    }
    urcu_bp_read_unlock();
    if (!has_more) return;
    pthread_mutex_lock(&tally->lock);
    for (uint32_t e = 0; e < delta->entry_count; e++) {
        const struct delta_entry *entry = &delta->entries[e];
        if (aggregates[entry->field].kind == AGGREGATE_DAYS)
            add_minute(tally, delta_number(delta_key(delta, entry)), entry->count);
        else if (aggregates[entry->field].source == AGGREGATE_DECLARED)
            add_declared(tally, delta, entry);
    }
    atomic_store_explicit(&tally->declared_bytes, delta_bytes(&tally->declared),
                          memory_order_relaxed);
    pthread_mutex_unlock(&tally->lock);
}

size_t tally_bytes(struct tally *tally) {
    return atomic_load_explicit(&tally->bytes, memory_order_relaxed) +
           atomic_load_explicit(&tally->declared_bytes, memory_order_relaxed);
}
