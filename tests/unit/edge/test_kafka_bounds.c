/* The bounds of partitions' logs, asked for alone and together, against librdkafka's in-process
 * cluster. */
#include <pthread.h>
#include <stdatomic.h>

#include "joined.h"
#include "locks.h"

static atomic_int lists_asked, partitions_asked_alone, longest_list;
static atomic_bool is_held; /* no list is answered */

rd_kafka_resp_err_t rd_kafka_offsets_for_times(rd_kafka_t *client,
                                               rd_kafka_topic_partition_list_t *list,
                                               int timeout_ms) {
    rd_kafka_resp_err_t (*real)(rd_kafka_t *, rd_kafka_topic_partition_list_t *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_offsets_for_times");
    atomic_fetch_add(&lists_asked, 1); /* one after the other */
    if (list->cnt > longest_list) longest_list = list->cnt;
    while (is_held)
        clock_sleep_ms(1);
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

static void ask_in_a_thread(struct asker *asker, int32_t partition, int timeout_ms) {
    *asker = (struct asker){.partition = partition, .timeout_ms = timeout_ms};
    assert_int_equal(pthread_create(&asker->thread, NULL, ask, asker), 0);
}

static void ask_all(struct asker askers[MANY_ASK], int32_t partitions, int timeout_ms) {
    for (int32_t i = 0; i < MANY_ASK; i++)
        ask_in_a_thread(&askers[i], i % partitions, timeout_ms);
    for (int i = 0; i < MANY_ASK; i++)
        pthread_join(askers[i].thread, NULL);
}

/* Also where several threads ask for the same one. */
static void who_asks_together_gets_the_bounds_of_its_own_partition(void **state) {
    (void)state;
    struct asker askers[MANY_ASK];
    lists_asked = partitions_asked_alone = 0;
    for (int i = 0; i < 3; i++)
        broker_write(&broker, "logins", 1 + i % 2, "value");
    is_held = true; /* the first one is answered once the others wait */
    for (int32_t i = 0; i < MANY_ASK; i++)
        ask_in_a_thread(&askers[i], i % PARTITIONS, WAIT_MS);
    clock_sleep_ms(SHORT_MS);
    is_held = false;
    for (int i = 0; i < MANY_ASK; i++)
        pthread_join(askers[i].thread, NULL);
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

/* Its lists are freed with the last one that waited: a sanitizer sees a later use. */
static void a_round_that_all_have_given_up_is_forgotten(void **state) {
    (void)state;
    struct asker first, impatient, last;
    const int64_t until_ms = clock_ms() + WAIT_MS;
    lists_asked = partitions_asked_alone = longest_list = 0;
    is_held = true;
    ask_in_a_thread(&first, 0, WAIT_MS);
    while (lists_asked == 0 && clock_ms() < until_ms)
        clock_sleep_ms(1);
    ask_in_a_thread(&impatient, 1, SHORT_MS);
    pthread_join(impatient.thread, NULL);
    assert_int_equal(partitions_asked_alone, 1);
    ask_in_a_thread(&last, 2, WAIT_MS);
    clock_sleep_ms(SHORT_MS); /* by then it waits */
    is_held = false;
    pthread_join(first.thread, NULL);
    pthread_join(last.thread, NULL);
    assert_int_equal(first.verdict, SOURCE_BOUNDS_KNOWN);
    assert_int_equal(last.verdict, SOURCE_BOUNDS_KNOWN);
    assert_int_equal(longest_list, 1);
}

static int begin_many(void **state) {
    (void)state;
    broker_start(&broker, 1);
    broker_topic(&broker, "logins", MANY_ASK);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_logs_bounds_are_those_of_the_partition, begin_joined,
                                        end),
        cmocka_unit_test_setup_teardown(who_asks_together_gets_the_bounds_of_its_own_partition,
                                        begin_joined, end),
        cmocka_unit_test_setup_teardown(a_partition_without_bounds_keeps_none_from_the_others,
                                        begin_joined, end),
        cmocka_unit_test_setup_teardown(who_asks_waits_no_longer_than_it_said, begin_joined, end),
        cmocka_unit_test_setup_teardown(a_round_that_all_have_given_up_is_forgotten, begin_joined,
                                        end),
        cmocka_unit_test_setup_teardown(fewer_ask_together_after_a_failure_until_it_is_over,
                                        begin_many, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
