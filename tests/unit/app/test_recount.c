/* audit, snapshot and rebuild, over what run has counted. */
#include "app/running.h"
#include "edge/redis_swap.h"
#include "logged.h"

static const int signals[] = {SIGTERM, SIGINT, SIGHUP};

static int64_t wait_s; /* of audit */

/* The exit status of a command; what it says is in captured. extra: one more setting, or NULL. */
static int execute(const struct command *command, const char *extra, bool has_flag) {
    static char settings[2][160];
    struct error error = {""};
    snprintf(settings[0], 160, "kafka.bootstrap.servers=%s",
             rd_kafka_mock_cluster_bootstraps(broker.cluster));
    snprintf(settings[1], 160, "redis.url=%s", redis.url);
    struct options options = {.overrides = {settings[0], settings[1], extra},
                              .override_count = extra == NULL ? 2 : 3};
    memcpy(options.own, &has_flag, sizeof has_flag);
    if (command == &command_audit) memcpy(options.own, &wait_s, sizeof wait_s);
    char *envp[] = {NULL};
    struct config *own = config_create(&options, envp, &error);
    if (own == NULL) fail_msg("%s", error.text);
    struct sigaction caught[3]; /* by the program, if it runs */
    for (int i = 0; i < 3; i++)
        sigaction(signals[i], NULL, &caught[i]);
    capture_begin();
    const int result = command->run(own, &options);
    capture_end();
    for (int i = 0; i < 3; i++)
        sigaction(signals[i], &caught[i], NULL);
    config_destroy(&own);
    return result;
}

/* Each difference has a line, and they are as many as the sum says. */
static void differences_are_counted(int result) {
    long count = 0;
    const char *sum = strstr(captured, " records counted again: ");
    if (sum == NULL) return;
    sum += strlen(" records counted again: ");
    for (const char *line = captured; line < sum; line = strchr(line, '\n') + 1) {
        const size_t length = strcspn(line, "\n");
        count += memmem(line, length, ": counted ", 10) != NULL ||
                 memmem(line, length, ": is not an offset of ", 22) != NULL;
    }
    if (strtol(sum, NULL, 10) != count || result != (count > 0)) fail_msg("%s", captured);
}

static int audit(const char *extra) {
    const int result = execute(&command_audit, extra, false);
    differences_are_counted(result);
    return result;
}

static int rebuild(void) {
    return execute(&command_rebuild, NULL, false);
}

static int forget(void) {
    return execute(&command_rebuild, NULL, true);
}

/* All records are counted, and the program has ended. */
static int begin_counted(void **state) {
    if (begin(state) != 0) return -1;
    write_records();
    start("at_least_once"); /* of a transaction the in-process cluster keeps no offsets */
    await("rollcall_records_counted_total", ALL);
    await("rollcall_records_published_total", ALL);
    assert_int_equal(stop(SIGTERM), 0);
    return 0;
}

static void damage(void) {
    in_redis("25 ", "ZINCRBY {user-login}:locale_counts 5 PA");
    in_redis("1 ", "ZADD {user-login}:locale_counts 3 foreign");
    in_redis("8 ", "HINCRBY {user-login}:rejected_counts bad_value 7");
    in_redis("1 ", "HDEL {user-login}:rejected_counts empty");
    in_redis("21 ", "HINCRBY {user-login}:login_counts:2024-07-10 14:36 1");
    in_redis("1 ", "HDEL {user-login}:login_counts:2024-07-10 14:38");
}

/* --- audit ------------------------------------------------------------------------------------ */

static void right_counts_have_no_difference(void **state) {
    (void)state;
    assert_int_equal(audit(NULL), 0);
    assert_string_equal(captured, "67 records counted again: 0 differences\n");
    redis_holds_all();
}

