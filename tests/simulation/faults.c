#include "faults.h"

#include "broker.h"
#include "client.h"
#include "pages.h"
#include "process.h"
#include "records.h"
#include "redis.h"
#include "world.h"

/* Records arrive. */
static void produce(void) {
    const int p = (int)roll((uint32_t)world.plan.partition_count);
    const int64_t left = world.plan.log_end[p] - broker.log_end[p];
    if (left > 0) broker_grow(p, broker.log_end[p] + 1 + roll((uint32_t)(left < 6 ? left : 6)));
}

/* Kafka deletes the oldest records, read or not. */
static void lose_records(void) {
    const int p = (int)roll((uint32_t)world.plan.partition_count);
    const int64_t left = broker.log_end[p] - broker.log_begin[p];
    if (!world.plan.loses_records || left == 0) return;
    broker.log_begin[p] += roll((uint32_t)(left + 1));
    trace("broker: p%d begins at %lld now", p, (long long)broker.log_begin[p]);
}

/* Kafka loses the newest records, read or not, and others may come in their place. */
static void lose_end(void) {
    const int p = (int)roll((uint32_t)world.plan.partition_count);
    const int64_t left = broker.log_end[p] - broker.log_begin[p];
    if (!world.plan.loses_ends || left == 0 || world.plan.is_wide) return;
    const int64_t end = broker.log_begin[p] + roll((uint32_t)left);
    for (int i = (int)end; i < LOG_MAX; i++) {
        if (broker.edition[p][i] == EDITIONS - 1) return;
    }
    /* Below a log's first record there is no lineage, nor where a group began at the end. */
    bool has_record = false;
    for (int64_t i = 0; i < end; i++)
        has_record |= record_at(p, i) != NULL;
    if (!has_record || world.plan.policy.start == CURSOR_START_LATEST) return;
    happens(EVENT_CUT);
    broker_cut(p, end);
    for (struct process *process = processes; process < processes + PROCESSES; process++) {
        struct kafka_stream *stream = process->source == NULL ? NULL : &process->source->streams[p];
        if (stream == NULL) continue;
        stream->is_deaf = false;
        if (stream->fetched <= end) continue;
        stream->fetched = stream->position > end ? stream->position : end;
    }
    if (one_in(2)) broker_grow(p, end + roll((uint32_t)(world.plan.log_end[p] - end + 1)));
}

static void harm_process(struct process *process) {
    if (!process->is_up || process->is_killed) return;
    switch (roll(9)) {
    case 0:
    case 1:
        process_kill(process);
        break;
    case 2:
    case 3:
        process_ask_to_end(process);
        break;
    case 4:
    case 5:
        process_pause(process, world.now_us + roll(one_in(3) ? 15000 : 1000) * (int64_t)MS_US);
        break;
    case 6:
        process_reload(process);
        break;
    default:
        process->cut_us = world.now_us + roll(one_in(8) ? 70000 : 3000) * (int64_t)MS_US;
        trace("network: %s does not reach Kafka for %lld ms", process->name,
              (long long)((process->cut_us - world.now_us) / MS_US));
    }
}

/* The group's coordinator comes back without what it has stored. A transaction whose offsets are on
 * their way would be committed without them. */
static void forget_group(void) {
    if (!broker_is_quiet() || (world.plan.keeps_origin && !redis_has_origins())) return;
    happens(world.plan.keeps_origin ? EVENT_ORIGIN_KEPT : EVENT_FORGOTTEN);
    broker_forget();
}

static void harm_group(void) {
    const struct group *group = &broker.group;
    if (world.plan.loses_group && one_in(2)) {
        forget_group();
        return;
    }
    if (group->count == 0) return;
    if (one_in(2)) {
        group_shuffle();
    } else {
        group_expel(group->members[roll((uint32_t)group->count)].id);
    }
}

static void harm_redis(void) {
    const bool may_lose = !world.plan.keeps_origin || broker_has_origins();
    switch (roll(may_lose ? 4 : 2) + (may_lose ? 0 : 2)) {
    case 0:
        redis_flush();
        happens(EVENT_REDIS_EMPTY);
        trace("redis: empty");
        break;
    case 1:
        redis_roll_back();
        happens(EVENT_REDIS_OLDER);
        trace("redis: back as it was");
        break;
    case 2:
        redis_save();
        break;
    default:
        redis.back_us = world.now_us + roll(one_in(4) ? 8000 : 1000) * (int64_t)MS_US;
        trace("redis: away for %lld ms", (long long)((redis.back_us - world.now_us) / MS_US));
    }
}

/* A client stops to fetch a partition, and does not tell. */
static void harm_client(void) {
    struct process *process = &processes[roll(PROCESSES)];
    const int p = (int)roll((uint32_t)world.plan.partition_count);
    if (process->source == NULL || !process->source->streams[p].is_open || broker.is_cut[p])
        return; /* a log that has grown as far as it was would be as if nothing had happened */
    trace("%s: p%d is fetched no more", process->name, p);
    happens(EVENT_DEAF);
    process->source->streams[p].is_deaf = true;
}

static void harm_broker(void) {
    switch (world.plan.loses_ends && one_in(2) ? 5 : roll(7)) {
    case 0:
        broker.untaken_us = world.now_us + roll(20000) * (int64_t)MS_US;
        trace("broker: the output topics take nothing for %lld ms",
              (long long)((broker.untaken_us - world.now_us) / MS_US));
        break;
    case 1:
        broker.back_us = world.now_us + roll(one_in(4) ? 8000 : 1000) * (int64_t)MS_US;
        trace("broker: away for %lld ms", (long long)((broker.back_us - world.now_us) / MS_US));
        break;
    case 2:
        transactions_expire();
        break;
    case 3:
        lose_records();
        break;
    case 4:
        harm_client();
        break;
    case 5:
        lose_end();
        break;
    default:
        world.now_us += roll(3000) * (int64_t)MS_US; /* everybody is slow */
    }
}

void faults_tick(void) {
    if (world.stage != STAGE_FAULTS) return;
    if (world.plan.has_pages && one_in(100)) pages_ask(&processes[roll(PROCESSES)]);
    if (one_in(24)) produce();
    if (one_in(60)) redis_save();
    if (!one_in(16 * world.plan.calm)) return;
    switch (roll(4)) {
    case 0:
        harm_process(&processes[roll(PROCESSES)]);
        break;
    case 1:
        harm_group();
        break;
    case 2:
        harm_redis();
        break;
    default:
        harm_broker();
    }
}
