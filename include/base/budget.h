/* budget: bytes that several threads may hold together, and the order in which they wait for them.
 *
 * Threads:  init and fini from one; everything else from any thread, each with a waiter of its own.
 * Owns:     nothing. A waiter is embedded in what waits, and is in the queue from a refusal until
 *           it is let through or gives up.
 * Limits:   a thread that is let through may take more than is left: at most max_bytes are taken,
 *           plus one taking a thread.
 * Waits:    never. A thread that may not take sleeps on its alarm, which rings when it is its turn.
 */
#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "base/alarm.h"

struct budget {
    int64_t max_bytes; /* fixed after budget_init */
    atomic_int_fast64_t taken_bytes;
    atomic_uint waiter_count;
    pthread_mutex_t lock; /* of the queue and its waiters */
    struct cds_list_head queue;
};

struct budget_waiter {
    struct alarm *alarm; /* set once, before the first use */
    struct cds_list_head place;
    bool is_queued; /* changed by its own thread alone, in the lock */
};

void budget_init(struct budget *budget, int64_t max_bytes);
void budget_fini(struct budget *budget);

/* True if the waiter may take now. If not, it has a place in the queue, and its alarm rings when it
 * should ask again: it must then ask or give up, since those behind it wait for that. The one that
 * was refused first goes first. */
bool budget_ask(struct budget *budget, struct budget_waiter *waiter);
void budget_give_up(struct budget *budget, struct budget_waiter *waiter);

int64_t budget_taken(struct budget *budget); /* bytes, now; from any thread */
void budget_take(struct budget *budget, int64_t bytes);
void budget_give_back(struct budget *budget, int64_t bytes);

#endif
