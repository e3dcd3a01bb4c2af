/* Registers as Redis has them: test_redis_hyperloglog.c compares them with a real one. */
#include "core/hyperloglog.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { EMPTY_BYTES = 18 };

static struct hyperloglog one, other;
static char written[HYPERLOGLOG_DENSE_BYTES];

static int release(void **state) {
    (void)state;
    hyperloglog_release(&one);
    hyperloglog_release(&other);
    return 0;
}

static uint64_t hash_text(const char *text) {
    return hyperloglog_hash((struct slice){text, strlen(text)});
}

static uint64_t hash_number(int64_t number) {
    char text[32];
    snprintf(text, sizeof text, "user-%lld", (long long)number);
    return hash_text(text);
}

/* Users number begin to end-1. */
static void add_users(struct hyperloglog *hyperloglog, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
        hyperloglog_add(hyperloglog, hash_number(i));
}

/* MurmurHash64A with the seed of Redis, computed by a program of a few lines in Python;
 * every length up to two words. */
static void the_hash_is_that_of_redis(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t hash;
    } known[] = {
        {"", UINT64_C(0xD8DFEA6585BC9732)},
        {"r", UINT64_C(0x8821300E54D95A18)},
        {"ro", UINT64_C(0xC2F315E4E53A90D6)},
        {"rol", UINT64_C(0xA931C409B71E5098)},
        {"roll", UINT64_C(0xD6CA581440D64556)},
        {"rollc", UINT64_C(0x47C3536A1967C127)},
        {"rollca", UINT64_C(0xD17341F35C9AA59A)},
        {"rollcal", UINT64_C(0x30DE749A3BEDABB4)},
        {"rollcall", UINT64_C(0xEEE1AD5A64727FEB)},
        {"rollcall ", UINT64_C(0x7BB216BD2B047655)},
        {"rollcall c", UINT64_C(0x4F25C6440468083C)},
        {"rollcall co", UINT64_C(0xF795A114D7E0CDDA)},
        {"rollcall cou", UINT64_C(0x49BAB2DB779611FA)},
        {"rollcall coun", UINT64_C(0x9D13B57AEBF80543)},
        {"rollcall count", UINT64_C(0xBD66BA8D5A2719F5)},
        {"rollcall counts", UINT64_C(0x8AD95E9F33DBD062)},
        {"rollcall counts ", UINT64_C(0x433CBD35A4D6ED37)},
        {"rollcall counts u", UINT64_C(0x150503D218020FA2)},
        {"5ec2d697-1b7a-4e0c-9d52-0f6e3a8b7c11", UINT64_C(0xE586A88F8F9DD197)},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(hash_text(known[i].text), known[i].hash);
}

static void a_value_counts_once(void **state) {
    (void)state;
    assert_int_equal(hyperloglog_estimate(&one), 0);
    for (int round = 0; round < 3; round++)
        add_users(&one, 0, 100);
    assert_in_range(hyperloglog_estimate(&one), 99, 101);
    assert_in_range(one.count, 98, 100);
}

static void the_estimate_is_within_three_standard_errors(void **state) {
    (void)state;
    static const int64_t users[] = {1, 10, 1000, 20000, 1000000, 50000000};
    int64_t added = 0;
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        for (; added < users[i]; added++)
            hyperloglog_add(&one, hyperloglog_hash((struct slice){(char *)&added, sizeof added}));
        const double off = fabs((double)hyperloglog_estimate(&one) - (double)added) / (double)added;
        print_message("%lld: %.2f %% off\n", (long long)added, off * 100);
        if (off > 3 * 0.0081) fail_msg("%lld: %.2f %% off", (long long)added, off * 100);
    }
}

/* Whatever the sizes: few and few, few and many, many and many. */
static void merging_is_the_same_as_adding(void **state) {
    (void)state;
    static const int64_t sizes[] = {0, 1, 3, 4, 12, 13, 200, 511, 512, 513, 600, 5000};
    const size_t count = sizeof sizes / sizeof *sizes;
    for (size_t i = 0; i < count * count; i++) {
        const int64_t left = sizes[i / count], right = sizes[i % count];
        struct hyperloglog all = {0};
        add_users(&one, 0, left);
        add_users(&other, left / 2, left / 2 + right);
        add_users(&all, 0, left);
        add_users(&all, left / 2, left / 2 + right);
        hyperloglog_merge(&one, &other);
        if (!hyperloglog_is_same(&one, &all))
            fail_msg("%lld and %lld", (long long)left, (long long)right);
        hyperloglog_merge(&one, &other); /* again: nothing is new */
        assert_true(hyperloglog_is_same(&one, &all));
        hyperloglog_release(&all);
        release(NULL);
    }
}

