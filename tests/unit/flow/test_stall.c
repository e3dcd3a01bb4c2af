/* stall: which partitions are taken to stand still. The bounds of the log, the quota and the other
 * client stand in for Kafka's. */
#include "flow/stall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "edge/kafka_probe.h"
#include "logged.h"

static enum source_bounds_verdict verdict;
static int64_t now_ms, end_of_log, throttled_ms;
static bool has_probe, answers;
static int asked_count, probe_count;

int clock_gettime(clockid_t clock, struct timespec *now) {
    (void)clock;
    *now = (struct timespec){now_ms / 1000, now_ms % 1000 * 1000000};
    return 0;
}

enum source_bounds_verdict kafka_source_ask_bounds(struct kafka_source *source, int32_t partition,
                                                   int64_t *begin, int64_t *end, int timeout_ms,
                                                   struct error *error) {
    (void)source;
    assert_int_equal(timeout_ms, 2800); /* and 2000: less than the 5 s of a drain */
    assert_int_equal(partition, 3);
    asked_count++;
    if (verdict != SOURCE_BOUNDS_KNOWN) {
        error_set(error, "no bounds");
        return verdict;
    }
    *begin = 0;
    *end = end_of_log;
    return verdict;
}

int64_t kafka_source_throttled_ms(struct kafka_source *source) {
    (void)source;
    return throttled_ms;
}

struct kafka_probe *kafka_probe_open(struct kafka_source *source, int32_t partition,
                                     struct error *error) {
    (void)source, (void)partition, (void)error;
    probe_count += has_probe;
    return has_probe ? (struct kafka_probe *)&has_probe : NULL;
}

bool kafka_probe_answers(struct kafka_probe *probe, int timeout_ms) {
    assert_int_equal(timeout_ms, 2000);
    assert_non_null(probe);
    return answers;
}

void kafka_probe_close(struct kafka_probe **probe) {
    probe_count -= *probe != NULL;
    *probe = NULL;
}

static struct stall stall;

static int begin(void **state) {
    (void)state;
    now_ms = 1000000;
    verdict = SOURCE_BOUNDS_KNOWN;
    end_of_log = 50;
    throttled_ms = 0;
    has_probe = answers = true;
    asked_count = probe_count = 0;
    memset(&stall, 1, sizeof stall);
    stall_init(&stall);
    stall_rest(&stall, now_ms);
    return 0;
}

static int end(void **state) {
    (void)state;
    assert_int_equal(probe_count, 0);
    stall_fini(&stall);
    return 0;
}

/* Looks when it is time; *told is the end of the log, -1 if Kafka does not tell. */
static enum stall_verdict look(int64_t position, int64_t *told) {
    int64_t told_end = -1;
    const int before = asked_count;
    assert_int_equal(stall_look(&stall, NULL, 3, position, now_ms + STALL_LOOK_MS - 1, &told_end),
                     STALL_NONE);
    assert_int_equal(asked_count, before);
    now_ms += STALL_LOOK_MS;
    const enum stall_verdict found = stall_look(&stall, NULL, 3, position, now_ms, &told_end);
    assert_int_equal(asked_count, before + 1);
    if (told != NULL) *told = told_end;
    return found;
}

static bool is_shown(const char *what) {
    struct text why = {0};
    const bool is_it = stall_show(&stall, &why) && strstr(text_string(&why), what) != NULL;
    text_release(&why);
    return is_it;
}

static void what_is_not_read_for_three_looks_stands_still(void **state) {
    (void)state;
    int64_t told;
    assert_int_equal(look(40, &told), STALL_NONE);
    assert_true(told == 50);
    assert_int_equal(look(40, NULL), STALL_NONE);
    assert_false(is_shown(""));
    assert_int_equal(look(40, NULL), STALL_FOUND);
    assert_true(is_shown("partition 3 makes no progress: Kafka holds records up to offset 50, and "
                         "reading stands at 40, and nothing was read for 30 s"));
    assert_int_equal(logged_count("A partition makes no progress: joining with a new consumer",
                                  "partition=3 reason=\"Kafka holds records up to offset 50"),
                     1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(look(40, NULL), STALL_NONE); /* the new consumer has its time */
    stall_rest(&stall, now_ms);
    assert_false(is_shown(""));
    for (int i = 0; i < 2; i++)
        assert_int_equal(look(40, NULL), STALL_NONE);
    assert_int_equal(look(40, NULL), STALL_FOUND);
}

static void progress_starts_it_over(void **state) {
    (void)state;
    for (int64_t position = 30; position < 34; position++) {
        assert_int_equal(look(position, NULL), STALL_NONE);
        assert_int_equal(look(position, NULL), STALL_NONE);
    }
    assert_int_equal(look(33, NULL), STALL_FOUND);
}

static void at_the_end_nothing_is_to_be_read(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(look(i < 5 ? 50 : -1, NULL), STALL_NONE);
    assert_int_equal(look(51, NULL), STALL_BEYOND);
}

static void a_quota_is_no_standstill(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++) {
        verdict = i < 3 ? SOURCE_BOUNDS_KNOWN : SOURCE_BOUNDS_UNKNOWN;
        throttled_ms = now_ms + 5000;
        assert_int_equal(look(40, NULL), STALL_NONE);
    }
    verdict = SOURCE_BOUNDS_KNOWN;
    throttled_ms = now_ms; /* and from here on no longer */
    for (int i = 0; i < 4; i++)
        assert_int_equal(look(40, NULL), STALL_NONE);
    assert_int_equal(look(40, NULL), STALL_FOUND);
}

static void kafka_that_is_away_is_no_standstill(void **state) {
    (void)state;
    int64_t told;
    verdict = SOURCE_BOUNDS_UNKNOWN;
    for (int i = 0; i < 4; i++) {
        has_probe = i % 2 == 0;
        answers = false;
        assert_int_equal(look(40, &told), STALL_NONE);
        assert_true(told == -1);
    }
    has_probe = answers = true;
    assert_int_equal(look(40, NULL), STALL_FOUND);
    assert_true(is_shown("Kafka answers other clients, but not this one (no bounds)"));
}

static void a_crowd_that_asks_tells_nothing(void **state) {
    (void)state;
    verdict = SOURCE_BOUNDS_BUSY;
    for (int i = 0; i < 5; i++)
        assert_int_equal(look(40, NULL), STALL_NONE);
    verdict = SOURCE_BOUNDS_UNKNOWN;
    assert_int_equal(look(40, NULL), STALL_NONE);
    assert_int_equal(look(40, NULL), STALL_NONE);
    assert_int_equal(look(40, NULL), STALL_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_not_read_for_three_looks_stands_still, begin, end),
        cmocka_unit_test_setup_teardown(progress_starts_it_over, begin, end),
        cmocka_unit_test_setup_teardown(at_the_end_nothing_is_to_be_read, begin, end),
        cmocka_unit_test_setup_teardown(a_quota_is_no_standstill, begin, end),
        cmocka_unit_test_setup_teardown(kafka_that_is_away_is_no_standstill, begin, end),
        cmocka_unit_test_setup_teardown(a_crowd_that_asks_tells_nothing, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
