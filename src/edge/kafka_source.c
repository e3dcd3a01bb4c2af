/* Rebalances are cooperative: only what moves is stopped. The order within one is what makes it
 * safe: a partition's queue is taken away from the main queue before the partition is assigned, so
 * that none of its records ever arrives elsewhere; and it is unassigned only after `take` came
 * back, so that the group cannot give it to another member while work of ours is under way. */
#include "edge/kafka_source.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "edge/kafka_brokers.h"
#include "edge/kafka_group.h"
#include "edge/kafka_log.h"
#include "edge/kafka_member.h"
#include "edge/kafka_offset.h"

enum {
    ORPHANS_MS = 60000, /* after an assignment, that there may be orphans of it */
    ORPHAN_LOOKS = 2,   /* in a row, before a group that seems to rest is disturbed */
    STRANDED_MS = 5000, /* after an assignment, before it is given up for a stranded partition */
    RENEWED_MS = 60000, /* a new consumer that fails as early is not replaced */
};

struct kafka_source {
    struct kafka_source_options options;
    struct kafka_rebalance rebalance;
    pthread_rwlock_t renewal; /* read: the consumer stays the same; write: it is replaced */
    rd_kafka_t *consumer;
    struct kafka_brokers *brokers;
    struct kafka_member member;
    rd_kafka_topic_partition_list_t *held; /* what was given and not yet taken */
    bool is_subscribed;
    int64_t renewed_ms;      /* when the consumer was replaced; 0: never */
    int64_t assigned_ms;     /* when the group last shared out */
    int orphan_looks;        /* in a row that found partitions without an owner */
    bool is_rejoining;       /* gives everything up; until the next assignment */
    atomic_bool is_stranded; /* a partition is where the log no longer is; set by its reader */
    atomic_bool is_joined;
};

static void on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *list, void *opaque);

/* What rollcall owns, and its own defaults for what the user left open. */
static void configure(const struct kafka_source_options *options, rd_kafka_conf_t *conf) {
    const struct properties *kafka = options->kafka, *own = options->consumer;
    long long share_kb = (long long)(options->queue_bytes / 1024);
    if (options->partition_count > 0) share_kb /= options->partition_count;
    /* A short message takes about 1 KB in the queue, of which librdkafka counts the payload alone:
     * so it is their number that bounds the memory, and for long ones their bytes. Beyond either
     * bound there is at most one fetch. */
    const long long messages = clamp(share_kb, 100, 2000);
    const long long fetch_bytes = clamp(share_kb / 4, 16, 256) * 1024;

    kafka_conf_own(conf, "group.id", options->group);
    kafka_conf_own(conf, "enable.auto.commit", "false");
    kafka_conf_own(conf, "enable.auto.offset.store", "false");
    kafka_conf_own(conf, "auto.offset.reset", "error");
    kafka_conf_own(conf, "isolation.level", "read_committed");
    kafka_conf_own(conf, "allow.auto.create.topics", "false");
    if (kafka_conf_is_classic(kafka, own)) {
        kafka_conf_own(conf, "partition.assignment.strategy", "cooperative-sticky");
        /* Not in the consumer protocol (KIP-848): librdkafka 2.15 fails for good as soon as the group
         * still knows a static member that was killed, or that itself missed a heartbeat. */
        if (options->static_id != NULL) {
            kafka_conf_own(conf, "group.instance.id", options->static_id);
        }
    }
    kafka_conf_default(conf, kafka, own, "queued.max.messages.kbytes", clamp(share_kb, 64, 8192));
    kafka_conf_default(conf, kafka, own, "queued.min.messages", messages);
    kafka_conf_default(conf, kafka, own, "fetch.queue.backoff.ms", 10);
    kafka_conf_default(conf, kafka, own, "fetch.message.max.bytes", fetch_bytes);
    kafka_conf_default(conf, kafka, own, "topic.metadata.refresh.interval.ms", 10000);
}

