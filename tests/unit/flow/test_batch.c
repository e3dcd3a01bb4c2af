/* What records count, and in whose part it lands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "flow/batch.h"

enum { SEED = 42, SHARDS = 3, BYTES = 256 };
enum { DEVICE, LOCALE, MINUTE, REASON }; /* fields: places in the table */

struct harness {
    struct aggregate_settings settings;
    struct aggregates aggregates;
    struct alarm alarm;
    struct inbox home;
    atomic_size_t pending_bytes;
    struct batch *batch;
};

static int set_up(void **state) {
    static struct harness harness;
    harness.settings.dimensions =
        (struct setting_names){{(char *)"device_type", (char *)"locale"}, 2};
    aggregates_init(&harness.aggregates, &harness.settings);
    inbox_init(&harness.home, &harness.alarm);
    harness.batch = batch_create(5, SHARDS, BYTES, &harness.home, &harness.pending_bytes);
    *state = &harness;
    return harness.batch == NULL;
}

static int tear_down(void **state) {
    struct harness *harness = *state;
    batch_destroy(&harness->batch);
    inbox_fini(&harness->home);
    return 0;
}

static struct login login_of(const char *device, const char *locale, int64_t minute) {
    return (struct login){
        .values = {{device, strlen(device)}, {locale, strlen(locale)}},
        .minute = minute,
    };
}

/* The count of a key, which is only in the part of the shard that owns it. */
static int64_t count_of(const struct batch *batch, struct delta_key key) {
    int64_t count = 0;
    for (unsigned s = 0; s < batch->shard_count; s++) {
        const struct delta *delta = &batch->parts[s].delta;
        for (uint32_t e = 0; e < delta->entry_count; e++) {
            const struct delta_key other = delta_key(delta, &delta->entries[e]);
            if (other.field != key.field || other.length != key.length ||
                memcmp(other.bytes, key.bytes, key.length) != 0) {
                continue;
            }
            assert_int_equal(s, delta_shard(other.hash, SHARDS));
            assert_int_equal(count, 0);
            count = delta->entries[e].count;
        }
    }
    return count;
}

static int64_t count_of_text(const struct batch *batch, unsigned dimension, const char *text) {
    return count_of(batch, delta_value_key(SEED, dimension, (struct slice){text, strlen(text)}));
}

static int64_t count_of_number(const struct batch *batch, unsigned field, int64_t number) {
    return count_of(batch, delta_number_key(SEED, field, &number));
}

static size_t entries_of(const struct batch *batch) {
    size_t count = 0;
    for (unsigned s = 0; s < batch->shard_count; s++)
        count += batch->parts[s].delta.entry_count;
    return count;
}

static void an_accepted_record_counts_its_values_and_its_minute(void **state) {
    struct batch *batch = ((struct harness *)*state)->batch;
    const struct aggregates *aggregates = &((struct harness *)*state)->aggregates;
    const struct login logins[] = {login_of("ios", "PA", 7), login_of("web", "PA", 7),
                                   login_of("ios", "ios", 8)};
    for (size_t i = 0; i < 3; i++)
        batch_count(batch, SEED, aggregates, &logins[i]);
    assert_int_equal(count_of_text(batch, 0, "ios"), 2);
    assert_int_equal(count_of_text(batch, 0, "web"), 1);
    assert_int_equal(count_of_text(batch, 1, "PA"), 2);
    assert_int_equal(count_of_text(batch, 1, "ios"), 1);
    assert_int_equal(count_of_number(batch, MINUTE, 7), 2);
    assert_int_equal(count_of_number(batch, MINUTE, 8), 1);
    assert_int_equal(entries_of(batch), 6);
    assert_int_equal(batch->parts[0].delta.records, 3);
}

static void a_rejected_record_counts_its_reason_alone(void **state) {
    struct batch *batch = ((struct harness *)*state)->batch;
    const struct aggregates *aggregates = &((struct harness *)*state)->aggregates;
    const struct login rejected = {.reason = LOGIN_BAD_VALUE};
    batch_count(batch, SEED, aggregates, &rejected);
    batch_count(batch, SEED, aggregates, &rejected);
    assert_int_equal(count_of_number(batch, REASON, LOGIN_BAD_VALUE), 2);
    assert_int_equal(entries_of(batch), 1);
    assert_int_equal(batch->parts[0].delta.records, 2);
}

static void a_cleared_batch_has_counted_nothing(void **state) {
    struct batch *batch = ((struct harness *)*state)->batch;
    const struct aggregates *aggregates = &((struct harness *)*state)->aggregates;
    const struct login login = login_of("ios", "PA", 7);
    batch_count(batch, SEED, aggregates, &login);
    batch_clear(batch);
    assert_int_equal(entries_of(batch), 0);
    assert_int_equal(batch->parts[0].delta.records, 0);
}

static struct slice text_of(const char *text) {
    return (struct slice){text, text == NULL ? 0 : strlen(text)};
}

static void assert_is(struct slice bytes, const char *text) {
    if (text == NULL) {
        assert_null(bytes.bytes);
        assert_int_equal(bytes.length, 0);
        return;
    }
    assert_non_null(bytes.bytes);
    assert_int_equal(bytes.length, strlen(text));
    assert_memory_equal(bytes.bytes, text, bytes.length);
}

