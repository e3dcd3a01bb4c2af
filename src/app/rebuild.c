/* rollcall rebuild: counts everything again under a prefix of its own, and swaps it in. What it
 * stores it stores as run does, by checkpoints. The keys there bear its name, so a rebuild that
 * another one, or --forget, disturbs notices before it has added or swapped anything. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/commands.h"
#include "app/config.h"
#include "app/progress.h"
#include "app/recount.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/rules.h"
#include "edge/redis_store.h"
#include "edge/redis_swap.h"

enum {
    STEP_MS = 100,
    STORE_MS = 500,
    STRICT_MS = 10000, /* so long the swap waits to be as far as the live counts */
    REDIS_WAIT_MS = 60000,
    PAUSE_MIN_MS = 50,
    PAUSE_MAX_MS = 2000,
};

struct rebuild_options {
    bool is_forget;
};

struct rebuild {
    const struct config *config;
    struct redis_settings redis; /* with the prefix of the rebuilt counts */
    struct aggregates aggregates;
    struct recount *recount;
    struct redis_store *store;
    struct redis_link *link;
    struct stored {
        int64_t offset;
        struct lineage_tip tip;
    } * stored; /* by partition: what its counts in Redis have come to */
    struct store_call *calls;
    const struct delta **deltas; /* one for each call */
    int64_t next_store_ms;
    int64_t end_ms; /* when everything was read for the first time; 0: not yet */
    struct progress progress;
    char rules[RULES_BYTES];
    char name[20]; /* of this rebuild, which no other has */
    struct error error;
};

/* --- Redis ------------------------------------------------------------------------------------ */

/* Whether a call that failed may be made again; waits before that. */
static bool may_retry(struct backoff *backoff, int64_t since_ms, struct error *error) {
    const int64_t now_ms = clock_ms();
    if (commands_are_stopped() || now_ms >= since_ms + REDIS_WAIT_MS) return false;
    log_warn("Waiting for Redis", log_text("reason", error->text));
    backoff_grow(backoff, now_ms, PAUSE_MIN_MS, PAUSE_MAX_MS);
    clock_sleep_ms((int)backoff->pause_ms);
    return true;
}

static size_t make_calls(struct rebuild *rebuild) {
    size_t count = 0;
    for (int p = 0; p < rebuild->recount->partition_count; p++) {
        const int64_t next = rebuild->recount->ranges[p].next;
        if (rebuild->stored[p].offset == next) continue;
        rebuild->deltas[count] = recount_delta(&rebuild->recount->partitions[p]);
        rebuild->calls[count] =
            (struct store_call){.partition = (int32_t)p,
                                .base = rebuild->stored[p].offset,
                                .end = next,
                                .base_tip = rebuild->stored[p].tip,
                                .lineage = rebuild->recount->partitions[p].lineage,
                                .origin = rebuild->recount->partitions[p].origin,
                                .deltas = &rebuild->deltas[count],
                                .delta_count = 1};
        count++;
    }
    return count;
}

/* Takes the answer to a call. False: somebody else writes there. */
static bool take_answer(struct rebuild *rebuild, const struct store_call *call) {
    if (!store_call_is_stored(call)) {
        redis_swap_name_loss(rebuild->config->redis.prefix, &rebuild->error);
        return false;
    }
    rebuild->stored[call->partition] =
        (struct stored){.offset = call->end, .tip = lineage_tip(&call->lineage)};
    recount_forget(rebuild->recount, &rebuild->recount->partitions[call->partition]);
    return true;
}

/* Stores what was counted. */
static bool store(struct rebuild *rebuild) {
    struct backoff backoff = {0};
    const int64_t since_ms = clock_ms();
    for (size_t count; (count = make_calls(rebuild)) > 0;) {
        bool is_retry = false;
        redis_store_apply(rebuild->store, rebuild->calls, count, &rebuild->error);
        for (size_t i = 0; i < count; i++) {
            const struct store_call *call = &rebuild->calls[i];
            if (call->verdict == STORE_REFUSED) return false;
            if (call->verdict == STORE_RETRY)
                is_retry = true;
            else if (!take_answer(rebuild, call))
                return false;
        }
        if (is_retry && !may_retry(&backoff, since_ms, &rebuild->error)) return false;
    }
    rebuild->error.text[0] = '\0'; /* why it was tried again */
    rebuild->next_store_ms = clock_ms() + STORE_MS;
    return true;
}

static bool is_store_due(const struct rebuild *rebuild) {
    return rebuild->recount->is_full || clock_ms() >= rebuild->next_store_ms;
}

/* --- the rebuild ------------------------------------------------------------------------------ */

