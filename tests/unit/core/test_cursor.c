/* The table of answers, and where reading begins or goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/cursor.h"

static const struct cursor_log whole = {0, 100};
static const struct cursor_policy earliest = {CURSOR_START_EARLIEST, CURSOR_GAP_FAIL};

static struct cursor found(int64_t counted, int64_t published, int64_t origin) {
    struct cursor cursor;
    cursor_init(&cursor, 7);
    cursor_found(&cursor, counted, published, NULL, origin);
    return cursor;
}

/* Counted and published up to 10, then 5 records more, and a checkpoint of them under way. */
static struct cursor with_cut(struct cursor_cut *cut) {
    struct cursor cursor = found(10, 10, 0);
    cursor_resume(&cursor, whole, earliest);
    for (int64_t offset = 10; offset < 15; offset++)
        cursor_take(&cursor, offset, -1);
    *cut = cursor_cut(&cursor);
    return cursor;
}

static void stored_at_end_goes_on(void **state) {
    (void)state;
    struct cursor_cut cut;
    struct cursor cursor = with_cut(&cut);
    assert_int_equal(cut.base, 10);
    assert_int_equal(cut.end, 15);
    assert_int_equal(cursor_counted(&cursor, cut.generation, 15, NULL, CURSOR_ABSENT),
                     CURSOR_GO_ON);
    assert_int_equal(cursor.counted.stored, 15);
    assert_int_equal(cursor.counted.generation, 7);
}

static void expect_rewind(int64_t stored, enum cursor_cause cause, int64_t position) {
    struct cursor_cut cut;
    struct cursor cursor = with_cut(&cut);
    assert_int_equal(cursor_counted(&cursor, cut.generation, stored, NULL, CURSOR_ABSENT),
                     CURSOR_REWIND);
    assert_int_equal(cursor.cause, cause);
    assert_int_equal(cursor.counted.generation, 8);
    assert_int_equal(cursor.published.generation, 7); /* the other side goes on */
    cursor_resume(&cursor, whole, earliest);
    assert_int_equal(cursor.position, position);
}

static void another_offset_rewinds_to_what_is_stored(void **state) {
    (void)state;
    expect_rewind(12, CURSOR_OVERTAKEN, 12);
    expect_rewind(40, CURSOR_OVERTAKEN, 15); /* publishing has not got there yet */
    expect_rewind(3, CURSOR_ROLLED_BACK, 3);
    expect_rewind(CURSOR_ABSENT, CURSOR_VANISHED, 0);
}

static void an_answer_to_an_old_generation_is_stale(void **state) {
    (void)state;
    struct cursor_cut cut;
    struct cursor cursor = with_cut(&cut);
    cursor_counted(&cursor, cut.generation, 3, NULL, CURSOR_ABSENT);
    assert_int_equal(cursor_counted(&cursor, cut.generation, 15, NULL, CURSOR_ABSENT),
                     CURSOR_STALE);
    assert_int_equal(cursor_published(&cursor, 6, 99, NULL), CURSOR_STALE);
    assert_int_equal(cursor_unpublished(&cursor, 6, 0, NULL, 0), CURSOR_STALE);
    assert_int_equal(cursor.published.stored, 10);
}

static void a_late_answer_does_not_end_the_next_checkpoint(void **state) {
    (void)state;
    struct cursor_cut cut;
    struct cursor cursor = with_cut(&cut);
    cursor_counted(&cursor, cut.generation, 3, NULL, CURSOR_ABSENT);
    cursor_resume(&cursor, whole, earliest);
    cursor_take(&cursor, 3, -1);
    struct cursor_cut next = cursor_cut(&cursor);
    assert_int_equal(cursor_counted(&cursor, cut.generation, 15, NULL, CURSOR_ABSENT),
                     CURSOR_STALE);
    assert_int_equal(cursor.counted.stored, 3);
    assert_false(cursor_can_cut(&cursor));
    assert_int_equal(cursor_counted(&cursor, next.generation, 4, NULL, CURSOR_ABSENT),
                     CURSOR_GO_ON);
}

static void i1_each_side_takes_only_what_lies_at_or_above_its_own(void **state) {
    (void)state;
    struct cursor cursor = found(5, 8, 0);
    cursor_resume(&cursor, whole, earliest);
    assert_int_equal(cursor.position, 5);
    for (int64_t offset = 5; offset < 12; offset++) {
        struct cursor_taken taken = cursor_take(&cursor, offset, -1);
        assert_true(taken.count);
        assert_int_equal(taken.publish, offset >= 8);
    }
    struct cursor_taken again =
        cursor_take(&cursor, 6, -1); /* below the position: fetched too early */
    assert_false(again.count || again.publish);
}

static void both_sides_pass_an_end_without_records(void **state) {
    (void)state;
    struct cursor cursor = found(10, 20, 0);
    cursor_resume(&cursor, whole, earliest);
    for (int64_t offset = 10; offset < 15; offset++)
        cursor_take(&cursor, offset, -1);
    assert_false(cursor_reach(&cursor, 15)); /* known already */
    assert_int_equal(cursor.counted.next, 15);
    assert_false(cursor_reach(&cursor, 18)); /* of publishing's, which is ahead, nothing is new */
    assert_int_equal(cursor.position, 18);
    assert_int_equal(cursor.counted.next, 18);
    assert_int_equal(cursor.published.next, 20);
    assert_true(cursor_reach(&cursor, 22));
    assert_int_equal(cursor.counted.next, 22);
    assert_int_equal(cursor.published.next, 22);
    assert_false(cursor_is_published(&cursor));
    cursor_published(&cursor, 7, 22, NULL);
    assert_true(cursor_is_published(&cursor));
    assert_false(cursor_reach(&cursor, 12)); /* reported before records that came since */
    assert_int_equal(cursor.position, 22);
    const struct cursor_taken taken = cursor_take(&cursor, 22, -1);
    assert_true(taken.count && taken.publish);
}

