/* kafka_private: what the Kafka modules of edge need of each other beyond the contracts in
 * include/edge.
 *
 * Place:    included by src/edge/kafka_*.c alone.
 */
#ifndef EDGE_KAFKA_PRIVATE_H
#define EDGE_KAFKA_PRIVATE_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#include "edge/kafka_record.h"
#include "edge/kafka_source.h"
#include "edge/kafka_topics.h"

/* ---- kafka_source, from any thread */

/* The consumer. It is not replaced until it is returned, which is to be soon. */
rd_kafka_t *kafka_source_borrow(struct kafka_source *source);
void kafka_source_return(struct kafka_source *source);

const struct kafka_source_settings *kafka_source_settings(const struct kafka_source *source);

/* True as long as the group knows this process by the member id to which it gave the partitions. */
bool kafka_source_is_same_member(struct kafka_source *source);

/* ---- kafka_offsets, from any thread */

/* The offsets, with their origins, as they are committed. The caller owns the list. */
rd_kafka_topic_partition_list_t *kafka_source_list(const struct kafka_source *source,
                                                   const struct kafka_committed *items,
                                                   size_t count);

/* Commits without a transaction. After a timeout it may still happen. */
bool kafka_source_commit(struct kafka_source *source, const struct kafka_committed *items,
                         size_t count, int timeout_ms, struct error *error);

/* ---- kafka_stream */

/* Takes the partition's queue out of the consumer's, which is to be done before the partition is
 * assigned: so none of its records ever arrives there. Keeps all. Sets is_stranded when the
 * position is no longer in the log: librdkafka then stops fetching the partition and refuses to
 * seek in it. */
struct kafka_stream *kafka_stream_open(rd_kafka_t *consumer, const char *topic, int32_t partition,
                                       atomic_bool *is_stranded);

/* ---- kafka_record */

/* Whether the message shows that it has no headers. It does if key and value lie where they were
 * read, in a record of Kafka's format 2 (since 0.11): the length of the value stands between them,
 * and the number of headers behind. False: it may have some; librdkafka knows. Source: KIP-98,
 * "Message Format". Borrows the message, which is a consumer's, and looks at a few bytes before and
 * behind its value. */
bool kafka_record_shows_no_headers(const rd_kafka_message_t *message);

/* ---- kafka_topics, with any client */

enum topics_verdict kafka_topics_look_with(rd_kafka_t *client, const char *topic, int timeout_ms,
                                           struct topic_facts *facts, struct error *error);

#endif
