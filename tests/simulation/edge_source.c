/* The consumer: librdkafka's half of a rebalance, and kafka_source's. What the program has to
 * answer is kept back until it has answered what came before. */
#include "client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "broker.h"
#include "process.h"
#include "records.h"

enum { STRANDED_US = 5 * SECOND_US, ORPHANS_US = 60 * SECOND_US, ORPHAN_LOOKS = 2 };

/* --- the client ------------------------------------------------------------------------------- */

static void wants(struct kafka_source *source) {
    if (source->alarm != NULL) alarm_ring(source->alarm);
}

static bool is_busy(const struct kafka_source *source) {
    return source->open_event != SOURCE_QUIET || (source->to_take | source->to_give) != 0;
}

static void join(struct kafka_source *source) {
    const int id =
        group_join(source->member_id, source->static_id, source->held, source->given_generation);
    trace("joins as member %d, holds %s", id, partition_names(source->held));
    if (id != source->member_id) source->generation = -1;
    source->must_learn = true;
    source->member_id = id;
    source->must_join = false;
}

/* The group shared out: what is no longer this member's is taken, then what is new is given. */
static void learn(struct kafka_source *source, const struct member *member) {
    source->must_learn = false;
    source->generation = broker.group.generation;
    source->given_generation = source->generation;
    source->to_take = source->held & ~member->assigned;
    source->to_give = member->assigned & ~source->held;
    trace("learns of generation %d: gives up %s, is given %s", source->generation,
          partition_names(source->to_take), partition_names(source->to_give));
    if (source->to_give == 0 && source->to_take == 0) {
        source->is_joined = true;
        source->is_starting_over = false;
        source->must_tell = one_in(2);
    }
    wants(source);
}

/* All is lost: the group shared out without this member. */
static void lose(struct kafka_source *source, const char *why) {
    trace("%s: all is lost", why);
    source->generation = -1;
    source->is_lost = true;
    source->to_give = source->to_take = 0;
    source->is_joined = false;
    if (source->open_event == SOURCE_QUIET) source->to_take = source->held;
    wants(source);
}

/* Another process has the id of this static member, or the group expelled this one. */
static void be_gone(struct kafka_source *source) {
    for (int i = 0; source->static_id >= 0 && i < broker.group.count; i++) {
        if (broker.group.members[i].static_id != source->static_id) continue;
        error_set(&source->failure, "another process runs with the same instance.id");
        source->has_failed = true;
        happens(EVENT_FENCED_TWIN);
        wants(source);
        return;
    }
    source->member_id = 0;
    source->generation = -1;
    if (source->held != 0 && source->static_id >= 0 && !is_busy(source) &&
        world.stage == STAGE_FAULTS && one_in(2)) {
        trace("was expelled, joins again and does not notice");
        happens(EVENT_REPLACED);
        source->must_join = true;
        return;
    }
    lose(source, "was expelled");
}

/* A static member that does not join in time stays a member, and its generation is over. */
static bool has_missed_generation(const struct kafka_source *source, const struct member *member) {
    return source->generation != -1 && !source->is_lost && !member->has_joined &&
           member->generation != broker.group.generation;
}

static void serve_group(struct kafka_source *source) {
    struct member *member = group_find(source->member_id);
    if (source->member_id != 0 && member == NULL) {
        be_gone(source);
        return;
    }
    if (member != NULL) member->seen_us = world.now_us;
    if (member != NULL && has_missed_generation(source, member))
        lose(source, "did not join in time");
    if (is_busy(source)) return;
    if (source->is_lost) { /* nothing is held any more */
        source->is_lost = false;
        source->must_join = true;
    }
    const bool is_due = member != NULL && broker.group.is_moving && !member->has_joined;
    if (source->must_join || member == NULL || is_due) {
        join(source);
    } else if (!broker.group.is_moving &&
               (source->must_learn || source->generation != broker.group.generation)) {
        learn(source, member);
    }
}

/* librdkafka's look when the leader has changed: where the records end that were written up to the
 * epoch of the last one that was read. */