static rd_kafka_t *make_consumer(struct kafka_source *source, struct error *error) {
    char why[512];
    rd_kafka_conf_t *conf = NULL;
    const struct kafka_source_options *options = &source->options;
    if (!kafka_conf_build(options->kafka, options->consumer, KAFKA_CONSUMER, &conf, error)) {
        return NULL;
    }
    configure(options, conf);
    rd_kafka_conf_set_opaque(conf, source);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    kafka_log_attach(conf);
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (consumer == NULL) {
        rd_kafka_conf_destroy(conf);
        error_set(error, "the Kafka consumer cannot be made: %s", why);
    }
    return consumer;
}

static void open_consumer(struct kafka_source *source, rd_kafka_t *consumer) {
    source->consumer = consumer;
    kafka_member_init(&source->member, consumer);
    rd_kafka_poll_set_consumer(consumer);
    source->brokers = kafka_brokers_watch(consumer);
}

/* Answers the consumer, which is to be destroyed. */
static rd_kafka_t *close_consumer(struct kafka_source *source) {
    kafka_brokers_forget(&source->brokers);
    kafka_member_fini(&source->member);
    return source->consumer;
}

struct kafka_source *kafka_source_create(const struct kafka_source_options *options,
                                         struct error *error) {
    struct kafka_source *source = memory_create(sizeof *source);
    source->options = *options;
    rd_kafka_t *consumer = make_consumer(source, error);
    if (consumer == NULL) {
        free(source);
        return NULL;
    }
    pthread_rwlock_init(&source->renewal, NULL);
    source->held = rd_kafka_topic_partition_list_new(0);
    open_consumer(source, consumer);
    return source;
}

void kafka_source_leave(struct kafka_source *source) {
    if (source->is_subscribed) rd_kafka_consumer_close(source->consumer);
    source->is_subscribed = false;
    atomic_store(&source->is_joined, false);
}

void kafka_source_destroy(struct kafka_source **source) {
    if (*source == NULL) return;
    kafka_source_leave(*source);
    rd_kafka_destroy(close_consumer(*source));
    rd_kafka_topic_partition_list_destroy((*source)->held);
    pthread_rwlock_destroy(&(*source)->renewal);
    free(*source);
    *source = NULL;
}

rd_kafka_t *kafka_source_handle(struct kafka_source *source) {
    return source->consumer;
}

rd_kafka_t *kafka_source_borrow(struct kafka_source *source) {
    pthread_rwlock_rdlock(&source->renewal);
    return source->consumer;
}

void kafka_source_return(struct kafka_source *source) {
    pthread_rwlock_unlock(&source->renewal);
}

bool kafka_source_is_joined(const struct kafka_source *source) {
    return atomic_load(&source->is_joined);
}

bool kafka_source_is_same_member(struct kafka_source *source) {
    kafka_source_borrow(source);
    const bool is_same = kafka_member_is_same(&source->member);
    kafka_source_return(source);
    return is_same;
}

