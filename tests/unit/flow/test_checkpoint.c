/* checkpoint: when epochs go to Redis, and what becomes of them. Redis answers by this file. */
#include "flow/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/memory.h"
#include "flow/batch.h"

enum { SHARDS = 2, PARTITIONS = 3, WAIT_MS = 50, PAUSE_MS = 50 };

static struct metrics *metrics;
static struct checkpoint_metrics cells;
static struct aggregate_settings settings;
static struct aggregates aggregates;
static struct alarm alarm;
static struct stop stop;
static struct inbox ingest, home;
static struct checkpoint *checkpoint;
static struct epoch_part parts[PARTITIONS][SHARDS];

static enum store_verdict verdict; /* of all calls */
static int round_trips, calls_sent, newest_sent;
static size_t deltas_sent, anomaly_count;
static bool must_be_set_up;

/* Stand in for edge's. */
void redis_store_apply(struct redis_store *store, struct store_call *calls, size_t count,
                       struct error *error) {
    (void)store;
    round_trips++;
    calls_sent += (int)count;
    newest_sent = calls[count - 1].partition;
    if (verdict != STORE_OK) error_set(error, "no room");
    for (size_t i = 0; i < count; i++) {
        deltas_sent += calls[i].delta_count;
        calls[i].verdict = verdict;
        calls[i].stored = calls[i].end;
        calls[i].stored_lineage = calls[i].lineage;
        calls[i].anomaly_count = anomaly_count;
    }
}

bool redis_store_must_be_set_up(const struct redis_store *store) {
    (void)store;
    return must_be_set_up;
}

bool redis_store_is_redirected(const struct redis_store *store) {
    (void)store;
    return false;
}

static int set_up(void **state) {
    (void)state;
    metrics = metrics_create();
    metrics_add_table(metrics, checkpoint_metric_table, &cells);
    aggregates_init(&aggregates, &settings);
    stop_init(&stop, &alarm);
    inbox_init(&ingest, &alarm);
    inbox_init(&home, &alarm);
    checkpoint = checkpoint_create(&(struct checkpoint_options){
        .aggregates = &aggregates, .metrics = &cells, .shard_count = SHARDS, .stop = &stop});
    for (int p = 0; p < PARTITIONS; p++) {
        for (unsigned s = 0; s < SHARDS; s++) {
            parts[p][s] =
                (struct epoch_part){.partition = p, .shard = s, .ingest = &ingest, .home = &home};
            delta_init(&parts[p][s].delta);
        }
    }
    verdict = STORE_OK;
    round_trips = calls_sent = 0;
    deltas_sent = anomaly_count = 0;
    must_be_set_up = false;
    return 0;
}

/* How many parts came home since it was last asked, all with this outcome. */
static int came_home(bool is_stored) {
    struct inbox_item *item;
    int count = 0;
    for (; (item = inbox_take(&home)) != NULL; count++)
        assert_int_equal(inbox_entry(item, struct epoch_part, item)->is_stored, is_stored);
    return count;
}

/* How many notices came since. */
static int notices(void) {
    struct inbox_item *item;
    int count = 0;
    for (; (item = inbox_take(&ingest)) != NULL; count++)
        free(inbox_entry(item, struct notice, item));
    return count;
}

static int tear_down(void **state) {
    (void)state;
    checkpoint_destroy(&checkpoint);
    assert_null(checkpoint);
    while (inbox_take(&home) != NULL)
        continue;
    notices();
    for (int p = 0; p < PARTITIONS; p++)
        for (unsigned s = 0; s < SHARDS; s++)
            delta_release(&parts[p][s].delta);
    inbox_fini(&ingest);
    inbox_fini(&home);
    stop_fini(&stop);
    metrics_destroy(&metrics);
    return 0;
}

static void post(int partition, unsigned shard, uint64_t generation, int64_t base, int64_t end) {
    struct epoch_part *part = &parts[partition][shard];
    part->cut = (struct cursor_cut){.generation = generation, .base = base, .end = end};
    inbox_post(checkpoint_inbox(checkpoint), &part->item, ITEM_EPOCH);
}

static void post_all(int partition, int64_t base, int64_t end) {
    for (unsigned s = 0; s < SHARDS; s++)
        post(partition, s, 1, base, end);
}

