/* recount: counts the records of the input once more, from where the group began.
 *
 * Place:    under audit and rebuild. Judges and counts as INGEST does, with one thread, beside
 *           running instances: it joins no group, commits nothing and publishes nothing.
 * Threads:  the main thread.
 * Owns:     its Kafka clients, ranges and deltas. Keeps the config and the table of aggregates.
 * Waits:    create: KAFKA_WAIT_MS for each of a few answers; step: its timeout.
 */
#ifndef APP_RECOUNT_H
#define APP_RECOUNT_H

#include "app/config.h"
#include "core/aggregate.h"
#include "core/delta.h"
#include "edge/kafka_reader.h"
#include "edge/redis_link.h"

struct recount_partition {
    int64_t log_begin, log_end;
    struct lineage lineage; /* of the log below its range's next */
    int64_t origin;         /* where the group began, CURSOR_ABSENT if that is not known */
    struct batch *batch;    /* what was counted and not yet taken; joint: all share one */
};

struct recount {
    const struct config *config;
    const struct aggregates *aggregates;
    int partition_count;
    char topic_id[40];                    /* "" if not known */
    struct recount_partition *partitions; /* partition_count of them */
    struct kafka_range *ranges;           /* the same, to be set before recount_begin */
    int64_t record_count;                 /* read so far */
    bool is_full;          /* what was counted must be taken before more is read; joint: never */
    int64_t unknown_count; /* offsets below the logs of which it is not known whether they were the
                              group's: neither its committed offset nor Redis has where it began */

    /* Called for each record that was counted, unless it is NULL. */
    void (*seen)(void *context, const struct login *login, int64_t timestamp_ms);
    void *context;

    /* its own */
    struct kafka_source *source;
    struct kafka_reader *reader;
    struct login_judge *judge;
    size_t pending_bytes; /* count_bytes of all batches */
    bool is_joint;
    uint64_t seed;
    int64_t progress_ms;
};

/* Looks at the topic, the group's committed offsets and the log's bounds. is_joint: all partitions
 * share one delta. Ranges are set from where the group began, as its committed offset has it, or
 * Redis at `link`, or the log where that is not known, to the log's end. NULL with an error. */
struct recount *recount_create(const struct config *config, const struct aggregates *aggregates,
                               uint64_t seed, bool is_joint, struct redis_link *link,
                               struct error *error);
/* Takes *recount, which may be NULL, and nulls it. */
void recount_destroy(struct recount **recount);

/* Asks for the bounds of all logs again. */
bool recount_look_at_log(struct recount *recount, struct error *error);

/* Records of the ranges that Kafka has deleted. */
int64_t recount_missing(const struct recount *recount);

/* Begins to read the ranges. */
bool recount_begin(struct recount *recount, struct error *error);

/* Reads and counts what is at hand, or waits for it, until is_full. False with an error if a range
 * cannot be read, or if Kafka has given nothing for a minute although a range is not at its end. */
bool recount_step(struct recount *recount, int timeout_ms, struct error *error);

/* Whether every range is read to its end, or to that of the log. */
bool recount_is_at_end(const struct recount *recount);

/* What a partition's records (or all, if joint) were counted into. */
struct delta *recount_delta(struct recount_partition *partition);

/* It was taken: empties it. */
void recount_forget(struct recount *recount, struct recount_partition *partition);

#endif
