/* kafka_member: under which member id the group gave this process its partitions.
 *
 * Place:    in kafka_source; kafka_sink asks before it commits.
 * Threads:  take_id from the source's; the others from any.
 * Owns:     the id.
 * Waits:    for librdkafka's main thread, which replies at once.
 *
 * A member that the group expelled (session timeout) joins again under a new id, and its partitions
 * may have had another owner in between. librdkafka reports this as a lost assignment, with one
 * exception: a static member (group.instance.id) that is expelled while it takes part in a
 * rebalance goes on holding its partitions, with metadata that the group accepts (seen up to
 * 2.15.1). So only what is held under the id that it was given to may be committed.
 */
#ifndef EDGE_KAFKA_MEMBER_H
#define EDGE_KAFKA_MEMBER_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdbool.h>

struct kafka_member {
    rd_kafka_t *consumer;
    pthread_mutex_t lock; /* guards the id */
    char *id;             /* when the first of what is held was given, or NULL */
};

/* Keeps the consumer. */
void kafka_member_init(struct kafka_member *member, rd_kafka_t *consumer);
void kafka_member_fini(struct kafka_member *member);

/* Takes the present id: to be called when partitions are given and none is held. Partitions that
 * come later under a newer id cannot make the older ones valid. */
void kafka_member_take_id(struct kafka_member *member);

/* True if the group knows this process by the id that was taken. */
bool kafka_member_is_same(struct kafka_member *member);

/* True if it knows it by another one by now. */
bool kafka_member_is_other(struct kafka_member *member);

#endif