static void partitions_with_nothing_to_store_wait_for_each_other(void **state) {
    (void)state;
    const int64_t from_ms = clock_ms();
    post_all(0, 5, 5);
    int64_t due_ms = checkpoint_step(checkpoint, clock_ms());
    assert_in_range(due_ms, from_ms + WAIT_MS - 1, clock_ms() + WAIT_MS);
    post_all(1, 7, 7);
    assert_int_equal(checkpoint_step(checkpoint, due_ms - 1), due_ms);
    assert_int_equal(round_trips, 0);
    assert_int_equal(checkpoint_step(checkpoint, due_ms), CLOCK_NEVER_MS);
    assert_int_equal(round_trips, 1);
    assert_int_equal(calls_sent, 2);
    assert_int_equal(notices(), 2);
    assert_int_equal(came_home(true), 2 * SHARDS);
}

static void counts_do_not_wait_and_take_along_who_does(void **state) {
    (void)state;
    post_all(0, 5, 5);
    post_all(1, 7, 8);
    checkpoint_step(checkpoint, 0);
    assert_int_equal(round_trips, 1);
    assert_int_equal(calls_sent, 2);
    assert_int_equal(came_home(true), 2 * SHARDS);
    post_all(0, CURSOR_UNKNOWN, CURSOR_UNKNOWN); /* asks what is stored */
    checkpoint_step(checkpoint, 0);
    assert_int_equal(round_trips, 2);
    assert_int_equal(came_home(false), SHARDS);
    post_all(0, 5, 5);
    for (unsigned s = 0; s < SHARDS; s++) /* moves no offset, but the branch */
        parts[0][s].cut.lineage.branch = 1;
    checkpoint_step(checkpoint, 0);
    assert_int_equal(round_trips, 3);
}

/* The oldest first, and one more than fits at most: they are in memory until Redis takes them. */
static void what_goes_out_at_once_is_bounded_in_bytes(void **state) {
    static const int order[PARTITIONS] = {2, 0, 1};
    (void)state;
    for (int i = 0; i < PARTITIONS; i++) {
        parts[order[i]][1].delta.key_bytes = 2 << 20;
        post_all(order[i], 5, 6);
    }
    for (int i = 0; i < PARTITIONS; i++) {
        const bool is_last = i == PARTITIONS - 1;
        assert_int_equal(checkpoint_step(checkpoint, 0), is_last ? CLOCK_NEVER_MS : 0);
        assert_int_equal(round_trips, i + 1);
        assert_int_equal(calls_sent, i + 1);
        assert_int_equal(newest_sent, order[i]);
        assert_int_equal(came_home(true), SHARDS);
    }
    for (int i = 0; i < PARTITIONS; i++) { /* light ones all go at once */
        parts[i][1].delta.key_bytes = 1000;
        post_all(i, 6, 7);
    }
    assert_int_equal(checkpoint_step(checkpoint, 0), CLOCK_NEVER_MS);
    assert_int_equal(round_trips, PARTITIONS + 1);
}

static void an_epoch_is_whole_with_the_part_of_each_shard(void **state) {
    (void)state;
    post(0, 1, 1, 5, 6);
    assert_int_equal(checkpoint_step(checkpoint, 0), CLOCK_NEVER_MS);
    assert_int_equal(round_trips, 0);
    post(0, 0, 1, 5, 6);
    checkpoint_step(checkpoint, 0);
    assert_int_equal(calls_sent, 1);
    assert_int_equal(deltas_sent, SHARDS);
}

static void a_later_generation_sends_an_earlier_one_home(void **state) {
    (void)state;
    post(0, 0, 1, 5, 6);
    checkpoint_step(checkpoint, 0);
    post(0, 1, 2, 9, 10);
    checkpoint_step(checkpoint, 0);
    assert_int_equal(came_home(false), 1);
    post(0, 0, 1, 5, 6); /* and what comes too late */
    checkpoint_step(checkpoint, 0);
    assert_int_equal(came_home(false), 1);
    post(0, 0, 2, 9, 10);
    checkpoint_step(checkpoint, 0);
    assert_int_equal(came_home(true), SHARDS);
    assert_int_equal(calls_sent, 1);
}

