/* The loop has four steps: hear what became of earlier batches, find the place to read (after an
 * assignment or a rewind), read into a free batch, and hand it on with the mark that is due. Only this
 * thread touches the cursor; what others have to say about it comes as notices. */
#include "flow/ingest.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "core/login.h"
#include "edge/kafka_record.h"

enum {
    BATCHES = 4,
    TICK_MS = 200,     /* longest sleep */
    DRAIN_TICK_MS = 5, /* the same while draining */
    VERIFY_MS = 3000,  /* an idle partition asks whether Redis still knows it */
    PLACE_TIMEOUT_MS = 3000,
    PLACE_RETRY_MS = 500,
    LAG_MS = 200,
};

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): in the order of who writes what */
struct ingest {
    /* fixed after create */
    const struct ingest_options *options;
    int32_t partition;
    char label[16]; /* the partition, as a label */
    struct metric_cell *consumed, *lost;
    struct login_judge *judge;
    struct batch *batches[BATCHES];

    /* owned by the pipeline's thread */
    pthread_t thread;
    atomic_bool is_running; /* anybody may ask */

    /* owned by the ingest thread while it runs, else by the pipeline's */
    struct kafka_stream *stream;
    struct cursor cursor;
    bool is_placed;     /* the stream stands at cursor.position */
    bool is_begin_sent; /* the first commit of a partition without one is under way */
    bool has_given_up;
    struct batch *free_batches[BATCHES];
    unsigned free_count;
    struct batch *reading; /* is being filled */
    int read_count;        /* records that were read into it */
    struct budget_waiter hand_waiter;
    struct metric_cell *lag, *counted_lag; /* NULL until there is something to show */
    int64_t place_after_ms, next_cut_ms, next_verify_ms, next_lag_ms;

    /* shared; written by the pipeline, read by the thread */
    _Alignas(CACHE_LINE_BYTES) atomic_bool must_stop;
    atomic_bool is_draining;
    /* shared; written by the thread, read by the pipeline */
    _Alignas(CACHE_LINE_BYTES) atomic_bool is_published;
    atomic_bool is_settled;
    atomic_int_fast64_t heartbeat_ms;
    /* shared; written by the shards, read by the thread */
    _Alignas(CACHE_LINE_BYTES) atomic_size_t pending_entries;

    struct inbox inbox;
};

struct ingest *ingest_create(const struct ingest_options *options, int32_t partition) {
    struct ingest *ingest = memory_create(sizeof *ingest);
    ingest->options = options;
    ingest->partition = partition;
    snprintf(ingest->label, sizeof ingest->label, "%d", partition);
    ingest->consumed = metric_cell(options->consumed, NULL);
    ingest->lost = metric_cell(options->lost, NULL);
    inbox_init(&ingest->inbox, NULL, NULL);
    ingest->hand_waiter.inbox = &ingest->inbox;
    ingest->judge = login_judge_create(&options->rules);
    for (unsigned i = 0; i < BATCHES; i++) {
        ingest->batches[i] = batch_create(options->shard_count, (size_t)options->batch_bytes,
                                          &ingest->inbox, &ingest->pending_entries);
        ingest->batches[i]->partition = partition;
        ingest->free_batches[ingest->free_count++] = ingest->batches[i];
    }
    return ingest;
}

static int64_t bytes_of(const struct batch *batch) {
    return (int64_t)(batch->record_bytes + batch->header_bytes);
}

static void forget_bytes(struct ingest *ingest, struct batch *batch) {
    if (!batch->is_in_hand) return;
    batch->is_in_hand = false;
    budget_give_back(ingest->options->in_hand, bytes_of(batch));
}

/* A batch that is home, or never left it. */
static void take_back(struct ingest *ingest, struct batch *batch) {
    forget_bytes(ingest, batch);
    kafka_record_release(batch);
    batch_clear(batch);
    ingest->free_batches[ingest->free_count++] = batch;
}

bool ingest_is_running(const struct ingest *ingest) {
    return ingest->is_running;
}

int64_t ingest_heartbeat_ms(const struct ingest *ingest) {
    return atomic_load(&ingest->heartbeat_ms);
}

static void give_up(struct ingest *ingest, const char *why) {
    ingest->has_given_up = true;
    ingest->options->failed(ingest->options->context, why);
}

