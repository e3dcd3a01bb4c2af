/* Rebalances are cooperative: only what moves is stopped. The order within one is what makes it
 * safe: a partition's queue is taken out of the consumer's before the partition is assigned, so
 * that none of its records ever arrives there; and it is unassigned only once the caller has
 * answered, so that the group cannot give it to another member while work of ours is under way.
 *
 * librdkafka wants an assignment or a revocation answered by a call of incremental_assign or
 * _unassign, and waits for it as long as it takes (its join states WAIT_ASSIGN_CALL and
 * WAIT_UNASSIGN_CALL), inside or outside of its callback. So the callback only opens an event, and
 * kafka_source_answer makes the call. In between nothing is taken from the consumer's queue: what
 * the group wants next waits there. Only in rd_kafka_consumer_close, which returns last, the
 * callback answers at once. */
#include "edge/kafka_source.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "kafka_private.h"

enum {
    ORPHANS_MS = 60000, /* after an assignment, that there may be orphans of it */
    ORPHAN_LOOKS = 2,   /* in a row, before a group that seems at rest is disturbed */
    STRANDED_MS = 5000, /* after an assignment, before it is given up for a stranded partition */
    RENEWED_MS = 60000, /* a new consumer that fails as early is not replaced */
    SERVED_MAX = 100,   /* errors, in one poll */
};

const struct setting kafka_source_setting_table[] = {
    SETTING_TEXT(struct kafka_source_settings, group, "consumer", "group.id", 1, 249, "rollcall",
                 setting_is_printable, SETTING_PRINTABLE_RULE, 0, "consumer group"),
    SETTING_TEXT(struct kafka_source_settings, topic, "input", "topic", 1, 249, "user-login",
                 setting_is_topic, SETTING_TOPIC_RULE, 0, "topic to read"),
    SETTING_END};

struct kafka_source {
    struct kafka_source_options options;
    const char *group, *topic;
    struct alarm *alarm; /* NULL before kafka_source_subscribe */
    struct kafka_rounds rounds;
    pthread_rwlock_t renewal; /* read: the consumer stays the same; write: it is replaced */
    struct kafka_client *client;
    rd_kafka_queue_t *empty; /* a queue of the consumer's that nothing ever comes into */
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
    atomic_bool
        is_stalled; /* the consumer does not fetch what it should; set by kafka_source_replace */
    atomic_bool has_probe;
    atomic_bool is_joined;
};

static void open_event(struct kafka_source *source, enum source_event event,
                       const rd_kafka_topic_partition_list_t *list) {
    assert(source->event == SOURCE_QUIET);
    source->event = event;
    source->list = rd_kafka_topic_partition_list_copy(list);
    source->items = memory_create(((size_t)list->cnt + 1) * sizeof *source->items);
    for (int i = 0; i < list->cnt; i++)
        source->items[i].partition = list->elems[i].partition;
}

static void open_given(struct kafka_source *source, const rd_kafka_topic_partition_list_t *list) {
    if (source->is_rejoining) { /* all were taken, stranded or not */
        source->is_rejoining = false;
        atomic_store(&source->is_stranded, false);
    }
    if (source->held->cnt == 0) kafka_member_take_id(&source->member);
    open_event(source, SOURCE_GIVEN, list);
    for (int i = 0; i < list->cnt; i++) {
        struct kafka_assigned *item = &source->items[i];
        item->stream = kafka_stream_open(source->client->handle, source->topic, item->partition,
                                         &source->is_stranded);
        rd_kafka_topic_partition_list_add(source->held, source->topic, item->partition);
    }
}

/* The group knows this process by another id than what is held was given to. */
static bool was_replaced(struct kafka_source *source) {
    return source->held->cnt > 0 && kafka_member_state(&source->member) == KAFKA_MEMBER_OTHER;
}

static void open_taken(struct kafka_source *source, bool is_lost,
                       const rd_kafka_topic_partition_list_t *list) {
    open_event(source, is_lost ? SOURCE_LOST : SOURCE_TAKEN, list);
    if (is_lost) atomic_store(&source->is_joined, false);
}

static void on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *list, void *opaque) {
    struct kafka_source *source = ((struct kafka_client *)opaque)->owner;
    if (consumer != source->client->handle) { /* it was replaced, and is being destroyed */
        rd_kafka_error_destroy(rd_kafka_incremental_unassign(consumer, list));
        return;
    }
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        open_given(source, list);
    } else {
        if (err != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
            log_warn("Kafka rebalance failed", log_text("error", rd_kafka_err2name(err)));
        }
        open_taken(source, rd_kafka_assignment_lost(consumer) != 0 || was_replaced(source), list);
    }
    if (source->is_leaving) {
        kafka_source_answer(source);
    } else {
        rd_kafka_yield(consumer); /* what comes next stays in the queue */
    }
}

