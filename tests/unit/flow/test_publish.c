/* publish: which calls its steps make, one after the other, and what partitions are notified of. */
#include "flow/publishing.h"
#include "logged.h"

/* --- a transaction ---------------------------------------------------------------------------- */

static void it_is_committed_when_it_is_due(void **state) {
    (void)state;
    assert_true(is_ready(""));
    post(0, 1, false);
    post(1, 2, false);
    assert_true(run() == now_ms + COMMIT_MS);
    assert_string_equal(done, "begin, send, 5@10, send, 5@11, send, 6@10, send, 6@11, "
                              "home 5, home 6, ");
    now_ms += COMMIT_MS - 1;
    assert_true(run() == now_ms + 1);
    assert_string_equal(done, "");
    now_ms++;
    assert_true(run() == CLOCK_NEVER_MS);
    assert_string_equal(done, "5:12(1) 6:12(1) commit, published 12 of 1, published 12 of 2, ");
    assert_true(metric("rollcall_records_published_total") == 4);
    assert_true(metric("rollcall_transactions_aborted_total") == 0);
    assert_true(metric("rollcall_transaction_seconds_sum") == 1);
    post(0, 1, false);
    runs("begin, send, 5@10, send, 5@11, home 5, ");
    now_ms += COMMIT_MS;
    run();
    assert_true(metric("rollcall_records_published_total") == 6);
    assert_int_equal(served, steps);
    assert_string_equal(publish_worker(publish)->name, "publish");
}

static void an_urgent_batch_is_committed_at_once(void **state) {
    (void)state;
    post(0, 1, false);
    post(1, 1, true);
    runs("begin, send, 5@10, send, 5@11, send, 6@10, send, 6@11, "
         "5:12(1) 6:12(1) commit, home 5, home 6, published 12 of 1, published 12 of 1, ");
    post(0, 1, false);
    runs("begin, send, 5@10, send, 5@11, home 5, "); /* the next one is not */
}

static void a_full_producer_gets_the_rest_later(void **state) {
    (void)state;
    answer(SEND, SINK_FULL, 2);
    post(0, 1, false);
    done[0] = '\0';
    assert_true(publish_step(publish, now_ms) <= now_ms); /* not its sleep, but its next turn */
    assert_string_equal(done, "begin, send, 5@10, room 10, ");
    runs("send, 5@10, room 10, send, 5@10, send, 5@11, home 5, ");
}

static void a_partition_that_is_lacking_has_topics_counted(void **state) {
    (void)state;
    answer(SEND, SINK_RECOUNT, 1);
    post(0, 1, false);
    runs("begin, send, 5@10, count, send, 5@10, send, 5@11, home 5, ");
    assert_int_equal(served, steps + 1); /* and what a new count asks for */
    publish_recount(publish);
    post(1, 1, false);
    runs("count, send, 6@10, send, 6@11, home 6, ");
}

/* Of nobody's fault: none is aborted, and its failures are reported after a while. */
static void a_topic_that_is_missing_is_waited_for(void **state) {
    (void)state;
    publish_recount(publish);
    answer(COUNTS, SINK_ABORT, 2);
    post(0, 1, false);
    assert_true(run() == now_ms + 20);
    assert_string_equal(done, "count, ");
    assert_int_equal(logged_count("Waiting for Kafka", "count fails"), 1);
    now_ms += 20;
    assert_true(run() == now_ms + 40);
    assert_string_equal(done, "count, ");
    now_ms += 40;
    runs("count, count, begin, send, 5@10, send, 5@11, home 5, ");
}

/* --- which fails ------------------------------------------------------------------------------ */

static void what_is_aborted_is_read_again_from_where_the_group_is(void **state) {
    (void)state;
    answer(COMMIT, SINK_ABORT, 1);
    post(0, 7, true);
    const int before = logged_count("Transaction aborted: its records are read again",
                                    "reason=\"commit fails\" records=2");
    runs("begin, send, 5@10, send, 5@11, 5:12(1) commit, abort, ask, "
         "home 5, unpublished 3 of 7, ");
    assert_int_equal(logged_count("Transaction aborted: its records are read again",
                                  "reason=\"commit fails\" records=2"),
                     before + 1);
    assert_true(metric("rollcall_transactions_aborted_total") == 1);
    assert_true(metric("rollcall_records_published_total") == 0);
    post(0, 7, false);
    runs("home 5, "); /* of the generation that was notified */
    post(0, 8, true);
    runs("begin, send, 5@10, send, 5@11, 5:12(1) commit, home 5, published 12 of 8, ");
}

