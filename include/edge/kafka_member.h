/* kafka_member: under which member id the group gave this process its partitions.
 *
 * Place:    kept by kafka_source; kafka_sink asks before it commits.
 * Threads:  hold and let_go from the thread of the rebalances; the others from any.
 * Owns:     the id.
 * Waits:    for librdkafka's main thread, which answers at once.
 *
 * A member that the group expelled (session timeout) joins again under a new id, and then its
 * partitions may have had another owner. librdkafka tells this as a lost assignment, with one
 * exception: a static member (group.instance.id) that is expelled while it takes part in a rebalance
 * goes on holding its partitions, with metadata that the group accepts (seen up to 2.15.1). So only
 * what is held under the id that it was given to may be committed.
 */
#ifndef EDGE_KAFKA_MEMBER_H
#define EDGE_KAFKA_MEMBER_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct kafka_member {
    rd_kafka_t *consumer;
    pthread_mutex_t lock; /* guards the rest */
    char *id;             /* when the first of what is held was given, or NULL */
    size_t held_count;
};

/* Keeps the consumer. */
void kafka_member_init(struct kafka_member *member, rd_kafka_t *consumer);
void kafka_member_fini(struct kafka_member *member);

/* So many partitions more, or less, are held. */
void kafka_member_hold(struct kafka_member *member, size_t count);
void kafka_member_let_go(struct kafka_member *member, size_t count);

/* True if all that is held was given under the id of now. */
bool kafka_member_is_same(struct kafka_member *member);

/* True if something is held, and the group has this process under another id by now. */
bool kafka_member_was_replaced(struct kafka_member *member);

#endif