static void check(rd_kafka_error_t *failure, const char *what) {
    if (failure == NULL) return;
    log_error(what, log_text("error", rd_kafka_error_name(failure)),
              log_text("reason", rd_kafka_error_string(failure)));
    rd_kafka_error_destroy(failure);
}

/* Where to read is not known yet: so a partition is paused before it is assigned, until
 * kafka_stream_seek. A logical offset (RD_KAFKA_OFFSET_END) would not do: where a seek overtakes
 * the request that looks it up, librdkafka takes the late response for a reason to look it up
 * again, and goes on from there instead (its issue 2256; seen up to 2.15.1). */
static void answer_given(struct kafka_source *source) {
    for (int i = 0; i < source->list->cnt; i++) {
        kafka_stream_close(&source->items[i].stream);
        source->list->elems[i].offset = 0;
    }
    rd_kafka_pause_partitions(source->client->handle, source->list);
    check(rd_kafka_incremental_assign(source->client->handle, source->list),
          "Kafka rejected the assignment");
    source->assigned_ms = clock_ms();
    atomic_store(&source->is_joined, true);
}

static void answer_taken(struct kafka_source *source) {
    for (int i = 0; i < source->list->cnt; i++) {
        const int was_held = rd_kafka_topic_partition_list_del(source->held, source->topic,
                                                               source->items[i].partition);
        assert(was_held);
        (void)was_held;
    }
    check(rd_kafka_incremental_unassign(source->client->handle, source->list),
          "Kafka rejected the revocation");
    rd_kafka_resume_partitions(source->client->handle, source->list);
}

void kafka_source_answer(struct kafka_source *source) {
    assert(source->event != SOURCE_QUIET);
    if (source->event == SOURCE_GIVEN) {
        answer_given(source);
    } else {
        answer_taken(source);
    }
    source->event = SOURCE_QUIET;
    rd_kafka_topic_partition_list_destroy(source->list);
    free(source->items);
    alarm_ring(source->alarm); /* for what waits in the queue */
}

static struct kafka_client *make_consumer(struct kafka_source *source, struct error *error) {
    const struct kafka_source_options *options = &source->options;
    rd_kafka_conf_t *conf = kafka_consumer_conf(options, error);
    if (conf == NULL) return NULL;
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    return kafka_client_create(KAFKA_CONSUMER, conf, options->kafka, options->consumer, source,
                               options->trouble, error);
}

struct kafka_client *kafka_source_make_probe(struct kafka_source *source, struct error *error) {
    const struct kafka_source_options *options = &source->options;
    if (atomic_exchange(&source->has_probe, true)) {
        error_set(error, "another partition is looked at");
        return NULL;
    }
    rd_kafka_conf_t *conf = kafka_consumer_conf_of_probe(options, error);
    struct kafka_client *client =
        conf == NULL ? NULL
                     : kafka_client_create(KAFKA_CONSUMER, conf, options->kafka, options->consumer,
                                           NULL, options->trouble, error);
    if (client == NULL) kafka_source_end_probe(source);
    return client;
}

void kafka_source_end_probe(struct kafka_source *source) {
    atomic_store(&source->has_probe, false);
}

static void watch(struct kafka_source *source) {
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(source->client->handle);
    kafka_client_watch(queue, source->alarm);
    rd_kafka_queue_destroy(queue);
}

static void open_consumer(struct kafka_source *source, struct kafka_client *client) {
    source->client = client;
    source->empty = rd_kafka_queue_new(client->handle);
    kafka_member_init(&source->member, client->handle);
    rd_kafka_poll_set_consumer(client->handle);
    if (source->alarm != NULL) watch(source);
}

/* Returns the client, which is to be destroyed. */
static struct kafka_client *close_consumer(struct kafka_source *source) {
    kafka_member_fini(&source->member);
    rd_kafka_queue_destroy(source->empty);
    return source->client;
}

struct kafka_source *kafka_source_create(const struct kafka_source_options *options,
                                         struct error *error) {
    struct kafka_source *source = memory_create(sizeof *source);
    source->options = *options;
    source->group = options->settings->group;
    source->topic = options->settings->topic;
    struct kafka_client *client = make_consumer(source, error);
    if (client == NULL) {
        free(source);
        return NULL;
    }
    kafka_rounds_init(&source->rounds);
    pthread_rwlock_init(&source->renewal, NULL);
    source->held = rd_kafka_topic_partition_list_new(0);
    open_consumer(source, client);
    return source;
}

