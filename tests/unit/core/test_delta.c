/* Sums by key: none lost, none mixed up, however many there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/delta.h"

enum { SEED = 42, MANY = 100000, NUMBERS = AGGREGATES_MAX - 1 };

static struct delta_key value(unsigned field, const char *text) {
    return delta_value_key(SEED, field, (struct slice){text, strlen(text)});
}

static void equal_keys_add_up_and_fields_stay_apart(void **state) {
    (void)state;
    struct delta delta;
    delta_init(&delta);
    assert_int_equal(delta_get(&delta, value(0, "PA")), 0);
    assert_true(delta_add(&delta, value(0, "PA"), 2));
    assert_false(delta_add(&delta, value(0, "PA"), 3));
    assert_true(delta_add(&delta, value(1, "PA"), 7));
    assert_int_equal(delta.entry_count, 2);
    assert_int_equal(delta.entries[0].count, 5);
    assert_int_equal(delta.entries[1].count, 7);
    assert_int_equal(delta_get(&delta, value(0, "PA")), 5);
    assert_int_equal(delta_get(&delta, value(1, "PA")), 7);
    assert_int_equal(delta_get(&delta, value(2, "PA")), 0);
    delta_release(&delta);
}

static void many_keys_survive_growth_merge_and_reuse(void **state) {
    (void)state;
    struct delta from, into;
    delta_init(&from);
    delta_init(&into);
    for (int round = 0; round < 2; round++) {
        delta_clear(&from);
        for (int64_t i = 0; i < MANY; i++) {
            assert_true(delta_add(&from, delta_number_key(SEED, NUMBERS, &i), i + 1));
        }
        from.records = MANY;
        assert_int_equal(delta_merge(&into, &from), round == 0 ? MANY : 0);
    }
    assert_int_equal(into.records, 2 * MANY);
    assert_int_equal(into.entry_count, MANY);
    for (uint32_t e = 0; e < into.entry_count; e++) {
        int64_t number = delta_number(delta_key(&into, &into.entries[e]));
        assert_int_equal(into.entries[e].count, 2 * (number + 1));
    }
    delta_release(&from);
    delta_release(&into);
}

static void keys_may_hold_any_byte_up_to_the_limit(void **state) {
    (void)state;
    struct delta delta;
    char bytes[DELTA_KEY_BYTES_MAX] = {0};
    delta_init(&delta);
    for (size_t length = 1; length <= sizeof bytes; length++) {
        assert_true(delta_add(&delta, delta_value_key(SEED, 0, (struct slice){bytes, length}), 1));
    }
    assert_int_equal(delta.entry_count, DELTA_KEY_BYTES_MAX);
    delta_release(&delta);
}

/* Of every length, with every byte changed, under one hash: only the bytes can tell them apart. */
static void keys_of_equal_hash_differ_by_any_byte(void **state) {
    (void)state;
    for (unsigned length = 1; length <= DELTA_KEY_BYTES_MAX; length += length < 128 ? 1U : 83U) {
        struct delta delta;
        char bytes[DELTA_KEY_BYTES_MAX] = {0};
        const struct delta_key key = {.bytes = bytes, .hash = 7, .length = (uint16_t)length};
        delta_init(&delta);
        assert_true(delta_add(&delta, key, 1));
        for (unsigned at = 0; at < length; at++) {
            bytes[at] = 1;
            assert_true(delta_add(&delta, key, 1));
            bytes[at] = 0;
        }
        assert_false(delta_add(&delta, key, 1));
        assert_int_equal(delta.entry_count, length + 1);
        delta_release(&delta);
    }
}

static void every_byte_and_the_seed_change_the_hash(void **state) {
    (void)state;
    char bytes[DELTA_KEY_BYTES_MAX] = {0};
    int equal = 0;
    for (size_t length = 1; length <= sizeof bytes; length++) {
        const struct slice text = {bytes, length};
        const uint32_t hash = delta_value_key(SEED, 0, text).hash;
        equal += delta_value_key(SEED + 1, 0, text).hash == hash;
        equal += delta_value_key(SEED, 1, text).hash == hash;
        equal += delta_value_key(SEED, 0, (struct slice){bytes, length - 1}).hash == hash;
        for (size_t at = 0; at < length; at++) {
            bytes[at] = 1;
            equal += delta_value_key(SEED, 0, text).hash == hash;
            bytes[at] = 0;
        }
    }
    assert_int_equal(equal, 0); /* by chance: once in 500,000 seeds */
}

static void shards_share_the_keys_and_none_is_out_of_range(void **state) {
    (void)state;
    int owned[3] = {0};
    for (int64_t i = 0; i < MANY; i++) {
        unsigned shard = delta_shard(delta_number_key(SEED, NUMBERS, &i).hash, 3);
        assert_true(shard < 3);
        owned[shard]++;
    }
    for (int s = 0; s < 3; s++)
        assert_in_range(owned[s], MANY / 4, MANY / 2);
}

/* Counts and distinct values of many keys side by side, through merging, clearing and reuse. */
static void distinct_values_are_merged_key_by_key(void **state) {
    (void)state;
    struct delta from, into;
    delta_init(&from);
    delta_init(&into);
    const size_t empty = delta_request_bytes(&into);
    for (int round = 0; round < 3; round++) {
        delta_clear(&from);
        assert_int_equal(delta_request_bytes(&from), empty);
        for (int64_t i = 0; i < 3000; i++) {
            const int64_t key = i % 20, user = i * 3 + round;
            const struct slice text = {(const char *)&user, sizeof user};
            const bool is_new =
                delta_add_distinct(&from, delta_number_key(SEED, 1, &key), hyperloglog_hash(text));
            assert_int_equal(is_new, i < 20);
            delta_add(&from, delta_number_key(SEED, 0, &key), 1);
        }
        assert_int_equal(delta_merge(&into, &from), round == 0 ? 40 : 0);
        delta_merge(&into, &from); /* counts double, distinct values do not */
    }
    for (int64_t key = 0; key < 20; key++) {
        struct hyperloglog expected = {0};
        for (int64_t user = key * 3; user < 9000; user += 60)
            for (int64_t u = user; u < user + 3; u++)
                hyperloglog_add(&expected,
                                hyperloglog_hash((struct slice){(const char *)&u, sizeof u}));
        const struct hyperloglog *found =
            delta_get_distinct(&into, delta_number_key(SEED, 1, &key));
        assert_non_null(found);
        assert_true(hyperloglog_is_same(found, &expected));
        assert_null(delta_get_distinct(&into, delta_number_key(SEED, 0, &key)));
        assert_int_equal(delta_get(&into, delta_number_key(SEED, 0, &key)), 2 * 3 * 150);
        hyperloglog_release(&expected);
    }
    assert_true(delta_bytes(&into) > 20 * hyperloglog_bytes(&into.distinct[0]));
    delta_release(&from);
    delta_release(&into);
    assert_int_equal(delta_bytes(&into), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_keys_add_up_and_fields_stay_apart),
        cmocka_unit_test(many_keys_survive_growth_merge_and_reuse),
        cmocka_unit_test(keys_may_hold_any_byte_up_to_the_limit),
        cmocka_unit_test(keys_of_equal_hash_differ_by_any_byte),
        cmocka_unit_test(every_byte_and_the_seed_change_the_hash),
        cmocka_unit_test(shards_share_the_keys_and_none_is_out_of_range),
        cmocka_unit_test(distinct_values_are_merged_key_by_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