static void each_difference_is_named(void **state) {
    (void)state;
    damage();
    in_redis("1 ", "HSET {user-login}:login_counts:2024-07-10 noon 5");
    in_redis("1 ", "HSET {user-login}:login_counts:2024-07-10 23:59 9");
    in_redis("1 ", "HSET {user-login}:rejected_counts strange 4");
    in_redis("0 ", "HSET {user-login}:rejected_counts not_json 0");
    in_redis("1 ", "HSET {user-login}:login_counts:__other__ __other__ 6");
    assert_int_equal(audit(NULL), 1);
    static const char *const lines[] = {
        "{user-login}:locale_counts \"PA\": counted 20, stored 25\n",
        "{user-login}:locale_counts \"foreign\": counted 0, stored 3\n",
        "{user-login}:rejected_counts \"bad_value\": counted 1, stored 8\n",
        "{user-login}:rejected_counts \"empty\": counted 2, stored 0\n",
        "{user-login}:rejected_counts \"strange\": counted 0, stored 4\n",
        "{user-login}:rejected_counts \"not_json\": counted 0, stored 0\n",
        "{user-login}:rejected_counts \"not_json\": counted 1, stored 0\n",
        "{user-login}:login_counts:2024-07-10 \"14:36\": counted 20, stored 21\n",
        "{user-login}:login_counts:2024-07-10 \"14:38\": counted 1, stored 0\n",
        "{user-login}:login_counts:2024-07-10 \"noon\": counted 0, stored 5\n",
        "{user-login}:login_counts:2024-07-10 \"23:59\": counted 0, stored 9\n",
        "{user-login}:login_counts:__other__ \"__other__\": counted 0, stored 6\n",
        "67 records counted again: 12 differences\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        shows(lines[i]);
    shows_not("device_type");
    shows_not("\"US\"");
    assert_int_equal(rebuild(), 0); /* which puts it right */
    assert_int_equal(forget(), 0);
    redis_holds_all();
}

static void foreign_bytes_are_escaped(void **state) {
    (void)state;
    in_redis("1 ", "ZADD {user-login}:locale_counts 3 a\xff\u202e\033[2J");
    in_redis("1 ", "HSET {user-login}:rejected_counts strange \033[2J");
    in_redis("1 ", "HSET {user-login}:offsets \xfe\033 1");
    assert_int_equal(audit(NULL), 1);
    shows("{user-login}:locale_counts \"a\xEF\xBF\xBD\\\\xff\\u202e\\u001b[2J\": counted 0, "
          "stored 3\n");
    shows("{user-login}:rejected_counts \"strange\": counted 0, stored \\x1b[2J\n");
    shows("{user-login}:offsets \"\\xfe\\x1b\": is not an offset");
    shows_not("\033");
    in_redis("1 ", "ZREM {user-login}:locale_counts a\xff\u202e\033[2J");
    in_redis("1 ", "HDEL {user-login}:rejected_counts strange");
    in_redis("1 ", "HDEL {user-login}:offsets \xfe\033");
}

static void days_are_compared_in_whatever_order_they_come(void **state) {
    (void)state;
    in_redis("168 ", "EVAL for\ti=0,167\tdo\t"
                     "local\tday=string.format('2023-%%02d-%%02d',6-i%%6,28-(i-i%%6)/6)\t"
                     "redis.call('ZADD',KEYS[1],i,day)\t"
                     "redis.call('HSET',KEYS[2]..day,'12:00',1)\tend\treturn\t168 "
                     "2 {user-login}:login_days {user-login}:login_counts:");
    assert_int_equal(audit(NULL), 1);
    shows("{user-login}:login_counts:2023-01-01 \"12:00\": counted 0, stored 1\n");
    shows("{user-login}:login_counts:2023-06-28 \"12:00\": counted 0, stored 1\n");
    shows("67 records counted again: 168 differences\n");
}

/* Of days that came in no order: those whose records are old enough may be gone, the others not. */
static void a_day_that_cannot_have_expired_is_missed(void **state) {
    (void)state;
#define RECORD(time_s) "{\"locale\": \"XX\", \"device_type\": \"tv\", \"timestamp\": " #time_s "}"
    static const char *const fresh[] = {RECORD(1704240000), RECORD(1704067200), RECORD(1704153600),
                                        RECORD(1704240060)};
    static const char *const old[] = {RECORD(1704326400), RECORD(1703980800)};
    write_at(0, fresh, 3, clock_wall_ms());
    write_at(0, old, 2, RECORD_S * INT64_C(1000));
    write_all(0, fresh + 3, 1); /* of a day the newest time counts */
    in_redis("0 ", "HSET {user-login}:offsets 0 36");
    in_redis("1 ", "ZADD {user-login}:locale_counts 6 XX");
    in_redis("1 ", "ZADD {user-login}:device_type_counts 6 tv");
    assert_int_equal(audit(NULL), 1);
    shows("{user-login}:login_counts:2024-01-01 \"00:00\": counted 1, stored 0\n");
    shows("{user-login}:login_counts:2024-01-02 \"00:00\": counted 1, stored 0\n");
    shows("{user-login}:login_counts:2024-01-03 \"00:00\": counted 1, stored 0\n");
    shows("{user-login}:login_counts:2024-01-03 \"00:01\": counted 1, stored 0\n");
    shows("73 records counted again: 4 differences\n");
}

/* Its number is 0. */
static void the_first_day_of_all_is_a_day(void **state) {
    (void)state;
    static const char *const first[] = {
        "{\"locale\": \"XX\", \"device_type\": \"tv\", \"timestamp\": 60}"};
    write_all(0, first, 1);
    in_redis("0 ", "HSET {user-login}:offsets 0 31");
    in_redis("1 ", "ZADD {user-login}:locale_counts 1 XX");
    in_redis("1 ", "ZADD {user-login}:device_type_counts 1 tv");
    in_redis("1 ", "HSET {user-login}:login_counts:1970-01-01 00:01 1");
    in_redis("1 ", "ZADD {user-login}:login_days 9999999999 1970-01-01");
    assert_int_equal(audit(NULL), 0);
    shows("68 records counted again: 0 differences\n");
}

static void what_may_have_expired_is_no_difference(void **state) {
    (void)state;
    in_redis("1 ", "DEL {user-login}:login_counts:2024-07-10");
    in_redis("1 ", "ZREM {user-login}:login_days 2024-07-10");
    in_redis("1 ", "ZADD {user-login}:login_days 9999999999 2024-07-12"); /* with Redis's time */
    assert_int_equal(audit(NULL), 0);
    shows("67 records counted again: 0 differences\n"
          "60 logins are of days that aggregate.retention_days lets expire, and were not compared "
          "by minute\n");
    assert_int_equal(audit("aggregate.retention_days=4000"), 1); /* it should be there then */
    shows("{user-login}:login_counts:2024-07-10 \"14:36\": counted 20, stored 0\n");
}

static void only_what_was_counted_is_compared(void **state) {
    (void)state;
    in_redis("0 ", "HSET {user-login}:offsets 1 0");
    assert_int_equal(audit(NULL), 1);
    shows("30 records counted again: ");
    shows_not("is not an offset");
    in_redis("1 ", "HDEL {user-login}:offsets 1");
    assert_int_equal(audit(NULL), 1);
    shows("30 records counted again: ");
    in_redis("1 ", "HSET {user-login}:offsets 1 37");
    in_redis("3 ", "HSET {user-login}:offsets 2 1 x 1 -1 1");
    assert_int_equal(audit(NULL), 1);
    shows("{user-login}:offsets \"2\": is not an offset of the topic's 2 partitions\n");
    shows("{user-login}:offsets \"x\": is not an offset of the topic's 2 partitions\n");
    shows("{user-login}:offsets \"-1\": is not an offset of the topic's 2 partitions\n");
    shows("67 records counted again: 3 differences\n");
    in_redis("3 ", "HDEL {user-login}:offsets 2 x -1");
}

static void what_kafka_no_longer_holds_cannot_be_compared(void **state) {
    (void)state;
    in_redis("0 ", "HSET {user-login}:offsets 1 40");
    assert_int_equal(audit(NULL), 1);
    assert_string_equal(captured, "");
    in_redis("0 ", "HSET {user-login}:offsets 1 37");
    assert_int_equal(audit("input.topic=nowhere"), 1);
    assert_string_equal(captured, "");
    assert_int_equal(rd_kafka_mock_partition_delete_records(broker.cluster, "user-login", 0, 4), 0);
    assert_int_equal(audit(NULL), 1);
    assert_string_equal(captured, "");
}

/* audit --wait 1 */
static int audit_waiting(const char *extra) {
    wait_s = 1;
    const int result = audit(extra);
    wait_s = 0;
    return result;
}

static void what_is_not_counted_yet_is_shown_and_waited_for(void **state) {
    (void)state;
    assert_int_equal(audit_waiting(NULL), 0);
    assert_string_equal(captured, "67 records counted again: 0 differences\n");
    in_redis("0 ", "HSET {user-login}:offsets 1 30");
    assert_int_equal(audit(NULL), 1);
    shows("60 records counted again: ");
    shows("\n7 further records are in Kafka and not counted yet\n");
    assert_int_equal(audit_waiting(NULL), 1);
    assert_string_equal(captured, ""); /* nothing counts them: it gave up */
    in_redis("1 ", "HDEL {user-login}:offsets 1");
    assert_int_equal(audit_waiting(NULL), 1);
    assert_string_equal(captured, "");
    assert_int_equal(audit_waiting("redis.url=redis://127.0.0.1:1"), 1);
    assert_string_equal(captured, "");
    in_redis("1 ", "HSET {user-login}:offsets 1 37");
}

/* Instances end where a record that they need is gone: nobody counts the others. */
static void who_waits_in_vain_is_told_how_much_is_gone(void **state) {
    (void)state;
    in_redis("0 ", "HSET {user-login}:offsets 1 30");
    assert_int_equal(rd_kafka_mock_partition_delete_records(broker.cluster, "user-login", 1, 33),
                     0);
    assert_int_equal(audit_waiting(NULL), 1);
    assert_int_equal(logged_count("Kafka no longer holds 3 of the records that are not counted",
                                  "input.on_gap=continue"),
                     1);
    const int waited = logged_count("are still 7 records behind", "--wait");
    assert_int_equal(audit_waiting("input.on_gap=continue"), 1); /* they may be counted yet */
    assert_int_equal(logged_count("are still 7 records behind", "--wait"), waited + 1);
    in_redis("0 ", "HSET {user-login}:offsets 1 37");
}

static void values_past_the_limit_are_compared_together(void **state) {
    begin(state);
    write_records(); /* before the group begins, the second partition loses some */
    assert_int_equal(rd_kafka_mock_partition_delete_records(broker.cluster, "user-login", 1, 4), 0);
    start_with("at_least_once", "aggregate.max_values=1");
    await("rollcall_records_counted_total", ALL - 4);
    await("rollcall_records_published_total", ALL - 4);
    assert_int_equal(stop(SIGTERM), 0);
    in_redis("1 ", "EXISTS {user-login}:locale_counts");
    assert_int_equal(audit("aggregate.max_values=1"), 0);
    shows("63 records counted again: 0 differences\n");
    struct error error = {""};
    struct redis_reply *answer =
        redis_link_call(admin, &error, "ZINCRBY {user-login}:locale_counts 1 __other__");
    redis_reply_destroy(&answer);
    assert_int_equal(audit("aggregate.max_values=1"), 1);
    shows("{user-login}:locale_counts \"__other__\": counted ");
    shows("63 records counted again: 1 differences\n");
}

/* --- snapshot --------------------------------------------------------------------------------- */

static void a_snapshot_is_one_json_object(void **state) {
    (void)state;
    assert_int_equal(execute(&command_snapshot, NULL, false), 0);
    assert_int_equal(captured[0], '{');
    shows("\"Logins by Locale\": {\"US\": 40, \"PA\": 20}");
    shows("\"2024-07-10 14:36\": 20");
    assert_string_equal(captured + strlen(captured) - 3, "}}\n");
    assert_int_equal(execute(&command_snapshot, "redis.url=redis://127.0.0.1:1", false), 1);
    assert_string_equal(captured, "");
}

/* --- rebuild ---------------------------------------------------------------------------------- */

static void a_rebuild_takes_the_place_of_wrong_counts(void **state) {
    (void)state;
    damage();
    assert_int_equal(rebuild(), 0);
    shows("67 records counted; the counts before are under {user-login}:before:*");
    redis_holds_all();
    in_redis("3 ", "ZSCORE {user-login}:before:locale_counts foreign");
    in_redis("8 ", "HGET {user-login}:before:rejected_counts bad_value");
    in_redis("21 ", "HGET {user-login}:before:login_counts:2024-07-10 14:36");
    in_redis("", "KEYS {user-login}:rebuild:*");
    assert_int_equal(audit(NULL), 0);
    assert_int_equal(rebuild(), 1); /* the old ones are still there */
    assert_string_equal(captured, "");
    redis_holds_all();
    assert_int_equal(forget(), 0);
    shows(" keys deleted\n");
    assert_int_not_equal(captured[0], '0');
    in_redis("", "KEYS {user-login}:before:*");
    redis_holds_all();
    assert_int_equal(forget(), 0);
    assert_string_equal(captured, "0 keys deleted\n");
    assert_int_equal(rebuild(), 0);
    redis_holds_all();
}

/* Keys of others are not moved, though their names begin as ours do. */
static void a_rebuild_leaves_the_keys_of_others(void **state) {
    (void)state;
    in_redis("OK ", "SET {user-login}2:locale_counts x");
    in_redis("OK ", "SET {user-login}:else:locale_counts x");
    in_redis("OK ", "SET {user-login}:old_counts x"); /* of settings that rollcall had once */
    in_redis("1 ", "ZADD {user-login}:rebuild:locale_counts 5 half"); /* of one that was killed */
    assert_int_equal(rebuild(), 0);
    redis_holds_all();
    in_redis("x ", "GET {user-login}2:locale_counts");
    in_redis("x ", "GET {user-login}:else:locale_counts");
    in_redis("x ", "GET {user-login}:before:old_counts");
    in_redis("0 ", "EXISTS {user-login}:old_counts");
}

static void what_a_killed_rebuild_left_is_forgotten_too(void **state) {
    (void)state;
    in_redis("1 ", "ZADD {user-login}:rebuild:locale_counts 5 half");
    assert_int_equal(forget(), 0);
    assert_string_equal(captured, "1 keys deleted\n");
    in_redis("", "KEYS {user-login}:rebuild:*");
}

static void a_rebuild_of_another_group_is_refused(void **state) {
    (void)state;
    in_redis("0 ", "HSET {user-login}:meta group other");
    assert_int_equal(rebuild(), 1);
    in_redis("other ", "HGET {user-login}:meta group");
    in_redis("0 ", "HSET {user-login}:meta group rollcall");
    in_redis("20 ", "ZSCORE {user-login}:locale_counts PA");
    in_redis("", "KEYS {user-login}:before:*");
}

static void an_instance_goes_on_from_the_rebuilt_counts(void **state) {
    (void)state;
    static const char *const more[] = {
        "{\"locale\": \"XX\", \"device_type\": \"ios\", \"timestamp\": 1720622216}"};
    start("at_least_once");
    await("rollcall_assigned_partitions", PARTITIONS);
    damage();
    assert_int_equal(rebuild(), 0);
    redis_holds_all();
    write_all(0, more, 1);
    await("rollcall_records_counted_total", 1);
    in_redis("1 ", "ZSCORE {user-login}:locale_counts XX");
    in_redis("21 ", "HGET {user-login}:login_counts:2024-07-10 14:36");
    in_redis("31 ", "HGET {user-login}:offsets 0");
    assert_int_equal(stop(SIGTERM), 0);
    assert_int_equal(audit(NULL), 0);
}

static void a_rebuild_without_all_records_needs_consent(void **state) {
    (void)state;
    assert_int_equal(rd_kafka_mock_partition_delete_records(broker.cluster, "user-login", 0, 4), 0);
    const char *words =
        "Kafka no longer holds 4 of the records that the group began with, so their";
    assert_int_equal(rebuild(), 1);
    assert_string_equal(captured, "");
    assert_int_equal(logged_count(words, "with input.on_gap=continue the rebuild goes on"), 1);
    redis_holds_all();
    in_redis("", "KEYS {user-login}:rebuild:*"); /* nothing was begun */
    words = "Kafka no longer holds records: the rebuilt counts are without them";
    assert_int_equal(execute(&command_rebuild, "input.on_gap=continue", false), 0);
    shows("63 records counted");
    assert_int_equal(logged_count(words, "records=4"), 1);
    in_redis("16 ", "HGET {user-login}:login_counts:2024-07-10 14:36");
}

/* Who may not ask Redis for its policy is told so, and rebuilds nevertheless. */
static void a_redis_that_tells_little_is_warned_of(void **state) {
    (void)state;
    const char *words = "msg=\"maxmemory-policy of Redis at redis://127.0.0.1:";
    in_redis("OK ", "ACL SETUSER default -info");
    const int before = logged_count(words, "cannot be read: make sure that it is noeviction");
    assert_int_equal(rebuild(), 0);
    shows("67 records counted; ");
    assert_int_equal(logged_count(words, "cannot be read: make sure that it is noeviction"),
                     before + 1);
    in_redis("OK ", "ACL SETUSER default +@all");
    redis_holds_all();
}

/* --- unreachable servers ---------------------------------------------------------------------- */

static void who_is_away_is_named_with_the_fix(void **state) {
    (void)state;
    assert_int_equal(audit("kafka.bootstrap.servers=127.0.0.1:1"), 1); /* the same of a rebuild */
    assert_int_equal(logged_count("Kafka at 127.0.0.1:1 does not answer (", "Connection refused): "
                                                                            "see that it runs"),
                     1);
    static const char nowhere[] = "redis.url=redis://127.0.0.1:1";
    static const char words[] = "Redis at redis://127.0.0.1:1/0 cannot be reached: ";
    static const char fix[] = "; start Redis, or set redis.url";
    const int before = logged_count(words, "");
    assert_int_equal(audit(nowhere), 1);
    assert_int_equal(execute(&command_rebuild, nowhere, false), 1);
    assert_int_equal(execute(&command_snapshot, nowhere, false), 1);
    assert_int_equal(logged_count(words, ""), before + 3);
    assert_int_equal(logged_count(words, fix), before + 3);
}

/* --- a rebuild and a second thread ------------------------------------------------------------ */

/* For a second thread, as the first one uses admin. */
static struct redis_link *open_link(void) {
    struct error error = {""};
    struct redis_link *link =
        redis_link_create(&(struct redis_settings){.url = redis.url, .timeout_ms = 5000}, &error);
    redis_link_open(link, &error);
    return link;
}

static void *wait_and_make_room(void *context) {
    struct error error = {""};
    struct redis_link *link = open_link();
    bool has_waited = false;
    for (const int64_t until_ms = clock_ms() + WAIT_MS; !has_waited && clock_ms() < until_ms;) {
        has_waited = logged_count("Waiting for Redis", "OOM") > 0;
        clock_sleep_ms(10);
    }
    struct redis_reply *answer = redis_link_call(link, &error, "CONFIG SET maxmemory 0");
    redis_reply_destroy(&answer);
    redis_link_destroy(&link);
    *(bool *)context = has_waited;
    return NULL;
}

static void a_rebuild_waits_for_a_redis_that_is_full(void **state) {
    (void)state;
    pthread_t helper;
    bool has_waited = false;
    in_redis("OK ", "CONFIG SET maxmemory 1");
    assert_int_equal(pthread_create(&helper, NULL, wait_and_make_room, &has_waited), 0);
    const int result = rebuild();
    pthread_join(helper, NULL);
    assert_int_equal(result, 0);
    assert_true(has_waited);
    redis_holds_all();
    assert_int_equal(forget(), 0);
}

/* What somebody does while a rebuild waits for a record; NULL: nothing. */
static bool (*meanwhile)(struct redis_link *link);

static void *write_one_more(void *context) {
    static const char *const more[] = {
        "{\"locale\": \"PA\", \"device_type\": \"ios\", \"timestamp\": 1720622216}"};
    struct error error = {""};
    struct redis_link *link = open_link();
    bool is_stored = false;
    for (const int64_t until_ms = clock_ms() + WAIT_MS; !is_stored && clock_ms() < until_ms;) {
        struct redis_reply *answer =
            redis_link_call(link, &error, "HGET {user-login}:rebuild:offsets 0");
        is_stored = answer != NULL && strcmp(redis_reply_text(answer).bytes, "30") == 0;
        redis_reply_destroy(&answer);
        clock_sleep_ms(10);
    }
    if (meanwhile != NULL) is_stored &= meanwhile(link);
    redis_link_destroy(&link);
    write_all(0, more, 1);
    *(bool *)context = is_stored;
    return NULL;
}

/* The live counts are a record ahead until then, so the swap has to wait. */
static int rebuild_while(bool (*act)(struct redis_link *link)) {
    pthread_t writer;
    bool was_done = false;
    meanwhile = act;
    in_redis("0 ", "HSET {user-login}:offsets 0 31");
    assert_int_equal(pthread_create(&writer, NULL, write_one_more, &was_done), 0);
    const int result = rebuild();
    pthread_join(writer, NULL);
    meanwhile = NULL;
    assert_true(was_done);
    return result;
}

static void what_comes_after_the_first_checkpoint_is_added_once(void **state) {
    (void)state;
    assert_int_equal(rebuild_while(NULL), 0);
    shows("68 records counted");
    in_redis("21 ", "ZSCORE {user-login}:locale_counts PA");
    in_redis("40 ", "ZSCORE {user-login}:locale_counts US");
    in_redis("21 ", "HGET {user-login}:login_counts:2024-07-10 14:36");
    in_redis("31 37 ", "HMGET {user-login}:offsets 0 1");
}

static bool cut_all_others(struct redis_link *link) {
    struct error error = {""};
    struct redis_reply *answer =
        redis_link_call(link, &error, "CLIENT KILL TYPE normal SKIPME yes");
    const bool is_done = redis_reply_integer(answer) >= 2;
    redis_reply_destroy(&answer);
    return is_done;
}

static void a_rebuild_outlives_its_connections(void **state) {
    (void)state;
    const int before = logged_count("Waiting for Redis", "broke");
    assert_int_equal(rebuild_while(cut_all_others), 0);
    redis_link_close(admin); /* which was cut, too */
    assert_true(logged_count("Waiting for Redis", "broke") > before);
    in_redis("21 ", "ZSCORE {user-login}:locale_counts PA");
    in_redis("31 37 ", "HMGET {user-login}:offsets 0 1");
}

static bool begin_another(struct redis_link *link) {
    struct error error = {""};
    size_t count = 0;
    return redis_swap_claim(link, "{user-login}", "other", &count, &error) == STORE_OK && count > 5;
}

/* What the first one had counted is gone, and what it counts now must not come to what the other
 * one counts. */
static void a_rebuild_ends_when_another_begins(void **state) {
    (void)state;
    assert_int_equal(rebuild_while(begin_another), 1);
    assert_int_equal(logged_count("was deleted, by another `rollcall rebuild`", "start it again"),
                     1);
    in_redis("{user-login}:rebuild:meta ", "KEYS {user-login}:rebuild:*");
    in_redis("", "KEYS {user-login}:before:*");
    in_redis("0 ", "HSET {user-login}:offsets 0 30");
    redis_holds_all();
}

/* One after the other in one world, since each world takes seconds: what one changes, it puts back,
 * but for the last. */
static void audits(void **state) {
    right_counts_have_no_difference(state);
    a_snapshot_is_one_json_object(state);
    only_what_was_counted_is_compared(state);
    foreign_bytes_are_escaped(state);
    what_is_not_counted_yet_is_shown_and_waited_for(state);
    each_difference_is_named(state);
    what_may_have_expired_is_no_difference(state);
    what_kafka_no_longer_holds_cannot_be_compared(state);
    who_waits_in_vain_is_told_how_much_is_gone(state);
}

static void rebuilds(void **state) {
    a_rebuild_of_another_group_is_refused(state);
    a_rebuild_takes_the_place_of_wrong_counts(state);
    in_redis("1 ", "DEL {user-login}:before:meta");
    assert_int_equal(forget(), 0);
    a_rebuild_leaves_the_keys_of_others(state);
    assert_int_equal(forget(), 0);
    what_a_killed_rebuild_left_is_forgotten_too(state);
    a_rebuild_waits_for_a_redis_that_is_full(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_counted, end)
        TEST(audits),
        TEST(days_are_compared_in_whatever_order_they_come),
        cmocka_unit_test_teardown(values_past_the_limit_are_compared_together, end),
        TEST(rebuilds),
        TEST(a_day_that_cannot_have_expired_is_missed),
        TEST(the_first_day_of_all_is_a_day),
        TEST(who_is_away_is_named_with_the_fix),
        TEST(an_instance_goes_on_from_the_rebuilt_counts),
        TEST(what_comes_after_the_first_checkpoint_is_added_once),
        TEST(a_rebuild_outlives_its_connections),
        TEST(a_rebuild_ends_when_another_begins),
        TEST(a_rebuild_without_all_records_needs_consent),
        TEST(a_redis_that_tells_little_is_warned_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
