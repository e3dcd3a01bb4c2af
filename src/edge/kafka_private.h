/* kafka_private: what the Kafka modules of edge need of each other beyond the contracts in
 * include/edge.
 *
 * Place:    included by src/edge/kafka_*.c alone.
 */
#ifndef EDGE_KAFKA_PRIVATE_H
#define EDGE_KAFKA_PRIVATE_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/trouble.h"
#include "base/worker.h"
#include "edge/kafka_conf.h"
#include "edge/kafka_record.h"
#include "edge/kafka_sink.h"
#include "edge/kafka_source.h"
#include "edge/kafka_topics.h"

/* ---- kafka_conf: the configuration of a client */

/* [kafka]'s properties as far as they are for this role, then those of the role's own section. The
 * caller owns the configuration, and sets what rollcall owns. NULL with an error. */
rd_kafka_conf_t *kafka_conf_build(const struct properties *kafka, const struct properties *own,
                                  enum kafka_role role, struct error *error);

/* Makes the client. Takes conf. NULL with an error. */
rd_kafka_t *kafka_conf_open(rd_kafka_conf_t *conf, enum kafka_role role, struct error *error);

/* Sets what rollcall owns. Requires that librdkafka knows the property and takes the value. */
void kafka_conf_own(rd_kafka_conf_t *conf, const char *name, const char *value);
void kafka_conf_own_number(rd_kafka_conf_t *conf, const char *name, long long value);

/* Sets rollcall's default, unless the user has set the property. */
void kafka_conf_default(rd_kafka_conf_t *conf, const struct properties *kafka,
                        const struct properties *own, const char *name, long long value);

/* The value of a property, which the caller frees; NULL if it has none. */
char *kafka_conf_text(const rd_kafka_conf_t *conf, const char *name);

/* Whether the property has this value; case does not count. */
bool kafka_conf_has(const rd_kafka_conf_t *conf, const char *name, const char *value);

/* Whether the client logs in with OAUTHBEARER. */
bool kafka_conf_is_oauthbearer(const rd_kafka_conf_t *conf);

/* ---- kafka_consumer: configurations of consumers; the caller owns them. NULL with an error. */

/* Of the member of the group. */
rd_kafka_conf_t *kafka_consumer_conf(const struct kafka_source_options *options,
                                     struct error *error);

/* For rd_kafka_consume_start: it joins no group, sees records of all transactions, and the end of a
 * partition. */
rd_kafka_conf_t *kafka_consumer_conf_of_probe(const struct kafka_source_options *options,
                                              struct error *error);

/* For questions about topics and their logs: it reads nothing, and what it hears of a log is what a
 * member of the group may read. */
rd_kafka_conf_t *kafka_consumer_conf_of_asker(const struct kafka_source_options *options,
                                              struct error *error);

/* ---- kafka_access: why brokers do not let a client in, or cannot do what it needs. From any
 * thread, except init and fini. */

struct kafka_access {
    struct trouble *trouble; /* why; cleared by the first response of a broker that let it in */
    struct trouble own;      /* where the client's owner has none to show */
    /* The last connection that failed: of those to bootstrap.servers, cleared by any response, and
     * of those to the brokers that these advertise, cleared by a response of one of them. */
    struct trouble bootstrap_away, advertised_away;
    atomic_bool lacks_transactions; /* a broker said that it knows none */
    atomic_bool is_let_in;          /* a broker answered since it was last denied */
    char *token_endpoint;           /* where OAUTHBEARER's tokens come from; NULL: nowhere */
};

/* Of the client that is made with conf, whose opaque must be a struct kafka_client. Keeps trouble,
 * which may be NULL, and conf keeps access. */
void kafka_access_init(struct kafka_access *access, struct trouble *trouble, rd_kafka_conf_t *conf);
/* To be called after the client was destroyed. */
void kafka_access_fini(struct kafka_access *access);

/* Takes note of a line of librdkafka's. Borrows it. */
void kafka_access_note(struct kafka_access *access, const char *facility, const char *line);

/* True, with the reason and the fix, if it is not let in at present. */
bool kafka_access_is_denied(struct kafka_access *access, struct error *why);

