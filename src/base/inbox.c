/* Why no wake-up is lost: the receiver sets SLEEPING, then looks at the depth, then sleeps; a sender
 * raises the depth, then looks at SLEEPING. Both steps are sequentially consistent, so at least one of
 * the two sees the other, and futex(2) refuses to sleep on a word that changed.
 *
 * The depth is raised before an item is linked and lowered after it was taken, both as read-modify-
 * write: a release sequence from every sender to the receiver, which is also what orders the item's
 * contents for tools that cannot see into liburcu.
 */
#include "base/inbox.h"

#include <assert.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SLEEPING = 1, RUNG = 2 };

static_assert(offsetof(struct inbox, head) % CACHE_LINE_BYTES == 0,
              "the receiver's fields share no cache line with the senders'");

void inbox_init(struct inbox *inbox, void (*ring)(void *), void *ring_context) {
    cds_wfcq_init(&inbox->head, &inbox->tail);
    cds_wfcq_init(&inbox->taken_head, &inbox->taken_tail);
    atomic_init(&inbox->depth_items, 0);
    atomic_init(&inbox->alarm, 0);
    inbox->ring = ring;
    inbox->ring_context = ring_context;
}

void inbox_fini(struct inbox *inbox) {
    assert(inbox_depth(inbox) == 0);
    cds_wfcq_destroy(&inbox->head, &inbox->tail);
    cds_wfcq_destroy(&inbox->taken_head, &inbox->taken_tail);
}

size_t inbox_depth(const struct inbox *inbox) {
    return atomic_load_explicit(&inbox->depth_items, memory_order_relaxed);
}

void inbox_post(struct inbox *inbox, struct inbox_item *item, int kind) {
    item->kind = kind;
    cds_wfcq_node_init(&item->node);
    size_t depth = atomic_fetch_add(&inbox->depth_items, 1); /* pairs with inbox_take, inbox_wait */
    cds_wfcq_enqueue(&inbox->head, &inbox->tail, &item->node);
    if (atomic_load(&inbox->alarm) & SLEEPING) inbox_wake(inbox);
    if (depth == 0 && inbox->ring != NULL) inbox->ring(inbox->ring_context);
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

void inbox_wait(struct inbox *inbox, int timeout_ms) {
    unsigned before = atomic_fetch_or(&inbox->alarm, SLEEPING);
    if ((before & RUNG) == 0 && atomic_load(&inbox->depth_items) == 0) {
        struct timespec timeout = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000L};
        syscall(SYS_futex, &inbox->alarm, FUTEX_WAIT_PRIVATE, before | SLEEPING, &timeout, NULL, 0);
    }
    atomic_store(&inbox->alarm, 0);
}

void inbox_wake(struct inbox *inbox) {
    unsigned before = atomic_fetch_or(&inbox->alarm, RUNG);
    if (before == SLEEPING) {
        syscall(SYS_futex, &inbox->alarm, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}