static enum store_verdict check_before(struct rebuild *rebuild) {
    size_t count = 0;
    const char *prefix = rebuild->config->redis.prefix;
    const enum store_verdict verdict =
        redis_swap_count(rebuild->link, prefix, REDIS_SWAP_BEFORE, &count, &rebuild->error);
    if (verdict != STORE_OK || count == 0) return verdict;
    redis_swap_name_before(prefix, &rebuild->error);
    return STORE_REFUSED;
}

static enum store_verdict try_to_claim(struct rebuild *rebuild) {
    size_t leftovers;
    struct error warning = {""};
    enum store_verdict verdict = redis_swap_claim(rebuild->link, rebuild->config->redis.prefix,
                                                  rebuild->name, &leftovers, &rebuild->error);
    /* One that was about to swap has done so by now, or never will. */
    if (verdict == STORE_OK) verdict = check_before(rebuild);
    if (verdict == STORE_OK) verdict = redis_store_check(rebuild->store, &warning, &rebuild->error);
    if (verdict == STORE_OK && warning.text[0] != '\0') log_warn(warning.text);
    return verdict;
}

/* Kafka may have taken long to answer, and Redis may have closed the connection meanwhile. */
static bool claim(struct rebuild *rebuild) {
    struct backoff backoff = {0};
    const int64_t since_ms = clock_ms();
    enum store_verdict verdict;
    do {
        verdict = try_to_claim(rebuild);
    } while (verdict == STORE_RETRY && may_retry(&backoff, since_ms, &rebuild->error));
    return verdict == STORE_OK;
}

static bool check_gap(struct rebuild *rebuild) {
    struct recount *recount = rebuild->recount;
    const int64_t missing = recount_missing(recount);
    if (recount->unknown_count > 0 && rebuild->config->ingest.policy.on_gap == CURSOR_GAP_FAIL) {
        return error_set(&rebuild->error,
                         "where the group began is not known, so the rebuilt counts could lack up "
                         "to %lld records that Kafka no longer holds: with input.on_gap=continue "
                         "the rebuild goes on from where the log begins",
                         (long long)recount->unknown_count);
    }
    if (missing > 0 && rebuild->config->ingest.policy.on_gap == CURSOR_GAP_FAIL) {
        return error_set(&rebuild->error,
                         "Kafka no longer holds %lld of the records that the group began with, so "
                         "their counts cannot be rebuilt: with input.on_gap=continue the rebuild "
                         "goes on without them",
                         (long long)missing);
    }
    if (missing > 0)
        log_error("Kafka no longer holds records: the rebuilt counts are without them",
                  log_int("records", missing));
    for (int p = 0; p < recount->partition_count; p++) {
        struct kafka_range *range = &recount->ranges[p];
        if (range->begin < recount->partitions[p].log_begin)
            range->begin = recount->partitions[p].log_begin;
        range->next = range->begin;
        range->end = KAFKA_READER_ENDLESS;
    }
    return true;
}

static bool open_rebuild(struct rebuild *rebuild) {
    const struct config *config = rebuild->config;
    if (check_before(rebuild) != STORE_OK) return false; /* before the work */
    rebuild->recount = recount_create(config, &rebuild->aggregates, commands_seed(), false,
                                      rebuild->link, &rebuild->error);
    if (rebuild->recount == NULL || !check_gap(rebuild)) return false;
    const size_t count = (size_t)rebuild->recount->partition_count;
    rebuild->calls = memory_create(count * sizeof *rebuild->calls);
    rebuild->deltas = memory_create(count * sizeof(struct delta *));
    rebuild->stored = memory_create(count * sizeof *rebuild->stored);
    for (size_t p = 0; p < count; p++)
        rebuild->stored[p].offset = CURSOR_ABSENT;
    const struct redis_store_options options = {.redis = &rebuild->redis,
                                                .aggregates = &rebuild->aggregates,
                                                .group = config->source.group,
                                                .topic = config->source.topic,
                                                .topic_id = rebuild->recount->topic_id,
                                                .instance = config->instance.id,
                                                .rebuild = rebuild->name,
                                                .rules = rebuild->rules};
    rebuild->store = redis_store_create(&options, &rebuild->error);
    return rebuild->store != NULL && claim(rebuild) && store(rebuild) &&
           recount_begin(rebuild->recount, &rebuild->error);
}

static void show(struct rebuild *rebuild, bool is_last) {
    int64_t total = 0;
    for (int p = 0; p < rebuild->recount->partition_count; p++) {
        const struct recount_partition *partition = &rebuild->recount->partitions[p];
        total += partition->log_end - rebuild->recount->ranges[p].begin;
    }
    progress_show(&rebuild->progress, rebuild->recount->record_count, total, is_last);
}

/* Swaps. False: not yet, or never, if the error has a text. While Redis is away nothing is read: if
 * only the answer was lost, there is nothing left to add to. */