static bool join(struct kafka_source *source, struct error *error) {
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, source->options.topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(source->consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    source->is_subscribed = err == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (source->is_subscribed) return true;
    return error_set(error, "cannot subscribe to topic %s: %s", source->options.topic,
                     rd_kafka_err2str(err));
}

bool kafka_source_subscribe(struct kafka_source *source, const struct kafka_rebalance *rebalance,
                            struct error *error) {
    source->rebalance = *rebalance;
    return join(source, error);
}

/* Gives up all partitions, in order, and joins anew: the group shares out once more. */
static bool start_over(struct kafka_source *source, const char *why, struct error *error) {
    log_warn(why);
    source->is_rejoining = true;
    rd_kafka_unsubscribe(source->consumer);
    return join(source, error);
}

/* The group has this process under another id than what is held was given to. */
static bool was_replaced(struct kafka_source *source) {
    return source->held->cnt > 0 && kafka_member_is_other(&source->member);
}

/* Where librdkafka goes on with what it should have given up: a member that was expelled and taken back
 * (see kafka_member), and a partition whose position is not in the log any more. That one it fetches no
 * longer, and refuses to seek in; an assignment sets it going, at which the watermarks are compared with
 * the log, and the gap is found. */
static bool start_over_if_need_be(struct kafka_source *source, struct error *error) {
    if (source->is_rejoining) return true;
    if (was_replaced(source)) {
        return start_over(source, "The group expelled this member and took it back: joining anew",
                          error);
    }
    if (atomic_load(&source->is_stranded) && clock_ms() >= source->assigned_ms + STRANDED_MS) {
        return start_over(source, "Kafka no longer holds what was to be read next: joining anew",
                          error);
    }
    return true;
}

bool kafka_source_look_at_group(struct kafka_source *source, int timeout_ms, struct error *error) {
    const struct kafka_source_options *options = &source->options;
    if (options->static_id == NULL || source->is_rejoining ||
        clock_ms() > source->assigned_ms + ORPHANS_MS) {
        return true;
    }
    if (!kafka_group_has_orphans(source->consumer, options->group, options->topic, timeout_ms)) {
        source->orphan_looks = 0;
        return true;
    }
    if (++source->orphan_looks < ORPHAN_LOOKS) return true; /* it may be about to move */
    source->orphan_looks = 0;
    return start_over(
        source, "The group came to rest with partitions that nobody owns: joining anew", error);
}

static void take_away(struct kafka_source *source, rd_kafka_topic_partition_list_t *list,
                      bool is_lost) {
    size_t count = (size_t)list->cnt;
    int32_t *partitions = memory_create((count + 1) * sizeof *partitions);
    for (size_t i = 0; i < count; i++)
        partitions[i] = list->elems[i].partition;
    if (is_lost) atomic_store(&source->is_joined, false);
    source->rebalance.take(source->rebalance.context, partitions, count, is_lost);
    for (size_t i = 0; i < count; i++) {
        const int was_held =
            rd_kafka_topic_partition_list_del(source->held, source->options.topic, partitions[i]);
        assert(was_held);
        (void)was_held;
    }
    free(partitions);
}

/* librdkafka gives up on a consumer to which a broker said what it has no answer to: it does nothing
 * more, not even give the partitions up. Seen with GROUP_ID_NOT_FOUND, from a coordinator that had just
 * been started (consumer protocol, Kafka 4.1). A new one joins as if all had been lost. */
static bool renew(struct kafka_source *source, const char *why, struct error *error) {
    const int64_t now_ms = clock_ms();
    if (source->renewed_ms != 0 && now_ms < source->renewed_ms + RENEWED_MS) {
        return error_set(error, "the Kafka consumer failed for good: %s", why);
    }
    source->renewed_ms = now_ms;
    rd_kafka_t *consumer = make_consumer(source, error);
    if (consumer == NULL) return false;
    log_warn("The Kafka consumer failed: joining with a new one", log_text("reason", why));
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_copy(source->held);
    take_away(source, all, true);
    rd_kafka_topic_partition_list_destroy(all);
    pthread_rwlock_wrlock(&source->renewal);
    rd_kafka_t *failed = close_consumer(source);
    open_consumer(source, consumer);
    pthread_rwlock_unlock(&source->renewal);
    rd_kafka_destroy(failed);
    source->is_rejoining = true;
    return join(source, error);
}

bool kafka_source_poll(struct kafka_source *source, int timeout_ms, struct error *error) {
    char why[512];
    rd_kafka_message_t *message = rd_kafka_consumer_poll(source->consumer, timeout_ms);
    if (message != NULL) {
        assert(message->err != RD_KAFKA_RESP_ERR_NO_ERROR); /* records have queues of their own */
        if (message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
            message->err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED) {
            error_set(error, "Kafka denies access: %s; allow READ on topic %s and group %s",
                      rd_kafka_message_errstr(message), source->options.topic,
                      source->options.group);
            rd_kafka_message_destroy(message);
            return false;
        }
        log_warn("Kafka consumer", log_text("error", rd_kafka_err2name(message->err)),
                 log_text("reason", rd_kafka_message_errstr(message)));
        rd_kafka_message_destroy(message);
    }
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(source->consumer, why, sizeof why);
    if (fatal == RD_KAFKA_RESP_ERR_NO_ERROR) return start_over_if_need_be(source, error);
    if (fatal == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
        return error_set(error,
                         "another process runs with the same instance.id \"%s\" in group %s: "
                         "give each instance its own (%s)",
                         source->options.static_id == NULL ? "" : source->options.static_id,
                         source->options.group, why);
    }
    return renew(source, why, error);
}

static void check(rd_kafka_error_t *failure, const char *what) {
    if (failure == NULL) return;
    log_error(what, log_text("error", rd_kafka_error_name(failure)),
              log_text("reason", rd_kafka_error_string(failure)));
    rd_kafka_error_destroy(failure);
}

static void assign(struct kafka_source *source, rd_kafka_topic_partition_list_t *list) {
    size_t count = (size_t)list->cnt;
    if (source->is_rejoining) { /* all were taken, stranded or not */
        source->is_rejoining = false;
        atomic_store(&source->is_stranded, false);
    }
    if (source->held->cnt == 0) kafka_member_take_id(&source->member);
    struct kafka_assigned *items = memory_create((count + 1) * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        items[i].partition = list->elems[i].partition;
        items[i].stream = kafka_stream_open(source->consumer, source->options.topic,
                                            items[i].partition, &source->is_stranded);
        rd_kafka_topic_partition_list_add(source->held, source->options.topic, items[i].partition);
    }
    source->rebalance.give(source->rebalance.context, items, count);
    for (size_t i = 0; i < count; i++)
        list->elems[i].offset = items[i].offset;
    free(items);
    check(rd_kafka_incremental_assign(source->consumer, list), "Kafka refused the assignment");
    source->assigned_ms = clock_ms();
    atomic_store(&source->is_joined, true);
}

static void unassign(struct kafka_source *source, rd_kafka_topic_partition_list_t *list) {
    bool is_lost = rd_kafka_assignment_lost(source->consumer) != 0 || was_replaced(source);
    take_away(source, list, is_lost);
    check(rd_kafka_incremental_unassign(source->consumer, list), "Kafka refused the revocation");
}

static void on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *list, void *opaque) {
    (void)consumer;
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        assign(opaque, list);
        return;
    }
    if (err != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        log_warn("Kafka rebalance failed", log_text("error", rd_kafka_err2name(err)));
    }
    unassign(opaque, list);
}

