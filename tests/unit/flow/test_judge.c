/* judge: a record is judged by the headers that the rules ask for, each in its place. */
#include "flow/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *there = ""; /* the headers that the record has */

/* Stands in for edge's: the value of a header is its name in brackets. */
bool kafka_record_header(const struct kafka_record *record, const char *name, struct slice *value) {
    static char texts[8][32];
    static int next;
    char *text = texts[next++ % 8];
    (void)record;
    snprintf(text, sizeof texts[0], "[%s]", name);
    *value = (struct slice){text, strlen(text)};
    return strstr(there, name) != NULL;
}

static void each_header_is_read_into_its_place(void **state) {
    (void)state;
    static const char value[] = "{\"locale\": \"PA\", \"timestamp\": 60}";
    static const struct login_rules rules = {
        .dimensions = {{.name = "one", .from = "header:one"},
                       {.name = "locale"},
                       {.name = "two", .from = "header:two", .fallback = "none"},
                       {.name = "three", .from = "header:three", .fallback = "none"}},
        .dimension_count = 4,
        .max_future_s = 3600,
    };
    static const struct {
        const char *there, *values[4]; /* values[0] NULL: it is rejected */
    } rows[] = {
        {"one two three", {"[one]", "PA", "[two]", "[three]"}},
        {"one three", {"[one]", "PA", "none", "[three]"}},
        {"one", {"[one]", "PA", "none", "none"}},
        {"two three", {NULL}},
    };
    struct login_judge *judge = login_judge_create(&rules);
    const struct kafka_record record = {.timestamp_ms = 60000, .value = {value, sizeof value - 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct login login;
        there = rows[i].there;
        judge_record(judge, &record, &login);
        if (rows[i].values[0] == NULL) {
            assert_int_equal(login.reason, LOGIN_MISSING_FIELD);
            continue;
        }
        if (login.reason != LOGIN_ACCEPTED) fail_msg("%s", login.detail);
        assert_int_equal(login.minute, 1);
        for (int d = 0; d < 4; d++) {
            assert_int_equal(login.values[d].length, strlen(rows[i].values[d]));
            assert_memory_equal(login.values[d].bytes, rows[i].values[d], login.values[d].length);
        }
    }
    login_judge_destroy(&judge);
}

/* One that Kafka wrote long before is from the future, and one that has no time is not. */
static void the_time_of_kafka_is_judged_too(void **state) {
    (void)state;
    static const char value[] = "{\"timestamp\": 7200}";
    static const struct login_rules rules = {.max_future_s = 3600};
    struct login_judge *judge = login_judge_create(&rules);
    static const struct {
        int64_t timestamp_ms;
        enum login_reason reason;
    } rows[] = {{3600000, LOGIN_ACCEPTED}, {3599000, LOGIN_BAD_TIMESTAMP}, {-1, LOGIN_ACCEPTED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct login login;
        const struct kafka_record record = {.timestamp_ms = rows[i].timestamp_ms,
                                            .value = {value, sizeof value - 1}};
        judge_record(judge, &record, &login);
        assert_int_equal(login.reason, rows[i].reason);
    }
    login_judge_destroy(&judge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_header_is_read_into_its_place),
        cmocka_unit_test(the_time_of_kafka_is_judged_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
