/* kafka_sink: the output topics, written in transactions that also move the published watermark.
 *
 * Place:    under PUBLISH.
 * Threads:  one owner; librdkafka's delivery reports come on the owner's thread too.
 * Owns:     the producer. Records that are sent are copied.
 * Limits:   options.queue_bytes wait to be sent; then kafka_sink_send returns SINK_FULL.
 * Waits:    every call at most its timeout; sending never.
 * Source:   KIP-98 (transactions), KIP-447 (offsets fenced by the group's generation); the order of
 *           calls follows librdkafka's documentation of the transactional producer.
 *
 * I1  After SINK_ABORT, SINK_REPLACE or a lost outcome, nothing is known about the open transaction
 *     until kafka_sink_abort or kafka_sink_replace returned SINK_OK; then the committed offsets
 *     show it.
 */
#ifndef EDGE_KAFKA_SINK_H
#define EDGE_KAFKA_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/setting.h"
#include "base/slice.h"
#include "core/login.h"
#include "edge/kafka_source.h"

struct kafka_sink;

enum kafka_sink_guarantee { KAFKA_SINK_AT_LEAST_ONCE, KAFKA_SINK_EXACTLY_ONCE };

/* output.topic, .rejected_topic and .guarantee */
struct kafka_sink_settings {
    char *topic;
    char *rejected_topic; /* "" is none */
    enum kafka_sink_guarantee guarantee;
};

extern const struct setting kafka_sink_setting_table[];

enum sink_verdict {
    SINK_OK,
    SINK_FULL,    /* make room, then send the same again */
    SINK_RECOUNT, /* call kafka_sink_count_partitions, then send the same again */
    SINK_RETRY,   /* Kafka is unreachable: the same call again, later */
    SINK_ABORT,   /* call kafka_sink_abort */
    SINK_REPLACE, /* call kafka_sink_replace */
    SINK_FENCED,  /* the same, because another producer has this transactional id */
    SINK_STOP,    /* only the user can fix it; the error describes how */
};

struct kafka_sink_options {
    const struct kafka_sink_settings *settings;
    const struct properties *kafka;
    const struct properties *producer;
    const char *transactional_id; /* not used with KAFKA_SINK_AT_LEAST_ONCE */
    const char *input_topic;
    size_t queue_bytes;
    struct trouble *trouble; /* shows why brokers do not let it in; NULL: nobody looks */
};

/* A record to publish, as it came. Borrowed for the call. */
struct sink_record {
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* -1: none */
    enum login_reason reason;
    struct slice key, value;
    struct slice text; /* accepted: the key to give it if it has none; rejected: why, in detail */
    const struct kafka_headers *headers; /* NULL: none */
};

/* Keeps what options point to. */
struct kafka_sink *kafka_sink_create(const struct kafka_sink_options *options, struct error *error);
void kafka_sink_destroy(struct kafka_sink **sink);

/* Compares partition counts: where input and output have the same, records keep their partition,
 * else they go by key. Where they differ it looks again a moment later, since growing topics grow
 * one after the other. To be called before the first record, and whenever a topic may have grown.
 * SINK_OK; SINK_RETRY; SINK_ABORT: an output topic does not exist, call it again later. */
enum sink_verdict kafka_sink_count_partitions(struct kafka_sink *sink, struct kafka_source *source,
                                              int timeout_ms, struct error *error);

/* Ends what an earlier producer of this transactional id left open, and shuts it out. */
enum sink_verdict kafka_sink_open(struct kafka_sink *sink, int timeout_ms, struct error *error);

/* True if kafka_sink_open was told that the brokers know no transactions: it returned SINK_STOP. */
bool kafka_sink_lacks_transactions(const struct kafka_sink *sink);

enum sink_verdict kafka_sink_begin(struct kafka_sink *sink, struct error *error);

/* Sends one record to the topic for its reason; if that is not written, drops it. */
enum sink_verdict kafka_sink_send(struct kafka_sink *sink, const struct sink_record *record,
                                  struct error *error);

/* Waits up to timeout_ms for what is under way; if nothing is, sends what lingers. Serves delivery
 * reports. */
void kafka_sink_make_room(struct kafka_sink *sink, int timeout_ms);

/* Serves delivery reports, without waiting. */
void kafka_sink_serve(struct kafka_sink *sink);

/* Until when a quota of Kafka's held this producer back, by clock_ms; 0: none has. */
int64_t kafka_sink_throttled_ms(const struct kafka_sink *sink);

/* Commits what was sent together with the offsets. `may_commit` is asked after the group's metadata
 * was fetched and before it is used (see base/fence.h); false gives SINK_ABORT. */
enum sink_verdict kafka_sink_commit(struct kafka_sink *sink, struct kafka_source *source,
                                    const struct kafka_committed *offsets, size_t count,
                                    bool (*may_commit)(void *), void *context, int timeout_ms,
                                    struct error *error);

enum sink_verdict kafka_sink_abort(struct kafka_sink *sink, int timeout_ms, struct error *error);

/* A new producer under the same id, in place of one that failed permanently, or has certificates of
 * before. Open it next. */
enum sink_verdict kafka_sink_replace(struct kafka_sink *sink, struct error *error);

enum sink_renewal {
    SINK_RENEWAL_NONE,
    SINK_RENEWAL_TRIED, /* ask again soon */
    SINK_RENEWAL_DUE,   /* call kafka_sink_replace when no transaction is open; told once */
};

/* After a reload: false if the certificates are those with which the producer was made. Else tries
 * them with a client of its own, for as long as it takes brokers to let that in. Then a renewal is
 * due; kafka_sink_replace makes it so at once. */
bool kafka_sink_renew(struct kafka_sink *sink);
enum sink_renewal kafka_sink_renewal(struct kafka_sink *sink);

#endif
