/* shares: each partition's part in publish's transactions. Used by publish alone.
 *
 * Threads:  publish's.
 * Owns:     what it grows.
 */
#ifndef FLOW_SHARES_H
#define FLOW_SHARES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fence.h"
#include "edge/kafka_source.h"
#include "flow/batch.h"

/* One partition's part in the transaction. */
struct share {
    uint64_t generation; /* of the batches in the open transaction, or in the last one */
    uint64_t lowest;     /* generations below it were notified that they are not published */
    int64_t end, origin;
    struct lineage lineage; /* of the log below end */
    struct inbox *ingest;
    bool is_in;
    bool has_failed; /* its last transaction with records did */
};

struct shares {                                /* all zero is empty */
    struct share *items[FENCE_PARTITIONS_MAX]; /* by partition; made when first needed */
    struct kafka_committed *members;           /* partitions in the transaction */
    size_t member_count, member_capacity;
};

void shares_release(struct shares *shares);

struct share *shares_at(struct shares *shares, int32_t partition);
struct share *shares_of_member(struct shares *shares, size_t member);

/* The batch's partition takes part in the transaction from now on. */
void shares_join(struct shares *shares, const struct batch *batch);

/* Notifies the partition of what was committed, or of what the group has committed instead. */
void shares_notify(const struct share *share, enum notice_kind kind,
                   const struct kafka_committed *committed);

/* No partition takes part any more. */
void shares_leave(struct shares *shares);

/* The transaction failed, or succeeded, for all members. */
void shares_judge(struct shares *shares, bool has_failed);

/* Whether the last transaction of a partition failed that was not given away since. */
bool shares_are_failing(const struct shares *shares, const struct fence *fence);

#endif
