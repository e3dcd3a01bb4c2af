/* The transaction goes through four states: none, open, committing, and unclear. From the last
 * there is one way out: abort (or take a new producer, whose start ends the old transaction either
 * way), then ask the group what it has committed, and tell every partition that took part to go on
 * there. */
#include "flow/publish.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "flow/batch.h"

enum {
    TICK_MS = 1000,
    CALL_MS = 5000,
    COMMIT_TRIES = 6, /* of CALL_MS; then a new producer finds out how it ended */
    RETRY_MS_MIN = 20,
    RETRY_MS_MAX = 2000,
    WAIT_MS = 10,
    RECORDS_MAX = 50000,
    BYTES_MAX = 16 << 20,
};

/* One partition's part in the transaction. */
struct share {
    uint64_t generation; /* of the batches in the open transaction */
    uint64_t lowest;     /* generations below it were told that they are not published */
    int64_t end, origin;
    struct inbox *ingest;
    bool is_in;
};

struct publish {
    struct publish_options options;
    pthread_t thread;
    bool is_running;
    struct metric_cell *published, *aborted, *seconds;
    struct share *shares;            /* by partition */
    struct kafka_committed *members; /* partitions in the transaction */
    size_t member_count;
    bool is_open, is_urgent;
    int64_t since_ms, record_count, byte_count;
    int64_t retry_ms;
    atomic_bool must_stop, is_ready, must_count; /* count: the partitions of the topics */
    atomic_int_fast64_t heartbeat_ms;
    struct inbox inbox;
};

struct publish *publish_create(const struct publish_options *options) {
    struct publish *publish = memory_create(sizeof *publish);
    publish->options = *options;
    inbox_init(&publish->inbox, NULL, NULL);
    publish->published = metric_cell(options->published, NULL);
    publish->aborted = metric_cell(options->aborted, NULL);
    publish->seconds = metric_cell(options->seconds, NULL);
    const size_t partitions = (size_t)options->partition_max;
    publish->shares = memory_create(partitions * sizeof *publish->shares);
    publish->members = memory_create(partitions * sizeof *publish->members);
    return publish;
}

void publish_recount(struct publish *publish) {
    atomic_store(&publish->must_count, true);
}

struct inbox *publish_inbox(struct publish *publish) {
    return &publish->inbox;
}

int64_t publish_heartbeat_ms(const struct publish *publish) {
    return atomic_load(&publish->heartbeat_ms);
}

bool publish_is_open(const struct publish *publish) {
    return atomic_load(&publish->is_ready);
}

static void beat(struct publish *publish) {
    atomic_store_explicit(&publish->heartbeat_ms, clock_ms(), memory_order_relaxed);
}

/* Sleeps for a growing time. False if the thread is to end. */
static bool back_off(struct publish *publish) {
    publish->retry_ms = clamp(publish->retry_ms * 2, RETRY_MS_MIN, RETRY_MS_MAX);
    int64_t until_ms = clock_ms() + publish->retry_ms;
    while (!atomic_load(&publish->must_stop) && clock_ms() < until_ms) {
        beat(publish);
        kafka_sink_serve(publish->options.sink, 10);
    }
    return !atomic_load(&publish->must_stop);
}

static void give_up(struct publish *publish, const char *why) {
    publish->options.failed(publish->options.context, why);
    atomic_store(&publish->must_stop, true);
}

/* Makes the producer ready, with a new one wherever the old one will not do. False if the thread is
 * to end: what is open then ends by its timeout, or by the next producer of this id. */
static bool open_sink(struct publish *publish, enum sink_verdict verdict) {
    struct error error;
    while (!atomic_load(&publish->must_stop)) {
        beat(publish);
        if (verdict == SINK_REPLACE || verdict == SINK_ABORT) {
            verdict = kafka_sink_replace(publish->options.sink, &error);
        }
        if (verdict == SINK_OK || verdict == SINK_RETRY) {
            verdict = kafka_sink_open(publish->options.sink, CALL_MS, &error);
        }
        if (verdict == SINK_OK) {
            publish->retry_ms = 0;
            atomic_store(&publish->is_ready, true);
            return true;
        }
        if (verdict == SINK_STOP) {
            give_up(publish, error.text);
            return false;
        }
        log_warn("Waiting for Kafka", log_text("reason", error.text));
        if (!back_off(publish)) break;
    }
    return false;
}

static void forget_transaction(struct publish *publish) {
    for (size_t i = 0; i < publish->member_count; i++) {
        publish->shares[publish->members[i].partition].is_in = false;
    }
    publish->member_count = 0;
    publish->is_open = publish->is_urgent = false;
    publish->record_count = publish->byte_count = 0;
}

