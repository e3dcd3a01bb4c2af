/* kafka_source, kafka_stream and the group's offsets against librdkafka's in-process cluster. */
#include "edge/kafka_source.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "broker.h"
#include "edge/kafka_private.h"
#include "logged.h"

enum { WAIT_MS = BROKER_WAIT_MS, SHORT_MS = 300, PARTITIONS = 3, TIMESTAMP_MS = 1000 };

static struct broker broker;
static struct kafka_source_settings settings = {.group = "group", .topic = "logins"};
static struct properties consumer;
static struct error error;
static struct alarm alarms[2];
static struct kafka_source *sources[2];
static struct kafka_stream *streams[PARTITIONS]; /* of the first source */
static rd_kafka_t *newest;                       /* the client that was made last */

/* Stands in front of librdkafka's own. */
rd_kafka_t *rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t bytes) {
    rd_kafka_t *(*real)(rd_kafka_type_t, rd_kafka_conf_t *, char *, size_t);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_new");
    return newest = real(type, conf, text, bytes);
}

static int32_t generation; /* of the group, as the client knows it; -1: as it says */

int32_t
rd_kafka_consumer_group_metadata_generation_id(const rd_kafka_consumer_group_metadata_t *metadata) {
    int32_t (*real)(const rd_kafka_consumer_group_metadata_t *);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_consumer_group_metadata_generation_id");
    return generation >= 0 ? generation : real(metadata);
}

static int errors_to_come; /* instead of what the consumer has */
static rd_kafka_message_t an_error = {.err = RD_KAFKA_RESP_ERR__TRANSPORT};

