/* log: what a line looks like, how many there may be, where they go. */
#include "base/log.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "locks.h"

static const int64_t july_ms = 1720622216042; /* 2024-07-10T14:36:56.042Z */

static const char *render_line(struct log_line line) {
    static char text[LOG_LINE_BYTES + 1];
    const size_t count = log_render(&line, text);
    assert_in_range(count, 1, LOG_LINE_BYTES);
    text[count] = '\0';
    return text;
}

static const char *render(enum log_format format, const struct log_field *fields) {
    return render_line((struct log_line){.level = LOG_WARN,
                                         .format = format,
                                         .now_ms = july_ms,
                                         .message = "it rains",
                                         .fields = fields});
}

#define FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {0}})

static void assert_logfmt(const struct log_field *fields, const char *expected) {
    char line[LOG_LINE_BYTES];
    snprintf(line, sizeof line, "ts=2024-07-10T14:36:56.042Z level=warn msg=\"it rains\" %s\n",
             expected);
    assert_string_equal(render(LOG_LOGFMT, fields), line);
}

static void assert_json(const struct log_field *fields, const char *expected) {
    char line[LOG_LINE_BYTES];
    snprintf(line, sizeof line,
             "{\"ts\":\"2024-07-10T14:36:56.042Z\",\"level\":\"warn\",\"msg\":\"it rains\",%s}\n",
             expected);
    assert_string_equal(render(LOG_JSON, fields), line);
}

static void a_line_carries_time_level_message_and_fields(void **state) {
    (void)state;
    const struct log_field *fields =
        FIELDS(log_int("partition", -3), log_uint("big", UINT64_MAX), log_float("rate", 1.5),
               log_text("topic", "user-login"));
    assert_logfmt(fields, "partition=-3 big=18446744073709551615 rate=1.5 topic=user-login");
    assert_json(fields, "\"partition\":-3,\"big\":18446744073709551615,\"rate\":1.5,"
                        "\"topic\":\"user-login\"");
}

static void a_missing_text_is_null(void **state) {
    (void)state;
    assert_logfmt(FIELDS(log_text("a", NULL)), "a=null");
    assert_json(FIELDS(log_text("a", NULL)), "\"a\":null");
}

static void logfmt_quotes_what_would_be_misread(void **state) {
    (void)state;
    assert_logfmt(FIELDS(log_text("a", "")), "a=\"\"");
    assert_logfmt(FIELDS(log_text("a", "b c")), "a=\"b c\"");
    assert_logfmt(FIELDS(log_text("a", "b=c")), "a=\"b=c\"");
    assert_logfmt(FIELDS(log_text("a", "b\"c\\d")), "a=\"b\\\"c\\\\d\"");
    assert_logfmt(FIELDS(log_text("a", "Zürich")), "a=\"Zürich\"");
}

/* The first and last characters that need no quotes, their neighbours, and the greatest length. */
static void logfmt_quotes_from_a_bound_on(void **state) {
    (void)state;
    static const char *const plain[] = {"!", "~", "a", "<", "[", "#"};
    static const char *const quoted[] = {" ", "=", "a b", "\x80\x81", "\xC3\xBC"};
    char raw[LOG_VALUE_BYTES], expected[2 * LOG_VALUE_BYTES];
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        snprintf(expected, sizeof expected, "a=%s", plain[i]);
        assert_logfmt(FIELDS(log_text("a", plain[i])), expected);
    }
    for (size_t i = 0; i < sizeof quoted / sizeof *quoted; i++) {
        snprintf(expected, sizeof expected, " msg=\"it rains\" a=\"");
        assert_non_null(strstr(render(LOG_LOGFMT, FIELDS(log_text("a", quoted[i]))), expected));
    }
    for (int length = LOG_VALUE_BYTES / 2 - 1; length <= LOG_VALUE_BYTES / 2 + 1; length++) {
        const char *quote = length > LOG_VALUE_BYTES / 2 ? "\"" : "";
        memset(raw, 'x', sizeof raw);
        raw[length] = '\0';
        snprintf(expected, sizeof expected, "a=%s%s%s", quote, raw, quote);
        assert_logfmt(FIELDS(log_text("a", raw)), expected);
    }
}

