#include "shares.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

void shares_release(struct shares *shares) {
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++)
        free(shares->items[p]);
    free(shares->members);
}

struct share *shares_at(struct shares *shares, int32_t partition) {
    assert(partition >= 0 && partition < FENCE_PARTITIONS_MAX);
    struct share **place = &shares->items[partition];
    if (*place == NULL) *place = memory_create(sizeof **place);
    return *place;
}

struct share *shares_of_member(struct shares *shares, size_t member) {
    assert(member < shares->member_count);
    return shares_at(shares, shares->members[member].partition);
}

void shares_join(struct shares *shares, const struct batch *batch) {
    struct share *share = shares_at(shares, batch->partition);
    if (!share->is_in) {
        if (shares->member_count == shares->member_capacity) {
            shares->member_capacity = shares->member_capacity * 2 + 8;
            shares->members =
                memory_grow(shares->members, shares->member_capacity * sizeof *shares->members);
        }
        share->is_in = true;
        shares->members[shares->member_count++].partition = batch->partition;
    }
    share->generation = batch->published_generation;
    share->ingest = batch->home;
    share->end = batch->publish_end;
    share->origin = batch->origin;
    share->lineage = batch->lineage;
}

void shares_notify(const struct share *share, enum notice_kind kind,
                   const struct kafka_committed *committed) {
    notice_post(share->ingest, &(struct notice){.kind = kind,
                                                .generation = share->generation,
                                                .offset = committed->offset,
                                                .lineage = committed->lineage,
                                                .origin = committed->origin});
}

void shares_leave(struct shares *shares) {
    for (size_t i = 0; i < shares->member_count; i++)
        shares_of_member(shares, i)->is_in = false;
    shares->member_count = 0;
}

void shares_judge(struct shares *shares, bool has_failed) {
    for (size_t i = 0; i < shares->member_count; i++)
        shares_of_member(shares, i)->has_failed = has_failed;
}

bool shares_are_failing(const struct shares *shares, const struct fence *fence) {
    for (int p = 0; p < FENCE_PARTITIONS_MAX; p++) {
        const struct share *share = shares->items[p];
        if (share != NULL && share->has_failed && fence_lets(fence, p, share->generation))
            return true;
    }
    return false;
}
