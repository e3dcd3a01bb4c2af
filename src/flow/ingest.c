/* A step does four things: take in what became of earlier batches, find the place to read (after an
 * assignment or a rewind), read into a free batch, and pass it on with the mark that is due. Only
 * this worker touches the cursor; what others have to report comes as notices: also the counted
 * offset, with the answer to an assignment's first checkpoint, for which reading waits a moment. */
#include "flow/ingest.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "flow/judge.h"
#include "ingest_finding.h"
#include "stall.h"

enum {
    BATCHES = 4,
    TICK_MS = 200,    /* longest sleep, while something is under way */
    IDLE_MS = 1000,   /* longest sleep: thousands may share a core */
    VERIFY_MS = 3000, /* idle ones ask whether Redis still knows them, together: at its multiples */
    FIRST_ANSWER_MS = 1000, /* after an assignment, that reading waits for Redis at most */
    PLACE_RETRY_MS = 500,
};

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): grouped by the thread that writes */
struct ingest {
    /* fixed after create */
    const struct ingest_options *options;
    int32_t partition;
    struct login_judge *judge;
    struct batch *batches[BATCHES];

    /* owned by the pipeline's thread; anybody may ask is_running */
    struct worker worker;
    atomic_bool is_running;

    /* owned by the worker while it runs, else by the pipeline's thread */
    struct kafka_stream *stream;
    struct cursor cursor;
    bool is_placed;     /* the stream stands at cursor.position */
    bool is_begin_sent; /* the commit of cursor_must_publish is under way */
    bool has_given_up;
    struct batch *free_batches[BATCHES];
    unsigned free_count;
    struct batch *reading; /* is being filled */
    int read_count;        /* records that were read into it */
    struct rejections_noted noted;
    struct budget_waiter hand_waiter;
    int64_t first_answer_ms; /* until when Redis may still say where to begin */
    int64_t place_after_ms, next_cut_ms, next_verify_ms;
    struct lag lag;
    struct stall stall;

    /* shared; written by the pipeline, read by the worker */
    _Alignas(CACHE_LINE_BYTES) atomic_bool is_draining;
    /* shared; written by the worker, read by the pipeline */
    _Alignas(CACHE_LINE_BYTES) atomic_bool is_published;
    atomic_bool is_settled;
    atomic_bool has_begun; /* was placed since its start; read by anybody */
    /* shared; written by the shards, read by the worker */
    _Alignas(CACHE_LINE_BYTES) atomic_size_t pending_bytes;

    struct inbox inbox;
};

struct ingest *ingest_create(const struct ingest_options *options, int32_t partition) {
    struct ingest *ingest = memory_create(sizeof *ingest);
    ingest->options = options;
    ingest->partition = partition;
    char name[WORKER_NAME_BYTES];
    lag_init(&ingest->lag, partition, options->lag_metrics, options->retention_ms);
    snprintf(name, sizeof name, "ingest-%d", partition);
    worker_init(&ingest->worker, name, ingest_step, ingest);
    inbox_init(&ingest->inbox, &ingest->worker.alarm);
    stall_init(&ingest->stall);
    ingest->hand_waiter.alarm = &ingest->worker.alarm;
    ingest->judge = login_judge_create(&options->rules);
    for (unsigned i = 0; i < BATCHES; i++) {
        ingest->batches[i] =
            batch_create(partition, options->shard_count, (size_t)options->batch_bytes,
                         &ingest->inbox, &ingest->pending_bytes);
        ingest->free_batches[ingest->free_count++] = ingest->batches[i];
    }
    return ingest;
}

static void forget_bytes(struct ingest *ingest, struct batch *batch) {
    if (!batch->is_in_hand) return;
    batch->is_in_hand = false;
    budget_give_back(ingest->options->in_hand, (int64_t)batch_held_bytes(batch));
}

/* A batch that is home, or never left it. */
static void take_back(struct ingest *ingest, struct batch *batch) {
    forget_bytes(ingest, batch);
    batch_clear(batch);
    ingest->free_batches[ingest->free_count++] = batch;
}

