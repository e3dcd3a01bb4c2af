/* ingest_finding: what is asked of Kafka before a partition continues, and each finding in words.
 * The bounds of the log and its records stand in for Kafka's. */
#include "flow/ingest_finding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "edge/kafka_probe.h"
#include "logged.h"

static enum source_bounds_verdict bounds_verdict;
static bool has_probe, is_silent;
static int open_count, close_count, look_count;

enum source_bounds_verdict kafka_source_ask_bounds(struct kafka_source *source, int32_t partition,
                                                   int64_t *begin, int64_t *end, int timeout_ms,
                                                   struct error *error) {
    (void)source;
    assert_int_equal(partition, 3);
    assert_int_equal(timeout_ms, 5000);
    *begin = 5;
    *end = 100;
    if (bounds_verdict != SOURCE_BOUNDS_KNOWN) error_set(error, "no bounds");
    return bounds_verdict;
}

struct kafka_probe *kafka_probe_open(struct kafka_source *source, int32_t partition,
                                     struct error *error) {
    (void)source;
    assert_int_equal(partition, 3);
    open_count++;
    if (!has_probe) error_set(error, "no probe");
    return has_probe ? (struct kafka_probe *)&has_probe : NULL;
}

void kafka_probe_close(struct kafka_probe **probe) {
    close_count += *probe != NULL;
    *probe = NULL;
}

bool kafka_probe_look(struct kafka_probe *probe, int64_t offset, struct kafka_probe_record *found,
                      int timeout_ms, struct error *error) {
    (void)probe;
    assert_int_equal(timeout_ms, 4000);
    look_count++;
    *found = (struct kafka_probe_record){offset, 7};
    return !is_silent || error_set(error, "no record");
}

/* A cursor whose watermarks are at 50, in a log whose last record below had this epoch. */
static struct cursor cursor_at_50(int32_t epoch) {
    struct cursor cursor;
    const struct lineage lineage = {
        .count = 1, .last = 49, .spans = {{.begin = 10, .epoch = epoch}}};
    const struct cursor_track track = {.stored = 50, .next = 50, .lineage = lineage};
    memset(&cursor, 0, sizeof cursor);
    cursor.published = cursor.counted = track;
    cursor.origin = 5;
    cursor.has_strayed = true; /* so that it asks */
    return cursor;
}

static bool ask(struct cursor *cursor, bool is_draining, struct error *error) {
    struct cursor_log log = {0};
    atomic_bool drains = is_draining;
    open_count = close_count = look_count = 0;
    const bool is_good = ingest_finding_ask(NULL, 3, cursor, &log, &drains, error);
    assert_int_equal(log.begin, 5);
    assert_int_equal(log.end, 100);
    return is_good;
}

static void records_are_looked_at_only_where_an_epoch_is_to_be_compared(void **state) {
    (void)state;
    struct error error = {""};
    struct cursor cursor = cursor_at_50(7);
    bounds_verdict = SOURCE_BOUNDS_KNOWN;
    has_probe = true;
    is_silent = false;
    assert_true(ask(&cursor, false, &error));
    assert_true(look_count > 0);
    assert_int_equal(open_count, 1);
    assert_int_equal(close_count, 1);
    memset(&cursor, 0, sizeof cursor); /* nothing is known of its log */
    cursor.published.stored = cursor.counted.stored = 50;
    assert_true(ask(&cursor, false, &error));
    assert_int_equal(open_count, 0);
}

