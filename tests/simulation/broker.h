/* broker: the simulated Kafka: the input's logs, the group, the transactions, the output topics.
 *
 * It keeps what the real one promises: a group of generations (KIP-429, KIP-345), transactions with
 * an epoch for each producer of an id (KIP-98), offsets that are stable or not (KIP-447). The
 * clients' half of it is in edge_source.c, edge_stream.c and edge_sink.c.
 */
#ifndef TESTS_SIMULATION_BROKER_H
#define TESTS_SIMULATION_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lineage.h"
#include "core/login.h"
#include "world.h"

enum {
    MEMBERS_MAX = 16,
    PRODUCERS_MAX = 64, /* transactional ids */
    OUTPUTS_MAX = 16384,
    SESSION_MS = 10000,
    REBALANCE_MS = 15000,
    TRANSACTION_MS = 20000,
};

/* A member of the group, as its coordinator knows it. */
struct member {
    int id;                 /* changes with each new life; 0 is nobody */
    int static_id;          /* group.instance.id, or -1 */
    unsigned claims;        /* partitions that it said it owns, as bits */
    int claimed_generation; /* the generation in which it was given them */
    unsigned assigned;
    int generation;  /* the last in which it took part */
    bool has_joined; /* the rebalance that is under way */
    int64_t seen_us;
};

struct group {
    int generation;
    bool is_moving; /* a rebalance is under way: members join again */
    bool must_shuffle;
    int64_t deadline_us;
    int next_id;
    int count;
    struct member members[MEMBERS_MAX];
    int targets[PARTITIONS_MAX]; /* the member that each partition should go to */
};

/* Where the group is in a partition; -1 is none. */
struct committed {
    int64_t offset, origin;
    struct lineage lineage;
};

/* A transactional id. */
struct producer {
    char id[64];
    int epoch;
    enum { IDLE, ONGOING, COMMITTING } state;
    bool was_committed; /* the last transaction of this epoch */
    int serial;         /* of the present or last transaction */
    int64_t since_us, end_us;
    bool has_offsets;
    bool has_offset[PARTITIONS_MAX];
    struct committed offsets[PARTITIONS_MAX];
    int64_t late_commit_us; /* a commit of late_epoch is on its way; NEVER_US: none */
    int late_epoch;
};

/* A record of an output topic, in the order of its log. */
struct output {
    int16_t partition, offset, producer;
    int8_t reason, edition, life;
    enum { OUTPUT_OPEN, OUTPUT_COMMITTED, OUTPUT_ABORTED } state;
    int serial;
};

struct broker {
    int8_t log[PARTITIONS_MAX][EDITIONS][LOG_MAX]; /* kinds of records */
    int8_t edition[PARTITIONS_MAX][LOG_MAX];       /* that the log has of an offset */
    bool is_cut[PARTITIONS_MAX];                   /* it lost its end once */
    int32_t epochs[PARTITIONS_MAX][LOG_MAX];       /* of the leaders that wrote them */
    int64_t log_begin[PARTITIONS_MAX], log_end[PARTITIONS_MAX];
    int32_t epoch[PARTITIONS_MAX]; /* of the present leader */
    struct group group;
    struct committed committed[PARTITIONS_MAX];
    int64_t origin[PARTITIONS_MAX];      /* of the first commit; -1: there was none */
    int8_t life[PARTITIONS_MAX];         /* how often the group lost its committed offset there */
    bool was_bare[PARTITIONS_MAX];       /* since then: neither side knew anything of it */
    uint64_t adoptable[PARTITIONS_MAX];  /* offsets where it may begin since, as bits */
    uint64_t cut_points[PARTITIONS_MAX]; /* where the log lost its end, as bits */
    int64_t begun[PARTITIONS_MAX];       /* where it did begin, or where that was cut off since */
    int producer_count;
    struct producer producers[PRODUCERS_MAX];
    int64_t untaken_us; /* the output topics take nothing until then */
    int output_count;
    struct output outputs[OUTPUTS_MAX];
    int64_t topics_us[2]; /* when each output topic is there; NEVER_US: it is not */
    int64_t back_us;      /* away until then */
};

extern struct broker broker;

void broker_begin(void);
/* Records arrive, up to an offset. */
void broker_grow(int partition, int64_t end);
/* The log loses all from an offset on, and has another leader. */
void broker_cut(int partition, int64_t end);
void broker_tick(void);       /* what time brings: sessions, rebalances, transactions that end */
int64_t broker_next_us(void); /* when it next brings something */
bool broker_is_quiet(void);   /* nothing is under way */

/* The group loses its members and committed offsets. Until it commits again, it may begin wherever
 * Redis says that it has counted; or where the log was cut off, if that was below. */
void broker_forget(void);
/* Whether Kafka, or else Redis, has where the group began, without the other one's help. */
bool broker_has_origins(void);
bool redis_has_origins(void);
void broker_note_counted(int partition, int64_t offset, const struct lineage *lineage);

/* The highest offset where it may begin, of those up to `offset`; and here, if the log was cut off
 * in the holes that follow, since a cut is found behind the last record that is the same. -1:
 * nowhere. */
int64_t broker_adoptable(int partition, int64_t offset);

/* Where the group is as soon as what is decided is visible. */
struct committed broker_decided(int partition);

/* --- group.c --- */

/* A member joins, or joins again; id 0 gets a new one. Returns its id. */
int group_join(int id, int static_id, unsigned claims, int claimed_generation);
void group_leave(int id);
void group_expel(int id);
void group_shuffle(void); /* another rebalance, in which partitions move */
struct member *group_find(int id);
bool group_has_orphans(void);
void group_tick(void);
int64_t group_next_us(void);

/* --- transactions.c --- */

/* What a request of a producer comes to. */
enum answer { ANSWER_OK, ANSWER_FENCED, ANSWER_REFUSED };

/* Its number, by which the others know it. */
int producer_of(const char *id);
void producer_open(int number, int *epoch);
enum answer producer_send(int number, int epoch, int partition, int64_t offset, int edition,
                          enum login_reason reason);
enum answer producer_send_offsets(int number, int epoch, const struct committed *offsets,
                                  const bool *has_offset, int member_id, int generation);
enum answer producer_end(int number, int epoch, bool commits);
/* The commit is on its way, and nobody waits for it. */
void producer_end_late(int number, int epoch);
bool offsets_are_stable(unsigned partitions);
void transactions_tick(void);
int64_t transactions_next_us(void);
void transactions_expire(void); /* all that are open, by their timeout */

#endif
