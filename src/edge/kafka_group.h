/* kafka_group: what the group's members own, and whether this user may join it.
 *
 * Place:    under kafka_source.
 * Threads:  any.
 * Waits:    timeout_ms at most for each of two answers of Kafka.
 * Source:   KIP-429 (cooperative rebalances), KIP-345 (static members).
 *
 * In a cooperative rebalance a partition changes hands in two steps: its owner gives it up and
 * joins once more, then it is given to another. If the owner is a static member (group.instance.id)
 * and dies between the two, its successor receives, without a rebalance, what the first step had
 * left to it. It has nothing to give up, nobody joins once more, and the partition stays an orphan
 * until something else moves the group.
 */
#ifndef EDGE_KAFKA_GROUP_H
#define EDGE_KAFKA_GROUP_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>

/* True if the group, of the classic protocol, is at rest and a partition of topic has no owner.
 * False also where Kafka does not answer or may not tell. Borrows all. */
bool kafka_group_has_orphans(rd_kafka_t *client, const char *group, const char *topic,
                             int timeout_ms);

/* False if Kafka says that this user lacks the ACL Read on the group; true also where it does not
 * answer or may not tell. For `check` alone: it takes the admin client's DescribeConsumerGroups,
 * the only request that tells rights, with which librdkafka ends the process by an assertion if the
 * group's coordinator goes away meanwhile (up to 2.15.1; its issue 4605). Borrows all. */
bool kafka_group_may_read(rd_kafka_t *client, const char *group, int timeout_ms);

/* How many partitions of topic are in a member's assignment, as the group's leader wrote it
 * (ConsumerProtocolAssignment); -1 if it is malformed. Borrows all. */
int kafka_group_count_assigned(const void *assignment, size_t bytes, const char *topic);

#endif
