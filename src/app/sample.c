/* Of each partition the last offsets are read, more of them if too few held a record, and the
 * newest of all are kept in a heap whose root is the oldest. */
#include "app/sample.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "edge/kafka_reader.h"
#include "edge/kafka_topics.h"

enum { KAFKA_WAIT_MS = 10000, STEP_MS = 200, SILENCE_MS = 30000, RECORD_BYTES = 128 };

/* Of instance.memory_mb, one over each: librdkafka's queue, and the records. */
enum { QUEUE_SHARE = 8, RECORDS_SHARE = 2 };

static bool is_older(const struct sample_record *a, const struct sample_record *b) {
    if (a->timestamp_ms != b->timestamp_ms) return a->timestamp_ms < b->timestamp_ms;
    return a->offset < b->offset;
}

static void swap(struct sample_record *a, struct sample_record *b) {
    const struct sample_record held = *a;
    *a = *b;
    *b = held;
}

static void rise(struct sample_record *heap, size_t at) {
    for (size_t parent; at > 0 && is_older(&heap[at], &heap[parent = (at - 1) / 2]); at = parent)
        swap(&heap[at], &heap[parent]);
}

static void sink(struct sample_record *heap, size_t count, size_t at) {
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_older(&heap[child + 1], &heap[child])) child++;
        if (!is_older(&heap[child], &heap[at])) return;
        swap(&heap[child], &heap[at]);
    }
}

static void release(struct sample_record *record) {
    free((char *)(uintptr_t)record->value.bytes);
    kafka_headers_destroy(&record->headers);
}

/* What a record takes. */
static size_t bytes_of(const struct sample_record *record) {
    return RECORD_BYTES + record->value.length + kafka_headers_bytes(record->headers);
}

static void drop_oldest(struct sample *sample) {
    struct sample_record *heap = sample->records;
    sample->bytes -= bytes_of(&heap[0]);
    release(&heap[0]);
    heap[0] = heap[--sample->count];
    sink(heap, sample->count, 0);
}

static bool take(void *context, struct kafka_range *range, const struct kafka_record *record) {
    struct sample *sample = context;
    sample->given[range->partition]++;
    struct sample_record kept = {
        .timestamp_ms = record->timestamp_ms,
        .offset = record->offset,
        .partition = range->partition,
        .has_key = record->key.bytes != NULL,
        .value = {NULL, record->value.length},
    };
    if (sample->count == sample->max && !is_older(&sample->records[0], &kept)) return true;
    if (sample->is_cut && is_older(&kept, &sample->dropped)) return true;
    if (record->value.bytes != NULL) {
        char *copy = memory_grow(NULL, record->value.length + 1);
        memcpy(copy, record->value.bytes, record->value.length);
        kept.value.bytes = copy;
    }
    kept.headers = kafka_record_take_headers(record);
    if (sample->count == sample->max) drop_oldest(sample);
    sample->bytes += bytes_of(&kept);
    sample->records[sample->count++] = kept;
    rise(sample->records, sample->count - 1);
    while (sample->bytes > sample->bytes_max && sample->count > 1) {
        sample->is_cut = true;
        sample->dropped = (struct sample_record){.timestamp_ms = sample->records[0].timestamp_ms,
                                                 .offset = sample->records[0].offset};
        drop_oldest(sample);
    }
    return true;
}

static void clear(struct sample *sample) {
    for (size_t i = 0; i < sample->count; i++)
        release(&sample->records[i]);
    sample->count = sample->bytes = 0;
    sample->is_cut = false;
}

/* Whether there are fewer than were asked for because there was no room. */
static bool is_short(const struct sample *sample) {
    return sample->is_cut && sample->count < sample->max;
}

/* Reads the ranges to their ends. */
static bool read_ranges(struct sample *sample, const struct kafka_source_options *options,
                        struct kafka_range *ranges, size_t count, struct error *error) {
    struct kafka_reader *reader = kafka_reader_create(options, ranges, count, error);
    int64_t heard_ms = clock_ms();
    bool is_right = reader != NULL, is_at_end = false;
    while (is_right && !is_at_end) {
        is_at_end = true;
        for (size_t i = 0; i < count; i++)
            is_at_end = is_at_end && ranges[i].is_at_end;
        if (is_at_end) break;
        const enum reader_verdict verdict = kafka_reader_read(reader, STEP_MS, take, sample, error);
        if (verdict != READER_NOTHING) heard_ms = clock_ms();
        is_right = verdict != READER_FAILED;
        if (is_right && clock_ms() > heard_ms + SILENCE_MS) {
            is_right = error_set(error, "Kafka has given no record of %s for %d s",
                                 options->settings->topic, SILENCE_MS / 1000);
        }
    }
    kafka_reader_destroy(&reader);
    return is_right;
}

