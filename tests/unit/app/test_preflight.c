/* preflight: the looks before the first record is read, their order, and the outcome of each answer.
 * Kafka, Redis and the time stand in for the real ones. */
#include "app/preflight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "edge/kafka_source.h"
#include "logged.h"

enum { HOUR_MS = 3600000, TIMEOUT_MS = 1000, PARTITIONS = 8 };

/* --- what stands in --------------------------------------------------------------------------- */

static int64_t now_ms;

int clock_gettime(clockid_t clock, struct timespec *now) {
    (void)clock;
    *now = (struct timespec){now_ms / 1000, now_ms % 1000 * 1000000};
    return 0;
}

static enum store_verdict store_verdict;
static enum topics_verdict look_verdict, create_verdict;
static bool describes, has_no_client, is_visible;
static const char *warning_of_redis;
static struct topic_facts input_facts;
static char done[1024];
static struct trouble trouble, missing;

static void note(const char *what, const char *topic) {
    const size_t length = strlen(done);
    snprintf(done + length, sizeof done - length, "%s%s%s, ", what, *topic == '\0' ? "" : " ",
             topic);
}

#define STORE ((struct redis_store *)&store_verdict)

static char missed[512]; /* while Redis, and while Kafka was asked last */

static void see_missed(void) {
    struct text text = text_within(missed, sizeof missed);
    missed[0] = '\0';
    trouble_show(&missing, now_ms, 0, &text);
}

enum store_verdict redis_store_check(struct redis_store *store, struct error *warning,
                                     struct error *error) {
    assert_ptr_equal(store, STORE);
    see_missed();
    note("redis", "");
    error_set(warning, "%s", warning_of_redis);
    if (store_verdict != STORE_OK) error_set(error, "no Redis");
    return store_verdict;
}

const char *redis_store_name(const struct redis_store *store) {
    (void)store;
    return "redis://there";
}

struct kafka_source *kafka_source_create(const struct kafka_source_options *options,
                                         struct error *error) {
    assert_non_null(options->trouble);
    note("client", "");
    if (has_no_client) error_set(error, "no client");
    return has_no_client ? NULL : (struct kafka_source *)&now_ms;
}

void kafka_source_destroy(struct kafka_source **source) {
    if (*source != NULL) note("end", "");
    *source = NULL;
}

enum topics_verdict kafka_topics_look(struct kafka_source *source, const char *topic,
                                      int timeout_ms, struct topic_facts *facts,
                                      struct error *error) {
    assert_non_null(source);
    assert_int_equal(timeout_ms, 5000);
    see_missed();
    note("look", topic);
    if (look_verdict != TOPICS_OK) error_set(error, "no answer about %s", topic);
    *facts = strcmp(topic, "in") == 0 ? input_facts : (struct topic_facts){.exists = is_visible};
    return look_verdict;
}

bool kafka_topics_describe(struct kafka_source *source, const char *topic, int timeout_ms,
                           struct topic_facts *facts, struct error *error) {
    (void)source, (void)facts;
    assert_int_equal(timeout_ms, 1500);
    note("describe", topic);
    return describes || error_set(error, "no description");
}

enum topics_verdict kafka_topics_create(struct kafka_source *source, const char *topic,
                                        int partition_count, int timeout_ms, struct error *error) {
    (void)source;
    assert_int_equal(timeout_ms, 5000);
    assert_int_equal(partition_count, PARTITIONS);
    note("create", topic);
    if (create_verdict != TOPICS_OK) error_set(error, "no creation of %s", topic);
    return create_verdict;
}

const char *kafka_conf_get(const struct properties *properties, const char *name) {
    (void)properties;
    assert_string_equal(name, "bootstrap.servers");
    return "brokers:9092";
}

/* --- around a test ---------------------------------------------------------------------------- */

static char topic_in[] = "in", topic_out[] = "out", topic_bad[] = "bad", none[] = "";
static struct config config;
static struct topic_facts input;
static struct preflight *preflight;
static struct error error;
static int64_t until_ms;

static int begin(void **state) {
    (void)state;
    now_ms += HOUR_MS;
    store_verdict = STORE_OK;
    look_verdict = create_verdict = TOPICS_OK;
    describes = is_visible = true;
    has_no_client = false;
    warning_of_redis = "";
    input_facts = (struct topic_facts){.exists = true, .partition_count = PARTITIONS};
    memset(&config, 0, sizeof config);
    config.redis.timeout_ms = TIMEOUT_MS;
    config.source.topic = topic_in;
    config.sink.topic = topic_out;
    config.sink.rejected_topic = topic_bad;
    config.instance.memory_mb = PARTITIONS * CONFIG_MB_A_PARTITION;
    trouble_init(&trouble);
    trouble_init(&missing);
    preflight = preflight_create(&config, STORE, &input, &trouble, &missing);
    error.text[0] = done[0] = '\0';
    return 0;
}