static void an_end_does_not_open_a_gate_that_is_not_known(void **state) {
    (void)state;
    struct cursor cursor = found(CURSOR_UNKNOWN, 20, 0);
    cursor_resume(&cursor, whole, earliest);
    assert_true(cursor_reach(&cursor, 30));
    assert_int_equal(cursor.counted.next, CURSOR_UNKNOWN);
    assert_int_equal(cursor.published.next, 30);
}

static void i3_one_checkpoint_at_a_time(void **state) {
    (void)state;
    struct cursor_cut cut;
    struct cursor cursor = with_cut(&cut);
    assert_false(cursor_can_cut(&cursor));
    cursor_counted(&cursor, cut.generation, 15, NULL, CURSOR_ABSENT);
    assert_true(cursor_can_cut(&cursor));
    assert_false(cursor_has_uncounted(&cursor));
}

static void i4_nothing_is_counted_before_the_first_commit(void **state) {
    (void)state;
    struct cursor cursor = found(CURSOR_ABSENT, CURSOR_ABSENT, CURSOR_ABSENT);
    assert_int_equal(cursor_resume(&cursor, whole, earliest).what, CURSOR_BEGUN);
    cursor_take(&cursor, 0, -1);
    assert_false(cursor_can_cut(&cursor));
    cursor_published(&cursor, 7, 1, NULL);
    assert_true(cursor_can_cut(&cursor));
}

static void a_group_begins_where_the_policy_says(void **state) {
    (void)state;
    const struct cursor_log log = {20, 100};
    struct cursor cursor = found(CURSOR_ABSENT, CURSOR_ABSENT, CURSOR_ABSENT);
    cursor_resume(&cursor, log, earliest);
    assert_int_equal(cursor.position, 20);
    cursor = found(CURSOR_ABSENT, CURSOR_ABSENT, CURSOR_ABSENT);
    cursor_resume(&cursor, log, (struct cursor_policy){CURSOR_START_LATEST, CURSOR_GAP_FAIL});
    assert_int_equal(cursor.position, 100);
    assert_int_equal(cursor.origin, 100);
}

static void absent_in_redis_alone_rebuilds_from_the_origin(void **state) {
    (void)state;
    struct cursor cursor = found(CURSOR_ABSENT, 50, 30);
    assert_int_equal(cursor_resume(&cursor, whole, earliest).what, CURSOR_REBUILDS);
    assert_int_equal(cursor.position, 30);
    cursor = found(CURSOR_ABSENT, 50, CURSOR_ABSENT);
    assert_int_equal(cursor_resume(&cursor, whole, earliest).what, CURSOR_REBUILDS);
    assert_int_equal(cursor.position, 0);
}

static void absent_in_kafka_alone_publishes_from_the_counted_one(void **state) {
    (void)state;
    struct cursor cursor = found(50, CURSOR_ABSENT, CURSOR_ABSENT);
    assert_int_equal(cursor_resume(&cursor, whole, earliest).what, CURSOR_ADOPTS);
    assert_int_equal(cursor.published.next, 50);
}

static void who_adopted_learns_the_origin_from_a_refused_commit(void **state) {
    (void)state;
    const struct cursor_policy latest = {CURSOR_START_LATEST, CURSOR_GAP_FAIL};
    struct cursor cursor = found(50, CURSOR_ABSENT, CURSOR_ABSENT); /* between the two it slept */
    assert_int_equal(cursor_resume(&cursor, whole, latest).what, CURSOR_ADOPTS);
    assert_int_equal(cursor_unpublished(&cursor, 7, 60, NULL, 40), CURSOR_REWIND);
    cursor_resume(&cursor, whole, latest);
    struct cursor_cut cut = cursor_cut(&cursor);
    assert_int_equal(cut.base, 50);
    assert_int_equal(cursor_counted(&cursor, cut.generation, CURSOR_ABSENT, NULL, CURSOR_ABSENT),
                     CURSOR_REWIND);
    cursor_resume(&cursor, whole, latest);
    assert_int_equal(cursor.counted.next, 40);
}

/* What the counts have beside them matters as soon as the committed offset has none. */
static void an_origin_that_only_redis_has_is_taken_over(void **state) {
    (void)state;
    static const struct {
        int64_t published, origin, stored, stored_origin, expected;
    } cases[] = {
        {70, CURSOR_ABSENT, 50, 30, 30},            /* another program set the offset */
        {CURSOR_ABSENT, CURSOR_ABSENT, 50, 30, 30}, /* it was lost */
        {70, 20, 50, 30, 20},                       /* Kafka's own decides */
        {70, CURSOR_ABSENT, 50, CURSOR_ABSENT, CURSOR_ABSENT},
        {70, CURSOR_ABSENT, CURSOR_ABSENT, 30, CURSOR_ABSENT}, /* not of these counts */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cursor cursor = found(CURSOR_UNKNOWN, cases[i].published, cases[i].origin);
        cursor_resume(&cursor, whole, earliest);
        const struct cursor_cut cut = cursor_cut(&cursor);
        assert_int_equal(cut.origin, cases[i].origin);
        assert_int_equal(
            cursor_counted(&cursor, cut.generation, cases[i].stored, NULL, cases[i].stored_origin),
            CURSOR_REWIND);
        assert_int_equal(cursor.origin, cases[i].expected);
        cursor_resume(&cursor, whole, earliest);
        assert_int_equal(cursor.origin, cases[i].expected);
        if (cases[i].stored == CURSOR_ABSENT) continue;
        assert_int_equal(cursor.position, 50); /* not where the group began */
        cursor_published(&cursor, cursor.published.generation, 70, NULL);
        assert_int_equal(cursor_cut(&cursor).origin, cases[i].expected);
    }
}

