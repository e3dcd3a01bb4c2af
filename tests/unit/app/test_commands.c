/* commands: signals, and the versions that are shown. */
#include "app/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/captured.h"
#include "app/config.h"
#include "core/parse.h"
#include "logged.h"
#include "redis_server.h"

static struct redis_server redis;

static int start(void **state) {
    (void)state;
    return redis_server_start(&redis) ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    return redis_server_stop(&redis);
}

static void an_ignored_sighup_stays_ignored(void **state) {
    (void)state;
    signal(SIGHUP, SIG_IGN);
    commands_catch_signals(false);
    raise(SIGHUP);
    assert_false(commands_are_stopped());
    signal(SIGHUP, SIG_DFL);
}

static void sighup_asks_for_the_end(void **state) {
    (void)state;
    commands_catch_signals(false);
    raise(SIGHUP);
    assert_true(commands_are_stopped());
}

static void versions_are_those_in_use_or_marked(void **state) {
    (void)state;
    char *text = NULL, line[64];
    size_t count = 0;
    FILE *stream = open_memstream(&text, &count);
    commands_print_version(stream);
    fclose(stream);
    snprintf(line, sizeof line, "\njansson %s\n", parse_library_version());
    assert_non_null(strstr(text, line));
    assert_non_null(strstr(text, "\nhiredis "));
    for (char *p = text; (p = strchr(p, '\n')) != NULL && p[1] != '\0'; p++) {
        const bool has_no_call =
            strncmp(p + 1, "hiredis", 7) == 0 || strncmp(p + 1, "liburcu", 7) == 0;
        const char *mark = strstr(p + 1, " (at build time)\n");
        assert_int_equal(mark != NULL && mark == p + strcspn(p + 1, "(\n"), has_no_call);
    }
    free(text);
}

static void no_line_steers_the_terminal(void **state) {
    (void)state;
    capture_begin();
    commands_say("bad %s: %d", "a\033[2J\n\xff\u202e\xc2\x9b \u4e2d\xc3", 7);
    capture_end();
    assert_string_equal(captured, "bad a\\x1b[2J\\x0a\\xff\\xe2\\x80\\xae\\xc2\\x9b "
                                  "\u4e2d\\xc3: 7\n");
}

/* The exit status of snapshot for these days; "" for no bound. */
static int snapshot(const char *url, const char *from, const char *to) {
    char setting[128];
    struct error error = {""};
    struct options options = {.overrides = {setting}, .override_count = 1};
    snprintf(setting, sizeof setting, "redis.url=%s", url);
    snprintf((char *)options.own, LOGIN_DAY_BYTES, "%s", from);
    snprintf((char *)options.own + LOGIN_DAY_BYTES, LOGIN_DAY_BYTES, "%s", to);
    char *envp[] = {NULL};
    struct config *config = config_create(&options, envp, &error);
    if (config == NULL) fail_msg("%s", error.text);
    capture_begin();
    const int status = command_snapshot.run(config, &options);
    capture_end();
    config_destroy(&config);
    return status;
}

static void a_snapshot_is_one_line_of_json_for_each_aggregate(void **state) {
    (void)state;
    struct error error = {""};
    struct redis_link *link =
        redis_link_create(&(struct redis_settings){.url = redis.url, .timeout_ms = 5000}, &error);
    assert_true(redis_link_open(link, &error));
    struct redis_reply *reply =
        redis_link_call(link, &error, "ZADD {user-login}:locale_counts 3 PA");
    redis_reply_destroy(&reply);
    redis_link_destroy(&link);
    assert_int_equal(snapshot(redis.url, "", ""), 0);
    assert_string_equal(captured, "{\"Logins by Device Type\": {},\n \"Logins by Locale\": "
                                  "{\"PA\": 3},\n \"Logins Over Time\": {},\n \"Rejected\": "
                                  "{}}\n");
    assert_int_equal(snapshot(redis.url, "2024-07-10", "2024-07-10"), 0);
    assert_int_equal(snapshot(redis.url, "2024-07-11", "2024-07-10"), 2);
    assert_int_equal(logged_count("from: 2024-07-11 is later than to: 2024-07-10", ""), 1);
    assert_int_equal(snapshot("redis://127.0.0.1:1", "", ""), 1);
    assert_int_equal(logged_count("the counts cannot be read", "127.0.0.1:1"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ignored_sighup_stays_ignored),
        cmocka_unit_test(sighup_asks_for_the_end),
        cmocka_unit_test(no_line_steers_the_terminal),
        cmocka_unit_test(versions_are_those_in_use_or_marked),
        cmocka_unit_test(a_snapshot_is_one_line_of_json_for_each_aggregate),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
