/* kafka_source, kafka_stream and the group's offsets against librdkafka's in-process cluster. */
#include "edge/kafka_source.h"

#include "joined.h"

static int32_t generation = -1; /* of the group, as the client knows it; -1: as it says */

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

/* --- records ---------------------------------------------------------------------------------- */

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

/* Behind fetches they would wait as long as those do. */
static void questions_have_a_client_of_their_own_once_the_group_is_joined(void **state) {
    begin(state);
    kafka_conf_put(&consumer, "statistics.interval.ms", "100000");
    sources[0] = create(NULL, 10 << 20, PARTITIONS);
    assert_ptr_equal(kafka_source_borrow_asker(sources[0]), newest);
    kafka_source_return(sources[0]);
    assert_true(kafka_source_subscribe(sources[0], &alarms[0], &error));
    rd_kafka_t *member = kafka_source_borrow(sources[0]);
    assert_ptr_equal(member, newest);
    kafka_source_return(sources[0]);
    rd_kafka_t *asker = kafka_source_borrow_asker(sources[0]);
    kafka_source_return(sources[0]);
    assert_ptr_not_equal(asker, member);
    has_property(asker, "isolation.level", "read_committed");
    has_property(asker, "statistics.interval.ms", "0");
    has_property(member, "statistics.interval.ms", "0");
    assert_int_equal(kafka_source_throttled_ms(sources[0]), 0);
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

static void who_is_denied_is_told_what_to_allow(void **state) {
    begin(state);
    rd_kafka_mock_push_request_errors(broker.cluster, API_JOIN_GROUP, 1,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    join(0);
    await(0, SOURCE_FAILED);
    assert_non_null(strstr(error.text, "Kafka denies access"));
    assert_non_null(strstr(error.text, "allow READ on topic logins and group group"));
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
                 {"origin=abc", -1},
                 {"origin=2x", -1},
                 {"origin=-2", -1},
                 {"origin=0", 0},
                 {"origin=3", 3},
                 {"origin=4", -1}, /* behind the offset */
                 {"origin=1234567890123456789012345678901", -1},
                 {"lineage=0:9:3@5", -1},
                 {"origin=2 lineage=0:99:3@5,8@70", 2}};
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

/* As it does for a group that was never used, and after its broker has started. */
static void a_coordinator_that_moves_is_asked_again(void **state) {
    (void)state;
    struct kafka_committed found = {.partition = 0};
    rd_kafka_mock_push_request_errors(broker.cluster, API_OFFSET_FETCH, 3,
                                      RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
    if (!kafka_source_committed(sources[0], &found, 1, WAIT_MS, &error)) fail_msg("%s", error.text);
    assert_int_equal(found.offset, -1);
    rd_kafka_mock_push_request_errors(broker.cluster, API_OFFSET_FETCH, 1,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    assert_false(kafka_source_committed(sources[0], &found, 1, WAIT_MS, &error));
    assert_non_null(strstr(error.text, "Group authorization failed"));
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
    has_property(newest, "consume.callback.max.messages", "256");
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

/* Nothing is given to it: the broker is not there to do so. */
static void a_member_without_partitions_has_joined_in_the_consumer_protocol(void **state) {
    struct source_change change;
    begin(state);
    kafka_conf_release(&consumer);
    kafka_conf_put(&consumer, "group.protocol", "consumer");
    generation = 0;
    rd_kafka_mock_broker_set_down(broker.cluster, 1);
    join(0);
    assert_int_equal(kafka_source_poll(sources[0], &change, &error), SOURCE_QUIET);
    assert_false(kafka_source_is_joined(sources[0]));
    generation = 1;
    assert_int_equal(kafka_source_poll(sources[0], &change, &error), SOURCE_QUIET);
    /* before, the protocol cannot be used */
    assert_int_equal(kafka_source_is_joined(sources[0]), RD_KAFKA_VERSION >= 0x020c00ff);
    generation = -1;
    rd_kafka_mock_broker_set_up(broker.cluster, 1);
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
        cmocka_unit_test_teardown(questions_have_a_client_of_their_own_once_the_group_is_joined,
                                  end),
        cmocka_unit_test_teardown(streams_that_are_not_taken_are_closed, end),
        cmocka_unit_test_setup_teardown(a_second_member_is_given_what_the_first_gives_up,
                                        begin_joined, end),
        cmocka_unit_test_setup_teardown(who_left_is_no_member, begin_joined, end),
        cmocka_unit_test_teardown(a_change_that_was_not_answered_is_answered_by_leaving, end),
        cmocka_unit_test_teardown(who_is_denied_is_told_what_to_allow, end),
        cmocka_unit_test_setup_teardown(committed_offsets_keep_their_origin, begin_joined, end),
        cmocka_unit_test_setup_teardown(metadata_of_others_is_no_origin, begin_joined, end),
        cmocka_unit_test_setup_teardown(a_coordinator_that_moves_is_asked_again, begin_joined, end),
        cmocka_unit_test_setup_teardown(what_kafka_does_not_answer_is_an_error, begin_joined, end),
        cmocka_unit_test_teardown(a_group_that_cannot_be_looked_at_is_left_alone, end),
        cmocka_unit_test_teardown(rollcalls_own_properties_are_set, end),
        cmocka_unit_test_teardown(a_member_without_partitions_has_joined_in_the_consumer_protocol,
                                  end),
        cmocka_unit_test_teardown(one_poll_serves_so_many_errors_and_no_more, end),
        cmocka_unit_test_teardown(what_librdkafka_rejects_makes_no_source, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
