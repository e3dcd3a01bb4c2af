/* A machine with five states.
 *
 *     OPENING  the producer is not ready: it is opened, or replaced first
 *     READY    batches begin a transaction, or go into the open one; records are sent
 *     COMMITS  the transaction is due: it is committed
 *     ABORTS   it failed: it is aborted; if that fails too, a new producer ends it (OPENING)
 *     ASKS     it has ended: the group's committed offsets say how, and every partition in it is
 *              notified to continue there
 *
 * A call that Kafka does not answer is made again in a later step, after a growing delay. A failed
 * transaction's records are read again after one, too (setback.h), in ASKS; it grows until each
 * partition that was in it has published something. The transactions after it are smaller, and grow
 * with each that is committed. */
#include "flow/publish.h"

#include <assert.h>
#include <stdlib.h>

#include "base/backoff.h"
#include "base/clamp.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "flow/batch.h"
#include "setback.h"
#include "shares.h"
#include "twins.h"

enum {
    CALL_MS = 5000,
    TRIES = 6, /* of CALL_MS to commit or abort; then a new producer finds out how it ended */
    RETRY_MS_MIN = 20,
    RETRY_MS_MAX = 2000,
    SERIES = 4,     /* failures in a row, after which the producer is replaced: its metadata may be
                       outdated permanently, as after a broker was restored */
    ROOM_MS = 10,   /* longest wait for room in the producer's queue */
    TRIAL_MS = 100, /* between looks whether brokers take new certificates */
    RECORDS_MAX = 50000,  /* of a transaction that none before it has made smaller */
    BYTES_MAX = 16 << 20, /* the same */
};

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): one exists; by meaning, not by size */
struct publish {
    struct publish_options options;
    struct worker worker;
    enum { OPENING, READY, COMMITS, ABORTS, ASKS } state;
    bool must_replace;            /* OPENING: a new producer comes first */
    bool has_given_up, is_trying; /* new certificates */
    bool is_lacking;              /* an output topic, when the topics were last looked at */
    int tries;                    /* COMMITS, ABORTS: made */
    struct backoff retry;         /* of the same call */
    struct setback setback;       /* of transactions */
    int64_t ask_at_ms;            /* ASKS: not before */
    struct twins twins;

    struct shares shares;
    bool is_open; /* also after it failed, up to the end of ASKS */
    bool is_urgent;
    int64_t since_ms, record_count, byte_count;

    struct batch *batch;                          /* is being sent; NULL: none */
    const struct batch_record *record;            /* of it, to be sent next; NULL: all are sent */
    atomic_bool is_ready, must_count, must_renew; /* topics' partitions; new certificates */
    struct inbox inbox;
};

struct publish *publish_create(const struct publish_options *options) {
    struct publish *publish = memory_create(sizeof *publish);
    publish->options = *options;
    worker_init(&publish->worker, "publish", publish_step, publish);
    inbox_init(&publish->inbox, &publish->worker.alarm);
    setback_init(&publish->setback);
    return publish;
}

void publish_recount(struct publish *publish) {
    atomic_store(&publish->must_count, true);
}

void publish_renew(struct publish *publish) {
    atomic_store(&publish->must_renew, true);
    alarm_ring(&publish->worker.alarm);
}

struct inbox *publish_inbox(struct publish *publish) {
    return &publish->inbox;
}

const struct worker *publish_worker(const struct publish *publish) {
    return &publish->worker;
}

bool publish_is_ready(struct publish *publish, struct text *why) {
    return setback_is_ready(&publish->setback, atomic_load(&publish->is_ready), clock_ms(), why);
}

/* --- attempts --------------------------------------------------------------------------------- */

static void go_to(struct publish *publish, int state) {
    publish->state = state;
    publish->tries = 0;
    backoff_end(&publish->retry);
    trouble_clear(&publish->setback.waits);
    if (state != COMMITS) atomic_store(&publish->is_ready, state == READY);
}

/* The same call is made again after a growing delay. */
static void try_again(struct publish *publish, const struct error *why) {
    log_warn("Waiting for Kafka", log_text("reason", why->text));
    trouble_set(&publish->setback.waits, clock_ms(), why->text);
    publish->tries++;
    backoff_grow(&publish->retry, clock_ms(), RETRY_MS_MIN, RETRY_MS_MAX);
}

