/* What is read of a member's assignment, and of rights where there is no telling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>

#include "described.h"
#include "edge/kafka_private.h"
#include "locks.h"

/* Version 1: topic "in" with partitions 0 and 7, "other" with partition 0, and no user data. */
static const char assignment[] = "\0\1"
                                 "\0\0\0\2"
                                 "\0\2in\0\0\0\2\0\0\0\0\0\0\0\7"
                                 "\0\5other\0\0\0\1\0\0\0\0"
                                 "\377\377\377\377";
enum { WHOLE = sizeof assignment - 1, USER_DATA = 4 };

static void partitions_of_the_topic_are_counted(void **state) {
    (void)state;
    assert_int_equal(kafka_group_count_assigned(assignment, WHOLE, "in"), 2);
    assert_int_equal(kafka_group_count_assigned(assignment, WHOLE, "other"), 1);
    assert_int_equal(kafka_group_count_assigned(assignment, WHOLE, "i"), 0);
}

static void none_at_all_is_no_error(void **state) {
    (void)state;
    assert_int_equal(kafka_group_count_assigned("\0\3\0\0\0\0\377\377\377\377", 10, "in"), 0);
}

static void what_is_cut_or_has_wrong_lengths_is_refused(void **state) {
    (void)state;
    for (size_t bytes = 0; bytes < WHOLE - USER_DATA; bytes++) {
        assert_int_equal(kafka_group_count_assigned(assignment, bytes, "in"), -1);
    }
    static const char huge[] = "\0\1\0\0\0\1\0\2in\377\377\377\377\0\0\0\0";
    assert_int_equal(kafka_group_count_assigned(huge, sizeof huge - 1, "in"), -1);
    assert_int_equal(kafka_group_count_assigned(NULL, 0, "in"), -1);
}

static bool may_read(rd_kafka_t *client, struct described answer) {
    answer.is_given = true;
    described = answer;
    const bool is_allowed = kafka_group_may_read(client, "in", 2000);
    assert_true(described.asked_for_rights);
    described.is_given = false;
    return is_allowed;
}

/* And who is not told, by brokers that know nothing of rights. */
static void who_has_the_right_may_read(void **state) {
    (void)state;
    static const rd_kafka_AclOperation_t rights[] = {
        RD_KAFKA_ACL_OPERATION_DESCRIBE, RD_KAFKA_ACL_OPERATION_READ, RD_KAFKA_ACL_OPERATION_ALL};
    const rd_kafka_resp_err_t denied = RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", NULL, 0);
    rd_kafka_conf_set(conf, "group.id", "in", NULL, 0);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, NULL, 0);
    assert_non_null(client);
    assert_true(kafka_group_may_read(client, "in", 2000));
    assert_true(may_read(client, (struct described){.count = 1}));
    assert_false(may_read(client, (struct described){.count = 1, .rights = rights}));
    assert_false(
        may_read(client, (struct described){.count = 1, .rights = rights, .right_count = 1}));
    assert_true(
        may_read(client, (struct described){.count = 1, .rights = rights, .right_count = 2}));
    assert_true(
        may_read(client, (struct described){.count = 1, .rights = rights + 2, .right_count = 1}));
    assert_true(may_read(client, (struct described){.count = 0, .rights = rights}));
    assert_true(
        may_read(client, (struct described){.count = 1, .rights = rights, .error = denied}));
    rd_kafka_destroy(client);
}

static int generation;

/* Stands in front of librdkafka's own. */
int32_t
rd_kafka_consumer_group_metadata_generation_id(const rd_kafka_consumer_group_metadata_t *metadata) {
    assert_non_null(metadata);
    return generation;
}

/* With the consumer protocol: a member has an epoch, of which the first is 1. */
static void who_has_an_epoch_has_joined(void **state) {
    (void)state;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "group.id", "in", NULL, 0);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, NULL, 0);
    assert_non_null(client);
    for (generation = -1; generation <= 2; generation++) {
        assert_int_equal(kafka_member_has_joined(client),
                         RD_KAFKA_VERSION >= 0x020c00ff && generation > 0);
    }
    rd_kafka_destroy(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partitions_of_the_topic_are_counted),
        cmocka_unit_test(none_at_all_is_no_error),
        cmocka_unit_test(who_has_the_right_may_read),
        cmocka_unit_test(who_has_an_epoch_has_joined),
        cmocka_unit_test(what_is_cut_or_has_wrong_lengths_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
