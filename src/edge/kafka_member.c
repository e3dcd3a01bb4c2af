/* A member that the group expelled (session timeout) joins again under a new id, and its partitions
 * may have had another owner in between. librdkafka reports this as a lost assignment, with one
 * exception: a static member (group.instance.id) that is expelled while it takes part in a
 * rebalance goes on holding its partitions, with metadata that the group accepts (seen up to
 * 2.15.1). So only what is held under the id that it was given to may be committed. */
#include "kafka_private.h"

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

void kafka_member_take_id(struct kafka_member *member) {
    char *id = rd_kafka_memberid(member->consumer);
    pthread_mutex_lock(&member->lock);
    forget_id(member);
    member->id = id;
    pthread_mutex_unlock(&member->lock);
}

/* How the present id relates to the one that was taken. */
enum relation { SAME, OTHER, NOT_A_MEMBER };

static enum relation relate(struct kafka_member *member) {
    char *id = rd_kafka_memberid(member->consumer);
    pthread_mutex_lock(&member->lock);
    enum relation relation = id == NULL || *id == '\0'                           ? NOT_A_MEMBER
                             : member->id != NULL && strcmp(id, member->id) == 0 ? SAME
                                                                                 : OTHER;
    pthread_mutex_unlock(&member->lock);
    if (id != NULL) rd_kafka_mem_free(member->consumer, id);
    return relation;
}

bool kafka_member_is_same(struct kafka_member *member) {
    return relate(member) == SAME;
}

bool kafka_member_is_other(struct kafka_member *member) {
    return relate(member) == OTHER;
}