/* Tells every partition of the transaction that came to nothing where the group stands. */
static void tell_unpublished(struct publish *publish) {
    struct error error;
    publish->retry_ms = 0;
    while (!kafka_source_committed(publish->options.source, publish->members, publish->member_count,
                                   CALL_MS, &error)) {
        log_warn("Waiting for Kafka", log_text("reason", error.text));
        if (!back_off(publish)) return;
    }
    publish->retry_ms = 0;
    for (size_t i = 0; i < publish->member_count; i++) {
        struct share *share = &publish->shares[publish->members[i].partition];
        share->lowest = share->generation + 1;
        notice_post(share->ingest, NOTICE_UNPUBLISHED, share->generation,
                    publish->members[i].offset, publish->members[i].origin);
    }
}

/* The transaction failed: ends it for certain, and has its partitions read again. */
static void fail(struct publish *publish, enum sink_verdict verdict, const struct error *why) {
    struct error error;
    metric_add(publish->aborted, 1);
    log_warn("Transaction aborted: its records are read again", log_text("reason", why->text),
             log_int("records", publish->record_count));
    if (verdict == SINK_STOP) give_up(publish, why->text);
    if (atomic_load(&publish->must_stop)) return; /* publish_stop aborts */
    atomic_store(&publish->is_ready, false);
    if (verdict == SINK_ABORT) {
        for (int attempt = 0; attempt < COMMIT_TRIES; attempt++) {
            beat(publish);
            verdict = kafka_sink_abort(publish->options.sink, CALL_MS, &error);
            if (verdict != SINK_RETRY || !back_off(publish)) break;
        }
    }
    if (verdict == SINK_OK) {
        atomic_store(&publish->is_ready, true);
    } else if (!open_sink(publish, SINK_REPLACE)) {
        return;
    }
    tell_unpublished(publish);
    forget_transaction(publish);
}

static bool may_commit(void *context) {
    const struct publish *publish = context;
    for (size_t i = 0; i < publish->member_count; i++) {
        int32_t partition = publish->members[i].partition;
        if (!fence_lets(publish->options.fence, partition, publish->shares[partition].generation)) {
            return false;
        }
    }
    return true;
}

static void commit(struct publish *publish) {
    struct error error = {""};
    enum sink_verdict verdict = SINK_OK;
    for (size_t i = 0; i < publish->member_count; i++) {
        const struct share *share = &publish->shares[publish->members[i].partition];
        publish->members[i].offset = share->end;
        publish->members[i].origin = share->origin;
    }
    for (int attempt = 0; attempt < COMMIT_TRIES; attempt++) {
        beat(publish);
        verdict =
            kafka_sink_commit(publish->options.sink, publish->options.source, publish->members,
                              publish->member_count, may_commit, publish, CALL_MS, &error);
        if (verdict != SINK_RETRY) break;
        log_warn("Waiting for Kafka", log_text("reason", error.text));
        if (!back_off(publish)) break;
    }
    if (verdict != SINK_OK) {
        fail(publish, verdict == SINK_RETRY ? SINK_REPLACE : verdict, &error);
        return;
    }
    publish->retry_ms = 0;
    for (size_t i = 0; i < publish->member_count; i++) {
        const struct share *share = &publish->shares[publish->members[i].partition];
        notice_post(share->ingest, NOTICE_PUBLISHED, share->generation, share->end, share->origin);
    }
    metric_add(publish->published, publish->record_count);
    metric_observe_us(publish->seconds, (clock_ms() - publish->since_ms) * 1000);
    forget_transaction(publish);
}

/* False if the thread is to end. */
static bool count_partitions(struct publish *publish) {
    struct error error;
    while (kafka_sink_count_partitions(publish->options.sink, publish->options.source, CALL_MS,
                                       &error) != SINK_OK) {
        log_warn("Waiting for Kafka", log_text("reason", error.text));
        if (!back_off(publish)) return false;
    }
    publish->retry_ms = 0;
    return true;
}

static bool begin(struct publish *publish) {
    struct error error;
    if (atomic_exchange(&publish->must_count, false) && !count_partitions(publish)) return false;
    while (!publish->is_open) {
        beat(publish);
        enum sink_verdict verdict = kafka_sink_begin(publish->options.sink, &error);
        if (verdict == SINK_OK) {
            publish->is_open = true;
            publish->since_ms = clock_ms();
        } else if (verdict == SINK_STOP) {
            give_up(publish, error.text);
            return false;
        } else if (!open_sink(publish, verdict)) {
            return false;
        }
    }
    return true;
}