static void give_up(struct publish *publish, const char *why) {
    publish->has_given_up = true;
    stop_fail(publish->options.stop, why);
}

/* --- the end of a transaction that failed ----------------------------------------------------- */

static void forget_transaction(struct publish *publish) {
    shares_leave(&publish->shares);
    publish->is_open = publish->is_urgent = false;
    publish->record_count = publish->byte_count = 0;
}

static void open_with(struct publish *publish, bool must_replace) {
    go_to(publish, OPENING);
    publish->must_replace = must_replace;
}

/* The transaction failed: it is ended for certain, and its partitions are read again. */
static void fail(struct publish *publish, enum sink_verdict verdict, const struct error *why) {
    struct error twins;
    metric_add(publish->options.metrics->aborted, 1);
    log_warn("Transaction aborted: its records are read again", log_text("reason", why->text),
             log_int("records", publish->record_count));
    publish->ask_at_ms = larger(setback_add(&publish->setback, clock_ms(), why->text),
                                kafka_sink_throttled_ms(publish->options.sink));
    if (verdict == SINK_FENCED && twins_note(&publish->twins, publish->options.instance,
                                             publish->since_ms, clock_ms(), &twins))
        give_up(publish, twins.text);
    shares_judge(&publish->shares, true);
    if (publish->setback.count > 1) atomic_store(&publish->must_count, true); /* topics changed? */
    if (verdict == SINK_STOP)
        give_up(publish, why->text); /* publish_stop aborts */
    else if (verdict == SINK_ABORT && publish->setback.count % SERIES != 0)
        go_to(publish, ABORTS);
    else
        open_with(publish, true);
}

static void abort_transaction(struct publish *publish) {
    struct error error;
    const enum sink_verdict verdict = kafka_sink_abort(publish->options.sink, CALL_MS, &error);
    if (verdict == SINK_OK)
        go_to(publish, ASKS);
    else if (verdict == SINK_RETRY && publish->tries + 1 < TRIES)
        try_again(publish, &error);
    else
        open_with(publish, true);
}

/* Makes the producer ready, which also ends what one before it left open. */
static void open_sink(struct publish *publish) {
    struct error error;
    enum sink_verdict verdict = SINK_OK;
    if (atomic_exchange(&publish->must_renew, false))
        publish->must_replace |= kafka_sink_renew(publish->options.sink);
    if (publish->must_replace) verdict = kafka_sink_replace(publish->options.sink, &error);
    if (verdict == SINK_OK) {
        publish->must_replace = false;
        verdict = kafka_sink_open(publish->options.sink, CALL_MS, &error);
    }
    if (verdict == SINK_OK) {
        go_to(publish, publish->is_open ? ASKS : READY);
    } else if (verdict == SINK_STOP) {
        give_up(publish, error.text);
    } else {
        publish->must_replace |= verdict != SINK_RETRY;
        try_again(publish, &error);
    }
}

/* Notifies every partition of the failed transaction where the group stands. */
static void ask_group(struct publish *publish) {
    struct error error;
    if (clock_ms() < publish->ask_at_ms) {
        publish->retry.until_ms = publish->ask_at_ms;
        return;
    }
    struct kafka_committed *members = publish->shares.members;
    if (!kafka_source_committed(publish->options.source, members, publish->shares.member_count,
                                CALL_MS, &error)) {
        try_again(publish, &error);
        return;
    }
    for (size_t i = 0; i < publish->shares.member_count; i++) {
        struct share *share = shares_of_member(&publish->shares, i);
        share->lowest = share->generation + 1;
        shares_notify(share, NOTICE_UNPUBLISHED, &members[i]);
    }
    forget_transaction(publish);
    go_to(publish, READY);
}

/* --- its commit ------------------------------------------------------------------------------- */

static bool may_commit(void *context) {
    struct publish *publish = context;
    for (size_t i = 0; i < publish->shares.member_count; i++) {
        const int32_t partition = publish->shares.members[i].partition;
        if (!fence_lets(publish->options.fence, partition,
                        shares_of_member(&publish->shares, i)->generation))
            return false;
    }
    return true;
}

