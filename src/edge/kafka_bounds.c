/* Why in rounds: thousands of partitions are assigned at once, and each must know the bounds of its
 * log before it is read. Requests of their own would run into their timeouts again and again: a
 * broker answers the requests of a connection one after the other, and among them is a Fetch that
 * waits for records. So a partition joins the round that is open. While no other round is being
 * asked for, one of its members closes it and asks for all of them, with one request for the begins
 * and one for the ends; meanwhile the next round gathers.
 *
 * librdkafka gives no answer at all if one of the partitions has none (no leader, a broker that
 * hangs, or has too much to do). Then the next rounds are smaller, and of a small one each member
 * asks by itself. */
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/memory.h"
#include "kafka_private.h"

enum {
    ROUND_MAX = 1 << 20, /* no limit */
    SMALL_ROUND = 32,    /* of which each may ask by itself */
    LESS = 4,            /* what a failure divides the limit by, and a success multiplies it with */
};

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
    rounds->limit = ROUND_MAX;
    pthread_mutex_init(&rounds->lock, NULL);
}

void kafka_rounds_fini(struct kafka_rounds *rounds) {
    pthread_mutex_destroy(&rounds->lock);
}

static int left_of(int64_t until_ms) {
    return (int)clamp(until_ms - clock_ms(), 0, INT_MAX);
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

/* Returns the partition's place in the lists: the one it has, if it gave up and comes back. -1: the
 * round is full. */
static int join_round(struct kafka_rounds *rounds, const char *topic, int32_t partition) {
    if (rounds->open == NULL) rounds->open = create_round();
    struct kafka_round *round = rounds->open;
    rd_kafka_topic_partition_list_t *begins = round->begins;
    int place = 0;
    while (place < begins->cnt && begins->elems[place].partition != partition)
        place++;
    if (place == begins->cnt) {
        if (place >= rounds->limit) return -1;
        rd_kafka_topic_partition_list_add(begins, topic, partition)->offset =
            RD_KAFKA_OFFSET_BEGINNING;
        rd_kafka_topic_partition_list_add(round->ends, topic, partition)->offset =
            RD_KAFKA_OFFSET_END;
    }
    round->holders++;
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
    rd_kafka_t *asker = kafka_source_borrow_asker(source);
    rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(asker, round->begins, left_of(until_ms));
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        err = rd_kafka_offsets_for_times(asker, round->ends, left_of(until_ms));
    kafka_source_return(source);
    pthread_mutex_lock(&rounds->lock);
    rounds->is_asking = false;
    round->is_done = true;
    round->err = err;
    const int64_t limit = err == RD_KAFKA_RESP_ERR_NO_ERROR ? (int64_t)rounds->limit * LESS
                                                            : round->begins->cnt / LESS;
    rounds->limit = (int)clamp(limit, SMALL_ROUND, ROUND_MAX);
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

/* Sets *may_ask_alone if they are not known. */
static bool ask_together(struct kafka_source *source, int32_t partition, int64_t *begin,
                         int64_t *end, int64_t until_ms, bool *may_ask_alone) {
    struct kafka_rounds *rounds = kafka_source_rounds(source);
    const struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    *may_ask_alone = false;
    pthread_mutex_lock(&rounds->lock);
    const int place = join_round(rounds, kafka_source_settings(source)->topic, partition);
    struct kafka_round *round = rounds->open;
    bool is_known = false;
    if (place >= 0) {
        int result = 0;
        while (!round->is_done && result == 0) {
            if (rounds->is_asking || round->is_closed)
                result = pthread_cond_timedwait(&round->changed, &rounds->lock, &until);
            else
                ask_for_round(source, round, until_ms);
        }
        is_known = read_answer(round, place, begin, end);
        *may_ask_alone = round->begins->cnt <= SMALL_ROUND;
        leave_round(rounds, round);
    }
    pthread_mutex_unlock(&rounds->lock);
    return is_known;
}

static bool ask_alone(struct kafka_source *source, int32_t partition, int64_t *begin, int64_t *end,
                      int timeout_ms, struct error *error) {
    const char *topic = kafka_source_settings(source)->topic;
    const rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(
        kafka_source_borrow_asker(source), topic, partition, begin, end, timeout_ms);
    kafka_source_return(source);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ||
           error_set(error, "the bounds of %s [%d] cannot be read: %s", topic, partition,
                     rd_kafka_err2str(err));
}

enum source_bounds_verdict kafka_source_ask_bounds(struct kafka_source *source, int32_t partition,
                                                   int64_t *begin, int64_t *end, int timeout_ms,
                                                   struct error *error) {
    const int64_t until_ms = clock_ms() + timeout_ms;
    bool may_ask_alone;
    worker_call_begins(timeout_ms);
    bool is_known =
        ask_together(source, partition, begin, end, until_ms - timeout_ms / 2, &may_ask_alone);
    if (!is_known && may_ask_alone)
        is_known = ask_alone(source, partition, begin, end, left_of(until_ms), error);
    worker_call_ends();
    if (is_known) return SOURCE_BOUNDS_KNOWN;
    if (may_ask_alone) return SOURCE_BOUNDS_UNKNOWN;
    error_set(error, "many partitions are asking for the bounds of their logs");
    return SOURCE_BOUNDS_BUSY;
}

bool kafka_source_bounds(struct kafka_source *source, int32_t partition, int64_t *begin,
                         int64_t *end, int timeout_ms, struct error *error) {
    worker_call_begins(timeout_ms);
    const bool is_known = ask_alone(source, partition, begin, end, timeout_ms, error);
    worker_call_ends();
    return is_known;
}
