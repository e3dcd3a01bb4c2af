/* lag: what is shown of a partition for a cursor and an end of the log. */
#include "flow/lag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "edge/kafka_topics.h"

enum { HOUR_MS = 3600000 };

static struct metrics *metrics;
static struct lag_metrics lag_metrics;
static atomic_int_fast64_t retention_ms;
static struct lag *lag;
static struct cursor cursor;
static struct batch *batch; /* without records */
static struct inbox home;
static int64_t end_of_log;

/* Stands in for edge's: the end that the client last heard of. */
int64_t kafka_stream_end(const struct kafka_stream *stream) {
    (void)stream;
    return end_of_log;
}

static int set_up(void **state) {
    static struct alarm alarm;
    static atomic_size_t pending_bytes;
    (void)state;
    metrics = metrics_create();
    metrics_add_table(metrics, lag_metric_table, &lag_metrics);
    inbox_init(&home, &alarm);
    batch = batch_create(7, 1, 256, &home, &pending_bytes);
    lag = memory_create(sizeof *lag);
    lag_init(lag, 7, &lag_metrics, &retention_ms);
    lag_begin(lag);
    retention_ms = TOPICS_KEEP_UNKNOWN;
    end_of_log = 10;
    cursor = (struct cursor){.published = {.stored = 5, .next = 8},
                             .counted = {.stored = 3, .next = 8},
                             .origin = 2,
                             .position = 8};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    lag_end(lag);
    free(lag);
    batch_destroy(&batch);
    inbox_fini(&home);
    metrics_destroy(&metrics);
    return 0;
}

/* The value of a series of partition 7; "" if it is not shown. The caller has one at a time. */
static const char *value_of(const char *name) {
    static char value[32];
    char series[96];
    struct text text = {0};
    metrics_render(metrics, &text);
    snprintf(series, sizeof series, "\n%s{partition=\"7\"} ", name);
    const char *found = strstr(text_string(&text), series);
    value[0] = '\0';
    if (found != NULL) {
        found += strlen(series);
        snprintf(value, sizeof value, "%.*s", (int)strcspn(found, "\n"), found);
    }
    text_release(&text);
    return value;
}

static void records_are_those_between_the_watermark_and_the_end(void **state) {
    (void)state;
    lag_show(lag, &cursor, NULL, 1000);
    assert_string_equal(value_of("rollcall_lag_records"), "5");
    assert_string_equal(value_of("rollcall_counted_lag_records"), "7");
    const struct lag_figures figures = lag_read(lag);
    assert_int_equal(figures.end, 10);
    assert_int_equal(figures.published, 5);
    assert_int_equal(figures.counted, 3);
    assert_int_equal(figures.published_oldest_ms, BACKLOG_NONE);
    assert_int_equal(figures.counted_oldest_ms, BACKLOG_NONE);
    cursor.published.stored = cursor.counted.stored = 11; /* of an end that is not known yet */
    lag_show(lag, &cursor, NULL, 1000);
    assert_string_equal(value_of("rollcall_lag_records"), "0");
    assert_string_equal(value_of("rollcall_counted_lag_records"), "0");
}

/* Nothing was fetched yet, or nothing for long: what Kafka told when it was asked is newer. */
static void the_end_is_known_before_anything_is_fetched(void **state) {
    (void)state;
    end_of_log = -1;
    lag->told_end = 30;
    lag_show(lag, &cursor, NULL, 1000);
    assert_string_equal(value_of("rollcall_lag_records"), "25");
    end_of_log = 20; /* of an older fetch */
    lag_show(lag, &cursor, NULL, 2000);
    assert_int_equal(lag_read(lag).end, 30);
    end_of_log = 40;
    lag_show(lag, &cursor, NULL, 3000);
    assert_int_equal(lag_read(lag).end, 40);
    lag_begin(lag); /* another assignment */
    end_of_log = 12;
    lag_show(lag, &cursor, NULL, 4000);
    assert_int_equal(lag_read(lag).end, 12);
}