static void each_answer_that_lacks_is_an_error(void **state) {
    (void)state;
    static const struct {
        enum source_bounds_verdict bounds;
        bool has_probe, is_silent, is_draining;
        const char *why;
    } rows[] = {
        {SOURCE_BOUNDS_UNKNOWN, true, false, false, "no bounds"},
        {SOURCE_BOUNDS_BUSY, true, false, false, "no bounds"},
        {SOURCE_BOUNDS_KNOWN, false, false, false, "no probe"},
        {SOURCE_BOUNDS_KNOWN, true, true, false, "no record"},
        {SOURCE_BOUNDS_KNOWN, true, false, true, "the partition is given back"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error error = {""};
        struct cursor cursor = cursor_at_50(7);
        bounds_verdict = rows[i].bounds;
        has_probe = rows[i].has_probe;
        is_silent = rows[i].is_silent;
        assert_false(ask(&cursor, rows[i].is_draining, &error));
        assert_string_equal(error.text, rows[i].why);
        assert_int_equal(close_count, open_count * has_probe);
    }
}

static void what_ends_the_program_is_explained(void **state) {
    (void)state;
    static const struct cursor_log log = {.begin = 20, .end = 90};
    static const struct {
        struct cursor_finding finding;
        const char *why;
    } rows[] = {
        {{.what = CURSOR_GAP, .wanted = 11, .lost_records = 9},
         "logins [3] needs offset 11, but Kafka holds [20, 90): 9 records are gone; set "
         "input.on_gap=continue to continue without them, or restore them (or, if the topic was "
         "re-created, choose another group.id and redis.prefix)"},
        {{.what = CURSOR_TRUNCATED, .wanted = 95, .cut_records = 15, .cut_at = 80},
         "logins [3] lost its end: Kafka holds [20, 90), but offset 95 had been reached, so 15 "
         "records that were counted or published no longer exist (an unclean leader election, or a "
         "restored broker?): set input.on_gap=continue to keep their counts and continue at offset "
         "80 (or, if the topic was re-created, choose another group.id and redis.prefix)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error why = {""};
        ingest_finding_explain("logins", 3, &rows[i].finding, log, &why);
        assert_string_equal(why.text, rows[i].why);
    }
}

static void each_finding_is_logged(void **state) {
    (void)state;
    static const struct cursor_log log = {.begin = 20, .end = 90};
    static const struct {
        struct cursor_finding finding;
        bool is_counted_unknown;
        const char *line;
    } rows[] = {
        {{.what = CURSOR_GAP, .wanted = 11, .lost_records = 9},
         false,
         "level=error msg=\"Kafka no longer holds what is needed: continuing without it "
         "(input.on_gap=continue)\" partition=3 wanted_offset=11 log_begin=20 log_end=90 "
         "lost_records=9\n"},
        {{.what = CURSOR_TRUNCATED,
          .wanted = 95,
          .lost_records = 1,
          .cut_records = 15,
          .cut_at = 80},
         false,
         "level=error msg=\"The log lost its end: records that were counted or published no longer "
         "exist; continuing where it was cut off (input.on_gap=continue)\" partition=3 "
         "reached_offset=95 cut_at=80 log_begin=20 log_end=90 truncated_records=15 "
         "lost_records=1\n"},
        {{.what = CURSOR_REBUILDS},
         false,
         "level=warn msg=\"Redis holds nothing for this partition: counting again from the "
         "earliest "
         "record\" partition=3 offset=41 log_begin=20\n"},
        {{.what = CURSOR_ADOPTS},
         false,
         "level=warn msg=\"The group has no committed offset for this partition: publishing "
         "continues from the counted one\" partition=3 offset=31\n"},
        {{.what = CURSOR_BEGUN},
         false,
         "level=info msg=Reading partition=3 offset=51 counted=40 published=30\n"},
        {{.what = CURSOR_RESUMED},
         false,
         "level=info msg=Reading partition=3 offset=51 counted=40 published=30\n"},
        {{.what = CURSOR_WAITS}, false, ""},
        {{.what = CURSOR_WAITS}, true, ""},
        {{.what = CURSOR_ADOPTS},
         true,
         "level=warn msg=\"Redis has not answered yet: publishing goes on, and counting begins "
         "when "
         "it does\" partition=3\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cursor cursor = {.counted = {.stored = 40, .next = 41},
                                .published = {.stored = 30, .next = 31},
                                .position = 51};
        if (rows[i].is_counted_unknown) cursor.counted.stored = CURSOR_UNKNOWN;
        logged_begin();
        ingest_finding_log(3, &cursor, &rows[i].finding, log);
        logged_end();
        if (strstr(logged_text, rows[i].line) == NULL) fail_msg("%zu: %s", i, logged_text);
        int lines = 0;
        for (const char *at = logged_text; (at = strchr(at, '\n')) != NULL; at++)
            lines++;
        assert_int_equal(lines, rows[i].line[0] == '\0' ? 0 : 1 + rows[i].is_counted_unknown);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_looked_at_only_where_an_epoch_is_to_be_compared),
        cmocka_unit_test(each_answer_that_lacks_is_an_error),
        cmocka_unit_test(what_ends_the_program_is_explained),
        cmocka_unit_test(each_finding_is_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