static void tell_gap(struct ingest *ingest, const struct cursor_finding *finding,
                     struct cursor_log log) {
    if (finding->must_stop) {
        char why[ERROR_BYTES];
        snprintf(why, sizeof why,
                 "%s [%d] needs offset %lld, but Kafka holds [%lld, %lld): %lld records are "
                 "gone; set input.on_gap=continue to go on without them, or restore them (or, if "
                 "the topic was made anew, choose another group.id and redis.prefix)",
                 ingest->options->topic, ingest->partition, (long long)finding->wanted,
                 (long long)log.begin, (long long)log.end, (long long)finding->lost_records);
        give_up(ingest, why);
        return;
    }
    metric_add(ingest->lost, finding->lost_records);
    log_error("Kafka no longer holds what is needed: going on without it (input.on_gap=continue)",
              log_int("partition", ingest->partition), log_int("wanted_offset", finding->wanted),
              log_int("log_begin", log.begin), log_int("log_end", log.end),
              log_int("lost_records", finding->lost_records));
}

static void tell(struct ingest *ingest, const struct cursor_finding *finding,
                 struct cursor_log log) {
    const struct cursor *cursor = &ingest->cursor;
    switch (finding->what) {
    case CURSOR_GAP:
        tell_gap(ingest, finding, log);
        break;
    case CURSOR_REBUILDS:
        log_warn("Redis holds nothing for this partition: counting again from the earliest record",
                 log_int("partition", ingest->partition), log_int("offset", cursor->counted.next),
                 log_int("log_begin", log.begin));
        break;
    case CURSOR_ADOPTS:
        log_warn("The group has no committed offset for this partition: publishing goes on from "
                 "the counted one",
                 log_int("partition", ingest->partition),
                 log_int("offset", cursor->published.next));
        break;
    case CURSOR_BEGUN:
    case CURSOR_RESUMED:
        log_info("Reading", log_int("partition", ingest->partition),
                 log_int("offset", cursor->position), log_int("counted", cursor->counted.stored),
                 log_int("published", cursor->published.stored));
        break;
    case CURSOR_WAITS:
        break;
    }
}

/* Asks the log for its bounds, decides, and seeks there. */
static void find_place(struct ingest *ingest) {
    struct error error;
    struct cursor_log log;
    int64_t now_ms = clock_ms();
    if (now_ms < ingest->place_after_ms) return;
    ingest->place_after_ms = now_ms + PLACE_RETRY_MS;
    if (!kafka_source_bounds(ingest->options->source, ingest->partition, &log.begin, &log.end,
                             PLACE_TIMEOUT_MS, &error)) {
        log_warn("Waiting for Kafka", log_int("partition", ingest->partition),
                 log_text("reason", error.text));
        return;
    }
    struct cursor_finding finding = cursor_resume(&ingest->cursor, log, ingest->options->policy);
    if (finding.what == CURSOR_WAITS) return;
    if (finding.must_stop) {
        tell(ingest, &finding, log);
        return;
    }
    if (finding.what == CURSOR_GAP)
        tell(ingest, &finding, log); /* a retry would not find it again */
    if (!kafka_stream_seek(ingest->stream, ingest->cursor.position, &error)) {
        log_warn("Waiting for Kafka", log_int("partition", ingest->partition),
                 log_text("reason", error.text));
        return;
    }
    if (finding.what != CURSOR_GAP) tell(ingest, &finding, log);
    ingest->is_placed = true;
}

static void rewind_to_stored(struct ingest *ingest) {
    const struct cursor *cursor = &ingest->cursor;
    const char *cause = cursor_cause_name(cursor->cause);
    metric_add(metric_cell(ingest->options->rewinds, cause), 1);
    log_warn("Reading again", log_int("partition", ingest->partition), log_text("cause", cause),
             log_int("counted", cursor->counted.stored),
             log_int("published", cursor->published.stored));
    ingest->is_placed = false;
    ingest->place_after_ms = 0;
}

static void hear(struct ingest *ingest, const struct notice *notice) {
    enum cursor_verdict verdict = CURSOR_STALE;
    switch (notice->kind) {
    case NOTICE_COUNTED:
        verdict = cursor_counted(&ingest->cursor, notice->generation, notice->offset);
        break;
    case NOTICE_PUBLISHED:
        verdict = cursor_published(&ingest->cursor, notice->generation, notice->offset);
        break;
    case NOTICE_UNPUBLISHED:
        verdict =
            cursor_unpublished(&ingest->cursor, notice->generation, notice->offset, notice->origin);
        if (verdict == CURSOR_REWIND) ingest->is_begin_sent = false;
        break;
    }
    if (verdict == CURSOR_REWIND) rewind_to_stored(ingest);
}

