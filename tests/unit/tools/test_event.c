/* event, and its promise that login judges each event as it says. */
#include "tools/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct event_plan usual = {
    .seed = 7,
    .users = 1000,
    .skew = 1.0,
    .invalid_percent = 30,
    .start_ms = INT64_C(1720622216500),
    .rate = 100,
};

static const char seed_1[] =
    "{\"user_id\": \"62e5e6c9-2c87-4af8-84ae-824515c4a2d8\", \"app_version\": \"2.2.4\", "
    "\"ip\": \"31.69.42.8\", \"locale\": \"TX\", "
    "\"device_id\": \"12cc7aaf-341a-409a-b8c2-80f46e3b1fc6\", \"timestamp\": 1720622216, "
    "\"device_type\": \"android\"}";

static void the_same_plan_gives_the_same_bytes(void **state) {
    (void)state;
    struct event_source *a = event_source_create(&usual);
    struct event_source *b = event_source_create(&usual);
    struct event_plan other = usual;
    other.seed++;
    struct event_source *c = event_source_create(&other);
    int different = 0;
    for (int i = 0; i < 5000; i++) {
        struct event x, y, z;
        event_next(a, &x);
        event_next(b, &y);
        event_next(c, &z);
        assert_int_equal(x.value_bytes, y.value_bytes);
        assert_int_equal(x.timestamp_ms, y.timestamp_ms);
        assert_int_equal(x.value == NULL, y.value == NULL);
        if (x.value != NULL) assert_memory_equal(x.value, y.value, x.value_bytes);
        different += x.value_bytes != z.value_bytes || x.value == NULL || z.value == NULL ||
                     memcmp(x.value, z.value, x.value_bytes) != 0;
    }
    assert_in_range(different, 4800, 5000);
    event_source_destroy(&a);
    event_source_destroy(&b);
    event_source_destroy(&c);
    assert_null(a);
}

static void seed_1_is_this_login_for_ever(void **state) {
    (void)state;
    const struct event_plan plan = {
        .seed = 1, .users = 10, .start_ms = INT64_C(1720622216000), .rate = 1};
    struct event_source *source = event_source_create(&plan);
    struct event event;
    event_next(source, &event);
    char text[EVENT_VALUE_BYTES + 1];
    snprintf(text, sizeof text, "%.*s", (int)event.value_bytes, event.value);
    assert_string_equal(text, seed_1);
    event_source_destroy(&source);
}

static void login_judges_each_event_as_it_says(void **state) {
    (void)state;
    const struct login_rules rules = {
        .dimensions = {{"device_type"}, {"locale"}}, .dimension_count = 2, .max_future_s = 3600};
    struct login_judge *judge = login_judge_create(&rules);
    struct event_source *source = event_source_create(&usual);
    int counts[LOGIN_REASON_COUNT] = {0};
    for (int i = 0; i < 50000; i++) {
        struct event event;
        struct login login;
        event_next(source, &event);
        const struct login_record record = {
            {event.value, event.value_bytes}, event.timestamp_ms, NULL};
        login_judge_record(judge, &record, &login);
        if (login.reason != event.reason) {
            fail_msg("%s instead of %s: %.*s", login_reason_name(login.reason),
                     login_reason_name(event.reason), (int)event.value_bytes, event.value);
        }
        counts[event.reason]++;
        if (event.reason != LOGIN_ACCEPTED) continue;
        assert_int_equal(login.minute, event.minute);
        assert_int_equal(login.values[0].length, strlen(event.device_type));
        assert_memory_equal(login.values[0].bytes, event.device_type, login.values[0].length);
        assert_int_equal(login.values[1].length, strlen(event.locale));
        assert_memory_equal(login.values[1].bytes, event.locale, login.values[1].length);
        assert_int_equal(login.key.length, 36);
    }
    for (int reason = 1; reason < LOGIN_REASON_COUNT; reason++) {
        assert_in_range(counts[reason], 2300, 2700); /* 30 % in six reasons */
    }
    event_source_destroy(&source);
    login_judge_destroy(&judge);
}

static void event_time_follows_start_and_rate(void **state) {
    (void)state;
    struct event_plan plan = usual;
    plan.rate = 300;
    struct event_source *source = event_source_create(&plan);
    struct event event;
    for (int i = 0; i < 3000; i++) {
        event_next(source, &event);
        assert_int_equal(event.timestamp_ms, plan.start_ms + i * 10 / 3);
    }
    event_source_advance(source, plan.start_ms); /* never back */
    event_next(source, &event);
    assert_int_equal(event.timestamp_ms, plan.start_ms + 10000);
    event_source_advance(source, plan.start_ms + 60000);
    event_next(source, &event);
    assert_int_equal(event.timestamp_ms, plan.start_ms + 60000);
    event_source_destroy(&source);
}

/* Answers in how many of 20000 logins the most frequent user was seen. */
static int count_of_first_user(double skew) {
    struct event_plan plan = usual;
    plan.skew = skew;
    plan.users = 100;
    plan.invalid_percent = 0;
    struct event_source *source = event_source_create(&plan);
    char ids[100][36];
    int counts[100] = {0};
    int users = 0;
    int most = 0;
    for (int i = 0; i < 20000; i++) {
        struct event event;
        event_next(source, &event);
        const char *id = event.value + strlen("{\"user_id\": \"");
        int user = 0;
        while (user < users && memcmp(ids[user], id, 36) != 0)
            user++;
        if (user == users) memcpy(ids[users++], id, 36);
        counts[user]++;
        if (counts[user] > most) most = counts[user];
    }
    assert_int_equal(users, 100);
    event_source_destroy(&source);
    return most;
}

static void skew_makes_some_users_frequent(void **state) {
    (void)state;
    assert_in_range(count_of_first_user(0), 200, 270);     /* 1 in 100 */
    assert_in_range(count_of_first_user(1.0), 3600, 4100); /* 1 in H(100) = 5.187 */
}

static void the_share_of_invalid_events_is_exact_at_its_ends(void **state) {
    (void)state;
    struct event_plan plan = usual;
    for (int percent = 0; percent <= 100; percent += 100) {
        plan.invalid_percent = percent;
        struct event_source *source = event_source_create(&plan);
        for (int i = 0; i < 5000; i++) {
            struct event event;
            event_next(source, &event);
            assert_int_equal(event.reason != LOGIN_ACCEPTED, percent == 100);
        }
        event_source_destroy(&source);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_plan_gives_the_same_bytes),
        cmocka_unit_test(seed_1_is_this_login_for_ever),
        cmocka_unit_test(login_judges_each_event_as_it_says),
        cmocka_unit_test(event_time_follows_start_and_rate),
        cmocka_unit_test(skew_makes_some_users_frequent),
        cmocka_unit_test(the_share_of_invalid_events_is_exact_at_its_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
