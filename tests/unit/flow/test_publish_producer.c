/* publish: how its producer is opened, replaced and renewed, and what a stop leaves. */
#include "flow/publishing.h"

static void a_producer_that_cannot_open_is_tried_again_or_replaced(void **state) {
    static const struct {
        enum call call;
        enum sink_verdict verdict;
        const char *again;
    } rows[] = {
        {OPEN, SINK_RETRY, "open, "},
        {OPEN, SINK_ABORT, "replace, open, "},
        {OPEN, SINK_FENCED, "replace, open, "},
        {OPEN, SINK_STOP, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(state);
        assert_false(is_ready("the producer is not ready"));
        answer(rows[i].call, rows[i].verdict, 1);
        const int64_t until_ms = run();
        assert_string_equal(done, "open, ");
        if (rows[i].again == NULL) {
            failure_is("open fails");
        } else {
            assert_true(until_ms == now_ms + 20);
            assert_false(is_ready("the producer is not ready: open fails"));
            now_ms += 20;
            runs(rows[i].again);
            assert_true(is_ready(""));
        }
        end(state);
    }
}

static void a_transaction_that_cannot_begin(void **state) {
    static const struct {
        enum sink_verdict verdict;
        const char *then;
    } rows[] = {
        {SINK_RETRY, "begin, open, begin, send, 5@10, send, 5@11, home 5, "},
        {SINK_REPLACE, "begin, replace, open, begin, send, 5@10, send, 5@11, home 5, "},
        {SINK_STOP, "begin, "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin_ready(state);
        answer(BEGIN, rows[i].verdict, 1);
        post(0, 1, false);
        runs(rows[i].then);
        if (rows[i].verdict == SINK_STOP) failure_is("begin fails");
        end(state);
    }
}

/* They are tried while it waits; the new producer comes between two transactions. */
static void new_certificates_are_taken_between_transactions(void **state) {
    (void)state;
    publish_renew(publish);
    renewal = SINK_RENEWAL_TRIED;
    assert_true(run() == now_ms + 100);
    assert_string_equal(done, "renew, ");
    assert_true(run() == now_ms + 100);
    assert_string_equal(done, "");
    post(0, 1, false);
    renewal = SINK_RENEWAL_NONE;
    run();
    renewal = SINK_RENEWAL_DUE;
    assert_true(run() == now_ms + COMMIT_MS);
    assert_string_equal(done, "");
    now_ms += COMMIT_MS;
    runs("5:12(1) commit, replace, open, published 12 of 1, ");
    renewal = SINK_RENEWAL_NONE;
    assert_true(run() == CLOCK_NEVER_MS);
}

static void a_producer_that_opens_takes_new_certificates_first(void **state) {
    (void)state;
    has_new_certificates = true;
    publish_renew(publish);
    runs("renew, replace, open, ");
    has_new_certificates = false;
    publish_renew(publish);
    runs("renew, ");
}

static void a_stop_aborts_what_is_open_and_sends_all_home(void **state) {
    (void)state;
    answer(SEND, SINK_FULL, 1);
    post(0, 1, false);
    post(1, 1, false);
    publish_step(publish, now_ms);
    done[0] = '\0';
    publish_stop(publish);
    drain_home();
    assert_string_equal(done, "abort, home 5, home 6, ");
    done[0] = '\0';
    publish_stop(publish); /* it has ended */
    assert_string_equal(done, "");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_ready, end)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_producer_that_cannot_open_is_tried_again_or_replaced),
        cmocka_unit_test(a_transaction_that_cannot_begin),
        TEST(new_certificates_are_taken_between_transactions),
        cmocka_unit_test_setup_teardown(a_producer_that_opens_takes_new_certificates_first, begin,
                                        end),
        TEST(a_stop_aborts_what_is_open_and_sends_all_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