static rd_kafka_topic_partition_list_t *list_of(const struct kafka_source *source,
                                                const struct kafka_committed *items, size_t count) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_list_add(list, source->options.topic, items[i].partition);
    }
    return list;
}

bool kafka_source_committed(struct kafka_source *source, struct kafka_committed *items,
                            size_t count, int timeout_ms, struct error *error) {
    rd_kafka_topic_partition_list_t *list = list_of(source, items, count);
    rd_kafka_resp_err_t err = rd_kafka_committed(kafka_source_borrow(source), list, timeout_ms);
    kafka_source_return(source);
    for (size_t i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < count; i++) {
        const rd_kafka_topic_partition_t *item = &list->elems[i];
        assert(item->partition == items[i].partition);
        err = item->err;
        items[i].offset = item->offset >= 0 ? item->offset : -1;
        items[i].origin = kafka_offset_origin(item);
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
    return error_set(error, "the committed offsets of group %s cannot be read: %s",
                     source->options.group, rd_kafka_err2str(err));
}

bool kafka_source_commit(struct kafka_source *source, const struct kafka_committed *items,
                         size_t count, struct error *error) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        kafka_offset_put(list, source->options.topic, &items[i]);
    }
    rd_kafka_resp_err_t err = rd_kafka_commit(kafka_source_borrow(source), list, 0);
    kafka_source_return(source);
    rd_kafka_topic_partition_list_destroy(list);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
    return error_set(error, "offsets of group %s cannot be committed: %s", source->options.group,
                     rd_kafka_err2str(err));
}

bool kafka_source_bounds(struct kafka_source *source, int32_t partition, int64_t *begin,
                         int64_t *end, int timeout_ms, struct error *error) {
    rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(
        kafka_source_borrow(source), source->options.topic, partition, begin, end, timeout_ms);
    kafka_source_return(source);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
    return error_set(error, "the bounds of %s [%d] cannot be read: %s", source->options.topic,
                     partition, rd_kafka_err2str(err));
}
