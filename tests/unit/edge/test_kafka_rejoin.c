/* How a member joins again: kafka_rejoin, through kafka_source, against librdkafka's in-process
 * cluster. */
#include "edge/kafka_source_parts.h"
#include "joined.h"

enum { LONG_MS = 60000 }; /* after which what was done once may be done again */

/* --- the group as Kafka lists it: one member, which owns all partitions but some -------------- */

static int groups_asked, orphan_count;

/* Stands in front of librdkafka's own: the in-process cluster describes no groups. */
rd_kafka_resp_err_t rd_kafka_list_groups(rd_kafka_t *client, const char *group,
                                         const struct rd_kafka_group_list **list, int timeout_ms) {
    enum { NAME = 6, OWNED_AT = 2 + 4 + 2 + NAME + 3 };
    static char assignment[64] = "\0\1\0\0\0\1\0\6logins", stable[] = "Stable";
    static struct rd_kafka_group_member_info member = {.member_assignment = assignment};
    static struct rd_kafka_group_info info = {.state = stable, .members = &member, .member_cnt = 1};
    static const struct rd_kafka_group_list whole = {.groups = &info, .group_cnt = 1};
    (void)client, (void)timeout_ms;
    assert_string_equal(group, "group");
    assignment[OWNED_AT] = (char)(PARTITIONS - orphan_count);
    member.member_assignment_size = OWNED_AT + 1 + 4 * (PARTITIONS - orphan_count);
    *list = &whole;
    groups_asked++;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void rd_kafka_group_list_destroy(const struct rd_kafka_group_list *list) {
    assert_non_null(list);
}

/* --- the member ------------------------------------------------------------------------------- */

/* A static member that holds all partitions. */
static int begin_static(void **state) {
    begin(state);
    sources[0] = create("twin", 10 << 20, PARTITIONS);
    assert_true(kafka_source_subscribe(sources[0], &alarms[0], &error));
    take(await(0, SOURCE_GIVEN), 0);
    return 0;
}

/* Polls for a moment, in which nothing may happen. */
static void stays_quiet(void) {
    struct source_change change;
    for (const int64_t until_ms = clock_ms() + SHORT_MS; clock_ms() < until_ms; clock_sleep_ms(5))
        assert_int_equal(kafka_source_poll(sources[0], &change, &error), SOURCE_QUIET);
}

/* Gives up what the event takes, and is given it again. */
static void answered(void) {
    close_streams();
    kafka_source_answer(sources[0]);
    take(await(0, SOURCE_GIVEN), 0);
}

/* --- shut out --------------------------------------------------------------------------------- */

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
    (void)state;
    fence();
    await(0, SOURCE_FAILED);
    assert_non_null(strstr(error.text, "same instance.id \"twin\" in group group"));
}

