/* kafka_sink and kafka_output against librdkafka's in-process cluster, which answers with the
 * errors it is told to. It has no real transactions: what is seen here is what we ask of Kafka and
 * what we make of its answers. */
#include "edge/kafka_sink.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "broker.h"
#include "edge/kafka_private.h"
#include "logged.h"
#include "newest.h"

enum { WAIT_MS = BROKER_WAIT_MS, SHORT_MS = 300, PARTITIONS = 2, TIMESTAMP = 17206 };

static struct broker broker;
static struct kafka_sink_settings settings;
static struct properties producer, consumer;
static struct kafka_source *source;
static struct kafka_sink *sink;
static struct error error;
static bool is_allowed;
static char joined[512]; /* the offsets that joined a transaction last */

/* Stands in front of librdkafka's own. The in-process cluster does not keep the offsets of
 * transactions: so what joined one is kept here, as text. */
rd_kafka_error_t *rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *client, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *metadata, int timeout_ms) {
    rd_kafka_error_t *(*real)(rd_kafka_t *, const rd_kafka_topic_partition_list_t *,
                              const rd_kafka_consumer_group_metadata_t *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_send_offsets_to_transaction");
    size_t length = 0;
    for (int i = 0; i < offsets->cnt; i++) {
        const rd_kafka_topic_partition_t *item = &offsets->elems[i];
        length += (size_t)snprintf(joined + length, sizeof joined - length, "%s[%d]=%lld(%.*s) ",
                                   item->topic, item->partition, (long long)item->offset,
                                   (int)item->metadata_size, (const char *)item->metadata);
    }
    return real(client, offsets, metadata, timeout_ms);
}

static bool may_commit(void *context) {
    (void)context;
    return is_allowed;
}

static void fail_next(int api, rd_kafka_resp_err_t code) {
    rd_kafka_mock_push_request_errors(broker.cluster, (int16_t)api, 1, code);
}

/* Joins the group: who is no member may not commit. */
static void join(struct alarm *alarm) {
    static struct kafka_source_settings of_source = {.group = "group", .topic = "logins"};
    const struct kafka_source_options options = {
        .settings = &of_source, .kafka = &broker.kafka, .consumer = &consumer};
    struct source_change change;
    source = kafka_source_create(&options, &error);
    if (source == NULL) fail_msg("%s", error.text);
    assert_true(kafka_source_subscribe(source, alarm, &error));
    const int64_t until_ms = clock_ms() + WAIT_MS;
    while (kafka_source_poll(source, &change, &error) != SOURCE_GIVEN) {
        assert_true(clock_ms() < until_ms);
        clock_sleep_ms(5);
    }
    kafka_source_answer(source);
}

static void make(enum kafka_sink_guarantee guarantee, size_t queue_bytes) {
    settings.guarantee = guarantee;
    const struct kafka_sink_options options = {.settings = &settings,
                                               .kafka = &broker.kafka,
                                               .producer = &producer,
                                               .transactional_id = "rollcall-1",
                                               .input_topic = "logins",
                                               .queue_bytes = queue_bytes};
    sink = kafka_sink_create(&options, &error);
    if (sink == NULL) fail_msg("%s", error.text);
}

static int begin(void **state) {
    static struct alarm alarm;
    (void)state;
    broker_start(&broker, 1);
    broker_topic(&broker, "logins", PARTITIONS);
    broker_topic(&broker, "out", PARTITIONS);
    broker_topic(&broker, "bad", PARTITIONS);
    settings = (struct kafka_sink_settings){.topic = "out", .rejected_topic = "bad"};
    is_allowed = true;
    error.text[0] = joined[0] = '\0';
    kafka_conf_put(&consumer, "session.timeout.ms", "6000");
    kafka_conf_put(&producer, "linger.ms", "5");
    join(&alarm);
    return 0;
}

static int end(void **state) {
    (void)state;
    kafka_sink_destroy(&sink);
    assert_null(sink);
    kafka_sink_destroy(&sink); /* none is fine */
    kafka_source_destroy(&source);
    kafka_conf_release(&producer);
    kafka_conf_release(&consumer);
    broker_stop(&broker);
    return 0;
}

/* A sink with a transaction open. */
static int begin_open(void **state) {
    begin(state);
    make(KAFKA_SINK_EXACTLY_ONCE, 1 << 20);
    assert_int_equal(kafka_sink_open(sink, WAIT_MS, &error), SINK_OK);
    assert_int_equal(kafka_sink_count_partitions(sink, source, WAIT_MS, &error), SINK_OK);
    assert_int_equal(kafka_sink_begin(sink, &error), SINK_OK);
    return 0;
}

static int begin_plain(void **state) {
    begin(state);
    make(KAFKA_SINK_AT_LEAST_ONCE, 1 << 20);
    assert_int_equal(kafka_sink_open(sink, WAIT_MS, &error), SINK_OK);
    assert_int_equal(kafka_sink_count_partitions(sink, source, WAIT_MS, &error), SINK_OK);
    assert_int_equal(kafka_sink_begin(sink, &error), SINK_OK);
    return 0;
}

static struct slice slice(const char *text) {
    return (struct slice){text, text == NULL ? 0 : strlen(text)};
}

static struct sink_record record_of(const char *key, const char *value) {
    return (struct sink_record){.partition = 1,
                                .offset = 7,
                                .timestamp_ms = TIMESTAMP,
                                .key = slice(key),
                                .value = slice(value),
                                .text = slice("user")};
}

static enum sink_verdict put(const struct sink_record *record) {
    return kafka_sink_send(sink, record, &error);
}

/* Sends it, and meets this answer; the sink knows. */
static void put_in_vain(const struct sink_record *record, rd_kafka_resp_err_t code) {
    fail_next(API_PRODUCE, code);
    assert_int_equal(put(record), SINK_OK);
    rd_kafka_flush(newest, WAIT_MS);
}

static enum sink_verdict commit_within(int timeout_ms) {
    const struct kafka_committed offsets[] = {{.partition = 1, .offset = 8, .origin = 3},
                                              {.partition = 0, .offset = 5, .origin = -1}};
    return kafka_sink_commit(sink, source, offsets, 2, may_commit, NULL, timeout_ms, &error);
}

static enum sink_verdict commit(void) {
    return commit_within(WAIT_MS);
}

static void is_ok(enum sink_verdict verdict) {
    if (verdict != SINK_OK) fail_msg("%d: %s", (int)verdict, error.text);
}

static void says(const char *text) {
    if (strstr(error.text, text) == NULL) fail_msg("\"%s\" lacks \"%s\"", error.text, text);
}

static void committed_are(int64_t first, int64_t second, int64_t second_origin) {
    struct kafka_committed items[] = {{.partition = 0}, {.partition = 1}};
    if (!kafka_source_committed(source, items, 2, WAIT_MS, &error)) fail_msg("%s", error.text);
    assert_int_equal(items[0].offset, first);
    assert_int_equal(items[0].origin, -1);
    assert_int_equal(items[1].offset, second);
    assert_int_equal(items[1].origin, second_origin);
}

static void offsets_joined(void) {
    assert_string_equal(joined, "logins[1]=8(origin=3) logins[0]=5() ");
    joined[0] = '\0';
}

static int count_headers(const rd_kafka_message_t *message) {
    rd_kafka_headers_t *headers = NULL;
    return rd_kafka_message_headers(message, &headers) == 0 ? (int)rd_kafka_header_cnt(headers) : 0;
}

static void header_is(const rd_kafka_message_t *message, const char *name, const char *text) {
    rd_kafka_headers_t *headers = NULL;
    const void *value = NULL;
    size_t bytes = 0;
    assert_int_equal(rd_kafka_message_headers(message, &headers), 0);
    assert_int_equal(rd_kafka_header_get_last(headers, name, &value, &bytes), 0);
    assert_int_equal(bytes, strlen(text));
    assert_memory_equal(value, text, bytes);
}

static void holds(const rd_kafka_message_t *message, const char *key, const char *value) {
    assert_int_equal(message->key_len, key == NULL ? 0 : strlen(key));
    assert_int_equal(message->key == NULL, key == NULL);
    if (key != NULL) assert_memory_equal(message->key, key, message->key_len);
    assert_int_equal(message->len, value == NULL ? 0 : strlen(value));
    assert_int_equal(message->payload == NULL, value == NULL);
    if (value != NULL) assert_memory_equal(message->payload, value, message->len);
    assert_int_equal(rd_kafka_message_timestamp(message, NULL), TIMESTAMP);
}

/* --- what is written -------------------------------------------------------------------------- */

static void look_as_it_came(const rd_kafka_message_t *message) {
    holds(message, "key", "value");
    assert_int_equal(count_headers(message), 1);
    header_is(message, "trace", "abc");
}

static void look_user(const rd_kafka_message_t *message) {
    holds(message, "user", "value");
    assert_int_equal(count_headers(message), 0);
}

static void look_null(const rd_kafka_message_t *message) {
    holds(message, "user", NULL);
}

static void an_accepted_record_goes_out_as_it_came(void **state) {
    (void)state;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    rd_kafka_header_add(headers, "trace", -1, "abc", 3);
    struct sink_record record = record_of("key", "value");
    record.headers = (const struct kafka_headers *)headers;
    is_ok(put(&record));
    rd_kafka_headers_destroy(headers); /* they were copied */
    record = record_of(NULL, "value");
    is_ok(put(&record));
    record = record_of(NULL, NULL);
    is_ok(put(&record));
    is_ok(commit());
    offsets_joined();
    assert_int_equal(broker_count(&broker, "out", 0), 0);
    assert_int_equal(broker_count(&broker, "out", 1), 3);
    broker_read(&broker, "out", 1, 0, look_as_it_came);
    broker_read(&broker, "out", 1, 1, look_user);
    broker_read(&broker, "out", 1, 2, look_null);
}

static void look_rejected(const rd_kafka_message_t *message) {
    holds(message, NULL, "value");
    assert_int_equal(count_headers(message), 6);
    header_is(message, "trace", "abc");
    header_is(message, "__rollcall.errors.reason", "bad_value");
    header_is(message, "__rollcall.errors.detail", "user");
    header_is(message, "__rollcall.errors.topic", "logins");
    header_is(message, "__rollcall.errors.partition", "1");
    header_is(message, "__rollcall.errors.offset", "7");
}

static void look_bare(const rd_kafka_message_t *message) {
    holds(message, "key", "value");
    assert_int_equal(count_headers(message), 5);
}

static void a_rejected_record_goes_out_with_the_reason(void **state) {
    (void)state;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    rd_kafka_header_add(headers, "trace", -1, "abc", 3);
    struct sink_record record = record_of(NULL, "value");
    record.reason = LOGIN_BAD_VALUE;
    record.headers = (const struct kafka_headers *)headers;
    is_ok(put(&record));
    rd_kafka_headers_destroy(headers);
    record = record_of("key", "value");
    record.reason = LOGIN_EMPTY;
    is_ok(put(&record));
    is_ok(commit());
    assert_int_equal(broker_count(&broker, "out", 1), 0);
    assert_int_equal(broker_count(&broker, "bad", 1), 2);
    broker_read(&broker, "bad", 1, 0, look_rejected);
    broker_read(&broker, "bad", 1, 1, look_bare);
}

static void without_a_topic_for_them_rejected_records_are_dropped(void **state) {
    begin(state);
    settings.rejected_topic = "";
    make(KAFKA_SINK_EXACTLY_ONCE, 1 << 20);
    is_ok(kafka_sink_open(sink, WAIT_MS, &error));
    is_ok(kafka_sink_count_partitions(sink, source, WAIT_MS, &error));
    is_ok(kafka_sink_begin(sink, &error));
    struct sink_record record = record_of("key", "value");
    record.reason = LOGIN_EMPTY;
    is_ok(put(&record));
    is_ok(commit());
    offsets_joined();
    assert_int_equal(broker_count(&broker, "bad", 1), 0);
}

/* Where the partitions differ in number, one key goes to one partition, wherever it came from. */
static void records_go_by_key_where_partitions_differ(void **state) {
    begin(state);
    broker_topic(&broker, "wide", 5);
    settings.topic = "wide";
    make(KAFKA_SINK_EXACTLY_ONCE, 1 << 20);
    is_ok(kafka_sink_open(sink, WAIT_MS, &error));
    is_ok(kafka_sink_count_partitions(sink, source, WAIT_MS, &error));
    is_ok(kafka_sink_begin(sink, &error));
    struct sink_record record = record_of("foobar", "value"); /* murmur2: 0x... % 5 */
    for (record.partition = 0; record.partition < 2; record.partition++)
        is_ok(put(&record));
    record.reason = LOGIN_EMPTY; /* that topic has as many as the input */
    record.partition = 0;
    is_ok(put(&record));
    is_ok(commit());
    int filled = 0;
    for (int p = 0; p < 5; p++) {
        const int count = broker_count(&broker, "wide", p);
        filled += count;
        assert_true(count == 0 || count == 2);
    }
    assert_int_equal(filled, 2);
    assert_int_equal(broker_count(&broker, "bad", 0), 1);
}

static void a_partition_that_the_output_lacks_asks_for_a_new_count(void **state) {
    (void)state;
    struct sink_record record = record_of("key", "value");
    is_ok(put(&record)); /* from here on the client knows the topic */
    is_ok(commit());
    is_ok(kafka_sink_begin(sink, &error));
    record.partition = PARTITIONS;
    assert_int_equal(put(&record), SINK_RECOUNT);
}

/* Records would go by key in the moment in which it comes back. */
static void a_topic_that_is_missing_is_not_one_that_differs(void **state) {
    begin(state);
    rd_kafka_mock_topic_set_error(broker.cluster, "gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    settings.rejected_topic = "gone";
    make(KAFKA_SINK_EXACTLY_ONCE, 1 << 20);
    is_ok(kafka_sink_open(sink, WAIT_MS, &error));
    assert_int_equal(kafka_sink_count_partitions(sink, source, WAIT_MS, &error), SINK_ABORT);
    says("topic gone does not exist; create the topic again, with as many partitions as the input");
    assert_int_equal(logged_count("differ in partitions", "gone"), 0);
}

static void a_full_queue_makes_room(void **state) {
    begin(state);
    make(KAFKA_SINK_EXACTLY_ONCE, 100 << 10); /* 100 messages */
    is_ok(kafka_sink_open(sink, WAIT_MS, &error));
    is_ok(kafka_sink_count_partitions(sink, source, WAIT_MS, &error));
    is_ok(kafka_sink_begin(sink, &error));
    const int64_t until_ms = clock_ms() + WAIT_MS;
    int full = 0;
    for (int i = 0; i < 250;) {
        const struct sink_record record = record_of("key", "value");
        const enum sink_verdict verdict = put(&record);
        if (verdict == SINK_FULL) {
            full++;
            kafka_sink_make_room(sink, SHORT_MS);
            assert_true(clock_ms() < until_ms);
            continue;
        }
        is_ok(verdict);
        i++;
    }
    assert_true(full > 0);
    is_ok(commit());
    assert_int_equal(broker_count(&broker, "out", 1), 250);
}

/* --- what is asked of the producer ------------------------------------------------------------ */

static void rollcalls_own_properties_are_set(void **state) {
    begin(state);
    kafka_conf_release(&producer);
    make(KAFKA_SINK_EXACTLY_ONCE, 300 << 10);
    has_property(newest, "enable.idempotence", "true");
    has_property(newest, "partitioner", "murmur2_random");
    has_property(newest, "transactional.id", "rollcall-1");
    has_property(newest, "queue.buffering.max.messages", "300");
    has_property(newest, "queue.buffering.max.kbytes", "300");
    has_property(newest, "topic.metadata.refresh.interval.ms", "10000");
    has_property(newest, "message.max.bytes", "100000000");
    has_property(newest, "connections.max.idle.ms", "15000");
    has_property(newest, "delivery.report.only.error", "true");
    has_property(newest, "batch.size", "1000000");
    has_property(newest, "linger.ms", "500");
    has_property(newest, "sticky.partitioning.linger.ms", "0");
    kafka_sink_destroy(&sink);
    kafka_conf_put(&producer, "linger.ms", "7");
    kafka_conf_put(&producer, "batch.size", "5000");
    make(KAFKA_SINK_AT_LEAST_ONCE, 64 << 20);
    has_property(newest, "transactional.id", "");
    has_property(newest, "queue.buffering.max.messages", "25000");
    has_property(newest, "queue.buffering.max.kbytes", "65536");
    has_property(newest, "linger.ms", "7");
    has_property(newest, "batch.size", "5000");
}

static void what_librdkafka_rejects_makes_no_sink(void **state) {
    begin(state);
    struct kafka_sink_options options = {.settings = &settings,
                                         .kafka = &broker.kafka,
                                         .producer = &producer,
                                         .transactional_id = "rollcall-1",
                                         .input_topic = "logins",
                                         .queue_bytes = 1 << 20};
    settings.guarantee = KAFKA_SINK_EXACTLY_ONCE;
    kafka_conf_put(&producer, "linger.ms", "-5");
    assert_null(kafka_sink_create(&options, &error)); /* when it is set */
    says("linger.ms");
    kafka_conf_put(&producer, "linger.ms", "5");
    kafka_conf_put(&producer, "message.timeout.ms", "900000");
    assert_null(kafka_sink_create(&options, &error)); /* when the client is made */
    says("transaction.timeout.ms");
    kafka_conf_put(&producer, "message.timeout.ms", "30000");
    char name[600] = "";
    memset(name, 'n', sizeof name - 1);
    settings.rejected_topic = name;
    assert_null(kafka_sink_create(&options, &error)); /* when half of it is there */
    says("cannot be written");
}

/* --- transactions ----------------------------------------------------------------------------- */

static void a_transaction_is_begun_filled_and_ended_once(void **state) {
    begin(state);
    rd_kafka_mock_start_request_tracking(broker.cluster);
    make(KAFKA_SINK_EXACTLY_ONCE, 1 << 20);
    is_ok(kafka_sink_open(sink, WAIT_MS, &error));
    is_ok(kafka_sink_count_partitions(sink, source, WAIT_MS, &error));
    for (int i = 0; i < 2; i++) {
        const struct sink_record record = record_of("key", "value");
        is_ok(kafka_sink_begin(sink, &error));
        is_ok(put(&record));
        is_ok(commit());
    }
    assert_int_equal(broker_requests(&broker, API_INIT_PRODUCER_ID), 1);
    assert_int_equal(broker_requests(&broker, API_ADD_OFFSETS), 2);
    assert_int_equal(broker_requests(&broker, API_TXN_OFFSET_COMMIT), 2);
    assert_int_equal(broker_requests(&broker, API_END_TRANSACTION), 2);
    assert_int_equal(broker_requests(&broker, API_OFFSET_COMMIT), 0);
}

/* An abort ends the transaction; the producer stays. A replacement is a new one. */
static void an_abort_keeps_the_producer(void **state) {
    (void)state;
    const struct sink_record record = record_of("key", "value");
    const rd_kafka_t *first = newest;
    is_ok(put(&record));
    rd_kafka_flush(newest, WAIT_MS);
    rd_kafka_mock_start_request_tracking(broker.cluster);
    is_ok(kafka_sink_abort(sink, WAIT_MS, &error));
    assert_int_equal(broker_requests(&broker, API_END_TRANSACTION), 1);
    assert_int_equal(broker_requests(&broker, API_TXN_OFFSET_COMMIT), 0);
    assert_int_equal(broker_requests(&broker, API_INIT_PRODUCER_ID), 0);
    assert_ptr_equal(newest, first);
    is_ok(kafka_sink_begin(sink, &error));
    is_ok(put(&record));
    is_ok(commit());
    offsets_joined();
    is_ok(kafka_sink_replace(sink, &error));
    is_ok(kafka_sink_open(sink, WAIT_MS, &error));
    assert_int_equal(broker_requests(&broker, API_INIT_PRODUCER_ID), 1);
    is_ok(kafka_sink_begin(sink, &error));
    is_ok(put(&record));
    is_ok(commit());
}

static void what_was_given_away_is_not_committed(void **state) {
    (void)state;
    const struct sink_record record = record_of("key", "value");
    is_ok(put(&record));
    is_allowed = false;
    assert_int_equal(commit(), SINK_ABORT);
    says("given away");
    is_ok(kafka_sink_abort(sink, WAIT_MS, &error));
    assert_string_equal(joined, "");
    is_allowed = true;
    is_ok(kafka_sink_begin(sink, &error));
    is_ok(put(&record));
    kafka_source_leave(source); /* now we are no member */
    assert_int_equal(commit(), SINK_ABORT);
}

struct answer {
    int api;
    rd_kafka_resp_err_t code;
    enum sink_verdict verdict;
    const char *says;
};

/* After a record that failed: the in-process cluster takes no more of that producer. */
static void begin_again(void) {
    is_ok(kafka_sink_replace(sink, &error));
    is_ok(kafka_sink_open(sink, WAIT_MS, &error));
    is_ok(kafka_sink_begin(sink, &error));
}

/* Which call meets the error: open, or commit. */
static void answers_become_verdicts(void **state) {
    static const struct answer answers[] = {
        {API_TXN_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, SINK_STOP,
         "add the ACL Read on the group"},
        {API_ADD_OFFSETS, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, SINK_STOP,
         "--transactional-id rollcall-1"},
        {API_ADD_OFFSETS, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, SINK_FENCED, "offsets"},
        {API_TXN_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, SINK_ABORT,
         "offsets cannot join the transaction"},
        {API_TXN_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, SINK_ABORT, "offsets"},
        {API_END_TRANSACTION, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, SINK_FENCED,
         "the transaction cannot be committed"},
        {API_END_TRANSACTION, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, SINK_REPLACE,
         "INVALID_TXN_STATE"},
    };
    begin(state);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const struct sink_record record = record_of("key", "value");
        make(KAFKA_SINK_EXACTLY_ONCE, 1 << 20);
        is_ok(kafka_sink_open(sink, WAIT_MS, &error));
        is_ok(kafka_sink_count_partitions(sink, source, WAIT_MS, &error));
        is_ok(kafka_sink_begin(sink, &error));
        is_ok(put(&record));
        fail_next(answers[i].api, answers[i].code);
        const enum sink_verdict verdict = commit();
        if (verdict != answers[i].verdict) fail_msg("%zu: %d, %s", i, (int)verdict, error.text);
        says(answers[i].says);
        kafka_sink_destroy(&sink);
    }
}

static void a_start_that_is_denied_names_the_right(void **state) {
    begin(state);
    make(KAFKA_SINK_EXACTLY_ONCE, 1 << 20);
    fail_next(API_INIT_PRODUCER_ID, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    assert_int_equal(kafka_sink_open(sink, WAIT_MS, &error), SINK_STOP);
    says("Kafka denies access: the transactional producer cannot start");
    says("--transactional-id rollcall-1");
    kafka_sink_destroy(&sink);
    make(KAFKA_SINK_EXACTLY_ONCE, 1 << 20);
    fail_next(API_INIT_PRODUCER_ID, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
    assert_int_equal(kafka_sink_open(sink, WAIT_MS, &error), SINK_STOP);
    says("Read topic logins, and to Write and Describe out and bad");
}

static void who_is_not_reached_is_asked_again(void **state) {
    begin(state);
    make(KAFKA_SINK_EXACTLY_ONCE, 1 << 20);
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    assert_int_equal(kafka_sink_open(sink, SHORT_MS, &error), SINK_RETRY);
    says("cannot start");
    assert_int_equal(kafka_sink_count_partitions(sink, source, SHORT_MS, &error), SINK_RETRY);
    rd_kafka_mock_broker_set_up(broker.cluster, 1);
    is_ok(kafka_sink_open(sink, WAIT_MS, &error));
}

/* A commit whose outcome is not known yet is called again, and then asks only for the end. */
static void a_commit_that_takes_too_long_is_called_again(void **state) {
    (void)state;
    const struct sink_record record = record_of("key", "value");
    is_ok(put(&record));
    rd_kafka_flush(newest, WAIT_MS);
    rd_kafka_mock_broker_push_request_error_rtts(broker.cluster, 1, API_END_TRANSACTION, 1, 0,
                                                 4 * SHORT_MS);
    rd_kafka_mock_start_request_tracking(broker.cluster);
    assert_int_equal(commit_within(2 * SHORT_MS), SINK_RETRY);
    is_allowed = false; /* is not asked any more */
    is_ok(commit());
    assert_int_equal(broker_requests(&broker, API_TXN_OFFSET_COMMIT), 1);
    offsets_joined();
}

/* --- records that are not taken --------------------------------------------------------------- */

static void a_record_that_is_not_delivered_aborts_and_is_explained(void **state) {
    (void)state;
    const struct sink_record record = record_of("key", "value");
    for (int i = 0; i < 3; i++) {
        put_in_vain(&record, RD_KAFKA_RESP_ERR_INVALID_RECORD);
        assert_int_equal(commit(), SINK_ABORT);
        says("a record was not delivered to topic out");
        assert_int_equal(logged_count("A record was not delivered", "error=INVALID_RECORD"), i + 1);
        is_ok(kafka_sink_abort(sink, WAIT_MS, &error));
        begin_again();
    }
    assert_int_equal(put(&record), SINK_STOP); /* the third time was the last */
    says("out or bad rejects a record that logins took");
}

static void a_success_forgets_earlier_refusals(void **state) {
    (void)state;
    const struct sink_record record = record_of("key", "value");
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++) {
            put_in_vain(&record, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP);
            assert_int_equal(commit(), SINK_ABORT);
            is_ok(kafka_sink_abort(sink, WAIT_MS, &error));
            begin_again();
        }
        is_ok(put(&record));
        is_ok(commit());
        is_ok(kafka_sink_begin(sink, &error));
    }
}

/* A small record that is too large shared its batch: the next producer makes half as large ones. */
static void a_batch_that_is_too_large_is_halved(void **state) {
    (void)state;
    const struct sink_record record = record_of("key", "value");
    put_in_vain(&record, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    assert_int_equal(commit(), SINK_ABORT);
    says("max.message.bytes");
    assert_int_equal(kafka_sink_abort(sink, WAIT_MS, &error), SINK_REPLACE);
    is_ok(kafka_sink_replace(sink, &error));
    has_property(newest, "batch.size", "500000");
    is_ok(kafka_sink_open(sink, WAIT_MS, &error));
    is_ok(kafka_sink_begin(sink, &error));
    is_ok(put(&record));
    is_ok(commit());
    is_ok(kafka_sink_replace(sink, &error));
    has_property(newest, "batch.size", "500000"); /* once */
}

enum { LARGE = 5000 };

static void look_small(const rd_kafka_message_t *message) {
    assert_int_equal(message->len, LARGE);
    assert_null(message->key);
}

static void look_headers_alone(const rd_kafka_message_t *message) {
    assert_null(message->payload);
    assert_null(message->key);
    assert_int_equal(count_headers(message), 5);
}

/* One that has a batch of its own goes again without what was added, and then not at all. */
static void a_record_that_is_too_large_is_sent_smaller(void **state) {
    begin(state);
    kafka_conf_put(&producer, "batch.size", "1000");
    make(KAFKA_SINK_EXACTLY_ONCE, 1 << 20);
    is_ok(kafka_sink_open(sink, WAIT_MS, &error));
    is_ok(kafka_sink_count_partitions(sink, source, WAIT_MS, &error));
    char value[LARGE + 1];
    memset(value, 'v', LARGE);
    value[LARGE] = '\0';
    struct sink_record record = record_of(NULL, value);
    struct sink_record rejected = record_of("key", value);
    rejected.reason = LOGIN_EMPTY;
    is_ok(kafka_sink_begin(sink, &error));
    for (int i = 0; i < 2; i++) {
        put_in_vain(i == 0 ? &record : &rejected, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
        assert_int_equal(commit(), SINK_ABORT);
        is_ok(kafka_sink_abort(sink, WAIT_MS, &error)); /* the producer is not to blame */
        begin_again();
    }
    is_ok(put(&record));
    is_ok(put(&rejected));
    for (int i = 0; i < 2; i++)
        assert_int_equal(logged_count("A record is too large to be published whole: key, or key "
                                      "and value, are left out",
                                      i == 0 ? "topic=out partition=1 offset=7 bytes=5000"
                                             : "topic=bad partition=1 offset=7 bytes=5000"),
                         1);
    is_ok(commit());
    broker_read(&broker, "out", 1, 0, look_small);
    broker_read(&broker, "bad", 1, 0, look_headers_alone);
    is_ok(kafka_sink_begin(sink, &error));
    put_in_vain(&record, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    assert_int_equal(commit(), SINK_ABORT);
    is_ok(kafka_sink_abort(sink, WAIT_MS, &error));
    begin_again();
    assert_int_equal(put(&record), SINK_STOP);
    says("logins [1] offset 7 has 5000 bytes, more than topic out takes");
    value[900] = '\0'; /* with its headers it is larger than a batch: again not the producer's */
    rejected.value = slice(value);
    put_in_vain(&rejected, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    assert_int_equal(commit(), SINK_ABORT);
    is_ok(kafka_sink_abort(sink, WAIT_MS, &error));
}

static void what_the_producer_rejects_is_explained(void **state) {
    begin(state);
    kafka_conf_put(&producer, "message.max.bytes", "1000");
    make(KAFKA_SINK_EXACTLY_ONCE, 1 << 20);
    is_ok(kafka_sink_open(sink, WAIT_MS, &error));
    is_ok(kafka_sink_begin(sink, &error));
    char value[LARGE + 1];
    memset(value, 'v', LARGE);
    value[LARGE] = '\0';
    const struct sink_record record = record_of("key", value);
    assert_int_equal(put(&record), SINK_ABORT);
    says("a record cannot be sent to topic out: Broker: Message size too large; raise its "
         "max.message.bytes");
}

static void a_dead_producer_takes_no_records(void **state) {
    (void)state;
    const struct sink_record record = record_of("key", "value");
    rd_kafka_test_fatal_error(newest, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "broken");
    assert_int_equal(put(&record), SINK_REPLACE);
    says("broken");
    is_ok(kafka_sink_replace(sink, &error));
    is_ok(kafka_sink_open(sink, WAIT_MS, &error));
    is_ok(kafka_sink_begin(sink, &error));
    rd_kafka_test_fatal_error(newest, RD_KAFKA_RESP_ERR__FENCED, "fenced");
    assert_int_equal(put(&record), SINK_FENCED);
}

static void each_failure_has_its_fix(void **state) {
    (void)state;
    assert_non_null(
        strstr(kafka_output_fix(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), "create the topic"));
    assert_non_null(strstr(kafka_output_fix(RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC), "create the topic"));
    assert_non_null(strstr(kafka_output_fix(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED), "ACLs"));
    assert_non_null(
        strstr(kafka_output_fix(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), "max.message.bytes"));
    static const rd_kafka_resp_err_t refusals[] = {RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
                                                   RD_KAFKA_RESP_ERR_INVALID_RECORD,
                                                   RD_KAFKA_RESP_ERR__INVALID_DIFFERENT_RECORD};
    for (int i = 0; i < 3; i++) {
        assert_true(kafka_output_is_refusal(refusals[i]));
        assert_non_null(strstr(kafka_output_fix(refusals[i]), "message.timestamp.before.max.ms"));
    }
    assert_non_null(strstr(kafka_output_fix(RD_KAFKA_RESP_ERR__TIMED_OUT), "logs"));
    assert_false(kafka_output_is_refusal(RD_KAFKA_RESP_ERR__TIMED_OUT));
}

/* --- at least once ---------------------------------------------------------------------------- */

static void at_least_once_commits_what_was_delivered(void **state) {
    (void)state;
    const struct sink_record record = record_of("key", "value");
    rd_kafka_mock_start_request_tracking(broker.cluster);
    is_ok(put(&record));
    is_ok(commit());
    committed_are(5, 8, 3);
    assert_int_equal(broker_count(&broker, "out", 1), 1);
    assert_int_equal(broker_requests(&broker, API_END_TRANSACTION), 0);
    assert_true(broker_requests(&broker, API_OFFSET_COMMIT) > 0);
}

static void at_least_once_commits_nothing_that_was_not_delivered(void **state) {
    (void)state;
    const struct sink_record record = record_of("key", "value");
    put_in_vain(&record, RD_KAFKA_RESP_ERR_INVALID_RECORD);
    assert_int_equal(commit(), SINK_ABORT);
    says("a record was not delivered to topic out");
    committed_are(-1, -1, -1);
    is_ok(kafka_sink_abort(sink, WAIT_MS, &error));
    is_ok(kafka_sink_begin(sink, &error));
    is_ok(put(&record));
    is_allowed = false;
    assert_int_equal(commit(), SINK_ABORT);
    says("given away");
    committed_are(-1, -1, -1);
    is_allowed = true;
    fail_next(API_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
    assert_int_equal(commit(), SINK_ABORT);
    says("offsets of group group cannot be committed");
}

static void at_least_once_waits_no_longer_than_it_may(void **state) {
    (void)state;
    const struct sink_record record = record_of("key", "value");
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    is_ok(put(&record));
    assert_int_equal(commit_within(SHORT_MS), SINK_RETRY);
    says("not delivered within 300 ms");
    is_ok(kafka_sink_abort(sink, WAIT_MS, &error));
    assert_int_equal(rd_kafka_outq_len(newest), 0); /* nothing is left to be reported */
    rd_kafka_mock_broker_set_up(broker.cluster, 1);
    is_ok(kafka_sink_begin(sink, &error));
    is_ok(commit()); /* nothing is left of it */
    assert_int_equal(broker_count(&broker, "out", 1), 0);
}

/* --- new certificates: only their name is new, since the brokers know no TLS ------------------ */

static void await_renewal(enum sink_renewal expected) {
    const int64_t until_ms = clock_ms() + WAIT_MS;
    while (kafka_sink_renewal(sink) != expected) {
        assert_true(clock_ms() < until_ms);
        clock_sleep_ms(5);
    }
}

static void a_producer_with_new_certificates_is_tried_first(void **state) {
    (void)state;
    const int before = client_count;
    assert_false(kafka_sink_renew(sink));
    assert_int_equal(kafka_sink_renewal(sink), SINK_RENEWAL_NONE);
    kafka_conf_put(&producer, "ssl.ca.location", "/dev/null");
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    assert_true(kafka_sink_renew(sink));
    has_property(newest, "ssl.ca.location", "/dev/null");
    assert_int_equal(kafka_sink_renewal(sink), SINK_RENEWAL_TRIED);
    assert_true(kafka_sink_renew(sink)); /* changed once more: one is tried, and no more */
    assert_int_equal(client_count, before + 1);
    rd_kafka_mock_broker_set_up(broker.cluster, 1);
    await_renewal(SINK_RENEWAL_DUE);
    assert_int_equal(client_count, before);
    is_ok(kafka_sink_abort(sink, WAIT_MS, &error));
    is_ok(kafka_sink_replace(sink, &error));
    assert_int_equal(client_count, before);
    assert_false(kafka_sink_renew(sink));
}

static void a_sink_that_ends_leaves_no_client_behind(void **state) {
    (void)state;
    const int before = client_count; /* its producer is one of them */
    kafka_conf_put(&producer, "ssl.ca.location", "/dev/null");
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    assert_true(kafka_sink_renew(sink));
    assert_int_equal(client_count, before + 1);
    kafka_sink_destroy(&sink);
    assert_int_equal(client_count, before - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_accepted_record_goes_out_as_it_came, begin_open, end),
        cmocka_unit_test_setup_teardown(a_rejected_record_goes_out_with_the_reason, begin_open,
                                        end),
        cmocka_unit_test_teardown(without_a_topic_for_them_rejected_records_are_dropped, end),
        cmocka_unit_test_teardown(records_go_by_key_where_partitions_differ, end),
        cmocka_unit_test_setup_teardown(a_partition_that_the_output_lacks_asks_for_a_new_count,
                                        begin_open, end),
        cmocka_unit_test_teardown(a_topic_that_is_missing_is_not_one_that_differs, end),
        cmocka_unit_test_teardown(a_full_queue_makes_room, end),
        cmocka_unit_test_teardown(rollcalls_own_properties_are_set, end),
        cmocka_unit_test_teardown(what_librdkafka_rejects_makes_no_sink, end),
        cmocka_unit_test_teardown(a_transaction_is_begun_filled_and_ended_once, end),
        cmocka_unit_test_setup_teardown(an_abort_keeps_the_producer, begin_open, end),
        cmocka_unit_test_setup_teardown(what_was_given_away_is_not_committed, begin_open, end),
        cmocka_unit_test_teardown(answers_become_verdicts, end),
        cmocka_unit_test_teardown(a_start_that_is_denied_names_the_right, end),
        cmocka_unit_test_teardown(who_is_not_reached_is_asked_again, end),
        cmocka_unit_test_setup_teardown(a_commit_that_takes_too_long_is_called_again, begin_open,
                                        end),
        cmocka_unit_test_setup_teardown(a_record_that_is_not_delivered_aborts_and_is_explained,
                                        begin_open, end),
        cmocka_unit_test_setup_teardown(a_success_forgets_earlier_refusals, begin_open, end),
        cmocka_unit_test_setup_teardown(a_batch_that_is_too_large_is_halved, begin_open, end),
        cmocka_unit_test_teardown(a_record_that_is_too_large_is_sent_smaller, end),
        cmocka_unit_test_teardown(what_the_producer_rejects_is_explained, end),
        cmocka_unit_test_setup_teardown(a_dead_producer_takes_no_records, begin_open, end),
        cmocka_unit_test(each_failure_has_its_fix),
        cmocka_unit_test_setup_teardown(at_least_once_commits_what_was_delivered, begin_plain, end),
        cmocka_unit_test_setup_teardown(at_least_once_commits_nothing_that_was_not_delivered,
                                        begin_plain, end),
        cmocka_unit_test_setup_teardown(at_least_once_waits_no_longer_than_it_may, begin_plain,
                                        end),
        cmocka_unit_test_setup_teardown(a_producer_with_new_certificates_is_tried_first, begin_open,
                                        end),
        cmocka_unit_test_setup_teardown(a_sink_that_ends_leaves_no_client_behind, begin_plain, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
