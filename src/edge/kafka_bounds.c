/* Why in rounds: thousands of partitions are assigned at once, and each must know the bounds of its
 * log before it is read. Requests of their own would run into their timeouts again and again: a
 * broker answers the requests of a connection one after the other, and among them is a Fetch that
 * waits for records. So a partition joins the round that is open. While no other round is being
 * asked for, one of its members closes it and asks for all of them, with one request for the begins
 * and one for the ends; meanwhile the next round gathers.
 *
 * librdkafka gives no answer at all if one of the partitions has none (no leader, a broker that
 * hangs). Then each member asks by itself, and only a few of them at a time. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/memory.h"
#include "kafka_private.h"

enum { ALONE_MAX = 32 /* partitions that ask by themselves at the same time */ };

struct kafka_round { /* guarded by the bounds' lock; while it is asked for, its lists are not */
    pthread_cond_t changed;                  /* it is done, or may be asked for */
    rd_kafka_topic_partition_list_t *begins; /* the partitions, in the order in which they came */
    rd_kafka_topic_partition_list_t *ends;   /* the same */
    unsigned holders;
    bool is_closed, is_done;
    rd_kafka_resp_err_t err; /* once it is done */
};

void kafka_rounds_init(struct kafka_rounds *rounds) {
    *rounds = (struct kafka_rounds){0};
    pthread_mutex_init(&rounds->lock, NULL);
    sem_init(&rounds->alone, 0, ALONE_MAX);
}

void kafka_rounds_fini(struct kafka_rounds *rounds) {
    sem_destroy(&rounds->alone);
    pthread_mutex_destroy(&rounds->lock);
}

static int left_of(int64_t until_ms) {
    return (int)clamp(until_ms - clock_ms(), 0, INT_MAX);
}

static struct timespec time_of(int64_t ms) {
    return (struct timespec){ms / 1000, ms % 1000 * 1000000};
}

/* --- a round ---------------------------------------------------------------------------------- */

static struct kafka_round *create_round(void) {
    struct kafka_round *round = memory_create(sizeof *round);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&round->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    round->begins = rd_kafka_topic_partition_list_new(0);
    round->ends = rd_kafka_topic_partition_list_new(0);
    return round;
}

static void destroy_round(struct kafka_round *round) {
    rd_kafka_topic_partition_list_destroy(round->begins);
    rd_kafka_topic_partition_list_destroy(round->ends);
    pthread_cond_destroy(&round->changed);
    free(round);
}

/* Returns the partition's place in the lists: the one it has, if it gave up and comes back. */
static int join_round(struct kafka_round *round, const char *topic, int32_t partition) {
    rd_kafka_topic_partition_list_t *begins = round->begins;
    int place = 0;
    round->holders++;
    while (place < begins->cnt && begins->elems[place].partition != partition)
        place++;
    if (place < begins->cnt) return place;
    rd_kafka_topic_partition_list_add(begins, topic, partition)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_topic_partition_list_add(round->ends, topic, partition)->offset = RD_KAFKA_OFFSET_END;
    return place;
}

static void leave_round(struct kafka_rounds *rounds, struct kafka_round *round) {
    if (--round->holders == 0) {
        if (rounds->open == round) rounds->open = NULL;
        destroy_round(round);
    } else if (!round->is_closed) {
        pthread_cond_signal(&round->changed); /* it may have been this one's to ask */
    }
}

/* Lets go of the lock while it asks. */
static void ask_for_round(struct kafka_source *source, struct kafka_round *round,
                          int64_t until_ms) {
    struct kafka_rounds *rounds = kafka_source_rounds(source);
    rounds->open = NULL;
    rounds->is_asking = round->is_closed = true;
    pthread_mutex_unlock(&rounds->lock);
    rd_kafka_t *consumer = kafka_source_borrow(source);
    rd_kafka_resp_err_t err =
        rd_kafka_offsets_for_times(consumer, round->begins, left_of(until_ms));
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        err = rd_kafka_offsets_for_times(consumer, round->ends, left_of(until_ms));
    kafka_source_return(source);
    pthread_mutex_lock(&rounds->lock);
    rounds->is_asking = false;
    round->is_done = true;
    round->err = err;
    pthread_cond_broadcast(&round->changed);
    if (rounds->open != NULL) pthread_cond_signal(&rounds->open->changed);
}