/* Why no broker answers, in short: the connection that failed last, or else the code. */
void kafka_access_show_silence(struct kafka_access *access, rd_kafka_resp_err_t code,
                               struct error *why);

/* True, with the broker and the reason, if none of the brokers that bootstrap.servers advertise has
 * answered since a connection to one could not be made. */
bool kafka_access_is_cut_off(struct kafka_access *access, struct error *why);

/* How to grant a producer what brokers deny it with this code; false if they deny nothing. */
bool kafka_access_find_right(const struct kafka_sink_options *options, rd_kafka_resp_err_t code,
                             struct error *fix);

/* What a line of librdkafka's about a connection means, with the fix; false if it is none of this
 * kind. */
bool kafka_access_explain(const char *line, struct error *why);

/* The same of a line about a token that endpoint (NULL: unknown) did not give. */
bool kafka_access_explain_token(const char *endpoint, const char *line, struct error *why);

/* The same of OpenSSL's error code for a broker's certificate. */
void kafka_access_explain_certificate(const char *broker, int code, struct error *why);

/* ---- kafka_client: a client, where its log lines go, and that it finds its brokers again */

struct kafka_client {
    rd_kafka_t *handle;
    void *owner;   /* for callbacks */
    int log_level; /* librdkafka's, once the producer is ready */
    struct kafka_access access;
    struct worker brokers;     /* looks after them */
    int64_t look_ms;           /* the worker's: when to look next */
    char *password_file;       /* sasl.password_file, NULL: none */
    struct secret *latest;     /* borrowed: sasl.password, as last reloaded; NULL: none */
    char *password;            /* the worker's: as it was read last */
    atomic_llong throttled_ms; /* until when a quota of Kafka's held it back; 0: never */
    uint64_t certificates;     /* kafka_conf_certificates when it was made */
};

/* Sends the lines of a client of this configuration to base/log, as far as log.level allows. */
void kafka_client_log(rd_kafka_conf_t *conf);

/* The client of a configuration that was built of these properties. Its opaque, which callbacks
 * get, is the kafka_client. Takes conf; keeps owner (NULL: none, and nobody polls the client) and
 * trouble (NULL: none), which shows why brokers do not let it in; borrows the rest. NULL with an
 * error. */
struct kafka_client *kafka_client_create(enum kafka_role role, rd_kafka_conf_t *conf,
                                         const struct properties *kafka,
                                         const struct properties *own, void *owner,
                                         struct trouble *trouble, struct error *error);

/* A property of the client, which the caller frees; NULL if it is not set. */
char *kafka_client_text(rd_kafka_t *handle, const char *name);

/* That of a handle, NULL if kafka_client_create did not make it. */
struct kafka_client *kafka_client_of(const rd_kafka_t *handle);

/* As rd_kafka_init_transactions, but returns early if brokers do not let the client in, or know no
 * transactions: then the code is RD_KAFKA_RESP_ERR__AUTHENTICATION or __UNSUPPORTED_FEATURE, and
 * the string is the whole reason, with the fix. Requires debug=eos. */
rd_kafka_error_t *kafka_client_init_transactions(struct kafka_client *client, int timeout_ms);

/* Reads sasl.password_file again; connections that authenticate from then on use what it holds. The
 * worker does it every few seconds. */
void kafka_client_read_password(struct kafka_client *client);

/* Takes *client, which may be NULL, and nulls it. Waits for librdkafka's threads. */
void kafka_client_destroy(struct kafka_client **client);

/* The alarm rings when something comes into the empty queue; NULL: no longer. Keeps it. */
void kafka_client_watch(rd_kafka_queue_t *queue, struct alarm *alarm);

/* ---- kafka_trial: whether brokers let a client in with certificates that have changed, before the
 * present one, which may well work on, makes room for one that has them. From one thread. Ending it
 * waits for librdkafka's threads. */

struct kafka_trial { /* all zero: none is under way */
    struct kafka_client *client;
    int64_t warn_ms; /* when to log next that it is not let in */
};

/* Makes the client, of these properties; logs why it cannot. Takes conf, of which NULL was logged.
 * Requires that no trial is under way. */
void kafka_trial_begin(struct kafka_trial *trial, enum kafka_role role, rd_kafka_conf_t *conf,
                       const struct properties *kafka, const struct properties *own);

