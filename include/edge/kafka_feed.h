/* kafka_feed: a producer for records that were made up, for generate and demo.
 *
 * Idempotent, so that a record is written once and in order whatever the network does; no
 * transactions. It creates no topic.
 *
 * Threads:  one owner.
 * Owns:     a copy of each record until the broker has acknowledged it.
 * Limits:   librdkafka's queue (queue.buffering.max.messages and .kbytes).
 * Waits:    as each call says.
 */
#ifndef EDGE_KAFKA_FEED_H
#define EDGE_KAFKA_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edge/kafka_conf.h"

struct error;
struct kafka_feed;

enum kafka_feed_verdict {
    KAFKA_FEED_GO_ON,
    KAFKA_FEED_WAIT, /* not now: no room in the queue; no topic, or no broker, yet */
    KAFKA_FEED_STOP, /* never; the error describes why */
};

/* NULL with an error if librdkafka rejects the properties. Borrows all. */
struct kafka_feed *kafka_feed_create(const struct properties *kafka,
                                     const struct properties *producer, const char *topic,
                                     struct error *error);

/* Takes *feed, which may be NULL, and nulls it; records that are still unacknowledged are lost. */
void kafka_feed_destroy(struct kafka_feed **feed);

/* Asks the cluster whether the topic exists, without creating it; waits timeout_ms at most. With
 * KAFKA_FEED_WAIT the error names what is missing. */
enum kafka_feed_verdict kafka_feed_look(struct kafka_feed *feed, int timeout_ms,
                                        struct error *error);

/* Sends one record without a key, to each partition in turn, so that the same records always get
 * the same places; value may be NULL. Requires that kafka_feed_look found the topic. No waiting. */
enum kafka_feed_verdict kafka_feed_send(struct kafka_feed *feed, const void *value, size_t bytes,
                                        int64_t timestamp_ms, struct error *error);

/* Takes acknowledgements; waits timeout_ms at most for the first. */
void kafka_feed_poll(struct kafka_feed *feed, int timeout_ms);

/* Waits until all is acknowledged or given up, timeout_ms at most. Returns how many are not. */
int kafka_feed_flush(struct kafka_feed *feed, int timeout_ms);

/* How many records were acknowledged, and how many given up; the error: why the last one was. */
int64_t kafka_feed_delivered(const struct kafka_feed *feed);
int64_t kafka_feed_failed(const struct kafka_feed *feed, struct error *error);

#endif
