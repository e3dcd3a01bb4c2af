#include "app/recount.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "edge/kafka_topics.h"
#include "edge/redis_image.h"
#include "flow/batch.h"
#include "flow/judge.h"

enum {
    KAFKA_WAIT_MS = 10000, /* for each answer */
    SILENCE_MS = 60000,
    QUEUE_BYTES_MIN = 4 * 1024 * 1024,
    QUEUE_SHARE = 4,    /* of instance.memory_mb */
    PENDING_SHARE = 16, /* the same: counts that were not taken, of all partitions */
};

static size_t share_of_memory(const struct config *config, size_t share) {
    return (size_t)config->instance.memory_mb * 1024 * 1024 / share;
}

static struct kafka_source_options source_options(const struct config *config) {
    const size_t memory = share_of_memory(config, QUEUE_SHARE);
    return (struct kafka_source_options){
        .settings = &config->source,
        .kafka = &config->kafka,
        .consumer = &config->consumer,
        .queue_bytes = memory < QUEUE_BYTES_MIN ? QUEUE_BYTES_MIN : memory,
        .partition_count = 1,
    };
}

static bool look_at_topic(struct recount *recount, struct error *error) {
    struct topic_facts facts = {0};
    const char *topic = recount->config->source.topic;
    if (kafka_topics_look(recount->source, topic, KAFKA_WAIT_MS, &facts, error) != TOPICS_OK)
        return false;
    if (!facts.exists) return error_set(error, "there is no topic %s: correct input.topic", topic);
    if (!kafka_topics_describe(recount->source, topic, KAFKA_WAIT_MS, &facts, error)) return false;
    memcpy(recount->topic_id, facts.id, sizeof recount->topic_id);
    recount->partition_count = facts.partition_count;
    return true;
}

bool recount_look_at_log(struct recount *recount, struct error *error) {
    for (int p = 0; p < recount->partition_count; p++) {
        struct recount_partition *partition = &recount->partitions[p];
        if (!kafka_source_bounds(recount->source, (int32_t)p, &partition->log_begin,
                                 &partition->log_end, KAFKA_WAIT_MS, error)) {
            return false;
        }
    }
    return true;
}

/* *lacks_origin: some committed offset does not say where the group began. */
static bool look_at_group(struct recount *recount, bool *lacks_origin, struct error *error) {
    const size_t count = (size_t)recount->partition_count;
    struct kafka_committed *committed = memory_create(count * sizeof *committed);
    for (size_t i = 0; i < count; i++)
        committed[i].partition = (int32_t)i;
    const bool is_known =
        kafka_source_committed(recount->source, committed, count, KAFKA_WAIT_MS, error);
    *lacks_origin = false;
    for (size_t i = 0; is_known && i < count; i++) {
        recount->partitions[i].origin =
            committed[i].offset >= 0 ? committed[i].origin : CURSOR_ABSENT;
        *lacks_origin |= recount->partitions[i].origin < 0;
    }
    free(committed);
    return is_known;
}

/* Asks Redis where the group's committed offsets do not say where it began. */
static bool look_at_counts(struct recount *recount, struct redis_link *link, struct error *error) {
    const size_t count = (size_t)recount->partition_count;
    int64_t *origins = memory_create(count * sizeof *origins);
    const bool is_known =
        redis_image_origins(link, recount->config->redis.prefix, origins, count, error) == STORE_OK;
    for (size_t i = 0; is_known && i < count; i++) {
        if (recount->partitions[i].origin < 0) recount->partitions[i].origin = origins[i];
    }
    free(origins);
    return is_known;
}

static void set_ranges(struct recount *recount) {
    for (int i = 0; i < recount->partition_count; i++) {
        const struct recount_partition *partition = &recount->partitions[i];
        const bool has_origin = partition->origin >= 0;
        if (!has_origin) recount->unknown_count += partition->log_begin;
        recount->ranges[i] =
            (struct kafka_range){.partition = (int32_t)i,
                                 .begin = has_origin ? partition->origin : partition->log_begin,
                                 .end = partition->log_end};
    }
}

static struct login_judge *create_judge(const struct config *config) {
    struct login_rules rules;
    login_rules_init(&rules, &config->login, &config->aggregate.dimensions);
    aggregates_add_uniques(&config->aggregate, &rules);
    return login_judge_create(&rules);
}

static void create_batches(struct recount *recount) {
    const size_t count = (size_t)recount->partition_count;
    recount->partitions = memory_create((count + 1) * sizeof *recount->partitions);
    recount->ranges = memory_create((count + 1) * sizeof *recount->ranges);
    for (size_t i = 0; i < count; i++) {
        recount->partitions[i].batch = recount->is_joint && i > 0
                                           ? recount->partitions[0].batch
                                           : batch_create((int32_t)i, 1, 0, NULL, NULL);
    }
}