/* True once, and the trial is over: a broker has let the client in. Else logs why not, from time to
 * time. */
bool kafka_trial_has_passed(struct kafka_trial *trial);

bool kafka_trial_is_under_way(const struct kafka_trial *trial);
void kafka_trial_end(struct kafka_trial *trial);

/* ---- kafka_bounds: the bounds of many partitions, asked for in rounds. From any thread. */

struct kafka_rounds {
    pthread_mutex_t lock;
    struct kafka_round *open; /* gathers partitions; NULL: none. Guarded by lock */
    bool is_asking;           /* another round is under way. Guarded by lock */
    int limit;                /* partitions in a round. Guarded by lock */
};

void kafka_rounds_init(struct kafka_rounds *rounds);
void kafka_rounds_fini(struct kafka_rounds *rounds);

/* ---- kafka_group: under which id the group gave this process its partitions */

struct kafka_member {
    rd_kafka_t *consumer;
    pthread_mutex_t lock; /* guards the id against the source's thread, which alone sets it */
    char *id;             /* when the first of what is held was given, or NULL */
};

enum kafka_member_state { KAFKA_MEMBER_NONE, KAFKA_MEMBER_SAME, KAFKA_MEMBER_OTHER };

/* Keeps the consumer. */
void kafka_member_init(struct kafka_member *member, rd_kafka_t *consumer);
void kafka_member_fini(struct kafka_member *member);

/* Takes the present id: to be called, by the source's thread, when partitions are given and none is
 * held. Partitions that come later under a newer id cannot make the older ones valid. */
void kafka_member_take_id(struct kafka_member *member);

/* From any thread: whether the group knows this process by the id that was taken, by another, or
 * not at all. */
enum kafka_member_state kafka_member_state(struct kafka_member *member);

/* From the source's thread: whether an id was taken, and the group knows this process no longer by
 * it. */
bool kafka_member_lost_id(struct kafka_member *member);

/* Whether the consumer is a member of the group, if without a partition; consumer protocol only. */
bool kafka_member_has_joined(rd_kafka_t *consumer);

/* ---- the group's rest, from any thread; each call waits timeout_ms at most for each of two
 * answers of Kafka */

/* True if the group, of the classic protocol, is at rest and a partition of topic has no owner.
 * False also where Kafka does not answer or may not tell. */
bool kafka_group_has_orphans(rd_kafka_t *client, const char *group, const char *topic,
                             int timeout_ms);

/* False if Kafka says that this user lacks the ACL Read on the group; true also where it does not
 * answer or may not tell. */
bool kafka_group_may_read(rd_kafka_t *client, const char *group, int timeout_ms);

/* How many partitions of topic are in a member's assignment, as the group's leader wrote it
 * (ConsumerProtocolAssignment); -1 if it is malformed. */
int kafka_group_count_assigned(const void *assignment, size_t bytes, const char *topic);

/* The offsets, with their origins, as they are committed. The caller owns the list. */
rd_kafka_topic_partition_list_t *kafka_source_list(const struct kafka_source *source,
                                                   const struct kafka_committed *items,
                                                   size_t count);

/* Commits without a transaction. After a timeout it may still happen. */
bool kafka_source_commit(struct kafka_source *source, const struct kafka_committed *items,
                         size_t count, int timeout_ms, struct error *error);

/* ---- kafka_source, from any thread */

/* The consumer, for what is about the group. It is not replaced until it is returned, which is to
 * be soon. */
rd_kafka_t *kafka_source_borrow(struct kafka_source *source);

/* The same of the client for questions about topics and their logs. Once the group is joined it is
 * another one: a broker answers one request of a connection after the other, and lets one that
 * fetches wait, for records (fetch.wait.max.ms) or for a quota, for seconds. */
rd_kafka_t *kafka_source_borrow_asker(struct kafka_source *source);
void kafka_source_return(struct kafka_source *source);

struct kafka_rounds *kafka_source_rounds(struct kafka_source *source);

const struct kafka_source_settings *kafka_source_settings(const struct kafka_source *source);

/* Another consumer with the same properties (kafka_consumer_conf_of_probe), one at a time, up to
 * kafka_source_end_probe. NULL with an error. */
