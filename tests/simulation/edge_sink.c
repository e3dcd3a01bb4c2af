/* The transactional producer: librdkafka's half, and kafka_sink's order of calls. Calls that the
 * contract forbids, such as a record outside a transaction, break the schedule. */
#include "edge/kafka_sink.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "broker.h"
#include "client.h"
#include "process.h"
#include "records.h"

struct kafka_sink {
    struct process *process;
    int producer; /* by its transactional id, at the broker */
    int epoch;    /* 0: not opened */
    enum { CLOSED, READY, OPEN, FAILED, FATAL } state;
    bool is_committing;  /* offsets are in the transaction; only its commit may be called again */
    bool is_undelivered; /* a record will not arrive */
    bool must_renew;     /* its certificates are others */
    int full_count;      /* so many more times the queue is full */
    /* for the trace: records that were sent one after the other */
    int sent_partition, sent_count;
    int64_t sent_from, sent_to;
};

struct kafka_sink *kafka_sink_create(const struct kafka_sink_options *options,
                                     struct error *error) {
    (void)error;
    struct kafka_sink *sink = memory_create(sizeof *sink);
    sink->process = current;
    current->handle_count++;
    sink->producer = producer_of(options->transactional_id);
    return sink;
}

void kafka_sink_destroy(struct kafka_sink **sink) {
    if (*sink != NULL) current->handle_count--;
    free(*sink);
    *sink = NULL;
}

static int64_t deadline(int timeout_ms) {
    return world.now_us + timeout_ms * (int64_t)MS_US;
}

static enum sink_verdict retry(struct error *error) {
    error_set(error, "Kafka does not answer");
    return SINK_RETRY;
}

static enum sink_verdict fatal(struct kafka_sink *sink, struct error *error) {
    error_set(error, "another producer has this transactional id");
    sink->state = FATAL;
    world.is_drain_aborted |= world.stage >= STAGE_BUSY;
    return SINK_REPLACE;
}

static enum sink_verdict failed(struct kafka_sink *sink, struct error *error, const char *why) {
    error_set(error, "%s", why);
    sink->state = FAILED;
    world.is_drain_aborted |= world.stage >= STAGE_BUSY;
    happens(EVENT_ABORTED);
    return SINK_ABORT;
}

enum sink_verdict kafka_sink_count_partitions(struct kafka_sink *sink, struct kafka_source *source,
                                              int timeout_ms, struct error *error) {
    const int64_t deadline_us = deadline(timeout_ms);
    (void)sink;
    (void)source;
    if (!kafka_round_trip(deadline_us)) return retry(error);
    if (!fails(20)) return SINK_OK;
    error_set(error, "an output topic does not exist");
    return SINK_ABORT;
}

enum sink_verdict kafka_sink_open(struct kafka_sink *sink, int timeout_ms, struct error *error) {
    const int64_t deadline_us = deadline(timeout_ms);
    if (sink->state != CLOSED) broken("a producer is opened twice");
    if (must_be_fixed(error)) return SINK_STOP;
    if (!kafka_trip(deadline_us)) return retry(error);
    producer_open(sink->producer, &sink->epoch);
    trace("opens the producer, epoch %d", sink->epoch);
    if (!kafka_trip(deadline_us)) return retry(error);
    sink->state = READY;
    return SINK_OK;
}

enum sink_verdict kafka_sink_begin(struct kafka_sink *sink, struct error *error) {
    if (sink->process->is_killed) return retry(error);
    if (sink->state != READY) broken("a transaction begins in state %d", sink->state);
    if (must_be_fixed(error)) return SINK_STOP;
    if (fails(100)) return fatal(sink, error);
    sink->state = OPEN;
    sink->is_committing = sink->is_undelivered = false;
    return SINK_OK;
}

static bool is_of(const struct sink_record *sent, const struct record *record) {
    return record != NULL && sent->value.length == record->value.length &&
           sent->key.length == record->key.length &&
           (sent->value.length == 0 ||
            memcmp(sent->value.bytes, record->value.bytes, sent->value.length) == 0) &&
           (sent->key.length == 0 ||
            memcmp(sent->key.bytes, record->key.bytes, sent->key.length) == 0) &&
           sent->timestamp_ms == record->timestamp_ms &&
           (sent->headers == NULL ? !record->has_headers && !world.plan.is_heavy
                                  : sent->headers->record == record);
}

