/* generator: the options of generate and demo, and the plans made of them. */
#include "tools/generator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static const struct command *const commands[] = {&command_demo, &command_generate, NULL};

static struct options options;
static struct error error;
static const struct generator_plan *const own = (const void *)options.own;

/* The plan of the line that was parsed last. */
static struct generator_plan plan_at(int64_t now_ms) {
    struct generator_plan plan = *own;
    generator_complete(&plan, now_ms);
    return plan;
}

/* Parses a line whose words are separated by single spaces. */
static enum options_verdict parse(const char *line) {
    char copy[512] = "rollcall ";
    char *argv[32];
    strcat(copy, line);
    char *left = copy;
    int argc = 0;
    for (char *word = strsep(&left, " "); word != NULL; word = strsep(&left, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    return options_parse(argc, argv, commands, &options, &error);
}

static void taken(const char *line) {
    if (parse(line) != OPTIONS_GO_ON) fail_msg("\"%s\": %s", line, error.text);
}

static void assert_wrong(const char *line, const char *expected) {
    assert_int_equal(parse(line), OPTIONS_WRONG);
    if (strstr(error.text, expected) == NULL) fail_msg("\"%s\": %s", line, error.text);
}

static void each_option_is_read_into_its_place(void **state) {
    (void)state;
    taken("generate --count 5 --rate 6 --users 7 --skew 0.5 --invalid 2.5 --seed 8"
          " --start 1720622216");
    assert_int_equal(own->count, 5);
    assert_int_equal(own->rate, 6);
    assert_int_equal(own->event.users, 7);
    assert_true(own->event.skew > 0.49 && own->event.skew < 0.51);
    assert_true(own->event.invalid_percent > 2.49 && own->event.invalid_percent < 2.51);
    assert_int_equal(own->event.seed, 8);
    assert_int_equal(own->event.start_ms, INT64_C(1720622216000));
    assert_int_equal(plan_at(0).event.rate, 6);
    taken("generate --seed 0 --start 0");
    assert_int_equal(own->event.seed, 0);
    assert_int_equal(plan_at(5).event.seed, 0);
    assert_int_equal(plan_at(5).event.start_ms, 0); /* 0 is a time, and not none */
}

static void defaults_differ_where_commands_do(void **state) {
    (void)state;
    taken("demo");
    assert_int_equal(own->count, 100000);
    assert_int_equal(own->rate, 0);
    assert_int_equal(plan_at(0).event.rate, 1000);
    assert_int_equal(own->event.start_ms, GENERATOR_NOW);
    assert_int_equal(own->event.users, 10000);
    assert_int_equal(own->event.seed, 1);
    assert_true(own->event.skew > 0.99 && own->event.invalid_percent > 0.99);
    taken("generate");
    assert_int_equal(own->count, 0);
    assert_int_equal(own->rate, 100);
    taken("generate --rate 0");
    assert_int_equal(own->rate, 0);
}

static void start_is_unix_seconds_or_iso_8601(void **state) {
    (void)state;
    static const struct {
        const char *line;
        int64_t start_s;
    } cases[] = {
        {"demo --start 1720622216", 1720622216},
        {"demo --start 2024-07-10T14:36:56Z", 1720622216},
        {"demo --start 2024-07-10T14:36:56", 1720622216},
        {"demo --start 2024-07-10T14:36:56.789Z", 1720622216},
        {"demo --start 2024-07-10T16:36:56+02:00", 1720622216},
        {"demo --start 2024-07-10T04:06:56-1030", 1720622216},
        {"demo --start 2024-07-10T14:36", 1720622160},
        {"demo --start 2024-07-10", 1720569600},
        {"demo --start 2024-02-29", 1709164800},
        {"demo --start 0", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        taken(cases[i].line);
        assert_int_equal(own->event.start_ms, cases[i].start_s * 1000);
    }
    assert_wrong("demo --start 2023-02-29", "--start: \"2023-02-29\" is neither");
    assert_wrong("demo --start 2024-07-10T14:36:56X", "is neither");
    assert_wrong("demo --start 2024-07-10T25:00", "is neither");
    assert_wrong("demo --start 1969-12-31", "is neither");
    assert_wrong("demo --start=", "is neither");
    assert_wrong("demo --start -5", "is neither");
    assert_wrong("demo --start yesterday", "neither seconds");
    assert_wrong("demo --start 99999999999", "allowed are");
    /* not cut to what would be a time */
    assert_wrong("demo --start 2024-07-10T14:36:56.00000000000000000000000000000000000000x",
                 "is neither");
    assert_wrong("demo --start 2024-07-10T14:36:56.000000000000000000000000000000000000000000Z0000",
                 "is neither");
    assert_wrong("demo --start 1960-07-10T14:36:56Z", "neither seconds");
}

static void numbers_out_of_range_say_the_range(void **state) {
    (void)state;
    assert_wrong("demo --count 0", "allowed are 1 to 1000000000000");
    assert_wrong("demo --count -1", "out of range");
    assert_wrong("demo --rate 10000001", "allowed are 0 to 10000000");
    assert_wrong("demo --users 0", "allowed are 1 to 1000000");
    assert_wrong("demo --users 1000001", "allowed are 1 to 1000000");
    assert_wrong("demo --skew 4.1", "allowed are 0 to 4");
    assert_wrong("demo --skew nan", "not a number");
    assert_wrong("demo --invalid 101", "allowed are 0 to 100");
    assert_wrong("demo --invalid .", "not a number");
    assert_wrong("demo --seed x", "not a whole number");
}

static void a_plan_without_a_start_is_of_now(void **state) {
    (void)state;
    const int64_t now_ms = INT64_C(1800000000000);
    taken("generate --rate 50 --count 100");
    struct generator_plan plan = plan_at(now_ms);
    assert_int_equal(plan.event.start_ms, now_ms);
    assert_false(plan.follows_clock);
    taken("generate --rate 0 --count 60000");
    plan = plan_at(now_ms);
    assert_int_equal(plan.event.start_ms, now_ms - 60000);
    assert_false(plan.follows_clock);
    taken("generate --rate 0");
    plan = plan_at(now_ms);
    assert_int_equal(plan.event.start_ms, now_ms);
    assert_true(plan.follows_clock);
    taken("generate --rate 0 --start 5");
    plan = plan_at(now_ms);
    assert_int_equal(plan.event.start_ms, 5000);
    assert_false(plan.follows_clock);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_option_is_read_into_its_place),
        cmocka_unit_test(defaults_differ_where_commands_do),
        cmocka_unit_test(start_is_unix_seconds_or_iso_8601),
        cmocka_unit_test(numbers_out_of_range_say_the_range),
        cmocka_unit_test(a_plan_without_a_start_is_of_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