static void control_characters_never_reach_the_terminal(void **state) {
    (void)state;
    const char raw[] = "x\n\r\t\x1b[2J\x7f\xc2\x9b\xe2\x80\xa8";
    const struct log_field *fields = FIELDS(log_text("a", raw));
    const char *shown = "x\\n\\r\\t\\u001b[2J\\u007f\\u009b\\u2028";
    char expected[128];
    snprintf(expected, sizeof expected, "a=\"%s\"", shown);
    assert_logfmt(fields, expected);
    snprintf(expected, sizeof expected, "\"a\":\"%s\"", shown);
    assert_json(fields, expected);
}

static void invalid_utf8_is_escaped_byte_by_byte(void **state) {
    (void)state;
    /* lone continuation, overlong, surrogate, above U+10FFFF, cut short */
    const char raw[] = "\x80\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82";
    const struct log_field *fields = FIELDS(log_text("a", raw));
    assert_logfmt(fields, "a=\"\\x80\\xc0\\xaf\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80\\xe2\\x82\"");
    const char *line = render(LOG_JSON, fields);
    json_t *parsed = json_loads(line, 0, NULL);
    assert_non_null(parsed);
    json_decref(parsed);
}

static void every_byte_value_gives_valid_json_on_one_line(void **state) {
    (void)state;
    unsigned seed = 7;
    for (int round = 0; round < 20000; round++) {
        char raw[40] = "";
        for (size_t i = 0; i < sizeof raw - 1; i++) {
            seed = seed * 1664525u + 1013904223u;
            raw[i] = (char)(seed >> 24);
        }
        const char *line = render(LOG_JSON, FIELDS(log_text("raw", raw)));
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        json_t *parsed = json_loads(line, 0, NULL);
        assert_non_null(parsed);
        json_decref(parsed);
    }
}

static void a_long_value_is_cut_and_later_fields_stay(void **state) {
    (void)state;
    char raw[4 * LOG_VALUE_BYTES];
    memset(raw, 'x', sizeof raw);
    raw[sizeof raw - 1] = '\0';
    const struct log_field *fields = FIELDS(log_text("raw", raw), log_int("partition", 4));
    const char *line = render(LOG_LOGFMT, fields);
    assert_non_null(strstr(line, "xxx...\" partition=4\n"));
    line = render(LOG_JSON, fields);
    assert_non_null(strstr(line, "xxx...\",\"partition\":4}\n"));
}

