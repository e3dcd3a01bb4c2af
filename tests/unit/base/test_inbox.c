/* Everything that is posted arrives, once, in each sender's order, and wakes the receiver that
 * waits for it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/inbox.h"
#include "base/memory.h"

enum { SENDERS = 4, ITEMS = 50000, LONG_MS = 60000 };

struct letter {
    struct inbox_item item;
    int sender, number;
};

struct sender {
    struct inbox *inbox;
    struct letter *letters;
    int id;
    pthread_t thread;
};

static void *send_all(void *context) {
    struct sender *sender = context;
    for (int i = 0; i < ITEMS; i++) {
        sender->letters[i].sender = sender->id;
        sender->letters[i].number = i;
        inbox_post(sender->inbox, &sender->letters[i].item, 1);
    }
    return NULL;
}

static void all_arrive_in_each_senders_order_and_no_wake_is_lost(void **state) {
    (void)state;
    struct inbox *inbox = memory_create(sizeof *inbox);
    struct alarm alarm = {0};
    struct sender senders[SENDERS];
    int next[SENDERS] = {0}, received = 0;
    int64_t begin_ms = clock_ms();
    inbox_init(inbox, &alarm);
    for (int s = 0; s < SENDERS; s++) {
        senders[s] = (struct sender){inbox, calloc(ITEMS, sizeof(struct letter)), s, 0};
        assert_int_equal(pthread_create(&senders[s].thread, NULL, send_all, &senders[s]), 0);
    }
    while (received < SENDERS * ITEMS) {
        alarm_arm(&alarm);
        struct inbox_item *item = inbox_take(inbox);
        if (item == NULL) {
            alarm_wait(&alarm,
                       begin_ms + LONG_MS); /* a lost wake-up would be seen as a minute lost */
            continue;
        }
        const struct letter *letter = inbox_entry(item, struct letter, item);
        assert_int_equal(letter->number, next[letter->sender]++);
        received++;
    }
    assert_true(clock_ms() - begin_ms < LONG_MS);
    assert_null(inbox_take(inbox));
    assert_int_equal(inbox_depth(inbox), 0);
    for (int s = 0; s < SENDERS; s++) {
        pthread_join(senders[s].thread, NULL);
        free(senders[s].letters);
    }
    inbox_fini(inbox);
    free(inbox);
}

/* A receiver that sleeps, and says so in the alarm's word. */
struct sleeper {
    struct inbox *inbox;
    struct alarm *alarm;
    atomic_int received;
};

enum { ASLEEP = 2, NIGHTS = 300, SOON_MS = 10000 };

static void *sleep_and_take(void *context) {
    struct sleeper *sleeper = context;
    while (atomic_load(&sleeper->received) < NIGHTS) {
        alarm_arm(sleeper->alarm);
        if (inbox_take(sleeper->inbox) == NULL) {
            alarm_wait(sleeper->alarm, clock_ms() + LONG_MS);
            continue;
        }
        atomic_fetch_add(&sleeper->received, 1);
    }
    return NULL;
}

/* One post to a receiver that is certainly asleep, again and again: nobody else would wake it. */
static void one_post_wakes_the_receiver_that_sleeps(void **state) {
    (void)state;
    struct inbox *inbox = memory_create(sizeof *inbox);
    struct alarm alarm = {0};
    struct sleeper sleeper = {.inbox = inbox, .alarm = &alarm};
    struct letter *letters = calloc(NIGHTS, sizeof *letters);
    const int64_t until_ms = clock_ms() + SOON_MS;
    pthread_t thread;
    inbox_init(inbox, &alarm);
    assert_int_equal(pthread_create(&thread, NULL, sleep_and_take, &sleeper), 0);
    for (int night = 0; night < NIGHTS; night++) {
        while (atomic_load(&alarm.word) != ASLEEP)
            assert_true(clock_ms() < until_ms);
        if (night % 10 == 0) clock_sleep_ms(2); /* by then in the kernel, too */
        inbox_post(inbox, &letters[night].item, 1);
        while (atomic_load(&sleeper.received) <= night)
            assert_true(clock_ms() < until_ms);
    }
    pthread_join(thread, NULL);
    inbox_fini(inbox);
    free(letters);
    free(inbox);
}

static void a_post_rings_the_alarm_that_was_armed_before(void **state) {
    (void)state;
    struct inbox *inbox = memory_create(sizeof *inbox);
    struct alarm alarm = {0};
    struct letter letters[2];
    inbox_init(inbox, &alarm);
    alarm_arm(&alarm);
    const int64_t begin_ms = clock_ms();
    inbox_post(inbox, &letters[0].item, 1);
    inbox_post(inbox, &letters[1].item, 2);
    alarm_wait(&alarm, begin_ms + LONG_MS);
    assert_true(clock_ms() - begin_ms < LONG_MS);
    assert_int_equal(inbox_take(inbox)->kind, 1);
    assert_int_equal(inbox_take(inbox)->kind, 2);
    inbox_fini(inbox);
    free(inbox);
}

static void a_quiet_inbox_does_not_ring_until_it_is_to(void **state) {
    (void)state;
    struct inbox *inbox = memory_create(sizeof *inbox);
    struct alarm alarm = {0};
    struct letter letters[2];
    inbox_init(inbox, &alarm);
    assert_false(inbox_quiet(inbox, true));
    alarm_arm(&alarm);
    inbox_post(inbox, &letters[0].item, 1);
    assert_int_not_equal(atomic_load(&alarm.word), 0); /* still armed */
    assert_true(inbox_quiet(inbox, false));            /* it is there, and did not ring */
    inbox_post(inbox, &letters[1].item, 2);
    assert_int_equal(atomic_load(&alarm.word), 0);
    assert_int_equal(inbox_take(inbox)->kind, 1);
    assert_int_equal(inbox_take(inbox)->kind, 2);
    assert_false(inbox_quiet(inbox, false));
    inbox_fini(inbox);
    free(inbox);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_arrive_in_each_senders_order_and_no_wake_is_lost),
        cmocka_unit_test(one_post_wakes_the_receiver_that_sleeps),
        cmocka_unit_test(a_post_rings_the_alarm_that_was_armed_before),
        cmocka_unit_test(a_quiet_inbox_does_not_ring_until_it_is_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
