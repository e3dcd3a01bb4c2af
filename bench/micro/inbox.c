/* base/inbox: the cost of passing on one item, within a thread and to another thread. */
#include "base/inbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "micro.h"

enum { ITEMS = 64, WAIT_MS = 1000 };

struct hand {
    struct alarm alarm, alarm_there;
    struct inbox inbox;
    struct inbox_item items[ITEMS];
    /* the inbox of the other thread, which sends every item back */
    struct inbox there;
    pthread_t thread;
};

static void *set_up_alone(void) {
    struct hand *hand = memory_create(sizeof *hand);
    if (hand == NULL) micro_fail("out of memory");
    inbox_init(&hand->inbox, &hand->alarm);
    inbox_init(&hand->there, &hand->alarm_there);
    return hand;
}

static void run_alone(void *state, int64_t operations) {
    struct hand *hand = state;
    for (int64_t i = 0; i < operations; i += ITEMS) {
        for (int n = 0; n < ITEMS; n++)
            inbox_post(&hand->inbox, &hand->items[n], 0);
        while (inbox_take(&hand->inbox) != NULL) {
        }
    }
}

static void tear_down_alone(void *state) {
    struct hand *hand = state;
    inbox_fini(&hand->inbox);
    inbox_fini(&hand->there);
    free(hand);
}

static struct inbox_item *await(struct inbox *inbox) {
    struct inbox_item *item;
    for (;;) {
        alarm_arm(inbox->alarm);
        if ((item = inbox_take(inbox)) != NULL) return item;
        alarm_wait(inbox->alarm, clock_ms() + WAIT_MS);
    }
}

enum { KIND_BACK, KIND_END };

static void *send_back(void *context) {
    struct hand *hand = context;
    for (;;) {
        struct inbox_item *item = await(&hand->there);
        if (item->kind == KIND_END) return NULL;
        inbox_post(&hand->inbox, item, KIND_BACK);
    }
}

static void *set_up_pair(void) {
    struct hand *hand = set_up_alone();
    if (pthread_create(&hand->thread, NULL, send_back, hand) != 0)
        micro_fail("cannot start a thread");
    for (int n = 0; n < ITEMS; n++)
        inbox_post(&hand->inbox, &hand->items[n], KIND_BACK);
    return hand;
}

static void run_pair(void *state, int64_t operations) {
    struct hand *hand = state;
    for (int64_t i = 0; i < operations; i++) {
        inbox_post(&hand->there, await(&hand->inbox), KIND_BACK);
    }
}

static void tear_down_pair(void *state) {
    struct hand *hand = state;
    for (int n = 0; n < ITEMS; n++)
        await(&hand->inbox);
    inbox_post(&hand->there, &hand->items[0], KIND_END);
    pthread_join(hand->thread, NULL);
    tear_down_alone(hand);
}

const struct micro micro_inbox[] = {
    {"inbox", "item posted and taken by one thread", CLOCK_PROCESS_CPUTIME_ID, set_up_alone,
     run_alone, tear_down_alone},
    {"inbox-pair", "item to another thread and back, both threads' time, 64 in flight",
     CLOCK_PROCESS_CPUTIME_ID, set_up_pair, run_pair, tear_down_pair},
    {0},
};
