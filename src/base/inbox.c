/* The depth is raised before an item is linked and lowered after it was taken, both as read-modify-
 * write: a release sequence from every sender to the receiver, which is also what orders the item's
 * contents for tools that cannot see into liburcu. Both are sequentially consistent, as base/alarm
 * wants it: the depth is what the receiver looks at after arming its alarm, or after making the
 * inbox ring again.
 */
#include "base/inbox.h"

#include <assert.h>

static_assert(offsetof(struct inbox, head) % CACHE_LINE_BYTES == 0,
              "the receiver's fields share no cache line with the senders'");

void inbox_init(struct inbox *inbox, struct alarm *alarm) {
    cds_wfcq_init(&inbox->head, &inbox->tail);
    cds_wfcq_init(&inbox->taken_head, &inbox->taken_tail);
    atomic_init(&inbox->depth_items, 0);
    atomic_init(&inbox->is_quiet, false);
    inbox->alarm = alarm;
}

void inbox_fini(struct inbox *inbox) {
    assert(inbox_depth(inbox) == 0);
    cds_wfcq_destroy(&inbox->head, &inbox->tail);
    cds_wfcq_destroy(&inbox->taken_head, &inbox->taken_tail);
}

size_t inbox_depth(const struct inbox *inbox) {
    return atomic_load(&inbox->depth_items);
}

void inbox_post(struct inbox *inbox, struct inbox_item *item, int kind) {
    item->kind = kind;
    cds_wfcq_node_init(&item->node);
    atomic_fetch_add(&inbox->depth_items, 1); /* pairs with inbox_take */
    cds_wfcq_enqueue(&inbox->head, &inbox->tail, &item->node);
    if (!atomic_load(&inbox->is_quiet)) alarm_ring(inbox->alarm); /* pairs with inbox_quiet */
}

bool inbox_quiet(struct inbox *inbox, bool is_quiet) {
    if (is_quiet != atomic_load_explicit(&inbox->is_quiet, memory_order_relaxed))
        atomic_store(&inbox->is_quiet, is_quiet);
    return inbox_depth(inbox) > 0;
}

struct inbox_item *inbox_take(struct inbox *inbox) {
    struct cds_wfcq_node *node =
        __cds_wfcq_dequeue_blocking(&inbox->taken_head, &inbox->taken_tail);
    if (node == NULL) {
        if (inbox_depth(inbox) == 0) return NULL;
        __cds_wfcq_splice_blocking(&inbox->taken_head, &inbox->taken_tail, &inbox->head,
                                   &inbox->tail);
        node = __cds_wfcq_dequeue_blocking(&inbox->taken_head, &inbox->taken_tail);
        if (node == NULL) return NULL;
    }
    atomic_fetch_sub_explicit(&inbox->depth_items, 1, memory_order_acq_rel);
    return inbox_entry(node, struct inbox_item, node);
}