static void take_mail(struct ingest *ingest) {
    struct inbox_item *item;
    while ((item = inbox_take(&ingest->inbox)) != NULL) {
        if (item->kind == ITEM_HOME) {
            struct batch *batch = inbox_entry(item, struct batch, home_item);
            take_back(ingest, batch);
        } else {
            assert(item->kind == ITEM_NOTICE);
            struct notice *notice = inbox_entry(item, struct notice, item);
            hear(ingest, notice);
            free(notice);
        }
    }
}

void ingest_destroy(struct ingest **ingest) {
    if (*ingest == NULL) return;
    assert(!(*ingest)->is_running);
    take_mail(*ingest);
    if ((*ingest)->free_count < BATCHES) {
        log_warn("A partition's batches did not come home",
                 log_int("partition", (*ingest)->partition));
        return; /* somebody still reads them: leave the memory to the end of the process */
    }
    login_judge_destroy(&(*ingest)->judge);
    for (unsigned i = 0; i < BATCHES; i++)
        batch_destroy(&(*ingest)->batches[i]);
    inbox_fini(&(*ingest)->inbox);
    free(*ingest);
    *ingest = NULL;
}

static void log_rejected(const struct ingest *ingest, const struct login *login, int64_t offset) {
    const enum log_level level = ingest->options->publishes_rejected ? LOG_DEBUG : LOG_WARN;
    LOG_AT(level, "Record rejected", log_text("reason", login_reason_name(login->reason)),
           log_text("detail", login->detail), log_int("partition", ingest->partition),
           log_int("offset", offset));
}

static bool is_batch_full(const struct ingest *ingest) {
    return ingest->read_count >= BATCH_RECORDS_MAX ||
           bytes_of(ingest->reading) >= ingest->options->batch_bytes;
}

/* Gates, judges, counts and keeps one message. False if the batch is full. */
static bool take_message(void *context, rd_kafka_message_t *message) {
    struct ingest *ingest = context;
    struct batch *batch = ingest->reading;
    ingest->read_count++;
    const struct cursor_taken taken = cursor_take(&ingest->cursor, message->offset);
    if (!taken.count && !taken.publish) return !is_batch_full(ingest);

    const int64_t timestamp_ms = kafka_record_timestamp_ms(message);
    struct login login;
    login_judge_record(ingest->judge, message->payload, message->len, timestamp_ms, &login);
    if (taken.count) {
        batch_count(batch, ingest->options->seed, ingest->options->rules.dimension_count, &login);
        if (login.reason != LOGIN_ACCEPTED) log_rejected(ingest, &login, message->offset);
    }
    if (taken.publish) {
        kafka_record_keep(batch, message, timestamp_ms, &login);
        batch->has_publish = true;
    }
    return !is_batch_full(ingest);
}

static void read_records(struct ingest *ingest, struct batch *batch, int timeout_ms) {
    ingest->reading = batch;
    ingest->read_count = 0;
    enum stream_verdict verdict;
    do {
        verdict = kafka_stream_read(ingest->stream, timeout_ms, take_message, ingest);
        timeout_ms = 0;
    } while (verdict == STREAM_RECORDS && !is_batch_full(ingest));
    if (verdict == STREAM_UNREADABLE) ingest->is_placed = false;
    batch->is_in_hand = true;
    budget_take(ingest->options->in_hand, bytes_of(batch));
    metric_add(ingest->consumed, ingest->read_count);
}

/* From the watermark, or before there is one from where the group began. Nothing is shown while Redis
 * could not be asked, and before the begin is known: 0 would be a wrong answer. */
static void show_track(const struct ingest *ingest, struct metric *metric,
                       struct metric_cell **cell, int64_t stored, int64_t end) {
    const int64_t from = stored == CURSOR_ABSENT ? ingest->cursor.origin : stored;
    if (from < 0) return;
    if (*cell == NULL) *cell = metric_cell(metric, ingest->label);
    metric_set(*cell, end > from ? end - from : 0);
}