static void one_register_makes_a_difference(void **state) {
    (void)state;
    for (int64_t users = 1; users < 2000; users += 333) {
        add_users(&one, 0, users);
        add_users(&other, 0, users);
        assert_true(hyperloglog_is_same(&one, &other));
        hyperloglog_add(&other, 0); /* the first register, the highest rank */
        assert_false(hyperloglog_is_same(&one, &other));
        release(NULL);
    }
}

static void few_values_take_little_memory(void **state) {
    (void)state;
    add_users(&one, 0, 3);
    assert_int_equal(hyperloglog_bytes(&one), 0);
    add_users(&one, 0, 100);
    assert_in_range(hyperloglog_bytes(&one), 400, 1024);
    add_users(&one, 0, 500);
    assert_false(one.is_dense);
    assert_in_range(hyperloglog_bytes(&one), 2000, 4096);
    add_users(&one, 0, 100000);
    assert_true(one.is_dense);
    assert_int_equal(hyperloglog_bytes(&one), HYPERLOGLOG_REGISTERS);
}

/* Registers that begin the search at the same place are found all the same. */
static void registers_that_collide_are_kept_apart(void **state) {
    (void)state;
    for (uint64_t i = 0; i < HYPERLOGLOG_FEW_MAX; i++)
        hyperloglog_add(&one, i % 16 * 1024 + i / 16);
    assert_int_equal(one.count, HYPERLOGLOG_FEW_MAX);
    assert_false(one.is_dense);
    for (uint64_t i = 0; i < HYPERLOGLOG_FEW_MAX; i++)
        hyperloglog_add(&one, i % 16 * 1024 + i / 16);
    assert_int_equal(one.count, HYPERLOGLOG_FEW_MAX);
}

/* Every register, every rank: the element's own hash is of that register and rank. */
static void an_element_sets_the_register_it_was_made_for(void **state) {
    (void)state;
    for (uint64_t number = 0; number < HYPERLOGLOG_REGISTERS; number++) {
        const unsigned rank = (unsigned)(number % HYPERLOGLOG_RANK_MAX) + 1;
        const uint64_t rest = rank == HYPERLOGLOG_RANK_MAX ? 0 : UINT64_C(1) << (rank - 1);
        hyperloglog_add(&one, number | rest << 14);
        assert_int_equal(hyperloglog_write(&one, written), HYPERLOGLOG_ELEMENT_BYTES);
        hyperloglog_add(&other, hyperloglog_hash((struct slice){written, 8}));
        assert_int_equal(one.at.inlined[number % 4], number << 6 | rank);
        assert_int_equal(other.at.inlined[number % 4], number << 6 | rank);
        release(NULL);
    }
}

static void what_is_written_is_all_there_is(void **state) {
    (void)state;
    assert_int_equal(hyperloglog_write(&one, written), 0);
    add_users(&one, 0, 400);
    const size_t length = hyperloglog_write(&one, written);
    assert_int_equal(length, one.count * HYPERLOGLOG_ELEMENT_BYTES);
    for (size_t at = 0; at < length; at += HYPERLOGLOG_ELEMENT_BYTES)
        hyperloglog_add(&other, hyperloglog_hash((struct slice){written + at, 8}));
    assert_true(hyperloglog_is_same(&one, &other));

    add_users(&one, 0, 50000);
    hyperloglog_add(&one, 0);
    assert_int_equal(hyperloglog_write(&one, written), HYPERLOGLOG_DENSE_BYTES);
    assert_true(hyperloglog_read(&other, (struct slice){written, HYPERLOGLOG_DENSE_BYTES}));
    assert_true(hyperloglog_is_same(&one, &other));
}