static void redis_lost_after_the_committed_offset_leaves_a_gap(void **state) {
    (void)state;
    const struct cursor_log log = {40, 100}; /* it has lost its beginning since */
    struct cursor cursor = found(CURSOR_UNKNOWN, 70, CURSOR_ABSENT);
    cursor_resume(&cursor, log, earliest);
    struct cursor_cut cut = cursor_cut(&cursor);
    cursor_counted(&cursor, cut.generation, 50, NULL, 30);
    cursor_resume(&cursor, log, earliest);
    cut = cursor_cut(&cursor);
    cursor_counted(&cursor, cut.generation, CURSOR_ABSENT, NULL, CURSOR_ABSENT);
    const struct cursor_finding finding = cursor_resume(&cursor, log, earliest);
    assert_int_equal(finding.what, CURSOR_GAP);
    assert_int_equal(finding.wanted, 30);
    assert_int_equal(finding.lost_records, 10);
}

static void an_abort_before_the_first_commit_goes_back_to_the_origin(void **state) {
    (void)state;
    struct cursor cursor = found(CURSOR_ABSENT, CURSOR_ABSENT, CURSOR_ABSENT);
    cursor_resume(&cursor, whole, earliest);
    for (int64_t offset = 0; offset < 5; offset++)
        cursor_take(&cursor, offset, -1);
    assert_int_equal(cursor_unpublished(&cursor, 7, CURSOR_ABSENT, NULL, CURSOR_ABSENT),
                     CURSOR_REWIND);
    cursor_resume(&cursor, whole, earliest);
    assert_int_equal(cursor.position, 0);
    struct cursor_taken taken = cursor_take(&cursor, 0, -1);
    assert_true(taken.publish);
    assert_false(taken.count);
}

/* Records taken meanwhile are in no checkpoint yet (I4), and in no transaction that holds. */
static void an_abort_before_the_first_commit_goes_back_to_what_was_adopted(void **state) {
    (void)state;
    struct cursor cursor = found(50, CURSOR_ABSENT, CURSOR_ABSENT);
    assert_int_equal(cursor_resume(&cursor, whole, earliest).what, CURSOR_ADOPTS);
    for (int64_t offset = 50; offset < 55; offset++)
        cursor_take(&cursor, offset, -1);
    assert_int_equal(cursor_unpublished(&cursor, 7, CURSOR_ABSENT, NULL, CURSOR_ABSENT),
                     CURSOR_REWIND);
    assert_int_equal(cursor_resume(&cursor, whole, earliest).what, CURSOR_ADOPTS);
    assert_int_equal(cursor.position, 50);
    struct cursor_taken taken = cursor_take(&cursor, 50, -1);
    assert_true(taken.publish);
    assert_false(taken.count);
}

static void a_group_that_another_owner_began_elsewhere_is_counted_from_there(void **state) {
    (void)state;
    const struct cursor_policy latest = {CURSOR_START_LATEST, CURSOR_GAP_FAIL};
    struct cursor cursor = found(CURSOR_ABSENT, CURSOR_ABSENT, CURSOR_ABSENT);
    cursor_resume(&cursor, (struct cursor_log){0, 50}, latest);
    cursor_take(&cursor, 50, -1);
    assert_int_equal(cursor_unpublished(&cursor, 7, 90, NULL, 80), CURSOR_REWIND);
    cursor_resume(&cursor, whole, latest);
    assert_int_equal(cursor.position, 80);
    assert_true(cursor_take(&cursor, 80, -1).count);
    struct cursor_cut cut = cursor_cut(&cursor);
    assert_int_equal(cut.base, CURSOR_ABSENT);
    assert_int_equal(cut.generation, 8); /* what was counted from 50 on is void */
}

static void unknown_in_redis_publishes_first_and_counts_when_told(void **state) {
    (void)state;
    struct cursor cursor = found(CURSOR_UNKNOWN, 50, 0);
    cursor_resume(&cursor, whole, earliest);
    assert_int_equal(cursor.position, 50);
    assert_false(cursor_take(&cursor, 50, -1).count);
    struct cursor_cut cut = cursor_cut(&cursor);
    assert_int_equal(cut.base, CURSOR_UNKNOWN);
    assert_int_equal(cursor_counted(&cursor, cut.generation, 40, NULL, CURSOR_ABSENT),
                     CURSOR_REWIND);
    assert_int_equal(cursor.cause, CURSOR_FIRST_READ);
    cursor_resume(&cursor, whole, earliest);
    assert_int_equal(cursor.position, 40);

    cursor = found(CURSOR_UNKNOWN, CURSOR_ABSENT, CURSOR_ABSENT);
    assert_int_equal(cursor_resume(&cursor, whole, earliest).what, CURSOR_WAITS);
}

static void expect_gap(int64_t counted, int64_t published, struct cursor_log log, int64_t lost) {
    struct cursor cursor = found(counted, published, 0);
    struct cursor_finding finding = cursor_resume(&cursor, log, earliest);
    assert_int_equal(finding.what, CURSOR_GAP);
    assert_true(finding.must_stop);
    assert_int_equal(finding.lost_records, lost);
    cursor = found(counted, published, 0);
    finding = cursor_resume(&cursor, log,
                            (struct cursor_policy){CURSOR_START_EARLIEST, CURSOR_GAP_CONTINUE});
    assert_int_equal(finding.what, CURSOR_GAP);
    assert_false(finding.must_stop);
    assert_true(cursor.position >= log.begin && cursor.position <= log.end);
    assert_int_equal(cursor.counted.stored, counted); /* the compare still wants the old one */
}

static void what_kafka_no_longer_holds_is_a_gap(void **state) {
    (void)state;
    expect_gap(10, 60, (struct cursor_log){50, 100}, 40);
    expect_gap(60, 10, (struct cursor_log){50, 100}, 40);
    expect_gap(CURSOR_ABSENT, 60, (struct cursor_log){50, 100}, 50); /* Redis lost it too */
}