static bool departs(struct kafka_stream *stream) {
    const int p = stream->partition;
    if (stream->leader == broker.epoch[p]) return false;
    stream->leader = broker.epoch[p];
    if (stream->epoch < 0) return false;
    int64_t end = broker.log_begin[p];
    while (end < broker.log_end[p] && broker.epochs[p][end] <= stream->epoch)
        end++;
    return end < stream->position;
}

static void fetch(struct kafka_stream *stream) {
    const int64_t end = broker.log_end[stream->partition];
    if (!stream->is_open || !stream->is_assigned || stream->position < 0 || stream->is_deaf ||
        stream->is_stranded)
        return;
    if (stream->fetched < broker.log_begin[stream->partition] || stream->fetched > end ||
        departs(stream)) {
        if (!stream->is_stranded)
            trace("p%d: position %lld is not in the log", stream->partition,
                  (long long)stream->fetched);
        if (!stream->is_stranded) happens(EVENT_STRANDED);
        stream->is_stranded = true;
        wants(stream->source);
        return;
    }
    if (stream->fetched == end) return;
    const bool was_empty = stream->fetched == stream->position;
    stream->fetched += 1 + roll((uint32_t)(end - stream->fetched));
    if (was_empty && stream->alarm != NULL) alarm_ring(stream->alarm);
}

bool client_is_due(const struct kafka_source *source) {
    return source->is_subscribed && world.now_us >= source->tick_us;
}

int64_t client_next_us(const struct kafka_source *source) {
    return source->is_subscribed ? source->tick_us : NEVER_US;
}

void client_tick(struct kafka_source *source) {
    source->tick_us = world.now_us + (1 + roll(one_in(4) ? 500 : 60)) * (int64_t)MS_US;
    if (!kafka_is_reachable(source->process) || source->has_failed) return;
    serve_group(source);
    for (int p = 0; p < world.plan.partition_count; p++)
        fetch(&source->streams[p]);
}

bool client_is_same_member(const struct kafka_source *source) {
    return source->member_id != 0 && source->member_id == source->taken_id;
}

/* --- kafka_source ----------------------------------------------------------------------------- */

struct kafka_source *kafka_source_create(const struct kafka_source_options *options,
                                         struct error *error) {
    (void)error;
    struct kafka_source *source = memory_create(sizeof *source);
    source->process = current;
    current->handle_count++;
    source->static_id = -1;
    source->generation = -1;
    if (options->static_id != NULL) source->static_id = options->static_id[0];
    for (int p = 0; p < PARTITIONS_MAX; p++)
        source->streams[p] = (struct kafka_stream){.source = source, .partition = p};
    return source;
}

bool kafka_source_subscribe(struct kafka_source *source, struct alarm *alarm, struct error *error) {
    (void)error;
    source->alarm = alarm;
    source->is_subscribed = source->must_join = true;
    source->tick_us = world.now_us;
    source->process->source = source;
    return true;
}

void kafka_source_leave(struct kafka_source *source) {
    if (!source->is_subscribed) return;
    for (int p = 0; p < PARTITIONS_MAX; p++) {
        if (source->streams[p].is_open && source->streams[p].is_assigned)
            broken("the group is left with the stream of p%d open", p);
    }
    source->is_subscribed = source->is_joined = false;
    source->process->source = NULL;
    call_lets_others();
    if (source->static_id < 0 && kafka_is_reachable(source->process)) {
        trace("leaves the group");
        group_leave(source->member_id);
    }
}

void kafka_source_destroy(struct kafka_source **source) {
    if (*source == NULL) return;
    kafka_source_leave(*source);
    current->handle_count--;
    free(*source);
    *source = NULL;
}

bool kafka_source_is_joined(const struct kafka_source *source) {
    return source->is_joined;
}

/* Gives all up, in order, and joins once more. */
static void start_over(struct kafka_source *source, const char *why) {
    trace("starts over: %s", why);
    source->is_starting_over = true;
    source->to_take = source->held;
}

