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

#include "locks.h"

enum { SEED = 42, MAX_VALUES = 3, MAX_DAYS = 4, MANY = 100000, PLENTY = 1 << 28 };
enum { LOCALE, MINUTE, REASON, FIELD_COUNT }; /* the table of aggregates here */

static struct aggregates aggregates;
static struct aggregate_settings settings;

static int set_up(void **state) {
    (void)state;
    static char locale[] = "locale";
    settings = (struct aggregate_settings){
        .dimensions = {{locale}, 1}, .max_values = MAX_VALUES, .max_days = MAX_DAYS};
    aggregates_init(&aggregates, &settings);
    return 0;
}

static struct tally *make(size_t values_bytes, size_t minutes_bytes) {
    const struct tally_options options = {.aggregates = &aggregates,
                                          .seed = SEED,
                                          .values_bytes = values_bytes,
                                          .minutes_bytes = minutes_bytes};
    return tally_create(&options);
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

/* What a tally holds of LOCALE and REASON. */
struct found {
    const char *wanted; /* a value of LOCALE */
    int64_t total;      /* of it; -1: it is not there */
    int64_t sums[FIELD_COUNT];
    int counts[FIELD_COUNT];
    bool other_is_last;
};

static bool visit(void *context, struct delta_key key, int64_t total) {
    struct found *found = context;
    found->sums[key.field] += total;
    found->counts[key.field]++;
    if (key.field != LOCALE) return true;
    found->other_is_last = key.length == 9 && memcmp(key.bytes, "__other__", 9) == 0;
    if (found->wanted != NULL && key.length == strlen(found->wanted) &&
        memcmp(key.bytes, found->wanted, key.length) == 0) {
        found->total = total;
    }
    return true;
}

static struct found look(struct tally *tally, const char *wanted) {
    struct found found = {.wanted = wanted, .total = -1};
    tally_visit(tally, LOCALE, visit, &found);
    tally_visit(tally, REASON, visit, &found);
    assert_int_equal(urcu_bp_read_ongoing(), 0); /* else nobody could wait for readers any more */
    return found;
}

static void equal_keys_add_up(void **state) {
    (void)state;
    struct tally *tally = make(PLENTY, PLENTY);
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
    struct tally *tally = make(PLENTY, PLENTY);
    for (int i = 0; i < 2 * MAX_VALUES; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        add_value(tally, name, 1);
    }
    add_value(tally, "a", 10); /* one that has a place keeps it */
    struct found found = look(tally, "__other__");
    assert_int_equal(found.total, MAX_VALUES);
    assert_true(found.other_is_last);
    assert_int_equal(found.counts[LOCALE], MAX_VALUES + 1);
    assert_int_equal(found.sums[LOCALE], 2 * MAX_VALUES + 10);
    assert_int_equal(look(tally, "a").total, 11);
    tally_destroy(&tally);
}

/* A value of another length, or a part of the name, is an ordinary one. */
static void only_the_sum_itself_is_the_sum(void **state) {
    (void)state;
    struct tally *tally = make(PLENTY, PLENTY);
    add_value(tally, "__other_", 1);
    add_value(tally, "__other__x", 1);
    assert_int_equal(look(tally, "__other__").total, -1);
    add_value(tally, "__other__", 1); /* a user may send it, too */
    assert_int_equal(look(tally, "__other__").total, 1);
    add_value(tally, "third", 1); /* it takes no place of another */
    assert_int_equal(look(tally, "third").total, 1);
    tally_destroy(&tally);
}

/* Whatever max_values allows. */
static void values_past_their_memory_are_one_sum(void **state) {
    (void)state;
    enum { LIMIT = 100000 };
    settings.max_values = MANY;
    struct tally *tally = make(LIMIT, PLENTY);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "value-%d", i);
        add_value(tally, name, 1);
    }
    const struct found found = look(tally, "__other__");
    assert_int_equal(found.sums[LOCALE], MANY);
    assert_true(found.total > 0 && found.counts[LOCALE] > LIMIT / 200);
    assert_in_range(tally_bytes(tally), LIMIT, LIMIT + 100);
    tally_destroy(&tally);
    settings.max_values = MAX_VALUES;
}

