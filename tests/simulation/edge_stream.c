#include "edge/kafka_stream.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "broker.h"
#include "client.h"
#include "edge/kafka_probe.h"
#include "process.h"
#include "records.h"

enum { SEEK_TIMEOUT_US = 5 * SECOND_US };

void kafka_stream_watch(struct kafka_stream *stream, struct alarm *alarm) {
    stream->alarm = alarm;
    if (alarm != NULL && stream->fetched > stream->position) alarm_ring(alarm);
}

void kafka_stream_close(struct kafka_stream **stream) {
    if (*stream == NULL) return;
    if (!(*stream)->is_open) broken("the stream of p%d is closed twice", (*stream)->partition);
    (*stream)->is_open = false;
    (*stream)->alarm = NULL;
    *stream = NULL;
}

enum stream_verdict
kafka_stream_read(struct kafka_stream *stream,
                  bool (*take)(void *context, const struct kafka_record *record), void *context) {
    if (!stream->is_open) broken("p%d is read after its stream was closed", stream->partition);
    if (stream->position < 0) return STREAM_NOTHING;
    if (stream->position < stream->fetched && fails(300)) {
        trace("p%d: %lld cannot be read, and is passed over", stream->partition,
              (long long)stream->position);
        happens(EVENT_UNREADABLE);
        stream->position++;
        return STREAM_UNREADABLE;
    }
    enum stream_verdict verdict = STREAM_NOTHING;
    const int64_t from = stream->position;
    bool takes_more = true;
    while (takes_more && stream->position < stream->fetched) {
        const int64_t offset = stream->position++;
        const struct record *record = record_at(stream->partition, offset);
        if (record == NULL) continue;
        const struct kafka_record lent = {
            .offset = offset,
            .timestamp_ms = record->timestamp_ms,
            .leader_epoch = broker.epochs[stream->partition][offset],
            .key = record->key,
            .value = record->value,
            .message = (void *)record,
        };
        takes_more = take(context, &lent);
        stream->epoch = lent.leader_epoch;
        world.records++;
        if (world.stage >= STAGE_BUSY) world.lent_end[stream->partition] = offset + 1;
        verdict = STREAM_RECORDS;
    }
    if (stream->position == broker.log_end[stream->partition] && !stream->is_stranded &&
        stream->leader == broker.epoch[stream->partition] && one_in(2)) {
        if (stream->reached < stream->position) {
            trace("p%d ends at %lld", stream->partition, (long long)stream->position);
        }
        stream->reached = stream->position;
    }
    if (stream->position > from) {
        trace("reads p%d: %lld..%lld", stream->partition, (long long)from,
              (long long)stream->position - 1);
    }
    return verdict;
}

bool kafka_stream_seek(struct kafka_stream *stream, int64_t offset, struct error *error) {
    const int64_t deadline_us = world.now_us + SEEK_TIMEOUT_US;
    call_lets_others();
    if (!stream->is_assigned) broken("p%d is sought in before it is assigned", stream->partition);
    if (current->is_killed || stream->is_stranded || fails(40))
        return error_set(error, "cannot seek p%d", stream->partition);
    if (world.now_us > deadline_us) return error_set(error, "cannot seek p%d", stream->partition);
    trace("seeks p%d to %lld", stream->partition, (long long)offset);
    stream->position = stream->fetched = offset;
    stream->epoch = LINEAGE_NO_EPOCH;
    stream->leader = broker.epoch[stream->partition];
    stream->reached = -1;
    return true;
}

int64_t kafka_stream_reached(const struct kafka_stream *stream) {
    return stream->reached;
}

int64_t kafka_stream_end(const struct kafka_stream *stream) {
    return stream->position < 0 ? -1 : broker.log_end[stream->partition];
}

/* --- kafka_probe ------------------------------------------------------------------------------ */

struct kafka_probe {
    int partition;
};

struct kafka_probe *kafka_probe_open(struct kafka_source *source, int32_t partition,
                                     struct error *error) {
    (void)source;
    (void)error;
    struct kafka_probe *probe = memory_create(sizeof *probe);
    probe->partition = partition;
    current->handle_count++;
    return probe;
}

void kafka_probe_close(struct kafka_probe **probe) {
    if (*probe != NULL) current->handle_count--;
    free(*probe);
    *probe = NULL;
}

bool kafka_probe_look(struct kafka_probe *probe, int64_t offset, struct kafka_probe_record *found,
                      int timeout_ms, struct error *error) {
    const int p = probe->partition;
    const int64_t deadline_us = world.now_us + timeout_ms * (int64_t)MS_US;
    error_set(error, "a record of p%d cannot be read", p);
    if (!kafka_trip(deadline_us)) return false;
    if (offset < broker.log_begin[p] || offset > broker.log_end[p]) return false;
    while (offset < broker.log_end[p] && record_at(p, offset) == NULL)
        offset++;
    *found = (struct kafka_probe_record){INT64_MAX, LINEAGE_NO_EPOCH};
    if (offset < broker.log_end[p])
        *found = (struct kafka_probe_record){offset, broker.epochs[p][offset]};
    trace("looks at p%d: %lld has epoch %d", p, (long long)found->offset, found->leader_epoch);
    return kafka_trip(deadline_us);
}

bool kafka_probe_answers(struct kafka_probe *probe, int timeout_ms) {
    (void)probe;
    return kafka_round_trip(world.now_us + timeout_ms * (int64_t)MS_US);
}

/* --- kafka_record ----------------------------------------------------------------------------- */

bool kafka_record_header(const struct kafka_record *record, const char *name, struct slice *value) {
    (void)record;
    (void)name;
    *value = (struct slice){NULL, 0};
    return false;
}

struct kafka_headers *kafka_record_take_headers(const struct kafka_record *record) {
    const struct record *of = record->message;
    if (!of->has_headers && !world.plan.is_heavy) return NULL;
    struct kafka_headers *headers = memory_create(sizeof *headers);
    headers->record = of;
    world.header_count++;
    return headers;
}

size_t kafka_headers_bytes(const struct kafka_headers *headers) {
    return headers == NULL ? 0 : world.plan.is_heavy ? 12000 : 16;
}

void kafka_headers_destroy(struct kafka_headers **headers) {
    world.header_count -= *headers != NULL;
    free(*headers);
    *headers = NULL;
}
