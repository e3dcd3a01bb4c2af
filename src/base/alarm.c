/* Why no wake-up is lost: the sleeper stores ARMED, then looks for work; a sender makes its work
 * visible, then loads the word. All four are sequentially consistent, so either the sender sees
 * ARMED and changes the word, or the sleeper sees the work. And futex(2) does not sleep on a word
 * that has changed. */
#include "base/alarm.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum { RUNG = 0, ARMED = 1, SLEEPING = 2 };

void alarm_arm(struct alarm *alarm) {
    atomic_store(&alarm->word, ARMED);
}

void alarm_wait(struct alarm *alarm, int64_t until_ms) {
    const int64_t left_ms = until_ms - clock_ms();
    unsigned expected = ARMED;
    if (left_ms <= 0 || !atomic_compare_exchange_strong(&alarm->word, &expected, SLEEPING)) return;
    const struct timespec timeout = {left_ms / 1000, (long)(left_ms % 1000) * 1000000L};
    syscall(SYS_futex, &alarm->word, FUTEX_WAIT_PRIVATE, SLEEPING, &timeout, NULL, 0);
    atomic_store(&alarm->word, RUNG);
}

void alarm_wake(struct alarm *alarm) {
    if (atomic_exchange(&alarm->word, RUNG) == SLEEPING) {
        syscall(SYS_futex, &alarm->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}