static const struct cursor_policy continues = {CURSOR_START_EARLIEST, CURSOR_GAP_CONTINUE};

static void a_log_that_lost_its_end_is_no_gap(void **state) {
    (void)state;
    struct cursor cursor = found(40, 60, 0);
    struct cursor_finding finding = cursor_resume(&cursor, (struct cursor_log){0, 50}, earliest);
    assert_int_equal(finding.what, CURSOR_TRUNCATED);
    assert_true(finding.must_stop);
    assert_int_equal(finding.wanted, 60);
    assert_int_equal(finding.cut_records, 10);
    assert_int_equal(finding.cut_at, 50);
    assert_int_equal(finding.lost_records, 0);
    assert_int_equal(cursor.published.next, 60); /* nothing was decided */
}

static void reading_continues_where_the_log_was_cut_off(void **state) {
    (void)state;
    struct cursor cursor = found(60, 55, 0);
    const struct cursor_log cut = {0, 50};
    struct cursor_finding finding = cursor_resume(&cursor, cut, continues);
    assert_false(finding.must_stop);
    assert_int_equal(finding.cut_records, 10);
    assert_int_equal(cursor.position, 50);
    assert_true(cursor_must_publish(&cursor)); /* also if nothing ever comes */
    struct cursor_taken taken = cursor_take(&cursor, 50, -1);
    assert_true(taken.count && taken.publish);
    struct cursor_cut checkpoint = cursor_cut(&cursor);
    assert_int_equal(checkpoint.base, 60); /* of which the counts stay */
    assert_int_equal(checkpoint.end, 51);
    assert_int_equal(
        cursor_counted(&cursor, checkpoint.generation, 51, &checkpoint.lineage, CURSOR_ABSENT),
        CURSOR_GO_ON);
    cursor_published(&cursor, 7, 51, &cursor.published.lineage);
    assert_false(cursor_must_publish(&cursor));
    assert_true(cursor_is_settled(&cursor));
    assert_int_equal(cursor_resume(&cursor, (struct cursor_log){0, 51}, continues).what,
                     CURSOR_RESUMED);
}

static void the_watermarks_go_back_even_if_nothing_comes(void **state) {
    (void)state;
    struct cursor cursor = found(60, 60, 0);
    cursor_resume(&cursor, (struct cursor_log){0, 50}, continues);
    assert_true(cursor_has_uncounted(&cursor));
    assert_int_equal(cursor_cut(&cursor).end, 50);
    assert_false(cursor_is_published(&cursor));
    assert_true(cursor_must_publish(&cursor));
}

static void only_one_side_may_have_got_so_far(void **state) {
    (void)state;
    struct cursor cursor = found(40, 60, 0);
    cursor_resume(&cursor, (struct cursor_log){0, 50}, continues);
    assert_int_equal(cursor.position, 40);
    for (int64_t offset = 40; offset < 50; offset++)
        assert_false(cursor_take(&cursor, offset, -1).publish);
    assert_true(cursor_take(&cursor, 50, -1).publish);
}

static void a_log_may_lose_both_ends(void **state) {
    (void)state;
    struct cursor cursor = found(10, 60, 0);
    struct cursor_finding finding = cursor_resume(&cursor, (struct cursor_log){20, 50}, continues);
    assert_int_equal(finding.what, CURSOR_TRUNCATED);
    assert_int_equal(finding.wanted, 60);
    assert_int_equal(finding.lost_records, 10);
    assert_int_equal(finding.cut_records, 10);
    assert_int_equal(cursor.position, 20);
}

/* What comes into the log below the origin is the group's, and what was there before was not. */
static void a_log_may_be_cut_off_below_the_origin(void **state) {
    (void)state;
    struct cursor cursor = found(CURSOR_ABSENT, 60, 55);
    struct cursor_finding finding = cursor_resume(&cursor, (struct cursor_log){0, 50}, continues);
    assert_int_equal(finding.cut_records, 5);
    assert_int_equal(cursor.position, 50);
    assert_int_equal(cursor.origin, 50);
    assert_true(cursor_take(&cursor, 50, -1).count);
}

/* --- logs that have grown again --- */

enum { LOG_END = 100 };

/* A log by the epochs of its records. -1: no record. */
static int32_t log_epochs[LOG_END];

static void write_log(int64_t from, int64_t to, int32_t epoch) {
    for (int64_t i = from; i < to; i++)
        log_epochs[i] = epoch;
}

/* Asks as INGEST does. Returns how many questions that took. */
static int ask(struct cursor *cursor, struct cursor_log log) {
    int count = 0;
    int64_t offset;
    cursor_look(cursor, log);
    for (; cursor_asks(cursor, &offset); count++) {
        assert_true(offset >= log.begin && offset < log.end && count < 40);
        while (offset < log.end && log_epochs[offset] < 0)
            offset++;
        cursor_told(cursor, offset < log.end ? offset : INT64_MAX,
                    offset < log.end ? log_epochs[offset] : LINEAGE_NO_EPOCH);
    }
    return count;
}

/* Published up to the offset, and counted by an answer of the store. */
static struct cursor found_with(const char *lineage, int64_t counted, int64_t published) {
    struct cursor cursor;
    struct lineage of;
    assert_true(lineage_parse(lineage, &of));
    cursor_init(&cursor, 7);
    cursor_found(&cursor, CURSOR_UNKNOWN, published, &of, 0);
    const struct cursor_cut cut = cursor_cut(&cursor);
    assert_int_equal(cursor_counted(&cursor, cut.generation, counted, &of, CURSOR_ABSENT),
                     CURSOR_REWIND);
    return cursor;
}

/* Reads up to the end, or to a stray record. Returns how many records were counted. */
static int read_all(struct cursor *cursor, struct cursor_log log, bool *is_stray) {
    int count = 0;
    *is_stray = false;
    for (int64_t i = cursor->position; i < log.end && !*is_stray; i++) {
        if (log_epochs[i] < 0) continue;
        const struct cursor_taken taken = cursor_take(cursor, i, log_epochs[i]);
        *is_stray = taken.is_stray;
        count += taken.count;
    }
    return count;
}