bool ingest_is_running(const struct ingest *ingest) {
    return ingest->is_running;
}

int32_t ingest_partition(const struct ingest *ingest) {
    return ingest->partition;
}

struct lag_figures ingest_lag(const struct ingest *ingest) {
    return lag_read(&ingest->lag);
}

const struct worker *ingest_worker(const struct ingest *ingest) {
    return &ingest->worker;
}

static void give_up(struct ingest *ingest, const char *why) {
    ingest->has_given_up = true;
    stop_fail(ingest->options->stop, why);
}

static void report(struct ingest *ingest, const struct cursor_finding *finding,
                   struct cursor_log log) {
    if (finding->must_stop) {
        struct error why;
        ingest_finding_explain(ingest->options->topic, ingest->partition, finding, log, &why);
        give_up(ingest, why.text);
        return;
    }
    metric_add(ingest->options->metrics->lost, finding->lost_records);
    metric_add(ingest->options->metrics->truncated, finding->cut_records);
    if (finding->what == CURSOR_TRUNCATED) {
        ingest->is_begin_sent = false;
        lag_begin(&ingest->lag); /* what it waits for may no longer exist */
    }
    ingest_finding_log(ingest->partition, &ingest->cursor, finding, log);
}

/* Asks the log, decides, and seeks there. False if Kafka is to be asked again. */
static bool find_place(struct ingest *ingest, struct error *error) {
    struct cursor_log log;
    if (!ingest_finding_ask(ingest->options->source, ingest->partition, &ingest->cursor, &log,
                            &ingest->is_draining, error)) {
        return false;
    }
    struct cursor_finding finding =
        cursor_resume(&ingest->cursor, log, ingest->options->settings->policy);
    if (finding.what == CURSOR_WAITS) return true;
    /* What is lost is reported before the seek: another attempt would not find it again. */
    const bool is_loss = finding.what == CURSOR_GAP || finding.what == CURSOR_TRUNCATED;
    if (is_loss) report(ingest, &finding, log);
    if (finding.must_stop) return true;
    if (!kafka_stream_seek(ingest->stream, ingest->cursor.position, error)) return false;
    if (!is_loss) report(ingest, &finding, log);
    ingest->lag.told_end = log.end;
    ingest->is_placed = true;
    atomic_store(&ingest->has_begun, true);
    return true;
}

static void look_again(struct ingest *ingest) {
    ingest->is_placed = false;
    ingest->place_after_ms = 0;
}

static bool has_read(const struct ingest *ingest) {
    return ingest->cursor.position != CURSOR_ABSENT;
}

static void look_for_place(struct ingest *ingest, int64_t now_ms) {
    struct error error;
    const bool waits = !has_read(ingest) && ingest->cursor.counted.stored == CURSOR_UNKNOWN;
    if (ingest->has_given_up || now_ms < ingest->place_after_ms) return;
    if (waits && now_ms < ingest->first_answer_ms) return;
    ingest->place_after_ms = now_ms + PLACE_RETRY_MS;
    if (find_place(ingest, &error) || atomic_load(&ingest->is_draining)) return;
    log_warn("Waiting for Kafka", log_int("partition", ingest->partition),
             log_text("reason", error.text));
}

static void rewind_to_stored(struct ingest *ingest) {
    const struct cursor *cursor = &ingest->cursor;
    const char *cause = cursor_cause_name(cursor->cause);
    look_again(ingest);
    if (!has_read(ingest)) return;
    metric_add(metric_cell(ingest->options->metrics->rewinds, cause), 1);
    log_warn("Reading again", log_int("partition", ingest->partition), log_text("cause", cause),
             log_int("counted", cursor->counted.stored),
             log_int("published", cursor->published.stored));
    lag_rewind(&ingest->lag, cursor);
}

static void take_notice(struct ingest *ingest, const struct notice *notice) {
    if (ingest_finding_tell(&ingest->cursor, notice) != CURSOR_REWIND) return;
    if (notice->kind == NOTICE_UNPUBLISHED) ingest->is_begin_sent = false;
    rewind_to_stored(ingest);
}

