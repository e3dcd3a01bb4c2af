/* kafka_source: the input topic as a member of a consumer group.
 *
 * Place:    the beginning of the flow.
 * Threads:  create, subscribe, poll, answer, leave and destroy from one thread; committed and
 *           bounds from any.
 * Owns:     the consumer.
 * Limits:   options.queue_bytes fetched and not yet read, over all partitions.
 * Waits:    poll and answer never, except for librdkafka's threads where poll replaces the
 *           consumer; every other call at most its timeout, leave as long as the group takes.
 *
 * The group changes hands in steps: kafka_source_poll reports what it wants, the caller does what
 * that needs, for as long as that takes, and then answers. Until then the group waits, and nothing
 * else is reported.
 */
#ifndef EDGE_KAFKA_SOURCE_H
#define EDGE_KAFKA_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alarm.h"
#include "base/error.h"
#include "base/setting.h"
#include "base/trouble.h"
#include "core/lineage.h"
#include "edge/kafka_conf.h"
#include "edge/kafka_stream.h"

struct kafka_source;

/* [consumer] group.id and input.topic */
struct kafka_source_settings {
    char *group;
    char *topic;
};

extern const struct setting kafka_source_setting_table[];

struct kafka_source_options {
    const struct kafka_source_settings *settings;
    const struct properties *kafka;
    const struct properties *consumer;
    const char *static_id;   /* group.instance.id in the classic protocol, or NULL */
    size_t queue_bytes;      /* default for what librdkafka holds, all partitions together */
    int partition_count;     /* over which it is divided */
    struct trouble *trouble; /* shows why brokers do not let it in; NULL: nobody looks */
};

/* A committed offset of the group, with what is kept in its metadata. */
struct kafka_committed {
    int32_t partition;
    int64_t offset;         /* -1: none */
    int64_t origin;         /* where the group began; -1: not known */
    struct lineage lineage; /* of the log below offset */
};

/* What the group wants. */
enum source_event {
    SOURCE_QUIET,
    SOURCE_GIVEN,  /* partitions are ours: take the streams, answer, seek in each */
    SOURCE_TAKEN,  /* partitions are to be given away: finish, close the streams, answer */
    SOURCE_LOST,   /* another owner may be at work on them already: drop what is in hand, answer */
    SOURCE_FAILED, /* only the user can fix it; the error says what */
};

/* One partition of an event. */
struct kafka_assigned {
    int32_t partition;
    struct kafka_stream *stream; /* SOURCE_GIVEN: open; to take it, put NULL in its place */
};

struct source_change { /* belongs to the source; good until it is answered */
    struct kafka_assigned *items;
    size_t count;
};

/* Does not join yet. NULL with an error if librdkafka rejects the properties. Keeps what options
 * point to. */
struct kafka_source *kafka_source_create(const struct kafka_source_options *options,
                                         struct error *error);
/* Takes *source, which may be NULL, and nulls it; leaves the group if need be. */
void kafka_source_destroy(struct kafka_source **source);

/* Joins the group. Keeps the alarm, which rings when kafka_source_poll has something to do. */
bool kafka_source_subscribe(struct kafka_source *source, struct alarm *alarm, struct error *error);

/* Serves the group; to be called at least every 100 ms. Joins again by itself where a stream's
 * position is no longer in the log, where the group expelled this member, and with a new consumer
 * where librdkafka gave up on the old one. After SOURCE_GIVEN, _TAKEN or _LOST it reports
 * SOURCE_QUIET until kafka_source_answer. */
enum source_event kafka_source_poll(struct kafka_source *source, struct source_change *change,
                                    struct error *error);

/* Answers the event: given partitions are read from kafka_stream_seek on (streams not taken are
 * closed), taken ones are given away. Requires an event that is not answered yet. */
void kafka_source_answer(struct kafka_source *source);

/* Asks for a new consumer in place of one that no longer reads what it should; kafka_source_poll
 * replaces it, once a minute at most, as if everything had been lost. From any thread. */
void kafka_source_replace(struct kafka_source *source);

/* After a reload: false if the certificates are those with which the consumer was made. Else tries
 * them with a client of its own for as long as it takes brokers to let that in; then
 * kafka_source_poll takes back the partitions in order, and joins with a new consumer. */
bool kafka_source_renew(struct kafka_source *source);

/* Leaves the group, and answers what it still wants. Requires that no stream is open. */
void kafka_source_leave(struct kafka_source *source);

/* To be called every few seconds: a static member with a recent assignment repairs a group that
 * came to rest with partitions nobody owns (see kafka_group.c). False as SOURCE_FAILED. */
bool kafka_source_look_at_group(struct kafka_source *source, int timeout_ms, struct error *error);

/* False if Kafka reports that this user lacks the ACL Read on the group; true also if it reports
 * nothing. For `check` alone, while librdkafka may end the process over it (see kafka_group.c). */
bool kafka_source_may_join(struct kafka_source *source, int timeout_ms);

/* True while a member of the group, with or without partitions. */
bool kafka_source_is_joined(const struct kafka_source *source);

/* The group's committed offsets, with open transactions waited for. */
bool kafka_source_committed(struct kafka_source *source, struct kafka_committed *items,
                            size_t count, int timeout_ms, struct error *error);

/* Until when a quota of Kafka's held reading back, by clock_ms; 0: none has, with this consumer. */
int64_t kafka_source_throttled_ms(struct kafka_source *source);

/* The log's bounds: records of [*begin, *end) can be read, open transactions excluded. */
bool kafka_source_bounds(struct kafka_source *source, int32_t partition, int64_t *begin,
                         int64_t *end, int timeout_ms, struct error *error);

enum source_bounds_verdict {
    SOURCE_BOUNDS_KNOWN,
    SOURCE_BOUNDS_UNKNOWN, /* Kafka did not give them */
    SOURCE_BOUNDS_BUSY,    /* nor for the many that asked together, which says less */
};

/* The same for a thread that is one of many: what several ask at the same time is one request. An
 * error unless they are known. From any thread. */
enum source_bounds_verdict kafka_source_ask_bounds(struct kafka_source *source, int32_t partition,
                                                   int64_t *begin, int64_t *end, int timeout_ms,
                                                   struct error *error);

#endif