static bool read_answer(const struct kafka_round *round, int place, int64_t *begin, int64_t *end) {
    if (!round->is_done || round->err != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
    const rd_kafka_topic_partition_t *first = &round->begins->elems[place];
    const rd_kafka_topic_partition_t *last = &round->ends->elems[place];
    *begin = first->offset;
    *end = last->offset;
    return first->err == RD_KAFKA_RESP_ERR_NO_ERROR && last->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
           *begin >= 0 && *end >= *begin;
}

static bool ask_together(struct kafka_source *source, int32_t partition, int64_t *begin,
                         int64_t *end, int64_t until_ms) {
    struct kafka_rounds *rounds = kafka_source_rounds(source);
    const struct timespec until = time_of(until_ms);
    int result = 0;
    pthread_mutex_lock(&rounds->lock);
    if (rounds->open == NULL) rounds->open = create_round();
    struct kafka_round *round = rounds->open;
    const int place = join_round(round, kafka_source_settings(source)->topic, partition);
    while (!round->is_done && result == 0) {
        if (rounds->is_asking || round->is_closed)
            result = pthread_cond_timedwait(&round->changed, &rounds->lock, &until);
        else
            ask_for_round(source, round, until_ms);
    }
    const bool is_answered = read_answer(round, place, begin, end);
    leave_round(rounds, round);
    pthread_mutex_unlock(&rounds->lock);
    return is_answered;
}

/* --- alone ------------------------------------------------------------------------------------ */

static bool take_turn(struct kafka_rounds *rounds, int64_t until_ms) {
    const struct timespec until = time_of(until_ms);
    int result;
    do {
        result = sem_clockwait(&rounds->alone, CLOCK_MONOTONIC, &until);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

static bool ask_alone(struct kafka_source *source, int32_t partition, int64_t *begin, int64_t *end,
                      int timeout_ms, struct error *error) {
    const char *topic = kafka_source_settings(source)->topic;
    const rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(
        kafka_source_borrow(source), topic, partition, begin, end, timeout_ms);
    kafka_source_return(source);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ||
           error_set(error, "the bounds of %s [%d] cannot be read: %s", topic, partition,
                     rd_kafka_err2str(err));
}

enum source_bounds_verdict kafka_source_ask_bounds(struct kafka_source *source, int32_t partition,
                                                   int64_t *begin, int64_t *end, int timeout_ms,
                                                   struct error *error) {
    struct kafka_rounds *rounds = kafka_source_rounds(source);
    const int64_t until_ms = clock_ms() + timeout_ms;
    enum source_bounds_verdict verdict = SOURCE_BOUNDS_BUSY;
    worker_call_begins(timeout_ms);
    if (ask_together(source, partition, begin, end, until_ms - timeout_ms / 4)) {
        verdict = SOURCE_BOUNDS_KNOWN;
    } else if (!take_turn(rounds, clock_ms() + left_of(until_ms) / 2)) {
        error_set(error, "other partitions are asking where to read");
    } else {
        const bool is_known = ask_alone(source, partition, begin, end, left_of(until_ms), error);
        sem_post(&rounds->alone);
        verdict = is_known ? SOURCE_BOUNDS_KNOWN : SOURCE_BOUNDS_UNKNOWN;
    }
    worker_call_ends();
    return verdict;
}

bool kafka_source_bounds(struct kafka_source *source, int32_t partition, int64_t *begin,
                         int64_t *end, int timeout_ms, struct error *error) {
    worker_call_begins(timeout_ms);
    const bool is_known = ask_alone(source, partition, begin, end, timeout_ms, error);
    worker_call_ends();
    return is_known;
}
