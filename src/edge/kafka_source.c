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
#include "kafka_source_parts.h"

enum { SERVED_MAX = 100 }; /* errors, in one poll */

const struct setting kafka_source_setting_table[] = {
    SETTING_TEXT(struct kafka_source_settings, group, "consumer", "group.id", 1, 249, "rollcall",
                 setting_is_printable, SETTING_PRINTABLE_RULE, 0, "consumer group"),
    SETTING_TEXT(struct kafka_source_settings, topic, "input", "topic", 1, 249, "user-login",
                 setting_is_topic, SETTING_TOPIC_RULE, 0, "topic to read"),
    SETTING_END};

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

void kafka_source_open_taken(struct kafka_source *source, bool is_lost,
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
        const bool is_lost =
            rd_kafka_assignment_lost(consumer) != 0 || kafka_rejoin_was_replaced(source);
        kafka_source_open_taken(source, is_lost, list);
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

struct kafka_client *kafka_source_make_consumer(struct kafka_source *source, struct error *error) {
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

/* Its troubles are its own: that it is let in does not show that the consumer is. */
static struct kafka_client *make_asker(struct kafka_source *source, struct error *error) {
    const struct kafka_source_options *options = &source->options;
    rd_kafka_conf_t *conf = kafka_consumer_conf_of_asker(options, error);
    if (conf == NULL) return NULL;
    return kafka_client_create(KAFKA_CONSUMER, conf, options->kafka, options->consumer, NULL, NULL,
                               error);
}

/* What makes a new consumer necessary, such as certificates or metadata that are too old, would
 * spoil the asker too. */
void kafka_source_change(struct kafka_source *source, struct kafka_client *client) {
    struct error error;
    assert(source->held->cnt == 0);
    struct kafka_client *old_asker = source->asker, *asker = make_asker(source, &error);
    if (asker == NULL)
        log_warn("No client to ask Kafka about topics: the consumer asks, and may wait behind its "
                 "fetches",
                 log_text("reason", error.text));
    pthread_rwlock_wrlock(&source->renewal);
    struct kafka_client *old = close_consumer(source);
    open_consumer(source, client);
    source->asker = asker;
    pthread_rwlock_unlock(&source->renewal);
    kafka_client_destroy(&old);
    kafka_client_destroy(&old_asker);
}

struct kafka_source *kafka_source_create(const struct kafka_source_options *options,
                                         struct error *error) {
    struct kafka_source *source = memory_create(sizeof *source);
    source->options = *options;
    source->group = options->settings->group;
    source->topic = options->settings->topic;
    struct kafka_client *client = kafka_source_make_consumer(source, error);
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
    kafka_client_destroy(&(*source)->asker);
    kafka_client_destroy(&(*source)->next);
    kafka_trial_end(&(*source)->trial);
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

rd_kafka_t *kafka_source_borrow_asker(struct kafka_source *source) {
    pthread_rwlock_rdlock(&source->renewal);
    return source->asker == NULL ? source->client->handle : source->asker->handle;
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

int64_t kafka_source_throttled_ms(struct kafka_source *source) {
    kafka_source_borrow(source);
    const int64_t until_ms = atomic_load(&source->client->throttled_ms);
    kafka_source_return(source);
    return until_ms;
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

bool kafka_source_join(struct kafka_source *source, struct error *error) {
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, source->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(source->client->handle, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    source->is_subscribed = err == RD_KAFKA_RESP_ERR_NO_ERROR;
    return source->is_subscribed || error_set(error, "cannot subscribe to topic %s: %s",
                                              source->topic, rd_kafka_err2str(err));
}

bool kafka_source_subscribe(struct kafka_source *source, struct alarm *alarm, struct error *error) {
    struct kafka_client *asker = make_asker(source, error);
    if (asker == NULL) return false;
    pthread_rwlock_wrlock(&source->renewal);
    source->asker = asker;
    pthread_rwlock_unlock(&source->renewal);
    source->alarm = alarm;
    watch(source);
    return kafka_source_join(source, error);
}

void kafka_source_leave(struct kafka_source *source) {
    source->is_leaving = true;
    if (source->event != SOURCE_QUIET) kafka_source_answer(source);
    if (source->is_subscribed) rd_kafka_consumer_close(source->client->handle);
    source->is_subscribed = false;
    atomic_store(&source->is_joined, false);
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
    if (kafka_rejoin_is_ready(source)) return kafka_rejoin_with_next(source, error);
    rd_kafka_t *consumer = source->client->handle;
    for (int i = 0; i < SERVED_MAX && source->event == SOURCE_QUIET; i++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 0);
        if (message == NULL) break;
        if (!take_error(source, message, error)) return false;
    }
    if (source->event != SOURCE_QUIET) return true;
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(consumer, why, sizeof why);
    if (fatal == RD_KAFKA_RESP_ERR_NO_ERROR) return kafka_rejoin_if_need_be(source, error);
    /* One that joins again, after its session timed out, may be shut out by itself: a request from
     * before, tried once more, meets a group that has taken it back under another id. */
    if (fatal == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID && !kafka_member_lost_id(&source->member)) {
        return error_set(error,
                         "another process runs with the same instance.id \"%s\" in group %s: "
                         "give each instance its own (%s)",
                         source->options.static_id == NULL ? "" : source->options.static_id,
                         source->group, why);
    }
    return kafka_rejoin_after_failure(source, why, error);
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
