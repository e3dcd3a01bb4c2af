/* inbox: how one thread hands things to another; many senders, one receiver, no lock.
 *
 * Threads:  inbox_post, inbox_wake and inbox_depth from any thread; everything else from the receiver.
 * Owns:     nothing. An item is embedded in what is sent and belongs to the receiver once posted.
 * Limits:   none of its own: every sender has a bounded stock of what it sends.
 * Waits:    inbox_wait alone, for at most its timeout; posting never waits.
 * Source:   liburcu's wait-free concurrent queue (wfcqueue); sleeping by futex(2).
 */
#ifndef BASE_INBOX_H
#define BASE_INBOX_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <urcu/wfcqueue.h>

#include "base/memory.h"

/* Embed one in whatever is sent; `kind` tells the receiver what it lies in. */
struct inbox_item {
    struct cds_wfcq_node node;
    int kind;
};

struct inbox {
    /* shared: written by senders */
    _Alignas(CACHE_LINE_BYTES) struct cds_wfcq_tail tail;
    atomic_size_t depth_items;
    atomic_uint alarm; /* futex word: the receiver sleeps, somebody rang */
    /* fixed after inbox_init */
    void (*ring)(void *);
    void *ring_context;
    /* owned by the receiver */
    _Alignas(CACHE_LINE_BYTES) struct cds_wfcq_head head;
    struct cds_wfcq_head taken_head;
    struct cds_wfcq_tail taken_tail;
};

/* Prepares the inbox in place. `ring`, if not NULL, is called by a sender after a post that found the
 * inbox empty, for a receiver that sleeps elsewhere than in inbox_wait. Keeps ring_context. */
void inbox_init(struct inbox *inbox, void (*ring)(void *), void *ring_context);
/* Requires: nobody posts any more and everything was taken. */
void inbox_fini(struct inbox *inbox);

/* Sends the item; takes it. */
void inbox_post(struct inbox *inbox, struct inbox_item *item, int kind);

/* Items posted and not yet taken. */
size_t inbox_depth(const struct inbox *inbox);

/* The oldest item, or NULL if there is none now; the caller owns it. Order is kept for each sender. */
struct inbox_item *inbox_take(struct inbox *inbox);

/* Sleeps until something is posted, inbox_wake is called, or timeout_ms passed. */
void inbox_wait(struct inbox *inbox, int timeout_ms);

/* Ends a present or the next inbox_wait. */
void inbox_wake(struct inbox *inbox);

/* The struct that an inbox_item lies in. */
#define inbox_entry(item, type, member) ((type *)((char *)(item)-offsetof(type, member)))

#endif
