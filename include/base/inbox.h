/* inbox: how one thread hands things to another; many senders, one receiver, no lock.
 *
 * Threads:  inbox_post and inbox_depth from any thread; everything else from the receiver.
 * Owns:     nothing. An item is embedded in what is sent and belongs to the receiver once posted.
 * Limits:   none of its own: every sender has a bounded stock of what it sends.
 * Waits:    never. A receiver with nothing to take sleeps on its alarm, which a post rings.
 * Source:   liburcu's wait-free concurrent queue (wfcqueue).
 */
#ifndef BASE_INBOX_H
#define BASE_INBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <urcu/wfcqueue.h>

#include "base/alarm.h"
#include "base/memory.h"

/* Embed one in whatever is sent; `kind` is for the receiver: what it lies in. */
struct inbox_item {
    struct cds_wfcq_node node;
    int kind;
};

struct inbox {
    /* shared: written by senders */
    _Alignas(CACHE_LINE_BYTES) struct cds_wfcq_tail tail;
    atomic_size_t depth_items;
    /* shared: written by the receiver */
    atomic_bool is_quiet; /* posts do not ring */
    /* fixed after inbox_init */
    struct alarm *alarm;
    /* owned by the receiver */
    _Alignas(CACHE_LINE_BYTES) struct cds_wfcq_head head;
    struct cds_wfcq_head taken_head;
    struct cds_wfcq_tail taken_tail;
};

/* Prepares the inbox in place. Keeps the receiver's alarm. */
void inbox_init(struct inbox *inbox, struct alarm *alarm);
/* Requires: no thread posts any more and everything was taken. */
void inbox_fini(struct inbox *inbox);

/* Sends the item and rings the receiver's alarm, unless the inbox is quiet; takes the item. */
void inbox_post(struct inbox *inbox, struct inbox_item *item, int kind);

/* Whether posts ring from now on, as they do at first. A receiver that can leave its mail for its
 * next step makes the inbox quiet, which saves it being woken for each item. Returns true if mail
 * is there already, which may not have rung. */
bool inbox_quiet(struct inbox *inbox, bool is_quiet);

/* Items posted and not yet taken. */
size_t inbox_depth(const struct inbox *inbox);

/* The oldest item, or NULL if there is none now; the caller owns it. Order is kept for each
 * sender. */
struct inbox_item *inbox_take(struct inbox *inbox);

/* The struct that an inbox_item lies in. */
#define inbox_entry(item, type, member) ((type *)((char *)(item)-offsetof(type, member)))

#endif