/* Of each partition the newest; transactions' markers and gaps are not records, so a part of the
 * log that gave too few is read once more, from further back. */
static bool read_newest(struct sample *sample, struct kafka_source *source,
                        const struct kafka_source_options *options, int partition_count,
                        struct error *error) {
    const size_t count = (size_t)partition_count;
    struct kafka_range *ranges = memory_create((count + 1) * sizeof *ranges);
    bool is_right = true, is_whole = false;
    sample->given = memory_create((count + 1) * sizeof *sample->given);
    for (int64_t offsets = (int64_t)sample->max; is_right && !is_whole; offsets *= 4) {
        is_whole = true;
        clear(sample);
        for (size_t i = 0; is_right && i < count; i++) {
            int64_t begin, end;
            is_right = kafka_source_bounds(source, (int32_t)i, &begin, &end, KAFKA_WAIT_MS, error);
            const bool is_cut = is_right && end - begin > offsets;
            sample->given[i] = is_cut ? 0 : sample->max; /* it is read as a whole */
            ranges[i] = (struct kafka_range){
                .partition = (int32_t)i, .begin = is_cut ? end - offsets : begin, .end = end};
        }
        is_right = is_right && read_ranges(sample, options, ranges, count, error);
        for (size_t i = 0; i < count; i++)
            is_whole = is_whole && sample->given[i] >= sample->max;
        is_whole = is_whole || is_short(sample);
    }
    free(ranges);
    free(sample->given);
    return is_right;
}

static int by_place(const void *a, const void *b) {
    const struct sample_record *x = a, *y = b;
    if (x->partition != y->partition) return x->partition < y->partition ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

struct sample *sample_read(const struct config *config, size_t max, struct error *error) {
    const size_t memory_bytes = (size_t)config->instance.memory_mb * 1024 * 1024;
    const struct kafka_source_options options = {
        .settings = &config->source,
        .kafka = &config->kafka,
        .consumer = &config->consumer,
        .queue_bytes = memory_bytes / QUEUE_SHARE,
        .partition_count = 1,
    };
    struct topic_facts facts = {0};
    const char *topic = config->source.topic;
    struct sample *sample = memory_create(sizeof *sample);
    sample->max = max;
    sample->bytes_max = memory_bytes / RECORDS_SHARE;
    sample->records = memory_create((max + 1) * sizeof *sample->records);
    struct kafka_source *source = kafka_source_create(&options, error);
    bool is_right = source != NULL &&
                    kafka_topics_look(source, topic, KAFKA_WAIT_MS, &facts, error) == TOPICS_OK;
    if (is_right && !facts.exists)
        is_right = error_set(error, "there is no topic %s: correct input.topic", topic);
    is_right = is_right && read_newest(sample, source, &options, facts.partition_count, error);
    kafka_source_destroy(&source);
    sample->is_cut = is_short(sample);
    if (!is_right) {
        sample_destroy(&sample);
    } else if (sample->count > 0) {
        qsort(sample->records, sample->count, sizeof *sample->records, by_place);
    }
    return sample;
}

void sample_destroy(struct sample **sample) {
    if (*sample == NULL) return;
    clear(*sample);
    free((*sample)->records);
    free(*sample);
    *sample = NULL;
}

bool sample_header(const struct sample_record *record, const char *name, struct slice *value) {
    const char *other;
    struct slice found;
    bool is_there = false;
    for (size_t i = 0; kafka_headers_at(record->headers, i, &other, &found); i++) {
        if (strcmp(other, name) != 0) continue;
        *value = found;
        is_there = true;
    }
    return is_there;
}

void sample_judge(struct login_judge *judge, const struct sample_record *record,
                  struct login *login) {
    struct login_header headers[LOGIN_HEADERS_MAX];
    const char *const *names;
    const size_t count = login_judge_headers(judge, &names);
    for (size_t i = 0; i < count; i++)
        headers[i].is_there = sample_header(record, names[i], &headers[i].value);
    const struct login_record judged = {record->value, record->timestamp_ms, headers};
    login_judge_record(judge, &judged, login);
}
