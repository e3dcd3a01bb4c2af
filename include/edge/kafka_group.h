/* kafka_group: whether the group has come to rest with partitions that nobody owns.
 *
 * Place:    the pipeline asks now and then, for kafka_source to mend it.
 * Threads:  any; what a call needs, it makes.
 * Waits:    timeout_ms at most for each of two answers of Kafka.
 *
 * In a cooperative rebalance a partition changes hands in two steps: its owner gives it up and joins
 * once more, then it is given to another. If the owner is a static member (group.instance.id) and dies
 * between the two, whoever comes in its place is handed, without a rebalance, what the first step had
 * left to it (KIP-345). It has nothing to give up, nobody joins once more, and the partition would stay
 * without an owner until something else moves the group.
 */
#ifndef EDGE_KAFKA_GROUP_H
#define EDGE_KAFKA_GROUP_H

#include <stdbool.h>

struct rd_kafka_s; /* rd_kafka_t */

/* True if the group is at rest, a partition of topic has no owner, and it is for the member `client` to
 * do something about it: of all members, the one that owns least. False also where Kafka does not
 * answer or may not tell. client must be a consumer of the classic protocol. Borrows all. */
bool kafka_group_is_ours_to_mend(struct rd_kafka_s *client, const char *group, const char *topic,
                                 int timeout_ms);

#endif