static int end(void **state) {
    (void)state;
    preflight_destroy(&preflight);
    assert_null(preflight);
    preflight_destroy(&preflight); /* none is fine */
    trouble_fini(&trouble);
    trouble_fini(&missing);
    return 0;
}

static enum preflight_verdict step(void) {
    return preflight_step(preflight, now_ms, &until_ms, &error);
}

/* Until it waits, fails or has passed. */
static enum preflight_verdict run(void) {
    done[0] = '\0';
    for (int i = 0; i < 20; i++) {
        const enum preflight_verdict verdict = step();
        if (verdict != PREFLIGHT_WAITS || until_ms > now_ms) return verdict;
    }
    fail_msg("%s", done);
    return PREFLIGHT_FAILED;
}

static void misses(const char *expected) {
    char why[512] = "";
    struct text text = text_within(why, sizeof why);
    assert_true(trouble_show(&missing, now_ms, 0, &text));
    if (strstr(why, expected) == NULL) fail_msg("%s", why);
}

static void fails(const char *words) {
    assert_int_equal(run(), PREFLIGHT_FAILED);
    if (strstr(error.text, words) == NULL) fail_msg("%s", error.text);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void all_is_looked_at_once(void **state) {
    (void)state;
    logged_begin();
    assert_int_equal(run(), PREFLIGHT_PASSED);
    logged_end();
    assert_string_equal(logged_text, "");
    assert_string_equal(done, "redis, client, look in, describe in, look out, look bad, redis, ");
    done[0] = '\0';
    preflight_destroy(&preflight);
    assert_string_equal(done, "end, ");
}

static void without_a_topic_for_rejected_records_none_is_looked_at(void **state) {
    (void)state;
    config.sink.rejected_topic = none;
    assert_int_equal(run(), PREFLIGHT_PASSED);
    assert_string_equal(done, "redis, client, look in, describe in, look out, redis, ");
}

static void what_a_redis_may_lack_is_warned_of_each_time(void **state) {
    (void)state;
    warning_of_redis = "Redis is odd";
    const int before = logged_count("level=warn", "Redis is odd");
    assert_int_equal(run(), PREFLIGHT_PASSED);
    assert_int_equal(logged_count("level=warn", "Redis is odd"), before + 2);
}

static void redis_has_its_time_to_answer(void **state) {
    (void)state;
    store_verdict = STORE_RETRY;
    const int before = logged_count("Waiting for Redis", "no Redis");
    assert_int_equal(run(), PREFLIGHT_WAITS);
    assert_int_equal(until_ms, now_ms + 250);
    misses("waiting for Redis: no Redis");
    assert_int_equal(logged_count("Waiting for Redis", "no Redis"), before + 1);
    now_ms += 249;
    assert_int_equal(run(), PREFLIGHT_WAITS);
    assert_string_equal(done, "");
    now_ms++;
    assert_int_equal(run(), PREFLIGHT_WAITS);
    assert_int_equal(until_ms, now_ms + 500);
    now_ms += 749; /* since it was asked first: one less than it may take */
    assert_int_equal(run(), PREFLIGHT_WAITS);
    assert_int_equal(until_ms, now_ms + 1000);
    now_ms += 1000;
    fails("no Redis");
}

static void it_has_no_more_than_its_time(void **state) {
    (void)state;
    store_verdict = STORE_RETRY;
    run();
    now_ms += TIMEOUT_MS;
    fails("no Redis");
}

/* As long as it takes. */
static void kafka_is_waited_for(void **state) {
    (void)state;
    static const int waits_ms[] = {250, 500, 1000, 2000, 2000};
    look_verdict = TOPICS_RETRY;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(run(), PREFLIGHT_WAITS);
        assert_int_equal(until_ms, now_ms + waits_ms[i]);
        misses("waiting for Kafka: no answer about in");
        now_ms = until_ms;
    }
    assert_true(logged_count("Waiting for Kafka", "bootstrap.servers=brokers:9092 reason=\"no "
                                                  "answer about in\"") > 0);
    look_verdict = TOPICS_OK;
    describes = false;
    assert_int_equal(run(), PREFLIGHT_WAITS);
    assert_string_equal(done, "look in, describe in, ");
    misses("waiting for Kafka: no description");
    now_ms = until_ms;
    describes = true;
    preflight_reloaded(preflight);
    assert_int_equal(run(), PREFLIGHT_PASSED);
    assert_string_equal(done, "client, look in, describe in, look out, look bad, redis, ");
}

