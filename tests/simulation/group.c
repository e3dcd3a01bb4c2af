/* The group's coordinator. A rebalance begins when a member comes, leaves or claims something else
 * than before, and ends when all have joined it. Partitions move in two steps: one that a member
 * claims is given to nobody else before that member has joined without claiming it. */
#include <string.h>

#include "broker.h"

struct member *group_find(int id) {
    struct group *group = &broker.group;
    for (int i = 0; i < group->count; i++) {
        if (id != 0 && group->members[i].id == id) return &group->members[i];
    }
    return NULL;
}

static struct member *find_static(int static_id) {
    struct group *group = &broker.group;
    for (int i = 0; i < group->count; i++) {
        if (static_id >= 0 && group->members[i].static_id == static_id) return &group->members[i];
    }
    return NULL;
}

static void begin_rebalance(void) {
    struct group *group = &broker.group;
    if (group->is_moving) return;
    group->is_moving = true;
    group->deadline_us = world.now_us + REBALANCE_MS * MS_US;
    for (int i = 0; i < group->count; i++)
        group->members[i].has_joined = false;
    trace("group: rebalance, generation %d ends", group->generation);
}

static void drop(struct member *member) {
    struct group *group = &broker.group;
    *member = group->members[--group->count];
    begin_rebalance();
}

int group_join(int id, int static_id, unsigned claims, int claimed_generation) {
    struct group *group = &broker.group;
    struct member *member = group_find(id);
    if (member == NULL) member = find_static(static_id);
    if (member != NULL && member->id == id) {
        if (member->claims != claims) begin_rebalance();
    } else if (member != NULL) { /* a static member's next life: what it had is its own, at once */
        trace("group: member %d is now %d", member->id, group->next_id + 1);
        member->id = ++group->next_id;
    } else {
        if (group->count == MEMBERS_MAX) broken("the group has too many members");
        begin_rebalance();
        member = &group->members[group->count++];
        *member = (struct member){.id = ++group->next_id, .static_id = static_id};
        if (one_in(2)) group->must_shuffle = true;
    }
    if (group->is_moving) {
        member->claims = claims;
        member->claimed_generation = claimed_generation;
        member->has_joined = true;
    } else { /* nothing has changed: it continues with what it has */
        member->generation = group->generation;
    }
    member->seen_us = world.now_us;
    return member->id;
}

void group_leave(int id) {
    struct member *member = group_find(id);
    if (member != NULL) drop(member);
}

void group_expel(int id) {
    struct member *member = group_find(id);
    if (member == NULL) return;
    trace("group: member %d expelled", id);
    drop(member);
}

void group_shuffle(void) {
    if (broker.group.count == 0) return;
    broker.group.must_shuffle = true;
    begin_rebalance();
}

/* The member that claims a partition; of two, the one that was given it last. */
static struct member *claimant(int partition) {
    struct group *group = &broker.group;
    struct member *found = NULL;
    for (int i = 0; i < group->count; i++) {
        struct member *member = &group->members[i];
        if (!(member->claims & 1U << partition)) continue;
        if (found == NULL || member->claimed_generation > found->claimed_generation) found = member;
    }
    return found;
}

static void share_out(void) {
    struct group *group = &broker.group;
    for (int i = 0; i < group->count; i++)
        group->members[i].assigned = 0;
    for (int p = 0; p < world.plan.partition_count && group->count > 0; p++) {
        struct member *target = group_find(group->targets[p]), *owner = claimant(p);
        if (target == NULL && owner != NULL && !one_in(3)) target = owner;
        if (target == NULL || group->must_shuffle) {
            target = &group->members[roll((uint32_t)group->count)];
        }
        group->targets[p] = target->id;
        if (owner == NULL || owner == target) target->assigned |= 1U << p;
    }
    group->must_shuffle = false;
}

static void end_rebalance(void) {
    struct group *group = &broker.group;
    for (int i = group->count - 1; i >= 0; i--) {
        struct member *member = &group->members[i];
        if (member->has_joined || member->static_id >= 0) continue;
        trace("group: member %d did not join in time", member->id);
        *member = group->members[--group->count];
    }
    group->generation++;
    group->is_moving = false;
    share_out();
    for (int i = 0; i < group->count; i++) {
        struct member *member = &group->members[i];
        if (member->has_joined) member->generation = group->generation;
        trace("group: generation %d gives member %d %s", group->generation, member->id,
              partition_names(member->assigned));
    }
}

static bool has_everybody(void) {
    const struct group *group = &broker.group;
    for (int i = 0; i < group->count; i++) {
        if (!group->members[i].has_joined) return false;
    }
    return true;
}

bool group_has_orphans(void) {
    const struct group *group = &broker.group;
    unsigned assigned = 0;
    if (group->is_moving) return false;
    for (int i = 0; i < group->count; i++)
        assigned |= group->members[i].assigned;
    return assigned != (1U << world.plan.partition_count) - 1;
}

void group_tick(void) {
    struct group *group = &broker.group;
    for (int i = group->count - 1; i >= 0; i--) {
        struct member *member = &group->members[i];
        if (world.now_us < member->seen_us + SESSION_MS * MS_US) continue;
        trace("group: the session of member %d ended", member->id);
        drop(member);
    }
    if (group->is_moving && (has_everybody() || world.now_us >= group->deadline_us)) {
        end_rebalance();
    }
}

int64_t group_next_us(void) {
    const struct group *group = &broker.group;
    int64_t next_us = group->is_moving ? group->deadline_us : NEVER_US;
    if (group->is_moving && has_everybody()) return world.now_us;
    for (int i = 0; i < group->count; i++) {
        const int64_t end_us = group->members[i].seen_us + SESSION_MS * MS_US;
        if (end_us < next_us) next_us = end_us;
    }
    return next_us;
}
