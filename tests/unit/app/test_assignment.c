/* assignment: what happens between an event of the group and its answer. The group, the topic, the
 * store and the threads of partitions stand in for the real ones. */
#include "app/assignment.h"

#include "app/stand_ins.h"
#include "base/clock.h"
#include "logged.h"

/* --- around a test ---------------------------------------------------------------------------- */

static struct fence fence;
static struct stop stop;
static struct metrics *metrics;
static struct assignment_metrics cells;
static struct assignment *assignment;

static int begin(void **state) {
    static struct alarm alarm;
    (void)state;
    memset(ingests, 0, sizeof ingests);
    memset(&fence, 0, sizeof fence);
    is_reachable = is_ready = true;
    is_denied = is_silent = is_other_topic = false;
    event = SOURCE_QUIET;
    item_count = COUNT;
    done[0] = '\0';
    for (int i = 0; i < COUNT; i++) {
        items[i] = (struct kafka_assigned){2 * i, (struct kafka_stream *)&items[i]};
        offsets[i] = 10 + i;
        origins[i] = 5;
    }
    stop_init(&stop, &alarm);
    metrics = metrics_create();
    metrics_add_table(metrics, assignment_metric_table, &cells);
    assignment = assignment_create(&(struct assignment_options){.fence = &fence,
                                                                .stop = &stop,
                                                                .metrics = &cells,
                                                                .ingest = {.topic = "logins"},
                                                                .topic_id = "id",
                                                                .drain_ms = DRAIN_MS});
    return 0;
}

static int end(void **state) {
    (void)state;
    assignment_destroy(&assignment);
    assert_null(assignment);
    assignment_destroy(&assignment); /* none is fine */
    metrics_destroy(&metrics);
    stop_fini(&stop);
    return 0;
}

static void step(enum source_event next, int64_t now_ms) {
    done[0] = '\0';
    event = next;
    assert_int_equal(assignment_step(assignment, now_ms), now_ms + 100);
}

/* Partitions 0, 2 and 4 are ours, and run. */
static int begin_given(void **state) {
    begin(state);
    step(SOURCE_GIVEN, NOW_MS);
    done[0] = '\0';
    return 0;
}

static void assigned_are(int64_t count) {
    char expected[64];
    struct text text = {0};
    snprintf(expected, sizeof expected, "rollcall_assigned_partitions %d\n", (int)count);
    metrics_render(metrics, &text);
    if (strstr(text_string(&text), expected) == NULL) fail_msg("%s", text_string(&text));
    text_release(&text);
}

static void failure_is(const char *why) {
    struct error error = {""};
    assert_true(stop_has_failed(&stop, &error));
    if (strstr(error.text, why) == NULL) fail_msg("%s", error.text);
}

static bool is_ready_now(const char *expected) {
    char why[256] = "";
    struct text text = text_within(why, sizeof why);
    const bool found = assignment_is_ready(assignment, &text);
    assert_string_equal(why, expected);
    return found;
}

/* --- partitions are given --------------------------------------------------------------------- */

static void what_is_given_starts_where_the_group_has_committed(void **state) {
    (void)state;
    step(SOURCE_GIVEN, NOW_MS);
    assert_string_equal(done, "recount, committed, answer, create 0, start 0, create 2, start 2, "
                              "create 4, start 4, ");
    for (int i = 0; i < COUNT; i++) {
        const struct ingest_start *start = &ingests[2 * i].start;
        assert_int_equal(start->committed.partition, 2 * i);
        assert_int_equal(start->committed.offset, 10 + i);
        assert_int_equal(start->committed.origin, 5);
        assert_ptr_equal(start->stream, &items[i]);
        assert_null(items[i].stream); /* the ingest's */
        assert_true(fence_lets(&fence, 2 * i, start->generation));
    }
    assigned_are(COUNT);
    assert_true(is_ready_now(""));
    step(SOURCE_QUIET, NOW_MS);
    assert_string_equal(done, "");
}

/* As often as it may be, and no oftener. */
static void a_silent_kafka_is_asked_again_after_a_while(void **state) {
    (void)state;
    is_silent = true;
    const int before = logged_count("Waiting for Kafka", "no coordinator");
    const int64_t began_ms = clock_ms();
    step(SOURCE_GIVEN, began_ms);
    assert_string_equal(done, "recount, committed, ");
    assert_int_equal(logged_count("Waiting for Kafka", "no coordinator"), before + 1);
    assert_false(is_ready_now("partitions were assigned, and are not being read yet"));
    step(SOURCE_QUIET, began_ms + 100);
    assert_string_equal(done, "");
    is_silent = false;
    step(SOURCE_QUIET, clock_ms() + 2000);
    assert_string_equal(done, "recount, committed, answer, create 0, start 0, create 2, start 2, "
                              "create 4, start 4, ");
    assert_true(is_ready_now(""));
    step(SOURCE_TAKEN, NOW_MS);
    step(SOURCE_QUIET, NOW_MS + DRAIN_MS);
    for (int i = 0; i < COUNT; i++)
        items[i].stream = (struct kafka_stream *)&items[i];
    is_silent = true; /* the next ones are not to wait for what was before */
    step(SOURCE_GIVEN, NOW_MS);
    assert_string_equal(done, "recount, committed, ");
}

