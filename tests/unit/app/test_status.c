/* status: what a running instance shows of itself, whole: /status.json and /metrics. */
#include "app/running.h"

static long queue_kbytes[2]; /* the newest of consumers that read, and of producers that publish */

/* Stands in front of librdkafka's own. */
rd_kafka_t *rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *why, size_t bytes) {
    rd_kafka_t *(*real)(rd_kafka_type_t, rd_kafka_conf_t *, char *, size_t);
    const bool is_producer = type == RD_KAFKA_PRODUCER;
    const char *name = is_producer ? "queue.buffering.max.kbytes" : "queued.max.messages.kbytes";
    char kbytes[32] = "", reports[32] = "", messages[32] = "";
    size_t length = sizeof kbytes, reports_length = sizeof reports;
    size_t messages_length = sizeof messages;
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_new");
    rd_kafka_conf_get(conf, name, kbytes, &length);
    rd_kafka_conf_get(conf, "delivery.report.only.error", reports, &reports_length);
    rd_kafka_conf_get(conf, "queued.min.messages", messages, &messages_length);
    /* Not the test's own producer, and not a consumer that only asks. */
    if (is_producer ? strcmp(reports, "true") == 0 : strcmp(messages, "1") != 0)
        queue_kbytes[is_producer] = strtol(kbytes, NULL, 10);
    return real(type, conf, why, bytes);
}

static const char *path, *body;
static char expected[1 << 16];

static void read_expected(const char *name) {
    char place[64];
    snprintf(place, sizeof place, "app/documents/%s", name);
    FILE *file = fopen(place, "r");
    if (file == NULL) fail_msg("%s is missing", place);
    expected[fread(expected, 1, sizeof expected - 1, file)] = '\0';
    fclose(file);
}

/* What a star stands for: a number, a time or a version. */
static bool is_of_value(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           strchr("-+.:", c) != NULL;
}

/* Where the text is not as the pattern has it; NULL: it is. */
static const char *difference(const char *text, const char *pattern) {
    for (; *pattern != '\0'; pattern++) {
        if (*pattern != '*') {
            if (*text++ != *pattern) return text - 1;
            continue;
        }
        const char *begin = text;
        while (*text != '\0' && is_of_value(*text))
            text++;
        if (text == begin) return text;
    }
    return *text == '\0' ? NULL : text;
}

/* Of the page; without the last lines of the log, which are as many as there were troubles. */
static const char *look(void) {
    body = get(path);
    if (body == NULL) fail_msg("%s: nothing", path);
    char *recent = strstr(body, "\"recent\": ["), *behind = strstr(body, "],\n\"settings\"");
    if (recent != NULL && behind != NULL) {
        recent += strlen("\"recent\": [");
        memmove(recent, behind, strlen(behind) + 1);
    }
    return difference(body, expected);
}

/* Until everything that follows from the records is shown. */
static void shows_expected(const char *name, const char *place) {
    const int64_t until_ms = clock_ms() + WAIT_MS;
    const char *found;
    path = place;
    read_expected(name);
    while ((found = look()) != NULL) {
        if (clock_ms() > until_ms)
            fail_msg("%s differs in %.*s <--- behind: %.600s", place,
                     found - body > 200 ? 200 : (int)(found - body),
                     found - body > 200 ? found - 200 : body, found);
        clock_sleep_ms(100);
    }
}

static void all_that_is_shown_is_as_expected(void **state) {
    (void)state;
    write_records_from(1); /* partition 0 is empty */
    further[0] = "count.daily.every=day";
    further[1] = "count.places.by=locale";
    further[2] = "count.users.unique=user_id";
    further[3] = "instance.memory_mb=64";
    start("at_least_once");
    await("rollcall_records_counted_total", ALL);
    await("rollcall_records_published_total", ALL);
    shows_expected("status.json", "/status.json");
    shows_expected("metrics", "/metrics");
}

/* The largest that is useful for what is read, and a tenth of the memory for what is published. */
static void the_queues_have_their_shares_of_the_memory(void **state) {
    (void)state;
    assert_int_equal(queue_kbytes[0], 8192);
    assert_int_equal(queue_kbytes[1], 64 * 1024 / 10);
}

static void the_page_has_its_script_and_style(void **state) {
    (void)state;
    static const char *const parts[][2] = {{"/status.js", "// Shows status.json, "},
                                           {"/status.css", "\nbody"},
                                           {"/", "<script src=\"status.js\" defer></script>\n"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *found = get(parts[i][0]);
        if (found == NULL || strstr(found, parts[i][1]) == NULL)
            fail_msg("%s: %.200s", parts[i][0], found);
    }
}

static void the_last_lines_of_the_log_are_shown_as_text(void **state) {
    (void)state;
    assert_non_null(get("/status.json"));
    const char *line = strstr(text_string(&reply), "\n\"recent\": [\"ts=");
    if (line == NULL) fail_msg("%s", text_string(&reply));
    assert_non_null(strstr(line, "Z level=warn msg=\\\"Anomaly detected: 20 logins in the minute "
                                 "2024-07-10 14:36\\\" kind=threshold minute=\\\"2024-07-10 14:36"
                                 "\\\" count=20 threshold=10\""));
}

/* The text between the quotes behind "now". */
static void now_shown(char now[32]) {
    assert_non_null(get("/status.json"));
    const char *found = strstr(text_string(&reply), "\n\"now\": \"");
    assert_non_null(found);
    snprintf(now, 32, "%.24s", found + strlen("\n\"now\": \""));
}

/* However many look, and though they do so for longer than a millisecond. */
static void it_is_made_again_once_a_second(void **state) {
    (void)state;
    char first[32], last[32];
    const int64_t until_ms = clock_ms() + WAIT_MS;
    do {
        if (clock_ms() > until_ms) fail_msg("made each time: %s, %s", first, last);
        now_shown(first);
        clock_sleep_ms(20);
        now_shown(last);
    } while (strcmp(first, last) != 0);
    while (strcmp(first, last) == 0) {
        if (clock_ms() > until_ms) fail_msg("never made again: %s", first);
        clock_sleep_ms(20);
        now_shown(last);
    }
}

static int end_program(void **state) {
    assert_int_equal(stop(SIGTERM), 0);
    return end(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_shown_is_as_expected),
        cmocka_unit_test(the_queues_have_their_shares_of_the_memory),
        cmocka_unit_test(the_page_has_its_script_and_style),
        cmocka_unit_test(the_last_lines_of_the_log_are_shown_as_text),
        cmocka_unit_test(it_is_made_again_once_a_second),
    };
    return cmocka_run_group_tests(tests, begin, end_program);
}