/* The second failure in a row waits for 20 ms, the next one twice as long. */
static void failures_in_a_row_wait_longer_and_longer(void **state) {
    (void)state;
    static const int waits_ms[] = {0, 20, 40, 80, 160, 320, 640, 1280, 2000, 2000};
    for (int i = 0; i < 10; i++) {
        answer(COMMIT, SINK_ABORT, 1);
        post(0, (uint64_t)i, true);
        const int64_t until_ms = run();
        const bool is_replaced = i % 4 == 3;
        char expected[256];
        snprintf(expected, sizeof expected, "%sbegin, send, 5@10, send, 5@11, 5:12(1) commit, %s%s",
                 i > 1 ? "count, " : "", is_replaced ? "replace, open, " : "abort, ",
                 i > 0 ? "home 5, " : "ask, home 5, unpublished 3 of 0, ");
        assert_string_equal(done, expected);
        if (i == 0) continue;
        assert_true(until_ms == now_ms + waits_ms[i]);
        now_ms += waits_ms[i] - 1;
        runs("");
        now_ms++;
        snprintf(expected, sizeof expected, "ask, unpublished 3 of %d, ", i);
        runs(expected);
    }
    assert_true(is_ready(""));
    now_ms += 10000;
    answer(COMMIT, SINK_ABORT, 1);
    post(0, 10, true);
    run();
    assert_false(is_ready("publishing fails: commit fails"));
    now_ms += 2000;
    run();
    post(0, 11, true);
    run(); /* is committed */
    assert_true(run() == CLOCK_NEVER_MS);
    assert_true(is_ready(""));
}

