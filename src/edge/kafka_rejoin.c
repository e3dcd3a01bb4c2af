/* All of it happens between two events of the group, while nothing waits for an answer. A consumer
 * is left in one of three ways: it gives everything up and joins again itself (start_over), it has
 * failed and another one joins as if all had been lost, or it works and another one with new
 * certificates follows. The last one takes the partitions back without the group, so that a static
 * member keeps them: the group sees it restart. */
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "kafka_source_parts.h"

enum {
    ORPHANS_MS = 60000, /* after an assignment, that there may be orphans of it */
    ORPHAN_LOOKS = 2,   /* in a row, before a group that seems at rest is disturbed */
    STRANDED_MS = 5000, /* after an assignment, before it is given up for a stranded partition */
    RENEWED_MS = 60000, /* a new consumer that fails as early is not replaced */
};

bool kafka_rejoin_was_replaced(struct kafka_source *source) {
    return source->held->cnt > 0 && kafka_member_state(&source->member) == KAFKA_MEMBER_OTHER;
}

/* Gives up all partitions, in order, and joins again: the group then assigns them all afresh. */
static bool start_over(struct kafka_source *source, const char *why, struct error *error) {
    log_warn(why);
    source->is_rejoining = true;
    rd_kafka_unsubscribe(source->client->handle);
    return kafka_source_join(source, error);
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

/* Everything that was held is answered for. */
static bool join_with(struct kafka_source *source, struct kafka_client *client,
                      struct error *error) {
    source->is_replacing = false;
    atomic_store(&source->is_stalled, false);
    atomic_store(&source->is_joined, false);
    kafka_source_change(source, client);
    source->is_rejoining = true;
    return kafka_source_join(source, error);
}

/* The consumer that waits to be the next one, or else one that is made for it. */
static struct kafka_client *take_next(struct kafka_source *source, struct error *error) {
    struct kafka_client *client = source->next;
    source->next = NULL;
    return client != NULL ? client : kafka_source_make_consumer(source, error);
}

/* With some errors librdkafka gives up on the consumer: it does nothing more, not even give the
 * partitions up. Seen up to 2.15.1 with GROUP_ID_NOT_FOUND (consumer protocol), from a coordinator
 * of Kafka 4.1 that had just been started; its pull request 5485 discusses to join again instead,
 * with which this could go. A new consumer joins as if everything had been lost, which is reported
 * and answered first. */
bool kafka_rejoin_after_failure(struct kafka_source *source, const char *why, struct error *error) {
    const int64_t now_ms = clock_ms();
    if (source->renewed_ms != 0 && now_ms < source->renewed_ms + RENEWED_MS) {
        return error_set(error, "the Kafka consumer failed permanently: %s", why);
    }
    if (source->held->cnt > 0) {
        kafka_source_open_taken(source, true, source->held);
        return true;
    }
    source->renewed_ms = now_ms;
    struct kafka_client *client = take_next(source, error);
    if (client == NULL) return false;
    log_warn("The Kafka consumer failed: joining with a new one", log_text("reason", why));
    return join_with(source, client, error);
}

/* One that did not help is not replaced again at once. */
static bool may_replace(const struct kafka_source *source) {
    return atomic_load(&source->is_stalled) &&
           (source->renewed_ms == 0 || clock_ms() >= source->renewed_ms + RENEWED_MS);
}

/* Gives up all partitions, in order, and joins with a new consumer. */
static bool replace(struct kafka_source *source, struct error *error) {
    if (source->held->cnt == 0)
        return kafka_rejoin_after_failure(source, "a partition makes no progress", error);
    if (source->is_replacing) return true;
    source->is_replacing = source->is_rejoining = true;
    rd_kafka_unsubscribe(source->client->handle);
    return true;
}

void kafka_source_replace(struct kafka_source *source) {
    atomic_store(&source->is_stalled, true);
    alarm_ring(source->alarm);
}

/* Where librdkafka keeps what it should have given up: a member that was expelled and taken back
 * (see kafka_group), and a partition whose position is not in the log any more. That one it no
 * longer fetches, nor seeks in; a new assignment revives it, at which the watermarks are compared
 * with the log, and the gap is found. */
static bool start_over_if_need_be(struct kafka_source *source, struct error *error) {
    if (source->is_rejoining) return true;
    if (kafka_rejoin_was_replaced(source)) {
        return start_over(
            source, "The group expelled this member and took it back: joining it again", error);
    }
    if (atomic_load(&source->is_stranded) && clock_ms() >= source->assigned_ms + STRANDED_MS) {
        return start_over(source, "Kafka no longer holds the next records: joining the group again",
                          error);
    }
    return true;
}

/* --- new certificates ------------------------------------------------------------------------- */

bool kafka_source_renew(struct kafka_source *source) {
    const struct kafka_source_options *options = &source->options;
    struct error error;
    kafka_trial_end(&source->trial);
    source->must_look_again = source->next != NULL;
    if (source->must_look_again) return true;
    if (kafka_conf_certificates(options->kafka, options->consumer) == source->client->certificates)
        return false;
    kafka_trial_begin(&source->trial, KAFKA_CONSUMER, kafka_consumer_conf_of_probe(options, &error),
                      options->kafka, options->consumer);
    return true;
}

bool kafka_rejoin_is_ready(const struct kafka_source *source) {
    return source->next != NULL && source->held->cnt == 0;
}

bool kafka_rejoin_with_next(struct kafka_source *source, struct error *error) {
    log_info("Joining the group with the new certificates");
    if (!join_with(source, take_next(source, error), error)) return false;
    if (source->must_look_again) kafka_source_renew(source);
    return true;
}

/* The partitions go back to the program, if there are any; the group keeps them for the next
 * consumer. */
static void make_next(struct kafka_source *source) {
    struct error error;
    source->next = kafka_source_make_consumer(source, &error);
    if (source->next == NULL)
        log_warn("No consumer with the new certificates: the one before it is kept",
                 log_text("reason", error.text));
}

bool kafka_rejoin_if_need_be(struct kafka_source *source, struct error *error) {
    if (may_replace(source)) return replace(source, error);
    if (kafka_trial_has_passed(&source->trial)) make_next(source);
    if (source->next == NULL) return start_over_if_need_be(source, error);
    if (source->held->cnt > 0)
        kafka_source_open_taken(source, kafka_rejoin_was_replaced(source), source->held);
    return true;
}