void kafka_source_destroy(struct kafka_source **source) {
    if (*source == NULL) return;
    kafka_source_leave(*source);
    struct kafka_client *client = close_consumer(*source);
    kafka_client_destroy(&client);
    rd_kafka_topic_partition_list_destroy((*source)->held);
    pthread_rwlock_destroy(&(*source)->renewal);
    kafka_rounds_fini(&(*source)->rounds);
    free(*source);
    *source = NULL;
}

rd_kafka_t *kafka_source_borrow(struct kafka_source *source) {
    pthread_rwlock_rdlock(&source->renewal);
    return source->client->handle;
}

void kafka_source_return(struct kafka_source *source) {
    pthread_rwlock_unlock(&source->renewal);
}

struct kafka_rounds *kafka_source_rounds(struct kafka_source *source) {
    return &source->rounds;
}

const struct kafka_source_settings *kafka_source_settings(const struct kafka_source *source) {
    return source->options.settings;
}

bool kafka_source_is_joined(const struct kafka_source *source) {
    return atomic_load(&source->is_joined);
}

bool kafka_source_is_same_member(struct kafka_source *source) {
    kafka_source_borrow(source);
    const bool is_same = kafka_member_state(&source->member) == KAFKA_MEMBER_SAME;
    kafka_source_return(source);
    return is_same;
}

