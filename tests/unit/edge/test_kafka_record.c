#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "edge/kafka_private.h"

enum { LONG_MS = 20000, PIECE_MAX = 1 << 21 };

static const size_t LENGTHS[] = {1,    63,   64,    127,   128,     230,
                                 8191, 8192, 65535, 65536, 1 << 20, 1100000};
enum { LENGTHS_COUNT = sizeof LENGTHS / sizeof LENGTHS[0] };

/* Bytes with a message in them, as they come from a broker. */
struct piece {
    uint8_t *bytes;
    size_t count;
    rd_kafka_message_t message;
};

static void put(struct piece *piece, const void *bytes, size_t count) {
    assert_true(piece->count + count <= PIECE_MAX);
    memcpy(piece->bytes + piece->count, bytes, count);
    piece->count += count;
}

static void put_byte(struct piece *piece, int byte) {
    put(piece, &(uint8_t){(uint8_t)byte}, 1);
}

static void put_varint(struct piece *piece, int64_t number) {
    uint64_t rest = ((uint64_t)number << 1) ^ (uint64_t)(number >> 63);
    for (; rest > 0x7F; rest >>= 7)
        put_byte(piece, (int)(rest & 0x7F) | 0x80);
    put_byte(piece, (int)rest);
}

static void put_int32(struct piece *piece, int64_t number) {
    for (int shift = 24; shift >= 0; shift -= 8)
        put_byte(piece, (int)(number >> shift) & 0xFF);
}

/* Adds `length` bytes, which all have the value of `fill`, and answers where they are. */
static void *put_fill(struct piece *piece, size_t length, int fill) {
    void *at = piece->bytes + piece->count;
    assert_true(piece->count + length <= PIECE_MAX);
    memset(at, fill, length);
    piece->count += length;
    return at;
}

static struct piece open_piece(void) {
    return (struct piece){.bytes = calloc(1, PIECE_MAX)};
}

/* Ends it: what lies behind it is not to be looked at. */
static void close_piece(struct piece *piece) {
    free(piece->bytes);
}

/* A record of format 2; key_length -1: no key. */
static struct piece make_record(int64_t key_length, size_t length, int header_count) {
    struct piece piece = open_piece();
    put_byte(&piece, 0x7E); /* what is before it has been read */
    put_byte(&piece, 0);    /* attributes */
    put_varint(&piece, 3);
    put_varint(&piece, 4);
    put_varint(&piece, key_length);
    if (key_length >= 0) {
        piece.message.key = key_length == 0 ? (void *)"" : put_fill(&piece, (size_t)key_length, 0);
        piece.message.key_len = (size_t)key_length;
    }
    put_varint(&piece, (int64_t)length);
    piece.message.payload = put_fill(&piece, length, 0);
    piece.message.len = length;
    put_varint(&piece, header_count);
    return piece;
}

/* A message of format 1, and another one behind, whose offset begins with zeros. */
static struct piece make_old_message(int64_t key_length, size_t length) {
    struct piece piece = open_piece();
    put_fill(&piece, 26, 1);
    put_int32(&piece, key_length);
    if (key_length >= 0) {
        piece.message.key = put_fill(&piece, (size_t)key_length, 0);
        piece.message.key_len = (size_t)key_length;
    }
    put_int32(&piece, (int64_t)length);
    piece.message.payload = put_fill(&piece, length, 0);
    piece.message.len = length;
    put_fill(&piece, 8, 0);
    return piece;
}

static void a_record_without_headers_shows_it(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTHS_COUNT; i++) {
        for (int64_t key_length = -1; key_length < 200; key_length += 67) {
            struct piece piece = make_record(key_length, LENGTHS[i], 0);
            assert_true(kafka_record_shows_no_headers(&piece.message));
            const struct kafka_record record = {.message = &piece.message};
            assert_null(kafka_record_take_headers(&record));
            close_piece(&piece);
        }
    }
}

static void a_record_with_headers_never_seems_to_have_none(void **state) {
    (void)state;
    static const int counts[] = {1, 2, 64, 128, 8192, -1};
    for (size_t i = 0; i < LENGTHS_COUNT; i++) {
        for (int c = 0; c < 6; c++) {
            struct piece piece = make_record((int64_t)i - 1, LENGTHS[i], counts[c]);
            assert_false(kafka_record_shows_no_headers(&piece.message));
            close_piece(&piece);
        }
    }
}

static void a_message_of_an_old_format_does_not_show_it(void **state) {
    (void)state;
    for (size_t length = 1; length < PIECE_MAX - 64; length += length < 600 ? 1 : 1021) {
        for (int64_t key_length = -1; key_length < 2; key_length++) {
            struct piece piece = make_old_message(key_length, length);
            assert_false(kafka_record_shows_no_headers(&piece.message));
            close_piece(&piece);
        }
    }
}