static bool send_record(struct publish *publish, const struct batch *batch,
                        const struct batch_record *record) {
    struct error error;
    for (;;) {
        enum sink_verdict verdict = kafka_sink_send(publish->options.sink, batch, record, &error);
        if (verdict == SINK_OK) return true;
        if (verdict != SINK_FULL && verdict != SINK_RECOUNT) {
            fail(publish, verdict, &error);
            return false;
        }
        beat(publish);
        if (atomic_load(&publish->must_stop)) return false;
        if (verdict == SINK_FULL) {
            kafka_sink_make_room(publish->options.sink, WAIT_MS);
        } else {
            kafka_sink_serve(publish->options.sink, WAIT_MS);
            if (!count_partitions(publish)) return false;
        }
    }
}

/* The partition takes part in the transaction from now on. */
static void join(struct publish *publish, const struct batch *batch) {
    struct share *share = &publish->shares[batch->partition];
    if (!share->is_in) {
        share->is_in = true;
        publish->members[publish->member_count++].partition = batch->partition;
    }
    share->generation = batch->published_generation;
    share->ingest = batch->home;
    share->end = batch->publish_end;
    share->origin = batch->origin;
}

static bool is_void(const struct publish *publish, const struct batch *batch) {
    return batch->published_generation < publish->shares[batch->partition].lowest ||
           !fence_lets(publish->options.fence, batch->partition, batch->published_generation);
}

static void add(struct publish *publish, const struct batch *batch) {
    struct share *share = &publish->shares[batch->partition];
    if (is_void(publish, batch)) return; /* I1 */
    if (share->is_in && share->generation != batch->published_generation) {
        struct error error;
        error_set(&error, "partition %d was given away and came back", batch->partition);
        fail(publish, SINK_ABORT, &error);
        if (atomic_load(&publish->must_stop)) return;
    }
    if (!begin(publish)) return;
    join(publish, batch);
    for (const struct batch_record *record = batch_next(batch, NULL); record != NULL;
         record = batch_next(batch, record)) {
        if (!send_record(publish, batch, record)) return;
    }
    publish->record_count += (int64_t)batch->record_count;
    publish->byte_count += (int64_t)batch->record_bytes;
    publish->is_urgent |= batch->is_urgent;
}

static int wait_ms(const struct publish *publish) {
    if (!publish->is_open) return TICK_MS;
    int64_t left_ms = publish->since_ms + publish->options.commit_ms - clock_ms();
    return left_ms < 0 ? 0 : left_ms < TICK_MS ? (int)left_ms : TICK_MS;
}

static bool is_commit_due(const struct publish *publish) {
    return publish->is_open &&
           (publish->is_urgent || wait_ms(publish) == 0 || publish->record_count >= RECORDS_MAX ||
            publish->byte_count >= BYTES_MAX);
}

static void *run(void *context) {
    struct publish *publish = context;
    struct inbox_item *item = NULL;
    if (!open_sink(publish, SINK_OK)) return NULL;
    while (!atomic_load(&publish->must_stop)) {
        beat(publish);
        while (!is_commit_due(publish) && (item = inbox_take(&publish->inbox)) != NULL) {
            struct batch *batch = inbox_entry(item, struct batch, publish_item);
            add(publish, batch);
            batch_release(batch);
        }
        kafka_sink_serve(publish->options.sink, 0);
        if (is_commit_due(publish)) {
            commit(publish);
        } else if (!atomic_load(&publish->must_stop)) {
            inbox_wait(&publish->inbox, wait_ms(publish));
        }
    }
    return NULL;
}

bool publish_start(struct publish *publish) {
    publish->is_running = thread_start(&publish->thread, "publish", run, publish);
    return publish->is_running;
}

static void release_mail(struct publish *publish) {
    struct inbox_item *item;
    while ((item = inbox_take(&publish->inbox)) != NULL) {
        batch_release(inbox_entry(item, struct batch, publish_item));
    }
}

void publish_stop(struct publish *publish) {
    if (!publish->is_running) return;
    atomic_store(&publish->must_stop, true);
    inbox_wake(&publish->inbox);
    pthread_join(publish->thread, NULL);
    publish->is_running = false;
    release_mail(publish);
    struct error error;
    if (publish->is_open) kafka_sink_abort(publish->options.sink, CALL_MS, &error);
    forget_transaction(publish);
}

void publish_destroy(struct publish **publish) {
    if (*publish == NULL) return;
    publish_stop(*publish);
    release_mail(*publish);
    free((*publish)->shares);
    free((*publish)->members);
    inbox_fini(&(*publish)->inbox);
    free(*publish);
    *publish = NULL;
}