static bool join(struct kafka_source *source, struct error *error) {
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, source->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(source->client->handle, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    source->is_subscribed = err == RD_KAFKA_RESP_ERR_NO_ERROR;
    return source->is_subscribed || error_set(error, "cannot subscribe to topic %s: %s",
                                              source->topic, rd_kafka_err2str(err));
}

bool kafka_source_subscribe(struct kafka_source *source, struct alarm *alarm, struct error *error) {
    source->alarm = alarm;
    watch(source);
    return join(source, error);
}

void kafka_source_leave(struct kafka_source *source) {
    source->is_leaving = true;
    if (source->event != SOURCE_QUIET) kafka_source_answer(source);
    if (source->is_subscribed) rd_kafka_consumer_close(source->client->handle);
    source->is_subscribed = false;
    atomic_store(&source->is_joined, false);
}

/* Gives up all partitions, in order, and joins again: the group then assigns them all afresh. */
static bool start_over(struct kafka_source *source, const char *why, struct error *error) {
    log_warn(why);
    source->is_rejoining = true;
    rd_kafka_unsubscribe(source->client->handle);
    return join(source, error);
}

/* Where librdkafka keeps what it should have given up: a member that was expelled and taken back
 * (see kafka_group), and a partition whose position is not in the log any more. That one it no
 * longer fetches, nor seeks in; a new assignment revives it, at which the watermarks are compared
 * with the log, and the gap is found. */
static bool start_over_if_need_be(struct kafka_source *source, struct error *error) {
    if (source->is_rejoining) return true;
    if (was_replaced(source)) {
        return start_over(
            source, "The group expelled this member and took it back: joining it again", error);
    }
    if (atomic_load(&source->is_stranded) && clock_ms() >= source->assigned_ms + STRANDED_MS) {
        return start_over(source, "Kafka no longer holds the next records: joining the group again",
                          error);
    }
    return true;
}

bool kafka_source_look_at_group(struct kafka_source *source, int timeout_ms, struct error *error) {
    if (source->options.static_id == NULL || source->event != SOURCE_QUIET ||
        source->is_rejoining || clock_ms() > source->assigned_ms + ORPHANS_MS) {
        return true;
    }
    if (!kafka_group_has_orphans(source->client->handle, source->group, source->topic,
                                 timeout_ms)) {
        source->orphan_looks = 0;
        return true;
    }
    if (++source->orphan_looks < ORPHAN_LOOKS) return true; /* it may be about to move */
    source->orphan_looks = 0;
    return start_over(
        source, "The group came to rest with partitions that nobody owns: joining it again", error);
}

/* With some errors librdkafka gives up on the consumer: it does nothing more, not even give the
 * partitions up. Seen up to 2.15.1 with GROUP_ID_NOT_FOUND (consumer protocol), from a coordinator
 * of Kafka 4.1 that had just been started; its pull request 5485 discusses to join again instead,
 * with which this could go. A new consumer joins as if everything had been lost, which is reported
 * and answered first. */
static bool renew(struct kafka_source *source, const char *why, struct error *error) {
    const int64_t now_ms = clock_ms();
    if (source->renewed_ms != 0 && now_ms < source->renewed_ms + RENEWED_MS) {
        return error_set(error, "the Kafka consumer failed permanently: %s", why);
    }
    if (source->held->cnt > 0) {
        open_taken(source, true, source->held);
        return true;
    }
    source->renewed_ms = now_ms;
    source->is_replacing = false;
    atomic_store(&source->is_stalled, false);
    struct kafka_client *client = make_consumer(source, error);
    if (client == NULL) return false;
    log_warn("The Kafka consumer failed: joining with a new one", log_text("reason", why));
    atomic_store(&source->is_joined, false);
    pthread_rwlock_wrlock(&source->renewal);
    struct kafka_client *failed = close_consumer(source);
    open_consumer(source, client);
    pthread_rwlock_unlock(&source->renewal);
    kafka_client_destroy(&failed);
    source->is_rejoining = true;
    return join(source, error);
}

/* One that did not help is not replaced again at once. */
static bool may_replace(const struct kafka_source *source) {
    return atomic_load(&source->is_stalled) &&
           (source->renewed_ms == 0 || clock_ms() >= source->renewed_ms + RENEWED_MS);
}

/* Gives up all partitions, in order, and joins with a new consumer. */
static bool replace(struct kafka_source *source, struct error *error) {
    if (source->held->cnt == 0) return renew(source, "a partition makes no progress", error);
    if (source->is_replacing) return true;
    source->is_replacing = source->is_rejoining = true;
    rd_kafka_unsubscribe(source->client->handle);
    return true;
}

void kafka_source_replace(struct kafka_source *source) {
    atomic_store(&source->is_stalled, true);
    alarm_ring(source->alarm);
}

/* Takes the message. False: only the user can fix it. */
static bool take_error(const struct kafka_source *source, rd_kafka_message_t *message,
                       struct error *error) {
    assert(message->err != RD_KAFKA_RESP_ERR_NO_ERROR); /* records have queues of their own */
    const bool is_denied = message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
                           message->err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    if (is_denied) {
        error_set(error, "Kafka denies access: %s; allow READ on topic %s and group %s",
                  rd_kafka_message_errstr(message), source->topic, source->group);
    } else {
        log_warn("Kafka consumer", log_text("error", rd_kafka_err2name(message->err)),
                 log_text("reason", rd_kafka_message_errstr(message)));
    }
    rd_kafka_message_destroy(message);
    return !is_denied;
}

/* Serves the consumer's queue up to an event. False: only the user can fix it. */
static bool serve(struct kafka_source *source, struct error *error) {
    char why[512];
    rd_kafka_t *consumer = source->client->handle;
    for (int i = 0; i < SERVED_MAX && source->event == SOURCE_QUIET; i++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 0);
        if (message == NULL) break;
        if (!take_error(source, message, error)) return false;
    }
    if (source->event != SOURCE_QUIET) return true;
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(consumer, why, sizeof why);
    if (fatal == RD_KAFKA_RESP_ERR_NO_ERROR && may_replace(source)) return replace(source, error);
    if (fatal == RD_KAFKA_RESP_ERR_NO_ERROR) return start_over_if_need_be(source, error);
    if (fatal == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
        return error_set(error,
                         "another process runs with the same instance.id \"%s\" in group %s: "
                         "give each instance its own (%s)",
                         source->options.static_id == NULL ? "" : source->options.static_id,
                         source->group, why);
    }
    return renew(source, why, error);
}

enum source_event kafka_source_poll(struct kafka_source *source, struct source_change *change,
                                    struct error *error) {
    if (source->event != SOURCE_QUIET) {
        rd_kafka_consume_queue(source->empty, 0); /* counts as a poll: see max.poll.interval.ms */
        return SOURCE_QUIET;
    }
    if (!serve(source, error)) return SOURCE_FAILED;
    /* In the consumer protocol nothing reports an assignment without partitions. */
    if (source->event == SOURCE_QUIET && source->held->cnt == 0 && !source->is_joined &&
        !kafka_conf_is_classic(source->options.kafka, source->options.consumer))
        source->is_joined = kafka_member_has_joined(source->client->handle);
    if (source->event != SOURCE_QUIET) {
        *change = (struct source_change){source->items, (size_t)source->list->cnt};
    }
    return source->event;
}
