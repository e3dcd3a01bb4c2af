/* The id is taken when the first partition is given, and kept until the last is let go: what comes
 * meanwhile under a newer id cannot make the older of them good. */
#include "edge/kafka_member.h"

#include <assert.h>
#include <string.h>

void kafka_member_init(struct kafka_member *member, rd_kafka_t *consumer) {
    *member = (struct kafka_member){.consumer = consumer};
    pthread_mutex_init(&member->lock, NULL);
}

static void forget_id(struct kafka_member *member) {
    if (member->id != NULL) rd_kafka_mem_free(member->consumer, member->id);
    member->id = NULL;
}

void kafka_member_fini(struct kafka_member *member) {
    forget_id(member);
    pthread_mutex_destroy(&member->lock);
}

void kafka_member_hold(struct kafka_member *member, size_t count) {
    char *id = rd_kafka_memberid(member->consumer);
    pthread_mutex_lock(&member->lock);
    if (member->held_count == 0) {
        forget_id(member);
        member->id = id;
        id = NULL;
    }
    member->held_count += count;
    pthread_mutex_unlock(&member->lock);
    if (id != NULL) rd_kafka_mem_free(member->consumer, id);
}

void kafka_member_let_go(struct kafka_member *member, size_t count) {
    pthread_mutex_lock(&member->lock);
    assert(count <= member->held_count);
    member->held_count -= count;
    pthread_mutex_unlock(&member->lock);
}

/* How the id of now stands to that of what is held. */
enum relation { SAME, OTHER, NOT_A_MEMBER };

static enum relation relate(struct kafka_member *member, size_t *held_count) {
    char *id = rd_kafka_memberid(member->consumer);
    pthread_mutex_lock(&member->lock);
    *held_count = member->held_count;
    enum relation relation = id == NULL || *id == '\0'                           ? NOT_A_MEMBER
                             : member->id != NULL && strcmp(id, member->id) == 0 ? SAME
                                                                                 : OTHER;
    pthread_mutex_unlock(&member->lock);
    if (id != NULL) rd_kafka_mem_free(member->consumer, id);
    return relation;
}

bool kafka_member_is_same(struct kafka_member *member) {
    size_t held_count;
    return relate(member, &held_count) == SAME;
}

bool kafka_member_was_replaced(struct kafka_member *member) {
    size_t held_count;
    return relate(member, &held_count) == OTHER && held_count > 0;
}