static void reasons_are_all_kept(void **state) {
    (void)state;
    struct tally *tally = make(0, PLENTY);
    for (int64_t i = 1; i < LOGIN_REASON_COUNT; i++)
        add_number(tally, REASON, i, 1);
    const struct found found = look(tally, NULL);
    assert_int_equal(found.counts[REASON], LOGIN_REASON_COUNT - 1);
    assert_int_equal(found.sums[REASON], LOGIN_REASON_COUNT - 1);
    tally_destroy(&tally);
}

/* --- minutes --- */

static void add_minute(struct tally *tally, int day, int minute, int64_t n) {
    add_number(tally, MINUTE, (int64_t)day * AGGREGATE_MINUTES_A_DAY + minute, n);
}

/* Asserts that just these days are kept, each with its own number in its minute 7. */
static void assert_days(struct tally *tally, const int *days, int count, int64_t older) {
    static struct tally_day found;
    int64_t before = INT64_MAX;
    for (int i = 0; i < count; i++) {
        assert_true(tally_copy_day(tally, before, &found));
        assert_int_equal(found.day, days[i]);
        assert_int_equal(found.totals[7], days[i]);
        assert_int_equal(found.totals[8], 0);
        before = found.day;
    }
    assert_false(tally_copy_day(tally, before, &found));
    assert_int_equal(tally_older(tally), older);
}

static void the_newest_days_keep_their_minutes(void **state) {
    (void)state;
    struct tally *tally = make(0, PLENTY);
    static const int order[] = {20, 10, 30, 25};
    assert_days(tally, NULL, 0, 0);
    for (int i = 0; i < MAX_DAYS; i++)
        add_minute(tally, order[i], 7, order[i]);
    assert_days(tally, (const int[]){30, 25, 20, 10}, 4, 0);
    add_minute(tally, 9, 7, 9); /* older than all: there is no room for it */
    assert_days(tally, (const int[]){30, 25, 20, 10}, 4, 9);
    add_minute(tally, 22, 7, 22); /* the oldest makes room */
    assert_days(tally, (const int[]){30, 25, 22, 20}, 4, 19);
    add_minute(tally, 10, 7, 1);
    assert_days(tally, (const int[]){30, 25, 22, 20}, 4, 20);
    add_minute(tally, 31, 7, 30);
    add_minute(tally, 31, 7, 1);
    assert_days(tally, (const int[]){31, 30, 25, 22}, 4, 40);
    tally_destroy(&tally);
}

static void days_are_no_more_than_fit_in_their_memory(void **state) {
    (void)state;
    struct tally *tally = make(PLENTY, 2 * sizeof(struct tally_day));
    for (int day = 1; day <= MAX_DAYS; day++)
        add_minute(tally, day, 7, day);
    assert_days(tally, (const int[]){4, 3}, 2, 3);
    assert_int_equal(tally_bytes(tally), 2 * sizeof(struct tally_day));
    tally_destroy(&tally);
    tally = make(0, 0); /* one is always kept */
    add_minute(tally, 1, 7, 1);
    add_minute(tally, 2, 7, 2);
    assert_days(tally, (const int[]){2}, 1, 1);
    tally_destroy(&tally);
}

static bool count_three(void *context, struct delta_key key, int64_t total) {
    (void)key;
    (void)total;
    return ++*(int *)context < 3;
}

static void a_visit_ends_when_it_is_told_to(void **state) {
    (void)state;
    settings.max_values = 4;
    struct tally *tally = make(PLENTY, PLENTY);
    for (int i = 0; i < 8; i++)
        add_value(tally, (const char[]){(char)('a' + i), '\0'}, 1);
    int count = 0;
    tally_visit(tally, LOCALE, count_three, &count);
    assert_int_equal(count, 3);
    tally_destroy(&tally);
    settings.max_values = MAX_VALUES;
}