static void commit(struct publish *publish) {
    struct error error = {""};
    struct shares *shares = &publish->shares;
    for (size_t i = 0; i < shares->member_count; i++) {
        const struct share *share = shares_of_member(shares, i);
        shares->members[i].offset = share->end;
        shares->members[i].lineage = share->lineage;
        shares->members[i].origin = share->origin;
    }
    const enum sink_verdict verdict =
        kafka_sink_commit(publish->options.sink, publish->options.source, shares->members,
                          shares->member_count, may_commit, publish, CALL_MS, &error);
    if (verdict == SINK_RETRY && publish->tries + 1 < TRIES) {
        try_again(publish, &error);
        return;
    }
    if (verdict != SINK_OK) {
        fail(publish, verdict == SINK_RETRY ? SINK_REPLACE : verdict, &error);
        return;
    }
    if (publish->record_count > 0) {
        shares_judge(shares, false);
        setback_passed(&publish->setback);
    }
    for (size_t i = 0; i < shares->member_count; i++) {
        const struct share *share = shares_of_member(shares, i);
        shares_notify(share, NOTICE_PUBLISHED, &shares->members[i]);
    }
    metric_add(publish->options.metrics->published, publish->record_count);
    metric_observe_us(publish->options.metrics->seconds, (clock_ms() - publish->since_ms) * 1000);
    forget_transaction(publish);
    go_to(publish, READY);
}

/* --- what goes into it ------------------------------------------------------------------------ */

/* The batch is sent, or void. */
static void finish_batch(struct publish *publish) {
    batch_release(publish->batch);
    publish->batch = NULL;
    publish->record = NULL;
}

/* True if the topics' partitions are counted. */
static bool count_partitions(struct publish *publish) {
    struct error error;
    const enum sink_verdict verdict = kafka_sink_count_partitions(
        publish->options.sink, publish->options.source, CALL_MS, &error);
    if (verdict == SINK_OK) {
        publish->is_lacking = false;
        backoff_end(&publish->retry);
        return true;
    }
    publish->is_lacking = verdict == SINK_ABORT;
    if (publish->is_lacking) setback_add(&publish->setback, clock_ms(), error.text);
    atomic_store(&publish->must_count, true);
    try_again(publish, &error);
    return false;
}

/* True if a transaction is open. */
static bool begin(struct publish *publish, int64_t now_ms) {
    struct error error;
    if (atomic_exchange(&publish->must_count, false) && !count_partitions(publish)) return false;
    if (publish->is_open) return true;
    publish->retry.until_ms = kafka_sink_throttled_ms(publish->options.sink);
    if (publish->retry.until_ms > now_ms) return false; /* its time would pass with waiting */
    const enum sink_verdict verdict = kafka_sink_begin(publish->options.sink, &error);
    if (verdict == SINK_OK) {
        publish->is_open = true;
        publish->since_ms = now_ms;
    } else if (verdict == SINK_STOP) {
        give_up(publish, error.text);
    } else {
        open_with(publish, verdict != SINK_RETRY);
    }
    return publish->is_open;
}

static bool is_void(struct publish *publish, const struct batch *batch) {
    return batch->published_generation < shares_at(&publish->shares, batch->partition)->lowest ||
           !fence_lets(publish->options.fence, batch->partition, batch->published_generation);
}

/* Lets the batch into the transaction. False if it cannot be now, or is void. */
static bool admit(struct publish *publish, int64_t now_ms) {
    const struct batch *batch = publish->batch;
    const struct share *share = shares_at(&publish->shares, batch->partition);
    if (is_void(publish, batch)) { /* I1 */
        finish_batch(publish);
        return false;
    }
    if (share->is_in && share->generation != batch->published_generation) {
        struct error error;
        error_set(&error, "partition %d was given away and came back", batch->partition);
        fail(publish, SINK_ABORT, &error);
        return false;
    }
    if (!begin(publish, now_ms)) return false;
    shares_join(&publish->shares, batch);
    publish->record = batch_next(batch, NULL);
    publish->record_count += (int64_t)batch->record_count;
    publish->byte_count += (int64_t)batch->record_bytes;
    publish->is_urgent |= batch->is_urgent;
    return true;
}