static void take_mail(struct ingest *ingest) {
    struct inbox_item *item;
    while ((item = inbox_take(&ingest->inbox)) != NULL) {
        if (item->kind == ITEM_HOME) {
            take_back(ingest, inbox_entry(item, struct batch, home_item));
            continue;
        }
        assert(item->kind == ITEM_NOTICE);
        struct notice *notice = inbox_entry(item, struct notice, item);
        take_notice(ingest, notice);
        free(notice);
    }
}

void ingest_destroy(struct ingest **ingest) {
    if (*ingest == NULL) return;
    assert(!(*ingest)->is_running);
    take_mail(*ingest);
    assert((*ingest)->free_count == BATCHES);
    stall_fini(&(*ingest)->stall);
    login_judge_destroy(&(*ingest)->judge);
    for (unsigned i = 0; i < BATCHES; i++)
        batch_destroy(&(*ingest)->batches[i]);
    inbox_fini(&(*ingest)->inbox);
    free(*ingest);
    *ingest = NULL;
}

static void note_rejected(struct ingest *ingest, const struct login *login, int64_t offset) {
    rejections_note(&ingest->noted, login, ingest->partition, offset);
    const enum log_level level = ingest->options->publishes_rejected ? LOG_DEBUG : LOG_WARN;
    LOG_AT(level, "Record rejected", log_text("reason", login_reason_name(login->reason)),
           log_text("detail", login->detail), log_int("partition", ingest->partition),
           log_int("offset", offset));
}

static bool is_batch_full(const struct ingest *ingest) {
    return ingest->read_count >= BATCH_RECORDS_MAX ||
           (int64_t)batch_bytes(ingest->reading) >= ingest->options->batch_bytes ||
           batch_has_many_counts(ingest->reading);
}

/* Gates, judges, counts and keeps one record. False if the batch is full, or the record is not one
 * that can come here. */
static bool take_record(void *context, const struct kafka_record *record) {
    struct ingest *ingest = context;
    struct batch *batch = ingest->reading;
    const struct cursor_taken taken =
        cursor_take(&ingest->cursor, record->offset, record->leader_epoch);
    if (taken.is_stray) return false;
    if (!taken.count && !taken.publish) return true; /* an anchor */
    struct login login;
    ingest->read_count++;
    judge_record(ingest->judge, record, &login);
    if (taken.count) {
        batch_count(batch, ingest->options->seed, ingest->options->aggregates, &login);
        ingest->noted.judged++;
        if (login.reason != LOGIN_ACCEPTED) note_rejected(ingest, &login, record->offset);
    }
    if (taken.publish)
        batch_keep(batch, record, &login);
    else
        lag_unkept(&ingest->lag, record->timestamp_ms);
    return !is_batch_full(ingest);
}

static void read_records(struct ingest *ingest, struct batch *batch) {
    ingest->reading = batch;
    enum stream_verdict verdict;
    lag_before(&ingest->lag, &ingest->cursor);
    do {
        verdict = kafka_stream_read(ingest->stream, take_record, ingest);
    } while (verdict == STREAM_RECORDS && !is_batch_full(ingest) && !ingest->cursor.has_strayed);
    if (verdict == STREAM_UNREADABLE) ingest->is_placed = false;
    lag_after(&ingest->lag, &ingest->cursor, batch);
    /* Behind what was just read there may be transaction markers alone: both sides pass them. */
    if (cursor_reach(&ingest->cursor, kafka_stream_reached(ingest->stream)))
        batch->has_publish = true;
    if (ingest->cursor.has_strayed) look_again(ingest);
    batch->is_in_hand = true;
    budget_take(ingest->options->in_hand, (int64_t)batch_held_bytes(batch));
    metric_add(ingest->options->metrics->consumed, ingest->read_count);
    rejections_add(ingest->options->rejections, &ingest->noted);
}