static void reading_begins_with_a_record_that_is_known(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:59:3@0", 60, 60);
    write_log(0, 80, 3);
    bool is_stray;
    const struct cursor_log log = {0, 80};
    assert_int_equal(ask(&cursor, log), 0); /* there is no reason */
    cursor_resume(&cursor, log, earliest);
    assert_int_equal(cursor.position, 59);
    assert_int_equal(read_all(&cursor, log, &is_stray), 20);
    assert_false(is_stray);
    assert_int_equal(cursor.counted.lineage.count, 1);
}

/* Counted up to 60, nothing committed. Reads all that is there, and its first transaction fails. */
static struct cursor adopted(struct cursor_log log) {
    bool is_stray;
    struct cursor cursor = found_with("0:59:3@0", 60, CURSOR_ABSENT);
    cursor.origin = CURSOR_ABSENT;
    cursor_look(&cursor, log);
    assert_int_equal(cursor_resume(&cursor, log, continues).what, CURSOR_ADOPTS);
    read_all(&cursor, log, &is_stray);
    assert_false(is_stray);
    return cursor;
}

static void expect_adopted_again(struct cursor *cursor, struct cursor_log log, int64_t from) {
    bool is_stray;
    const uint64_t generation = cursor->published.generation;
    assert_int_equal(cursor_unpublished(cursor, generation, CURSOR_ABSENT, NULL, CURSOR_ABSENT),
                     CURSOR_REWIND);
    ask(cursor, log);
    assert_int_equal(cursor_resume(cursor, log, continues).what, CURSOR_ADOPTS);
    assert_int_equal(cursor->published.next, from);
    assert_int_equal(cursor->position, from - 1);
    assert_int_equal(read_all(cursor, log, &is_stray), 0); /* they were counted before */
    assert_false(is_stray);
    assert_int_equal(cursor->published.next, log.end);
}

static void what_was_adopted_has_the_lineage_of_what_is_stored(void **state) {
    (void)state;
    const struct cursor_log log = {0, 80};
    write_log(0, 60, 3);
    write_log(60, 80, 4);
    struct cursor cursor = adopted(log);
    expect_adopted_again(&cursor, log, 60);
    write_log(60, 80, 3);
    cursor = adopted(log);
    expect_adopted_again(&cursor, log, 60);
}

static void what_was_adopted_and_cut_off_begins_where_it_was_cut_off(void **state) {
    (void)state;
    bool is_stray;
    struct cursor_log log = {0, 62};
    write_log(0, 62, 3);
    struct cursor cursor = adopted(log);
    log.end = 70;
    write_log(55, 70, 4);
    cursor_unpublished(&cursor, cursor.published.generation, CURSOR_ABSENT, NULL, CURSOR_ABSENT);
    ask(&cursor, log);
    assert_int_equal(cursor_resume(&cursor, log, continues).what, CURSOR_TRUNCATED);
    assert_int_equal(cursor.published.next, 55);
    assert_int_equal(read_all(&cursor, log, &is_stray), 15);
    assert_false(is_stray);
    cursor_unpublished(&cursor, cursor.published.generation, CURSOR_ABSENT, NULL, CURSOR_ABSENT);
    ask(&cursor, log);
    assert_int_equal(cursor_resume(&cursor, log, continues).what, CURSOR_ADOPTS);
    assert_int_equal(cursor.published.next, 55);
    read_all(&cursor, log, &is_stray);
    assert_false(is_stray);
    assert_int_equal(cursor.published.next, 70);
}

static void what_was_adopted_and_cut_off_is_reported_once(void **state) {
    (void)state;
    struct cursor_log log = {0, 62};
    write_log(0, 62, 3);
    struct cursor cursor = adopted(log);
    log.end = 55;
    for (int i = 0; i < 2; i++) {
        cursor_unpublished(&cursor, cursor.published.generation, CURSOR_ABSENT, NULL,
                           CURSOR_ABSENT);
        ask(&cursor, log);
        assert_int_equal(cursor_resume(&cursor, log, continues).what,
                         i == 0 ? CURSOR_TRUNCATED : CURSOR_ADOPTS);
        assert_int_equal(cursor.published.next, 55);
    }
}

static void a_log_that_has_grown_past_the_watermark_is_another_one(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:59:3@0", 60, 60);
    write_log(0, 55, 3);
    write_log(55, 70, 4);
    bool is_stray;
    const struct cursor_log log = {0, 70};
    ask(&cursor, log);
    assert_int_equal(cursor_resume(&cursor, log, continues).what, CURSOR_RESUMED);
    assert_int_equal(read_all(&cursor, log, &is_stray), 0);
    assert_true(is_stray);
    ask(&cursor, log);
    const struct cursor_finding finding = cursor_resume(&cursor, log, continues);
    assert_int_equal(finding.what, CURSOR_TRUNCATED);
    assert_int_equal(finding.cut_at, 55);
    assert_int_equal(finding.cut_records, 5);
    assert_int_equal(cursor.position, 54); /* the last that is the same */
    assert_int_equal(read_all(&cursor, log, &is_stray), 15);
    assert_false(is_stray);
    /* The same offset may be that of another log. */
    assert_int_equal(cursor.counted.next, 70);
    const struct cursor_cut cut = cursor_cut(&cursor);
    assert_int_equal(cut.base_tip.branch, 0);
    assert_int_equal(cut.lineage.branch, 1);
}