static void what_is_given_while_it_ends_is_answered_alone(void **state) {
    (void)state;
    stop_ask(&stop, 15);
    step(SOURCE_GIVEN, NOW_MS);
    assert_string_equal(done, "answer, ");
    assigned_are(0);
    assert_true(is_ready_now(""));
}

static void an_empty_share_is_answered(void **state) {
    (void)state;
    item_count = 0;
    step(SOURCE_GIVEN, NOW_MS);
    assert_string_equal(done, "answer, ");
}

static void too_many_partitions_end_the_program(void **state) {
    for (int i = 0; i < COUNT; i++) {
        begin(state);
        items[i].partition = FENCE_PARTITIONS_MAX;
        step(SOURCE_GIVEN, NOW_MS);
        assert_string_equal(done, "answer, ");
        failure_is("the input topic has more partitions than rollcall takes (4096)");
        step(SOURCE_TAKEN, NOW_MS); /* as it was never ours */
        assert_string_equal(done, "answer, ");
        end(state);
    }
}

static void the_last_partition_of_all_is_taken(void **state) {
    (void)state;
    items[0].partition = FENCE_PARTITIONS_MAX - 1;
    step(SOURCE_GIVEN, NOW_MS);
    assert_true(ingests[FENCE_PARTITIONS_MAX - 1].is_running);
    assigned_are(COUNT);
}

static void another_topic_ends_the_program(void **state) {
    (void)state;
    is_other_topic = true;
    step(SOURCE_GIVEN, NOW_MS);
    assert_string_equal(done, "answer, ");
    failure_is("it is another topic");
}