struct recount *recount_create(const struct config *config, const struct aggregates *aggregates,
                               uint64_t seed, bool is_joint, struct redis_link *link,
                               struct error *error) {
    const struct kafka_source_options options = source_options(config);
    struct recount *recount = memory_create(sizeof *recount);
    recount->config = config;
    recount->aggregates = aggregates;
    recount->seed = seed;
    recount->is_joint = is_joint;
    recount->judge = create_judge(config);
    recount->source = kafka_source_create(&options, error);
    bool is_right = recount->source != NULL && look_at_topic(recount, error);
    if (is_right) {
        create_batches(recount);
        bool lacks_origin;
        is_right = recount_look_at_log(recount, error) &&
                   look_at_group(recount, &lacks_origin, error) &&
                   (!lacks_origin || look_at_counts(recount, link, error));
    }
    if (is_right) set_ranges(recount);
    if (!is_right) {
        recount_destroy(&recount);
    } else if (recount->unknown_count > 0) {
        log_warn("Where the group began is not known: counting from where the log begins",
                 log_int("deleted_records", recount->unknown_count));
    }
    return recount;
}

void recount_destroy(struct recount **recount) {
    struct recount *own = *recount;
    if (own == NULL) return;
    kafka_reader_destroy(&own->reader);
    kafka_source_destroy(&own->source);
    login_judge_destroy(&own->judge);
    for (int i = 0; own->partitions != NULL && i < (own->is_joint ? 1 : own->partition_count); i++)
        batch_destroy(&own->partitions[i].batch);
    free(own->ranges);
    free(own->partitions);
    free(own);
    *recount = NULL;
}

int64_t recount_missing(const struct recount *recount) {
    int64_t missing = 0;
    for (int i = 0; i < recount->partition_count; i++) {
        const struct kafka_range *range = &recount->ranges[i];
        const int64_t begin = recount->partitions[i].log_begin;
        const int64_t gone = begin < range->end ? begin : range->end;
        if (gone > range->begin) missing += gone - range->begin;
    }
    return missing;
}

bool recount_begin(struct recount *recount, struct error *error) {
    const struct kafka_source_options options = source_options(recount->config);
    recount->progress_ms = clock_ms();
    recount->reader =
        kafka_reader_create(&options, recount->ranges, (size_t)recount->partition_count, error);
    return recount->reader != NULL;
}

struct delta *recount_delta(struct recount_partition *partition) {
    return &partition->batch->parts[0].delta;
}

void recount_forget(struct recount *recount, struct recount_partition *partition) {
    recount->pending_bytes -= partition->batch->count_bytes;
    batch_clear(partition->batch);
}

static bool take(void *context, struct kafka_range *range, const struct kafka_record *record) {
    struct recount *recount = context;
    struct recount_partition *partition = &recount->partitions[range->partition];
    struct login login;
    recount->pending_bytes -= partition->batch->count_bytes;
    judge_record(recount->judge, record, &login);
    batch_count(partition->batch, recount->seed, recount->aggregates, &login);
    recount->pending_bytes += partition->batch->count_bytes;
    lineage_add(&partition->lineage, record->offset, record->leader_epoch);
    recount->record_count++;
    if (recount->seen != NULL) recount->seen(recount->context, &login, record->timestamp_ms);
    recount->is_full = !recount->is_joint &&
                       (recount->pending_bytes >= share_of_memory(recount->config, PENDING_SHARE) ||
                        partition->batch->count_bytes >= BATCH_PENDING_BYTES);
    return !recount->is_full;
}

bool recount_step(struct recount *recount, int timeout_ms, struct error *error) {
    recount->is_full = false;
    const enum reader_verdict verdict =
        kafka_reader_read(recount->reader, timeout_ms, take, recount, error);
    if (verdict == READER_FAILED) return false;
    const int64_t now_ms = clock_ms();
    if (verdict != READER_NOTHING || recount_is_at_end(recount)) recount->progress_ms = now_ms;
    return now_ms < recount->progress_ms + SILENCE_MS ||
           error_set(error, "Kafka has given no record of %s for %d s: see that its brokers run",
                     recount->config->source.topic, SILENCE_MS / 1000);
}

bool recount_is_at_end(const struct recount *recount) {
    for (int i = 0; i < recount->partition_count; i++) {
        if (!recount->ranges[i].is_at_end) return false;
    }
    return true;
}