static void as_many_records_in_place_of_others_are_new(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:59:3@0", 60, 60);
    write_log(0, 55, 3);
    write_log(55, 60, 4);
    bool is_stray;
    const struct cursor_log log = {0, 60};
    cursor_resume(&cursor, log, continues);
    read_all(&cursor, log, &is_stray);
    assert_true(is_stray);
    ask(&cursor, log);
    cursor_resume(&cursor, log, continues);
    assert_int_equal(read_all(&cursor, log, &is_stray), 5);
    assert_int_equal(cursor.counted.next, cursor.counted.stored);
    assert_true(cursor_has_uncounted(&cursor));
    assert_false(cursor_is_published(&cursor));
}

/* As with what is found, so with where: whatever was written since, and wherever it was cut. */
static void the_point_of_departure_is_found_exactly(void **state) {
    (void)state;
    for (int64_t at = 0; at <= 60; at++) {
        for (int64_t end = at; end <= LOG_END; end += 3) {
            struct cursor cursor = found_with("0:59:2@0,3@20,7@50", 60, 60);
            write_log(0, 20, 2);
            write_log(20, 50, 3);
            write_log(50, LOG_END, 7);
            write_log(at, LOG_END, 8);
            bool is_stray;
            const struct cursor_log log = {0, end};
            ask(&cursor, log);
            cursor_resume(&cursor, log, continues);
            read_all(&cursor, log, &is_stray);
            if (is_stray) {
                ask(&cursor, log);
                cursor_resume(&cursor, log, continues);
                read_all(&cursor, log, &is_stray);
            }
            assert_false(is_stray);
            assert_int_equal(cursor.counted.next, at < 60 || end > 60 ? end : 60);
            if (end > 60 && at < 60) assert_int_equal(cursor.counted.lineage.branch, 1);
            if (end > 60 && at == 60) assert_int_equal(cursor.counted.lineage.branch, 0);
        }
    }
}

/* A replica that was left behind leads again, with records that the group has never seen. */
/* Another record was found at 56, and then none at all from there on. */
static void a_log_that_is_cut_off_while_it_is_searched_departs(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:59:3@0", 60, 60);
    const struct cursor_log log = {0, 70};
    int64_t offset;
    write_log(0, 54, 3);
    write_log(54, 70, 4);
    bool is_stray;
    cursor_resume(&cursor, log, continues);
    read_all(&cursor, log, &is_stray);
    assert_true(is_stray);
    cursor_look(&cursor, log);
    assert_true(cursor_asks(&cursor, &offset));
    cursor_told(&cursor, offset, 4);
    while (cursor_asks(&cursor, &offset))
        cursor_told(&cursor, offset < 52 ? offset : INT64_MAX, offset < 52 ? 3 : LINEAGE_NO_EPOCH);
    const struct cursor_finding finding = cursor_resume(&cursor, log, continues);
    assert_int_equal(finding.what, CURSOR_TRUNCATED);
    assert_int_equal(finding.cut_at, 52);
}

static void epochs_that_were_never_read_are_another_log(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:59:2@0,7@30", 60, 60);
    write_log(0, 30, 2);
    write_log(30, 70, 5);
    bool is_stray;
    const struct cursor_log log = {0, 70};
    ask(&cursor, log);
    cursor_resume(&cursor, log, continues);
    read_all(&cursor, log, &is_stray);
    assert_true(is_stray);
    ask(&cursor, log);
    assert_int_equal(cursor_resume(&cursor, log, continues).cut_at, 30);
}

static void an_anchor_that_was_compacted_away_is_no_loss(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:59:3@0", 60, 60);
    write_log(0, 50, 3);
    write_log(50, 65, -1);
    write_log(65, 70, 4);
    bool is_stray;
    const struct cursor_log log = {0, 70};
    ask(&cursor, log);
    cursor_resume(&cursor, log, earliest);
    read_all(&cursor, log, &is_stray);
    assert_true(is_stray); /* it might be one */
    ask(&cursor, log);
    assert_int_equal(cursor_resume(&cursor, log, earliest).what, CURSOR_RESUMED);
    assert_int_equal(read_all(&cursor, log, &is_stray), 5);
    assert_false(is_stray);
}

/* Markers of transactions are no records: the anchor is the last record before them. */
/* Then the log had lost its end, and has other records there by now. */
static void an_anchor_that_comes_back_otherwise_was_cut_off(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:59:3@0", 60, 60);
    write_log(0, 50, 3);
    write_log(50, 70, -1);
    bool is_stray;
    const struct cursor_log log = {0, 70};
    cursor_resume(&cursor, log, continues);
    cursor_reach(&cursor, 70);
    assert_true(cursor.has_strayed);
    ask(&cursor, log);
    assert_int_equal(cursor_resume(&cursor, log, continues).what, CURSOR_RESUMED);
    write_log(50, 60, 4);
    read_all(&cursor, log, &is_stray);
    assert_true(is_stray);
    ask(&cursor, log);
    const struct cursor_finding finding = cursor_resume(&cursor, log, continues);
    assert_int_equal(finding.what, CURSOR_TRUNCATED);
    assert_int_equal(finding.cut_at, 50);
}

static void markers_below_the_watermark_are_no_doubt(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:56:3@0", 60, 60);
    write_log(0, 57, 3);
    write_log(57, 63, -1);
    bool is_stray;
    const struct cursor_log log = {0, 63};
    cursor_resume(&cursor, log, earliest);
    assert_int_equal(cursor.position, 56);
    assert_int_equal(read_all(&cursor, log, &is_stray), 0);
    assert_false(is_stray);
    assert_true(cursor_reach(&cursor, 63));
    assert_int_equal(cursor.counted.next, 63);
    assert_int_equal(cursor.counted.lineage.last, 56);
}

/* The markers may be what was lost, and records have come in their place. */
static void a_record_where_there_were_markers_is_a_stray_one(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:56:3@0", 60, 60);
    write_log(0, 57, 3);
    write_log(57, 63, 4);
    bool is_stray;
    const struct cursor_log log = {0, 63};
    cursor_resume(&cursor, log, continues);
    read_all(&cursor, log, &is_stray);
    assert_true(is_stray);
    ask(&cursor, log);
    assert_int_equal(cursor_resume(&cursor, log, continues).cut_at, 57);
    assert_int_equal(read_all(&cursor, log, &is_stray), 6);
    assert_false(is_stray);
}