/* Two values of one hash, and a number with the bytes of a value. */
static void keys_of_equal_hash_stay_apart(void **state) {
    (void)state;
    struct tally *tally = make(PLENTY, PLENTY);
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

/* --- several threads -------------------------------------------------------------------------- */

enum { WRITERS = 3 };

struct reader {
    struct tally *tally;
    atomic_bool must_stop;
    atomic_int writer_count;
};

/* Totals never shrink, no key is seen twice or in part, and the table grows under it. */
static void *read_on(void *context) {
    struct reader *reader = context;
    static _Thread_local struct tally_day day;
    int64_t last = 0;
    do {
        const struct found found = look(reader->tally, NULL);
        if (found.sums[LOCALE] < last || found.counts[LOCALE] > MANY) return NULL;
        last = found.sums[LOCALE];
        (void)tally_copy_day(reader->tally, INT64_MAX, &day);
    } while (!atomic_load(&reader->must_stop));
    return reader;
}

/* Each has keys of its own, as shards have, and minutes of the same days. */
static void *write_on(void *context) {
    struct reader *reader = context;
    const int writer = atomic_fetch_add(&reader->writer_count, 1);
    for (int i = 0; i < MANY / WRITERS; i++) {
        char name[24];
        snprintf(name, sizeof name, "%d-%d", writer, i / 2);
        add_value(reader->tally, name, 1);
        if (i % 16 == 0) add_minute(reader->tally, i / 1000, writer, 1);
    }
    return reader;
}

static void readers_see_whole_keys_while_shards_add(void **state) {
    (void)state;
    enum { LIMIT = MANY / 4, READERS = 2 };
    settings.max_values = LIMIT;
    struct reader reader = {.tally = make(PLENTY, PLENTY)};
    pthread_t readers[READERS], writers[WRITERS];
    void *result;
    for (int t = 0; t < READERS; t++)
        assert_int_equal(pthread_create(&readers[t], NULL, read_on, &reader), 0);
    for (int t = 0; t < WRITERS; t++)
        assert_int_equal(pthread_create(&writers[t], NULL, write_on, &reader), 0);
    for (int t = 0; t < WRITERS; t++)
        pthread_join(writers[t], &result);
    atomic_store(&reader.must_stop, true);
    for (int t = 0; t < READERS; t++) {
        pthread_join(readers[t], &result);
        assert_non_null(result);
    }
    const struct found found = look(reader.tally, "0-7");
    assert_int_equal(found.total, 2);
    assert_int_equal(found.counts[LOCALE], LIMIT + 1); /* of all shards together, and the sum */
    assert_int_equal(found.sums[LOCALE], MANY / WRITERS * WRITERS);
    static struct tally_day day;
    int64_t minutes = tally_older(reader.tally);
    for (int64_t before = INT64_MAX; tally_copy_day(reader.tally, before, &day); before = day.day)
        for (int w = 0; w < WRITERS; w++)
            minutes += day.totals[w];
    assert_int_equal(minutes, (MANY / WRITERS + 15) / 16 * WRITERS);
    tally_destroy(&reader.tally);
    settings.max_values = MAX_VALUES;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_keys_add_up),
        cmocka_unit_test(values_past_the_limit_are_one_sum),
        cmocka_unit_test(only_the_sum_itself_is_the_sum),
        cmocka_unit_test(values_past_their_memory_are_one_sum),
        cmocka_unit_test(reasons_are_all_kept),
        cmocka_unit_test(the_newest_days_keep_their_minutes),
        cmocka_unit_test(days_are_no_more_than_fit_in_their_memory),
        cmocka_unit_test(a_visit_ends_when_it_is_told_to),
        cmocka_unit_test(keys_of_equal_hash_stay_apart),
        cmocka_unit_test(readers_see_whole_keys_while_shards_add),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
