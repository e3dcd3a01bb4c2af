#include <errno.h>
#include <time.h>

#include "kafka_private.h"

enum { TURNS = 32 };

void kafka_turns_init(struct kafka_turns *turns) {
    sem_init(&turns->left, 0, TURNS);
}

void kafka_turns_fini(struct kafka_turns *turns) {
    sem_destroy(&turns->left);
}

bool kafka_turns_take(struct kafka_turns *turns, int64_t until_ms) {
    const struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    int result;
    do {
        result = sem_clockwait(&turns->left, CLOCK_MONOTONIC, &until);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

void kafka_turns_end(struct kafka_turns *turns) {
    sem_post(&turns->left);
}
