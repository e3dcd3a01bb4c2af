/* Running totals: bounded, exact in sum, and readable while they change. */
#include "flow/tally.h"

#include <urcu-bp.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 42, MAX_VALUES = 3, MANY = 100000 };
enum { LOCALE, MINUTE, REASON, FIELD_COUNT }; /* the table of aggregates here */

static struct aggregates aggregates;
static struct aggregate_settings settings;

static int set_up(void **state) {
    (void)state;
    static char locale[] = "locale";
    settings = (struct aggregate_settings){.dimensions = {{locale}, 1}, .max_values = MAX_VALUES};
    aggregates_init(&aggregates, &settings);
    return 0;
}

static void add_value(struct tally *tally, const char *value, int64_t n) {
    struct delta delta;
    delta_init(&delta);
    delta_add(&delta, delta_value_key(SEED, LOCALE, (struct slice){value, strlen(value)}), n);
    tally_add(tally, &delta);
    delta_release(&delta);
}

static void add_number(struct tally *tally, unsigned field, int64_t number, int64_t n) {
    struct delta delta;
    delta_init(&delta);
    delta_add(&delta, delta_number_key(SEED, field, &number), n);
    tally_add(tally, &delta);
    delta_release(&delta);
}

/* What a tally holds. */
struct found {
    struct tally *tally;
    const char *wanted; /* a value of LOCALE */
    int64_t total;      /* of it; -1: it is not there */
    int64_t sums[FIELD_COUNT], others[FIELD_COUNT];
    int counts[FIELD_COUNT], other_counts[FIELD_COUNT];
};

static void visit(void *context, struct delta_key key, int64_t total) {
    struct found *found = context;
    found->sums[key.field] += total;
    found->counts[key.field]++;
    if (tally_is_other(found->tally, key)) {
        found->others[key.field] += total;
        found->other_counts[key.field]++;
    }
    if (key.field == LOCALE && found->wanted != NULL && key.length == strlen(found->wanted) &&
        memcmp(key.bytes, found->wanted, key.length) == 0) {
        found->total = total;
    }
}

static struct found look(struct tally *tally, const char *wanted) {
    struct found found = {.tally = tally, .wanted = wanted, .total = -1};
    tally_visit(tally, visit, &found);
    assert_int_equal(urcu_bp_read_ongoing(), 0); /* else nobody could wait for readers any more */
    return found;
}

static void equal_keys_add_up(void **state) {
    (void)state;
    struct tally *tally = tally_create(&aggregates, SEED);
    add_value(tally, "PA", 2);
    add_value(tally, "PA", 3);
    add_value(tally, "P", 7);
    assert_int_equal(look(tally, "PA").total, 5);
    assert_int_equal(look(tally, "P").total, 7);
    assert_int_equal(look(tally, NULL).counts[LOCALE], 2);
    tally_destroy(&tally);
    assert_null(tally);
}

static void values_past_the_limit_are_one_sum(void **state) {
    (void)state;
    struct tally *tally = tally_create(&aggregates, SEED);
    for (int i = 0; i < 2 * MAX_VALUES; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        add_value(tally, name, 1);
    }
    add_value(tally, "a", 10); /* one that has a place keeps it */
    struct found found = look(tally, "__other__");
    assert_int_equal(found.total, MAX_VALUES);
    assert_int_equal(found.others[LOCALE], MAX_VALUES);
    assert_int_equal(found.other_counts[LOCALE], 1);
    assert_int_equal(found.counts[LOCALE], MAX_VALUES + 1);
    assert_int_equal(found.sums[LOCALE], 2 * MAX_VALUES + 10);
    assert_int_equal(look(tally, "a").total, 11);
    tally_destroy(&tally);
}

/* A value of another length, or a part of the name, is an ordinary one. */
static void only_the_sum_itself_is_the_sum(void **state) {
    (void)state;
    struct tally *tally = tally_create(&aggregates, SEED);
    add_value(tally, "__other_", 1);
    add_value(tally, "__other__x", 1);
    assert_int_equal(look(tally, NULL).other_counts[LOCALE], 0);
    add_value(tally, "__other__", 1); /* a user may send it, too */
    assert_int_equal(look(tally, NULL).others[LOCALE], 1);
    tally_destroy(&tally);
}

