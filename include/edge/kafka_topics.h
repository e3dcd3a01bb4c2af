/* kafka_topics: looks at topics, and creates those that are missing.
 *
 * Place:    before the flow: start-up, check and demo.
 * Threads:  any; what a call needs, it makes.
 * Waits:    timeout_ms at most for each answer of Kafka; a call asks once or twice.
 */
#ifndef EDGE_KAFKA_TOPICS_H
#define EDGE_KAFKA_TOPICS_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct kafka_source;

enum topics_verdict {
    TOPICS_OK,
    TOPICS_RETRY,   /* Kafka is unreachable: the same again, later */
    TOPICS_REFUSED, /* only the user can fix it; the error describes how */
};

/* What a Kafka that does not answer is reported with: of bootstrap.servers, and why. */
#define TOPICS_SILENT                                                                              \
    "Kafka at %.300s does not answer (%.300s): see that it runs, that kafka.bootstrap.servers "    \
    "and its advertised listeners can be reached from here, and that security.protocol, user "     \
    "and password are right"

struct topic_facts {
    bool exists;
    int partition_count; /* 0 if it does not exist */
    /* from kafka_topics_describe: */
    char id[40];     /* in base64; "" where Kafka or librdkafka gives none */
    bool has_rights; /* Kafka reported what this user may do: the next two */
    bool may_read;
    bool may_write;
};

/* Looks at one topic, without creating it. Fills facts if TOPICS_OK. Borrows all. */
enum topics_verdict kafka_topics_look(struct kafka_source *source, const char *topic,
                                      int timeout_ms, struct topic_facts *facts,
                                      struct error *error);

/* Adds the id and the rights to the facts of a topic that exists; none if anything goes wrong, as
 * with the in-process broker. False with an error if that is because a broker that is advertised
 * cannot be reached. Borrows all. */
bool kafka_topics_describe(struct kafka_source *source, const char *topic, int timeout_ms,
                           struct topic_facts *facts, struct error *error);

/* False with an error if the topic has another id now: it was deleted and re-created. True also if
 * Kafka gives no id, or no answer. Sets, unless `now` is NULL, whether the topic exists, and how
 * many partitions it has, if Kafka says so. Borrows all. */
bool kafka_topics_is_same(struct kafka_source *source, const char *topic, const char *id,
                          int timeout_ms, struct topic_facts *now, struct error *error);

/* True if a broker answers; else the error says in short why not. Borrows all. */
bool kafka_topics_answers(struct kafka_source *source, int timeout_ms, struct error *error);

/* For how long a topic keeps records: instead of a time of at least 1 ms. */
enum { TOPICS_KEEP_UNKNOWN = 0, TOPICS_KEEP_ALWAYS = -1 };

/* For how long the topic keeps records, by age: retention.ms, or TOPICS_KEEP_ALWAYS if that is
 * without limit or nothing is deleted (cleanup.policy). TOPICS_REFUSED if this user may not
 * know, or the broker cannot say. Borrows all. */
enum topics_verdict kafka_topics_retention(struct kafka_source *source, const char *topic,
                                           int timeout_ms, int64_t *retention_ms,
                                           struct error *error);

/* Creates a topic with the broker's default replication; one that exists is fine, whatever its
 * partitions. Brokers may need a moment until all of them know it. Borrows all. */
enum topics_verdict kafka_topics_create(struct kafka_source *source, const char *topic,
                                        int partition_count, int timeout_ms, struct error *error);

#endif