/* From time to time; what is read meanwhile is part of the log. */
static void the_end_is_looked_at_five_times_a_second(void **state) {
    (void)state;
    lag_show(lag, &cursor, NULL, 1000);
    end_of_log = 20;
    lag_show(lag, &cursor, NULL, 1199);
    assert_int_equal(lag_read(lag).end, 10);
    cursor.position = 12;
    lag_show(lag, &cursor, NULL, 1199);
    assert_int_equal(lag_read(lag).end, 12);
    lag_show(lag, &cursor, NULL, 1200);
    assert_int_equal(lag_read(lag).end, 20);
    end_of_log = -1; /* not known to a new client */
    lag_show(lag, &cursor, NULL, 1400);
    assert_int_equal(lag_read(lag).end, 20);
}

/* It shares a lock with thousands of others. */
static void a_partition_that_rests_looks_once_a_second(void **state) {
    (void)state;
    cursor.published.next = cursor.published.stored = 10;
    cursor.counted.next = cursor.counted.stored = 10;
    cursor.cut_end = CURSOR_ABSENT;
    assert_true(cursor_is_settled(&cursor));
    lag_show(lag, &cursor, NULL, 1000);
    end_of_log = 20;
    lag_show(lag, &cursor, NULL, 1900);
    assert_int_equal(lag_read(lag).end, 10);
    lag_show(lag, &cursor, NULL, 2000);
    assert_int_equal(lag_read(lag).end, 20);
}

static void what_is_not_known_is_not_shown(void **state) {
    (void)state;
    cursor.origin = CURSOR_ABSENT;
    cursor.published.stored = CURSOR_ABSENT;
    cursor.counted.stored = CURSOR_UNKNOWN;
    lag_show(lag, &cursor, NULL, 1000);
    assert_string_equal(value_of("rollcall_lag_records"), "");
    assert_string_equal(value_of("rollcall_lag_seconds"), "");
    assert_string_equal(value_of("rollcall_counted_lag_records"), "");
    assert_true(lag_read(lag).published < 0 && lag_read(lag).counted < 0);
    cursor.origin = 2; /* from where the group began */
    lag_show(lag, &cursor, NULL, 1000);
    assert_string_equal(value_of("rollcall_lag_records"), "8");
    assert_string_equal(value_of("rollcall_counted_lag_records"), "");
    cursor.counted.stored = 7; /* from where counting is */
    lag_show(lag, &cursor, NULL, 1000);
    assert_string_equal(value_of("rollcall_lag_records"), "3");
}

/* A record that is counted, and not published, an hour old. */
static void count_an_old_record(void) {
    cursor.counted.next = 8;
    lag_before(lag, &cursor);
    lag_unkept(lag, clock_wall_ms() - HOUR_MS);
    lag_unkept(lag, clock_wall_ms()); /* the oldest counts */
    cursor.counted.next = 9;
    lag_after(lag, &cursor, batch);
}

static void seconds_are_those_of_the_oldest_record(void **state) {
    (void)state;
    count_an_old_record();
    lag_show(lag, &cursor, NULL, 1000);
    assert_in_range(atof(value_of("rollcall_counted_lag_seconds")), 3600, 3700);
    assert_string_equal(value_of("rollcall_lag_seconds"), "0");
    assert_in_range(lag_read(lag).counted_oldest_ms, clock_wall_ms() - HOUR_MS - 100000,
                    clock_wall_ms() - HOUR_MS);
    assert_int_equal(lag_read(lag).published_oldest_ms, BACKLOG_NONE);
    clock_correct(-HOUR_MS); /* the clock of this machine is slow */
    assert_in_range(atof(value_of("rollcall_counted_lag_seconds")), 7200, 7300);
    clock_correct(0);
    cursor.counted.stored = 9; /* it is stored */
    lag_show(lag, &cursor, NULL, 1000);
    assert_string_equal(value_of("rollcall_counted_lag_seconds"), "0");
    assert_int_equal(lag_read(lag).counted_oldest_ms, BACKLOG_NONE);
}

static void keep(int64_t offset, int64_t timestamp_ms) {
    static const char value[] = "{}";
    const struct kafka_record record = {
        .offset = offset, .timestamp_ms = timestamp_ms, .value = {value, sizeof value - 1}};
    const struct login login = {.detail = ""};
    batch_keep(batch, &record, &login);
}