static void minutes_are_bounded_and_reasons_are_not(void **state) {
    (void)state;
    struct tally *tally = tally_create(&aggregates, SEED);
    for (int64_t i = 0; i < 10; i++)
        add_number(tally, MINUTE, 28677036 + i, 1);
    for (int64_t i = 1; i < LOGIN_REASON_COUNT; i++)
        add_number(tally, REASON, i, 1);
    const struct found found = look(tally, NULL);
    assert_int_equal(found.counts[MINUTE], MAX_VALUES + 1);
    assert_int_equal(found.others[MINUTE], 10 - MAX_VALUES);
    assert_int_equal(found.counts[REASON], LOGIN_REASON_COUNT - 1);
    assert_int_equal(found.other_counts[REASON], 0);
    tally_destroy(&tally);
}

/* Two values of one hash, and a number with the bytes of a value. */
static void keys_of_equal_hash_stay_apart(void **state) {
    (void)state;
    struct tally *tally = tally_create(&aggregates, SEED);
    struct delta delta;
    const struct delta_key keys[] = {
        {.bytes = "ab", .hash = 7, .length = 2, .field = LOCALE},
        {.bytes = "ac", .hash = 7, .length = 2, .field = LOCALE},
        {.bytes = "abc", .hash = 7, .length = 3, .field = LOCALE},
        {.bytes = "ab", .hash = 7, .length = 2, .field = REASON},
    };
    delta_init(&delta);
    for (int i = 0; i < 4; i++)
        delta_add(&delta, keys[i], i + 1);
    tally_add(tally, &delta);
    tally_add(tally, &delta);
    const struct found found = look(tally, "ac");
    assert_int_equal(found.total, 4);
    assert_int_equal(found.counts[LOCALE], 3);
    assert_int_equal(found.sums[LOCALE], 12);
    assert_int_equal(found.sums[REASON], 8);
    delta_release(&delta);
    tally_destroy(&tally);
}

/* --- a reader at the same time ---------------------------------------------------------------- */

struct reader {
    struct tally *tally;
    atomic_bool must_stop;
};

/* Totals never shrink, no key is seen twice or in part, and the table grows under it. */
static void *read_on(void *context) {
    struct reader *reader = context;
    int64_t last = 0;
    do {
        const struct found found = look(reader->tally, NULL);
        if (found.sums[LOCALE] < last || found.counts[LOCALE] > MANY) return NULL;
        last = found.sums[LOCALE];
    } while (!atomic_load(&reader->must_stop));
    return reader;
}

static void a_reader_sees_whole_keys_while_the_owner_adds(void **state) {
    (void)state;
    settings.max_values = MANY;
    struct reader reader = {.tally = tally_create(&aggregates, SEED)};
    pthread_t threads[2];
    void *results[2];
    for (int t = 0; t < 2; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, read_on, &reader), 0);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "value-%d", i % (MANY / 2));
        add_value(reader.tally, name, 1);
    }
    atomic_store(&reader.must_stop, true);
    for (int t = 0; t < 2; t++) {
        pthread_join(threads[t], &results[t]);
        assert_non_null(results[t]);
    }
    const struct found found = look(reader.tally, "value-7");
    assert_int_equal(found.total, 2);
    assert_int_equal(found.counts[LOCALE], MANY / 2);
    assert_int_equal(found.sums[LOCALE], MANY);
    tally_destroy(&reader.tally);
    settings.max_values = MAX_VALUES;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_keys_add_up),
        cmocka_unit_test(values_past_the_limit_are_one_sum),
        cmocka_unit_test(only_the_sum_itself_is_the_sum),
        cmocka_unit_test(minutes_are_bounded_and_reasons_are_not),
        cmocka_unit_test(keys_of_equal_hash_stay_apart),
        cmocka_unit_test(a_reader_sees_whole_keys_while_the_owner_adds),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