/* One side is read again, and the log has changed since the other side got where it is. */
static void the_side_that_is_ahead_is_compared_again(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:59:3@0", 60, 60);
    struct lineage of;
    bool is_stray;
    write_log(0, 70, 3);
    cursor_resume(&cursor, (struct cursor_log){0, 70}, continues);
    read_all(&cursor, (struct cursor_log){0, 70}, &is_stray);
    write_log(65, 72, 4);
    lineage_parse("0:59:3@0", &of);
    assert_int_equal(cursor_unpublished(&cursor, 7, 60, &of, 0), CURSOR_REWIND);
    const struct cursor_log log = {0, 72};
    ask(&cursor, log);
    cursor_resume(&cursor, log, continues);
    read_all(&cursor, log, &is_stray);
    assert_true(is_stray);
    ask(&cursor, log);
    assert_int_equal(cursor_resume(&cursor, log, continues).cut_at, 65);
    assert_int_equal(cursor.counted.next, 65);
}

/* What has come since may be markers alone, and end where a record was. */
/* What is below its gate is not what strayed, so its lineage is still that of the log. */
static void the_side_that_did_not_stray_keeps_its_lineage(void **state) {
    (void)state;
    struct cursor cursor = found_with("1:68:3@0,5@55,6@65", 69, CURSOR_ABSENT);
    struct lineage published;
    lineage_parse("0:59:3@0", &published);
    cursor.published.stored = 60;
    cursor_unpublished(&cursor, 7, 60, &published, 0);
    const struct cursor_log log = {0, 70};
    write_log(0, 55, 3);
    write_log(55, 65, 5);
    write_log(65, 70, 6);
    bool is_stray;
    ask(&cursor, log);
    cursor_resume(&cursor, log, continues);
    read_all(&cursor, log, &is_stray);
    assert_true(is_stray);
    ask(&cursor, log);
    assert_int_equal(cursor_resume(&cursor, log, continues).cut_records, 5);
    assert_int_equal(cursor.published.next, 55);
    assert_int_equal(cursor.counted.next, 69);
    assert_int_equal(cursor.counted.lineage.count, 3);
    assert_int_equal(read_all(&cursor, log, &is_stray), 1);
    assert_false(is_stray);
}

static void an_end_without_the_anchor_is_a_doubt(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:59:3@0", 60, 60);
    write_log(0, 50, 3);
    write_log(50, 58, 4);
    write_log(58, 70, -1);
    bool is_stray;
    const struct cursor_log log = {0, 70};
    cursor_resume(&cursor, log, continues);
    assert_int_equal(read_all(&cursor, log, &is_stray), 0);
    assert_false(is_stray);
    assert_false(cursor_reach(&cursor, 70));
    assert_true(cursor.has_strayed);
    assert_int_equal(cursor.counted.next, 60);
    ask(&cursor, log);
    assert_int_equal(cursor_resume(&cursor, log, continues).cut_at, 50);
    assert_int_equal(read_all(&cursor, log, &is_stray), 8);
    assert_true(cursor_reach(&cursor, 70));
}

static void without_a_lineage_the_end_of_the_log_is_the_best_guess(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:", 60, 60);
    const struct cursor_log log = {0, 50};
    assert_int_equal(ask(&cursor, log), 0);
    assert_int_equal(cursor_resume(&cursor, log, continues).cut_at, 50);
}

/* As an earlier version left it: one side is known, and both are of one log. */
static void one_lineage_is_enough_for_both_sides(void **state) {
    (void)state;
    struct lineage of;
    struct cursor cursor = found(55, CURSOR_ABSENT, 0);
    lineage_parse("0:59:3@0", &of);
    cursor_found(&cursor, 60, 60, &of, 0);
    write_log(0, 50, 3);
    write_log(50, 70, 4);
    bool is_stray;
    const struct cursor_log log = {0, 70};
    cursor_resume(&cursor, log, continues);
    read_all(&cursor, log, &is_stray);
    assert_true(is_stray);
    ask(&cursor, log);
    cursor_resume(&cursor, log, continues);
    assert_int_equal(cursor.counted.next, 50);
    assert_int_equal(cursor.published.next, 50);
}

static void a_log_without_its_end_is_asked_once(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:59:3@0", 60, 60);
    write_log(0, 50, 3);
    const struct cursor_log log = {0, 50};
    assert_int_equal(ask(&cursor, log), 2); /* for each track */
    assert_int_equal(cursor_resume(&cursor, log, continues).cut_at, 50);
}

/* All that is left is one record, and it is the one that is known next time. */
static void what_is_left_is_the_next_anchor(void **state) {
    (void)state;
    struct cursor cursor = found_with("0:59:7@30", 60, 60);
    write_log(0, 20, 5);
    write_log(20, 25, 8);
    const struct cursor_log log = {0, 25};
    ask(&cursor, log);
    assert_int_equal(cursor_resume(&cursor, log, continues).cut_at, 20);
    assert_int_equal(lineage_epoch(&cursor.counted.lineage), 5);
}

static void another_branch_at_the_same_offset_is_another_place(void **state) {
    (void)state;
    struct lineage other;
    struct cursor cursor = found_with("1:59:3@0", 60, 60);
    cursor_resume(&cursor, (struct cursor_log){0, 80}, earliest);
    struct cursor_cut cut = cursor_cut(&cursor); /* verifies only */
    assert_int_equal(cut.base_tip.branch, 1);
    lineage_parse("2:59:3@0,4@55", &other);
    assert_int_equal(cursor_counted(&cursor, cut.generation, 60, &other, CURSOR_ABSENT),
                     CURSOR_REWIND);
    assert_int_equal(cursor.cause, CURSOR_OVERTAKEN);
    assert_int_equal(lineage_epoch(&cursor.counted.lineage), 4);
}