static void a_full_line_drops_whole_fields_and_says_so(void **state) {
    (void)state;
    char raw[LOG_VALUE_BYTES];
    memset(raw, 1, sizeof raw);
    raw[sizeof raw - 1] = '\0';
    struct log_line line = {
        .message = "full",
        .now_ms = july_ms,
        .suppressed_count = UINT64_MAX,
        .dropped_count = UINT64_MAX,
        .fields = FIELDS(log_text("a", raw), log_text("b", raw), log_text("c", raw),
                         log_text("d", raw), log_text("e", raw)),
    };
    assert_non_null(strstr(render_line(line), " dropped=18446744073709551615 cut=true\n"));
    line.format = LOG_JSON;
    const char *text = render_line(line);
    json_t *parsed = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    /* jansson's integers end at 2^63 - 1, so look at the tail itself */
    assert_null(parsed);
    assert_non_null(strstr(text, ",\"dropped\":18446744073709551615,\"cut\":true}\n"));
    line.suppressed_count = line.dropped_count = 1;
    parsed = json_loads(render_line(line), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(parsed);
    assert_non_null(json_object_get(parsed, "c"));
    assert_null(json_object_get(parsed, "e"));
    assert_true(json_is_true(json_object_get(parsed, "cut")));
    json_decref(parsed);
}

static void the_limit_lets_a_burst_pass_and_counts_the_rest(void **state) {
    (void)state;
    static struct log_limit limit;
    uint64_t suppressed = 99;
    for (int i = 0; i < LOG_BURST_LINES; i++) {
        assert_true(log_allow(&limit, "a", 5 + i, &suppressed));
        assert_int_equal(suppressed, 0);
    }
    for (int i = 0; i < 7; i++) {
        assert_false(log_allow(&limit, "a", LOG_WINDOW_MS + 4, &suppressed));
    }
    assert_true(log_allow(&limit, "b", LOG_WINDOW_MS + 4, &suppressed));
    assert_true(log_allow(&limit, "a", LOG_WINDOW_MS + 5, &suppressed));
    assert_int_equal(suppressed, 7);
    assert_true(log_allow(&limit, "a", LOG_WINDOW_MS + 6, &suppressed));
    assert_int_equal(suppressed, 0);
}

static void the_limit_forgets_the_oldest_message_when_full(void **state) {
    (void)state;
    static struct log_limit limit;
    uint64_t suppressed;
    char message[32];
    for (int i = 0; i < 10 * LOG_MESSAGES_MAX; i++) {
        snprintf(message, sizeof message, "message %d", i);
        assert_true(log_allow(&limit, message, i, &suppressed));
    }
    for (int i = 1; i < LOG_BURST_LINES; i++) {
        assert_true(log_allow(&limit, message, 10 * LOG_MESSAGES_MAX, &suppressed));
    }
    assert_false(log_allow(&limit, message, 10 * LOG_MESSAGES_MAX, &suppressed));
}

/* Runs body with stderr in a pipe, and answers what it wrote. */
static char *capture(void (*body)(void)) {
    static char text[256 * 1024];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fcntl(ends[1], F_SETPIPE_SZ, (int)sizeof text);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    const int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    body();
    dup2(saved, STDERR_FILENO);
    close(saved);
    size_t count = 0;
    for (;;) {
        const ssize_t got = read(ends[0], text + count, sizeof text - 1 - count);
        if (got <= 0) break;
        count += (size_t)got;
    }
    close(ends[0]);
    text[count] = '\0';
    return text;
}

static int evaluations;

static int64_t evaluated(void) {
    return ++evaluations;
}

static void write_by_level(void) {
    log_configure(LOG_WARN, LOG_LOGFMT);
    log_error("level error");
    log_warn("level warn", log_int("n", evaluated()));
    log_info("level info", log_int("n", evaluated()));
    log_debug("level debug", log_int("n", evaluated()));
}

static void levels_that_are_off_write_and_evaluate_nothing(void **state) {
    (void)state;
    const char *text = capture(write_by_level);
    assert_non_null(strstr(text, "level=error msg=\"level error\"\n"));
    assert_non_null(strstr(text, "level=warn msg=\"level warn\" n=1\n"));
    assert_null(strstr(text, "level info"));
    assert_int_equal(evaluations, 1);
    assert_true(log_is_enabled(LOG_WARN));
    assert_false(log_is_enabled(LOG_INFO));
}

static void write_held_error(void) {
    for (int i = 1; i <= 3 * LOG_BURST_LINES; i++)
        log_error("held back", log_int("n", i));
    log_info("something else");
    log_flush();
    log_flush();
}

static void the_last_error_is_written_even_if_it_was_over_the_limit(void **state) {
    (void)state;
    const char *text = capture(write_held_error);
    assert_non_null(strstr(text, "msg=\"held back\" n=10\n"));
    assert_null(strstr(text, "n=11\n"));
    const char *last = strstr(text, "n=30\n");
    assert_non_null(last);
    assert_string_equal(last, "n=30\n");
}

static void write_newer_error(void) {
    for (int i = 1; i <= 3 * LOG_BURST_LINES; i++)
        log_error("held once", log_int("n", i));
    log_error("the reason");
    log_flush();
}

static void a_newer_error_stays_the_last_line(void **state) {
    (void)state;
    const char *text = capture(write_newer_error);
    const char *last = strstr(text, "msg=\"the reason\"\n");
    assert_non_null(last);
    assert_string_equal(last, "msg=\"the reason\"\n");
}

static void *write_many(void *name) {
    char message[32];
    for (int i = 0; i < 50; i++) {
        snprintf(message, sizeof message, "thread %s line %d", (const char *)name, i);
        log_warn(message, log_text("who", name), log_text("what", "a quoted value"));
    }
    return NULL;
}

static void write_from_threads(void) {
    log_configure(LOG_INFO, LOG_JSON);
    pthread_t threads[4];
    static char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, write_many, names[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    log_configure(LOG_INFO, LOG_LOGFMT);
}

static void lines_of_many_threads_never_mix(void **state) {
    (void)state;
    char *text = capture(write_from_threads);
    int count = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *parsed = json_loads(line, 0, NULL);
        assert_non_null(parsed);
        json_decref(parsed);
        count++;
    }
    assert_int_equal(count, 200);
}

static void a_reader_that_stopped_costs_a_deadline_not_the_thread(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const int saved = dup(STDERR_FILENO);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    static char fill[4096];
    while (write(ends[1], fill, sizeof fill) > 0)
        continue;
    fcntl(ends[1], F_SETFL, 0);
    dup2(ends[1], STDERR_FILENO);
    struct timespec start;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    log_warn("nobody reads this");
    clock_gettime(CLOCK_MONOTONIC, &end);
    while (read(ends[0], fill, sizeof fill) == sizeof fill) {
        int left = 0;
        if (ioctl(ends[0], FIONREAD, &left) == 0 && left == 0) break;
    }
    log_warn("read again");
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    const ssize_t count = read(ends[0], fill, sizeof fill - 1);
    close(ends[0]);
    assert_true(count > 0);
    fill[count] = '\0';
    assert_null(strstr(fill, "nobody"));
    assert_non_null(strstr(fill, "msg=\"read again\" dropped=1\n"));
    assert_in_range(end.tv_sec - start.tv_sec, 0, 5);
}

/* With several threads, too, one line costs a thread one wait for the others and one for the
 * reader. */
static void *write_in_vain(void *took_ms) {
    char message[40]; /* of its own: the limit must let it pass */
    snprintf(message, sizeof message, "nobody reads this %p", took_ms);
    const int64_t begin_ms = clock_ms();
    log_warn(message);
    *(int64_t *)took_ms = clock_ms() - begin_ms;
    return NULL;
}

enum { WRITERS = 40 };

static void a_reader_that_stopped_costs_each_of_many_threads_no_more(void **state) {
    (void)state;
    int ends[2];
    int64_t took_ms[WRITERS];
    pthread_t threads[WRITERS];
    static char fill[65536 + 1];
    assert_int_equal(pipe(ends), 0);
    const int saved = dup(STDERR_FILENO);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], fill, 4096) > 0)
        continue;
    fcntl(ends[1], F_SETFL, 0);
    dup2(ends[1], STDERR_FILENO);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&threads[i], NULL, write_in_vain, &took_ms[i]);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    while (read(ends[0], fill, 65536) == 65536) {
        int left = 0;
        if (ioctl(ends[0], FIONREAD, &left) == 0 && left == 0) break;
    }
    log_warn("all is read");
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    const ssize_t count = read(ends[0], fill, 65536);
    close(ends[0]);
    assert_true(count > 0);
    fill[count] = '\0';
    assert_non_null(strstr(fill, "msg=\"all is read\" dropped=40\n"));
    for (int i = 0; i < WRITERS; i++)
        assert_in_range(took_ms[i], LOG_WAIT_MS - 1, 2 * LOG_WAIT_MS + 1500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_carries_time_level_message_and_fields),
        cmocka_unit_test(a_missing_text_is_null),
        cmocka_unit_test(logfmt_quotes_what_would_be_misread),
        cmocka_unit_test(logfmt_quotes_from_a_bound_on),
        cmocka_unit_test(control_characters_never_reach_the_terminal),
        cmocka_unit_test(invalid_utf8_is_escaped_byte_by_byte),
        cmocka_unit_test(every_byte_value_gives_valid_json_on_one_line),
        cmocka_unit_test(a_long_value_is_cut_and_later_fields_stay),
        cmocka_unit_test(a_full_line_drops_whole_fields_and_says_so),
        cmocka_unit_test(the_limit_lets_a_burst_pass_and_counts_the_rest),
        cmocka_unit_test(the_limit_forgets_the_oldest_message_when_full),
        cmocka_unit_test(levels_that_are_off_write_and_evaluate_nothing),
        cmocka_unit_test(the_last_error_is_written_even_if_it_was_over_the_limit),
        cmocka_unit_test(a_newer_error_stays_the_last_line),
        cmocka_unit_test(lines_of_many_threads_never_mix),
        cmocka_unit_test(a_reader_that_stopped_costs_a_deadline_not_the_thread),
        cmocka_unit_test(a_reader_that_stopped_costs_each_of_many_threads_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