static void offsets_of_another_program_are_reported_once(void **state) {
    static const struct {
        int64_t offsets[COUNT], origins[COUNT];
        const char *fields; /* NULL: no report */
    } rows[] = {
        {{10, 11, 12}, {5, 0, 5}, NULL},
        {{-1, -1, -1}, {-1, -1, -1}, NULL},
        {{10, 0, 12}, {5, -1, -1}, "partitions=2 partition=2 offset=0"},
        {{71, -1, 12}, {-1, -1, 0}, "partitions=1 partition=0 offset=71"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *words = "Offsets that another program has committed";
        const char *fields = rows[i].fields == NULL ? "" : rows[i].fields;
        begin(state);
        const int before = logged_count(words, fields);
        memcpy(offsets, rows[i].offsets, sizeof offsets);
        memcpy(origins, rows[i].origins, sizeof origins);
        step(SOURCE_GIVEN, NOW_MS);
        assert_int_equal(logged_count(words, fields), before + (rows[i].fields != NULL));
        end(state);
    }
}

static void a_consumer_that_failed_ends_the_program(void **state) {
    (void)state;
    step(SOURCE_FAILED, NOW_MS);
    failure_is("the consumer is dead");
}

/* --- partitions go ---------------------------------------------------------------------------- */

static void what_is_taken_drains_first(void **state) {
    (void)state;
    const uint64_t generation = ingests[2].start.generation;
    item_count = 2;
    ingests[0].is_drained = true;
    step(SOURCE_TAKEN, NOW_MS);
    assert_string_equal(done, "drain 0, drain 2, ");
    step(SOURCE_QUIET, NOW_MS + DRAIN_MS - 1);
    assert_string_equal(done, "");
    assert_true(fence_lets(&fence, 2, generation));
    ingests[2].is_drained = true;
    const int before = logged_count("before all was stored", "");
    step(SOURCE_QUIET, NOW_MS + DRAIN_MS - 1);
    assert_string_equal(done, "stop 0, close 0, stop 2, close 1, answer, ");
    assert_false(fence_lets(&fence, 2, generation));
    assert_int_equal(logged_count("before all was stored", ""), before);
    assigned_are(1);
    step(SOURCE_TAKEN, NOW_MS + DRAIN_MS); /* what is not ours any more */
    assert_string_equal(done, "answer, ");
}

static void what_does_not_drain_goes_at_its_deadline(void **state) {
    (void)state;
    const char *words = "Partitions given away before all was stored", *field = "waited_ms=5000";
    const int before = logged_count(words, field);
    for (int i = 0; i < 2; i++) { /* each time with a deadline of its own */
        const int64_t now_ms = NOW_MS + 2 * DRAIN_MS * i;
        step(SOURCE_TAKEN, now_ms);
        assert_string_equal(done, "drain 0, drain 2, drain 4, ");
        step(SOURCE_QUIET, now_ms + DRAIN_MS - 1);
        assert_string_equal(done, "");
        step(SOURCE_QUIET, now_ms + DRAIN_MS);
        assert_string_equal(done, "stop 0, close 0, stop 2, close 1, stop 4, close 2, answer, ");
        assert_int_equal(logged_count(words, field), before + i + 1);
        for (int k = 0; k < COUNT; k++)
            items[k].stream = (struct kafka_stream *)&items[k];
        step(SOURCE_GIVEN, now_ms + DRAIN_MS);
        assert_string_equal(done, "recount, committed, answer, start 0, start 2, start 4, ");
    }
}

static void after_a_failure_nothing_is_waited_for(void **state) {
    (void)state;
    stop_fail(&stop, "broken");
    step(SOURCE_TAKEN, NOW_MS);
    assert_string_equal(done, "drain 0, drain 2, drain 4, stop 0, close 0, stop 2, close 1, "
                              "stop 4, close 2, answer, ");
}

static void an_unreachable_store_is_not_waited_for(void **state) {
    (void)state;
    is_reachable = false;
    step(SOURCE_TAKEN, NOW_MS);
    assert_string_equal(done, "drain 0, drain 2, drain 4, stop 0, close 0, stop 2, close 1, "
                              "stop 4, close 2, answer, ");
}

static void what_is_lost_is_stopped_at_once(void **state) {
    (void)state;
    const int before = logged_count("Partitions lost: another instance may own", "count=3");
    step(SOURCE_LOST, NOW_MS);
    assert_string_equal(done, "stop 0, close 0, stop 2, close 1, stop 4, close 2, answer, ");
    assert_int_equal(logged_count("Partitions lost: another instance may own", "count=3"),
                     before + 1);
    assigned_are(0);
}

static void each_change_is_logged(void **state) {
    (void)state;
    static const char *const lines[] = {
        "level=info msg=\"Partitions assigned\" count=3\n",
        "level=info msg=\"Partitions given away\" count=3\n",
        "level=warn msg=\"Partitions lost: another instance may own "
        "them already\" count=2\n"};
    logged_begin();
    step(SOURCE_GIVEN, NOW_MS);
    for (int i = 0; i < COUNT; i++)
        ingests[2 * i].is_drained = true;
    step(SOURCE_TAKEN, NOW_MS);
    item_count = 2;
    step(SOURCE_LOST, NOW_MS);
    logged_end();
    const char *at = logged_text;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        at = strstr(at, lines[i]);
        if (at == NULL) fail_msg("%s is not in: %s", lines[i], logged_text);
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

static void at_the_end_all_drain(void **state) {
    (void)state;
    assert_int_equal(assignment_drain_step(assignment, NOW_MS), NOW_MS + 100);
    assert_string_equal(done, "drain 0, drain 2, drain 4, ");
    assert_false(assignment_has_drained(assignment));
    for (int i = 0; i < COUNT; i++)
        ingests[2 * i].is_drained = true;
    ingests[2].is_running = ingests[4].is_running = false;
    assert_false(assignment_has_drained(assignment));
    ingests[2].is_running = ingests[4].is_running = true;
    done[0] = '\0';
    assert_int_equal(assignment_drain_step(assignment, NOW_MS + 1), NOW_MS + 1);
    assert_string_equal(done, "stop 0, close 0, stop 2, close 1, stop 4, close 2, ");
    assert_true(assignment_has_drained(assignment));
    assigned_are(0);
    done[0] = '\0';
    assignment_end(assignment);
    assert_string_equal(done, "");
    assignment_destroy(&assignment);
    assert_string_equal(done, "destroy 0, destroy 2, destroy 4, ");
}

/* An end that begins while partitions are taken has the whole time. */
static void an_end_has_a_deadline_of_its_own(void **state) {
    (void)state;
    step(SOURCE_TAKEN, NOW_MS);
    const int64_t later_ms = NOW_MS + DRAIN_MS - 1;
    assert_int_equal(assignment_drain_step(assignment, later_ms), later_ms + 100);
    assert_int_equal(assignment_drain_step(assignment, later_ms + DRAIN_MS - 1),
                     later_ms + DRAIN_MS + 99);
    assert_int_equal(assignment_drain_step(assignment, later_ms + DRAIN_MS), later_ms + DRAIN_MS);
    assert_true(assignment_has_drained(assignment));
}

static void what_was_not_counted_at_the_end_is_reported(void **state) {
    static const struct {
        bool is_reachable, is_ready, is_denied, is_drained, has_failed;
        bool is_reported, fails;
    } rows[] = {
        {false, false, false, false, false, true, false},
        {false, false, true, false, false, true, true},
        {false, true, true, false, false, false, false},
        {false, false, true, true, false, false, false},
        {false, false, false, false, true, false, true},
        {true, false, false, true, false, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *words = "Ended before all was counted: the next start counts it";
        const char *fields = "partitions=2 reason=\"Redis says no\"";
        begin_given(state);
        const int before = logged_count(words, fields);
        is_reachable = rows[i].is_reachable;
        is_ready = rows[i].is_ready;
        is_denied = rows[i].is_denied;
        ingests[2].is_drained = true;
        ingests[0].is_drained = ingests[4].is_drained = rows[i].is_drained;
        if (rows[i].has_failed) stop_fail(&stop, "before");
        assert_int_equal(assignment_drain_step(assignment, NOW_MS), NOW_MS);
        assert_int_equal(logged_count(words, fields), before + rows[i].is_reported);
        assert_int_equal(atomic_load(&stop.has_failed), rows[i].fails);
        if (rows[i].fails) failure_is(rows[i].has_failed ? "before" : "Redis says no");
        end(state);
    }
}

/* --- what is shown ---------------------------------------------------------------------------- */

static void visit(void *context, const struct ingest *ingest) {
    assert_ptr_equal(context, done);
    note("%d ", (int)ingest->partition);
}

static void running_partitions_are_visited_in_order(void **state) {
    (void)state;
    ingests[2].is_running = false;
    assignment_visit(assignment, visit, done);
    assert_string_equal(done, "0 4 ");
}

static void threads_that_are_stuck_are_counted_and_named(void **state) {
    (void)state;
    char why[128] = "";
    struct text text = text_within(why, sizeof why);
    const int64_t stuck_ms = NOW_MS + WORKER_STUCK_MS;
    assert_int_equal(assignment_count_stuck(assignment, stuck_ms - 1), 0);
    assert_true(assignment_is_alive(assignment, stuck_ms - 1, &text));
    assert_int_equal(assignment_count_stuck(assignment, stuck_ms), COUNT);
    atomic_store(&ingests[0].worker.heartbeat_ms, stuck_ms);
    assert_int_equal(assignment_count_stuck(assignment, stuck_ms), 2);
    ingests[2].is_running = false;
    assert_int_equal(assignment_count_stuck(assignment, stuck_ms), 1);
    assert_false(assignment_is_alive(assignment, stuck_ms, &text));
    assert_string_equal(why, "thread ingest of partition 4 is stuck");
    atomic_store(&ingests[0].worker.heartbeat_ms, NOW_MS);
    text_clear(&text);
    assert_false(assignment_is_alive(assignment, stuck_ms, &text));
    assert_string_equal(why, "thread ingest of partition 0 is stuck");
}

static void one_that_is_not_ready_is_named(void **state) {
    (void)state;
    assert_true(is_ready_now(""));
    ingests[0].is_ready = false;
    assert_false(is_ready_now("partition 0 reads nothing"));
    ingests[0].is_ready = true;
    ingests[2].is_ready = false;
    assert_false(is_ready_now("partition 2 reads nothing"));
    ingests[2].is_running = false;
    assert_true(is_ready_now(""));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
#define TEST_GIVEN(name) cmocka_unit_test_setup_teardown(name, begin_given, end)
    const struct CMUnitTest tests[] = {
        TEST(each_change_is_logged), /* first: a line that comes often is logged a few times only */
        TEST(what_is_given_starts_where_the_group_has_committed),
        TEST(a_silent_kafka_is_asked_again_after_a_while),
        TEST(what_is_given_while_it_ends_is_answered_alone),
        TEST(an_empty_share_is_answered),
        cmocka_unit_test(too_many_partitions_end_the_program),
        TEST(the_last_partition_of_all_is_taken),
        TEST(another_topic_ends_the_program),
        cmocka_unit_test(offsets_of_another_program_are_reported_once),
        TEST(a_consumer_that_failed_ends_the_program),
        TEST_GIVEN(what_is_taken_drains_first),
        TEST_GIVEN(what_does_not_drain_goes_at_its_deadline),
        TEST_GIVEN(after_a_failure_nothing_is_waited_for),
        TEST_GIVEN(an_unreachable_store_is_not_waited_for),
        TEST_GIVEN(what_is_lost_is_stopped_at_once),
        TEST_GIVEN(at_the_end_all_drain),
        TEST_GIVEN(an_end_has_a_deadline_of_its_own),
        cmocka_unit_test(what_was_not_counted_at_the_end_is_reported),
        TEST_GIVEN(running_partitions_are_visited_in_order),
        TEST_GIVEN(threads_that_are_stuck_are_counted_and_named),
        TEST_GIVEN(one_that_is_not_ready_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