/* What is sent must be what came. Returns its edition. */
static int compare(const struct sink_record *sent) {
    const struct record *record = NULL;
    int edition = broker.edition[sent->partition][sent->offset] + 1;
    while (edition > 0 && !is_of(sent, record))
        record = record_of_edition(sent->partition, --edition, sent->offset);
    if (!is_of(sent, record))
        broken("p%d: the record at %lld is published changed, or is none", sent->partition,
               (long long)sent->offset);
    const struct slice text = record->key.bytes == NULL ? record->user_id : (struct slice){NULL, 0};
    if (sent->reason != record->reason) {
        broken("P2: p%d: the record at %lld is published as %s, and is %s", sent->partition,
               (long long)sent->offset, login_reason_name(sent->reason),
               login_reason_name(record->reason));
    }
    if (sent->reason == LOGIN_ACCEPTED && sent->text.length != text.length)
        broken("p%d: the record at %lld has another key", sent->partition, (long long)sent->offset);
    return edition;
}

/* One line of the trace for records that follow each other. */
static void tell_sent(struct kafka_sink *sink) {
    if (sink->sent_count == 0) return;
    trace("sends p%d: %lld..%lld, %d records", sink->sent_partition, (long long)sink->sent_from,
          (long long)sink->sent_to, sink->sent_count);
    sink->sent_count = 0;
}

static void note_sent(struct kafka_sink *sink, const struct sink_record *record) {
    if (sink->sent_partition != record->partition) tell_sent(sink);
    if (sink->sent_count++ == 0) sink->sent_from = record->offset;
    sink->sent_partition = record->partition;
    sink->sent_to = record->offset;
}

/* The program must wait longer after each transaction that fails for the same reason. One may be of
 * a partition that was given away, which ends a series. */
static enum sink_verdict not_taken(struct kafka_sink *sink, struct error *error) {
    struct process *process = sink->process;
    happens(EVENT_UNTAKEN);
    if (process->untaken_count++ == 0) process->untaken_us = world.now_us;
    const int count = process->untaken_count;
    const int64_t took_us = world.now_us - process->untaken_us;
    if (count >= 4 && count <= 9 && took_us < ((1 << (count - 3)) - 1) * 19 * (int64_t)MS_US)
        broken("%d transactions fail within %lld us", count, (long long)took_us);
    return failed(sink, error, "the output topic is gone");
}

enum sink_verdict kafka_sink_send(struct kafka_sink *sink, const struct sink_record *record,
                                  struct error *error) {
    if (sink->process->is_killed) return SINK_FULL;
    if (sink->state != OPEN || sink->is_committing)
        broken("a record is sent outside a transaction, in state %d", sink->state);
    if (sink->full_count == 0 && fails(80)) sink->full_count = 1 + (int)roll(5);
    if (sink->full_count > 0) {
        sink->full_count--;
        happens(EVENT_QUEUE_FULL);
        return SINK_FULL;
    }
    if (fails(400)) {
        happens(EVENT_RECOUNT);
        return SINK_RECOUNT;
    }
    if (must_be_fixed(error)) return SINK_STOP;
    if (world.stage == STAGE_FAULTS && world.now_us < broker.untaken_us)
        return not_taken(sink, error);
    if (fails(300)) return fatal(sink, error);
    if (fails(300)) {
        happens(EVENT_UNDELIVERED);
        sink->is_undelivered = true;
    }
    if (fails(300)) return failed(sink, error, "a record cannot be sent");
    const int edition = compare(record);
    note_sent(sink, record);
    if (sink->is_undelivered) return SINK_OK;
    if (producer_send(sink->producer, sink->epoch, record->partition, record->offset, edition,
                      record->reason) != ANSWER_OK) {
        sink->is_undelivered = true; /* the delivery report says so, and the commit */
    }
    return SINK_OK;
}

void kafka_sink_make_room(struct kafka_sink *sink, int timeout_ms) {
    (void)sink;
    if (!current->is_killed && one_in(2))
        call_waits(NULL, NULL, deadline((int)roll((uint32_t)timeout_ms)));
}

int64_t kafka_sink_throttled_ms(const struct kafka_sink *sink) {
    (void)sink;
    return 0; /* no quotas */
}

void kafka_sink_serve(struct kafka_sink *sink) {
    tell_sent(sink);
}