/* Of two that begin at the same watermark, one reads before the log is cut off, one afterwards. */
static void another_log_on_the_same_branch_is_another_place(void **state) {
    (void)state;
    struct lineage other;
    struct cursor cursor = found_with("0:59:3@0", 60, 60);
    write_log(0, 80, 3);
    bool is_stray;
    cursor_resume(&cursor, (struct cursor_log){0, 80}, earliest);
    read_all(&cursor, (struct cursor_log){0, 80}, &is_stray);
    struct cursor_cut cut = cursor_cut(&cursor);
    assert_int_equal(cut.end, 80);
    lineage_parse("0:79:3@0,4@70", &other);
    assert_int_equal(cursor_counted(&cursor, cut.generation, 80, &other, CURSOR_ABSENT),
                     CURSOR_REWIND);
    assert_int_equal(cursor.cause, CURSOR_OVERTAKEN);
    assert_int_equal(lineage_epoch(&cursor.counted.lineage), 4);
    cut = cursor_cut(&cursor);
    assert_int_equal(cut.base_tip.epoch, 4);
    assert_int_equal(cut.base_tip.last, 79);
}

static void settled_means_both_sides_hold_all_that_was_taken(void **state) {
    (void)state;
    struct cursor_cut cut;
    struct cursor cursor = with_cut(&cut);
    assert_false(cursor_is_settled(&cursor));
    cursor_counted(&cursor, cut.generation, 15, NULL, CURSOR_ABSENT);
    assert_false(cursor_is_settled(&cursor));
    cursor_published(&cursor, 7, 15, NULL);
    assert_true(cursor_is_settled(&cursor));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_at_end_goes_on),
        cmocka_unit_test(another_offset_rewinds_to_what_is_stored),
        cmocka_unit_test(an_answer_to_an_old_generation_is_stale),
        cmocka_unit_test(a_late_answer_does_not_end_the_next_checkpoint),
        cmocka_unit_test(i1_each_side_takes_only_what_lies_at_or_above_its_own),
        cmocka_unit_test(both_sides_pass_an_end_without_records),
        cmocka_unit_test(an_end_does_not_open_a_gate_that_is_not_known),
        cmocka_unit_test(i3_one_checkpoint_at_a_time),
        cmocka_unit_test(i4_nothing_is_counted_before_the_first_commit),
        cmocka_unit_test(a_group_begins_where_the_policy_says),
        cmocka_unit_test(absent_in_redis_alone_rebuilds_from_the_origin),
        cmocka_unit_test(absent_in_kafka_alone_publishes_from_the_counted_one),
        cmocka_unit_test(who_adopted_learns_the_origin_from_a_refused_commit),
        cmocka_unit_test(an_origin_that_only_redis_has_is_taken_over),
        cmocka_unit_test(redis_lost_after_the_committed_offset_leaves_a_gap),
        cmocka_unit_test(an_abort_before_the_first_commit_goes_back_to_the_origin),
        cmocka_unit_test(an_abort_before_the_first_commit_goes_back_to_what_was_adopted),
        cmocka_unit_test(what_was_adopted_has_the_lineage_of_what_is_stored),
        cmocka_unit_test(what_was_adopted_and_cut_off_begins_where_it_was_cut_off),
        cmocka_unit_test(what_was_adopted_and_cut_off_is_reported_once),
        cmocka_unit_test(a_group_that_another_owner_began_elsewhere_is_counted_from_there),
        cmocka_unit_test(unknown_in_redis_publishes_first_and_counts_when_told),
        cmocka_unit_test(what_kafka_no_longer_holds_is_a_gap),
        cmocka_unit_test(a_log_that_lost_its_end_is_no_gap),
        cmocka_unit_test(reading_continues_where_the_log_was_cut_off),
        cmocka_unit_test(the_watermarks_go_back_even_if_nothing_comes),
        cmocka_unit_test(only_one_side_may_have_got_so_far),
        cmocka_unit_test(a_log_may_lose_both_ends),
        cmocka_unit_test(a_log_may_be_cut_off_below_the_origin),
        cmocka_unit_test(reading_begins_with_a_record_that_is_known),
        cmocka_unit_test(a_log_that_has_grown_past_the_watermark_is_another_one),
        cmocka_unit_test(as_many_records_in_place_of_others_are_new),
        cmocka_unit_test(the_point_of_departure_is_found_exactly),
        cmocka_unit_test(a_log_that_is_cut_off_while_it_is_searched_departs),
        cmocka_unit_test(epochs_that_were_never_read_are_another_log),
        cmocka_unit_test(an_anchor_that_was_compacted_away_is_no_loss),
        cmocka_unit_test(an_anchor_that_comes_back_otherwise_was_cut_off),
        cmocka_unit_test(markers_below_the_watermark_are_no_doubt),
        cmocka_unit_test(the_side_that_did_not_stray_keeps_its_lineage),
        cmocka_unit_test(an_end_without_the_anchor_is_a_doubt),
        cmocka_unit_test(a_record_where_there_were_markers_is_a_stray_one),
        cmocka_unit_test(the_side_that_is_ahead_is_compared_again),
        cmocka_unit_test(without_a_lineage_the_end_of_the_log_is_the_best_guess),
        cmocka_unit_test(a_log_without_its_end_is_asked_once),
        cmocka_unit_test(one_lineage_is_enough_for_both_sides),
        cmocka_unit_test(what_is_left_is_the_next_anchor),
        cmocka_unit_test(another_branch_at_the_same_offset_is_another_place),
        cmocka_unit_test(another_log_on_the_same_branch_is_another_place),
        cmocka_unit_test(settled_means_both_sides_hold_all_that_was_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