/* A record that is accepted: `text` becomes the key of one that has none. */
static void keep(struct batch *batch, int64_t offset, const char *key, const char *value,
                 const char *text) {
    const struct login login = {.detail = "", .key = text_of(text)};
    const struct kafka_record record = {
        .offset = offset, .timestamp_ms = -1, .key = text_of(key), .value = text_of(value)};
    batch_keep(batch, &record, &login);
}

static void records_are_kept_in_order_null_and_empty_told_apart(void **state) {
    struct batch *batch = ((struct harness *)*state)->batch;
    static const char *const parts[][3] = {
        {"key", "value", NULL}, {NULL, "v", "user"}, {"", NULL, NULL}, {NULL, "", ""}};
    assert_null(batch_next(batch, NULL));
    assert_false(batch->has_publish);
    for (int64_t i = 0; i < 4; i++)
        keep(batch, i, parts[i][0], parts[i][1], parts[i][2]);
    assert_true(batch->has_publish);
    assert_int_equal(batch->record_count, 4);
    const struct batch_record *record = NULL;
    for (int64_t i = 0; i < 4; i++) {
        record = batch_next(batch, record);
        assert_non_null(record);
        assert_int_equal((uintptr_t)record % _Alignof(struct batch_record), 0);
        const struct sink_record out = batch_sink_record(batch, record);
        assert_int_equal(out.partition, 5);
        assert_int_equal(out.offset, i);
        assert_int_equal(out.timestamp_ms, -1);
        assert_null(out.headers);
        assert_is(out.key, parts[i][0]);
        assert_is(out.value, parts[i][1]);
        assert_is(out.text, parts[i][2]);
    }
    assert_null(batch_next(batch, record));
}

static void a_user_id_is_kept_only_for_a_record_without_a_key(void **state) {
    struct batch *batch = ((struct harness *)*state)->batch;
    keep(batch, 1, "key", "value", "user");
    assert_is(batch_sink_record(batch, batch_next(batch, NULL)).text, NULL);
}

static void a_rejected_record_keeps_why(void **state) {
    struct batch *batch = ((struct harness *)*state)->batch;
    const struct login login = {.reason = LOGIN_EMPTY, .detail = "no bytes"};
    const struct kafka_record record = {.offset = 3, .timestamp_ms = 1720622216000};
    batch_keep(batch, &record, &login);
    const struct sink_record out = batch_sink_record(batch, batch_next(batch, NULL));
    assert_int_equal(out.reason, LOGIN_EMPTY);
    assert_int_equal(out.timestamp_ms, 1720622216000);
    assert_is(out.key, NULL);
    assert_is(out.value, NULL);
    assert_is(out.text, "no bytes");
}

static struct slice value_of(const struct batch *batch, const struct batch_record *record) {
    return batch_sink_record(batch, record).value;
}

/* Memory for a few sums is used again; that for very many goes, or each batch would keep it. */
static void a_batch_at_home_keeps_little_memory_for_counts(void **state) {
    struct batch *batch = ((struct harness *)*state)->batch;
    const struct aggregates *aggregates = &((struct harness *)*state)->aggregates;
    batch->first_bytes = 64 << 10;
    const struct login few = login_of("ios", "PA", 7);
    batch_count(batch, SEED, aggregates, &few);
    const size_t little = batch_held_bytes(batch);
    assert_true(little > 0);
    batch_clear(batch);
    assert_int_equal(batch_held_bytes(batch), little);
    for (int i = 0; i < 1000; i++) {
        char value[16];
        snprintf(value, sizeof value, "v%d", i);
        const struct login many = login_of(value, value, 7);
        batch_count(batch, SEED, aggregates, &many);
    }
    assert_true(batch_held_bytes(batch) > batch->first_bytes);
    batch_clear(batch);
    assert_int_equal(batch_held_bytes(batch), 0);
    assert_int_equal(entries_of(batch), 0);
    batch_count(batch, SEED, aggregates, &few);
    assert_int_equal(count_of_text(batch, 0, "ios"), 1);
}

static void a_batch_grows_for_a_record_and_keeps_nothing_at_home(void **state) {
    struct batch *batch = ((struct harness *)*state)->batch;
    static char large[100 * BYTES];
    memset(large, 'x', sizeof large - 1);
    assert_int_equal(batch->record_capacity, 0);
    keep(batch, 7, "key", "first", NULL);
    assert_int_equal(batch->record_capacity, BYTES);
    keep(batch, 8, NULL, large, NULL);
    const struct batch_record *record = batch_next(batch, NULL);
    assert_is(value_of(batch, record), "first");
    assert_is(value_of(batch, batch_next(batch, record)), large);
    assert_true(batch->record_capacity > sizeof large);
    batch_clear(batch);
    assert_null(batch->records);
    assert_int_equal(batch->record_capacity, 0);
    assert_int_equal(batch_bytes(batch), 0);
    assert_null(batch_next(batch, NULL));
    keep(batch, 9, NULL, "again", NULL);
    assert_is(value_of(batch, batch_next(batch, NULL)), "again");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_accepted_record_counts_its_values_and_its_minute, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_rejected_record_counts_its_reason_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(records_are_kept_in_order_null_and_empty_told_apart, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_batch_at_home_keeps_little_memory_for_counts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_batch_grows_for_a_record_and_keeps_nothing_at_home,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_user_id_is_kept_only_for_a_record_without_a_key, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_rejected_record_keeps_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cleared_batch_has_counted_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
