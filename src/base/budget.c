/* Why no wake-up is lost: a thread that asks is counted first, then looks at what is taken once
 * more; one that gives back lowers that first, then looks for waiters. Both are sequentially
 * consistent, so at least one sees the other. Only the first waiter is woken, and a waiter that
 * leaves the first place wakes the next one: a thread that was let through may not take anything
 * for a long time, and the others should not wait for that. */
#include "base/budget.h"

#include <assert.h>

void budget_init(struct budget *budget, int64_t max_bytes) {
    budget->max_bytes = max_bytes;
    atomic_init(&budget->taken_bytes, 0);
    atomic_init(&budget->waiter_count, 0);
    pthread_mutex_init(&budget->lock, NULL);
    CDS_INIT_LIST_HEAD(&budget->queue);
}

void budget_fini(struct budget *budget) {
    assert(cds_list_empty(&budget->queue));
    pthread_mutex_destroy(&budget->lock);
}

static bool is_spent(struct budget *budget) {
    return atomic_load(&budget->taken_bytes) >= budget->max_bytes;
}

static void enqueue(struct budget *budget, struct budget_waiter *waiter) {
    if (waiter->is_queued) return;
    waiter->is_queued = true;
    cds_list_add_tail(&waiter->place, &budget->queue);
    atomic_fetch_add(&budget->waiter_count, 1); /* pairs with call_first */
}

static void dequeue(struct budget *budget, struct budget_waiter *waiter) {
    waiter->is_queued = false;
    cds_list_del(&waiter->place);
    atomic_fetch_sub(&budget->waiter_count, 1);
}

static struct budget_waiter *first(struct budget *budget) {
    if (cds_list_empty(&budget->queue)) return NULL;
    return cds_list_first_entry(&budget->queue, struct budget_waiter, place);
}

static void call_first(struct budget *budget) {
    if (atomic_load(&budget->waiter_count) == 0 || is_spent(budget)) return;
    pthread_mutex_lock(&budget->lock);
    struct budget_waiter *waiter = first(budget);
    if (waiter != NULL) alarm_ring(waiter->alarm); /* in the lock: it may not be there after it */
    pthread_mutex_unlock(&budget->lock);
}

bool budget_ask(struct budget *budget, struct budget_waiter *waiter) {
    if (atomic_load(&budget->waiter_count) == 0 && !is_spent(budget)) return true;
    pthread_mutex_lock(&budget->lock);
    enqueue(budget, waiter);
    const bool may_take = first(budget) == waiter && !is_spent(budget);
    if (may_take) dequeue(budget, waiter);
    pthread_mutex_unlock(&budget->lock);
    if (may_take) call_first(budget);
    return may_take;
}

void budget_give_up(struct budget *budget, struct budget_waiter *waiter) {
    if (!waiter->is_queued) return;
    pthread_mutex_lock(&budget->lock);
    dequeue(budget, waiter);
    pthread_mutex_unlock(&budget->lock);
    call_first(budget);
}

int64_t budget_taken(struct budget *budget) {
    return atomic_load(&budget->taken_bytes);
}

void budget_take(struct budget *budget, int64_t bytes) {
    atomic_fetch_add(&budget->taken_bytes, bytes);
}

void budget_give_back(struct budget *budget, int64_t bytes) {
    const int64_t before = atomic_fetch_sub(&budget->taken_bytes, bytes);
    assert(before >= bytes);
    (void)before;
    call_first(budget);
}