static void a_value_or_key_kept_elsewhere_does_not_show_it(void **state) {
    (void)state;
    struct piece piece = make_record(5, 230, 0);
    rd_kafka_message_t *message = &piece.message;
    uint8_t *copy = calloc(1, 16 + 230 + 1);

    void *const payload = message->payload;
    message->payload = copy + 16;
    assert_false(kafka_record_shows_no_headers(message));
    memcpy(copy + 14, (uint8_t *)payload - 2, 2); /* even with its length before it */
    assert_false(kafka_record_shows_no_headers(message));
    message->key = NULL;
    assert_false(kafka_record_shows_no_headers(message));
    message->payload = payload;
    assert_false(kafka_record_shows_no_headers(message));
    message->key = copy;
    assert_false(kafka_record_shows_no_headers(message));
    close_piece(&piece);

    piece = make_record(-1, 0, 0); /* not looked at: librdkafka's empty value has no surroundings */
    assert_false(kafka_record_shows_no_headers(message));
    message->payload = NULL;
    assert_false(kafka_record_shows_no_headers(message));

    free(copy);
    close_piece(&piece);
}

static void conf_set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[256];
    assert_int_equal(rd_kafka_conf_set(conf, name, value, why, sizeof why), RD_KAFKA_CONF_OK);
}

static rd_kafka_t *make(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[256];
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof why);
    assert_non_null(client);
    return client;
}

/* Sends a record with so many headers. */
static void produce(rd_kafka_t *producer, bool has_key, size_t length, int header_count) {
    char *value = memset(malloc(length + 1), 'v', length + 1);
    rd_kafka_headers_t *headers = header_count == 0 ? NULL : rd_kafka_headers_new(2);
    for (int i = 0; i < header_count; i++)
        rd_kafka_header_add(headers, "name", -1, "x", 1);
    assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("t"), RD_KAFKA_V_PARTITION(0),
                                       RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                       RD_KAFKA_V_VALUE(value, length),
                                       RD_KAFKA_V_KEY(has_key ? "key" : NULL, has_key ? 3 : 0),
                                       RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    free(value);
}

static rd_kafka_t *open_consumer(const char *brokers) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    conf_set(conf, "bootstrap.servers", brokers);
    conf_set(conf, "group.id", "g");
    rd_kafka_t *consumer = make(RD_KAFKA_CONSUMER, conf);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "t", 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    assert_int_equal(rd_kafka_assign(consumer, list), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    return consumer;
}

/* librdkafka does lend records as they lie in the fetch, without which this would be of no use. */
static void what_librdkafka_lends_shows_it(void **state) {
    (void)state;
    static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    static const size_t lengths[] = {1, 63, 64, 230, 8191, 8192, 100000};
    enum { CODECS = 5, LENGTHS_SENT = 7, MADE = LENGTHS_SENT * 2 * 3 };
    for (int c = 0; c < CODECS; c++) {
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        conf_set(conf, "test.mock.num.brokers", "1");
        conf_set(conf, "bootstrap.servers", "mock"); /* the mock's own are put in its place */
        conf_set(conf, "compression.type", codecs[c]);
        conf_set(conf, "linger.ms", "50");
        rd_kafka_t *producer = make(RD_KAFKA_PRODUCER, conf);
        for (int i = 0; i < MADE; i++)
            produce(producer, i % 2 == 0, lengths[i % LENGTHS_SENT], i % 3);
        assert_int_equal(rd_kafka_flush(producer, LONG_MS), RD_KAFKA_RESP_ERR_NO_ERROR);

        rd_kafka_t *consumer =
            open_consumer(rd_kafka_mock_cluster_bootstraps(rd_kafka_handle_mock_cluster(producer)));
        for (int i = 0; i < MADE; i++) {
            rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, LONG_MS);
            assert_non_null(message);
            assert_int_equal(message->err, RD_KAFKA_RESP_ERR_NO_ERROR);
            assert_int_equal(message->len, lengths[i % LENGTHS_SENT]);
            assert_int_equal(kafka_record_shows_no_headers(message), i % 3 == 0);
            const struct kafka_record record = {.message = message};
            struct kafka_headers *headers = kafka_record_take_headers(&record);
            assert_int_equal(headers == NULL, i % 3 == 0);
            assert_int_equal(kafka_headers_bytes(headers), (i % 3) * 5);
            rd_kafka_message_destroy(message);
            kafka_headers_destroy(&headers);
            assert_null(headers);
        }
        rd_kafka_consumer_close(consumer);
        rd_kafka_destroy(consumer);
        rd_kafka_destroy(producer);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_without_headers_shows_it),
        cmocka_unit_test(a_record_with_headers_never_seems_to_have_none),
        cmocka_unit_test(a_message_of_an_old_format_does_not_show_it),
        cmocka_unit_test(a_value_or_key_kept_elsewhere_does_not_show_it),
        cmocka_unit_test(what_librdkafka_lends_shows_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