static bool try_swap(struct rebuild *rebuild) {
    const int64_t now_ms = clock_ms();
    if (rebuild->end_ms == 0) rebuild->end_ms = now_ms;
    const bool must_be_as_far = now_ms < rebuild->end_ms + STRICT_MS;
    struct backoff backoff = {0};
    struct error why = {""};
    enum swap_verdict verdict;
    do {
        verdict = redis_swap_run(rebuild->link, rebuild->config->redis.prefix, &rebuild->aggregates,
                                 rebuild->name, must_be_as_far, &why);
    } while (verdict == SWAP_RETRY && may_retry(&backoff, now_ms, &why));
    const bool is_late = verdict == SWAP_LATER && now_ms >= rebuild->end_ms + REDIS_WAIT_MS;
    if (verdict == SWAP_REFUSED || verdict == SWAP_RETRY || is_late) rebuild->error = why;
    if (backoff.pause_ms > 0) rebuild->end_ms = 0; /* what was waited for was not the log */
    return verdict == SWAP_DONE;
}

static bool count_and_swap(struct rebuild *rebuild) {
    while (!commands_are_stopped()) {
        if (!recount_step(rebuild->recount, STEP_MS, &rebuild->error)) return false;
        const bool is_at_end = recount_is_at_end(rebuild->recount);
        if ((is_at_end || is_store_due(rebuild)) && !store(rebuild)) return false;
        show(rebuild, false);
        if (is_at_end && try_swap(rebuild)) return true;
        if (rebuild->error.text[0] != '\0') return false;
    }
    return error_set(&rebuild->error, "stopped by a signal: the live counts are as they were");
}

static bool run_rebuild(struct rebuild *rebuild) {
    const bool is_done = open_rebuild(rebuild) && count_and_swap(rebuild);
    if (rebuild->recount == NULL) return false;
    show(rebuild, true);
    if (is_done) {
        printf("%lld records counted; the counts before are under %s:" REDIS_SWAP_BEFORE
               ":* until `rollcall rebuild --forget`\n",
               (long long)rebuild->recount->record_count, rebuild->config->redis.prefix);
    }
    return is_done;
}

static bool run_forget(struct rebuild *rebuild) {
    size_t before = 0, leftovers = 0;
    const char *prefix = rebuild->config->redis.prefix;
    /* The claim comes first: from then on a rebuild that runs can no longer swap, which would put
     * more under P:before. */
    enum store_verdict verdict =
        redis_swap_claim(rebuild->link, prefix, rebuild->name, &leftovers, &rebuild->error);
    if (verdict == STORE_OK)
        verdict = redis_swap_forget(rebuild->link, prefix, &before, &rebuild->error);
    if (verdict == STORE_OK)
        verdict = redis_swap_release(rebuild->link, prefix, rebuild->name, &rebuild->error);
    if (verdict != STORE_OK) return false;
    printf("%zu keys deleted\n", before + leftovers);
    return true;
}

static int run(const struct config *config, const struct options *options) {
    struct rebuild_options own;
    memcpy(&own, options->own, sizeof own);
    struct rebuild rebuild = {.config = config, .redis = config->redis};
    char prefix[512];
    snprintf(prefix, sizeof prefix, "%s:" REDIS_SWAP_REBUILT, config->redis.prefix);
    snprintf(rebuild.name, sizeof rebuild.name, "%016" PRIx64, commands_seed());
    rebuild.redis.prefix = prefix;
    aggregates_init(&rebuild.aggregates, &config->aggregate);
    rules_of_settings(&config->login, &config->aggregate, rebuild.rules);
    commands_catch_signals(true);
    rebuild.link = redis_link_create(&config->redis, &rebuild.error);
    const bool is_done =
        rebuild.link != NULL && (own.is_forget ? run_forget(&rebuild) : run_rebuild(&rebuild));
    if (!is_done) log_error(rebuild.error.text);
    recount_destroy(&rebuild.recount);
    redis_store_destroy(&rebuild.store);
    redis_link_destroy(&rebuild.link);
    free(rebuild.calls);
    free(rebuild.deltas);
    free(rebuild.stored);
    return is_done ? 0 : 1;
}

static const struct option_row option_table[] = {
    OPTION_FLAG(struct rebuild_options, is_forget, "forget",
                "delete the counts that an earlier rebuild replaced"),
    OPTION_END};

const struct command command_rebuild = {
    .name = "rebuild",
    .summary = "count everything again from Kafka, then swap it in",
    .help =
        "Counts again from where the group began, with the settings given here, under the\n"
        "prefix <redis.prefix>:rebuild, while the live counts stay in use. When it is as far\n"
        "as they are it swaps the two at once: no reader sees a mixture, and running instances\n"
        "go on from the rebuilt counts. Publishes nothing. To change what is counted, stop the\n"
        "instances, rebuild with the new settings, and start them with these.\n"
        "The counts before stay under <redis.prefix>:before until --forget deletes them.\n",
    .options = option_table,
    .run = run,
};
