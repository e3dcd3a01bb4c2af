/* kafka_stream: what it makes of what librdkafka hands it, one message after the other. What the
 * in-process cluster can show of it is in test_kafka_source.c. */
#include "edge/kafka_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "edge/kafka_private.h"
#include "logged.h"

enum { PARTITION = 3, MESSAGES_MAX = 64, LARGE = 1 << 20 };

static struct given {
    rd_kafka_resp_err_t err;
    int64_t offset;
    size_t length;
} given[MESSAGES_MAX];
static int given_count, next, single_count, destroyed_count, at_once, seek_error;
static bool is_yielded;

static rd_kafka_message_t message_of(const struct given *from) {
    static char value[LARGE];
    return (rd_kafka_message_t){.err = from->err,
                                .offset = from->offset,
                                .partition = PARTITION,
                                .payload = from->err == 0 ? value : NULL,
                                .len = from->length};
}

/* --- these stand in front of librdkafka's own ------------------------------------------------- */

int rd_kafka_consume_callback(rd_kafka_topic_t *topic, int32_t partition, int timeout_ms,
                              void (*consume)(rd_kafka_message_t *, void *), void *context) {
    (void)topic;
    assert_int_equal(partition, PARTITION);
    assert_int_equal(timeout_ms, 0);
    int count = 0;
    for (is_yielded = false; next < given_count && !is_yielded && count < at_once; count++) {
        rd_kafka_message_t message = message_of(&given[next++]);
        consume(&message, context);
    }
    return count;
}

rd_kafka_message_t *rd_kafka_consume_queue(rd_kafka_queue_t *queue, int timeout_ms) {
    static rd_kafka_message_t message;
    (void)queue;
    assert_int_equal(timeout_ms, 0);
    if (next == given_count) return NULL;
    message = message_of(&given[next++]);
    single_count++;
    return &message;
}

void rd_kafka_message_destroy(rd_kafka_message_t *message) {
    (void)message;
    destroyed_count++;
}

void rd_kafka_yield(rd_kafka_t *client) {
    (void)client;
    is_yielded = true;
}

rd_kafka_error_t *rd_kafka_seek_partitions(rd_kafka_t *client,
                                           rd_kafka_topic_partition_list_t *list, int timeout_ms) {
    (void)client;
    assert_int_equal(timeout_ms, 5000);
    assert_int_equal(list->elems[0].partition, PARTITION);
    assert_int_equal(list->elems[0].offset, 77);
    list->elems[0].err = seek_error == 1 ? RD_KAFKA_RESP_ERR__STATE : 0;
    return seek_error == 2 ? rd_kafka_error_new(RD_KAFKA_RESP_ERR__TIMED_OUT, "late") : NULL;
}

static int resumed;

static rd_kafka_resp_err_t watermark_error;
static int64_t watermark;

rd_kafka_resp_err_t rd_kafka_get_watermark_offsets(rd_kafka_t *client, const char *topic,
                                                   int32_t partition, int64_t *low, int64_t *high) {
    (void)client;
    assert_string_equal(topic, "logins");
    assert_int_equal(partition, PARTITION);
    *low = 7;
    *high = watermark;
    return watermark_error;
}

rd_kafka_resp_err_t rd_kafka_resume_partitions(rd_kafka_t *client,
                                               rd_kafka_topic_partition_list_t *list) {
    (void)client;
    resumed += list->cnt;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

int64_t rd_kafka_message_timestamp(const rd_kafka_message_t *message,
                                   rd_kafka_timestamp_type_t *type) {
    (void)message;
    if (type != NULL) *type = RD_KAFKA_TIMESTAMP_CREATE_TIME;
    return 5;
}

int32_t rd_kafka_message_leader_epoch(const rd_kafka_message_t *message) {
    (void)message;
    return -1;
}

/* --- around a test ---------------------------------------------------------------------------- */

static rd_kafka_t *client;
static atomic_bool is_stranded;
static struct kafka_stream *stream;
static char taken[1024];
static int wanted; /* take answers false behind so many */

static int begin(void **state) {
    char why[256];
    (void)state;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "group.id", "group", NULL, 0);
    client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (client == NULL) fail_msg("%s", why);
    given_count = next = single_count = destroyed_count = seek_error = resumed = 0;
    at_once = 4;
    wanted = MESSAGES_MAX;
    atomic_store(&is_stranded, false);
    stream = kafka_stream_open(client, "logins", PARTITION, &is_stranded);
    return 0;
}

static int end(void **state) {
    (void)state;
    kafka_stream_close(&stream);
    assert_null(stream);
    kafka_stream_close(&stream); /* none is fine */
    rd_kafka_destroy(client);
    return 0;
}

static bool take(void *context, const struct kafka_record *record) {
    const size_t length = strlen(taken);
    assert_ptr_equal(context, taken);
    snprintf(taken + length, sizeof taken - length, "%d ", (int)record->offset);
    return --wanted > 0;
}

static void give(rd_kafka_resp_err_t err, int64_t offset, size_t length) {
    given[given_count++] = (struct given){err, offset, length};
}

static void reads(enum stream_verdict verdict, const char *expected) {
    taken[0] = '\0';
    assert_int_equal(kafka_stream_read(stream, take, taken), verdict);
    assert_string_equal(taken, expected);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void records_are_lent_until_none_is_at_hand(void **state) {
    (void)state;
    reads(STREAM_NOTHING, "");
    for (int i = 0; i < 6; i++)
        give(0, 10 + i, 100);
    reads(STREAM_RECORDS, "10 11 12 13 14 15 ");
    reads(STREAM_NOTHING, "");
    assert_int_equal(single_count, 0);
    next = 0;
    at_once = 1;
    reads(STREAM_RECORDS, "10 11 12 13 14 15 ");
}

static void reading_ends_where_no_more_is_wanted(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++)
        give(0, 10 + i, 100);
    wanted = 2;
    reads(STREAM_RECORDS, "10 11 ");
    assert_int_equal(next, 2);
    wanted = MESSAGES_MAX;
    reads(STREAM_RECORDS, "12 13 14 15 ");
}

