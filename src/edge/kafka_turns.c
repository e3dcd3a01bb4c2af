#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/worker.h"
#include "kafka_private.h"

enum { TURNS = 32 };

void kafka_turns_init(struct kafka_turns *turns) {
    sem_init(&turns->left, 0, TURNS);
}

void kafka_turns_fini(struct kafka_turns *turns) {
    sem_destroy(&turns->left);
}

bool kafka_source_take_turn(struct kafka_source *source, int timeout_ms) {
    struct kafka_turns *turns = kafka_source_turns(source);
    const int64_t until_ms = clock_ms() + timeout_ms;
    const struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    int result;
    worker_call_begins(timeout_ms);
    do {
        result = sem_clockwait(&turns->left, CLOCK_MONOTONIC, &until);
    } while (result != 0 && errno == EINTR);
    worker_call_ends();
    return result == 0;
}

void kafka_source_end_turn(struct kafka_source *source) {
    sem_post(&kafka_source_turns(source)->left);
}