/* Its former self: a request with the id of before. It joins once more, with a new consumer. */
static void a_member_on_its_way_back_is_shut_out_by_itself(void **state) {
    (void)state;
    const rd_kafka_t *first = newest;
    rd_kafka_mock_push_request_errors(broker.cluster, API_HEARTBEAT, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    assert_int_equal(await(0, SOURCE_LOST).count, PARTITIONS);
    fence();
    answered();
    assert_ptr_not_equal(newest, first);
    assert_true(kafka_source_is_joined(sources[0]));
}

static void a_member_is_known_by_the_id_under_which_it_was_given_its_share(void **state) {
    begin(state);
    join(0);
    struct kafka_member *member = &sources[0]->member;
    assert_int_equal(kafka_member_state(member), KAFKA_MEMBER_NONE);
    assert_false(kafka_member_lost_id(member));
    const struct source_change change = await(0, SOURCE_GIVEN);
    assert_int_equal(kafka_member_state(member), KAFKA_MEMBER_SAME);
    take(change, 0);
    free(member->id);
    member->id = strdup("another");
    assert_int_equal(kafka_member_state(member), KAFKA_MEMBER_OTHER);
    assert_true(kafka_member_lost_id(member));
    assert_true(kafka_rejoin_was_replaced(sources[0]));
    kafka_member_take_id(member);
    assert_int_equal(kafka_member_state(member), KAFKA_MEMBER_SAME);
}

static void an_unknown_member_has_lost_everything(void **state) {
    (void)state;
    rd_kafka_mock_push_request_errors(broker.cluster, API_HEARTBEAT, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    const struct source_change change = await(0, SOURCE_LOST);
    assert_int_equal(change.count, PARTITIONS);
    assert_false(kafka_source_is_joined(sources[0]));
    answered();
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
    answered();
    broker_write(&broker, "logins", 1, "value");
    read_records(1, 1);
}

/* --- orphans ---------------------------------------------------------------------------------- */

/* How often the group was asked about in a look. */
static int look(void) {
    const int before = groups_asked;
    if (!kafka_source_look_at_group(sources[0], WAIT_MS, &error)) fail_msg("%s", error.text);
    return groups_asked - before;
}

static void partitions_that_nobody_owns_make_a_static_member_join_again(void **state) {
    (void)state;
    orphan_count = 1;
    assert_int_equal(look(), 1);
    orphan_count = 0; /* it was about to move */
    assert_int_equal(look(), 1);
    orphan_count = 1;
    assert_int_equal(look(), 1);
    stays_quiet();
    assert_int_equal(look(), 1);
    assert_int_equal(look(), 0); /* it is joining again */
    assert_int_equal(await(0, SOURCE_TAKEN).count, PARTITIONS);
    assert_true(kafka_source_is_same_member(sources[0])); /* what is in hand can be committed */
    answered();
    stays_quiet();
    assert_int_equal(look(), 1); /* from the begin: once is not enough */
    orphan_count = 0;
    stays_quiet();
}

static void nobody_looks_for_orphans_while_a_change_is_under_way(void **state) {
    (void)state;
    rd_kafka_mock_push_request_errors(broker.cluster, API_HEARTBEAT, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    await(0, SOURCE_LOST);
    assert_int_equal(look(), 0);
    answered();
    assert_int_equal(look(), 1);
}

static void nobody_looks_for_orphans_long_after_an_assignment(void **state) {
    (void)state;
    assert_int_equal(look(), 1);
    sources[0]->assigned_ms -= LONG_MS + 1;
    assert_int_equal(look(), 0);
}

/* The group gives what a dynamic member leaves behind to another one by itself. */
static void a_dynamic_member_leaves_no_orphans(void **state) {
    (void)state;
    assert_int_equal(look(), 0);
}

/* --- another consumer ------------------------------------------------------------------------- */

static void a_consumer_that_stands_still_is_replaced_once(void **state) {
    (void)state;
    const rd_kafka_t *const first = sources[0]->client->handle;
    const rd_kafka_t *const first_asker = newest_asker;
    kafka_source_replace(sources[0]);
    assert_int_equal(await(0, SOURCE_TAKEN).count, PARTITIONS);
    answered();
    const rd_kafka_t *const second = sources[0]->client->handle;
    assert_ptr_not_equal(second, first);
    assert_ptr_not_equal(newest_asker, first_asker); /* its metadata may be too old, too */
    assert_ptr_equal(kafka_source_borrow_asker(sources[0]), newest_asker);
    kafka_source_return(sources[0]);
    broker_write(&broker, "logins", 1, "value");
    read_records(1, 1);
    sources[0]->renewed_ms -= LONG_MS;
    stays_quiet(); /* it has helped */
    sources[0]->renewed_ms += LONG_MS;
    kafka_source_replace(sources[0]);
    stays_quiet(); /* it would not help so soon */
    assert_ptr_equal(sources[0]->client->handle, second);
    sources[0]->renewed_ms -= LONG_MS;
    assert_int_equal(await(0, SOURCE_TAKEN).count, PARTITIONS);
    answered();
    assert_ptr_not_equal(sources[0]->client->handle, second);
}

static void give_up(void) {
    rd_kafka_test_fatal_error(newest, RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND, "no such group");
}

/* The first failure is of a consumer that is joining, the second one of its successor. */
static void a_consumer_that_fails_is_replaced_but_not_again_and_again(void **state) {
    begin(state);
    sources[0] = create("static-1", 10 << 20, PARTITIONS);
    assert_true(kafka_source_subscribe(sources[0], &alarms[0], &error));
    const rd_kafka_t *const first = sources[0]->client->handle;
    give_up();
    struct source_change change;
    assert_int_equal(kafka_source_poll(sources[0], &change, &error), SOURCE_QUIET);
    assert_ptr_not_equal(sources[0]->client->handle, first);
    give_up();
    assert_int_equal(kafka_source_poll(sources[0], &change, &error), SOURCE_FAILED);
    assert_non_null(strstr(error.text, "failed permanently: "));
    assert_non_null(strstr(error.text, "no such group"));
    sources[0]->renewed_ms -= LONG_MS;
    take(await(0, SOURCE_GIVEN), 0);
    assert_true(kafka_source_is_joined(sources[0]));
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
    answered();
    broker_write(&broker, "logins", 1, "value");
    read_records(1, 1);
    assert_false(kafka_source_renew(sources[0]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_twin_with_the_same_id_is_named, end),
        cmocka_unit_test_setup_teardown(a_member_is_shut_out_by_a_twin, begin_static, end),
        cmocka_unit_test_setup_teardown(a_member_on_its_way_back_is_shut_out_by_itself,
                                        begin_static, end),
        cmocka_unit_test_teardown(a_member_is_known_by_the_id_under_which_it_was_given_its_share,
                                  end),
        cmocka_unit_test_setup_teardown(an_unknown_member_has_lost_everything, begin_joined, end),
        cmocka_unit_test_teardown(a_stranded_partition_makes_the_member_join_again, end),
        cmocka_unit_test_setup_teardown(partitions_that_nobody_owns_make_a_static_member_join_again,
                                        begin_static, end),
        cmocka_unit_test_setup_teardown(nobody_looks_for_orphans_while_a_change_is_under_way,
                                        begin_static, end),
        cmocka_unit_test_setup_teardown(nobody_looks_for_orphans_long_after_an_assignment,
                                        begin_static, end),
        cmocka_unit_test_setup_teardown(a_dynamic_member_leaves_no_orphans, begin_joined, end),
        cmocka_unit_test_setup_teardown(a_consumer_that_stands_still_is_replaced_once, begin_joined,
                                        end),
        cmocka_unit_test_teardown(a_consumer_that_fails_is_replaced_but_not_again_and_again, end),
        cmocka_unit_test_setup_teardown(a_consumer_with_new_certificates_takes_over_in_order,
                                        begin_joined, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
