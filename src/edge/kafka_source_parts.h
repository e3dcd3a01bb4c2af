/* kafka_source_parts: what kafka_source.c has of a consumer and its group, and kafka_rejoin.c
 * changes.
 *
 * Place:    included by these two alone, and by the test of kafka_rejoin.
 * Threads:  the source's, but for what is atomic or says otherwise.
 */
#ifndef EDGE_KAFKA_SOURCE_PARTS_H
#define EDGE_KAFKA_SOURCE_PARTS_H

#include "kafka_private.h"

struct kafka_source {
    struct kafka_source_options options;
    const char *group, *topic;
    struct alarm *alarm; /* NULL before kafka_source_subscribe */
    struct kafka_rounds rounds;
    pthread_rwlock_t renewal; /* read: the consumer stays the same; write: it is replaced */
    struct kafka_client *client;
    struct kafka_client *asker; /* see kafka_source_borrow_asker; NULL: the client is asked */
    rd_kafka_queue_t *empty;    /* a queue of the consumer's that nothing ever comes into */
    struct kafka_member member;

    enum source_event event;               /* not answered yet; SOURCE_QUIET: none */
    rd_kafka_topic_partition_list_t *list; /* its partitions */
    struct kafka_assigned *items;          /* the same, as they are reported */
    rd_kafka_topic_partition_list_t *held; /* what was given and not yet taken */

    bool is_subscribed, is_leaving;
    int64_t renewed_ms;      /* when the consumer was replaced; 0: never */
    int64_t assigned_ms;     /* when the last assignment was answered */
    int orphan_looks;        /* in a row that found partitions without an owner */
    bool is_rejoining;       /* gives everything up; until the next assignment */
    bool is_replacing;       /* the same, and takes a new consumer then */
    atomic_bool is_stranded; /* a partition's position is no longer in the log; set by its reader */
    atomic_bool is_stalled;  /* the consumer does not fetch what it should; set by
                                kafka_source_replace */
    struct kafka_trial trial;  /* of certificates that have changed */
    struct kafka_client *next; /* passed it: takes the place of client once all was given back */
    bool must_look_again;      /* whether they have changed once more since then */
    atomic_bool has_probe;
    atomic_bool is_joined;
};

/* ---- kafka_source */

/* Opens the event that partitions are to be given away. Requires that none is open. Borrows. */
void kafka_source_open_taken(struct kafka_source *source, bool is_lost,
                             const rd_kafka_topic_partition_list_t *list);

/* A consumer with the source's properties, which has not joined. NULL with an error. */
struct kafka_client *kafka_source_make_consumer(struct kafka_source *source, struct error *error);

/* Puts the client, which it takes, in the place of the present one, which is destroyed. Requires
 * that nothing is held. */
void kafka_source_change(struct kafka_source *source, struct kafka_client *client);

/* Subscribes. */
bool kafka_source_join(struct kafka_source *source, struct error *error);

/* ---- kafka_rejoin: when the group is to be joined again, with the same consumer or another. What
 * returns an error is false if only the user can fix it. */

/* The group knows this process by another id than what is held was given to. */
bool kafka_rejoin_was_replaced(struct kafka_source *source);

/* Whether a consumer with new certificates waits, and nothing is held any more: to be asked before
 * the group can give anything again. Then kafka_rejoin_with_next joins with it. */
bool kafka_rejoin_is_ready(const struct kafka_source *source);
bool kafka_rejoin_with_next(struct kafka_source *source, struct error *error);

/* librdkafka has given up on the consumer, and says why. */
bool kafka_rejoin_after_failure(struct kafka_source *source, const char *why, struct error *error);

/* Everything else there may be a need for; opens an event if partitions are to be given away. */
bool kafka_rejoin_if_need_be(struct kafka_source *source, struct error *error);

#endif