static bool read_bytes(const char *bytes, size_t length) {
    hyperloglog_release(&other);
    const bool is_read = hyperloglog_read(&other, (struct slice){bytes, length});
    if (!is_read) assert_int_equal(hyperloglog_estimate(&other), 0);
    return is_read;
}

/* On the heap and to the byte, so that a sanitizer sees what is read behind the end. */
static bool read_exactly(const char *bytes, size_t length) {
    char *copy = malloc(length);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    const bool is_read = read_bytes(copy, length);
    free(copy);
    return is_read;
}

static void runs_are_read_if_they_cover_all_registers(void **state) {
    (void)state;
    static const char header[] = "HYLL\1\0\0\0\0\0\0\0\0\0\0\0";
    static const struct {
        const char *runs;
        size_t length;
        bool is_valid;
        int estimate;
    } cases[] = {
        {"\x7f\xff", 2, true, 0},
        {"\x80\x7f\xfe", 3, true, 1},     /* one of rank 1 */
        {"\x3f\x83\x7f\xbb", 4, true, 4}, /* 64 without, four of rank 1 */
        {"\x7f\xfe\xfc", 3, true, 1},     /* the last one, of rank 32 */
        {"\x7f\xfe", 2, false, 0},        /* one is missing */
        {"\x7f\xff\x80", 3, false, 0},    /* one too many */
        {"\x7f\xfe\x81", 3, false, 0},    /* the last run ends behind the end */
        {"\x80\x7f", 2, false, 0},        /* half of a run */
        {"", 0, false, 0},
    };
    char bytes[sizeof header + 8];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(bytes, header, HYPERLOGLOG_HEADER_BYTES);
        memcpy(bytes + HYPERLOGLOG_HEADER_BYTES, cases[i].runs, cases[i].length);
        const bool is_read = read_exactly(bytes, HYPERLOGLOG_HEADER_BYTES + cases[i].length);
        if (is_read != cases[i].is_valid) fail_msg("case %zu", i);
        if (is_read) assert_int_equal(hyperloglog_estimate(&other), cases[i].estimate);
    }
}

static void what_is_no_hyperloglog_is_not_read(void **state) {
    (void)state;
    char bytes[EMPTY_BYTES] = "HYLL\1\0\0\0\0\0\0\0\0\0\0\0\x7f\xff";
    memcpy(bytes + HYPERLOGLOG_HEADER_BYTES, "\x7f\xff", 2);
    assert_true(read_exactly(bytes, EMPTY_BYTES));
    for (size_t length = 0; length < EMPTY_BYTES; length++)
        assert_false(read_exactly(bytes, length));
    bytes[0] = 'h';
    assert_false(read_exactly(bytes, EMPTY_BYTES));
    bytes[0] = 'H';
    bytes[4] = 2; /* an encoding that there is not */
    assert_false(read_exactly(bytes, EMPTY_BYTES));
    bytes[4] = 0; /* dense, but not as long */
    assert_false(read_exactly(bytes, EMPTY_BYTES));

    add_users(&one, 0, 5000);
    hyperloglog_write(&one, written);
    assert_true(read_exactly(written, HYPERLOGLOG_DENSE_BYTES));
    assert_false(read_exactly(written, HYPERLOGLOG_DENSE_BYTES - 1));
    written[HYPERLOGLOG_HEADER_BYTES] = 52; /* a rank that no hash has */
    assert_false(read_exactly(written, HYPERLOGLOG_DENSE_BYTES));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_hash_is_that_of_redis, release),
        cmocka_unit_test_teardown(a_value_counts_once, release),
        cmocka_unit_test_teardown(the_estimate_is_within_three_standard_errors, release),
        cmocka_unit_test_teardown(merging_is_the_same_as_adding, release),
        cmocka_unit_test_teardown(one_register_makes_a_difference, release),
        cmocka_unit_test_teardown(few_values_take_little_memory, release),
        cmocka_unit_test_teardown(registers_that_collide_are_kept_apart, release),
        cmocka_unit_test_teardown(an_element_sets_the_register_it_was_made_for, release),
        cmocka_unit_test_teardown(what_is_written_is_all_there_is, release),
        cmocka_unit_test_teardown(runs_are_read_if_they_cover_all_registers, release),
        cmocka_unit_test_teardown(what_is_no_hyperloglog_is_not_read, release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
