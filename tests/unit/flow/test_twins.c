/* twins: a successor is told from a process with the same transactional id. */
#include "flow/twins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { SOON_MS = 10000, APART_MS = 600000 };

static struct error error;

/* The id is taken at now_ms from a transaction that began just before. */
static bool is_taken(struct twins *twins, int64_t now_ms) {
    return twins_note(twins, "one", now_ms - 1, now_ms, &error);
}

static void the_third_time_is_no_successor(void **state) {
    (void)state;
    struct twins twins = {0};
    const int64_t now_ms = 10 * APART_MS;
    error.text[0] = '\0';
    assert_false(is_taken(&twins, now_ms));
    assert_false(is_taken(&twins, now_ms + 1));
    assert_string_equal(error.text, "");
    assert_true(is_taken(&twins, now_ms + 2));
    assert_non_null(strstr(error.text, "the same instance.id \"one\""));
    assert_true(is_taken(&twins, now_ms + 3));
}

static void times_far_apart_are_of_successors(void **state) {
    (void)state;
    struct twins twins = {0};
    for (int i = 1; i <= 5; i++)
        assert_false(is_taken(&twins, (int64_t)i * APART_MS));
    assert_false(is_taken(&twins, 6 * APART_MS - 1)); /* the second one since the fifth */
    assert_true(is_taken(&twins, 7 * APART_MS - 2));  /* each is near the one before it */
}

/* Kafka itself ends a transaction that has taken too long. */
static void an_old_transaction_was_ended_by_kafka(void **state) {
    (void)state;
    struct twins twins = {0};
    const int64_t now_ms = 10 * APART_MS;
    for (int i = 0; i < 5; i++)
        assert_false(twins_note(&twins, "one", now_ms - SOON_MS, now_ms, &error));
    for (int i = 0; i < 2; i++)
        assert_false(twins_note(&twins, "one", now_ms - SOON_MS + 1, now_ms, &error));
    assert_true(twins_note(&twins, "one", now_ms - SOON_MS + 1, now_ms, &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_third_time_is_no_successor),
        cmocka_unit_test(times_far_apart_are_of_successors),
        cmocka_unit_test(an_old_transaction_was_ended_by_kafka),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