rd_kafka_message_t *rd_kafka_consumer_poll(rd_kafka_t *client, int timeout_ms) {
    rd_kafka_message_t *(*real)(rd_kafka_t *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_consumer_poll");
    if (errors_to_come == 0) return real(client, timeout_ms);
    errors_to_come--;
    return &an_error;
}

void rd_kafka_message_destroy(rd_kafka_message_t *message) {
    void (*real)(rd_kafka_message_t *);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_message_destroy");
    if (message != &an_error) real(message);
}

static atomic_int lists_asked, partitions_asked_alone, longest_list;

rd_kafka_resp_err_t rd_kafka_offsets_for_times(rd_kafka_t *client,
                                               rd_kafka_topic_partition_list_t *list,
                                               int timeout_ms) {
    rd_kafka_resp_err_t (*real)(rd_kafka_t *, rd_kafka_topic_partition_list_t *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_offsets_for_times");
    atomic_fetch_add(&lists_asked, 1); /* one after the other */
    if (list->cnt > longest_list) longest_list = list->cnt;
    return real(client, list, timeout_ms);
}

rd_kafka_resp_err_t rd_kafka_query_watermark_offsets(rd_kafka_t *client, const char *topic,
                                                     int32_t partition, int64_t *low, int64_t *high,
                                                     int timeout_ms) {
    rd_kafka_resp_err_t (*real)(rd_kafka_t *, const char *, int32_t, int64_t *, int64_t *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_query_watermark_offsets");
    atomic_fetch_add(&partitions_asked_alone, 1);
    return real(client, topic, partition, low, high, timeout_ms);
}

static int begin(void **state) {
    (void)state;
    lists_asked = partitions_asked_alone = longest_list = 0;
    broker_start(&broker, 1);
    broker_topic(&broker, "logins", PARTITIONS);
    kafka_conf_put(&consumer, "session.timeout.ms", "6000");
    kafka_conf_put(&consumer, "heartbeat.interval.ms", "100");
    error.text[0] = '\0';
    generation = -1;
    memset(alarms, 0, sizeof alarms);
    return 0;
}

static void close_streams(void) {
    for (int p = 0; p < PARTITIONS; p++)
        kafka_stream_close(&streams[p]);
}

static int end(void **state) {
    (void)state;
    close_streams();
    for (int s = 0; s < 2; s++) {
        kafka_source_destroy(&sources[s]);
        assert_null(sources[s]);
    }
    kafka_conf_release(&consumer);
    broker_stop(&broker);
    return 0;
}

static struct kafka_source *create(const char *static_id, size_t queue_bytes, int partitions) {
    const struct kafka_source_options options = {.settings = &settings,
                                                 .kafka = &broker.kafka,
                                                 .consumer = &consumer,
                                                 .static_id = static_id,
                                                 .queue_bytes = queue_bytes,
                                                 .partition_count = partitions};
    struct kafka_source *source = kafka_source_create(&options, &error);
    if (source == NULL) fail_msg("%s", error.text);
    return source;
}

static void join(int s) {
    sources[s] = create(NULL, 10 << 20, PARTITIONS);
    assert_false(kafka_source_is_joined(sources[s]));
    if (!kafka_source_subscribe(sources[s], &alarms[s], &error)) fail_msg("%s", error.text);
}

/* Sleeps until the alarm rings, or for a moment: what is late fails the test in the end. */
static void doze(struct alarm *alarm) {
    alarm_wait(alarm, clock_ms() + 50);
}

/* Polls source s until something happens. */
static struct source_change await(int s, enum source_event expected) {
    const int64_t until_ms = clock_ms() + WAIT_MS;
    struct source_change change;
    for (;;) {
        alarm_arm(&alarms[s]);
        const enum source_event event = kafka_source_poll(sources[s], &change, &error);
        if (event == expected) return change;
        if (event != SOURCE_QUIET) fail_msg("%d: %s", (int)event, error.text);
        if (clock_ms() > until_ms) fail_msg("event %d does not come", (int)expected);
        doze(&alarms[s]);
    }
}

enum { NOWHERE = -1 };

/* Takes the streams of an assignment of the first source, to be read from this offset on. */
static void take(struct source_change change, int64_t offset) {
    int32_t taken_here[PARTITIONS];
    const size_t count = change.count;
    assert_true(count <= PARTITIONS);
    for (size_t i = 0; i < change.count; i++) {
        const int32_t p = change.items[i].partition;
        assert_in_range(p, 0, PARTITIONS - 1);
        assert_null(streams[p]);
        streams[p] = change.items[i].stream;
        change.items[i].stream = NULL;
        taken_here[i] = p;
    }
    kafka_source_answer(sources[0]);
    for (size_t i = 0; offset != NOWHERE && i < count; i++) {
        if (!kafka_stream_seek(streams[taken_here[i]], offset, &error)) fail_msg("%s", error.text);
    }
}

/* The first source, alone, with all partitions. */
static int begin_joined(void **state) {
    begin(state);
    join(0);
    const struct source_change change = await(0, SOURCE_GIVEN);
    assert_int_equal(change.count, PARTITIONS);
    take(change, 0);
    return 0;
}

/* --- records ---------------------------------------------------------------------------------- */

static int64_t first_offset, last_offset;
static int taken, takes_at_most;

static bool take_record(void *context, const struct kafka_record *record) {
    assert_ptr_equal(context, &taken);
    assert_int_equal(record->key.length, 3);
    assert_memory_equal(record->key.bytes, "key", 3);
    assert_memory_equal(record->value.bytes, "value", record->value.length);
    assert_int_equal(record->value.length, 5);
    assert_true(record->timestamp_ms == 1720622216000);
    assert_non_null(record->message);
    if (taken == 0) first_offset = record->offset;
    assert_true(taken == 0 || record->offset == last_offset + 1);
    last_offset = record->offset;
    return ++taken < takes_at_most;
}

/* Reads this many of a partition, as they come. */
static void read_records(int p, int count) {
    const int64_t until_ms = clock_ms() + WAIT_MS;
    struct alarm alarm = {0};
    kafka_stream_watch(streams[p], &alarm);
    taken = 0;
    takes_at_most = count;
    while (taken < count) {
        alarm_arm(&alarm);
        const enum stream_verdict verdict = kafka_stream_read(streams[p], take_record, &taken);
        assert_int_not_equal(verdict, STREAM_UNREADABLE);
        if (verdict == STREAM_NOTHING) doze(&alarm);
        if (clock_ms() > until_ms) fail_msg("%d of %d records came", taken, count);
    }
    kafka_stream_watch(streams[p], NULL);
}

static void records_come_in_order_from_where_they_are_asked_for(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++)
        broker_write(&broker, "logins", 1, "value");
    read_records(1, 2);
    assert_int_equal(first_offset, 0);
    read_records(1, 4); /* what was not wanted stayed */
    assert_int_equal(first_offset, 2);
    assert_int_equal(kafka_stream_end(streams[1]), 6);
    assert_int_equal(kafka_stream_read(streams[1], take_record, &taken), STREAM_NOTHING);
    if (!kafka_stream_seek(streams[1], 3, &error)) fail_msg("%s", error.text);
    read_records(1, 3);
    assert_int_equal(first_offset, 3);
    assert_int_equal(kafka_stream_read(streams[0], take_record, &taken), STREAM_NOTHING);
}

static void nothing_is_read_from_nowhere_before_a_seek(void **state) {
    begin(state);
    broker_write(&broker, "logins", 0, "value");
    broker_write(&broker, "logins", 0, "value");
    broker_write(&broker, "logins", 1, "value");
    join(0);
    take(await(0, SOURCE_GIVEN), NOWHERE);
    if (!kafka_stream_seek(streams[1], 0, &error)) fail_msg("%s", error.text);
    read_records(1, 1); /* by then the other one would have come */
    assert_int_equal(kafka_stream_read(streams[0], take_record, &taken), STREAM_NOTHING);
    if (!kafka_stream_seek(streams[0], 1, &error)) fail_msg("%s", error.text);
    read_records(0, 1);
    assert_int_equal(first_offset, 1);
}

static void an_end_that_was_not_seen_is_not_known(void **state) {
    begin(state);
    join(0);
    take(await(0, SOURCE_GIVEN), NOWHERE);
    assert_int_equal(kafka_stream_end(streams[0]), -1);
}

static void a_seek_that_fails_is_an_error(void **state) {
    (void)state;
    kafka_source_leave(sources[0]);
    assert_false(kafka_stream_seek(streams[1], 3, &error));
    assert_non_null(strstr(error.text, "cannot seek logins [1] to offset 3"));
}

/* --- the group -------------------------------------------------------------------------------- */

static void a_change_is_reported_once_and_waits_for_its_answer(void **state) {
    begin(state);
    join(0);
    struct source_change change = await(0, SOURCE_GIVEN);
    assert_int_equal(change.count, PARTITIONS);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(kafka_source_poll(sources[0], &change, &error), SOURCE_QUIET);
        assert_false(kafka_source_is_joined(sources[0]));
        assert_int_equal(rd_kafka_assignment_lost(newest), 0);
        clock_sleep_ms(5);
    }
    rd_kafka_topic_partition_list_t *list = NULL;
    assert_int_equal(rd_kafka_assignment(newest, &list), 0);
    assert_int_equal(list->cnt, 0);
    rd_kafka_topic_partition_list_destroy(list);
    take(change, 0);
    assert_true(kafka_source_is_joined(sources[0]));
    assert_true(kafka_source_is_same_member(sources[0]));
    assert_int_equal(rd_kafka_assignment(newest, &list), 0);
    assert_int_equal(list->cnt, PARTITIONS);
    rd_kafka_topic_partition_list_destroy(list);
}

static void streams_that_are_not_taken_are_closed(void **state) {
    begin(state);
    join(0);
    await(0, SOURCE_GIVEN);
    kafka_source_answer(sources[0]); /* a sanitizer sees what is left */
}

/* Cooperative: only what moves is taken, and given once the other side has answered. */
static void a_second_member_is_given_what_the_first_gives_up(void **state) {
    (void)state;
    join(1);
    struct source_change change = await(0, SOURCE_TAKEN);
    assert_true(change.count > 0 && change.count < PARTITIONS);
    const size_t moved = change.count;
    assert_true(kafka_source_is_same_member(sources[0]));
    for (size_t i = 0; i < moved; i++) {
        assert_null(change.items[i].stream);
        kafka_stream_close(&streams[change.items[i].partition]);
    }
    kafka_source_answer(sources[0]);
    assert_true(kafka_source_is_joined(sources[0]));
    const int64_t until_ms = clock_ms() + WAIT_MS;
    size_t given = 0;
    while (given < moved) { /* the second may first be given nothing */
        struct source_change other;
        if (kafka_source_poll(sources[1], &other, &error) == SOURCE_GIVEN) {
            given += other.count;
            kafka_source_answer(sources[1]);
        }
        enum source_event event = kafka_source_poll(sources[0], &other, &error);
        if (event == SOURCE_GIVEN) {
            assert_int_equal(other.count, 0);
            kafka_source_answer(sources[0]);
        } else {
            assert_int_equal(event, SOURCE_QUIET);
        }
        if (clock_ms() > until_ms) fail_msg("%zu of %zu were given", given, moved);
        clock_sleep_ms(5);
    }
    assert_int_equal(given, moved);
    assert_int_equal(logged_count("Kafka rebalance failed", ""), 0);
}

static void who_left_is_no_member(void **state) {
    (void)state;
    close_streams();
    kafka_source_leave(sources[0]);
    assert_false(kafka_source_is_joined(sources[0]));
    assert_false(kafka_source_is_same_member(sources[0]));
    kafka_source_leave(sources[0]); /* once more is fine */
    join(1);                        /* its successor need not wait for a session to end */
    assert_int_equal(await(1, SOURCE_GIVEN).count, PARTITIONS);
}

static void a_change_that_was_not_answered_is_answered_by_leaving(void **state) {
    begin(state);
    join(0);
    await(0, SOURCE_GIVEN);
    kafka_source_leave(sources[0]);
    struct source_change change;
    assert_int_equal(kafka_source_poll(sources[0], &change, &error), SOURCE_QUIET);
}

static void fence(void) {
    rd_kafka_test_fatal_error(newest, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, "fenced");
}

static void a_twin_with_the_same_id_is_named(void **state) {
    begin(state);
    sources[0] = create("twin", 10 << 20, PARTITIONS);
    has_property(newest, "group.instance.id", "twin");
    assert_true(kafka_source_subscribe(sources[0], &alarms[0], &error));
    fence();
    await(0, SOURCE_FAILED);
    assert_non_null(strstr(error.text, "same instance.id \"twin\" in group group"));
    assert_non_null(strstr(error.text, "fenced"));
}

/* A twin takes the id from a member that has partitions and does not know better. */
static void a_member_is_shut_out_by_a_twin(void **state) {
    begin(state);
    sources[0] = create("twin", 10 << 20, PARTITIONS);
    assert_true(kafka_source_subscribe(sources[0], &alarms[0], &error));
    take(await(0, SOURCE_GIVEN), 0);
    fence();
    await(0, SOURCE_FAILED);
    assert_non_null(strstr(error.text, "same instance.id \"twin\" in group group"));
}

/* Its former self: a request with the id of before. It joins once more, with a new consumer. */
static void a_member_on_its_way_back_is_shut_out_by_itself(void **state) {
    begin(state);
    sources[0] = create("twin", 10 << 20, PARTITIONS);
    assert_true(kafka_source_subscribe(sources[0], &alarms[0], &error));
    take(await(0, SOURCE_GIVEN), 0);
    const rd_kafka_t *first = newest;
    rd_kafka_mock_push_request_errors(broker.cluster, API_HEARTBEAT, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    assert_int_equal(await(0, SOURCE_LOST).count, PARTITIONS);
    fence();
    close_streams();
    kafka_source_answer(sources[0]);
    take(await(0, SOURCE_GIVEN), 0);
    assert_ptr_not_equal(newest, first);
    assert_true(kafka_source_is_joined(sources[0]));
}

static void who_is_denied_is_told_what_to_allow(void **state) {
    begin(state);
    rd_kafka_mock_push_request_errors(broker.cluster, API_JOIN_GROUP, 1,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    join(0);
    await(0, SOURCE_FAILED);
    assert_non_null(strstr(error.text, "Kafka denies access"));
    assert_non_null(strstr(error.text, "allow READ on topic logins and group group"));
}

static void an_unknown_member_has_lost_everything(void **state) {
    (void)state;
    rd_kafka_mock_push_request_errors(broker.cluster, API_HEARTBEAT, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    const struct source_change change = await(0, SOURCE_LOST);
    assert_int_equal(change.count, PARTITIONS);
    assert_false(kafka_source_is_joined(sources[0]));
    close_streams();
    kafka_source_answer(sources[0]);
    take(await(0, SOURCE_GIVEN), 0);
    assert_true(kafka_source_is_joined(sources[0]));
}

/* A position that is no longer in the log: a new assignment revives the partition. */
static void a_stranded_partition_makes_the_member_join_again(void **state) {
    begin(state);
    join(0);
    take(await(0, SOURCE_GIVEN), 1000); /* there is nothing */
    const int64_t began_ms = clock_ms(), until_ms = began_ms + WAIT_MS;
    struct source_change change;
    enum source_event event = SOURCE_QUIET;
    while (event == SOURCE_QUIET) {
        assert_true(clock_ms() < until_ms);
        for (int p = 0; p < PARTITIONS; p++)
            kafka_stream_read(streams[p], take_record, &taken);
        event = kafka_source_poll(sources[0], &change, &error);
        clock_sleep_ms(10);
    }
    assert_int_equal(event, SOURCE_TAKEN);
    assert_int_equal(change.count, PARTITIONS);
    assert_true(clock_ms() >= began_ms + 4900); /* it is not for nothing that it waits */
    close_streams();
    kafka_source_answer(sources[0]);
    take(await(0, SOURCE_GIVEN), 0);
    broker_write(&broker, "logins", 1, "value");
    read_records(1, 1);
}

/* --- offsets ---------------------------------------------------------------------------------- */

static void committed_offsets_keep_their_origin(void **state) {
    (void)state;
    struct kafka_committed items[] = {{.partition = 2, .offset = 77, .origin = 5},
                                      {.partition = 0, .offset = 9, .origin = -1},
                                      {.partition = 1, .offset = 0, .origin = 0}};
    struct kafka_committed found[] = {{.partition = 0}, {.partition = 1}, {.partition = 2}};
    assert_true(kafka_source_committed(sources[0], found, 3, WAIT_MS, &error));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(found[i].offset, -1);
        assert_int_equal(found[i].origin, -1);
    }
    if (!kafka_source_commit(sources[0], items, 3, WAIT_MS, &error)) fail_msg("%s", error.text);
    if (!kafka_source_committed(sources[0], found, 3, WAIT_MS, &error)) fail_msg("%s", error.text);
    assert_int_equal(found[0].offset, 9);
    assert_int_equal(found[0].origin, -1);
    assert_int_equal(found[1].offset, 0);
    assert_int_equal(found[1].origin, 0);
    assert_int_equal(found[2].offset, 77);
    assert_int_equal(found[2].origin, 5);
}

/* What others have written into the metadata. */
static void metadata_of_others_is_no_origin(void **state) {
    (void)state;
    static const struct {
        const char *metadata;
        int64_t origin;
    } cases[] = {{"", -1},
                 {"origin=", -1},
                 {"origin", -1},
                 {"Origin=5", -1},
                 {"origin=5", 5},
                 {"origin=1234567890123456789", 1234567890123456789},
                 {"origin=1234567890123456789012345678901", INT64_MAX},
                 {"lineage=0:9:3@5", -1},
                 {"origin=5 lineage=0:99:3@5,8@70", 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_t *item = rd_kafka_topic_partition_list_add(list, "logins", 0);
        item->offset = 3;
        item->metadata_size = strlen(cases[i].metadata);
        item->metadata = strdup(cases[i].metadata);
        rd_kafka_t *client = kafka_source_borrow(sources[0]);
        assert_int_equal(rd_kafka_commit(client, list, 0), 0);
        kafka_source_return(sources[0]);
        rd_kafka_topic_partition_list_destroy(list);
        struct kafka_committed found = {.partition = 0};
        assert_true(kafka_source_committed(sources[0], &found, 1, WAIT_MS, &error));
        assert_int_equal(found.offset, 3);
        if (found.origin != cases[i].origin)
            fail_msg("\"%s\": %lld", cases[i].metadata, (long long)found.origin);
        const bool has_lineage = strstr(cases[i].metadata, "lineage=") != NULL;
        assert_int_equal(found.lineage.count > 0, has_lineage);
    }
}

static void what_kafka_does_not_answer_is_an_error(void **state) {
    (void)state;
    int64_t from, to;
    struct kafka_committed item = {.partition = 0, .offset = 3, .origin = 1};
    rd_kafka_mock_push_request_errors(broker.cluster, API_OFFSET_COMMIT, 1,
                                      RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
    assert_false(kafka_source_commit(sources[0], &item, 1, WAIT_MS, &error));
    assert_non_null(strstr(error.text, "offsets of group group cannot be committed"));
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    const int64_t began_ms = clock_ms();
    assert_false(kafka_source_commit(sources[0], &item, 1, SHORT_MS, &error));
    assert_false(kafka_source_committed(sources[0], &item, 1, SHORT_MS, &error));
    assert_non_null(strstr(error.text, "offsets of group group cannot be read"));
    assert_false(kafka_source_bounds(sources[0], 1, &from, &to, SHORT_MS, &error));
    assert_non_null(strstr(error.text, "the bounds of logins [1] cannot be read"));
    assert_true(clock_ms() < began_ms + 20 * SHORT_MS);
    rd_kafka_mock_broker_set_up(broker.cluster, 1);
}

static void the_logs_bounds_are_those_of_the_partition(void **state) {
    (void)state;
    int64_t from = -7, to = -7;
    broker_write(&broker, "logins", 2, "value");
    broker_write(&broker, "logins", 2, "value");
    if (!kafka_source_bounds(sources[0], 2, &from, &to, WAIT_MS, &error))
        fail_msg("%s", error.text);
    assert_int_equal(from, 0);
    assert_int_equal(to, 2);
    assert_true(kafka_source_bounds(sources[0], 1, &from, &to, WAIT_MS, &error));
    assert_int_equal(to, 0);
}

/* Here they only have another name: the brokers know no TLS. */
static void a_consumer_with_new_certificates_takes_over_in_order(void **state) {
    (void)state;
    rd_kafka_t *const first = newest;
    assert_false(kafka_source_renew(sources[0]));
    kafka_conf_put(&consumer, "ssl.ca.location", "/dev/null");
    assert_true(kafka_source_renew(sources[0]));
    assert_ptr_not_equal(newest, first); /* tried by a client of its own */
    const struct source_change change = await(0, SOURCE_TAKEN);
    assert_int_equal(change.count, PARTITIONS);
    assert_true(kafka_source_is_same_member(sources[0])); /* what is in hand can be committed */
    close_streams();
    kafka_source_answer(sources[0]);
    take(await(0, SOURCE_GIVEN), 0);
    broker_write(&broker, "logins", 1, "value");
    read_records(1, 1);
    assert_false(kafka_source_renew(sources[0]));
}

enum { MANY_ASK = 64 };

struct asker {
    pthread_t thread;
    int32_t partition;
    int timeout_ms;
    enum source_bounds_verdict verdict;
    int64_t begin, end;
};

static void *ask(void *context) {
    struct asker *asker = context;
    struct error why;
    asker->verdict = kafka_source_ask_bounds(sources[0], asker->partition, &asker->begin,
                                             &asker->end, asker->timeout_ms, &why);
    return NULL;
}

static void ask_all(struct asker askers[MANY_ASK], int32_t partitions, int timeout_ms) {
    for (int32_t i = 0; i < MANY_ASK; i++) {
        askers[i] = (struct asker){.partition = i % partitions, .timeout_ms = timeout_ms};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < MANY_ASK; i++)
        pthread_join(askers[i].thread, NULL);
}

/* Also where several threads ask for the same one. */
static void who_asks_together_gets_the_bounds_of_its_own_partition(void **state) {
    (void)state;
    struct asker askers[MANY_ASK];
    for (int i = 0; i < 3; i++)
        broker_write(&broker, "logins", 1 + i % 2, "value");
    ask_all(askers, PARTITIONS, WAIT_MS);
    for (int i = 0; i < MANY_ASK; i++) {
        const int64_t ends[PARTITIONS] = {[1] = 2, [2] = 1};
        assert_int_equal(askers[i].verdict, SOURCE_BOUNDS_KNOWN);
        assert_int_equal(askers[i].begin, 0);
        assert_int_equal(askers[i].end, ends[askers[i].partition]);
    }
    assert_int_equal(partitions_asked_alone, 0);
    assert_in_range(lists_asked, 2, MANY_ASK); /* 2 for a round, so that many had company */
}

static void a_partition_without_bounds_keeps_none_from_the_others(void **state) {
    (void)state;
    struct asker askers[MANY_ASK];
    ask_all(askers, PARTITIONS + 1, 20 * SHORT_MS); /* one more than there are */
    for (int i = 0; i < MANY_ASK; i++) {
        const bool exists = askers[i].partition < PARTITIONS;
        assert_int_equal(askers[i].verdict == SOURCE_BOUNDS_KNOWN, exists);
    }
}

static void who_asks_waits_no_longer_than_it_said(void **state) {
    (void)state;
    struct asker askers[MANY_ASK];
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    const int64_t began_ms = clock_ms();
    ask_all(askers, PARTITIONS, SHORT_MS);
    assert_true(clock_ms() < began_ms + 20 * SHORT_MS);
    rd_kafka_mock_broker_set_up(broker.cluster, 1);
    for (int i = 0; i < MANY_ASK; i++)
        assert_int_not_equal(askers[i].verdict, SOURCE_BOUNDS_KNOWN);
}

static int begin_many(void **state) {
    (void)state;
    lists_asked = partitions_asked_alone = longest_list = 0;
    broker_start(&broker, 1);
    broker_topic(&broker, "logins", MANY_ASK);
    generation = -1;
    sources[0] = create(NULL, 10 << 20, MANY_ASK);
    return 0;
}

static bool are_all_known(const struct asker askers[MANY_ASK]) {
    for (int i = 0; i < MANY_ASK; i++) {
        if (askers[i].verdict != SOURCE_BOUNDS_KNOWN) return false;
    }
    return true;
}

static void fewer_ask_together_after_a_failure_until_it_is_over(void **state) {
    (void)state;
    struct asker askers[MANY_ASK];
    const int64_t until_ms = clock_ms() + WAIT_MS;
    ask_all(askers, MANY_ASK, WAIT_MS);
    assert_true(are_all_known(askers));
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    do {
        longest_list = 0;
        ask_all(askers, MANY_ASK, SHORT_MS);
        assert_false(are_all_known(askers));
    } while (longest_list > MANY_ASK / 2 && clock_ms() < until_ms);
    assert_in_range(longest_list, 1, MANY_ASK / 2);
    rd_kafka_mock_broker_set_up(broker.cluster, 1);
    do {
        ask_all(askers, MANY_ASK, 4 * SHORT_MS);
    } while (!are_all_known(askers) && clock_ms() < until_ms);
    assert_true(are_all_known(askers));
}

/* The in-process cluster describes no groups: nothing is done on a guess. */
static void a_group_that_cannot_be_looked_at_is_left_alone(void **state) {
    begin(state);
    sources[0] = create("static-1", 10 << 20, PARTITIONS);
    assert_true(kafka_source_subscribe(sources[0], &alarms[0], &error));
    take(await(0, SOURCE_GIVEN), 0);
    struct source_change change;
    for (int i = 0; i < 3; i++) {
        assert_true(kafka_source_look_at_group(sources[0], SHORT_MS, &error));
        assert_int_equal(kafka_source_poll(sources[0], &change, &error), SOURCE_QUIET);
    }
    assert_true(kafka_source_may_join(sources[0], SHORT_MS));
}

/* --- properties ------------------------------------------------------------------------------- */

static void rollcalls_own_properties_are_set(void **state) {
    begin(state);
    kafka_conf_release(&consumer);
    sources[0] = create(NULL, 4000 << 10, 4); /* 1,000 KB a partition */
    has_property(newest, "group.id", "group");
    has_property(newest, "enable.auto.commit", "false");
    has_property(newest, "enable.auto.offset.store", "false");
    has_property(newest, "auto.offset.reset", "error");
    has_property(newest, "isolation.level", "read_committed");
    has_property(newest, "allow.auto.create.topics", "false");
    has_property(newest, "partition.assignment.strategy", "cooperative-sticky");
    has_property(newest, "group.instance.id", "");
    has_property(newest, "queued.max.messages.kbytes", "1000");
    has_property(newest, "queued.min.messages", "1000");
    has_property(newest, "fetch.queue.backoff.ms", "10");
    has_property(newest, "fetch.message.max.bytes", "256000");
    has_property(newest, "topic.metadata.refresh.interval.ms", "10000");
    sources[1] = create(NULL, 100 << 20, 0); /* all of it for one */
    has_property(newest, "queued.max.messages.kbytes", "8192");
    has_property(newest, "queued.min.messages", "2000");
    has_property(newest, "fetch.message.max.bytes", "262144");
    kafka_source_destroy(&sources[1]);
    sources[1] = create(NULL, 100 << 10, 4);
    has_property(newest, "queued.max.messages.kbytes", "64");
    has_property(newest, "queued.min.messages", "100");
    has_property(newest, "fetch.message.max.bytes", "16384");
    kafka_source_destroy(&sources[1]);
    kafka_conf_put(&consumer, "queued.min.messages", "7");
    sources[1] = create(NULL, 100 << 10, 4);
    has_property(newest, "queued.min.messages", "7");
    kafka_source_destroy(&sources[1]);
    kafka_conf_put(&consumer, "group.protocol", "consumer");
    sources[1] = create("static-1", 100 << 10, 4);
    has_property(newest, "group.instance.id", "");
    assert_string_equal(kafka_source_settings(sources[1])->topic, "logins");
}

/* Nothing is given to it. */
static void a_member_without_partitions_has_joined_in_the_consumer_protocol(void **state) {
    struct source_change change;
    begin(state);
    kafka_conf_release(&consumer);
    kafka_conf_put(&consumer, "group.protocol", "consumer");
    generation = 0;
    join(0);
    assert_int_equal(kafka_source_poll(sources[0], &change, &error), SOURCE_QUIET);
    assert_false(kafka_source_is_joined(sources[0]));
    generation = 1;
    assert_int_equal(kafka_source_poll(sources[0], &change, &error), SOURCE_QUIET);
    /* before, the protocol cannot be used */
    assert_int_equal(kafka_source_is_joined(sources[0]), RD_KAFKA_VERSION >= 0x020c00ff);
}

/* The rest is left for the next polls: the thread has more to do. */
static void one_poll_serves_so_many_errors_and_no_more(void **state) {
    begin_joined(state);
    struct source_change change;
    enum { ERRORS = 1000, SERVED = 100 };
    errors_to_come = ERRORS;
    const enum source_event event = kafka_source_poll(sources[0], &change, &error);
    const int served = ERRORS - errors_to_come;
    errors_to_come = 0;
    assert_int_equal(event, SOURCE_QUIET);
    assert_int_equal(served, SERVED);
}

static void what_librdkafka_rejects_makes_no_source(void **state) {
    begin(state);
    const struct kafka_source_options options = {
        .settings = &settings, .kafka = &broker.kafka, .consumer = &consumer};
    kafka_conf_put(&consumer, "session.timeout.ms", "-5");
    assert_null(kafka_source_create(&options, &error));
    assert_non_null(strstr(error.text, "session.timeout.ms"));
    kafka_conf_put(&consumer, "session.timeout.ms", "6000");
    kafka_conf_put(&consumer, "max.poll.interval.ms", "5000"); /* not below the other */
    assert_null(kafka_source_create(&options, &error));
    assert_non_null(strstr(error.text, "max.poll.interval.ms"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_come_in_order_from_where_they_are_asked_for,
                                        begin_joined, end),
        cmocka_unit_test_teardown(nothing_is_read_from_nowhere_before_a_seek, end),
        cmocka_unit_test_teardown(an_end_that_was_not_seen_is_not_known, end),
        cmocka_unit_test_setup_teardown(a_seek_that_fails_is_an_error, begin_joined, end),
        cmocka_unit_test_teardown(a_change_is_reported_once_and_waits_for_its_answer, end),
        cmocka_unit_test_teardown(streams_that_are_not_taken_are_closed, end),
        cmocka_unit_test_setup_teardown(a_second_member_is_given_what_the_first_gives_up,
                                        begin_joined, end),
        cmocka_unit_test_setup_teardown(who_left_is_no_member, begin_joined, end),
        cmocka_unit_test_teardown(a_change_that_was_not_answered_is_answered_by_leaving, end),
        cmocka_unit_test_teardown(a_twin_with_the_same_id_is_named, end),
        cmocka_unit_test_teardown(a_member_is_shut_out_by_a_twin, end),
        cmocka_unit_test_teardown(a_member_on_its_way_back_is_shut_out_by_itself, end),
        cmocka_unit_test_teardown(who_is_denied_is_told_what_to_allow, end),
        cmocka_unit_test_setup_teardown(an_unknown_member_has_lost_everything, begin_joined, end),
        cmocka_unit_test_teardown(a_stranded_partition_makes_the_member_join_again, end),
        cmocka_unit_test_setup_teardown(committed_offsets_keep_their_origin, begin_joined, end),
        cmocka_unit_test_setup_teardown(metadata_of_others_is_no_origin, begin_joined, end),
        cmocka_unit_test_setup_teardown(what_kafka_does_not_answer_is_an_error, begin_joined, end),
        cmocka_unit_test_setup_teardown(a_consumer_with_new_certificates_takes_over_in_order,
                                        begin_joined, end),
        cmocka_unit_test_setup_teardown(who_asks_together_gets_the_bounds_of_its_own_partition,
                                        begin_joined, end),
        cmocka_unit_test_setup_teardown(a_partition_without_bounds_keeps_none_from_the_others,
                                        begin_joined, end),
        cmocka_unit_test_setup_teardown(who_asks_waits_no_longer_than_it_said, begin_joined, end),
        cmocka_unit_test_setup_teardown(fewer_ask_together_after_a_failure_until_it_is_over,
                                        begin_many, end),
        cmocka_unit_test_setup_teardown(the_logs_bounds_are_those_of_the_partition, begin_joined,
                                        end),
        cmocka_unit_test_teardown(a_group_that_cannot_be_looked_at_is_left_alone, end),
        cmocka_unit_test_teardown(rollcalls_own_properties_are_set, end),
        cmocka_unit_test_teardown(a_member_without_partitions_has_joined_in_the_consumer_protocol,
                                  end),
        cmocka_unit_test_teardown(one_poll_serves_so_many_errors_and_no_more, end),
        cmocka_unit_test_teardown(what_librdkafka_rejects_makes_no_source, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