static void what_is_left_goes_home_at_the_end(void **state) {
    (void)state;
    post(0, 0, 1, 5, 6);
    checkpoint_step(checkpoint, 0);
    post(1, 0, 1, 5, 6); /* not taken yet */
    checkpoint_destroy(&checkpoint);
    assert_int_equal(came_home(false), 2);
}

static void what_failed_is_repeated_after_a_pause(void **state) {
    (void)state;
    struct text why = {0};
    verdict = STORE_RETRY;
    post_all(0, 5, 6);
    const int64_t from_ms = clock_ms();
    checkpoint_step(checkpoint, from_ms);
    assert_false(checkpoint_is_reachable(checkpoint));
    assert_false(checkpoint_is_ready(checkpoint, &why));
    assert_string_equal(text_string(&why), "counting waits for Redis: no room");
    assert_int_equal(came_home(false), 0);
    verdict = STORE_OK;
    checkpoint_step(checkpoint, from_ms + PAUSE_MS - 1);
    assert_int_equal(round_trips, 1);
    checkpoint_step(checkpoint, clock_ms() + PAUSE_MS);
    assert_int_equal(round_trips, 2);
    assert_true(checkpoint_is_reachable(checkpoint));
    assert_true(checkpoint_is_ready(checkpoint, &why));
    assert_int_equal(came_home(true), SHARDS);
    text_release(&why);
}

/* A call that is made again, as for too few replicas, has the answer of the first one. */
static void an_anomaly_is_reported_once(void **state) {
    (void)state;
    anomaly_count = 1;
    verdict = STORE_RETRY;
    post_all(0, 5, 6);
    checkpoint_step(checkpoint, 0);
    assert_int_equal(metric_get(cells.anomalies), 1);
    verdict = STORE_OK;
    checkpoint_step(checkpoint, clock_ms() + PAUSE_MS);
    assert_int_equal(metric_get(cells.anomalies), 1);
    assert_int_equal(came_home(true), SHARDS);
    post_all(0, 6, 7);
    checkpoint_step(checkpoint, clock_ms());
    assert_int_equal(metric_get(cells.anomalies), 2);
    assert_int_equal(came_home(true), SHARDS);
}

static void what_must_be_set_up_differently_is_told_apart(void **state) {
    (void)state;
    must_be_set_up = true; /* what was before counts no more */
    post_all(0, 5, 6);
    checkpoint_step(checkpoint, 0);
    assert_false(checkpoint_is_denied(checkpoint));
    verdict = STORE_RETRY;
    post_all(0, 6, 7);
    checkpoint_step(checkpoint, clock_ms());
    assert_true(checkpoint_is_denied(checkpoint));
    must_be_set_up = false;
    checkpoint_step(checkpoint, clock_ms() + PAUSE_MS);
    assert_int_equal(round_trips, 3);
    assert_false(checkpoint_is_denied(checkpoint));
    assert_int_equal(came_home(true), SHARDS);
}

static void what_is_refused_ends_the_process_and_is_not_repeated(void **state) {
    (void)state;
    struct error why = {""};
    verdict = STORE_REFUSED;
    post_all(0, 5, 6);
    checkpoint_step(checkpoint, 0);
    assert_true(stop_has_failed(&stop, &why));
    assert_string_equal(why.text, "no room");
    assert_int_equal(checkpoint_step(checkpoint, INT64_MAX / 2), CLOCK_NEVER_MS);
    assert_int_equal(round_trips, 1);
    checkpoint_stop(checkpoint);
    assert_int_equal(came_home(false), SHARDS);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(partitions_with_nothing_to_store_wait_for_each_other),
        TEST(counts_do_not_wait_and_take_along_who_does),
        TEST(what_goes_out_at_once_is_bounded_in_bytes),
        TEST(an_epoch_is_whole_with_the_part_of_each_shard),
        TEST(a_later_generation_sends_an_earlier_one_home),
        TEST(what_is_left_goes_home_at_the_end),
        TEST(what_failed_is_repeated_after_a_pause),
        TEST(an_anomaly_is_reported_once),
        TEST(what_must_be_set_up_differently_is_told_apart),
        TEST(what_is_refused_ends_the_process_and_is_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