/* Nothing came: whether that is right. */
static void look_for_stall(struct ingest *ingest, int64_t now_ms) {
    const enum stall_verdict verdict =
        stall_look(&ingest->stall, ingest->options->source, ingest->partition,
                   ingest->cursor.position, now_ms, &ingest->lag.told_end);
    if (verdict == STALL_FOUND) kafka_source_replace(ingest->options->source);
    if (verdict == STALL_BEYOND) look_again(ingest);
}

static bool is_full(const struct ingest *ingest) {
    return (int64_t)atomic_load_explicit(&ingest->pending_bytes, memory_order_relaxed) >
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
static void add_marks(struct ingest *ingest, struct batch *batch, bool is_draining,
                      int64_t now_ms) {
    struct cursor *cursor = &ingest->cursor;
    if (!ingest->is_begin_sent && cursor_must_publish(cursor)) {
        ingest->is_begin_sent = true;
        batch->has_publish = true;
    }
    batch->published_generation = cursor->published.generation;
    batch->publish_end = cursor->published.next;
    batch->lineage = cursor->published.lineage;
    batch->origin = cursor->origin;
    batch->is_urgent = is_draining;
    batch->counted_generation = cursor->counted.generation;
    if (is_cut_due(ingest, now_ms, is_draining)) {
        batch->has_cut = true;
        batch->cut = cursor_cut(cursor);
        ingest->next_cut_ms = now_ms + setting_now(&ingest->options->settings->checkpoint_ms);
        ingest->next_verify_ms = (now_ms / VERIFY_MS + 1) * VERIFY_MS;
    }
}

/* What all partitions have in hand comes home without any of them reading more: so one that waits
 * for its turn keeps no other waiting. */
static bool may_read(struct ingest *ingest, bool is_draining) {
    struct budget *in_hand = ingest->options->in_hand;
    if (ingest->is_placed && !is_draining && !is_full(ingest)) {
        return budget_ask(in_hand, &ingest->hand_waiter);
    }
    budget_give_up(in_hand, &ingest->hand_waiter);
    return false;
}

/* Until when nothing needs to be done but what the alarm rings for; not all at the same instant. */
static int64_t sleep_until_ms(const struct ingest *ingest, bool is_draining, int64_t now_ms) {
    const struct cursor *cursor = &ingest->cursor;
    if (is_draining) return now_ms + TICK_MS;
    const bool is_idle = ingest->is_placed && cursor_is_settled(cursor);
    const int64_t many_ms = metric_get(ingest->options->assigned); /* a wake each ms is enough */
    const int64_t rest_ms = is_idle ? IDLE_MS : clamp(many_ms, TICK_MS, IDLE_MS);
    const int64_t tick_ms = now_ms + rest_ms - (now_ms - ingest->partition) % rest_ms;
    if (!cursor_can_cut(cursor)) return tick_ms;
    const int64_t cut_ms =
        cursor_has_uncounted(cursor) ? ingest->next_cut_ms : ingest->next_verify_ms;
    return cut_ms < tick_ms ? cut_ms : tick_ms;
}

/* Nothing is read any more: from here on both only become true. */
static void show_drained(struct ingest *ingest) {
    atomic_store(&ingest->is_published, cursor_is_published(&ingest->cursor));
    atomic_store(&ingest->is_settled, cursor_is_settled(&ingest->cursor));
    if (cursor_is_published(&ingest->cursor)) alarm_ring(ingest->options->drained);
}

int64_t ingest_step(void *context, int64_t now_ms) {
    struct ingest *ingest = context;
    const bool is_draining = atomic_load(&ingest->is_draining);
    take_mail(ingest);
    if (!ingest->is_placed && !is_draining) look_for_place(ingest, now_ms);
    rejections_report(ingest->options->rejections, now_ms);
    if (ingest->free_count == 0) {
        lag_show(&ingest->lag, &ingest->cursor, ingest->stream, now_ms);
        budget_give_up(ingest->options->in_hand, &ingest->hand_waiter);
        return inbox_quiet(&ingest->inbox, false) ? now_ms : now_ms + TICK_MS;
    }
    struct batch *batch = ingest->free_batches[--ingest->free_count];
    ingest->read_count = 0;
    const bool is_reading = may_read(ingest, is_draining);
    if (is_reading) read_records(ingest, batch);
    /* Whoever waits for something else, or has given up, does not stand still. */
    const bool is_waiting = is_draining || ingest->has_given_up || is_full(ingest) ||
                            (ingest->is_placed && !is_reading);
    if (is_waiting || ingest->read_count > 0)
        stall_rest(&ingest->stall, now_ms);
    else
        look_for_stall(ingest, now_ms);
    add_marks(ingest, batch, is_draining, now_ms);
    if (!batch_send(batch, ingest->options->shards, ingest->options->publish))
        take_back(ingest, batch);
    lag_show(&ingest->lag, &ingest->cursor, ingest->stream, now_ms);
    if (is_draining) show_drained(ingest);
    if (ingest->read_count > 0) return now_ms;
    /* Records ring; while they are all that is missing, mail can wait for them, or for the tick. */
    const bool can_mail_wait = is_reading && ingest->free_count > 0;
    const bool has_mail = inbox_quiet(&ingest->inbox, can_mail_wait);
    return has_mail && !can_mail_wait ? now_ms : sleep_until_ms(ingest, is_draining, now_ms);
}

void ingest_start(struct ingest *ingest, const struct ingest_start *start) {
    assert(!ingest->is_running);
    take_mail(ingest); /* answers to an earlier assignment */
    ingest->stream = start->stream;
    ingest->is_placed = ingest->is_begin_sent = ingest->has_given_up = false;
    ingest->place_after_ms = ingest->next_cut_ms = 0;
    ingest->first_answer_ms = clock_ms() + FIRST_ANSWER_MS;
    lag_begin(&ingest->lag);
    stall_rest(&ingest->stall, clock_ms());
    ingest->next_verify_ms = (clock_ms() / VERIFY_MS + 1) * VERIFY_MS;
    atomic_store(&ingest->is_draining, false);
    atomic_store(&ingest->is_published, false);
    atomic_store(&ingest->is_settled, false);
    atomic_store(&ingest->has_begun, false);
    cursor_init(&ingest->cursor, start->generation);
    cursor_found(&ingest->cursor, CURSOR_UNKNOWN, start->committed.offset,
                 &start->committed.lineage, start->committed.origin);
    kafka_stream_watch(ingest->stream, &ingest->worker.alarm);
    atomic_store(&ingest->is_running, worker_start(&ingest->worker));
    if (!ingest->is_running) {
        kafka_stream_close(&ingest->stream); /* ingest_stop is only for what runs */
        give_up(ingest, "a thread cannot be made for a partition");
    }
}

bool ingest_is_ready(struct ingest *ingest, struct text *why) {
    if (stall_show(&ingest->stall, why)) return false;
    if (atomic_load(&ingest->has_begun)) return true;
    text_format(why, "partition %d has no place to begin at yet", (int)ingest->partition);
    return false;
}

void ingest_drain(struct ingest *ingest) {
    atomic_store(&ingest->is_draining, true);
    alarm_ring(&ingest->worker.alarm);
}

bool ingest_is_drained(const struct ingest *ingest, bool store_is_reachable) {
    return atomic_load(store_is_reachable ? &ingest->is_settled : &ingest->is_published);
}

struct kafka_stream *ingest_stop(struct ingest *ingest) {
    worker_stop(&ingest->worker);
    ingest->is_running = false;
    kafka_stream_watch(ingest->stream, NULL);
    /* wherever they still are: the other partitions must not wait for them */
    for (unsigned i = 0; i < BATCHES; i++)
        forget_bytes(ingest, ingest->batches[i]);
    budget_give_up(ingest->options->in_hand, &ingest->hand_waiter);
    lag_end(&ingest->lag);
    struct kafka_stream *stream = ingest->stream;
    ingest->stream = NULL;
    return stream;
}