/* As soon as the last ones are large on the whole, until they are small again. */
static void large_records_are_taken_one_at_a_time(void **state) {
    (void)state;
    give(0, 10, 8 * (16 << 10)); /* a weight of one in eight: exactly large */
    reads(STREAM_RECORDS, "10 ");
    assert_int_equal(single_count, 0);
    give(0, 11, 8 * (16 << 10));
    give(0, 12, 8 * (16 << 10));
    reads(STREAM_RECORDS, "11 12 ");
    assert_int_equal(single_count, 2);
    assert_int_equal(destroyed_count, 2);
    reads(STREAM_NOTHING, "");
    for (int i = 0; i < 40; i++)
        give(0, 20 + i, 8);
    wanted = 40;
    taken[0] = '\0';
    assert_int_equal(kafka_stream_read(stream, take, taken), STREAM_RECORDS);
    assert_in_range(single_count, 8, 20);
    wanted = 1;
    give(0, 99, LARGE);
    reads(STREAM_RECORDS, "99 ");
    wanted = 1;
    give(0, 100, LARGE);
    give(0, 101, LARGE);
    reads(STREAM_RECORDS, "100 ");
}

static void the_end_that_was_reached_is_known_until_it_seeks(void **state) {
    struct error error = {""};
    (void)state;
    assert_int_equal(kafka_stream_reached(stream), -1);
    give(RD_KAFKA_RESP_ERR__PARTITION_EOF, 12, 0);
    give(0, 12, 100);
    reads(STREAM_RECORDS, "12 ");
    assert_int_equal(kafka_stream_reached(stream), 12);
    give(RD_KAFKA_RESP_ERR__PARTITION_EOF, 15, 0);
    reads(STREAM_NOTHING, "");
    assert_int_equal(kafka_stream_reached(stream), 15);
    assert_true(kafka_stream_seek(stream, 77, &error));
    assert_int_equal(kafka_stream_reached(stream), -1);
    assert_int_equal(resumed, 1);
}

static void the_end_of_the_log_is_what_a_fetch_has_seen(void **state) {
    (void)state;
    static const struct {
        rd_kafka_resp_err_t err;
        int64_t watermark, end;
    } rows[] = {{0, 12, 12},
                {0, 1, 1},
                {0, 0, 0},
                {0, RD_KAFKA_OFFSET_INVALID, -1},
                {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, 12, -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        watermark_error = rows[i].err;
        watermark = rows[i].watermark;
        assert_int_equal(kafka_stream_end(stream), rows[i].end);
    }
}

static void a_seek_that_fails_says_why(void **state) {
    static const char *const why[] = {NULL, "Local: Erroneous state", "Local: Timed out"};
    (void)state;
    for (seek_error = 1; seek_error <= 2; seek_error++) {
        struct error error = {""};
        char expected[128];
        snprintf(expected, sizeof expected, "cannot seek logins [3] to offset 77: %s",
                 why[seek_error]);
        assert_false(kafka_stream_seek(stream, 77, &error));
        assert_string_equal(error.text, expected);
        assert_int_equal(resumed, 0);
    }
}

/* What follows may come as if nothing had been skipped: so it must stay in the queue. */
static void what_cannot_be_read_ends_the_reading_and_is_logged(void **state) {
    static const rd_kafka_resp_err_t errors[] = {RD_KAFKA_RESP_ERR__BAD_MSG,
                                                 RD_KAFKA_RESP_ERR__BAD_COMPRESSION,
                                                 RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        char fields[128];
        const char *words = "Records cannot be read: the partition stands still until they can";
        begin(state);
        snprintf(fields, sizeof fields, "partition=3 offset=%zu reason=\"%s\"", 11 + i,
                 rd_kafka_err2str(errors[i]));
        give(0, 10, 100);
        give(errors[i], 11 + (int64_t)i, 0);
        give(0, 20, 100);
        reads(STREAM_UNREADABLE, "10 ");
        assert_int_equal(next, 2);
        assert_int_equal(logged_count(words, fields), 1);
        assert_false(atomic_load(&is_stranded));
        end(state);
    }
}

static void other_errors_are_logged_and_passed(void **state) {
    (void)state;
    static const struct {
        rd_kafka_resp_err_t err;
        bool is_stranded;
    } rows[] = {{RD_KAFKA_RESP_ERR__TRANSPORT, false},
                {RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char fields[128];
        snprintf(fields, sizeof fields, "partition=3 error=%s reason=\"%s\"",
                 rd_kafka_err2name(rows[i].err), rd_kafka_err2str(rows[i].err));
        give(rows[i].err, 11, 0);
        give(0, 20, 100);
        reads(STREAM_RECORDS, "20 ");
        assert_int_equal(logged_count("msg=\"Kafka partition\"", fields), 1);
        assert_int_equal(atomic_load(&is_stranded), rows[i].is_stranded);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(records_are_lent_until_none_is_at_hand),
        TEST(reading_ends_where_no_more_is_wanted),
        TEST(large_records_are_taken_one_at_a_time),
        TEST(the_end_that_was_reached_is_known_until_it_seeks),
        TEST(the_end_of_the_log_is_what_a_fetch_has_seen),
        TEST(a_seek_that_fails_says_why),
        cmocka_unit_test(what_cannot_be_read_ends_the_reading_and_is_logged),
        TEST(other_errors_are_logged_and_passed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