static void each_verdict_on_a_commit_has_its_way(void **state) {
    static const struct {
        enum sink_verdict verdict;
        const char *then;
    } rows[] = {
        {SINK_ABORT, "abort, ask, home 5, unpublished 3 of 1, "},
        {SINK_REPLACE, "replace, open, ask, home 5, unpublished 3 of 1, "},
        {SINK_FENCED, "replace, open, ask, home 5, unpublished 3 of 1, "},
        {SINK_STOP, "home 5, "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char expected[256];
        begin_ready(state);
        answer(COMMIT, rows[i].verdict, 1);
        post(0, 1, true);
        run();
        snprintf(expected, sizeof expected, "begin, send, 5@10, send, 5@11, 5:12(1) commit, %s",
                 rows[i].then);
        assert_string_equal(done, expected);
        if (rows[i].verdict == SINK_STOP) {
            failure_is("commit fails");
            assert_true(run() == CLOCK_NEVER_MS);
            assert_string_equal(done, "");
            publish_stop(publish);
            assert_string_equal(done, "abort, ");
        }
        end(state);
    }
}

/* A transaction of no records proves nothing: the series of failures goes on. */
static void only_what_was_published_ends_a_series(void **state) {
    (void)state;
    for (int records = 0; records <= 1; records++) {
        answer(COMMIT, SINK_ABORT, 2);
        for (uint64_t i = 0; i < 2; i++) {
            post(0, 4 * (uint64_t)records + i, true);
            run();
            now_ms += 20;
            run();
        }
        post_records(0, 4 * (uint64_t)records + 2, true, records, (struct slice){NULL, 0});
        run();
        answer(COMMIT, SINK_ABORT, 1);
        post(0, 4 * (uint64_t)records + 3, true);
        const int64_t until_ms = run();
        assert_true(records == 0 ? until_ms == now_ms + 40 : until_ms == CLOCK_NEVER_MS);
        if (records == 0) now_ms = until_ms;
        run();
        post(0, 4 * (uint64_t)records + 4, true);
        run();
    }
}

static void the_log_below_the_offset_is_committed_with_it(void **state) {
    (void)state;
    post(0, 1, true);
    run();
    assert_int_equal(committed.lineage.count, 1);
}

static void a_topic_that_stays_away_is_reported(void **state) {
    (void)state;
    int64_t longest_ms = 0;
    publish_recount(publish);
    answer(COUNTS, SINK_ABORT, 100);
    post(0, 1, false);
    for (const int64_t until_ms = now_ms + 20000; now_ms < until_ms;) {
        const int64_t next_ms = run();
        assert_string_equal(done, "count, ");
        if (next_ms - now_ms > longest_ms) longest_ms = next_ms - now_ms;
        now_ms = next_ms;
    }
    assert_true(longest_ms == 2000);
    assert_false(is_ready("publishing fails: count fails"));
    answer(COUNTS, SINK_OK, 0);
    runs("count, count, begin, send, 5@10, send, 5@11, home 5, ");
    assert_true(is_ready(""));
    publish_recount(publish);
    answer(COUNTS, SINK_RETRY, 1); /* the delays begin again, and it is nobody's fault */
    post(1, 1, false);
    assert_true(run() == now_ms + 20);
    assert_true(is_ready(""));
    now_ms += 20;
    runs("count, send, 6@10, send, 6@11, home 6, ");
}

/* Of many records, or of many bytes; one less is not enough. */
static void a_large_transaction_is_committed_early(void **state) {
    static char value[16 << 20];
    (void)state;
    post(0, 1, true);
    run();
    const size_t two_bytes = batches[0]->record_bytes;
    for (int less = 8; less >= 0; less -= 8) {
        const size_t bytes = sizeof value - two_bytes - two_bytes / 2 - (size_t)less;
        post(0, 1, false);
        post_records(1, 1, false, 1, (struct slice){value, bytes});
        run();
        assert_int_equal(batches[0]->record_bytes + batches[1]->record_bytes,
                         sizeof value - (size_t)less);
        assert_int_equal(strstr(done, "commit") != NULL, less == 0);
        now_ms += COMMIT_MS;
        run();
    }
    for (size_t less = 1; less < 2; less--) {
        post(0, 1, false);
        batches[0]->record_count = 50000 - less;
        run();
        assert_int_equal(strstr(done, "commit") != NULL, less == 0);
        now_ms += COMMIT_MS;
        run();
    }
}

static void fail_once(uint64_t generation) {
    answer(COMMIT, SINK_ABORT, 1);
    post(0, generation, true);
    run();
    now_ms += HOUR_MS;
    run();
}

/* What was too much at once, for a slow broker or a quota, passes in pieces. */
static void after_a_failure_transactions_are_smaller(void **state) {
    (void)state;
    static const size_t sizes[] = {12500, 25000, 50000, 50000};
    fail_once(1);
    for (int i = 0; i < 4; i++) {
        post(0, 2, false);
        batches[0]->record_count = sizes[i] - 1;
        run();
        assert_null(strstr(done, "commit"));
        post(1, 2, false);
        batches[1]->record_count = 1;
        run();
        assert_non_null(strstr(done, "commit"));
    }
    for (uint64_t i = 0; i < 6; i++)
        fail_once(3 + i);
    post(0, 9, false);
    batches[0]->record_count = 50000 >> 8;
    run();
    assert_non_null(strstr(done, "commit"));
}

static void a_quota_that_holds_back_is_waited_for(void **state) {
    (void)state;
    throttled_ms = now_ms + 500;
    post(0, 1, false);
    assert_true(run() == throttled_ms);
    assert_string_equal(done, "");
    now_ms = throttled_ms;
    runs("begin, send, 5@10, send, 5@11, home 5, ");
    now_ms += COMMIT_MS;
    throttled_ms = now_ms + 30000;
    answer(COMMIT, SINK_ABORT, 1);
    assert_true(run() == throttled_ms);
    assert_string_equal(done, "5:12(1) commit, abort, ");
    now_ms = throttled_ms - 1;
    runs("");
    now_ms++;
    runs("ask, unpublished 3 of 1, ");
}

static void a_call_that_was_answered_has_all_its_tries_again(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        answer(COMMIT, SINK_RETRY, 5);
        post(0, 1, true);
        for (int wait_ms = 20; wait_ms <= 320; wait_ms *= 2) {
            assert_true(run() == now_ms + wait_ms);
            now_ms += wait_ms;
        }
        runs("5:12(1) commit, published 12 of 1, ");
    }
}

/* The reason for which one call was made again is not that of the next state. */
static void a_reason_that_is_past_is_not_shown(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        answer(COMMIT, SINK_ABORT, 1);
        answer(ABORT, SINK_RETRY, i == 2);
        post(0, i, true);
        run();
        now_ms += 20;
        run();
    }
    assert_false(is_ready("the producer is not ready"));
    now_ms += 20;
    runs("ask, unpublished 3 of 2, ");
}

static void a_new_producer_is_replaced_no_more(void **state) {
    (void)state;
    answer(COMMIT, SINK_REPLACE, 1);
    answer(OPEN, SINK_RETRY, 1);
    post(0, 1, true);
    run();
    assert_non_null(strstr(done, "commit, replace, open, "));
    now_ms += 20;
    runs("open, ask, unpublished 3 of 1, ");
}