static enum sink_verdict send_offsets(struct kafka_sink *sink, struct kafka_source *source,
                                      const struct kafka_committed *offsets, size_t count,
                                      bool (*may_commit)(void *), void *context,
                                      int64_t deadline_us, struct error *error) {
    struct committed moved[PARTITIONS_MAX];
    bool is_moved[PARTITIONS_MAX] = {false};
    for (size_t i = 0; i < count; i++) {
        is_moved[offsets[i].partition] = true;
        moved[offsets[i].partition] =
            (struct committed){offsets[i].offset, offsets[i].origin, offsets[i].lineage};
    }
    const bool is_first = simulation_options.mutant == FENCE_FIRST;
    const bool may_first = is_first && may_commit(context);
    if (is_first) call_lets_others();
    const int member_id = source->member_id, generation = source->generation;
    call_lets_others();
    if (current->is_killed) return retry(error);
    if (!client_is_same_member(source)) {
        happens(EVENT_REFUSED_MEMBER);
        if (simulation_options.mutant != NO_MEMBER)
            return failed(sink, error, "the group has this process as another member");
    }
    if (is_first ? !may_first : !may_commit(context)) {
        happens(EVENT_REFUSED_FENCE);
        return failed(sink, error, "a partition was given away meanwhile");
    }
    if (!kafka_trip(deadline_us)) return failed(sink, error, "the offsets cannot be sent");
    switch (producer_send_offsets(sink->producer, sink->epoch, moved, is_moved, member_id,
                                  generation)) {
    case ANSWER_FENCED:
        return fatal(sink, error);
    case ANSWER_REFUSED:
        return failed(sink, error, "the group is in another generation");
    case ANSWER_OK:
        break;
    }
    for (size_t i = 0; i < count; i++) {
        trace("sends the offset p%d: %lld, as member %d of generation %d", offsets[i].partition,
              (long long)offsets[i].offset, member_id, generation);
    }
    if (!kafka_trip(deadline_us)) return failed(sink, error, "the offsets may not have arrived");
    sink->is_committing = true;
    return SINK_OK;
}

enum sink_verdict kafka_sink_commit(struct kafka_sink *sink, struct kafka_source *source,
                                    const struct kafka_committed *offsets, size_t count,
                                    bool (*may_commit)(void *), void *context, int timeout_ms,
                                    struct error *error) {
    const int64_t deadline_us = deadline(timeout_ms);
    if (sink->process->is_killed) return retry(error);
    if (sink->state != OPEN) broken("a transaction is committed in state %d", sink->state);
    tell_sent(sink);
    if (must_be_fixed(error)) return SINK_STOP;
    if (!sink->is_committing) {
        if (!kafka_trip(deadline_us)) return retry(error);
        if (sink->is_undelivered) return failed(sink, error, "a record was not delivered");
        const enum sink_verdict verdict =
            send_offsets(sink, source, offsets, count, may_commit, context, deadline_us, error);
        if (verdict != SINK_OK) return verdict;
    }
    if (!kafka_trip(deadline_us)) {
        if (one_in(2)) producer_end_late(sink->producer, sink->epoch);
        happens(EVENT_UNCLEAR);
        trace("the commit has no answer");
        return retry(error);
    }
    if (producer_end(sink->producer, sink->epoch, true) != ANSWER_OK) return fatal(sink, error);
    if (!kafka_trip(deadline_us)) {
        happens(EVENT_UNCLEAR);
        trace("the commit's answer is lost");
        return retry(error);
    }
    trace("has committed");
    sink->process->untaken_count = 0;
    sink->state = READY;
    return SINK_OK;
}

enum sink_verdict kafka_sink_abort(struct kafka_sink *sink, int timeout_ms, struct error *error) {
    const int64_t deadline_us = deadline(timeout_ms);
    if (sink->process->is_killed) return retry(error);
    if (sink->state == FATAL) {
        error_set(error, "the producer has failed");
        return SINK_REPLACE;
    }
    if (sink->state != OPEN && sink->state != FAILED)
        broken("a transaction is aborted in state %d", sink->state);
    if (!kafka_trip(deadline_us)) return retry(error);
    if (producer_end(sink->producer, sink->epoch, false) == ANSWER_FENCED)
        return fatal(sink, error);
    if (!kafka_trip(deadline_us)) return retry(error);
    trace("has aborted");
    sink->state = READY;
    sink->is_committing = false;
    return SINK_OK;
}

bool kafka_sink_renew(struct kafka_sink *sink) {
    sink->must_renew = true;
    return true;
}

/* Brokers take some time to let the new one in. */
enum sink_renewal kafka_sink_renewal(struct kafka_sink *sink) {
    if (!sink->must_renew) return SINK_RENEWAL_NONE;
    if (!one_in(3)) return SINK_RENEWAL_TRIED;
    sink->must_renew = false;
    happens(EVENT_RENEWED_PRODUCER);
    return SINK_RENEWAL_DUE;
}

enum sink_verdict kafka_sink_replace(struct kafka_sink *sink, struct error *error) {
    (void)error;
    if (sink->process->is_killed) return SINK_OK;
    trace("takes a new producer");
    happens(EVENT_REPLACED_PRODUCER);
    sink->state = CLOSED;
    sink->is_committing = false;
    sink->full_count = 0;
    return SINK_OK;
}