static void start_over_if_need_be(struct kafka_source *source) {
    bool is_stranded = false;
    if (source->is_starting_over || is_busy(source) || source->held == 0) return;
    if (source->member_id != 0 && source->member_id != source->taken_id) {
        source->is_lost = true;
        start_over(source, "it is another member now");
        return;
    }
    for (int p = 0; p < PARTITIONS_MAX; p++)
        is_stranded |= source->streams[p].is_open && source->streams[p].is_stranded;
    if (is_stranded && world.now_us >= source->assigned_us + STRANDED_US)
        start_over(source, "a position is not in the log any more");
}

static void replace_if_need_be(struct kafka_source *source) {
    if (!source->must_replace || is_busy(source) || source->is_lost) return;
    source->must_replace = false;
    happens(EVENT_REPLACED_CONSUMER);
    if (source->static_id < 0) group_leave(source->member_id);
    source->member_id = 0;
    lose(source, "the consumer is replaced");
}

/* Another consumer takes its place, and holds nothing. */
static void renew(struct kafka_source *source) {
    trace("is a new consumer now");
    happens(EVENT_RENEWED_CONSUMER);
    source->must_renew = source->is_starting_over = false;
    if (source->static_id < 0) group_leave(source->member_id);
    source->member_id = 0;
    source->must_join = true;
}

static void renew_if_need_be(struct kafka_source *source) {
    if (!source->must_renew || is_busy(source) || source->is_lost) return;
    if (source->held == 0)
        renew(source);
    else
        start_over(source, "the certificates are others");
}

static void list(struct kafka_source *source, unsigned partitions, bool is_given) {
    source->item_count = 0;
    for (int p = 0; p < PARTITIONS_MAX; p++) {
        if (!(partitions & 1U << p)) continue;
        struct kafka_stream *stream = &source->streams[p];
        if (is_given) {
            if (stream->is_open) broken("p%d is given, and its stream is still open", p);
            *stream = (struct kafka_stream){source, p, -1, -1, .is_open = true};
        }
        source->items[source->item_count++] = (struct kafka_assigned){
            .partition = p,
            .stream = is_given ? stream : NULL,
        };
    }
}

static const char *const event_names[] = {
    [SOURCE_GIVEN] = "is given",
    [SOURCE_TAKEN] = "must give up",
    [SOURCE_LOST] = "has lost",
};

enum source_event kafka_source_poll(struct kafka_source *source, struct source_change *change,
                                    struct error *error) {
    if (!source->has_failed) source->has_failed = must_be_fixed(&source->failure);
    if (source->has_failed) {
        *error = source->failure;
        return SOURCE_FAILED;
    }
    replace_if_need_be(source);
    renew_if_need_be(source);
    start_over_if_need_be(source);
    if (source->open_event != SOURCE_QUIET) return SOURCE_QUIET;
    if (source->to_take != 0) {
        source->open_event = source->is_lost ? SOURCE_LOST : SOURCE_TAKEN;
        happens(source->is_lost ? EVENT_LOST : EVENT_REVOKED);
        list(source, source->to_take, false);
    } else if (source->to_give != 0 || source->must_tell) {
        source->must_tell = false;
        source->open_event = SOURCE_GIVEN;
        if (source->held == 0) source->taken_id = source->member_id;
        list(source, source->to_give, true);
    } else {
        return SOURCE_QUIET;
    }
    *change = (struct source_change){source->items, source->item_count};
    trace("%s %s", event_names[source->open_event],
          partition_names(source->open_event == SOURCE_GIVEN ? source->to_give : source->to_take));
    return source->open_event;
}

static void take_streams(struct kafka_source *source) {
    for (size_t i = 0; i < source->item_count; i++) {
        const struct kafka_assigned *item = &source->items[i];
        struct kafka_stream *stream = &source->streams[item->partition];
        source->held |= 1U << item->partition;
        stream->is_assigned = true;
        if (item->stream != NULL) stream->is_open = false;
        stream->reached = -1;
    }
}

