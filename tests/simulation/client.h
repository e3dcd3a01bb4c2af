/* client: what librdkafka does by itself for a consumer: heartbeats, joins, fetches.
 *
 * The functions of edge/kafka_source.h and edge/kafka_stream.h are in edge_source.c and
 * edge_stream.c.
 */
#ifndef TESTS_SIMULATION_CLIENT_H
#define TESTS_SIMULATION_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "edge/kafka_source.h"
#include "process.h"
#include "world.h"

struct kafka_stream {
    struct kafka_source *source;
    int partition;
    int64_t position; /* what is read next; -1: nothing is */
    int64_t fetched;  /* up to here records are at hand */
    int64_t reached;  /* where the end was last reported since the last seek; -1: nowhere */
    bool is_open;
    bool is_stranded; /* the log no longer has its position */
    int32_t epoch;    /* of the last record lent since the last seek; -1: none */
    int32_t leader;   /* the last epoch that it has heard of */
    bool is_deaf;     /* fetches nothing any more, and does not tell */
    bool is_assigned;
    struct alarm *alarm;
};

struct kafka_source {
    struct process *process;
    int static_id; /* -1: none */
    struct alarm *alarm;
    struct error failure;
    bool is_subscribed, is_joined, has_failed;
    /* the member, as the client knows it */
    int member_id, generation, given_generation;
    int taken_id;               /* the member id when the first of what is held was given */
    bool must_join, must_learn; /* it was given other partitions, perhaps */
    unsigned held;              /* partitions, as bits */
    /* what the group wants of the program */
    unsigned to_take, to_give;
    bool is_lost; /* the group expelled this member: all is to be dropped */
    bool is_starting_over;
    bool must_replace;            /* by a new consumer */
    bool must_renew;              /* the same, once everything was given back in order */
    bool must_tell;               /* an assignment of nothing is reported too */
    enum source_event open_event; /* reported and not answered; SOURCE_QUIET: none */
    struct kafka_assigned items[PARTITIONS_MAX];
    size_t item_count;
    int64_t assigned_us, tick_us;
    int orphan_looks;
    struct kafka_stream streams[PARTITIONS_MAX];
};

bool client_is_due(const struct kafka_source *source);
int64_t client_next_us(const struct kafka_source *source);
void client_tick(struct kafka_source *source);

/* Whether the group has it under the id that its partitions were given to. */
bool client_is_same_member(const struct kafka_source *source);

/* --- kafka.c: the network between a process and Kafka --- */

bool kafka_is_reachable(const struct process *process);
/* One way of a call to Kafka, or back: others may run meanwhile. False if it is not made: the
 * process was killed, or the deadline passed. */
bool kafka_trip(int64_t deadline_us);
/* Both ways. */
bool kafka_round_trip(int64_t deadline_us);

/* Of edge/kafka_record.h: the record that they came with. */
struct kafka_headers {
    const struct record *record;
};

#endif