struct kafka_client *kafka_source_make_probe(struct kafka_source *source, struct error *error);
void kafka_source_end_probe(struct kafka_source *source);

/* True as long as the group knows this process by the member id to which it gave the partitions. */
bool kafka_source_is_same_member(struct kafka_source *source);

/* ---- kafka_stream */

/* Takes the partition's queue out of the consumer's, which is to be done before the partition is
 * assigned: so none of its records ever arrives there. Keeps all. Sets is_stranded when the
 * position is no longer in the log: librdkafka then stops fetching the partition and refuses to
 * seek in it. */
struct kafka_stream *kafka_stream_open(rd_kafka_t *consumer, const char *topic, int32_t partition,
                                       atomic_bool *is_stranded);

/* ---- kafka_record */

/* Lends what the message holds, as long as it lives. */
static inline struct kafka_record kafka_record_of(rd_kafka_message_t *message) {
    rd_kafka_timestamp_type_t type;
    const int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
    return (struct kafka_record){
        .offset = message->offset,
        .timestamp_ms = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : timestamp_ms,
        .leader_epoch = rd_kafka_message_leader_epoch(message),
        .key = {message->key, message->key_len},
        .value = {message->payload, message->len},
        .message = message,
    };
}

/* Whether the message shows that it has no headers. It does if key and value lie where they were
 * read, in a record of Kafka's format 2 (since 0.11): the length of the value stands between them,
 * and the number of headers behind. False: it may have some; librdkafka knows. Source: KIP-98,
 * "Message Format". Borrows the message, which is a consumer's, and looks at a few bytes before and
 * behind its value. */
bool kafka_record_shows_no_headers(const rd_kafka_message_t *message);

/* ---- kafka_flight: which requests of a producer are under way, so that nobody flushes behind one.
 * Calls are the owner's; librdkafka's broker threads count. */

struct kafka_flight;

struct kafka_flight *kafka_flight_create(void);

/* To be called after the producer was destroyed. Takes *flight, which may be NULL, and nulls it. */
void kafka_flight_destroy(struct kafka_flight **flight);

/* Counts the requests of the producer that is made with this configuration, which keeps the
 * flight. */
void kafka_flight_attach(struct kafka_flight *flight, rd_kafka_conf_t *conf);

/* Waits for a response, for timeout_ms at most. False, and at once, if none is due. May return
 * early. */
bool kafka_flight_wait(struct kafka_flight *flight, int timeout_ms);

/* Waits until no response is due and nothing was sent for a moment after the last one, or for
 * timeout_ms; not at all if none was due. What is sent after that moment costs CPU, nothing
 * else. */
void kafka_flight_settle(struct kafka_flight *flight, int timeout_ms);

/* ---- kafka_output: the output topic for accepted records, or that for rejected ones */

struct kafka_output {
    const char *name; /* "": it is not written */
    const char *input_topic;
    bool keeps_partition; /* it has as many partitions as the input */
    size_t limit_bytes;   /* of the smallest record that the topic is known not to take; 0: none */
    /* while open */
    rd_kafka_t *producer;
    rd_kafka_topic_t *topic;
};

static inline bool kafka_output_is_written(const struct kafka_output *output) {
    return *output->name != '\0';
}

/* Keeps the producer until close. Requires that it is written. */
bool kafka_output_open(struct kafka_output *output, rd_kafka_t *producer, struct error *error);
void kafka_output_close(struct kafka_output *output);

/* The topic does not take a record of so many bytes: key, value and headers. */
void kafka_output_limit(struct kafka_output *output, size_t bytes);

/* Whether a topic did not take a record for what it is, or another one of its batch. */
bool kafka_output_is_refusal(rd_kafka_resp_err_t code);

/* What to do about a record that a topic did not take, as the rest of a sentence. */
const char *kafka_output_fix(rd_kafka_resp_err_t code);

/* Sends a copy of the record. Requires that it is open. */
enum sink_verdict kafka_output_send(struct kafka_output *output, const struct sink_record *record,
                                    struct error *error);

/* ---- kafka_topics, with any client */

enum topics_verdict kafka_topics_look_with(rd_kafka_t *client, const char *topic, int timeout_ms,
                                           struct topic_facts *facts, struct error *error);

#endif