/* Sends the rest of the batch, as far as the producer takes it. */
static void send_batch(struct publish *publish) {
    struct error error;
    while (publish->record != NULL) {
        const struct sink_record record = batch_sink_record(publish->batch, publish->record);
        const enum sink_verdict verdict = kafka_sink_send(publish->options.sink, &record, &error);
        if (verdict == SINK_OK) {
            publish->record = batch_next(publish->batch, publish->record);
        } else if (verdict == SINK_FULL) {
            kafka_sink_make_room(publish->options.sink, ROOM_MS);
            return;
        } else if (verdict == SINK_RECOUNT) {
            kafka_sink_serve(publish->options.sink);
            if (!count_partitions(publish)) return;
        } else {
            fail(publish, verdict, &error);
            finish_batch(publish);
            return;
        }
    }
    finish_batch(publish);
}

static int64_t due_ms(const struct publish *publish) {
    return publish->since_ms + setting_now(&publish->options.settings->commit_ms);
}

static bool is_large(const struct publish *publish) {
    return publish->record_count >= RECORDS_MAX >> publish->setback.halves ||
           publish->byte_count >= BYTES_MAX >> publish->setback.halves;
}

static bool is_commit_due(const struct publish *publish) {
    return publish->is_open && publish->batch == NULL &&
           (publish->is_urgent || is_large(publish) || clock_ms() >= due_ms(publish));
}

/* Takes one batch, or sends more of the one at hand. False if there is nothing to do. */
static bool take_batch(struct publish *publish, int64_t now_ms) {
    if (publish->batch == NULL) {
        struct inbox_item *item = inbox_take(&publish->inbox);
        if (item == NULL) return false;
        publish->batch = inbox_entry(item, struct batch, publish_item);
    }
    if (publish->record != NULL || admit(publish, now_ms)) send_batch(publish);
    return true;
}

static void serve(struct publish *publish, int64_t now_ms) {
    while (publish->state == READY && publish->retry.until_ms <= now_ms && !publish->has_given_up) {
        if (is_commit_due(publish))
            go_to(publish, COMMITS);
        else if (!take_batch(publish, now_ms) || publish->record != NULL)
            return; /* nothing to do, or no room yet */
    }
}

/* Between two transactions: a producer with new certificates comes first. */
static void renew(struct publish *publish) {
    if (publish->is_open) return;
    if (atomic_exchange(&publish->must_renew, false)) kafka_sink_renew(publish->options.sink);
    const enum sink_renewal renewal = kafka_sink_renewal(publish->options.sink);
    publish->is_trying = renewal == SINK_RENEWAL_TRIED;
    if (renewal == SINK_RENEWAL_DUE) open_with(publish, true);
}

int64_t publish_step(void *context, int64_t now_ms) {
    struct publish *publish = context;
    kafka_sink_serve(publish->options.sink);
    if (publish->has_given_up) return CLOCK_NEVER_MS;
    if (publish->retry.until_ms > now_ms) return publish->retry.until_ms;
    switch (publish->state) {
    case OPENING:
        open_sink(publish);
        break;
    case READY:
        if (publish->is_lacking && !count_partitions(publish)) break;
        if (publish->setback.count > 0 &&
            !shares_are_failing(&publish->shares, publish->options.fence))
            setback_end(&publish->setback);
        renew(publish);
        serve(publish, now_ms);
        if (publish->state != READY || publish->batch != NULL) break;
        if (publish->is_open) return due_ms(publish);
        return publish->is_trying ? now_ms + TRIAL_MS : CLOCK_NEVER_MS;
    case COMMITS:
        commit(publish);
        break;
    case ABORTS:
        abort_transaction(publish);
        break;
    case ASKS:
        ask_group(publish);
        break;
    }
    return publish->retry.until_ms; /* at once in a new state: batches may have come meanwhile */
}

bool publish_start(struct publish *publish) {
    return worker_start(&publish->worker);
}

void publish_stop(struct publish *publish) {
    struct inbox_item *item;
    struct error error;
    worker_stop(&publish->worker);
    if (publish->batch != NULL) finish_batch(publish);
    while ((item = inbox_take(&publish->inbox)) != NULL)
        batch_release(inbox_entry(item, struct batch, publish_item));
    if (publish->is_open && publish->state != OPENING && publish->state != ASKS)
        kafka_sink_abort(publish->options.sink, CALL_MS, &error);
    forget_transaction(publish);
}

void publish_destroy(struct publish **publish) {
    if (*publish == NULL) return;
    publish_stop(*publish);
    shares_release(&(*publish)->shares);
    inbox_fini(&(*publish)->inbox);
    setback_fini(&(*publish)->setback);
    free(*publish);
    *publish = NULL;
}