/* Six times, with growing delays; then a new producer finds out how it ended. */
static void what_kafka_does_not_answer_is_called_again(void **state) {
    static const int waits_ms[] = {20, 40, 80, 160, 320};
    for (enum call call = COMMIT; call <= ABORT; call++) {
        begin_ready(state);
        answer(COMMIT, SINK_ABORT, 1);
        answer(call, SINK_RETRY, 6);
        post(0, 1, true);
        for (int i = 0; i < 5; i++) {
            assert_true(run() == now_ms + waits_ms[i]);
            assert_non_null(strstr(done, names[call]));
            assert_null(strstr(done, "replace"));
            const char *why = call == COMMIT ? "" : "the producer is not ready: abort fails";
            assert_int_equal(is_ready(why), call == COMMIT);
            now_ms += waits_ms[i];
        }
        runs(call == COMMIT ? "5:12(1) commit, replace, open, ask, unpublished 3 of 1, "
                            : "abort, replace, open, ask, unpublished 3 of 1, ");
        end(state);
    }
}

static void a_record_that_cannot_be_sent_fails_all(void **state) {
    (void)state;
    post(0, 1, false);
    run();
    answer(SEND, SINK_ABORT, 1);
    post(1, 2, false);
    runs("send, 6@10, abort, ask, home 6, unpublished 3 of 1, unpublished 3 of 2, ");
    post(0, 3, false);
    runs("begin, send, 5@10, send, 5@11, home 5, ");
}

static void what_was_given_away_is_not_committed(void **state) {
    (void)state;
    const uint64_t generation = fence_raise(&fence, 5);
    post(0, generation, false);
    run();
    fence_raise(&fence, 5);
    now_ms += COMMIT_MS;
    run();
    assert_non_null(strstr(done, "5:12(1) commit, abort, ask, unpublished 3 of "));
    post(0, generation, false);
    runs("home 5, "); /* void */
    const uint64_t next = fence_raise(&fence, 5);
    post(0, next, false);
    run();
    post(0, next + 1, false); /* it came back within one transaction */
    run();
    assert_int_equal(strncmp(done, "abort, ask, ", strlen("abort, ask, ")), 0);
    assert_true(logged_count("Transaction aborted", "partition 5 was given away and came back") >
                0);
}

static void of_many_partitions_none_may_have_been_given_away(void **state) {
    (void)state;
    const uint64_t generation = fence_raise(&fence, 6);
    post(0, 1, false);
    post(1, generation, false);
    run();
    fence_raise(&fence, 6);
    now_ms += COMMIT_MS;
    run();
    assert_non_null(strstr(done, "5:12(1) 6:12(1) commit, abort, ask, "));
}

static void a_silent_group_is_asked_again(void **state) {
    (void)state;
    is_silent = true;
    answer(COMMIT, SINK_ABORT, 1);
    post(0, 1, true);
    assert_true(run() == now_ms + 20);
    assert_false(is_ready("the producer is not ready: no coordinator"));
    is_silent = false;
    now_ms += 20;
    runs("ask, unpublished 3 of 1, ");
    assert_true(is_ready(""));
}

static void two_of_one_name_are_noticed(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        answer(COMMIT, SINK_FENCED, 1);
        post(0, (uint64_t)i, true);
        run();
        now_ms += 2000;
        run();
    }
    failure_is("another process runs with the same instance.id \"one\"");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_ready, end)
    const struct CMUnitTest tests[] = {
        TEST(it_is_committed_when_it_is_due),
        TEST(an_urgent_batch_is_committed_at_once),
        TEST(a_full_producer_gets_the_rest_later),
        TEST(a_partition_that_is_lacking_has_topics_counted),
        TEST(a_topic_that_is_missing_is_waited_for),
        TEST(what_is_aborted_is_read_again_from_where_the_group_is),
        TEST(failures_in_a_row_wait_longer_and_longer),
        cmocka_unit_test(each_verdict_on_a_commit_has_its_way),
        cmocka_unit_test(what_kafka_does_not_answer_is_called_again),
        TEST(only_what_was_published_ends_a_series),
        TEST(the_log_below_the_offset_is_committed_with_it),
        TEST(a_topic_that_stays_away_is_reported),
        TEST(a_large_transaction_is_committed_early),
        TEST(after_a_failure_transactions_are_smaller),
        TEST(a_quota_that_holds_back_is_waited_for),
        TEST(a_call_that_was_answered_has_all_its_tries_again),
        TEST(a_reason_that_is_past_is_not_shown),
        TEST(a_new_producer_is_replaced_no_more),
        TEST(a_record_that_cannot_be_sent_fails_all),
        TEST(what_was_given_away_is_not_committed),
        TEST(of_many_partitions_none_may_have_been_given_away),
        TEST(a_silent_group_is_asked_again),
        TEST(two_of_one_name_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