static void show_lag(struct ingest *ingest, int64_t now_ms) {
    if (now_ms < ingest->next_lag_ms) return;
    ingest->next_lag_ms = now_ms + LAG_MS;
    const int64_t end = kafka_stream_end(ingest->stream);
    if (end < 0) return;
    const struct ingest_options *options = ingest->options;
    const struct cursor *cursor = &ingest->cursor;
    show_track(ingest, options->lag, &ingest->lag, cursor->published.stored, end);
    show_track(ingest, options->counted_lag, &ingest->counted_lag, cursor->counted.stored, end);
}

static bool is_full(const struct ingest *ingest) {
    return (int64_t)atomic_load_explicit(&ingest->pending_entries, memory_order_relaxed) >
           ingest->options->pending_max;
}

static bool is_cut_due(const struct ingest *ingest, int64_t now_ms, bool is_draining) {
    const struct cursor *cursor = &ingest->cursor;
    if (!cursor_can_cut(cursor)) return false;
    if (cursor->counted.stored == CURSOR_UNKNOWN) return !is_draining;
    if (!cursor_has_uncounted(cursor)) return !is_draining && now_ms >= ingest->next_verify_ms;
    return is_draining || is_full(ingest) || now_ms >= ingest->next_cut_ms;
}

/* Adds to the batch what is due besides records: the first commit, and the end of an epoch. */
static void add_marks(struct ingest *ingest, struct batch *batch, bool is_draining) {
    struct cursor *cursor = &ingest->cursor;
    int64_t now_ms = clock_ms();
    if (cursor->published.stored == CURSOR_ABSENT && cursor->published.next >= 0 &&
        !ingest->is_begin_sent) {
        ingest->is_begin_sent = true;
        batch->has_publish = true;
    }
    batch->published_generation = cursor->published.generation;
    batch->publish_end = cursor->published.next;
    batch->origin = cursor->origin;
    batch->is_urgent = is_draining;
    batch->counted_generation = cursor->counted.generation;
    if (is_cut_due(ingest, now_ms, is_draining)) {
        batch->has_cut = true;
        batch->cut = cursor_cut(cursor);
        ingest->next_cut_ms = now_ms + ingest->options->checkpoint_ms;
        ingest->next_verify_ms = now_ms + VERIFY_MS;
    }
}

/* What all partitions have in hand comes home without any of them reading on: so one that waits for its
 * turn keeps nobody waiting. */
static bool may_read(struct ingest *ingest, bool is_draining) {
    struct budget *in_hand = ingest->options->in_hand;
    if (ingest->is_placed && !is_draining && !is_full(ingest)) {
        return budget_ask(in_hand, &ingest->hand_waiter);
    }
    budget_give_up(in_hand, &ingest->hand_waiter);
    return false;
}

/* Hands the batch to whom it concerns, or keeps it if it is empty. */
static bool hand_on(struct ingest *ingest, struct batch *batch) {
    bool has_counts[BATCH_SHARDS_MAX];
    bool has_publish = batch->has_publish;
    unsigned shard_count = batch->shard_count;
    unsigned holders = has_publish;
    for (unsigned s = 0; s < shard_count; s++) {
        has_counts[s] = batch->has_cut || batch->parts[s].delta.entry_count > 0 ||
                        batch->parts[s].delta.records > 0;
        holders += has_counts[s];
    }
    if (holders == 0) {
        take_back(ingest, batch);
        return false;
    }
    atomic_store_explicit(&batch->holders, holders, memory_order_relaxed); /* posts release it */
    for (unsigned s = 0; s < shard_count; s++) {
        if (has_counts[s]) {
            inbox_post(ingest->options->shards[s], &batch->parts[s].item, ITEM_PART);
        }
    }
    if (has_publish) inbox_post(ingest->options->publish, &batch->publish_item, ITEM_BATCH);
    return true;
}

/* How long nothing needs to be done but what one is woken for. */
static int sleep_ms(const struct ingest *ingest, int64_t now_ms) {
    int64_t wait_ms = TICK_MS;
    if (cursor_has_uncounted(&ingest->cursor) && cursor_can_cut(&ingest->cursor) &&
        ingest->next_cut_ms - now_ms < wait_ms) {
        wait_ms = ingest->next_cut_ms - now_ms;
    }
    return wait_ms < 1 ? 1 : (int)wait_ms;
}