static void an_output_that_is_missing_is_created_and_awaited(void **state) {
    (void)state;
    is_visible = false;
    logged_begin();
    assert_int_equal(run(), PREFLIGHT_WAITS);
    logged_end();
    assert_string_equal(done,
                        "redis, client, look in, describe in, look out, create out, look out, ");
    assert_int_equal(until_ms, now_ms + 50);
    assert_non_null(strstr(logged_text, "msg=\"Topic created\" topic=out partitions=8\n"));
    now_ms += 50;
    assert_int_equal(run(), PREFLIGHT_WAITS);
    assert_string_equal(done, "look out, ");
    now_ms += 50;
    is_visible = true;
    assert_int_equal(run(), PREFLIGHT_PASSED);
    assert_string_equal(done, "look out, look bad, redis, ");
}

static void an_output_that_cannot_be_created(void **state) {
    (void)state;
    is_visible = false;
    create_verdict = TOPICS_RETRY;
    assert_int_equal(run(), PREFLIGHT_WAITS);
    assert_int_equal(until_ms, now_ms + 250);
    misses("waiting for Kafka: no creation of out");
    now_ms = until_ms;
    create_verdict = TOPICS_REFUSED;
    fails("no creation of out");
}

static void what_only_somebody_can_fix_ends_the_start(void **state) {
    static const char *const words[] = {
        "no Redis",
        "no client",
        "no answer about in",
        "the input topic in does not exist: create it (kafka-topics.sh --create --topic in ",
        "topic in has 4097 partitions, and rollcall takes at most 4096",
        "all of which an instance may have to take, need",
        "this user may not read topic in: grant the ACL Read"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        begin(state);
        if (i == 0) store_verdict = STORE_REFUSED;
        has_no_client = i == 1;
        if (i == 2) look_verdict = TOPICS_REFUSED;
        input_facts.exists = i != 3;
        if (i == 4) input_facts.partition_count = 4097;
        if (i == 5) config.instance.memory_mb--;
        input_facts.has_rights = i == 6;
        fails(words[i]);
        end(state);
    }
    begin(state);
    input_facts.has_rights = input_facts.may_read = true;
    input_facts.partition_count = 4096;
    config.instance.memory_mb = 4096 * CONFIG_MB_A_PARTITION;
    assert_int_equal(run(), PREFLIGHT_PASSED);
    end(state);
}

/* Before the first answer, too; and each stage begins with delays of its own. */
static void what_is_asked_is_missed(void **state) {
    static const char of_redis[] = "waiting for Redis: redis://there has not answered yet; start "
                                   "Redis, or set redis.url";
    static const char of_kafka[] =
        "waiting for Kafka: brokers:9092 has not answered yet; start it, "
        "or set kafka.bootstrap.servers";
    (void)state;
    store_verdict = STORE_RETRY;
    run();
    assert_string_equal(missed, of_redis);
    now_ms = until_ms;
    run();
    assert_string_equal(missed, "waiting for Redis: no Redis");
    store_verdict = STORE_OK;
    look_verdict = TOPICS_RETRY;
    now_ms = until_ms;
    run();
    assert_string_equal(missed, of_kafka);
    assert_int_equal(until_ms, now_ms + 250);
    look_verdict = TOPICS_OK;
    store_verdict = STORE_OK;
    now_ms = until_ms;
    assert_int_equal(run(), PREFLIGHT_PASSED);
    assert_string_equal(missed, of_redis);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(all_is_looked_at_once),
        TEST(without_a_topic_for_rejected_records_none_is_looked_at),
        TEST(what_a_redis_may_lack_is_warned_of_each_time),
        TEST(redis_has_its_time_to_answer),
        TEST(it_has_no_more_than_its_time),
        TEST(kafka_is_waited_for),
        TEST(an_output_that_is_missing_is_created_and_awaited),
        TEST(an_output_that_cannot_be_created),
        cmocka_unit_test(what_only_somebody_can_fix_ends_the_start),
        TEST(what_is_asked_is_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