/* Of the records below the gate, which were counted before, none is the oldest. */
static void a_gate_within_a_batch_leaves_out_the_records_below(void **state) {
    (void)state;
    const int64_t now_ms = clock_wall_ms();
    cursor.counted.next = cursor.counted.stored = 9;
    lag_before(lag, &cursor);
    keep(8, now_ms - 3 * HOUR_MS);
    keep(9, now_ms - 2 * HOUR_MS);
    keep(10, now_ms - HOUR_MS);
    cursor.counted.next = cursor.published.next = 11;
    lag_after(lag, &cursor, batch);
    lag_show(lag, &cursor, NULL, 1000);
    assert_int_equal(lag_read(lag).counted_oldest_ms, now_ms - 2 * HOUR_MS);
    assert_int_equal(lag_read(lag).published_oldest_ms, now_ms - 3 * HOUR_MS);
}

/* Its age stays, until the watermark moves at all. */
static void what_is_read_again_may_be_stored_with_any_record(void **state) {
    (void)state;
    count_an_old_record();
    lag_rewind(lag, &cursor); /* nothing was rewound: it is stored with the record before 9 */
    cursor.counted.stored = 4;
    lag_show(lag, &cursor, NULL, 1000);
    assert_in_range(atof(value_of("rollcall_counted_lag_seconds")), 3600, 3700);
    cursor.counted.next = 4;
    lag_rewind(lag, &cursor);
    lag_show(lag, &cursor, NULL, 1000);
    assert_in_range(atof(value_of("rollcall_counted_lag_seconds")), 3600, 3700);
    cursor.counted.stored = 5;
    lag_show(lag, &cursor, NULL, 1000);
    assert_string_equal(value_of("rollcall_counted_lag_seconds"), "0");
}

static void the_headroom_is_that_of_the_oldest_record(void **state) {
    (void)state;
    count_an_old_record();
    lag_show(lag, &cursor, NULL, 1000);
    assert_string_equal(value_of("rollcall_retention_headroom_seconds"), "");
    retention_ms = 3 * HOUR_MS;
    lag_show(lag, &cursor, NULL, 1000);
    assert_in_range(atof(value_of("rollcall_retention_headroom_seconds")), 7000, 7200);
    retention_ms = TOPICS_KEEP_ALWAYS;
    lag_show(lag, &cursor, NULL, 1000);
    assert_string_equal(value_of("rollcall_retention_headroom_seconds"), "+Inf");
}

static void a_partition_that_was_given_away_is_not_shown(void **state) {
    (void)state;
    retention_ms = HOUR_MS;
    count_an_old_record();
    lag_show(lag, &cursor, NULL, 1000);
    lag_end(lag);
    static const char *const names[] = {
        "rollcall_lag_records", "rollcall_lag_seconds", "rollcall_counted_lag_records",
        "rollcall_counted_lag_seconds", "rollcall_retention_headroom_seconds"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_string_equal(value_of(names[i]), "");
    const struct lag_figures figures = lag_read(lag);
    assert_int_equal(figures.end, -1);
    assert_int_equal(figures.published, -1);
    assert_int_equal(figures.counted, -1);
    assert_int_equal(figures.counted_oldest_ms, BACKLOG_NONE);
    lag_begin(lag); /* and what was read before is forgotten */
    end_of_log = -1;
    cursor.position = 0;
    lag_show(lag, &cursor, NULL, 0);
    assert_int_equal(lag_read(lag).end, 0);
    assert_int_equal(lag_read(lag).counted_oldest_ms, BACKLOG_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(records_are_those_between_the_watermark_and_the_end),
        TEST(the_end_is_known_before_anything_is_fetched),
        TEST(the_end_is_looked_at_five_times_a_second),
        TEST(a_partition_that_rests_looks_once_a_second),
        TEST(what_is_not_known_is_not_shown),
        TEST(seconds_are_those_of_the_oldest_record),
        TEST(a_gate_within_a_batch_leaves_out_the_records_below),
        TEST(what_is_read_again_may_be_stored_with_any_record),
        TEST(the_headroom_is_that_of_the_oldest_record),
        TEST(a_partition_that_was_given_away_is_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