static void step(struct ingest *ingest) {
    bool is_draining = atomic_load(&ingest->is_draining);
    int64_t now_ms = clock_ms();
    atomic_store(&ingest->heartbeat_ms, now_ms);
    take_mail(ingest);
    if (!ingest->is_placed && !is_draining && !ingest->has_given_up) find_place(ingest);
    show_lag(ingest, now_ms);
    if (ingest->free_count == 0) {
        budget_give_up(ingest->options->in_hand, &ingest->hand_waiter);
        inbox_wait(&ingest->inbox, TICK_MS);
        return;
    }
    struct batch *batch = ingest->free_batches[--ingest->free_count];
    const bool is_reading = may_read(ingest, is_draining);
    if (is_reading) read_records(ingest, batch, sleep_ms(ingest, now_ms));
    add_marks(ingest, batch, is_draining);
    bool is_handed_on = hand_on(ingest, batch);
    if (is_draining) { /* nothing is read any more: from here on these only become true */
        atomic_store(&ingest->is_published, cursor_is_published(&ingest->cursor));
        atomic_store(&ingest->is_settled, cursor_is_settled(&ingest->cursor));
    }
    if (!is_reading && !is_handed_on) {
        inbox_wait(&ingest->inbox, is_draining ? DRAIN_TICK_MS : sleep_ms(ingest, now_ms));
    }
}

static void *run(void *context) {
    struct ingest *ingest = context;
    while (!atomic_load(&ingest->must_stop))
        step(ingest);
    return NULL;
}

int64_t ingest_start(struct ingest *ingest, struct kafka_stream *stream, uint64_t generation,
                     int64_t counted, const struct kafka_committed *committed, bool has_log,
                     struct cursor_log log) {
    assert(!ingest->is_running);
    take_mail(ingest); /* answers to an earlier assignment */
    ingest->stream = stream;
    ingest->is_placed = ingest->is_begin_sent = ingest->has_given_up = false;
    ingest->place_after_ms = ingest->next_cut_ms = ingest->next_lag_ms = 0;
    ingest->next_verify_ms = clock_ms() + VERIFY_MS;
    atomic_store(&ingest->must_stop, false);
    atomic_store(&ingest->is_draining, false);
    atomic_store(&ingest->is_published, false);
    atomic_store(&ingest->is_settled, false);
    atomic_store(&ingest->heartbeat_ms, clock_ms());
    cursor_init(&ingest->cursor, generation);
    cursor_found(&ingest->cursor, counted, committed->offset, committed->origin);

    int64_t position = RD_KAFKA_OFFSET_END; /* not read before the thread found its place */
    if (has_log) {
        struct cursor_finding finding =
            cursor_resume(&ingest->cursor, log, ingest->options->policy);
        tell(ingest, &finding, log);
        ingest->is_placed = !finding.must_stop && finding.what != CURSOR_WAITS;
        if (ingest->is_placed) position = ingest->cursor.position;
    }
    char name[THREAD_NAME_BYTES];
    snprintf(name, sizeof name, "ingest-%d", ingest->partition);
    atomic_store(&ingest->is_running, thread_start(&ingest->thread, name, run, ingest));
    if (!ingest->is_running) give_up(ingest, "a thread cannot be made for a partition");
    return position;
}

void ingest_drain(struct ingest *ingest) {
    atomic_store(&ingest->is_draining, true);
    kafka_stream_wake(ingest->stream);
    inbox_wake(&ingest->inbox);
}

bool ingest_is_drained(const struct ingest *ingest, bool store_is_away) {
    return atomic_load(store_is_away ? &ingest->is_published : &ingest->is_settled);
}

struct kafka_stream *ingest_stop(struct ingest *ingest) {
    atomic_store(&ingest->must_stop, true);
    kafka_stream_wake(ingest->stream);
    inbox_wake(&ingest->inbox);
    if (ingest->is_running) pthread_join(ingest->thread, NULL);
    ingest->is_running = false;
    /* whoever holds them still: the other partitions must not wait for it */
    for (unsigned i = 0; i < BATCHES; i++)
        forget_bytes(ingest, ingest->batches[i]);
    budget_give_up(ingest->options->in_hand, &ingest->hand_waiter);
    metric_cell_remove(ingest->options->counted_lag, ingest->label);
    metric_cell_remove(ingest->options->lag, ingest->label);
    ingest->lag = ingest->counted_lag = NULL;
    struct kafka_stream *stream = ingest->stream;
    ingest->stream = NULL;
    return stream;
}