void kafka_source_answer(struct kafka_source *source) {
    if (source->open_event == SOURCE_QUIET) broken("an event is answered twice");
    trace("answers");
    if (source->open_event == SOURCE_GIVEN) {
        take_streams(source);
        source->to_give = 0;
        source->is_joined = true;
        source->is_starting_over = false;
        source->assigned_us = world.now_us;
        if (source->process->is_asked) happens(EVENT_GIVEN_IN_DRAIN);
    } else {
        for (size_t i = 0; i < source->item_count; i++) {
            const int partition = source->items[i].partition;
            if (source->streams[partition].is_open)
                broken("p%d is given up, and its stream is still open", partition);
            source->held &= ~(1U << partition);
        }
        source->process->untaken_count = 0; /* what failed may be another's now */
        source->to_take = 0;
        source->must_join = true;
        if (source->must_renew && source->held == 0) {
            renew(source);
        } else if (source->is_starting_over && source->held == 0 && source->static_id < 0) {
            group_leave(source->member_id);
            source->member_id = 0;
        }
    }
    source->open_event = SOURCE_QUIET;
    if (source->is_lost) source->to_take = source->held; /* expelled meanwhile */
    if (source->to_take != 0) wants(source);
}

/* A new consumer, which joins as another member. */
void kafka_source_replace(struct kafka_source *source) {
    trace("is to be replaced");
    source->must_replace = true;
}

bool kafka_source_renew(struct kafka_source *source) {
    trace("is to be renewed");
    source->must_renew = true;
    return true;
}

bool kafka_source_look_at_group(struct kafka_source *source, int timeout_ms, struct error *error) {
    (void)error;
    const int64_t deadline_us = world.now_us + timeout_ms * (int64_t)MS_US;
    if (source->static_id < 0 || source->is_starting_over || is_busy(source) ||
        world.now_us > source->assigned_us + ORPHANS_US) {
        return true;
    }
    if (!kafka_round_trip(deadline_us) || !group_has_orphans()) {
        source->orphan_looks = 0;
    } else if (++source->orphan_looks >= ORPHAN_LOOKS && !is_busy(source)) {
        source->orphan_looks = 0;
        happens(EVENT_ORPHANS);
        start_over(source, "partitions have no owner");
        source->must_join = true;
        group_shuffle();
    }
    return true;
}

static bool are_stable(const void *context) {
    const unsigned *partitions = context;
    return offsets_are_stable(*partitions);
}

bool kafka_source_committed(struct kafka_source *source, struct kafka_committed *items,
                            size_t count, int timeout_ms, struct error *error) {
    (void)source;
    const int64_t deadline_us = world.now_us + timeout_ms * (int64_t)MS_US;
    unsigned partitions = 0;
    for (size_t i = 0; i < count; i++)
        partitions |= 1U << items[i].partition;
    if (!kafka_trip(deadline_us)) return error_set(error, "the committed offsets cannot be read");
    if (!offsets_are_stable(partitions) && simulation_options.mutant != NO_STABLE) {
        happens(EVENT_UNSTABLE);
        if (!call_waits(are_stable, &partitions, deadline_us) || current->is_killed)
            return error_set(error, "the committed offsets are not stable");
    }
    for (size_t i = 0; i < count; i++) {
        items[i].offset = broker.committed[items[i].partition].offset;
        items[i].origin = broker.committed[items[i].partition].origin;
        items[i].lineage = broker.committed[items[i].partition].lineage;
        trace("reads committed p%d: %lld", items[i].partition, (long long)items[i].offset);
    }
    return kafka_trip(deadline_us) || error_set(error, "the committed offsets cannot be read");
}

int64_t kafka_source_throttled_ms(struct kafka_source *source) {
    (void)source;
    return 0; /* no quotas */
}

enum source_bounds_verdict kafka_source_ask_bounds(struct kafka_source *source, int32_t partition,
                                                   int64_t *begin, int64_t *end, int timeout_ms,
                                                   struct error *error) {
    (void)source;
    const int64_t deadline_us = world.now_us + timeout_ms * (int64_t)MS_US;
    bool is_known = kafka_trip(deadline_us);
    if (is_known) {
        *begin = broker.log_begin[partition];
        *end = broker.log_end[partition];
        is_known = kafka_trip(deadline_us);
    }
    if (is_known) return SOURCE_BOUNDS_KNOWN;
    error_set(error, "the bounds cannot be read");
    return SOURCE_BOUNDS_UNKNOWN;
}
